#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Plain files through the mount: everything as in the source, and read-only."""
import ctypes
import errno
import filecmp
import mmap
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import threading
import time
import unittest

import mountlib
from mountlib import MountTest, is_mounted, is_running, wait_until


def read_at(path, offset, length):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, length, offset)
    finally:
        os.close(fd)


class Content(MountTest):
    def test_tree_is_byte_for_byte_the_same(self):
        rnd = random.Random(1)
        for i, size in enumerate([0, 1, 15, 4095, 4096, 4097, 131072, 1000003]):
            self.put(f"d{i % 3}/e/file{i}.bin", rnd.randbytes(size))
        os.utime(self.source_path("d1"), ns=(1, 981173106123456789))
        self.mount()
        for top, directories, files in os.walk(self.src):
            relative = os.path.relpath(top, self.src)
            self.assertEqual(sorted(directories + files), sorted(os.listdir(self.path(relative))))
            for name in directories + files:
                a, b = os.stat(os.path.join(top, name)), os.stat(self.path(relative, name))
                for field in ("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_uid", "st_gid", "st_nlink"):
                    self.assertEqual(getattr(a, field), getattr(b, field), (name, field))
                self.assertEqual(b.st_mode, a.st_mode & ~0o222)
            for name in files:
                self.assertTrue(filecmp.cmp(os.path.join(top, name), self.path(relative, name), shallow=False))
        self.unmount()

    def test_odd_offsets_mmap_and_sparse_copies(self):
        content = random.Random(2).randbytes(700001)
        self.put("big", content)
        with open(self.source_path("sparse"), "wb") as f:
            f.seek(3 << 20)
            f.write(b"end")
        self.mount()
        for offset, length in [(0, 1), (1, 4095), (4095, 2), (131071, 70000), (700000, 10), (700001, 1), (1 << 40, 1)]:
            self.assertEqual(read_at(self.path("big"), offset, length), content[offset:offset + length])
        with open(self.path("big"), "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            self.assertEqual(mapped[:], content)
        copy = os.path.join(self.top, "copy")
        subprocess.run(["cp", "--sparse=always", self.path("sparse"), copy], check=True, timeout=30)
        self.assertTrue(filecmp.cmp(copy, self.source_path("sparse"), shallow=False))

    def test_names_of_every_kind(self):
        names = [b"\xff\xfe not utf-8", "見積書.txt".encode(), "e\u0301.txt".encode(), "é.txt".encode(), b" ", b"-rf",
                 b"new\nline", b"a" * 255, b"trailing.", b"quote'\"", b"%s%n", b"con", b"x.pfile", b"..."]
        for name in names:
            with open(os.path.join(os.fsencode(self.src), name), "wb") as f:
                f.write(name)
        self.mount()
        mnt = os.fsencode(self.mnt)
        self.assertEqual(sorted(os.listdir(mnt)), sorted(names))
        for name in names:
            with open(os.path.join(mnt, name), "rb") as f:
                self.assertEqual(f.read(), name)
        self.assert_errno(errno.ENAMETOOLONG, os.stat, os.path.join(mnt, b"a" * 256))
        self.assert_errno(errno.ENOENT, os.stat, os.path.join(mnt, b"missing"))

    def test_symbolic_links_are_verbatim(self):
        self.put("file", b"content")
        for name, target in [("relative", "file"), ("absolute", "/etc/hostname"), ("dangling", "no/such"),
                             ("up", "../../../../etc/passwd"), ("long", "x" * 4000), ("loop", "loop")]:
            os.symlink(target, self.source_path(name))
        os.symlink("/", self.source_path("root"))
        self.mount()
        for name in os.listdir(self.src):
            if os.path.islink(self.source_path(name)):
                self.assertEqual(os.readlink(self.path(name)), os.readlink(self.source_path(name)))
                self.assertTrue(stat.S_ISLNK(os.lstat(self.path(name)).st_mode))
        self.assertEqual(self.get("relative"), b"content")
        self.assert_errno(errno.ELOOP, os.stat, self.path("loop"))

    def test_hard_links_stay_one_inode(self):
        self.put("a", b"one")
        os.mkdir(self.source_path("d"))
        os.link(self.source_path("a"), self.source_path("d/b"))
        self.mount("-o", "cache=never")
        a, b = os.stat(self.path("a")), os.stat(self.path("d/b"))
        self.assertEqual((a.st_ino, a.st_dev, a.st_nlink), (b.st_ino, b.st_dev, 2))
        # Either name may go; the other still leads to the file.
        os.stat(self.path("d/b"))
        os.unlink(self.source_path("d/b"))
        self.assertEqual(self.get("a"), b"one")

    def test_special_files_are_shown_and_not_opened(self):
        os.mkfifo(self.source_path("fifo"))
        self.put("real")
        self.mount()
        self.assertTrue(stat.S_ISFIFO(os.lstat(self.path("fifo")).st_mode))
        self.assertEqual(sorted(os.listdir(self.mnt)), ["fifo", "real"])
        subprocess.run(["find", self.mnt, "-ls"], check=True, timeout=20, stdout=subprocess.DEVNULL)

    def test_holes_of_a_stub_are_read_as_they_are(self):
        with open(self.source_path("stub.pfile"), "wb") as f:
            f.truncate(1 << 20)
        self.mount()
        self.assertEqual(self.get("stub.pfile"), bytes(1 << 20))
        # Its verdict is "offline": it was not probed.
        self.assertEqual(self.status()["counters"]["probes"], 0)

    def test_xattrs_of_the_source_are_passed(self):
        path = self.put("f", b"x")
        try:
            os.setxattr(path, "user.colour", b"blue")
            os.setxattr(path, "user.tpdfs.verdict", b"forged")
        except OSError as error:
            self.skipTest(f"no user xattrs here: {error}")
        self.mount()
        self.assertEqual(os.listxattr(self.path("f")), ["user.colour"])
        self.assertEqual(os.getxattr(self.path("f"), "user.colour"), b"blue")
        self.assert_errno(errno.ENODATA, os.getxattr, self.path("f"), "user.tpdfs.verdict")
        self.assert_errno(errno.ENODATA, os.getxattr, self.path("f"), "user.none")

    def test_attributes_that_no_file_has_are_not_supported(self):
        """Which ls(1) remembers: it asks the first file only."""
        self.put("f", b"x")
        os.symlink("f", self.source_path("link"))
        self.mount("-o", "acl=ignore")
        for name in ("f", ".", ".tpdfs/version"):
            for attribute in ("security.selinux", "security.capability", "system.posix_acl_access"):
                self.assert_errno(errno.EOPNOTSUPP, os.getxattr, self.path(name), attribute)
            self.assert_errno(errno.ENODATA, os.getxattr, self.path(name), "user.none")
        with self.assertRaises(OSError) as caught:
            os.getxattr(self.path("link"), "security.selinux", follow_symlinks=False)
        self.assertEqual(caught.exception.errno, errno.EOPNOTSUPP)

    def test_absent_access_lists_are_absent(self):
        """Where there could be one, each file is asked."""
        try:
            os.getxattr(self.put("f", b"x"), "system.posix_acl_access")
        except OSError as error:
            if error.errno != errno.ENODATA:
                self.skipTest("no access lists here")
        self.mount()
        self.assert_errno(errno.ENODATA, os.getxattr, self.path("f"), "system.posix_acl_access")


class Permissions(MountTest):
    def test_masks_and_owners_are_remapped(self):
        os.chmod(self.put("d/secret", b"x"), 0o600)
        uid = 1234 if os.getuid() == 0 else os.getuid()
        self.mount("--fmask=0337", "--dmask=0227", "-o", f"uid={uid},gid=4321")
        f, d = os.stat(self.path("d/secret")), os.stat(self.path("d"))
        self.assertEqual((stat.S_IMODE(f.st_mode), f.st_uid, f.st_gid), (0o440, uid, 4321))
        self.assertEqual((stat.S_IMODE(d.st_mode), d.st_uid, d.st_gid), (0o550, uid, 4321))

    def test_nothing_can_be_written(self):
        self.put("f", b"content")
        os.mkdir(self.source_path("d"))
        self.mount()
        f, new = self.path("f"), self.path("new")
        attempts = [
            (os.open, f, os.O_WRONLY), (os.open, f, os.O_RDWR), (os.open, f, os.O_RDONLY | os.O_TRUNC),
            (os.open, new, os.O_WRONLY | os.O_CREAT), (os.truncate, f, 0), (os.unlink, f), (os.mkdir, new),
            (os.rmdir, self.path("d")), (os.symlink, "x", new), (os.link, f, new), (os.rename, f, new),
            (os.chmod, f, 0o777), (os.utime, f), (os.mkfifo, new),
            (os.setxattr, f, "user.a", b"b"), (os.removexattr, f, "user.a"),
        ]
        if os.getuid() == 0:
            attempts.append((os.chown, f, 1, 1))
        for function, *arguments in attempts:
            self.assert_errno(errno.EROFS, function, *arguments)
        self.assertEqual(self.get("f"), b"content")
        self.assertTrue(os.statvfs(self.mnt).f_flag & os.ST_RDONLY)
        self.assertLessEqual({"ro", "nosuid", "nodev"}, mountlib.mount_flags(self.mnt))

    @unittest.skipUnless(os.getuid() == 0, "needs root, to be somebody else")
    def test_nobody_else_gets_in_without_allow_other(self):
        os.chmod(self.top, 0o755)
        os.chmod(self.put("f", b"x"), 0o644)
        self.mount()
        self.assertNotEqual(self.as_nobody("cat", self.path("f")), 0)
        self.unmount()
        self.mount("-o", "allow_other")
        self.assertEqual(self.as_nobody("cat", self.path("f")), 0)
        self.assertNotEqual(self.as_nobody("cat", self.path(".tpdfs/version")), 0)

    @unittest.skipUnless(os.getuid() == 0, "needs root, to be somebody else")
    def test_modes_rule_with_allow_other(self):
        os.chmod(self.top, 0o755)
        os.chmod(self.put("closed", b"x"), 0o600)
        os.chmod(self.put("d/open", b"x"), 0o644)
        os.chmod(self.source_path("d"), 0o700)
        self.mount("-o", "allow_other")
        self.assertNotEqual(self.as_nobody("cat", self.path("closed")), 0)
        self.assertNotEqual(self.as_nobody("cat", self.path("d/open")), 0)

    @unittest.skipUnless(os.getuid() == 0 and shutil.which("setfacl"), "needs root and setfacl")
    def test_access_lists_rule_with_allow_other(self):
        os.chmod(self.top, 0o755)
        os.chmod(self.put("denied", b"x"), 0o644)
        os.chmod(self.put("granted", b"x"), 0o600)
        acl = subprocess.run(["setfacl", "-m", "u:65534:---", self.source_path("denied")], check=False, timeout=10)
        subprocess.run(["setfacl", "-m", "u:65534:r--", self.source_path("granted")], check=False, timeout=10)
        if acl.returncode != 0:
            self.skipTest("no access lists here")
        self.mount("-o", "allow_other")
        self.assertNotEqual(self.as_nobody("cat", self.path("denied")), 0)
        self.assertEqual(self.as_nobody("cat", self.path("granted")), 0)
        self.unmount()
        self.mount("-o", "allow_other,acl=ignore")
        self.assertEqual(self.as_nobody("cat", self.path("denied")), 0)

    def as_nobody(self, *command):
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command], check=False,
                              timeout=20, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


