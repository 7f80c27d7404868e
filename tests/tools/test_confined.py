#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd is confined while it parses, and what it writes is written all the same."""
import os
import pathlib
import shutil
import tempfile
import time
import unittest

import tool

IS_ROOT = os.geteuid() == 0
CAP_DAC_READ_SEARCH = 1 << 2


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=tool.SCRATCH))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.share = self.folder / "share"
        self.share.mkdir()
        for number in range(300):
            (self.share / f"{number % 10}").mkdir(exist_ok=True)
            (self.share / f"{number % 10}" / f"{number}.txt").write_text("text", encoding="ascii")

    def scan(self, *arguments):
        return tool.run("scan", "--keyring", tool.NO_KEYS, *arguments, self.share)


class Rights(Folder):
    def test_a_command_that_reads_has_given_up_the_rest(self):
        large = self.folder / "large.bin"
        with open(large, "wb") as file:
            file.truncate(64 << 20)
        process = tool.popen("cat", "--keyring", tool.NO_KEYS, large)
        try:
            self.assertEqual(process.stdout.read(1), b"\0")  # it is at the file
            status = status_of(process.pid)
            self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
            expected = CAP_DAC_READ_SEARCH if IS_ROOT else 0
            self.assertEqual([int(status[f"Cap{name}"], 16) for name in ("Prm", "Eff", "Inh", "Amb")],
                             [expected, expected, 0, 0])
            self.assertEqual(os.stat(f"/proc/{process.pid}/environ").st_uid, 0)
        finally:
            process.kill()
            process.communicate()

    # It may be over before anything was seen; over many runs it is not.
    def test_so_has_every_thread_of_a_scan(self):
        index = self.folder / "i" / "index.sqlite"
        index.parent.mkdir()
        process = tool.popen("scan", "--keyring", tool.NO_KEYS, "--index", index, "--jobs", "4", "--summary",
                             self.share)
        try:
            deadline = time.monotonic() + 60
            seen = set()
            while process.poll() is None and time.monotonic() < deadline and len(seen) < 4:
                try:
                    threads = os.listdir(f"/proc/{process.pid}/task")
                    # There are several only when it is confined: to be known before one is looked at.
                    for thread in threads if len(threads) > 1 else ():
                        status = status_of(f"{process.pid}/task/{thread}")
                        self.assertEqual(status["Seccomp"], "2")
                        self.assertEqual(int(status["CapEff"], 16), CAP_DAC_READ_SEARCH if IS_ROOT else 0)
                        seen.add(thread)
                except OSError:
                    continue
        finally:
            process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)


class Files(Folder):
    def test_links_and_relative_names(self):
        entry = next(e for e in tool.MANIFEST if e["kind"] == "pfile" and e["open"] and e["compare"] == "bytes"
                     and e["plain_size"] > 0)
        link = self.folder / "link.pfile"
        link.symlink_to(tool.SHARE / entry["path"])
        expected = tool.run("cat", "--keyring", tool.KEYRING, tool.SHARE / entry["path"])
        self.assertEqual((expected.status, len(expected.stdout)), (0, entry["plain_size"]))
        for name in ("link.pfile", "./share/../link.pfile"):
            result = tool.run("cat", "--keyring", tool.KEYRING, name, cwd=self.folder)
            self.assertEqual((result.status, result.stdout), (0, expected.stdout), result.stderr)

    def test_what_is_not_there_is_told_as_ever(self):
        result = tool.run("cat", "--keyring", tool.NO_KEYS, self.folder / "absent", self.share / "1" / "1.txt")
        self.assertEqual((result.status, result.stdout), (1, b"text"))
        self.assertIn("No such file", result.stderr)

    def test_the_log_is_written(self):
        log = self.folder / "log"
        result = tool.run("cat", "--keyring", tool.NO_KEYS, "--log", log, self.folder / "absent")
        self.assertEqual(result.status, 1)
        self.assertIn("absent", log.read_text(encoding="utf-8"))


class Report(Folder):
    def left(self):
        return sorted(p.name for p in self.folder.iterdir())

    def test_replaces_the_old_one_and_leaves_nothing_else(self):
        page = self.folder / "report.html"
        page.write_text("old", encoding="ascii")
        (self.folder / "i").mkdir()
        result = self.scan("--index", self.folder / "i" / "index.sqlite", "--html", page)
        self.assertEqual(result.status, 0, result.stderr)
        self.assertTrue(page.read_bytes().startswith(b"<!DOCTYPE html>"))
        self.assertEqual(page.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.left(), ["i", "report.html", "share"])

    def test_in_the_way_of_a_folder(self):
        page = self.folder / "report.html"
        page.mkdir()
        (self.folder / "i").mkdir()
        result = self.scan("--index", self.folder / "i" / "index.sqlite", "--html", page)
        self.assertEqual(result.status, 1)
        self.assertIn(str(page), result.stderr)
        self.assertEqual(self.left(), ["i", "report.html", "share"])

    def test_where_nothing_can_be_made_it_fails_first(self):
        (self.folder / "i").mkdir()
        result = self.scan("--index", self.folder / "i" / "index.sqlite", "--html", self.folder / "no" / "report.html")
        self.assertEqual((result.status, result.stdout), (1, b""))
        self.assertIn("No such file", result.stderr)


class Home(Folder):
    """An index in a folder that holds other things."""

    def setUp(self):
        super().setUp()
        self.profile = self.folder / ".profile"
        self.profile.write_text("mine", encoding="ascii")
        self.index = self.folder / "index.sqlite"

    def test_it_is_made_and_used_again(self):
        for _ in range(2):
            result = self.scan("--index", self.index, "--json", "--all")
            self.assertEqual((result.status, len(result.objects())), (0, 300), result.stderr)
        for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
            path = self.folder / name
            if path.exists():
                self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.profile.read_text(encoding="ascii"), "mine")

    @unittest.skipUnless(IS_ROOT, "needs another user")
    def test_root_has_it_in_a_folder_of_somebody_else(self):
        folder = self.folder / "theirs"
        folder.mkdir(0o700)
        os.chown(folder, 65534, 65534)
        for _ in range(2):
            result = self.scan("--index", folder / "index.sqlite", "--json", "--all")
            self.assertEqual((result.status, len(result.objects())), (0, 300), result.stderr)

    def damage(self, start):
        for name in ("-wal", "-shm"):
            pathlib.Path(str(self.index) + name).unlink(missing_ok=True)
        size = self.index.stat().st_size
        with open(self.index, "r+b") as file:
            for at in range(start, size, 4096):
                file.seek(at)
                file.write(b"\xa5" * 4096)

    def test_damage_seen_at_the_beginning_is_set_aside(self):
        self.assertEqual(self.scan("--index", self.index).status, 0)
        self.damage(4096)
        self.assertEqual(self.scan("--index", self.index).status, 0)
        self.assertTrue((self.folder / "index.sqlite.bad-1").exists())
        self.assertEqual(self.profile.read_text(encoding="ascii"), "mine")

    def test_damage_seen_later_is_told_with_the_remedy(self):
        self.assertEqual(self.scan("--index", self.index).status, 0)
        self.damage(16 * 4096)
        result = self.scan("--index", self.index)
        self.assertEqual(result.status, 1)
        self.assertIn("remove it", result.stderr)
        self.assertFalse((self.folder / "index.sqlite.bad-1").exists())
        for path in self.folder.glob("index.sqlite*"):
            path.unlink()
        self.assertEqual(self.scan("--index", self.index).status, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
