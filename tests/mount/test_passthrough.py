# SPDX-License-Identifier: Apache-2.0
"""Kernel passthrough through real mounts: that it is there, that what is read
is right whatever happens underneath, and that a mount does without."""

import concurrent.futures
import contextlib
import errno
import hashlib
import json
import mmap
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import harness

ALWAYS = ["-o", "passthrough=always"]
LARGE = 1 << 20
KEYS = harness.key_arguments()


def why_not():
    """Why this machine cannot have it, None if it must."""
    version = subprocess.run([harness.TPDFS, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(int(n) for n in re.search(r"libfuse (\d+)\.(\d+)", version).groups()) < (3, 17):
        return "built with libfuse before 3.17"
    if tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", os.uname().release).groups()) < (6, 9):
        return "a kernel before 6.9"
    if os.geteuid() != 0:
        return "not root"
    return None


def status(mount):
    with open(mount(".tpdfs", "status.json"), encoding="utf-8") as f:
        return json.load(f)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def content(seed, size=LARGE):
    return hashlib.shake_128(str(seed).encode()).digest(size)


def settles(condition, seconds=5):
    """RELEASE comes some time after close(2)."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


class Passthrough(harness.Scratch):
    def mounted(self, *words, source=None, **more):
        mount = harness.Mount(source or self.dir, KEYS + list(words), **more)
        mount.__enter__()
        self.addCleanup(mount.stop)
        return mount

    def assertByKernel(self, mount, opens):
        """Nothing was read through the mount."""
        counters = status(mount)["counters"]
        self.assertEqual(counters["opens_passthrough"], opens)
        self.assertEqual((counters["reads"], counters["bytes_plain"], counters["bytes_decrypted"]), (0, 0, 0))

    def entry(self, kind, nth=0, where=lambda e: True):
        return [e for e in harness.manifest() if e["kind"] == kind and e["open"] and where(e)][nth]

    def put_fixture(self, name, entry):
        """In place: the inode stays the same."""
        with open(os.path.join(self.dir, name), "wb") as f:
            f.write(read(os.path.join(harness.FIXTURES, "share", entry["path"])))

    def by_tool(self, name):
        command = [harness.TPD, "cat", *KEYS, os.path.join(self.dir, name)]
        return subprocess.run(command, capture_output=True, check=True).stdout

    # --- that it is there ----------------------------------------------------

    def test_plain_files_are_read_by_the_kernel(self):
        self.write("large", content(1))
        mount = self.mounted()
        state = status(mount)["passthrough"]
        self.assertEqual(state["state"], "active")
        self.assertIsNone(state["why"])
        self.assertTrue(os.path.exists(f"/proc/{state['broker_pid']}"))
        with open(mount("large"), "rb") as f:
            self.assertEqual(f.read(), content(1))
            self.assertEqual(status(mount)["passthrough"]["files"], 1)
            with open(mount("large"), "rb") as g:
                self.assertEqual(g.read(10), content(1)[:10])
                self.assertEqual(status(mount)["passthrough"]["files"], 1)
        self.assertByKernel(mount, 2)
        self.assertTrue(settles(lambda: status(mount)["passthrough"]["files"] == 0))

    def test_decoded_documents_are_read_by_the_kernel(self):
        entries = [e for e in harness.manifest() if e["kind"] in ("pdf-v1", "pdf-v2", "pdf-payload", "eml", "msg") and e["open"]]
        for i, entry in enumerate(entries):
            self.put_fixture(f"{i}.{entry['path'].rsplit('.', 1)[1]}", entry)
        mount = self.mounted(*ALWAYS, "--names=source")
        for name in os.listdir(self.dir):
            self.assertEqual(read(mount(name)), self.by_tool(name), name)
        self.assertByKernel(mount, len(entries))
        self.assertGreater(len(entries), 10)

    def test_protected_files_with_random_access_are_not(self):
        entry = self.entry("pfile", where=lambda e: e["compare"] == "bytes")
        self.put_fixture("x.pfile", entry)
        mount = self.mounted(*ALWAYS, "--names=source")
        self.assertEqual(harness.sha256_file(mount("x.pfile")), entry["plain_sha256"])
        counters = status(mount)["counters"]
        self.assertEqual(counters["opens_passthrough"], 0)
        self.assertEqual(counters["bytes_decrypted"], entry["plain_size"])

    def test_small_files_go_through_the_mount_unless_told(self):
        self.write("small", "text")
        self.write("large", content(2))
        for words, opens in ((["-o", "passthrough=auto"], 1), (ALWAYS, 2)):
            mount = self.mounted(*words)
            self.assertEqual((read(mount("small")), read(mount("large"))), (b"text", content(2)))
            self.assertEqual(status(mount)["counters"]["opens_passthrough"], opens)

    def test_off_is_off(self):
        self.write("large", content(3))
        mount = self.mounted("-o", "passthrough=off")
        self.assertEqual(read(mount("large")), content(3))
        state = status(mount)
        self.assertEqual(state["passthrough"]["state"], "off")
        self.assertEqual(state["passthrough"]["broker_pid"], 0)
        self.assertEqual(state["counters"]["opens_passthrough"], 0)
        self.assertEqual(state["counters"]["bytes_plain"], LARGE)

    def test_files_of_others_that_root_may_read(self):
        path = self.write("private", content(4))
        os.chmod(path, 0o600)
        os.chown(path, 65534, 65534)
        mount = self.mounted()
        self.assertEqual(read(mount("private")), content(4))
        self.assertByKernel(mount, 1)

    # --- ways of reading -----------------------------------------------------

    def test_every_way_of_reading_gives_the_same_bytes(self):
        data = content(5, 3 * LARGE + 1234)
        self.write("f", data)
        mount = self.mounted()
        fd = os.open(mount("f"), os.O_RDONLY)
        self.addCleanup(os.close, fd)
        for off, n in ((0, 1), (4095, 2), (LARGE - 1, LARGE + 2), (len(data) - 5, 100), (len(data), 10), (len(data) + 9999, 10)):
            self.assertEqual(os.pread(fd, n, off), data[off : off + n])
        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as whole:
            self.assertEqual(whole[:], data)
        with mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE) as private:
            private[0:4] = b"mine"
            self.assertEqual(private[4:], data[4:])
        self.assertEqual(os.pread(fd, 4, 0), data[:4])
        with open(os.path.join(self.dir, "../" + os.path.basename(self.dir) + ".copy"), "w+b") as copy:
            self.addCleanup(os.unlink, copy.name)
            os.lseek(fd, 0, os.SEEK_SET)
            while os.sendfile(copy.fileno(), fd, None, LARGE):
                pass
            copy.seek(0)
            self.assertEqual(copy.read(), data)
        self.assertEqual(os.lseek(fd, 0, os.SEEK_END), len(data))
        self.assertEqual(os.lseek(fd, 0, os.SEEK_DATA), 0)
        self.assertEqual(os.lseek(fd, 0, os.SEEK_HOLE), len(data))
        self.assertByKernel(mount, 1)

    def test_direct_reads(self):
        data = content(6, 2 * LARGE)
        self.write("f", data)
        mount = self.mounted()
        fd = os.open(mount("f"), os.O_RDONLY | os.O_DIRECT)
        self.addCleanup(os.close, fd)
        buffer = mmap.mmap(-1, LARGE)
        self.assertEqual(os.preadv(fd, [buffer], LARGE), LARGE)
        self.assertEqual(buffer[:], data[LARGE:])
        self.assertByKernel(mount, 1)

    def test_programs_run(self):
        shutil.copy("/bin/sh", os.path.join(self.dir, "shell"))
        os.chmod(self.write("script", "#!/bin/sh\necho script"), 0o755)
        mount = self.mounted(*ALWAYS)
        self.assertEqual(subprocess.run([mount("script")], capture_output=True, check=True).stdout, b"script\n")
        done = subprocess.run([mount("shell"), "-c", "echo shell"], capture_output=True, check=True)
        self.assertEqual(done.stdout, b"shell\n")
        self.assertGreater(status(mount)["counters"]["opens_passthrough"], 1)
        self.assertEqual(status(mount)["counters"]["reads"], 0)

    def test_writing_is_refused_as_ever(self):
        self.write("f", content(7))
        mount = self.mounted()
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
            self.assertErrno(errno.EROFS, os.open, mount("f"), flags)
        fd = os.open(mount("f"), os.O_RDONLY)
        self.addCleanup(os.close, fd)
        self.assertErrno(errno.EBADF, os.write, fd, b"x")
        self.assertErrno((errno.EACCES, errno.EPERM), mmap.mmap, fd, 0, mmap.MAP_SHARED, mmap.PROT_WRITE)
        self.assertEqual(read(os.path.join(self.dir, "f")), content(7))

    # --- one way at a time ---------------------------------------------------

    def test_hard_links_share_what_is_registered(self):
        os.link(self.write("a", content(8)), os.path.join(self.dir, "b"))
        mount = self.mounted()
        with open(mount("a"), "rb") as a, open(mount("b"), "rb") as b:
            self.assertEqual(status(mount)["passthrough"]["files"], 1)
            self.assertEqual((a.read(), b.read()), (content(8), content(8)))
        self.assertByKernel(mount, 2)

    def test_many_openers_at_once_never_meet_in_two_ways(self):
        """Opening, reading, mapping and closing a few files over and over: the
        first and the last opener change all the time."""
        names = [f"f{i}" for i in range(3)]
        for name in names:
            self.write(name, content(name))
        entry = self.entry("pdf-v2")
        self.put_fixture("x.pdf", entry)
        names.append("x.pdf")
        mount = self.mounted(*ALWAYS)
        expected = {name: read(mount(name)) for name in names}
        stop = time.monotonic() + 4

        def hammer(seed):
            rounds = 0
            while time.monotonic() < stop:
                name = names[(seed + rounds) % len(names)]
                fd = os.open(mount(name), os.O_RDONLY)
                try:
                    if rounds % 3 == 0:
                        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as mapped:
                            os.close(fd)
                            fd = -1
                            good = mapped[-100:] == expected[name][-100:]
                    else:
                        good = os.pread(fd, 4096, 8192) == expected[name][8192:12288]
                finally:
                    if fd >= 0:
                        os.close(fd)
                if not good:
                    raise AssertionError(name)
                rounds += 1
            return rounds

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertGreater(sum(pool.map(hammer, range(8))), 200)
        self.assertByKernel(mount, status(mount)["counters"]["opens_protected"] + status(mount)["counters"]["opens_plain"])
        self.assertTrue(settles(lambda: status(mount)["passthrough"]["files"] == 0))
        self.assertEqual(status(mount)["passthrough"]["refused"], 0)

    def test_a_small_file_that_grows_while_open_stays_in_its_way(self):
        path = self.write("log", "begin\n")
        mount = self.mounted("-o", "passthrough=auto")
        with open(mount("log"), "rb") as first:
            self.assertEqual(first.read(), b"begin\n")
            with open(path, "ab") as f:
                f.write(content(9))
            self.assertEqual(read(mount("log")), b"begin\n" + content(9))
            self.assertEqual(status(mount)["counters"]["opens_passthrough"], 0)
        self.assertTrue(settles(lambda: read(mount("log")) and status(mount)["counters"]["opens_passthrough"] > 0))
        self.assertEqual(read(mount("log")), b"begin\n" + content(9))

    # --- change underneath ---------------------------------------------------

    def test_a_file_that_grows_is_seen_to_grow(self):
        path = self.write("log", content(10))
        mount = self.mounted()
        with open(mount("log"), "rb") as f, open(path, "ab", buffering=0) as log:
            self.assertEqual(f.read(), content(10))
            for i in range(3):
                log.write(b"line %d\n" % i)
                self.assertEqual(f.read(), b"line %d\n" % i)
            time.sleep(1.1)
            self.assertEqual(os.fstat(f.fileno()).st_size, os.stat(path).st_size)

    def test_a_file_that_is_cut_ends_there(self):
        path = self.write("f", content(11))
        mount = self.mounted()
        with open(mount("f"), "rb", buffering=0) as f:
            self.assertEqual(f.read(10), content(11)[:10])
            os.truncate(path, 4096)
            self.assertEqual(os.pread(f.fileno(), 10000, 4000), content(11)[4000:4096])
            self.assertEqual(os.pread(f.fileno(), 10, LARGE - 10), b"")
        time.sleep(1.1)
        self.assertEqual(read(mount("f")), content(11)[:4096])

    def test_a_replaced_file_is_another_one(self):
        path = self.write("f", content(12))
        mount = self.mounted()
        with open(mount("f"), "rb") as old:
            self.assertEqual(old.read(100), content(12)[:100])
            os.rename(self.write("new", content(13)), path)
            time.sleep(1.1)
            self.assertEqual(read(mount("f")), content(13))
            self.assertEqual(old.read(), content(12)[100:])
            self.assertEqual(status(mount)["passthrough"]["files"], 1)

    def test_an_unlinked_file_is_read_to_its_end(self):
        path = self.write("f", content(14))
        mount = self.mounted()
        with open(mount("f"), "rb") as f:
            os.unlink(path)
            time.sleep(1.1)
            self.assertFalse(os.path.exists(mount("f")))
            self.assertEqual(f.read(), content(14))
            st = os.fstat(f.fileno())
            self.assertEqual((st.st_size, st.st_nlink), (LARGE, 0))

    def test_plain_becomes_protected_while_open(self):
        entry = self.entry("pfile", where=lambda e: e["compare"] == "bytes" and e["plain_size"] > 5000)
        path = self.write("x.dat", content(15))
        mount = self.mounted(*ALWAYS)
        with open(mount("x.dat"), "rb", buffering=0) as old:
            self.assertEqual(old.read(10), content(15)[:10])
            inode = os.stat(path).st_ino
            self.put_fixture("x.dat", entry)
            self.assertEqual(os.stat(path).st_ino, inode)
            time.sleep(1.1)
            for _ in range(3):
                self.assertEqual(harness.sha256_file(mount("x.dat")), entry["plain_sha256"])
            self.assertEqual(os.stat(mount("x.dat")).st_size, entry["plain_size"])
            # As natively: the bytes of the file, whatever they are now.
            self.assertEqual(os.pread(old.fileno(), 1 << 22, 0), read(path))
            self.assertEqual(harness.sha256_file(mount("x.dat")), entry["plain_sha256"])
        self.assertEqual(harness.sha256_file(mount("x.dat")), entry["plain_sha256"])

    def test_protected_becomes_plain_while_open(self):
        entry = self.entry("pfile", where=lambda e: e["compare"] == "bytes" and e["plain_size"] > 5000)
        self.put_fixture("x.dat", entry)
        mount = self.mounted(*ALWAYS)
        with open(mount("x.dat"), "rb", buffering=0) as old:
            old.read(10)
            self.write("x.dat", content(16))
            time.sleep(1.1)
            self.assertEqual(read(mount("x.dat")), content(16))
            self.assertEqual(os.stat(mount("x.dat")).st_size, LARGE)
        self.assertTrue(settles(lambda: read(mount("x.dat")) == content(16)))

    def test_a_decoded_document_that_changes_while_open_stays_whole(self):
        first, second = self.entry("pdf-v2", 0), self.entry("pdf-v2", 1)
        self.put_fixture("x.pdf", first)
        mount = self.mounted(*ALWAYS)
        old_plain = self.by_tool("x.pdf")
        with open(mount("x.pdf"), "rb", buffering=0) as old:
            self.assertEqual(old.read(100), old_plain[:100])
            self.put_fixture("x.pdf", second)
            new_plain = self.by_tool("x.pdf")
            self.assertNotEqual(old_plain, new_plain)
            time.sleep(1.1)
            for _ in range(3):
                self.assertEqual(os.stat(mount("x.pdf")).st_size, len(new_plain))
                self.assertEqual(read(mount("x.pdf")), new_plain)
                self.assertEqual(os.fstat(old.fileno()).st_size, len(old_plain))
                self.assertEqual(os.pread(old.fileno(), 1 << 22, 0), old_plain)
                time.sleep(0.5)
        self.assertEqual(read(mount("x.pdf")), new_plain)
        self.assertEqual(status(mount)["counters"]["reads"], 0)
        # Its way back.
        self.put_fixture("x.pdf", first)
        time.sleep(1.1)
        self.assertEqual(read(mount("x.pdf")), old_plain)

    # --- limits --------------------------------------------------------------

    def test_more_open_files_than_descriptors(self):
        n = 600
        for i in range(n):
            self.write(f"f{i}", b"%d" % i)
        command = ["prlimit", "--nofile=256:256", harness.TPDFS]
        real, harness.TPDFS = harness.TPDFS, os.path.join(self.dir, "../" + os.path.basename(self.dir) + ".sh")
        self.addCleanup(os.unlink, harness.TPDFS)
        with open(harness.TPDFS, "w", encoding="utf-8") as script:
            script.write(f'#!/bin/sh\nexec {" ".join(command[:2])} {real} "$@"\n')
        os.chmod(harness.TPDFS, 0o755)
        try:
            mount = self.mounted(*ALWAYS)
        finally:
            harness.TPDFS = real
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(mount(f"f{i}"), "rb", buffering=0)) for i in range(n)]
            state = status(mount)
            self.assertEqual(state["passthrough"]["files"], n)
            self.assertLess(len(os.listdir(f"/proc/{mount.process.pid}/fd")), 256)
            for i, f in enumerate(files):
                self.assertEqual(f.read(), b"%d" % i)
            for i in (0, n - 1):
                os.unlink(os.path.join(self.dir, f"f{i}"))
            time.sleep(1.1)
            for i in (0, n - 1):
                self.assertEqual(os.fstat(files[i].fileno()).st_size, len(b"%d" % i))
                self.assertEqual(os.pread(files[i].fileno(), 10, 0), b"%d" % i)
        self.assertByKernel(mount, n)
        self.assertTrue(settles(lambda: status(mount)["passthrough"]["files"] == 0))

    def mount_beneath(self, words, name):
        point = os.path.join(self.dir, name)
        os.makedirs(point, exist_ok=True)
        done = subprocess.run(["mount", *words, point], capture_output=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"cannot mount: {done.stderr}")
        self.addCleanup(subprocess.run, ["umount", "-l", point], check=False)
        return point

    def test_file_systems_beneath_the_source(self):
        self.mount_beneath(["-t", "tmpfs", "none"], "before")
        self.write("before/f", content(18))
        mount = self.mounted()
        self.assertEqual(read(mount("before/f")), content(18))
        self.assertByKernel(mount, 1)
        # The broker was told what there was at the start; this is read all the same.
        self.mount_beneath(["-t", "tmpfs", "none"], "after")
        self.write("after/f", content(19))
        time.sleep(1.1)
        self.assertEqual(read(mount("after/f")), content(19))
        state = status(mount)
        self.assertEqual(state["counters"]["opens_passthrough"], 1)
        self.assertEqual(state["passthrough"]["refused"], 1)
        self.assertEqual(state["passthrough"]["state"], "active")

    def test_kernel_interfaces_beneath_the_source_are_read_through_the_mount(self):
        self.mount_beneath(["-t", "proc", "none"], "proc")
        mount = self.mounted(*ALWAYS)
        read(mount("proc/version"))
        state = status(mount)
        self.assertEqual(state["counters"]["opens_passthrough"], 0)
        self.assertEqual(state["passthrough"]["refused"], 1)

    def test_source_on_overlayfs(self):
        for name in ("lower", "upper", "work"):
            os.mkdir(os.path.join(self.dir, name))
        self.write("lower/f", content(20))
        options = ",".join(f"{w}dir={self.dir}/{w}" for w in ("lower", "upper", "work"))
        source = self.mount_beneath(["-t", "overlay", "-o", options, "none"], "merged")
        self.write("merged/g", content(21))
        mount = self.mounted(source=source)
        self.assertEqual((read(mount("f")), read(mount("g"))), (content(20), content(21)))
        self.assertByKernel(mount, 2)

    def test_overlayfs_on_top(self):
        for name in ("source", "upper", "work"):
            os.mkdir(os.path.join(self.dir, name))
        self.write("source/f", content(22))
        mount = self.mounted(source=os.path.join(self.dir, "source"))
        options = f"lowerdir={mount.path},upperdir={self.dir}/upper,workdir={self.dir}/work"
        point = self.mount_beneath(["-t", "overlay", "-o", options, "none"], "merged")
        self.assertEqual(read(os.path.join(point, "f")), content(22))

    # --- without the broker --------------------------------------------------

    def test_death_of_the_broker_slows_down_and_breaks_nothing(self):
        self.write("a", content(23))
        self.write("b", content(24))
        mount = self.mounted()
        with open(mount("a"), "rb") as a:
            self.assertEqual(a.read(100), content(23)[:100])
            os.kill(status(mount)["passthrough"]["broker_pid"], signal.SIGKILL)
            self.assertEqual(a.read(), content(23)[100:])
            self.assertEqual(read(mount("a")), content(23))
            self.assertEqual(read(mount("b")), content(24))
        state = status(mount)
        self.assertEqual(state["passthrough"]["state"], "unavailable")
        self.assertIn("ended", state["passthrough"]["why"])
        self.assertEqual(read(mount("a")), content(23))
        self.assertEqual(mount.log().count("registers files"), 1)
        self.assertEqual(mount.unmount(), 0)

    def test_root_of_a_container_does_without(self):
        """He may mount, but not register files; that shows at the first one."""
        point = os.path.join(self.dir, "point")
        source = os.path.dirname(self.write("source/f", content(27)))
        os.mkdir(point)
        script = '"$1" -o passthrough=always "$2" "$3" && cat "$3/f" "$3/f" && cat "$3/.tpdfs/status.json"; umount "$3"'
        command = ["unshare", "-Urm", "sh", "-c", script, "sh", harness.TPDFS, source, point]
        done = subprocess.run(command, capture_output=True, timeout=harness.TIMEOUT, check=False)
        if b"unshare" in done.stderr:
            self.skipTest(f"no user namespace: {done.stderr}")
        self.assertEqual(done.stdout[: 2 * LARGE], content(27) * 2, done.stderr)
        state = json.loads(done.stdout[2 * LARGE :])
        self.assertEqual((state["passthrough"]["state"], state["passthrough"]["broker_pid"]), ("unavailable", 0))
        self.assertIn("root", state["passthrough"]["why"])
        self.assertEqual(state["passthrough"]["refused"], 1)

    def test_the_broker_goes_with_the_mount(self):
        self.write("f", content(25))
        for how in ("unmounted", "killed"):
            with self.subTest(how):
                mount = self.mounted()
                self.assertEqual(read(mount("f")), content(25))
                pid = status(mount)["passthrough"]["broker_pid"]
                if how == "unmounted":
                    self.assertEqual(mount.unmount(), 0)
                else:
                    mount.process.kill()
                    mount.process.wait()
                    self.assertTrue(settles(lambda: says_it_is_over(mount.path)))
                self.assertTrue(settles(lambda: not is_running(pid)))

    def test_a_daemon_has_it_too(self):
        self.write("f", content(26))
        mount = self.mounted(foreground=False)
        self.assertEqual(read(mount("f")), content(26))
        self.assertByKernel(mount, 1)


def says_it_is_over(path):
    try:
        os.stat(path)
    except OSError as e:
        return e.errno == errno.ENOTCONN
    return False


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    reason = why_not()
    if reason is not None:
        sys.stderr.write(f"no passthrough to be had here ({reason}): skipped\n")
        sys.exit(77)
    harness.main()
