#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where private keys are in memory while documents are read, and where not;
and that nothing of it comes to the disk."""
import errno
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import unittest

import processes
from processes import harness, tool

KEY = processes.RsaNumbers(tool.KEYS / "alt" / "onprem.pkcs8.pem")
FILES = [tool.SHARE / e["path"] for e in tool.MANIFEST
         if e.get("key_role") == "onprem" and e["open"] and e["kind"] in ("pfile", "office-ooxml")]
IS_ROOT = os.geteuid() == 0
SANITIZED = processes.sanitized(tool.TPD)
NOBODY = 65534
# What Debian lets every user lock.
USUAL_MEMLOCK = 8 * 1024 * 1024


class SlowReader:
    """tpd cat over files whose plaintext is more than a pipe takes, not read."""

    def __init__(self, files=None, user=None, memlock=None, keys=None):
        keys = keys or ["--key", tool.KEYS / "tpd-onprem.xml", "--password-file", tool.password_file("tpd-onprem.xml")]
        self.core = pathlib.Path(tempfile.mkdtemp(prefix="core-", dir=tool.SCRATCH))

        def limits():
            if memlock is not None:
                resource.setrlimit(resource.RLIMIT_MEMLOCK, (memlock, memlock))
        self.process = subprocess.Popen([tool.TPD, "cat", *keys, "--allow-insecure-files", *(files or FILES * 5)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=tool.ENVIRONMENT, cwd=self.core, user=user, group=user,
                                        extra_groups=None if user is None else [], preexec_fn=limits)
        self.pid = self.process.pid

    def __enter__(self):
        processes.wait_until(lambda: processes.children(self.pid, processes.AGENT) or self.process.poll() is not None,
                             "no agent")
        processes.wait_until(lambda: self.process.poll() is not None or processes.sleeps(self.pid), "it does not block")
        assert self.process.poll() is None, self.process.stderr.read()
        [self.agent] = processes.children(self.pid, processes.AGENT)
        return self

    def read(self, size):
        return len(os.read(self.process.stdout.fileno(), size))

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def copy_for(user, names):
    """Key files that `user` owns."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tpd-memory-"))
    folder.chmod(0o755)
    for name in names:
        shutil.copy(tool.KEYS / name, folder / name)
        (folder / name).chmod(0o600)
        os.chown(folder / name, user, user)
    return folder


def can_run_as(user):
    done = subprocess.run([tool.TPD, "keys", "--help"], user=user, group=user, extra_groups=[], capture_output=True,
                          check=False) if IS_ROOT else None
    return done is not None and done.returncode == 0 and os.stat(FILES[0]).st_mode & 0o004


@unittest.skipUnless(IS_ROOT, "only root can look into undumpable processes")
class Memory(unittest.TestCase):
    def assert_clean(self, pid):
        self.assertTrue(processes.search(pid, KEY.public_needle()), "the search does not find what is there")
        self.assertEqual(processes.search(pid, KEY.private_needles()), [])

    def test_the_process_that_reads_documents_never_has_a_private_number(self):
        with SlowReader() as reader:
            for _ in range(4):
                self.assert_clean(reader.pid)
                for _ in range(3):
                    reader.read(16384)
                processes.wait_until(lambda: processes.sleeps(reader.pid), "it does not block again")
            # The agent has them, or the search would be worth nothing.
            self.assertTrue(processes.search(reader.agent, KEY.private_needles()))

    def test_neither_has_the_mount(self):
        if not harness.fuse_available():
            self.skipTest("no fuse")
        words = ["--key", tool.KEYS / "tpd-onprem.xml", "--password-file", tool.password_file("tpd-onprem.xml")]
        with harness.Mount(tool.SHARE, [str(word) for word in words]) as mount:
            pid = mount.process.pid
            for file in FILES[:6]:
                self.assertTrue((pathlib.Path(mount.path) / file.relative_to(tool.SHARE)).read_bytes())
                self.assert_clean(pid)
            [agent] = processes.children(pid, processes.AGENT)
            self.assertTrue(processes.search(agent, KEY.private_needles()))

    def assert_all_locked(self, agent):
        locked = processes.locked_regions(agent)
        hits = processes.search(agent, KEY.private_needles())
        self.assertTrue(hits)
        for name, address in hits:
            self.assertTrue(any(start <= address < end for start, end in locked), f"{name} at {address:x} can be swapped")

    @unittest.skipIf(SANITIZED, "the sanitizer has its own malloc")
    def test_every_private_number_is_locked(self):
        with SlowReader() as reader:
            self.assert_all_locked(reader.agent)

    @unittest.skipIf(SANITIZED, "the sanitizer has its own malloc")
    def test_also_with_the_limit_of_an_ordinary_user(self):
        if not can_run_as(NOBODY):
            self.skipTest("the build or the fixtures are not to be read by others")
        folder = copy_for(NOBODY, ["tpd-onprem.xml", "tpd-onprem.password.txt"])
        try:
            keys = ["--key", folder / "tpd-onprem.xml", "--password-file", folder / "tpd-onprem.password.txt"]
            with SlowReader(user=NOBODY, memlock=USUAL_MEMLOCK, keys=keys) as reader:
                self.assert_all_locked(reader.agent)
                self.assert_clean(reader.pid)
        finally:
            shutil.rmtree(folder)


