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

    def waiting_reads(self, before):
        """With four threads three readers may wait, of which the kernel asks for one page each."""
        protected = next(e for e in harness.manifest()
                         if e["kind"] == "pfile" and e["open"] and e["compare"] == "bytes" and e["plain_size"] > 4 * KIB)
        self.write("f", content(128 * KIB))
        self.write("g", content(129 * KIB))
        shutil.copy(os.path.join(harness.FIXTURES, "share", protected["path"]), os.path.join(self.dir, "p.pfile"))
        os.mkdir(os.path.join(self.dir, "folder"))
        with GatedMount(self.dir, ["-o", "passthrough=off,cache=always", "--threads=4", "--names=source"], "reads") as mount, \
                concurrent.futures.ThreadPoolExecutor(5) as pool:
            files = [os.open(mount(name), os.O_RDONLY) for name in ("f", "g", "p.pfile")]
            for fd in files:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
                os.pread(fd, 1, 4 * KIB)  # the kernel has the attributes now
            for page in range(2, 2 + before):
                os.pread(files[0], 1, page * 4 * KIB)
            mount.shut_gate()
            try:
                pages = []
                for n, fd in enumerate(files, 1):
                    pages.append(pool.submit(os.pread, fd, 4 * KIB, 0))
                    wait_until(lambda n=n: mount.held() == n)
                listed = pool.submit(os.listdir, mount("folder"))
                self.assertEqual(listed.result(10), [])
                self.assertFalse(any(p.done() for p in pages))
            finally:
                mount.open_gate()
            self.assertEqual([pages[0].result(10), pages[1].result(10)],
                             [content(128 * KIB)[:4 * KIB], content(129 * KIB)[:4 * KIB]])
            whole = read(mount("p.pfile"))
            self.assertEqual(hashlib.sha256(whole).hexdigest(), protected["plain_sha256"])
            self.assertEqual(pages[2].result(10), whole[:4 * KIB])
            for fd in files:
                os.close(fd)

    def test_short_reads_that_wait_for_the_disk_leave_somebody_to_answer(self):
        self.waiting_reads(0)

    def test_also_when_threads_are_parked_because_it_mostly_reads(self):
        self.waiting_reads(30)


if __name__ == "__main__":
    harness.main()
