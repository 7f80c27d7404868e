# SPDX-License-Identifier: Apache-2.0
"""A file that becomes another while it is open: plain, seekable and decoded
kinds in turn, under one name and inode. Nobody ever gets bytes of two."""

import os
import subprocess
import threading
import time

import harness
from test_decoded import entries, opening, read, sha256

PLAIN = os.urandom(200000)


class Change(harness.Scratch):
    def setUp(self):
        super().setUp()
        pfile = next(e for e in opening(entries("pfile")) if e["compare"] == "bytes" and e["plain_size"] > 8192)
        pdf = opening(entries("pdf-v2"))[0]
        self.entries = [pfile, pdf]
        self.raw = {"plain": PLAIN}
        for entry in self.entries:
            self.raw[entry["kind"]] = read(os.path.join(harness.FIXTURES, "share", entry["path"]))
        self.path = self.write("x", PLAIN)
        mount = harness.Mount(self.dir, harness.key_arguments())
        mount.__enter__()
        self.addCleanup(mount.stop)
        self.shown = mount("x")
        self.plain = {"plain": PLAIN}
        for kind, data in self.raw.items():
            self.become(data)
            self.plain[kind] = read(self.shown)
        self.assertEqual(sha256(self.plain["pfile"]), pfile["plain_sha256"])
        command = [harness.TPD, "cat", *harness.key_arguments(), os.path.join(harness.FIXTURES, "share", pdf["path"])]
        self.assertEqual(self.plain["pdf-v2"], subprocess.run(command, capture_output=True, check=True).stdout)
        # It is longer than its source, so that a wrong size would cut it.
        self.assertGreater(len(self.plain["pdf-v2"]), len(self.raw["pdf-v2"]))

    def become(self, data):
        """In one write to the same inode."""
        fd = os.open(self.path, os.O_WRONLY | os.O_TRUNC)
        os.write(fd, data)
        os.close(fd)

    def test_while_each_other_is_open(self):
        for old in self.raw:
            for new in self.raw:
                if old == new:
                    continue
                with self.subTest(f"{old} becomes {new}"):
                    self.become(self.raw[old])
                    with open(self.shown, "rb", buffering=0) as held:
                        self.assertEqual(held.read(100), self.plain[old][:100])
                        self.become(self.raw[new])
                        self.assertEqual(sha256(read(self.shown)), sha256(self.plain[new]))
                        try:
                            found = os.pread(held.fileno(), 1 << 22, 0)
                            whole = self.raw[new] if old == "plain" else self.plain[old]
                            same = next((i for i, (a, b) in enumerate(zip(found, whole)) if a != b), len(found))
                            self.assertEqual((same, len(found) <= len(whole)), (len(found), True))
                        except OSError:
                            self.assertNotEqual(old, "plain")
                        # What the old one did has left nothing behind.
                        self.assertEqual(sha256(read(self.shown)), sha256(self.plain[new]))
                        time.sleep(1.1)
                        self.assertEqual(os.stat(self.shown).st_size, len(self.plain[new]))
                        self.assertEqual(sha256(read(self.shown)), sha256(self.plain[new]))
                    self.assertEqual(sha256(read(self.shown)), sha256(self.plain[new]))

    def test_all_the_time(self):
        good = {sha256(data) for data in self.plain.values()} | {sha256(b"")}
        stop = threading.Event()
        seen, failed = set(), []

        def look():
            held = []
            while not stop.is_set():
                before = os.stat(self.path)
                try:
                    held.append(open(self.shown, "rb"))
                    data = held[-1].read()
                except OSError:
                    continue
                finally:
                    if len(held) > 5:
                        held.pop(0).close()
                after = os.stat(self.path)
                # While it is being written, a plain file is what is there so far.
                if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size) and after.st_size in sizes:
                    seen.add(sha256(data))
                    if sha256(data) not in good:
                        failed.append((len(data), data[:16]))
            for f in held:
                f.close()

        sizes = {0, *(len(data) for data in self.raw.values())}
        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            for data in self.raw.values():
                self.become(data)
                time.sleep(0.25)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])
        self.assertGreater(len(seen), 2)


if __name__ == "__main__":
    harness.main()
