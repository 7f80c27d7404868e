# SPDX-License-Identifier: Apache-2.0
"""Plain files of every size, read through the mount in every manner: large
requests are answered by a pipe, small ones by a copy, and nobody can tell."""

import concurrent.futures
import contextlib
import hashlib
import json
import mmap
import os
import random
import shutil
import signal
import tempfile

import harness
from gate import GatedMount, wait_until

KIB = 1024
# Around the pages, the smallest answer by a pipe, the largest request, and more.
SIZES = sorted({max(0, base + more) for base in (0, 4 * KIB, 64 * KIB, 128 * KIB, 960 * KIB, 1024 * KIB, 3072 * KIB)
                for more in (-4097, -1, 0, 1, 4096, 5000)})


def content(size):
    return hashlib.shake_128(str(size).encode()).digest(size)


def read(path):
    with open(path, "rb", buffering=0) as f:
        return f.readall()


def counters(mount):
    with open(mount(".tpdfs", "status.json"), encoding="utf-8") as f:
        return json.load(f)["counters"]


class Reading(harness.Scratch):
    def mounted(self, *words, source=None):
        mount = harness.Mount(source or self.dir, ["-o", "passthrough=off", *words])
        mount.__enter__()
        self.addCleanup(mount.stop)
        return mount

    def test_every_size(self):
        for size in SIZES:
            self.write(f"{size}", content(size))
        mount = self.mounted()
        for size in SIZES:
            before = counters(mount)["bytes_plain"]
            self.assertEqual(read(mount(f"{size}")), content(size), size)
            self.assertEqual(counters(mount)["bytes_plain"] - before, size, size)

    def test_every_manner(self):
        size = 5 * 1024 * KIB + 1234
        data = content(size)
        self.write("f", data)
        mount = self.mounted("-o", "cache=never")
        chance = random.Random(1)

        def some(seed):
            with open(mount("f"), "rb", buffering=0) as f:
                pieces = random.Random(seed)
                for _ in range(40):
                    off, n = pieces.randrange(size), pieces.randrange(1, 1200 * KIB)
                    self.assertEqual(os.pread(f.fileno(), n, off), data[off:off + n])

        some(chance.random())
        with open(mount("f"), "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as whole:
            self.assertEqual(whole[:], data)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(some, i) for i in range(16)]:
                done.result()
        fd = os.open(mount("f"), os.O_RDONLY | os.O_DIRECT)
        self.addCleanup(os.close, fd)
        buffer = mmap.mmap(-1, 1024 * KIB)
        got = os.preadv(fd, [buffer], 1024 * KIB)
        self.assertEqual(buffer[:got], data[1024 * KIB:1024 * KIB + got])
        self.assertGreater(got, 0)

    def test_holes(self):
        with open(os.path.join(self.dir, "f"), "wb") as f:
            f.truncate(4096 * KIB)
            os.pwrite(f.fileno(), b"island", 2000 * KIB)
        self.assertEqual(read(self.mounted()("f")), read(os.path.join(self.dir, "f")))

    def test_what_is_appended_and_cut_while_it_is_open(self):
        data = content(3072 * KIB)
        path = self.write("f", data[:700 * KIB + 5])
        mount = self.mounted("-o", "cache=never")
        with open(mount("f"), "rb", buffering=0) as held:
            self.assertEqual(held.read(200 * KIB), data[:200 * KIB])
            with open(path, "ab") as f:
                f.write(data[700 * KIB + 5:])
            os.stat(mount("f"))
            self.assertEqual(read(mount("f")), data)
            self.assertEqual(os.pread(held.fileno(), len(data), 0), data)
            os.truncate(path, 100 * KIB + 7)
            os.stat(mount("f"))
            self.assertEqual(os.pread(held.fileno(), len(data), 0), data[:100 * KIB + 7])
            self.assertEqual(os.pread(held.fileno(), 10, 2048 * KIB), b"")

    def test_other_file_systems_beneath(self):
        """One in memory, and a mount, whose pages come through a pipe themselves."""
        data = content(2048 * KIB + 77)
        places = []
        with contextlib.suppress(OSError):
            places.append(tempfile.mkdtemp(prefix="tpdfs-test-", dir="/dev/shm"))
            self.addCleanup(shutil.rmtree, places[0], ignore_errors=True)
            with open(os.path.join(places[0], "f"), "wb") as f:
                f.write(data)
        self.write("f", data)
        places.append(self.mounted().path)
        for place in places:
            self.assertEqual(read(self.mounted(source=place)("f")), data, place)

    def test_any_number_of_threads(self):
        """Sixteen clients, who look, list, and read little and much, all get answers, and the mount ends."""
        size = 300 * KIB
        for i in range(8):
            self.write(f"{i}", content(size + i))

        def client(mount, seed):
            chance = random.Random(seed)
            for _ in range(60):
                i = chance.randrange(8)
                off, n = chance.randrange(size), chance.choice((100, 4 * KIB, 4 * KIB, 4 * KIB, 200 * KIB))
                self.assertEqual(os.stat(mount(f"{i}")).st_size, size + i)
                with open(mount(f"{i}"), "rb", buffering=0) as f:
                    os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                    self.assertEqual(os.pread(f.fileno(), n, off), content(size + i)[off:off + n])
                self.assertIn(f"{i}", os.listdir(mount.path))

        for threads in (1, 2, 3, 16):
            mount = self.mounted("-o", f"cache=never,threads={threads}")
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                for done in [pool.submit(client, mount, seed) for seed in range(16)]:
                    done.result(60)
            mount.process.terminate()
            self.assertEqual(mount.process.wait(10), 0)

    def protected(self, *names):
        """Copies of a protected file; its content."""
        entry = next(e for e in harness.manifest()
                     if e["kind"] == "pfile" and e["open"] and e["compare"] == "bytes" and e["plain_size"] > 4 * KIB)
        for name in names:
            shutil.copy(os.path.join(harness.FIXTURES, "share", entry["path"]), os.path.join(self.dir, name))
        data = read(self.mounted("--names=source", *harness.key_arguments())(names[0]))
        self.assertEqual(hashlib.sha256(data).hexdigest(), entry["plain_sha256"])
        return data

    def gated(self, gated, threads):
        return GatedMount(self.dir, ["-o", "passthrough=off,cache=always", f"--threads={threads}", "--names=source"], gated)

    def readers_that_wait(self, before):
        """Three of four threads wait for whatever it is; who has not told that it is going to is found out."""
        os.mkdir(os.path.join(self.dir, "folder"))
        plain = content(64 * KIB)
        self.write("f", plain)
        self.write("g", plain)
        self.write("other", content(256 * KIB))
        secret = self.protected("p.pfile", "q.pfile", "r.pfile")
        mixed = {"f": plain, "g": plain, "p.pfile": secret}
        protected = {"p.pfile": secret, "q.pfile": secret, "r.pfile": secret}
        # As much as the kernel asks for at once; of plain files two pages and more are spliced.
        for gated, size, files in (("reads", 4 * KIB, mixed), ("reads", 16 * KIB, mixed), ("distant", 4 * KIB, mixed),
                                   ("distant", 16 * KIB, mixed), ("stats", 4 * KIB, protected)):
            with self.subTest(gated=gated, size=size):
                self.check_readers_that_wait(gated, size, files, before)

    def test_readers_that_wait_leave_somebody_to_answer(self):
        self.readers_that_wait(0)

    def test_also_when_threads_are_parked_because_it_mostly_reads(self):
        self.readers_that_wait(30)

    def check_readers_that_wait(self, gated, size, files, before):
        with contextlib.ExitStack() as stack:
            mount = stack.enter_context(self.gated(gated, 4))
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(4))
            opened = [stack.enter_context(open(mount(name), "rb", buffering=0)) for name in files]
            for file in opened:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                os.pread(file.fileno(), 1, 48 * KIB)  # the kernel has the attributes now
            with open(mount("other"), "rb", buffering=0) as other:
                os.posix_fadvise(other.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                for page in range(before):
                    os.pread(other.fileno(), 1, page * 4 * KIB)
            mount.shut_gate()
            try:
                held = []
                for n, file in enumerate(opened, 1):
                    held.append(pool.submit(os.pread, file.fileno(), size, 0))
                    wait_until(lambda n=n: mount.held() >= n)
                self.assertEqual(pool.submit(os.listdir, mount("folder")).result(30), [])
                self.assertFalse(any(h.done() for h in held))
            finally:
                mount.open_gate()
            self.assertEqual([h.result(30) for h in held], [data[:size] for data in files.values()])

    def test_what_was_begun_is_answered_at_the_end(self):
        """However often it is told to end, and whoever waits for the source."""
        files = {"f": content(64 * KIB), "p.pfile": self.protected("p.pfile")}
        self.write("f", files["f"])
        with contextlib.ExitStack() as stack:
            mount = stack.enter_context(self.gated("reads", 3))
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(2))
            opened = [stack.enter_context(open(mount(name), "rb", buffering=0)) for name in files]
            for file in opened:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            mount.shut_gate()
            try:
                held = [pool.submit(os.pread, file.fileno(), 4 * KIB, 0) for file in opened]
                wait_until(lambda: mount.held() >= 2)
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                    mount.process.send_signal(number)
                wait_until(lambda: "ending on signal" in mount.log())
                self.assertIsNone(mount.process.poll())
            finally:
                mount.open_gate()
            self.assertEqual([h.result(30) for h in held], [data[:4 * KIB] for data in files.values()])
            self.assertEqual(mount.process.wait(30), 0)


if __name__ == "__main__":
    harness.main()
