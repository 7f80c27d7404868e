# SPDX-License-Identifier: Apache-2.0
"""What the mount tests share: a mount that is always taken down again.

Every test runs under a watchdog. When its time is up the daemon is killed and
the mount detached, which makes calls that hang in the kernel return an error;
so a test can fail but never hang.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import scratch  # noqa: E402

BUILD = os.environ.get("TPD_BUILD_ROOT", "build")
FIXTURES = os.environ.get("TPD_FIXTURES", "")
TPDFS = os.path.join(BUILD, "fs", "tpdfs")
LIMIT = 90
# Put before the words of every mount, so that the same tests run in variants.
VARIANT = os.environ.get("TPD_TEST_WORDS", "").split()


def can_mount():
    return os.access("/dev/fuse", os.R_OK | os.W_OK) and shutil.which("fusermount3") is not None


def mount_flags(path):
    """The options of the mount on `path` as a set, None if there is none."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            if line.split()[4] == path:
                return set(line.split()[5].split(","))
    return None


def is_mounted(path):
    return mount_flags(path) is not None


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class MountTest(unittest.TestCase):
    """A source directory, a mount point, and a watchdog."""

    def setUp(self):
        self.top = os.path.realpath(tempfile.mkdtemp(prefix="tpdfs-test-"))
        self.src = os.path.join(self.top, "src")
        self.mnt = os.path.join(self.top, "mnt")
        os.mkdir(self.src)
        os.mkdir(self.mnt)
        self.pid = None
        self.process = None
        self.expired = False
        self.watchdog = threading.Timer(LIMIT, self.expire)
        self.watchdog.daemon = True
        self.watchdog.start()
        self.addCleanup(self.clean_up)

    def many_files(self):
        """Makes the source a folder where thousands of files are soon made."""
        self.src = scratch.of_many_files()
        self.addCleanup(shutil.rmtree, self.src, ignore_errors=True)

    def expire(self):
        self.expired = True
        self.take_down()

    def take_down(self):
        """By force, whatever state it is in."""
        if self.pid and is_running(self.pid):
            os.kill(self.pid, signal.SIGKILL)
        if is_mounted(self.mnt):
            subprocess.run(["fusermount3", "-u", "-z", self.mnt], timeout=20, check=False, stderr=subprocess.DEVNULL)
        if is_mounted(self.mnt) and os.getuid() == 0:
            subprocess.run(["umount", "-l", self.mnt], timeout=20, check=False)

    def clean_up(self):
        self.watchdog.cancel()
        if is_mounted(self.mnt):
            subprocess.run(["fusermount3", "-u", self.mnt], timeout=20, check=False, stderr=subprocess.DEVNULL)
            wait_until(lambda: not is_mounted(self.mnt), 5)
        self.take_down()
        if self.process is not None:
            self.process.wait(timeout=20)
            self.process.stderr.close()
        shutil.rmtree(self.top, ignore_errors=True)
        if self.expired:
            raise AssertionError(f"took longer than {LIMIT} s")

    def run_tpdfs(self, *arguments, **keywords):
        """Runs tpdfs until its launcher ends; its exit status and messages."""
        keywords.setdefault("timeout", 60)
        environment = dict(os.environ, XDG_CONFIG_HOME=os.path.join(self.top, "no-config"))
        return subprocess.run([TPDFS, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, env=environment, **keywords)

    def mount(self, *options, **keywords):
        result = self.run_tpdfs(*VARIANT, *options, self.src, self.mnt, **keywords)
        self.assertEqual(result.returncode, 0, result.stderr)
        # The exit status tells the truth: the mount is there, and answers.
        self.assertTrue(is_mounted(self.mnt))
        self.pid = self.status()["pid"]
        return result

    def mount_in_foreground(self, *options):
        """With its log on self.process.stderr."""
        environment = dict(os.environ, XDG_CONFIG_HOME=os.path.join(self.top, "no-config"))
        self.process = subprocess.Popen([TPDFS, "-f", *VARIANT, *options, self.src, self.mnt], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, env=environment)
        self.pid = self.process.pid
        self.assertTrue(wait_until(lambda: is_mounted(self.mnt) or self.process.poll() is not None))
        self.assertIsNone(self.process.poll())
        self.status()

    def unmount(self):
        """The clean way; the log of a foreground mount."""
        subprocess.run(["fusermount3", "-u", self.mnt], timeout=20, check=True)
        self.assertTrue(wait_until(lambda: not is_running(self.pid)), "the daemon did not end")
        if self.process is None:
            return ""
        log = self.process.communicate(timeout=20)[1]
        self.assertEqual(self.process.returncode, 0, log)
        return log

    def status(self):
        with open(os.path.join(self.mnt, ".tpdfs", "status.json"), encoding="utf-8") as f:
            return json.load(f)

    def source_path(self, *names):
        return os.path.join(self.src, *names)

    def path(self, *names):
        return os.path.join(self.mnt, *names)

    def put(self, name, content=b""):
        path = self.source_path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content)
        return path

    def get(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def assert_errno(self, number, function, *arguments, **keywords):
        with self.assertRaises(OSError) as caught:
            function(*arguments, **keywords)
        self.assertEqual(caught.exception.errno, number, caught.exception)


def main():
    if not can_mount():
        print("no access to /dev/fuse, or no fusermount3: skipped")
        sys.exit(77)
    unittest.main(verbosity=2)
