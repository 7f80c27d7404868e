# SPDX-License-Identifier: Apache-2.0
"""Damaged and changing sources: the file is refused, its neighbours read on."""

import errno
import os
import random
import shutil
import subprocess
import threading
import unittest

import harness

SHARE = os.path.join(harness.FIXTURES, "share")


def pfile(predicate=lambda e: True):
    return next(e for e in harness.manifest() if e["kind"] == "pfile" and e["open"] and e["compare"] == "bytes" and e["path"].endswith(".pfile") and predicate(e))


class Damage(harness.Scratch):
    def setUp(self):
        super().setUp()
        self.share = os.path.join(self.dir, "share")
        os.mkdir(self.share)

    def put(self, entry, name):
        path = os.path.join(self.share, name)
        shutil.copyfile(os.path.join(SHARE, entry["path"]), path)
        return path

    def test_a_file_cut_anywhere_is_refused_and_its_neighbour_reads(self):
        entry = pfile(lambda e: e["plain_size"] > 1000 and e["plain_size"] < 20000)
        with open(os.path.join(SHARE, entry["path"]), "rb") as f:
            whole = f.read()
        rng = random.Random(2)
        cuts = sorted({14, 18, 400, 430, 460, len(whole) - 16, len(whole) - 1} | {rng.randrange(20, len(whole)) for _ in range(60)})
        for cut in cuts:
            with open(os.path.join(self.share, f"cut {cut}.txt.pfile"), "wb") as f:
                f.write(whole[:cut])
        self.put(entry, "whole.txt.pfile")
        with harness.Mount(self.share, harness.key_arguments()) as mount:
            names = os.listdir(mount())
            self.assertEqual(len(names), len(cuts) + 1)
            for cut in cuts:
                with self.subTest(cut=cut):
                    self.assertErrno(errno.EBADMSG, open, mount(f"cut {cut}.txt.pfile"), "rb")
            self.assertEqual(harness.sha256_file(mount("whole.txt.pfile")), entry["plain_sha256"])

    def test_flipped_bytes_never_crash_the_mount(self):
        entry = pfile(lambda e: e["plain_size"] > 100 and e["size"] < 20000)
        with open(os.path.join(SHARE, entry["path"]), "rb") as f:
            whole = f.read()
        rng = random.Random(3)
        for n in range(150):
            data = bytearray(whole)
            for _ in range(rng.choice((1, 1, 2, 8))):
                data[rng.randrange(len(data) if n % 2 else 600)] = rng.randrange(256)
            with open(os.path.join(self.share, f"{n}.txt.pfile"), "wb") as f:
                f.write(data)
        self.put(entry, "whole.txt.pfile")
        with harness.Mount(self.share, harness.key_arguments()) as mount:
            for n in range(150):
                try:
                    with open(mount(f"{n}.txt.pfile"), "rb") as f:
                        f.read()
                except OSError as e:
                    self.assertIn(e.errno, (errno.EBADMSG, errno.ENOKEY, errno.EOPNOTSUPP), errno.errorcode[e.errno])
            self.assertEqual(harness.sha256_file(mount("whole.txt.pfile")), entry["plain_sha256"])

    def test_a_replaced_file_shows_its_new_content(self):
        first = pfile(lambda e: e["plain_size"] > 1000)
        second = pfile(lambda e: e["plain_size"] > 1000 and e["plain_sha256"] != first["plain_sha256"])
        self.put(first, "x.txt.pfile")
        with harness.Mount(self.share, harness.key_arguments() + ["-o", "cache=never"]) as mount:
            self.assertEqual(harness.sha256_file(mount("x.txt.pfile")), first["plain_sha256"])
            fresh = self.put(second, "new")
            os.rename(fresh, os.path.join(self.share, "x.txt.pfile"))
            self.assertEqual(harness.sha256_file(mount("x.txt.pfile")), second["plain_sha256"])
            self.assertEqual(os.stat(mount("x.txt.pfile")).st_size, second["plain_size"])

    def test_a_source_overwritten_while_open_never_mixes_old_and_new(self):
        entry = pfile(lambda e: e["plain_size"] > 6000)
        path = self.put(entry, "x.txt.pfile")
        with open(os.path.join(SHARE, entry["path"]), "rb") as f:
            whole = f.read()
        with harness.Mount(self.share, harness.key_arguments()) as mount:
            with open(mount("x.txt.pfile"), "rb", buffering=0) as held:  # what is open keeps a mount from ending
                with open(path, "r+b") as f:
                    f.seek(len(whole) - 5000)
                    f.write(os.urandom(5000))
                self.assertErrno({errno.EIO, errno.ESTALE}, os.pread, held.fileno(), 4096, 4096)

    def test_a_directory_that_changes_while_it_is_listed_does_no_harm(self):
        for n in range(300):
            with open(os.path.join(self.share, f"f{n}.txt"), "wb") as f:
                f.write(b"x" * n)
        stop = threading.Event()

        def churn():
            n = 300
            while not stop.is_set():
                with open(os.path.join(self.share, f"f{n}.txt"), "wb") as f:
                    f.write(b"y")
                os.unlink(os.path.join(self.share, f"f{n}.txt"))
                n += 1

        with harness.Mount(self.share) as mount:
            thread = threading.Thread(target=churn)
            thread.start()
            try:
                for _ in range(20):
                    subprocess.run(["ls", "-l", mount()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=harness.TIMEOUT, check=False)
            finally:
                stop.set()
                thread.join()
            for n in range(0, 300, 7):
                with open(mount(f"f{n}.txt"), "rb") as f:
                    self.assertEqual(f.read(), b"x" * n)


if __name__ == "__main__":
    harness.main()