class Limits(unittest.TestCase):
    def test_without_any_memory_to_lock_it_warns_and_works(self):
        if IS_ROOT and not can_run_as(NOBODY):
            self.skipTest("the build or the fixtures are not to be read by others")
        user = NOBODY if IS_ROOT else None
        folder = copy_for(user, ["tpd-onprem.xml", "tpd-onprem.password.txt"]) if IS_ROOT else tool.KEYS
        keys = ["--key", folder / "tpd-onprem.xml", "--password-file", folder / "tpd-onprem.password.txt"]
        done = subprocess.run([tool.TPD, "cat", *keys, "--allow-insecure-files", FILES[0]], env=tool.ENVIRONMENT,
                              capture_output=True, check=False, user=user, group=user, timeout=120,
                              extra_groups=None if user is None else [],
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0)))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout)
        if not SANITIZED:
            self.assertIn(b"cannot be locked", done.stderr)
            # One line of each process.
            self.assertLessEqual(done.stderr.count(b"\n"), 2, done.stderr)


class Access(unittest.TestCase):
    @unittest.skipIf(IS_ROOT, "root may look into every process")
    def test_its_own_user_cannot_look_into_either(self):
        with SlowReader() as reader:
            for pid in (reader.pid, reader.agent):
                with self.assertRaises(PermissionError):
                    open(f"/proc/{pid}/mem", "rb")

    @unittest.skipUnless(IS_ROOT, "needs another user")
    def test_another_process_of_the_same_user_cannot_look_into_either(self):
        if not can_run_as(NOBODY):
            self.skipTest("the build or the fixtures are not to be read by others")
        folder = copy_for(NOBODY, ["tpd-onprem.xml", "tpd-onprem.password.txt"])
        keys = ["--key", folder / "tpd-onprem.xml", "--password-file", folder / "tpd-onprem.password.txt"]
        try:
            with SlowReader(user=NOBODY, keys=keys) as reader:
                for pid in (reader.pid, reader.agent):
                    done = subprocess.run(["head", "-c", "1", f"/proc/{pid}/mem"], user=NOBODY, group=NOBODY,
                                          extra_groups=[], capture_output=True, check=False)
                    self.assertIn(os.strerror(errno.EACCES).encode(), done.stderr)
        finally:
            shutil.rmtree(folder)


class Cores(unittest.TestCase):
    def crash(self, pid):
        """Lets `pid` crash after raising its limit as far as may be."""
        for limit in ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (0, 0)):
            try:
                resource.prlimit(pid, resource.RLIMIT_CORE, limit)
                break
            except (PermissionError, ValueError):
                continue
        # A sanitizer catches SIGSEGV.
        os.kill(pid, signal.SIGABRT)

    def test_the_process_that_reads_documents_leaves_no_core(self):
        with SlowReader() as reader:
            self.crash(reader.pid)
            _pid, status = os.waitpid(reader.pid, 0)
            reader.process.returncode = -1
            self.assertTrue(os.WIFSIGNALED(status))
            self.assertFalse(os.WCOREDUMP(status))
            self.assertEqual(list(reader.core.iterdir()), [])

    def test_neither_does_the_agent(self):
        with SlowReader() as reader:
            self.crash(reader.agent)
            processes.wait_until(lambda: (processes.stat_fields(reader.agent) or ("", "Z", 0))[1] == "Z", "it lives")
            self.assertEqual(list(reader.core.iterdir()), [])

    def test_the_search_for_cores_would_find_one(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="core-", dir=tool.SCRATCH))
        process = subprocess.Popen(["sleep", "60"], cwd=folder)
        self.crash(process.pid)
        _pid, status = os.waitpid(process.pid, 0)
        process.returncode = -1
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8")
        if not os.WCOREDUMP(status):
            self.skipTest("no process leaves a core here: RLIMIT_CORE is 0")
        if not pattern.startswith(("|", "/")):
            self.assertTrue(list(folder.iterdir()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
