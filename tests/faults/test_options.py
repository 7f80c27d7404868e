#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ways of copying that are not the common one, over storage that fails:
hard links of plain files, protected files as they are, and parts of the work."""
import os
import shutil

import faults
import tool
from test_materialize import STATE, lines, materialize, tree

ERRNOS = ("EIO", "ESTALE", "EDQUOT", "ENOSPC")
TEMP = "*/.tpdfs-tmp-*"


def without_ctime(top):
    return {path: what[:2] for path, what in tree(top).items()}


class Linked(faults.Faulty):
    """--link-plain: source and copies lie on the storage that fails."""

    def setUp(self):
        super().setUp()
        top = self.backing
        self.backing = top / "src"
        self.backing.mkdir()
        self.src = self.backing
        self.fill()
        self.backing = top
        self.mount()
        self.src, self.dst = self.faulty.path / "src", self.faulty.path / "dst"
        self.before = tree(top / "src")

    def linked(self, *rules, status=0):
        shutil.rmtree(self.backing / "dst", ignore_errors=True)
        self.fail_with(*rules)
        result = self.good(materialize("--link-plain", self.src, self.dst), status)
        self.fail_with()
        # Whatever goes wrong, the source is as it was, and what has a name is whole.
        self.assertEqual(tree(self.backing / "src"), self.before)
        expected = without_ctime(self.expected)
        for path, what in without_ctime(self.backing / "dst").items():
            if b".tpdfs-tmp-" not in path:
                self.assertEqual(what, expected[path], path)
        return result

    def complete(self):
        self.good(materialize("--link-plain", self.src, self.dst))
        self.assertEqual(without_ctime(self.dst), without_ctime(self.expected))
        self.no_temps(self.dst)
        self.assertEqual([line["path"] for line in lines(self.dst)], [line["path"] for line in lines(self.expected)])
        self.good(tool.run("verify", self.dst))
        self.assertEqual(tree(self.backing / "src"), self.before)

    def is_linked(self, name):
        return (self.backing / "src" / name).stat().st_ino == (self.backing / "dst" / name).stat().st_ino

    def test_links_that_cannot_be_made_are_copies(self):
        for word in ("EMLINK", "EXDEV"):
            with self.subTest(word):
                self.linked(f"link {TEMP} {word}")
                for name in ("large", "dir/plain", "dir/twice", "dir/deep/c"):
                    self.assertFalse(self.is_linked(name), name)
                self.assertEqual(tree(self.dst), tree(self.expected))
                self.complete()
        # The other name of a copy is a link, or nothing.
        for word in (*ERRNOS, "EPERM"):
            with self.subTest(word):
                self.linked(f"link {TEMP} {word}", status=1)
                [told] = lines(self.dst, "MISSING.jsonl")
                self.assertIn(told["path"], ("dir/plain", "dir/twice"))
                for name in {"large", "dir/plain", "dir/twice", "dir/deep/c"} - {told["path"]}:
                    self.assertFalse(self.is_linked(name), name)
                self.assertFalse((self.dst / told["path"]).exists())
                self.complete()

    def test_what_cannot_be_read_is_not_linked(self):
        for rule in ("read /src/large", "read /src/large from=2000000", "open /src/large"):
            operation, path, *more = rule.split()
            for word in ("EIO", "ESTALE"):
                with self.subTest(f"{rule} {word}"):
                    result = self.linked(" ".join([operation, path, word, *more]), status=1)
                    self.assertEqual([(line["path"], line["reason"]) for line in lines(self.dst, "MISSING.jsonl")],
                                     [("large", "io-error")])
                    self.assertIn("large: io-error: ", result.stderr)
                    self.assertFalse((self.backing / "dst/large").exists())
                    self.no_temps(self.dst)
                    self.good(tool.run("verify", self.dst))
                    self.complete()

    def test_names_that_cannot_be_given(self):
        for word in ERRNOS:
            for name in ("large", "dir/deep/c"):
                with self.subTest(f"{word} {name}"):
                    self.linked(f"rename /dst/{name} {word}", status=1)
                    self.assertEqual([line["path"] for line in lines(self.dst, "MISSING.jsonl")], [name])
                    self.assertFalse((self.backing / "dst" / name).exists())
                    self.no_temps(self.dst)
                    self.complete()

    def test_short_reads_are_no_end(self):
        self.linked("open /src/* direct", "read /src/* short")
        self.assertTrue(self.is_linked("large"))
        self.complete()


class Unreadable(faults.Faulty):
    """--unreadable copy: what does not open is copied as it is."""

    def setUp(self):
        super().setUp()
        lost = [entry for entry in tool.PFILES if not entry["open"] and entry["error"] == "no-key" and entry["size"] > 2000]
        self.lost = {"lost.txt.pfile": lost[0], "dir/other.pfile": lost[-1]}
        for name, entry in self.lost.items():
            self.put(name, entry)
        self.put("good.txt.pfile")
        os.link(self.src / "lost.txt.pfile", self.src / "dir/twice.pfile")
        (self.src / "plain").write_bytes(b"plain")
        self.good(self.copied(self.src, self.dir / "expected"), 1)
        self.expected = self.dir / "expected"
        self.told = {line["path"] for line in lines(self.expected, "MISSING.jsonl")}

    def copied(self, src, dst):
        return materialize("--unreadable", "copy", src, dst)

    def complete(self):
        self.good(self.copied(self.src, self.dst), 1)
        self.assertEqual(tree(self.dst), tree(self.expected))
        self.no_temps(self.dst)
        self.assertEqual((self.dst / STATE / "manifest.jsonl").read_bytes(),
                         (self.expected / STATE / "manifest.jsonl").read_bytes())
        self.assertEqual([(line["path"], line["reason"]) for line in lines(self.dst, "MISSING.jsonl")],
                         [(path, "no-key") for path in sorted(self.told)])
        self.good(tool.run("verify", self.dst))

    def test_as_they_are(self):
        self.assertEqual(self.told, {*self.lost, "dir/twice.pfile"})
        for name, entry in {**self.lost, "dir/twice.pfile": self.lost["lost.txt.pfile"]}.items():
            self.assertEqual((self.expected / name).read_bytes(), (tool.SHARE / entry["path"]).read_bytes())

    def check_sources(self, *rules, gone):
        shutil.rmtree(self.dst, ignore_errors=True)
        self.fail_with(*rules)
        result = self.good(self.copied(self.src, self.dst), 1)
        got, expected = tree(self.dst), tree(self.expected)
        self.assertEqual({os.fsdecode(path) for path in expected if path not in got}, set(gone))
        for path, what in got.items():
            if what[0] != "dir":
                self.assertEqual(what, expected[path], path)
        told = lines(self.dst, "MISSING.jsonl")
        for name in gone:
            self.assertIn((name, "io-error"), [(line["path"], line["reason"]) for line in told])
            self.assertIn(f"{name}: io-error: ", result.stderr)
        self.assertEqual({line["path"] for line in told}, self.told | set(gone))
        self.assertEqual(self.summary()["missing"], len(told))
        self.no_temps(self.dst)
        self.good(tool.run("verify", self.dst))
        self.fail_with()
        self.complete()

    def test_sources_that_cannot_be_read(self):
        self.mount()
        for word in ("EIO", "ESTALE"):
            for rule in (f"open /dir/other.pfile {word}", f"read /dir/other.pfile {word}",
                         f"read /dir/other.pfile {word} from=1024"):
                with self.subTest(rule):
                    self.check_sources(rule, gone=["dir/other.pfile"])

    def test_a_source_that_fails_under_one_of_its_names(self):
        self.mount()
        for name in ("lost.txt.pfile", "dir/twice.pfile"):
            with self.subTest(name):
                self.check_sources(f"getattr /{name} EIO", gone=[name])

    def test_short_reads_are_no_end(self):
        self.mount()
        self.fail_with("open * direct", "read * short")
        self.complete()

    def test_targets_that_cannot_be_written(self):
        self.source, self.backing = self.src, self.dir / "target"
        self.backing.mkdir()
        self.mount()
        self.src, self.dst = self.source, self.faulty.path / "dst"
        expected = tree(self.expected)
        for rule in ("write {} {} from=1024", "fsync {} {}", "flush {} {}", "create {} {}"):
            for word in ERRNOS:
                with self.subTest(f"{rule} {word}"):
                    shutil.rmtree(self.backing / "dst", ignore_errors=True)
                    self.fail_with(rule.format(TEMP, word))
                    self.good(self.copied(self.src, self.dst), 1)
                    self.fail_with()
                    for path, what in tree(self.backing / "dst").items():
                        if what[0] != "dir":
                            self.assertEqual(what[:2], expected[path][:2], path)
                    told = {line["path"]: line["reason"] for line in lines(self.dst, "MISSING.jsonl")}
                    self.assertEqual(len(told), len(lines(self.dst, "MISSING.jsonl")), "one line for each name")
                    # What does not open is told as that, also when it cannot be copied as it is.
                    told = {path for path, reason in told.items()
                            if reason == "io-error" or not os.path.lexists(self.dst / path)}
                    gone = {os.fsdecode(path) for path, what in expected.items() if what[0] != "dir"} - {
                        os.fsdecode(path) for path in tree(self.dst)}
                    # By the name of its source, each.
                    self.assertEqual(len(told), len(gone), (told, gone))
                    self.no_temps(self.dst)
                    self.good(tool.run("verify", self.dst))
                    self.complete()


class Shards(faults.Faulty):
    """--shard: what fails is told by the parts, and once by the whole."""

    N = 3

    def setUp(self):
        super().setUp()
        for number in range(12):
            self.put(f"{number}/{number}.txt.pfile")
            (self.src / f"{number}/plain").write_bytes(str(number).encode())
        os.link(self.src / "1/plain", self.src / "2/linked")
        self.expected = self.dir / "expected"
        self.good(materialize(self.src, self.expected))
        self.mount()

    def shards(self):
        return [materialize("--shard", f"{part}/{self.N}", self.src, self.dst) for part in range(1, self.N + 1)]

    def merged(self, missing):
        """What is joined says what one run over the whole says."""
        self.good(tool.run("verify", "--merge", self.dst))
        told = [(line["path"], line["reason"]) for line in lines(self.dst, "MISSING.jsonl")]
        self.assertEqual(told, sorted((name, "io-error") for name in missing))
        summary = self.summary()
        self.assertEqual((summary["missing"], summary["failed"]), (len(missing), len(missing)))

    def check(self, *rules, missing, lost=None):
        shutil.rmtree(self.dst, ignore_errors=True)
        self.fail_with(*rules)
        results = self.shards()
        self.assertIn(1, [result.status for result in results])
        for name in missing:
            self.assertTrue(any(f"{name}: io-error: " in result.stderr for result in results), name)
        gone = {os.fsdecode(path) for path in set(tree(self.expected)) - set(tree(self.dst))}
        self.assertEqual(gone, set(lost or missing.values()))
        self.merged(missing)
        self.fail_with()
        for result in self.shards():
            self.good(result)
        self.merged({})
        self.assertEqual(tree(self.dst), tree(self.expected))
        self.assertEqual((self.dst / STATE / "manifest.jsonl").read_bytes(),
                         (self.expected / STATE / "manifest.jsonl").read_bytes())
        self.good(tool.run("verify", self.dst))

    def test_files_that_cannot_be_read(self):
        for word in ("EIO", "ESTALE"):
            for operation in ("open", "read"):
                with self.subTest(f"{operation} {word}"):
                    self.check(f"{operation} /5/* {word}",
                               missing={"5/5.txt.pfile": "5/5.txt", "5/plain": "5/plain"})

    def test_files_that_cannot_be_looked_at(self):
        """No part can tell whose they are: all tell of them, the whole once."""
        for word in ("EIO", "ESTALE"):
            with self.subTest(word):
                self.check(f"getattr /5/plain {word}", f"getattr /2/linked {word}",
                           missing={"5/plain": "5/plain", "2/linked": "2/linked"})

    def test_directories_that_cannot_be_read(self):
        for operation in ("opendir", "readdir"):
            for word in ("EIO", "ESTALE"):
                with self.subTest(f"{operation} {word}"):
                    self.check(f"{operation} /7 {word}", missing={"7": "7"}, lost=["7", "7/7.txt", "7/plain"])

    def test_short_reads_are_no_end(self):
        self.fail_with("open * direct", "read * short")
        for result in self.shards():
            self.good(result)
        self.merged({})
        self.assertEqual(tree(self.dst), tree(self.expected))

    def test_a_part_that_fails_in_the_middle_goes_on(self):
        self.source, self.backing = self.backing, self.dir / "target"
        self.backing.mkdir()
        self.mount()
        self.src, self.dst = self.source, self.faulty.path / "dst"
        for word in ERRNOS:
            with self.subTest(word):
                shutil.rmtree(self.backing / "dst", ignore_errors=True)
                self.fail_with(f"write {TEMP} {word} skip=2")
                results = self.shards()
                self.assertIn(1, [result.status for result in results])
                self.fail_with()
                expected = tree(self.expected)
                for path, what in tree(self.dst).items():
                    self.assertEqual(what[:2], expected[path][:2], path)
                for result in self.shards():
                    self.good(result)
                self.merged({})
                self.assertEqual(without_ctime(self.dst), without_ctime(self.expected))
                self.no_temps(self.dst)


if __name__ == "__main__":
    faults.main()