class Change(MountTest):
    def test_file_replaced_while_open(self):
        self.put("f", b"old " * 5000)
        self.mount("-o", "cache=never")
        with open(self.path("f"), "rb", buffering=0) as f:
            first = f.read(4)
            self.put("new", b"new " * 9000)
            os.rename(self.source_path("new"), self.source_path("f"))
            self.assertEqual(first + f.read(), b"old " * 5000)
        self.assertEqual(self.get("f"), b"new " * 9000)

    def test_open_sees_the_file_of_now(self):
        """A look-up in the kernel's cache is not trusted at open."""
        self.put("f", b"short")
        self.mount()
        for i in range(20):
            content = b"x" * random.randrange(1, 20000)
            self.put("f", content)
            self.assertEqual(self.get("f"), content, i)

    def test_file_that_grows_all_the_time_can_be_opened(self):
        path = self.put("log", b"begin\n")
        self.mount()
        stop = threading.Event()

        def grow():
            with open(path, "ab", buffering=0) as f:
                while not stop.is_set():
                    f.write(b"line\n")

        writer = threading.Thread(target=grow)
        writer.start()
        try:
            for _ in range(200):
                self.assertTrue(self.get("log").startswith(b"begin\n"))
        finally:
            stop.set()
            writer.join()

    def test_unlinked_while_open(self):
        self.put("f", b"still here")
        self.mount("-o", "cache=never")
        with open(self.path("f"), "rb", buffering=0) as f:
            os.unlink(self.source_path("f"))
            self.assertEqual(os.fstat(f.fileno()).st_size, 10)
            self.assertEqual(f.read(), b"still here")
        self.assert_errno(errno.ENOENT, os.stat, self.path("f"))

    def test_directories_renamed_underneath(self):
        self.put("a/b/f", b"1")
        self.mount("-o", "cache=never")
        fd = os.open(self.path("a/b"), os.O_RDONLY)
        os.rename(self.source_path("a/b"), self.source_path("b"))
        os.rename(self.source_path("a"), self.source_path("b/a"))
        self.put("b/a/g", b"2")
        self.assertEqual(self.get("b/f"), b"1")
        self.assertEqual(self.get("b/a/g"), b"2")
        self.assertEqual(sorted(os.listdir(fd)), ["a", "f"])
        os.close(fd)

    def test_inode_number_used_again(self):
        self.mount("-o", "cache=never")
        for i in range(50):
            self.put("x", b"%d" % i)
            self.assertEqual(self.get("x"), b"%d" % i)
            os.unlink(self.source_path("x"))
            os.mkdir(self.source_path("x"))
            self.assertEqual(os.listdir(self.path("x")), [])
            os.rmdir(self.source_path("x"))


