# SPDX-License-Identifier: Apache-2.0
"""The mount of an ordinary user: works without privileges, is his alone.

Run as root, the test makes itself a mount namespace with a /dev/fuse that
everybody may open (as udev has it) and acts as `nobody`."""

import errno
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

import harness

USER = "nobody"


def enter_namespace():
    """Re-executes this test in a private mount namespace."""
    if os.environ.get("TPD_PRIVATE_MOUNTS"):
        return
    os.environ["TPD_PRIVATE_MOUNTS"] = "1"
    words = ["unshare", "-m", "--propagation", "private"]
    if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        # In a chroot `/` is no mount point, but /dev is one.
        words[-1] = "unchanged"
        if subprocess.run([*words, "mount", "--make-rprivate", "/dev"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            sys.stderr.write("no mount namespace of our own to be had: skipped\n")
            sys.exit(77)
        os.environ["TPD_PRIVATE_MOUNTS"] = "/dev"
    os.execvp("unshare", [*words, sys.executable, *sys.argv])


def open_fuse_to_all(folder):
    if os.environ["TPD_PRIVATE_MOUNTS"] == "/dev":
        subprocess.run(["mount", "--make-rprivate", "/dev"], check=True)
    node = os.path.join(folder, "fuse")
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, 229))
    os.chmod(node, 0o666)
    subprocess.run(["mount", "--bind", node, "/dev/fuse"], check=True)


class User(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="tpdfs-user-")
        cls.user = pwd.getpwuid(os.getuid()).pw_name
        cls.share = os.path.join(cls.dir, "share")
        cls.keys = os.path.join(cls.dir, "keys")
        shutil.copytree(os.path.join(harness.FIXTURES, "keys"), cls.keys)
        shutil.copytree(os.path.join(harness.FIXTURES, "share"), cls.share, symlinks=True)
        cls.point = os.path.join(cls.dir, "point")
        os.mkdir(cls.point)
        if os.getuid() == 0:
            cls.user = USER
            open_fuse_to_all(cls.dir)
            os.chmod(cls.dir, 0o755)
            for path in (cls.keys, cls.point):
                subprocess.run(["chown", "-R", USER, path], check=True)

    @classmethod
    def tearDownClass(cls):
        subprocess.run(["umount", "-l", cls.point], stderr=subprocess.DEVNULL, check=False)
        if os.getuid() == 0:
            subprocess.run(["umount", "/dev/fuse"], check=False)
        shutil.rmtree(cls.dir, ignore_errors=True)

    def run_as_user(self, *command, **more):
        if os.getuid() == 0:
            command = ("setpriv", "--reuid", USER, "--regid", "nogroup", "--clear-groups", "--") + command
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=harness.TIMEOUT, check=False, **more)

    def test_mount_read_and_unmount(self):
        words = ["--key", os.path.join(self.keys, "tpd-cloud.xml"), "--password-file", os.path.join(self.keys, "tpd-cloud.password.txt")]
        done = self.run_as_user(harness.TPDFS, *words, self.share, self.point)
        self.assertEqual(done.returncode, 0, done.stderr)
        try:
            entry = next(e for e in harness.manifest() if e["kind"] == "pfile" and e["open"] and e.get("key_role") == "cloud" and e["compare"] == "bytes")
            path = os.path.join(self.point, entry["path"])
            done = self.run_as_user("sha256sum", "-z", path)
            self.assertEqual(done.stdout.split()[0].decode(), entry["plain_sha256"], done.stderr)
            with open("/proc/mounts", encoding="utf-8") as f:
                line = next(l for l in f if self.point in l)
            for word in ("fuse.tpdfs", "ro", "nosuid", "nodev", "default_permissions"):
                self.assertIn(word, line)
            # The kernel lets only root register files for it; nobody hears of that.
            state = json.loads(self.run_as_user("cat", os.path.join(self.point, ".tpdfs", "status.json")).stdout)["passthrough"]
            self.assertEqual((state["state"], state["broker_pid"]), ("unavailable", 0))
            if os.getuid() == 0:
                with self.assertRaises(OSError) as caught:
                    os.listdir(self.point)
                self.assertEqual(caught.exception.errno, errno.EACCES)
        finally:
            done = self.run_as_user("fusermount3", "-u", self.point)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_index_of_a_scan_is_found(self):
        """Where it lies by default for who is not root."""
        source, cache = os.path.join(self.dir, "source"), os.path.join(self.dir, "cache")
        os.makedirs(os.path.join(source, "a"))
        os.mkdir(cache, 0o700)
        for name, data in (("a/1.txt", b"1"), ("2.txt", b"22")):
            with open(os.path.join(source, name), "wb") as file:
                file.write(data)
        if os.getuid() == 0:
            shutil.chown(cache, USER, "nogroup")
        environment = os.environ | {"XDG_CACHE_HOME": cache, "XDG_CONFIG_HOME": os.path.join(self.dir, "no-config")}

        def walked():
            """What status.json says when all has been looked at."""
            done = self.run_as_user(harness.TPDFS, source, self.point, env=environment)
            self.assertEqual(done.returncode, 0, done.stderr)
            try:
                done = self.run_as_user("find", self.point, "-type", "f", "-printf", "%s %P\\n")
                self.assertEqual(sorted(done.stdout.split(b"\n")), [b"", b"1 a/1.txt", b"2 2.txt"], done.stderr)
                return json.loads(self.run_as_user("cat", os.path.join(self.point, ".tpdfs", "status.json")).stdout)
            finally:
                self.assertEqual(self.run_as_user("fusermount3", "-u", self.point).returncode, 0)

        state = walked()
        self.assertEqual(state["index"]["state"], "none")
        self.assertEqual(state["counters"]["probes"], 2)
        self.assertEqual(os.listdir(cache), [])
        done = self.run_as_user(harness.TPD, "scan", "--summary", "--quiet", source, env=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.listdir(cache), ["tpdfs"])
        state = walked()
        self.assertEqual(state["index"]["state"], "on")
        self.assertEqual((state["counters"]["probes"], state["counters"]["index_hits"]), (0, 2))

    def test_a_key_of_somebody_else_is_refused(self):
        if os.getuid() != 0:
            self.skipTest("needs root to make a file of another user")
        key = os.path.join(self.dir, "other.xml")
        shutil.copyfile(os.path.join(harness.FIXTURES, "keys", "tpd-cloud.xml"), key)
        os.chmod(key, 0o600)
        done = self.run_as_user(harness.TPDFS, "--key", key, self.share, self.point)
        self.assertEqual(done.returncode, 3)
        self.assertIn(key.encode(), done.stderr)
        self.assertFalse(os.path.ismount(self.point))


if __name__ == "__main__":
    if os.getuid() == 0 and harness.fuse_available():
        enter_namespace()
    harness.main()
