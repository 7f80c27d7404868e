# SPDX-License-Identifier: Apache-2.0
"""The confinement of a real mount, looked at from outside, as root and as an
ordinary user; and that what it forbids is not missed. (tests/fs/test-confined.c
tries to break it from inside.)

Run as root, the test makes itself a mount namespace, see test_user.py."""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import harness
import test_user

IS_ROOT = os.geteuid() == 0
NOBODY = 65534
CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN = 1 << 2, 1 << 21
KEEPER, AGENT, BROKER = "tpdfs-keeper", "tpd-key-agent", "tpd-broker"
PTRACE_ATTACH, PTRACE_DETACH, PTRACE_SEIZE = 16, 17, 0x4206


def status_of(path):
    with open(os.path.join(path, "status"), encoding="ascii", errors="replace") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def wait_until(condition, what):
    deadline = time.monotonic() + harness.TIMEOUT
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)
    return value


def children(pid):
    """{name: pid} of the processes that `pid` has made."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            status = status_of(f"/proc/{entry}")
            if status["PPid"] == str(pid) and not status["State"].startswith("Z"):
                found[status["Name"]] = int(entry)
    return found


def alive(pid):
    try:
        return not status_of(f"/proc/{pid}")["State"].startswith(("Z", "X"))
    except OSError:
        return False


def as_user(user):
    def change():
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    return change


def in_child(user, function):
    """What `function` returns, a number, in a process of `user`."""
    child = os.fork()
    if child == 0:
        try:
            if user is not None:
                as_user(user)()
            os._exit(function() or 0)
        except OSError as e:
            os._exit(e.errno)
    _pid, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def attach(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (PTRACE_ATTACH, PTRACE_SEIZE):
        if libc.ptrace(request, pid, None, None) == 0:
            return 0
    return ctypes.get_errno()


def for_each_user(test):
    def run(self):
        for user in self.users:
            with self.subTest(user=user):
                test(self, user)
    return run


class Stage(unittest.TestCase):
    """A share and keys that the user of the mount may read; `self.users` are
    those to try, None being who runs the test."""

    users = [None, NOBODY] if IS_ROOT else [None]

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="tpdfs-confined-")
        cls.share = os.path.join(cls.dir, "share")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        os.chmod(cls.dir, 0o755)
        shutil.copytree(os.path.join(harness.FIXTURES, "share"), cls.share, symlinks=True)
        cls.entries = [e for e in harness.manifest() if e["kind"] == "pfile" and e["open"] and e.get("key_role") == "cloud"
                       and e["compare"] == "bytes"]
        cls.decoded = [e["path"] for e in harness.manifest() if e["kind"].startswith("pdf") and e["open"]
                       and e.get("key_role") == "cloud"]
        if IS_ROOT:
            test_user.open_fuse_to_all(cls.dir)
            cls.addClassCleanup(subprocess.run, ["umount", "/dev/fuse"], check=False)

    def keys_for(self, user):
        folder = os.path.join(self.dir, f"keys-{user}")
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o755)
            for name in ("tpd-cloud.xml", "tpd-cloud.password.txt"):
                shutil.copy(os.path.join(harness.FIXTURES, "keys", name), folder)
                os.chmod(os.path.join(folder, name), 0o600)
                if user is not None:
                    os.chown(os.path.join(folder, name), user, user)
        return ["--key", os.path.join(folder, "tpd-cloud.xml"), "--password-file",
                os.path.join(folder, "tpd-cloud.password.txt")]

    def mount(self, *words, user=None, limits=(), source=None, **more):
        def prepare():
            for limit, value in limits:
                resource.setrlimit(limit, (value, value))
            if user is not None:
                as_user(user)()
        mount = harness.Mount(source or self.share, self.keys_for(user) + list(words), prepare=prepare, **more)
        if user is not None:
            os.chown(mount.path, user, user)
        self.addCleanup(mount.stop)
        mount.start()
        # It is confined, and has answered.
        pid = self.pid_of(mount)
        wait_until(lambda: status_of(f"/proc/{pid}")["Seccomp"] == "2", "it is not confined")
        self.read_as(user, ["ls"], mount.path)
        return mount

    def pid_of(self, mount):
        if mount.foreground:
            return mount.process.pid
        self.assertEqual(mount.process.wait(harness.TIMEOUT), 0)  # who started the daemon
        words = os.fsencode(mount.path)
        return next(int(p) for p in filter(str.isdigit, os.listdir("/proc")) if self.is_mount(p, words))

    @staticmethod
    def is_mount(pid, words):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                return words in f.read().split(b"\0") and status_of(f"/proc/{pid}")["Name"] == "tpdfs"
        return False

    def read_as(self, user, command, path):
        done = subprocess.run([*command, path], capture_output=True, check=False, timeout=harness.TIMEOUT,
                              preexec_fn=as_user(user) if user is not None else None)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def check_reads(self, mount, user):
        for entry in self.entries[:2]:
            digest = self.read_as(user, ["sha256sum", "-z"], mount(entry["path"])).split()[0]
            self.assertEqual(digest.decode(), entry["plain_sha256"])

    def check_reads_decoded(self, mount, user):
        for path in self.decoded[:2]:
            self.assertEqual(self.read_as(user, ["head", "-c", "5"], mount(path)), b"%PDF-")
            self.assertIn(b"%%EOF", self.read_as(user, ["tail", "-c", "64"], mount(path)))


class Outside(Stage):
    def check_process(self, pid, capabilities, seccomp=True):
        for path in [f"/proc/{pid}", *(f"/proc/{pid}/task/{t}" for t in os.listdir(f"/proc/{pid}/task"))]:
            status = status_of(path)
            self.assertEqual([status[f"Cap{name}"] for name in ("Prm", "Eff", "Inh", "Amb")],
                             [f"{capabilities:016x}"] * 2 + ["0" * 16] * 2, path)
            if seccomp:
                self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"), path)
        # The files of an undumpable process in /proc are root's.
        self.assertEqual(os.stat(f"/proc/{pid}/environ").st_uid, 0)

    @for_each_user
    def test_every_thread_has_the_rights_it_needs_and_no_other(self, user):
        root = IS_ROOT and user is None
        for foreground in (True, False):
            mount = self.mount(user=user, foreground=foreground)
            self.check_reads(mount, user)
            self.check_reads_decoded(mount, user)
            pid = self.pid_of(mount)
            self.assertGreater(len(os.listdir(f"/proc/{pid}/task")), 2)
            self.check_process(pid, CAP_DAC_READ_SEARCH if root else 0)
            if root:
                self.assertEqual(int(status_of(f"/proc/{pid}")["CapBnd"], 16), CAP_DAC_READ_SEARCH)
            others = children(pid)
            self.assertEqual(set(others) - {BROKER}, {KEEPER, AGENT})
            if BROKER in others:
                self.assertTrue(root)
                self.check_process(others[BROKER], CAP_SYS_ADMIN)
            self.check_process(others[AGENT], 0)
            self.check_process(others[KEEPER], CAP_DAC_READ_SEARCH | CAP_SYS_ADMIN if root else 0, seccomp=False)
            if IS_ROOT or user is None:
                self.check_limits(pid)
            mount.stop()

    def check_limits(self, pid):
        try:
            with open(f"/proc/{pid}/limits", encoding="ascii") as f:
                limits = f.read()
        except PermissionError:  # its own user may not look
            return
        self.assertRegex(limits, r"Max core file size +0 +0 ")

    @for_each_user
    def test_another_process_of_its_user_cannot_look_into_it(self, user):
        if IS_ROOT and user is None:
            return  # root may
        mount = self.mount(user=user)
        pid = self.pid_of(mount)
        for victim in (pid, *children(pid).values()):
            self.assertEqual(in_child(user, lambda: attach(victim)), errno.EPERM)
            for name in ("mem", "environ", "maps"):
                self.assertEqual(in_child(user, lambda: open(f"/proc/{victim}/{name}", "rb").read(1) and 0), errno.EACCES)
            self.assertEqual(in_child(user, lambda: len(os.listdir(f"/proc/{victim}/fd"))), errno.EACCES)
        if shutil.which("gdb"):
            done = subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "info registers"], capture_output=True,
                                  stdin=subprocess.DEVNULL, check=False, preexec_fn=as_user(user) if user else None,
                                  timeout=harness.TIMEOUT, env={"PATH": os.environ["PATH"], "HOME": "/"})
            self.assertIn(b"ptrace: ", done.stdout + done.stderr)
            self.assertNotIn(b"rip", done.stdout)
        self.check_reads(mount, user)
        mount.stop()

    def test_what_is_decoded_is_locked_and_not_dumped(self):
        if not IS_ROOT or harness.sanitized():
            self.skipTest("only root can look into undumpable processes; sanitizers lock nothing")
        mount = self.mount()
        with open(mount(self.decoded[0]), "rb") as file:
            self.assertTrue(file.read(16))
            with open(f"/proc/{mount.process.pid}/smaps", encoding="utf-8") as f:
                blocks = f.read().split("\n")
        at = next(i for i, line in enumerate(blocks) if "memfd:tpdfs-plaintext" in line)
        flags = next(line for line in blocks[at:] if line.startswith("VmFlags:")).split()
        self.assertIn("lo", flags)
        self.assertIn("dd", flags)
        self.assertNotIn("wr", flags)


class GoesOn(Stage):
    @for_each_user
    def test_a_signal_unmounts(self, user):
        for foreground in (True, False):
            for number in (signal.SIGTERM, signal.SIGINT):
                mount = self.mount(user=user, foreground=foreground)
                self.check_reads(mount, user)
                pid = self.pid_of(mount)
                pids = [pid, *children(pid).values()]
                os.kill(pid, number)
                if foreground:
                    self.assertEqual(mount.process.wait(harness.TIMEOUT), 0, mount.log())
                wait_until(lambda: not any(map(alive, pids)), "somebody is left")
                self.assertFalse(harness.is_mounted(mount.path))
                self.assertEqual(os.listdir(mount.path), [])
                mount.stop()

    @for_each_user
    def test_a_signal_unmounts_while_a_file_is_open(self, user):
        mount = self.mount("--allow-other" if IS_ROOT and user is None else "--verbose", user=user)
        child = os.fork()
        if child == 0:
            if user is not None:
                as_user(user)()
            os.open(mount(self.entries[0]["path"]), os.O_RDONLY)
            signal.pause()
        try:
            time.sleep(0.5)
            os.kill(mount.process.pid, signal.SIGTERM)
            self.assertEqual(mount.process.wait(harness.TIMEOUT), 0, mount.log())
            self.assertFalse(harness.is_mounted(mount.path))
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        mount.stop()

    @for_each_user
    def test_its_user_unmounts(self, user):
        mount = self.mount(user=user)
        pids = [mount.process.pid, *children(mount.process.pid).values()]
        subprocess.run(["fusermount3", "-u", mount.path], check=True, preexec_fn=as_user(user) if user else None)
        self.assertEqual(mount.process.wait(harness.TIMEOUT), 0)
        wait_until(lambda: not any(map(alive, pids)), "somebody is left")
        mount.stop()

    def test_without_its_keeper_it_serves(self):
        mount = self.mount()
        os.kill(children(mount.process.pid)[KEEPER], signal.SIGKILL)
        self.check_reads(mount, None)
        os.kill(mount.process.pid, signal.SIGTERM)
        mount.process.wait(harness.TIMEOUT)
        self.assertIn("could not be unmounted", mount.log())

    def test_killed_it_leaves_a_mount_that_says_so(self):
        """An empty folder would look like a share whose files are gone."""
        mount = self.mount()
        pids = children(mount.process.pid).values()
        mount.process.kill()
        mount.process.wait()
        wait_until(lambda: not any(map(alive, pids)), "somebody is left")
        with self.assertRaises(OSError) as caught:
            os.listdir(mount.path)
        self.assertEqual(caught.exception.errno, errno.ENOTCONN)

    @for_each_user
    def test_nothing_to_lock_one_warning(self, user):
        if IS_ROOT and user is None:
            return  # may lock
        mount = self.mount(user=user, limits=[(resource.RLIMIT_MEMLOCK, 0)])
        self.check_reads(mount, user)
        self.check_reads_decoded(mount, user)
        log = mount.log()
        if not harness.sanitized():
            self.assertEqual(log.count("decoded documents cannot all be locked"), 1, log)
            self.assertIn("LimitMEMLOCK", log)
        mount.stop()

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_root_reads_what_is_its_users_alone(self):
        share = os.path.join(self.dir, "private")
        os.mkdir(share)
        self.addCleanup(shutil.rmtree, share)
        for folder, mode in (("a", 0o700), ("b", 0o000)):
            os.mkdir(os.path.join(share, folder))
            path = os.path.join(share, folder, "file.pdf.pfile")
            shutil.copy(os.path.join(self.share, self.entries[0]["path"]), path)
            os.chmod(path, 0o600 if mode else 0)
            os.chown(path, NOBODY, NOBODY)
            os.chown(os.path.dirname(path), NOBODY, NOBODY)
            os.chmod(os.path.dirname(path), mode)
        mount = self.mount(source=share)
        for folder in ("a", "b"):
            [name] = os.listdir(mount(folder))
            self.assertEqual(harness.sha256_file(mount(folder, name)), self.entries[0]["plain_sha256"])

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_what_is_mounted_in_the_source_later_is_read(self):
        mount = self.mount()
        inner = os.path.join(self.share, "inner")
        os.mkdir(inner)
        self.addCleanup(os.rmdir, inner)
        subprocess.run(["mount", "-t", "tmpfs", "none", inner], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", inner], check=True)
        with open(os.path.join(inner, "file.txt"), "w", encoding="ascii") as f:
            f.write("plain")
        wait_until(lambda: os.path.exists(mount("inner", "file.txt")), "not seen")
        with open(mount("inner", "file.txt"), encoding="ascii") as f:
            self.assertEqual(f.read(), "plain")

    def test_status_is_told(self):
        mount = self.mount()
        with open(mount(".tpdfs", "status.json"), encoding="utf-8") as f:
            status = json.load(f)
        self.assertEqual(status["pid"], mount.process.pid)
        self.assertEqual(status["agent_pid"], children(mount.process.pid)[AGENT])


@unittest.skipUnless(IS_ROOT, "needs root")
class SystemLog(Stage):
    """Lines of a daemon, also after the log daemon was started anew."""

    def listen(self):
        taker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        taker.bind("/dev/log")
        taker.settimeout(harness.TIMEOUT)
        return taker

    def stop(self, taker):
        taker.close()
        os.unlink("/dev/log")

    def expect(self, taker, pid, words):
        while True:
            line = taker.recv(65536)  # also of the mounts of other tests
            if b"tpdfs[%d]: " % pid in line and words in line:
                return

    def test_lines_arrive(self):
        with open(os.path.join(harness.BUILD, "system-log.lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # for variants of this test
            if os.path.exists("/dev/log"):
                self.skipTest("somebody else takes the system log")
            self.check_lines()

    def check_lines(self):
        taker = self.listen()
        try:
            mount = self.mount(foreground=False)
            pid = self.pid_of(mount)
            self.expect(taker, pid, b"is mounted read-only on")
        finally:
            self.stop(taker)
        taker = self.listen()
        try:
            os.kill(pid, signal.SIGUSR1)
            self.expect(taker, pid, b"counters: ")
            os.kill(pid, signal.SIGTERM)
            self.expect(taker, pid, b"ending on signal 15")
            self.expect(taker, pid, b"is unmounted")
        finally:
            self.stop(taker)


class Agent(Stage):
    def killed(self, mount):
        agent = children(mount.process.pid)[AGENT]
        os.kill(agent, signal.SIGKILL)
        wait_until(lambda: not alive(agent), "it lives")

    def check_refused(self, mount, entries):
        begin = time.monotonic()
        for entry in entries:
            with self.assertRaises(OSError) as caught:
                open(mount(entry["path"]), "rb").close()
            self.assertEqual(caught.exception.errno, errno.EIO)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(mount.log().count("the key agent (process"), 1, mount.log())

    def test_killed_before_it_was_asked(self):
        mount = self.mount()
        self.killed(mount)
        self.check_refused(mount, self.entries[:3])

    def test_killed_after_it_answered(self):
        mount = self.mount()
        first, *others = self.entries[:4]
        self.assertEqual(harness.sha256_file(mount(first["path"])), first["plain_sha256"])
        self.killed(mount)
        self.check_refused(mount, others)
        # Its content key is remembered.
        self.assertEqual(harness.sha256_file(mount(first["path"])), first["plain_sha256"])
        plain = next(e for e in harness.manifest() if e["kind"] == "plain" and e["size"] > 0)
        with open(mount(plain["path"]), "rb") as file:
            self.assertEqual(len(file.read()), plain["size"])
        self.assertEqual(mount.unmount(), 0)


if __name__ == "__main__":
    if IS_ROOT and harness.fuse_available():
        test_user.enter_namespace()
    if not harness.fuse_available():
        sys.stderr.write("no usable /dev/fuse or fusermount3: skipped\n")
        sys.exit(77)
    unittest.main(verbosity=2)