class Directories(MountTest):
    def test_twenty_thousand_entries(self):
        self.many_files()
        for i in range(20000):
            os.close(os.open(self.source_path(f"file {i:05}"), os.O_CREAT | os.O_WRONLY))
        self.mount()
        self.assertEqual(sorted(os.listdir(self.mnt)), [f"file {i:05}" for i in range(20000)])
        found = subprocess.run(["find", self.mnt, "-type", "f", "-size", "0"], check=True, timeout=60,
                               stdout=subprocess.PIPE)
        self.assertEqual(found.stdout.count(b"\n"), 20000)

    def test_rewind_and_seek(self):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.opendir.restype = ctypes.c_void_p
        libc.readdir.restype = ctypes.c_void_p
        libc.telldir.restype = ctypes.c_long
        for name in ("opendir", "readdir", "telldir", "rewinddir", "closedir"):
            getattr(libc, name).argtypes = [ctypes.c_char_p if name == "opendir" else ctypes.c_void_p]
        libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]

        def next_name(directory):
            entry = libc.readdir(directory)
            return ctypes.string_at(entry + 19) if entry else None

        for i in range(500):
            self.put(f"n{i}")
        self.mount()
        directory = libc.opendir(os.fsencode(self.mnt))
        places, names = [], []
        while True:
            places.append(libc.telldir(directory))
            names.append(next_name(directory))
            if names[-1] is None:
                break
        self.assertEqual(len(set(names)), 503)
        for i in (250, 3, 499, 0, 502, 17):
            libc.seekdir(directory, places[i])
            self.assertEqual(next_name(directory), names[i])
        self.put("late")
        libc.rewinddir(directory)
        again = []
        while (name := next_name(directory)) is not None:
            again.append(name)
        self.assertEqual(set(again), set(names) - {None} | {b"late"})
        # A place that never was: no entry, no harm.
        libc.seekdir(directory, 1 << 60)
        self.assertIsNone(next_name(directory))
        libc.closedir(directory)

    def test_snapshots_are_not_listed(self):
        for name in (".snapshot", "~snapshot", ".zfs"):
            self.put(f"{name}/f", b"x")
        self.put("other/.snapshot", b"a file")
        self.mount()
        self.assertEqual(os.listdir(self.mnt), ["other"])
        self.assertEqual(os.listdir(self.path("other")), [".snapshot"])
        self.assertEqual(self.get(".snapshot/f"), b"x")
        self.unmount()
        self.mount("--snapshots")
        self.assertEqual(len(os.listdir(self.mnt)), 4)

    def test_deep_tree(self):
        at = self.source_path()
        fd = os.open(at, os.O_RDONLY)
        for _ in range(60):
            os.mkdir("d" * 200, dir_fd=fd)
            child = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = child
        with open(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=fd), "wb") as f:
            f.write(b"deep")
        os.close(fd)
        self.mount()
        fd = os.open(self.mnt, os.O_RDONLY)
        for _ in range(60):
            child = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = child
        with open(os.open("end", os.O_RDONLY, dir_fd=fd), "rb") as f:
            self.assertEqual(f.read(), b"deep")
        os.close(fd)

    def test_status_directory(self):
        self.put(".tpdfs", b"of the source")
        self.mount()
        self.assertEqual(os.listdir(self.mnt), [".tpdfs~source"])
        self.assertEqual(self.get(".tpdfs~source"), b"of the source")
        self.assertEqual(sorted(os.listdir(self.path(".tpdfs"))), ["status.json", "unreadable.jsonl", "version"])
        self.assertEqual(stat.S_IMODE(os.stat(self.path(".tpdfs")).st_mode), 0o500)
        self.assertEqual(self.status()["source"], self.src)
        self.assertEqual(self.get(".tpdfs/unreadable.jsonl"), b"")


