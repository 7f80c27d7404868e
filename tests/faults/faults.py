# SPDX-License-Identifier: Apache-2.0
"""A mounted faultfs for tests: what it does wrong is said in between."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import tool
from test_materialize import STATE, Case, materialize

BUILD = pathlib.Path(os.environ["TPD_BUILD_ROOT"])
FAULTFS = BUILD / "tests" / "faults" / "faultfs"


def available():
    return os.access("/dev/fuse", os.R_OK | os.W_OK)


class Mount:
    """`directory` seen through faultfs at .path, with the rules of .fail()."""

    def __init__(self, directory, scratch):
        work = pathlib.Path(tempfile.mkdtemp(prefix="faultfs-", dir=scratch))
        self.directory = pathlib.Path(directory)
        self.path = work / "mount"
        self.path.mkdir()
        self.rules = work / "rules"
        self.log = work / "log"
        self.process = subprocess.Popen([FAULTFS, self.directory, self.path, self.rules, self.log, "-f", "-s"],
                                        stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 30
        while not os.path.ismount(self.path):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("faultfs did not mount")
            time.sleep(0.01)

    def fail(self, *rules):
        """From now on these, and no others."""
        new = self.rules.with_suffix(".new")
        new.write_text("".join(f"{rule}\n" for rule in rules), encoding="utf-8")
        os.replace(new, self.rules)

    def unmount(self):
        if self.process.poll() is not None:
            return
        for _ in range(100):
            if subprocess.run(["umount", self.path], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.05)
        else:
            subprocess.run(["umount", "-l", self.path], check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


LARGE = os.urandom(3 << 20)


class Faulty(Case):
    maxDiff = None

    def setUp(self):
        super().setUp()
        self.backing = self.dir / "backing"
        self.backing.mkdir()
        self.src = self.backing  # where put() puts

    def mount(self):
        self.faulty = Mount(self.backing, self.dir)
        self.addCleanup(self.faulty.unmount)
        self.src = self.faulty.path
        self.fail_with = self.faulty.fail

    def fill(self):
        """Protected and plain files, a link, another name, folders."""
        self.entry = self.put("a.txt.pfile")
        self.put("dir/b.txt.pfile")
        (self.backing / "large").write_bytes(LARGE)
        (self.backing / "dir/plain").write_bytes(b"plain")
        (self.backing / "dir/deep").mkdir()
        (self.backing / "dir/deep/c").write_bytes(b"c")
        (self.backing / "link").symlink_to("large")
        os.link(self.backing / "dir/plain", self.backing / "dir/twice")
        self.expected = self.dir / "expected"
        self.good(materialize(self.backing, self.expected))

    def summary(self, top=None):
        return json.loads(((top or self.dst) / STATE / "summary.json").read_text())


def main():
    if not available():
        sys.exit(77)
    unittest.main()
