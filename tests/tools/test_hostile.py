#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A tree of copies that somebody prepared, and lists that somebody edited: what
is written stays in it, nothing is followed, nothing waits for ever."""
import base64
import json
import os
import pathlib
import random
import shutil
import socket
import unittest

import tool
from test_materialize import STATE, Case, lines, materialize, sha256, tree

ROUNDS = int(os.environ.get("TPD_HOSTILE_ROUNDS", "12"))


class Hostile(Case):
    def setUp(self):
        super().setUp()
        self.outside = self.dir / "outside"
        self.outside.mkdir()
        (self.outside / "file").write_bytes(b"untouched")
        self.entry = self.put("dir/a.txt.pfile")
        self.put("b.txt.pfile")
        (self.src / "dir/plain").write_bytes(b"plain")
        self.before = tree(self.outside)

    def untouched(self):
        self.assertEqual(tree(self.outside), self.before)

    def plant(self, path):
        """Everything that may stand under a name we are to write."""
        def listen():
            listener = socket.socket(socket.AF_UNIX)
            here = os.getcwd()
            os.chdir(path.parent)  # such names are short
            listener.bind(path.name)
            os.chdir(here)
            listener.close()
        plants = {"link": lambda: path.symlink_to(self.outside / "file"), "dangling": lambda: path.symlink_to(
            self.outside / "new"), "pipe": lambda: os.mkfifo(path), "socket": listen, "directory": path.mkdir,
            "hard link": lambda: os.link(self.outside / "file", path)}
        if os.geteuid() == 0:
            plants["device"] = lambda: os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
        return plants

    def test_what_stands_under_a_final_name_stays(self):
        for name in ("dir/a.txt", "dir/plain"):
            for what, plant in self.plant(self.dst / name).items():
                with self.subTest(name=name, what=what):
                    shutil.rmtree(self.dst, ignore_errors=True)
                    (self.dst / "dir").mkdir(parents=True)
                    plant()
                    before = os.lstat(self.dst / name)
                    result = self.good(materialize(self.src, self.dst), 1)
                    self.assertIn("did not write", result.stderr)
                    after = os.lstat(self.dst / name)
                    self.assertEqual((before.st_ino, before.st_mode), (after.st_ino, after.st_mode))
                    self.untouched()
                    self.assertEqual(len(lines(self.dst)), 2)
                    self.good(tool.run("verify", self.dst))
                    self.no_temps(self.dst)

    def test_what_takes_the_place_of_a_copy_between_runs_stays(self):
        for what in self.plant(self.dst / "dir/a.txt"):
            with self.subTest(what):
                shutil.rmtree(self.dst, ignore_errors=True)
                self.good(materialize(self.src, self.dst))
                (self.dst / "dir/a.txt").unlink()
                self.plant(self.dst / "dir/a.txt")[what]()
                self.good(tool.run("verify", self.dst), 1)
                tool.run("origin", self.dst / "dir/a.txt")
                self.good(materialize(self.src, self.dst), 1)
                self.untouched()
        shutil.rmtree(self.dst)
        self.good(materialize(self.src, self.dst))
        (self.dst / "dir").rename(self.dst / "moved")
        (self.dst / "dir").symlink_to(self.outside)
        self.good(materialize(self.src, self.dst), 1)
        # What could not be looked at again is in no list, and told.
        self.assertEqual([line["copy"] for line in lines(self.dst)], ["b.txt"])
        self.good(tool.run("verify", self.dst))
        self.untouched()

    def test_what_stands_for_a_list_is_not_followed(self):
        for name in ("journal.jsonl", "manifest.jsonl", "manifest.jsonl.new", "MISSING.jsonl", "MISSING.part", "summary.json",
                     "summary.json.new"):
            for what in self.plant(self.dst / STATE / name):
                with self.subTest(name=name, what=what):
                    shutil.rmtree(self.dst, ignore_errors=True)
                    (self.dst / STATE).mkdir(parents=True, mode=0o700)
                    os.chmod(self.dst / STATE, 0o700)
                    self.plant(self.dst / STATE / name)[what]()
                    result = materialize(self.src, self.dst)
                    self.untouched()
                    if result.status == 0:
                        self.good(tool.run("verify", self.dst))
                    else:
                        self.assertIn(result.status, (1, 2, 3))
                        self.assertNotEqual(result.stderr, "")

    def test_special_files_of_a_source_are_never_opened(self):
        for what, plant in self.plant(self.src / "dir/special").items():
            with self.subTest(what):
                shutil.rmtree(self.dst, ignore_errors=True)
                plant()
                self.good(materialize(self.src, self.dst))
                for command in (["scan", "--index", self.dir / "index.sqlite"], ["preflight", "--index", self.dir / "index.sqlite"]):
                    self.assertIn(tool.run(*command, "--keyring", tool.KEYRING, self.src).status, (0, 1))
                if what in ("pipe", "socket", "device"):
                    self.assertEqual([line["reason"] for line in lines(self.dst, "MISSING.jsonl")], ["special-file"])
                    self.assertFalse((self.dst / "dir/special").exists())
                self.untouched()
                (shutil.rmtree if what == "directory" else os.unlink)(self.src / "dir/special")

    def edited(self, text, chance):
        """One change that a person, or an attacker, may make."""
        ways = ["../" * chance.randint(1, 6) + "outside/file", str(self.outside / "file"), "dir/../../outside/file", "",
                ".", "..", "\x00", "dir//plain", "\ud800", STATE + "/journal.jsonl", "a" * 5000]
        way = chance.choice(ways)
        encoded = json.dumps(way)
        choice = chance.randrange(6)
        record = chance.choice(["dir/a.txt.pfile", "dir/a.txt", "b.txt", "dir/plain"])
        if choice == 0:
            return text.replace(f'"{record}"', encoded)
        if choice == 1:
            b64 = base64.b64encode(way.encode("utf-8", "surrogatepass")).decode()
            return text.replace(f'"copy":"{record}"', f'"copy":"{record}","copy_b64":"{b64}"')
        if choice == 2:
            at = chance.randrange(len(text))
            return text[:at] + chance.choice('"\\{}[]:,0\n\x7f') + text[at + 1:]
        if choice == 3:
            return text[:chance.randrange(len(text))]
        if choice == 4:
            return text + chance.choice(text.splitlines(keepends=True))
        return text.replace('"kind":"plain"', '"kind":"symlink","target":' + encoded)

    def test_edited_lists_lead_nowhere(self):
        chance = random.Random(40)
        expected = None
        for number in range(ROUNDS):
            with self.subTest(number):
                shutil.rmtree(self.dst, ignore_errors=True)
                self.good(materialize(self.src, self.dst))
                expected = expected or tree(self.dst)
                for name in ("journal.jsonl", "manifest.jsonl", "summary.json"):
                    path = self.dst / STATE / name
                    text = path.read_text()
                    for _ in range(chance.choice((0, 1, 3))):
                        text = self.edited(text, chance) or text
                    path.write_bytes(text.encode("utf-8", "surrogatepass"))
                if chance.random() < 0.5:
                    (self.dst / "dir/a.txt").unlink()
                self.assertIn(tool.run("verify", self.dst).status, (0, 1, 2))
                self.assertIn(tool.run("origin", self.dst / "b.txt").status, (0, 1, 2))
                self.assertIn(tool.run("origin", "--manifest", self.dst, self.entry["plain_sha256"]).status, (0, 1, 2))
                result = materialize(self.src, self.dst)
                self.assertIn(result.status, (0, 1), result.stderr)
                self.untouched()
                # Whatever the lists said, the copies are those of the source.
                self.assertEqual({path: what[:2] for path, what in tree(self.dst).items()},
                                 {path: what[:2] for path, what in expected.items()}, result.stderr)

    def test_origin_shows_no_control_characters(self):
        self.good(materialize(self.src, self.dst))
        manifest = self.dst / STATE / "manifest.jsonl"
        manifest.write_text(manifest.read_text().replace('"path":"b.txt.pfile"', '"path":"b\\u001b[2J.pfile"'))
        result = self.good(tool.run("origin", self.dst / "b.txt"))
        self.assertNotIn(b"\x1b", result.stdout)


if __name__ == "__main__":
    unittest.main()