class Load(MountTest):
    def test_concurrent_reads(self):
        rnd = random.Random(3)
        contents = [rnd.randbytes(rnd.randrange(1, 600000)) for _ in range(12)]
        for i, content in enumerate(contents):
            self.put(f"f{i}", content)
        self.mount()
        errors = []

        def reader(seed):
            rnd = random.Random(seed)
            try:
                for _ in range(150):
                    i = rnd.randrange(len(contents))
                    offset = rnd.randrange(len(contents[i]))
                    length = rnd.randrange(1, 200000)
                    if read_at(self.path(f"f{i}"), offset, length) != contents[i][offset:offset + length]:
                        errors.append((i, offset, length))
            except OSError as error:
                errors.append(error)

        threads = [threading.Thread(target=reader, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])

    def test_five_hundred_open_files_with_a_thousand_descriptors(self):
        self.many_files()
        for i in range(500):
            self.put(f"d{i}/f", b"%d" % i)
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
        self.mount(preexec_fn=limit)
        files = [open(self.path(f"d{i}/f"), "rb") for i in range(500)]
        for i, f in enumerate(files):
            self.assertEqual(f.read(), b"%d" % i)
            f.close()

    def test_many_directories_with_few_descriptors(self):
        for i in range(300):
            self.put(f"d{i}/e/f", b"%d" % i)
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        self.mount("-o", "cache=never", preexec_fn=limit)
        for i in range(300):
            self.assertEqual(self.get(f"d{i}/e/f"), b"%d" % i)


