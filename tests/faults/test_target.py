#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where copies cannot be written: no half file has a final name, no original is
lost, everything is told, and the next run ends it."""
import json
import os
import random
import shutil
import subprocess

import faults
import tool
from test_materialize import STATE, lines, materialize, sha256, tree

ROUNDS = int(os.environ.get("TPD_FAULT_ROUNDS", "8"))
TEMP = "*/.tpdfs-tmp-*"
# What may go wrong beneath the directory that is written to.
WRONG = [f"{operation} {glob} {word}"
         for operation, word in (("write", "EIO"), ("write", "ENOSPC"), ("write", "EDQUOT"), ("write", "nothing"),
                                 ("fsync", "EIO"), ("flush", "EDQUOT"), ("create", "ENOSPC"), ("create", "EIO"),
                                 ("chmod", "EIO"), ("chown", "EPERM"), ("utimens", "EIO"), ("setxattr", "ENOSPC"),
                                 ("unlink", "EIO"), ("getattr", "EIO"), ("truncate", "EIO"), ("open", "EIO"),
                                 ("read", "EIO"), ("getattr", "ESTALE"))
         for glob in (TEMP, "*")] + [
    "rename * EIO", "rename * ESTALE", "rename * EACCES", "link * EIO", "link * ENOSPC", "mkdir * ENOSPC", "symlink * EIO",
    "opendir * EIO", "readdir * ESTALE", "fsyncdir * EIO", "rename * no-flags"]


def contents(top):
    """Digest -> the names it has, of everything but the state."""
    found = {}
    for folder, names, files in os.walk(top):
        if STATE in names:
            names.remove(STATE)
        for name in files:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    found.setdefault(sha256(file.read()), set()).add(os.path.relpath(path, top))
    return found


def without_names(listing):
    """What lists say, but for what was lost with an attribute."""
    return [{key: value for key, value in line.items() if key != "attributes_lost"} for line in listing]


class Copies(faults.Faulty):
    """The source is elsewhere; the directory of copies is on what fails."""

    def setUp(self):
        super().setUp()
        self.fill()
        self.source = self.backing
        self.backing = self.dir / "target"
        self.backing.mkdir()
        self.mount()
        self.dst = self.faulty.path / "dst"
        self.wanted = tree(self.expected)

    def whole(self):
        """Whatever has a final name is whole."""
        for path, what in tree(self.backing / "dst").items():
            if what[0] != "dir" and b".tpdfs-tmp-" not in path:
                self.assertEqual(what[:2], self.wanted[path][:2], path)

    def run_with(self, *rules, status=1):
        shutil.rmtree(self.backing / "dst", ignore_errors=True)
        self.fail_with(*rules)
        result = self.good(materialize(self.source, self.dst), status)
        self.fail_with()
        self.whole()
        return result

    def complete(self):
        self.fail_with()
        self.good(materialize(self.source, self.dst))
        self.assertEqual({path: what[:2] for path, what in tree(self.dst).items()},
                         {path: what[:2] for path, what in self.wanted.items()})
        self.no_temps(self.dst)
        self.assertEqual(without_names(lines(self.dst)), without_names(lines(self.expected)))
        self.good(tool.run("verify", self.dst))

    def one_failed(self, *rules, left=1):
        """Exactly so many files are left out, and each is told."""
        result = self.run_with(*rules)
        told = lines(self.dst, "MISSING.jsonl")
        gone = set(self.wanted) - set(tree(self.dst))
        self.assertEqual(len(told), left, told)
        self.assertEqual(len(gone), left, gone)
        summary = json.loads((self.dst / STATE / "summary.json").read_text())
        self.assertEqual((summary["failed"], summary["missing"]), (left, left))
        for line in told:
            self.assertEqual(line["reason"], "io-error")
            self.assertIn(f"{line['path']}: io-error: {line['message']}", result.stderr)
        self.no_temps(self.dst)
        self.assertEqual(len(lines(self.dst)), len(lines(self.expected)) - left)
        self.good(tool.run("verify", self.dst))
        self.complete()
        return told

    def test_full_disk_in_the_middle_of_a_file(self):
        for word in ("ENOSPC", "EDQUOT", "EIO", "nothing"):
            with self.subTest(word):
                told = self.one_failed(f"write {TEMP} {word} from=1500000")
                self.assertEqual(told[0]["path"], "large")

    def test_what_fails_when_a_file_is_closed_or_synced(self):
        for rule in ("flush", "fsync", "create"):
            for word in ("EIO", "ENOSPC", "EDQUOT"):
                with self.subTest(f"{rule} {word}"):
                    self.one_failed(f"{rule} {TEMP} {word} skip=1 times=1")

    def test_name_that_cannot_be_given(self):
        for word in ("EIO", "ESTALE", "EACCES"):
            for path in ("a.txt", "large", "link"):
                with self.subTest(f"{word} {path}"):
                    self.one_failed(f"rename /dst/{path} {word}")
        self.one_failed("link * EIO times=1")
        self.one_failed("symlink * EIO times=1")

    def test_rename_without_flags(self):
        self.run_with("rename * no-flags", status=0)
        self.complete()

    def test_lists_that_cannot_be_read(self):
        """What was written cannot be read again when it is put in order."""
        for word in ("EIO", "short"):
            with self.subTest(word):
                result = self.run_with(f"open */{STATE}/* direct", f"create */{STATE}/* direct",
                                       f"read */{STATE}/* {word}")
                self.assertIn("cannot read the list", result.stderr)
                self.complete()

    def test_journal_that_cannot_be_written(self):
        for rule in ("write */journal.jsonl ENOSPC skip=1 times=1", "fsync */journal.jsonl EIO skip=1 times=1"):
            with self.subTest(rule):
                self.run_with(rule)
                self.complete()
        # Nothing is claimed when it cannot even be begun.
        self.assertEqual(self.run_with("write */journal.jsonl ENOSPC").stdout, b"")
        self.assertFalse((self.dst / STATE / "manifest.jsonl").exists())
        self.complete()

    def test_lists_that_cannot_be_written(self):
        for name in ("manifest", "MISSING", "summary"):
            for operation in ("write", "fsync", "rename", "flush"):
                with self.subTest(f"{operation} {name}"):
                    if (operation, name) == ("write", "MISSING"):
                        continue  # there is nothing to write
                    result = self.run_with(f"{operation} */{name}.json* EIO")
                    self.assertNotIn("SHA-256", result.stdout.decode())
                    self.complete()

    def test_attributes_that_cannot_be_set_are_told(self):
        for rule, word in (("chmod", "mode"), ("chown", "owner"), ("utimens", "times")):
            with self.subTest(word):
                os.chown(self.source / "large", 1234, 1234)
                self.run_with(f"{rule} {TEMP} EPERM", status=0)
                record = next(line for line in lines(self.dst) if line["path"] == "large")
                self.assertIn(word, record["attributes_lost"])

    def test_lost_access_list_opens_nothing(self):
        """The group bits of a file with an access list are its mask: whom the
        list refuses must not get in by them when the list is lost."""
        modes = {"u::rw,u:1234:rw,g::-,m::rw,o::-": 0o600, "u::rw,u:1234:-,g::r,m::r,o::r": 0o600,
                 "u::rwx,g:1234:r,g::rx,m::rx,o::r": 0o744, "u::rw,g::rw,o::r": 0o664}
        for acl, mode in modes.items():
            with self.subTest(acl):
                subprocess.run(["setfacl", "-b", "-m", acl, self.source / "large"], check=True)
                self.run_with(f"setxattr {TEMP} ENOTSUP", status=0)
                self.assertEqual((self.backing / "dst/large").stat().st_mode & 0o777, mode)
                record = next(line for line in lines(self.dst) if line["path"] == "large")
                self.assertEqual(record["attributes_lost"], ["acl"] if "1234" in acl else [])

    def test_random_faults(self):
        chance = random.Random(20)
        for number in range(ROUNDS):
            rules = [f"{rule.replace('*', '/dst/*', 1) if rule.split()[1] == '*' else rule} "
                     f"skip={chance.choice((0, 1, 3, 10, 40))} times={chance.choice((1, 2, 10))}"
                     for rule in chance.sample(WRONG, chance.choice((1, 1, 2, 4)))]
            with self.subTest(number=number, rules=rules):
                shutil.rmtree(self.backing / "dst", ignore_errors=True)
                self.fail_with(*rules)
                result = materialize(self.source, self.dst)
                self.fail_with()
                self.assertIn(result.status, (0, 1, 2))
                if result.status == 0:
                    self.assertEqual({path: what[:2] for path, what in tree(self.dst).items()},
                                     {path: what[:2] for path, what in self.wanted.items()})
                else:
                    self.assertNotEqual(result.stderr, "")
                self.whole()
                self.complete()


class InPlace(faults.Faulty):
    """Source and originals are on what fails."""

    def setUp(self):
        super().setUp()
        self.originals = self.dir / "target" / "originals"
        self.backing = self.dir / "target"
        self.backing.mkdir()
        self.src = self.backing / "src"
        self.plain = {}
        self.protected = {}
        for number, entry in enumerate(self.entries()):
            # Rules have no blanks in a name.
            name = f"{'abc'[number % 3]}/{number}-{os.path.basename(entry['path']).replace(' ', '_')}"
            self.put(name, entry)
            self.protected[name] = sha256((tool.SHARE / entry["path"]).read_bytes())
            self.plain[name] = entry["plain_sha256"]
        (self.src / "a/plain").write_bytes(b"plain")
        first = next(iter(self.protected))
        os.link(self.src / first, self.src / f"c/twice-{os.path.basename(first)}")
        self.start = self.dir / "start"
        subprocess.run(["cp", "-a", self.src, self.start], check=True)
        self.mount()

    def entries(self):
        """Of kinds whose name stays, and of such whose name changes; proven ones,
        too. Only those whose bytes the manifest knows."""
        found = []
        for kind in ("pfile", "office-ooxml", "office-legacy", "xps"):
            same = [entry for entry in tool.MANIFEST if entry["kind"] == kind and entry["open"]
                    and entry.get("compare") == "bytes" and entry["plain_size"] and os.path.getsize(tool.SHARE / entry["path"]) < 200000]
            found += same[:4]
        self.assertGreater(len(found), 8)
        return found

    def reset(self):
        self.fail_with()
        for name in ("src", "originals"):
            shutil.rmtree(self.backing / name, ignore_errors=True)
        subprocess.run(["cp", "-a", self.start, self.backing / "src"], check=True)

    def in_place(self, *options):
        return materialize("--in-place", "--originals", self.faulty.path / "originals", *options, self.faulty.path / "src")

    def nothing_lost(self, removed=False):
        """Every original is there still; or, where that was asked for, its whole
        plaintext. Nothing else has got a name."""
        found = contents(self.backing / "src")
        kept = contents(self.originals) if self.originals.exists() else {}
        for name, digest in self.protected.items():
            if digest in found or digest in kept:
                continue
            self.assertTrue(removed, f"{name} is lost")
            self.assertIn(self.plain[name], found, f"{name} is lost")
        known = {*self.protected.values(), *self.plain.values(), sha256(b"plain")}
        for digest, names in found.items():
            names = {name for name in names if "/.tpdfs-" not in name}
            if names:
                self.assertIn(digest, known, names)
        self.assertIn("a/plain", found[sha256(b"plain")])

    def complete(self, *options, removed=False):
        self.fail_with()
        self.good(self.in_place(*options))
        self.nothing_lost(removed)
        found = contents(self.backing / "src")
        for name, digest in self.plain.items():
            self.assertIn(digest, found, name)
        for digest in self.protected.values():
            self.assertNotIn(digest, found)
        if not removed:
            kept = contents(self.originals)
            for name, digest in self.protected.items():
                self.assertIn(name, kept[digest])
        self.no_temps(self.backing)
        self.assertEqual([path for path in self.backing.rglob(".tpdfs-swap-*")], [])
        self.good(tool.run("verify", self.faulty.path / "originals"))

    def test_it_works_without_faults(self):
        self.complete()
        self.reset()
        self.complete("--remove-originals", removed=True)
        records = lines(self.originals)
        self.assertIn("proven", {record["proof"] for record in records})

    def test_original_that_cannot_be_kept_is_not_touched(self):
        for rule in ("link /originals/* EIO", "mkdir /originals/* ENOSPC", "fsyncdir /originals/* EIO"):
            with self.subTest(rule):
                self.reset()
                self.fail_with(rule)
                self.good(self.in_place(), 1)
                self.assertEqual({path: what[:2] for path, what in tree(self.backing / "src").items()},
                                 {path: what[:2] for path, what in tree(self.start).items()})
                self.complete()

    def test_copy_that_reads_back_wrong_removes_nothing(self):
        self.reset()
        self.fail_with(f"read {TEMP} EIO")
        self.good(self.in_place("--remove-originals"), 1)
        self.assertEqual({path: what[:2] for path, what in tree(self.backing / "src").items()},
                         {path: what[:2] for path, what in tree(self.start).items()})
        self.complete("--remove-originals", removed=True)

    def test_random_faults(self):
        chance = random.Random(21)
        for number in range(2 * ROUNDS):
            rules = [f"{rule} skip={chance.choice((0, 1, 3, 10, 40, 100))} times={chance.choice((1, 2, 10))}"
                     for rule in chance.sample(WRONG, chance.choice((1, 1, 2, 4)))]
            options = chance.choice(([], ["--remove-originals"]))
            with self.subTest(number=number, rules=rules, options=options):
                self.reset()
                self.fail_with(*rules)
                result = self.in_place(*options)
                self.fail_with()
                self.assertIn(result.status, (0, 1, 2))
                self.nothing_lost(bool(options))
                self.complete(*options, removed=bool(options))

    def test_file_put_there_in_the_last_moment_is_kept(self):
        """Just before both change places, somebody saves another file under the
        name; and it may be impossible to put it back."""
        name = next(name for name in self.protected if name.endswith((".docx", ".xlsx", ".pptx", ".dotx")))
        for more, status in (((), "changed"), ((f"rename /src/{name} EIO skip=1 times=1",), "kept beside it")):
            with self.subTest(status):
                self.reset()
                newest = self.backing / "src" / f"{name}.new"
                newest.write_bytes(b"newest")
                self.fail_with(f"rename-before /src/{name} replace times=1", *more)
                result = self.good(self.in_place(), 1)
                self.assertIn(status, result.stderr)
                self.fail_with()
                result = self.in_place()
                found = contents(self.backing / "src")
                self.assertIn(sha256(b"newest"), found)
                if more:
                    self.assertEqual(result.status, 1)
                    self.assertIn("a name of its own", result.stderr)
                else:
                    self.assertEqual(found[sha256(b"newest")], {name})


if __name__ == "__main__":
    faults.main()
