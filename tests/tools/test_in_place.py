#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd materialize --in-place: no original is lost, no half file has its name."""
import json
import os
import random
import shutil
import subprocess
import time
import unittest

import tool
from test_materialize import KILL_SECONDS, STATE, Case, lines, materialize, plain_name, sha256


class InPlace(Case):
    def setUp(self):
        super().setUp()
        self.originals = self.dir / "originals"

    def share(self):
        shutil.copytree(tool.SHARE, self.src, symlinks=True)

    def in_place(self, *options, originals=None):
        return materialize("--in-place", "--originals", originals or self.originals, *options, self.src)

    def check(self):
        """Plaintext is in place, and every original is kept."""
        for entry in tool.MANIFEST:
            source = tool.SHARE / entry["path"]
            with self.subTest(entry["path"]):
                if entry["kind"] in ("symlink", "plain"):
                    continue
                if not entry["open"]:
                    self.assertEqual((self.src / entry["path"]).read_bytes(), source.read_bytes())
                    self.assertFalse((self.originals / entry["path"]).exists())
                    continue
                self.assertEqual((self.originals / entry["path"]).read_bytes(), source.read_bytes())
                data = (self.src / plain_name(entry)).read_bytes()
                if entry["compare"] == "bytes":
                    self.assertEqual(sha256(data), entry["plain_sha256"])
                if plain_name(entry) != entry["path"]:
                    self.assertFalse((self.src / entry["path"]).exists())

    def test_share_is_decrypted_where_it_is(self):
        self.share()
        self.good(self.in_place(), 1)
        self.check()
        self.no_temps(self.src)
        records = lines(self.originals)
        self.assertTrue(records)
        for record in records:
            self.assertEqual(sha256((self.src / record["copy"]).read_bytes()), record["plain_sha256"])
            self.assertEqual(sha256((self.originals / record["path"]).read_bytes()), record["source_sha256"])
        self.good(tool.run("verify", self.originals))
        self.good(tool.run("verify", "--keyring", tool.KEYRING, "--against", self.originals, self.originals))
        found = self.good(tool.run("origin", "--json", "--manifest", self.originals,
                                   self.src / records[0]["copy"])).objects()
        self.assertEqual(found[0]["original"], str(self.originals / records[0]["path"]))

    def test_second_run_leaves_all_as_it_is(self):
        self.share()
        self.good(self.in_place(), 1)
        before = {path: os.lstat(path).st_ino for path in self.src.rglob("*")}
        manifest = lines(self.originals)
        self.good(self.in_place(), 1)
        self.assertEqual(before, {path: os.lstat(path).st_ino for path in self.src.rglob("*")})
        self.assertEqual(manifest, lines(self.originals))

    def test_kill_loop_loses_nothing(self):
        self.share()
        deadline, chance = time.monotonic() + KILL_SECONDS, random.Random(7)
        while time.monotonic() < deadline:
            process = tool.popen("materialize", "-q", "--keyring", tool.KEYRING, "--in-place", "--originals",
                                 self.originals, self.src)
            time.sleep(chance.uniform(0.05, 0.5))
            process.kill()
            process.communicate()
            for entry in tool.MANIFEST:
                if entry["kind"] != "symlink":
                    kept = [top / entry["path"] for top in (self.originals, self.src) if (top / entry["path"]).exists()]
                    want = (tool.SHARE / entry["path"]).read_bytes()
                    self.assertTrue(any(path.read_bytes() == want for path in kept), entry["path"])
        self.good(self.in_place(), 1)
        self.check()
        self.no_temps(self.src)
        self.good(tool.run("verify", self.originals))

    def test_hold_is_never_touched(self):
        one, two = self.put("one.txt.pfile"), self.put("dir/two.txt.pfile")
        self.put("dir/three.txt.pfile")
        hold = self.dir / "hold"
        hold.write_text(f"./one.txt.pfile\r\n\n{self.src}/dir/two.txt.pfile\n")
        self.good(self.in_place("--hold", hold))
        self.assertEqual((self.src / "one.txt.pfile").read_bytes(), (tool.SHARE / one["path"]).read_bytes())
        self.assertEqual((self.src / "dir/two.txt.pfile").read_bytes(), (tool.SHARE / two["path"]).read_bytes())
        self.assertTrue((self.src / "dir/three.txt").exists())
        self.assertEqual([line["reason"] for line in lines(self.originals, "MISSING.jsonl")], ["held", "held"])
        hold.write_text("dir/\n")
        self.good(materialize("--hold", hold, self.src, self.dst))
        self.assertEqual([record["copy"] for record in lines(self.dst)], ["one.txt"])
        hold.write_text("/elsewhere\n")
        self.assertEqual(materialize("--hold", hold, self.src, self.dst).status, 2)

    def test_only_proven_originals_are_removed(self):
        self.share()
        self.good(self.in_place("--remove-originals"), 1)
        proofs = set()
        for record in lines(self.originals):
            with self.subTest(record["path"]):
                proofs.add(record["proof"])
                self.assertEqual((self.originals / record["path"]).exists(), record["proof"] != "proven")
                self.assertEqual(sha256((self.src / record["copy"]).read_bytes()), record["plain_sha256"])
        self.assertIn("proven", proofs)
        self.assertIn("plausible", proofs)
        self.good(self.in_place("--remove-originals"), 1)
        self.good(tool.run("verify", self.originals))

    def test_file_with_a_number_that_was_ours_is_not_taken_for_finished(self):
        """A copy that came to nothing leaves its inode number in the journal."""
        entry = next(entry for entry in tool.MANIFEST if entry["kind"] == "office-ooxml" and entry["open"]
                     and entry["compare"] == "bytes" and entry["plain_size"])
        self.put("a.docx", entry)
        self.good(self.in_place())
        journal = self.originals / STATE / "journal.jsonl"
        before = journal.read_text()
        # As if its copy had had the number that the next version has now.
        (self.src / "a.docx").unlink()
        (self.originals / "a.docx").unlink()
        self.put("a.docx", entry)
        line = before.splitlines()[-1]
        words = json.loads(line)["journal"].split()
        words[1] = f"{(self.src / 'a.docx').stat().st_ino:016x}"
        words[2] = f"{(self.src / 'a.docx').stat().st_size:016x}"
        journal.write_text(before.replace(json.loads(line)["journal"], " ".join(words)))
        self.good(self.in_place())
        self.assertEqual(sha256((self.src / "a.docx").read_bytes()), entry["plain_sha256"])

    def test_further_names_of_a_file(self):
        entry = self.put("a.txt.pfile")
        os.link(self.src / "a.txt.pfile", self.src / "b.txt.pfile")
        self.good(self.in_place())
        self.assertEqual((self.src / "a.txt").stat().st_ino, (self.src / "b.txt").stat().st_ino)
        self.assertEqual((self.originals / "a.txt.pfile").stat().st_ino,
                         (self.originals / "b.txt.pfile").stat().st_ino)
        self.assertEqual(sha256((self.src / "b.txt").read_bytes()), entry["plain_sha256"])
        self.assertEqual(len(os.listdir(self.src)), 2)

    def test_existing_name_is_never_replaced(self):
        self.put("a.txt.pfile")
        (self.src / "a.txt").write_text("mine")
        self.good(self.in_place())
        self.assertEqual((self.src / "a.txt").read_text(), "mine")
        self.assertTrue((self.src / "a.txt.pfile.txt").exists())

    def test_originals_must_be_apart_private_and_near(self):
        self.put()
        self.assertEqual(self.in_place(originals=self.src / "originals").status, 2)
        self.originals.mkdir()
        os.chmod(self.originals, 0o755)
        self.assertEqual(self.in_place().status, 2)
        self.assertEqual(materialize("--in-place", self.src).status, 2)
        if os.geteuid() == 0:
            mount = self.dir / "mount"
            mount.mkdir(mode=0o700)
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", mount], check=False,
                                  capture_output=True)
            if done.returncode == 0:
                self.addCleanup(subprocess.run, ["umount", mount], check=False)
                self.assertEqual(self.in_place(originals=mount).status, 2)
        self.assertTrue((self.src / "a.txt.pfile").exists())

    def test_dry_run_changes_nothing(self):
        self.put()
        self.good(self.in_place("--dry-run"))
        self.assertEqual(os.listdir(self.src), ["a.txt.pfile"])
        self.assertFalse(self.originals.exists())


if __name__ == "__main__":
    unittest.main()