class Life(MountTest):
    def test_fusermount_ends_the_daemon(self):
        self.mount()
        self.unmount()
        self.assertFalse(is_mounted(self.mnt))

    def test_closed_standard_streams(self):
        self.put("f", b"content")
        for closed in ((0,), (2,), (0, 1), (0, 1, 2)):
            command = [mountlib.TPDFS, self.src, self.mnt]
            close = lambda: [os.close(fd) for fd in closed]
            self.assertEqual(subprocess.run(command, preexec_fn=close, check=False, timeout=20).returncode, 0)
            self.pid = self.status()["pid"]
            self.assertEqual(self.get("f"), b"content")
            self.unmount()

    @unittest.skipUnless(os.getuid() == 0, "umount(8) is root's")
    def test_umount_ends_the_daemon(self):
        self.mount()
        subprocess.run(["umount", self.mnt], check=True, timeout=20)
        self.assertTrue(wait_until(lambda: not is_running(self.pid)))

    def test_signals_unmount(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.mount_in_foreground()
            self.process.send_signal(number)
            self.assertEqual(self.process.wait(timeout=20), 0)
            self.process.stderr.close()
            self.assertFalse(is_mounted(self.mnt))

    def test_signal_right_after_the_start(self):
        for _ in range(10):
            self.mount()
            os.kill(self.pid, signal.SIGTERM)
            self.assertTrue(wait_until(lambda: not is_running(self.pid)))
            self.assertFalse(is_mounted(self.mnt))

    def test_signal_with_open_files(self):
        self.put("f", b"x" * 100000)
        self.mount()
        with open(self.path("f"), "rb", buffering=0) as f:
            f.read(10)
            os.kill(self.pid, signal.SIGTERM)
            self.assertTrue(wait_until(lambda: not is_running(self.pid)))
        self.assertTrue(wait_until(lambda: not is_mounted(self.mnt)))

    def test_counters_on_request(self):
        self.put("f", b"x")
        self.mount_in_foreground()
        self.get("f")
        os.kill(self.pid, signal.SIGUSR1)
        time.sleep(0.3)
        self.assertIn("opens_plain=1", self.unmount())

    def test_launcher_lets_go_of_its_output(self):
        """Whoever reads the launcher's output sees its end while the mount lives."""
        self.mount()
        self.assertTrue(is_running(self.pid))

    def test_relative_paths_and_commas(self):
        self.src = os.path.join(self.top, "a,b\\c")
        os.mkdir(self.src)
        self.put("f", b"x")
        result = self.run_tpdfs("a,b\\c", "mnt", cwd=self.top)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.get("f"), b"x")
        self.pid = self.status()["pid"]

    def test_places_that_cannot_be(self):
        os.makedirs(self.source_path("inside"))
        self.put("file")
        os.symlink(self.src, os.path.join(self.top, "alias"))
        cases = [
            (self.src, self.source_path("inside"), "lies in the source"),
            (self.src, os.path.join(self.top, "alias", "inside"), "lies in the source"),
            (self.src, self.src, "lies in the source"),
            (self.source_path("inside"), self.src, "lies in the mount point"),
            (self.src, self.source_path("file"), "not a directory"),
            (self.source_path("file"), self.mnt, "not a directory"),
            (self.src, os.path.join(self.top, "missing"), "No such file"),
            (os.path.join(self.top, "missing"), self.mnt, "No such file"),
        ]
        for source, mountpoint, message in cases:
            result = self.run_tpdfs(source, mountpoint)
            self.assertEqual(result.returncode, 1, (source, mountpoint))
            self.assertIn(message, result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)

    def test_usage_is_two(self):
        for arguments in ([], [self.src], ["-o", "bogus", self.src, self.mnt], ["-o", "audit=on", self.src, self.mnt]):
            self.assertEqual(self.run_tpdfs(*arguments).returncode, 2)
        self.assertFalse(is_mounted(self.mnt))
        for word in ("--help", "--version"):
            result = self.run_tpdfs(word)
            self.assertEqual(result.returncode, 0)
            self.assertIn("tpdfs", result.stdout)

    def test_key_that_cannot_be_used_is_three(self):
        not_a_key = self.put("not-a-key", b"nothing of the kind")
        os.chmod(not_a_key, 0o600)
        for key in (not_a_key, os.path.join(self.top, "missing")):
            result = self.run_tpdfs("--key", key, self.src, self.mnt)
            self.assertEqual(result.returncode, 3)
            self.assertIn(key, result.stderr)
            self.assertFalse(is_mounted(self.mnt))

    @unittest.skipUnless(os.getuid() == 0, "needs root, to be somebody else")
    def test_ordinary_user(self):
        """Through fusermount3, where /dev/fuse lets users in."""
        if not os.stat("/dev/fuse").st_mode & stat.S_IWOTH:
            self.skipTest("/dev/fuse is closed to users here")
        self.put("f", b"x")
        os.chmod(self.top, 0o755)
        os.chown(self.mnt, 65534, 65534)
        user = ["env", "XDG_CONFIG_HOME=/nowhere", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        subprocess.run([*user, mountlib.TPDFS, self.src, self.mnt], check=True, timeout=20)
        subprocess.run([*user, "cat", self.path("f")], check=True, timeout=20)
        subprocess.run([*user, "fusermount3", "-u", self.mnt], check=True, timeout=20)


if __name__ == "__main__":
    mountlib.main()
