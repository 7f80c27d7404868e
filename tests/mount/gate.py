# SPDX-License-Identifier: Apache-2.0
"""A mount whose daemon waits at a gate, for some of its calls (gate.c)."""

import mmap
import os
import struct
import tempfile
import time
import unittest.mock

import harness

LIBRARY = os.path.join(harness.BUILD, "tests", "mount", "libgate.so")


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


class GatedMount(harness.Mount):
    """Its `gated` calls wait while the gate is shut; each write takes `ms`."""

    def __init__(self, source, words, gated, ms=0, shut=False):
        super().__init__(source, harness.key_arguments() + list(words))
        with tempfile.TemporaryFile() as file:
            self.file = os.dup(file.fileno())
        os.write(self.file, struct.pack("ii", shut, 0))
        self.gate = mmap.mmap(self.file, 8)
        self.environment = {
            "LD_PRELOAD": LIBRARY,
            "TPD_TEST_WRITE_MS": str(ms),
            "TPD_TEST_GATE": f"/proc/{os.getpid()}/fd/{self.file}",
            "TPD_TEST_GATED": gated,
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
        }

    def start(self):
        with unittest.mock.patch.dict(os.environ, self.environment):
            super().start()

    def held(self):
        """How many have come to the gate and found it shut."""
        return struct.unpack("ii", self.gate[:])[1]

    def shut_gate(self):
        self.gate[:4] = struct.pack("i", 1)

    def open_gate(self):
        self.gate[:4] = struct.pack("i", 0)

    def stop(self):
        self.open_gate()  # else it does not end
        super().stop()
        os.close(self.file)
