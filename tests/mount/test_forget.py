#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the kernel forgets, the mount forgets. These tests empty the caches of
the whole machine, so others must not run meanwhile, which count what they spare."""

import os
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
import scratch  # noqa: E402
from test_walk import counters  # noqa: E402


def anonymous_kilobytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))


def known_inodes(mount):
    return counters(mount)["inodes"]


def forgotten(mount, all_but):
    """Whether no more inodes are known in the end. What was used of late is
    spared by the kernel at first."""
    for _ in range(20):
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("2")
        for _ in range(20):
            if known_inodes(mount) < all_but:
                return True
            time.sleep(0.05)
    return False


@unittest.skipUnless(os.geteuid() == 0, "only root may make the kernel forget")
class Forget(unittest.TestCase):
    def setUp(self):
        self.source = scratch.of_many_files("tpdfs-forget-")
        self.addCleanup(shutil.rmtree, self.source)

    def fill(self, folders, n):
        for folder in range(folders):
            os.mkdir(os.path.join(self.source, f"d{folder}"))
            for i in range(n):
                with open(os.path.join(self.source, f"d{folder}", f"file {i}.txt"), "wb") as file:
                    file.write(b"x" * (i + 1))

    def walk(self, mount):
        subprocess.run(["find", mount.path, "-size", "+0"], stdout=subprocess.DEVNULL, check=True)

    def test_forgotten_inodes_are_freed(self):
        self.fill(10, 300)
        with harness.Mount(self.source) as mount:
            self.walk(mount)
            self.assertGreater(known_inodes(mount), 3000)
            # A reply that was prepared and not asked for is kept.
            self.assertTrue(forgotten(mount, 350), "the kernel does not forget")

    def test_memory_goes_back_when_the_kernel_forgets(self):
        self.fill(40, 1000)
        with harness.Mount(self.source) as mount:
            os.listdir(mount.path)
            before = anonymous_kilobytes(mount.process.pid)
            self.walk(mount)
            walked = anonymous_kilobytes(mount.process.pid)
            known = known_inodes(mount)
            # A sanitizer keeps what was freed; else the kernel has been short of memory.
            if known > 20000 and not harness.sanitized():
                self.assertLess(walked - before, 300 * 40000 // 1024)
            self.assertTrue(forgotten(mount, 1000), "the kernel does not forget")
            time.sleep(0.2)
            if not harness.sanitized():
                self.assertLess(anonymous_kilobytes(mount.process.pid) - before, 4096)


if __name__ == "__main__":
    harness.main()
