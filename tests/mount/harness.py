# SPDX-License-Identifier: Apache-2.0
"""Mounts of the real program for tests: start, wait, always clean up."""

import atexit
import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import scratch  # noqa: E402

BUILD = os.environ.get("TPD_BUILD_ROOT", "build/plain")
FIXTURES = os.environ.get("TPD_FIXTURES", os.path.join(BUILD, "tests", "fixtures"))
TPDFS = os.path.join(BUILD, "fs", "tpdfs")
TPD = os.path.join(BUILD, "tools", "tpd")
TIMEOUT = 60
# Put before the words of every mount, so that the same tests run in variants.
VARIANT = os.environ.get("TPD_TEST_WORDS", "").split()

# The classes of the manifest and the errno that DESIGN gives each on open.
ERRNO = {
    "no-key": errno.ENOKEY,
    "double-key": errno.ENOKEY,
    "damaged": errno.EBADMSG,
    "ambiguous": errno.EBADMSG,
    "unsupported": errno.EOPNOTSUPP,
    "too-large": errno.EFBIG,
}


def sanitized():
    """Whether the mount is built with AddressSanitizer, which keeps what was freed."""
    with open(TPDFS, "rb") as file:
        return b"__asan_init" in file.read()


def fuse_available():
    return os.access("/dev/fuse", os.R_OK | os.W_OK) and shutil.which("fusermount3")


def manifest():
    with open(os.path.join(FIXTURES, "manifest.json"), encoding="utf-8") as f:
        return json.load(f)["files"]


def sha256_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def key_arguments(fixtures=FIXTURES):
    """--key words for the whole key set of the fixtures."""
    keys = os.path.join(fixtures, "keys")
    words = []
    for name in sorted(os.listdir(keys)):
        path = os.path.join(keys, name)
        if name.endswith(".xml"):
            words += ["--key", path, "--password-file", path[:-4] + ".password.txt"]
        elif name.endswith(".pem"):
            words += ["--key", path]
    return words


def is_mounted(path):
    """Also of a mount that only another user may look at."""
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return any(line.split(" ")[1] == path for line in f)


def remove(path):
    with contextlib.suppress(OSError):
        os.unlink(path)


class Mount:
    """`with Mount(source, [words]) as m:` m.path is the mount point."""

    def __init__(self, source, words=(), foreground=True, user=None, prepare=None):
        self.source = source
        self.words = list(words)
        self.foreground = foreground
        self.path = tempfile.mkdtemp(prefix="tpdfs-mount-")
        self.log_path = self.path + ".log"
        atexit.register(remove, self.log_path)  # tests read it when the mount is gone
        self.process = None
        self.user = user
        self.prepare = prepare  # called in the new process, before tpdfs

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()
        if exc[0] is not None:
            sys.stderr.write(f"--- log of tpdfs\n{self.log()}")

    def start(self):
        command = [TPDFS] + (["-f"] if self.foreground else []) + VARIANT + self.words + [self.source, self.path]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=self.user,
                                            preexec_fn=self.prepare)
        deadline = time.monotonic() + TIMEOUT
        while not is_mounted(self.path):
            if self.process.poll() is not None and (self.foreground or self.process.returncode != 0):
                raise RuntimeError(f"tpdfs ended with {self.process.returncode}: {self.log()}")
            if time.monotonic() > deadline:
                raise RuntimeError("tpdfs did not mount in time")
            time.sleep(0.01)
        # It answers, or it is not for us to ask: an unmount before the first
        # answer counts as a mount that failed.
        with contextlib.suppress(OSError):
            os.statvfs(self.path)

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def unmount(self):
        """Unmounts as a user would and returns the exit status of the daemon."""
        subprocess.run(["fusermount3", "-u", self.path], check=True, timeout=TIMEOUT)
        return self.process.wait(TIMEOUT)

    def stop(self):
        if is_mounted(self.path):
            done = subprocess.run(["fusermount3", "-u", self.path], stderr=subprocess.DEVNULL, check=False)
            if done.returncode != 0:
                subprocess.run(["umount", "-l", self.path], stderr=subprocess.DEVNULL, check=False)
        if self.process and self.process.poll() is None:
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        with contextlib.suppress(OSError):
            os.rmdir(self.path)

    def __call__(self, *parts):
        return os.path.join(self.path, *parts)


class Scratch(unittest.TestCase):
    """A test with a folder of its own, `self.dir`."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="tpdfs-test-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def write(self, name, data):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        return path

    def assertErrno(self, expected, call, *arguments):
        with self.assertRaises(OSError) as caught:
            call(*arguments)
        allowed = expected if isinstance(expected, (set, tuple, list)) else [expected]
        self.assertIn(
            caught.exception.errno,
            allowed,
            f"{arguments}: {errno.errorcode.get(caught.exception.errno)}",
        )


def main():
    if not fuse_available():
        sys.stderr.write("no usable /dev/fuse or fusermount3: skipped\n")
        sys.exit(77)
    unittest.main(verbosity=2)
