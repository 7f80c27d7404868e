#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd materialize --containers decrypts what is inside zip archives, and leaves
the rest of them as it is."""
import hashlib
import io
import json
import os
import random
import shutil
import struct
import subprocess
import time
import unittest
import zipfile
import zlib

import tool
from test_containers import LOST, OPENS, SAMPLES, Streamed, content, in_another_way, make_zip

STATE = ".tpdfs-manifest"
KILL_SECONDS = float(os.environ.get("TPD_KILL_SECONDS", "6"))
SECRET = next(entry for entry in tool.PFILES if entry["open"] and entry["key_role"] == "cloud"
              and entry["plain_name"].endswith(".txt") and entry["compare"] == "bytes" and entry is not OPENS)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def plain_name(entry):
    path = entry["path"]
    if entry["kind"] == "rpmsg":
        return path + ".eml"
    if entry["kind"] == "pfile" and path.endswith(".jpg"):
        return path
    return os.path.join(os.path.dirname(path), os.path.basename(entry.get("plain_name") or path))


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tool.SCRATCH / self.id().rsplit(".", 2)[-2] / self.id().rsplit(".", 1)[-1]
        self.src, self.dst = self.folder / "src", self.folder / "dst"
        self.src.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def write(self, name, data):
        path = self.src / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1500000000, 1500000000))
        return path

    def materialize(self, *options, status=0, dst=None, keyring=tool.KEYRING, target=True):
        names = [self.src, dst or self.dst] if target else [self.src]
        result = tool.run("materialize", "--keyring", keyring, "--containers", *options, *names)
        self.assertEqual(result.status, status, result.stderr)
        return result

    def lines(self, name="manifest.jsonl", dst=None):
        text = ((dst or self.dst) / STATE / name).read_text(encoding="utf-8")
        return {line["path"]: line for line in map(json.loads, text.splitlines())}

    def summary(self):
        return json.loads((self.dst / STATE / "summary.json").read_text(encoding="utf-8"))

    def archive(self, name="a.zip"):
        """Members in order; everything else of the archive is sound."""
        path = self.dst / name
        subprocess.run(["unzip", "-tqq", path], check=True, capture_output=True)
        with zipfile.ZipFile(path) as archive:
            self.assertIsNone(archive.testzip())
            return [(info.filename, archive.read(info)) for info in archive.infolist()]

    def verify(self, *options, status=0):
        result = tool.run("verify", "--keyring", tool.KEYRING, *options, self.dst)
        self.assertEqual(result.status, status, result.stdout + result.stderr.encode())
        return result


class Rewritten(Case):
    def test_every_kind_of_member(self):
        readable = [entry for entry in SAMPLES if entry["open"]]
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            self.write(f"{method}.zip", make_zip([(entry["path"], content(entry)) for entry in readable], method))
        self.materialize()
        records = self.lines()
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            name = f"{method}.zip"
            found = dict(self.archive(name))
            record = records[name]
            self.assertEqual((record["kind"], record["protected"], record["verdict"], record["copy"]),
                             ("zip", True, "ok", name))
            self.assertEqual(record["plain_sha256"], sha256((self.dst / name).read_bytes()))
            self.assertEqual(record["source_sha256"], sha256((self.src / name).read_bytes()))
            members = {member["path"]: member for member in record["members"]}
            self.assertEqual(len(members), len(readable))
            for entry in readable:
                with self.subTest(name + " " + entry["path"]):
                    data = found.pop(plain_name(entry))
                    member = members[f"{name}!/{entry['path']}"]
                    self.assertEqual(member["copy"], f"{name}!/{plain_name(entry)}")
                    self.assertEqual(member["source_sha256"], sha256(content(entry)))
                    self.assertEqual(member["plain_sha256"], sha256(data))
                    self.assertEqual(member["plain_size"], len(data))
                    if entry["compare"] == "bytes":
                        self.assertEqual(sha256(data), entry["plain_sha256"])
                    elif entry["compare"] == "padded":
                        self.assertEqual(sha256(data[:entry["plain_size"]]), entry["plain_sha256"])
                    else:
                        shown = tool.run("cat", "--keyring", tool.KEYRING, tool.SHARE / entry["path"])
                        self.assertEqual(data, shown.stdout)
            self.assertEqual(found, {})
        self.assertFalse(self.lines("MISSING.jsonl"))
        self.verify()
        self.verify("--against", self.src)

    def test_what_is_not_protected_stays_byte_for_byte(self):
        """Also what stands around members: extra fields, attributes, comments."""
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for i, (name, what) in enumerate([("dir/", b""), ("dir/run.sh", b"#!/bin/sh\n" * 100), ("dir/x.ptxt", content(OPENS)),
                                              ("link", b"dir/run.sh"), ("empty", b""), ("y.txt.pfile", content(SECRET)),
                                              ("größe.txt", b"plain " * 1000)]):
                info = zipfile.ZipInfo(name, date_time=(2011 + i, 5, 6, 7, 8, 10))
                info.create_system = 3
                info.external_attr = (0o120777 if name == "link" else 0o40755 if name.endswith("/") else 0o100640 + i) << 16
                info.comment = f"comment {i}".encode()
                info.extra = struct.pack("<HHBl", 0x5455, 5, 1, 1300000000 + i) + struct.pack("<HH3s", 0xcafe, 3, b"abc")
                info.compress_type = zipfile.ZIP_DEFLATED if i % 2 else zipfile.ZIP_STORED
                archive.writestr(info, what)
            archive.comment = b"of the archive" * 4000
        before = data.getvalue()
        self.write("a.zip", before)
        self.materialize()
        after = (self.dst / "a.zip").read_bytes()
        self.archive()
        with zipfile.ZipFile(io.BytesIO(before)) as old, zipfile.ZipFile(io.BytesIO(after)) as new:
            self.assertEqual(old.comment, new.comment)
            renamed = {"dir/x.ptxt": "dir/x.txt", "y.txt.pfile": "y.txt"}
            self.assertEqual([renamed.get(info.filename, info.filename) for info in old.infolist()],
                             [info.filename for info in new.infolist()])
            for a, b in zip(old.infolist(), new.infolist()):
                self.assertEqual((a.date_time, a.external_attr, a.comment, a.extra, a.create_system),
                                 (b.date_time, b.external_attr, b.comment, b.extra, b.create_system))
                if a.filename in renamed:
                    entry = OPENS if a.filename == "dir/x.ptxt" else SECRET
                    self.assertEqual(sha256(new.read(b)), entry["plain_sha256"])
                    self.assertEqual(b.compress_type, zipfile.ZIP_STORED)
                    continue
                self.assertEqual((a.compress_type, a.compress_size, a.file_size, a.CRC, a.flag_bits),
                                 (b.compress_type, b.compress_size, b.file_size, b.CRC, b.flag_bits))
                length = 30 + len(a.filename.encode()) + len(a.extra) + a.compress_size
                self.assertEqual(before[a.header_offset:a.header_offset + length],
                                 after[b.header_offset:b.header_offset + length])
        self.assertEqual((self.dst / "a.zip").stat().st_mtime, 1500000000)

    def test_the_same_bytes_every_time(self):
        self.write("a.zip", make_zip([(entry["path"], content(entry)) for entry in SAMPLES]))
        self.materialize(status=1)
        other = self.folder / "other"
        self.materialize(status=1, dst=other)
        self.assertEqual((self.dst / "a.zip").read_bytes(), (other / "a.zip").read_bytes())
        self.assertEqual((self.dst / STATE / "manifest.jsonl").read_bytes(), (other / STATE / "manifest.jsonl").read_bytes())

    def test_names_by_rule(self):
        data = content(OPENS)
        with self.assertWarns(UserWarning):
            self.write("a.zip", make_zip([("d/x.txt.pfile", data), ("d/X.TXT", b"taken"), ("e/x.ptxt", data),
                                          ("e/x.txt.pfile", data), ("f/x.txt.pfile", data), ("twice.txt.pfile", data),
                                          ("twice.txt.pfile", data), ("g.txt.pfile", data), ("g.txt/inside", b"x"),
                                          ("../up.txt.pfile", data), ("/abs.txt.pfile", data), ("harmless.bin", data)]))
        self.materialize()
        with zipfile.ZipFile(self.dst / "a.zip") as archive:
            names = archive.namelist()
            texts = [archive.read(info) for info in archive.infolist() if info.filename not in ("d/X.TXT", "g.txt/inside")]
        self.assertEqual(names, ["d/x.txt.pfile.txt", "d/X.TXT", "e/x.ptxt.txt", "e/x.txt.pfile.txt", "f/x.txt",
                                 "twice.txt.pfile", "twice.txt.pfile", "g.txt.pfile.txt", "g.txt/inside", "../up.txt",
                                 "/abs.txt", "harmless.bin"])
        self.assertEqual({sha256(text) for text in texts}, {OPENS["plain_sha256"]})
        paths = [member["path"] for member in self.lines()["a.zip"]["members"]]
        self.assertIn("a.zip!2/twice.txt.pfile", paths)
        self.verify("--against", self.src)

    def test_names_in_two_codings(self):
        """Info-ZIP's Unicode path beside a name in another character set."""
        old = "gr\x94\xe1e.txt.pfile".encode("latin-1")
        unicode = "größe.txt.pfile".encode()
        info = zipfile.ZipInfo("g" + "x" * (len(old) - 1))
        info.extra = struct.pack("<HHBL", 0x7075, 5 + len(unicode), 1, zlib.crc32(old)) + unicode
        data = make_zip([(info, content(OPENS))])
        self.write("a.zip", data.replace(("g" + "x" * (len(old) - 1)).encode(), old))
        self.materialize()
        after = (self.dst / "a.zip").read_bytes()
        new = old.removesuffix(b".pfile")
        self.assertEqual(after.count(new), 2)
        field = struct.pack("<HHBL", 0x7075, 5 + len(unicode) - 6, 1, zlib.crc32(new)) + unicode[:-6]
        self.assertEqual(after.count(field), 2)
        self.assertNotIn(b".pfile", after)

    def test_streamed_zip64_and_junk_between(self):
        stream = Streamed()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in (("p.txt", b"plain" * 50), ("x.txt.pfile", content(OPENS)), ("q.txt", b"more" * 50)):
                with archive.open(name, "w", force_zip64=name == "x.txt.pfile") as member:
                    member.write(data)
        self.write("streamed.zip", bytes(stream.data))
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for name, what in (("p.txt", b"plain"), ("big.txt.pfile", content(OPENS))):
                with archive.open(name, "w", force_zip64=True) as member:
                    member.write(what)
        self.write("zip64.zip", data.getvalue())
        self.materialize()
        for name, wanted in (("streamed.zip", {"p.txt": b"plain" * 50, "q.txt": b"more" * 50}), ("zip64.zip", {"p.txt": b"plain"})):
            found = dict(self.archive(name))
            [text] = [found.pop(key) for key in ("x.txt", "big.txt") if key in found]
            self.assertEqual(sha256(text), OPENS["plain_sha256"])
            self.assertEqual(found, wanted)

    def test_more_members_than_16_bits_count(self):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for i in range(66000):
                archive.writestr(f"{i}", b"")
            archive.writestr("x.txt.pfile", content(OPENS))
        self.write("a.zip", data.getvalue())
        self.materialize()
        with zipfile.ZipFile(self.dst / "a.zip") as archive:
            self.assertEqual(len(archive.namelist()), 66001)
            self.assertEqual(sha256(archive.read("x.txt")), OPENS["plain_sha256"])

    def test_archives_inside_archives(self):
        inner = make_zip([("plain.txt", b"plain"), ("x.txt.pfile", content(OPENS))], comment=b"inner")
        self.write("a.zip", make_zip([("in/inner.zip", inner), ("in/plain.zip", make_zip([("y", b"y")])),
                                      ("in/more.zip", make_zip([("inner.zip", inner)])), ("z.txt.pfile", content(SECRET))]))
        self.materialize()
        found = dict(self.archive())
        self.assertEqual(sha256(found["z.txt"]), SECRET["plain_sha256"])
        with zipfile.ZipFile(io.BytesIO(found["in/more.zip"])) as more:
            nested = more.read("inner.zip")
        self.assertEqual(nested, found["in/inner.zip"])
        with zipfile.ZipFile(io.BytesIO(nested)) as archive:
            self.assertEqual(archive.comment, b"inner")
            self.assertEqual(archive.namelist(), ["plain.txt", "x.txt"])
            self.assertEqual(sha256(archive.read("x.txt")), OPENS["plain_sha256"])
        paths = {member["path"]: member["copy"] for member in self.lines()["a.zip"]["members"]}
        self.assertEqual(paths["a.zip!/in/more.zip!/inner.zip!/x.txt.pfile"], "a.zip!/in/more.zip!/inner.zip!/x.txt")
        self.assertEqual(len(paths), 3)
        self.verify("--against", self.src)

    def test_only_protected(self):
        self.write("a.zip", make_zip([("x.txt.pfile", content(OPENS))]))
        self.write("plain.zip", make_zip([("x.txt", b"plain")]))
        self.materialize("--only-protected")
        self.assertEqual({path.name for path in self.dst.iterdir()}, {"a.zip", STATE})


class Unreadable(Case):
    def setUp(self):
        super().setUp()
        self.before = make_zip([("a.txt", b"plain"), ("lost.txt.pfile", content(LOST)), ("x.txt.pfile", content(OPENS))])
        self.write("sub/a.zip", self.before)

    def check_missing(self, copy):
        [missing] = self.lines("MISSING.jsonl").values()
        self.assertEqual((missing["path"], missing["verdict"]), ("sub/a.zip!/lost.txt.pfile", "no-key"))
        self.assertEqual(missing["key"]["guid"], LOST["key_guid"])
        [member] = [member for member in self.lines()["sub/a.zip"]["members"] if member["verdict"] == "no-key"]
        self.assertEqual((member["path"], member.get("copy")), ("sub/a.zip!/lost.txt.pfile", copy))

    def test_left_out(self):
        result = self.materialize(status=1)
        self.assertIn("sub/a.zip!/lost.txt.pfile: no-key", result.stderr)
        self.assertEqual([name for name, _ in self.archive("sub/a.zip")], ["a.txt", "x.txt"])
        self.check_missing(None)
        self.verify("--against", self.src)
        # It is tried again, and told again, until it opens.
        first = (self.dst / STATE / "manifest.jsonl").read_bytes()
        self.materialize(status=1)
        self.check_missing(None)
        self.assertEqual((self.dst / STATE / "manifest.jsonl").read_bytes(), first)
        self.assertEqual([name for name, _ in self.archive("sub/a.zip")], ["a.txt", "x.txt"])

    def test_another_name_is_tried_again_too(self):
        os.link(self.src / "sub/a.zip", self.src / "b.zip")
        os.link(self.src / "sub/a.zip", self.src / "sub/c.zip")
        for _ in range(3):
            self.materialize(status=1)
            [missing] = self.lines("MISSING.jsonl").values()
            self.assertEqual((missing["path"].split("!")[1], missing["verdict"]), ("/lost.txt.pfile", "no-key"))
            self.assertEqual({(self.dst / name).stat().st_ino for name in ("sub/a.zip", "b.zip", "sub/c.zip")},
                             {(self.dst / "b.zip").stat().st_ino})
            self.verify("--against", self.src)

    def test_copied(self):
        self.materialize("--unreadable", "copy", status=1)
        found = dict(self.archive("sub/a.zip"))
        self.assertEqual(list(found), ["a.txt", "lost.txt.pfile", "x.txt"])
        self.assertEqual(found["lost.txt.pfile"], content(LOST))
        self.check_missing("sub/a.zip!/lost.txt.pfile")
        self.verify("--against", self.src)

    def test_opens_when_the_key_is_there(self):
        self.materialize(status=1, keyring=tool.NO_KEYS)
        self.assertEqual([name for name, _ in self.archive("sub/a.zip")], ["a.txt"])
        self.assertEqual(len(self.lines("MISSING.jsonl")), 2)
        self.materialize(status=1)
        self.assertEqual([name for name, _ in self.archive("sub/a.zip")], ["a.txt", "x.txt"])
        self.assertEqual(len(self.lines("MISSING.jsonl")), 1)

    def test_damaged_member(self):
        data = bytearray(make_zip([("x.txt.pfile", content(OPENS)), ("y.txt.pfile", content(SECRET))], zipfile.ZIP_STORED))
        data[data.index(content(OPENS)) + OPENS["size"] - 100] ^= 1
        self.write("sub/a.zip", bytes(data))
        self.materialize(status=1)
        [missing] = self.lines("MISSING.jsonl").values()
        self.assertEqual((missing["path"], missing["verdict"]), ("sub/a.zip!/x.txt.pfile", "damaged"))
        self.assertEqual([name for name, _ in self.archive("sub/a.zip")], ["y.txt"])


class Runs(Case):
    def test_without_the_option_archives_stay_and_that_is_said(self):
        data = make_zip([("x.txt.pfile", content(OPENS)), ("in.zip", make_zip([("y.pfile", content(LOST))]))])
        self.write("a.zip", data)
        self.write("plain.zip", make_zip([("x.txt", b"plain")]))
        result = tool.run("materialize", "--keyring", tool.KEYRING, self.src, self.dst)
        self.assertEqual(result.status, 0, result.stderr)
        self.assertEqual((self.dst / "a.zip").read_bytes(), data)
        records = self.lines()
        self.assertIn("2 protected members", records["a.zip"]["message"])
        self.assertIn("--containers", records["a.zip"]["message"])
        self.assertIsNone(records["plain.zip"]["message"])
        summary = self.summary()
        self.assertEqual((summary["archives_left_protected"], summary["archive_members_left_protected"]), (1, 2))
        self.assertIn(b"Protected in archives:", result.stdout)
        self.verify("--against", self.src)
        # With it, they are done now.
        self.materialize(status=1)
        self.assertEqual([name for name, _ in self.archive("a.zip")], ["x.txt", "in.zip"])

    def test_finished_ones_are_not_done_again(self):
        self.write("a.zip", make_zip([("x.txt.pfile", content(OPENS)), ("y.txt.pfile", content(SECRET))]))
        self.materialize()
        summary = self.summary()
        self.assertEqual((summary["archives"], summary["archive_members"], summary["finished_before"]), (1, 2, 0))
        status = (self.dst / "a.zip").stat()
        self.materialize()
        self.assertEqual((self.dst / "a.zip").stat().st_ino, status.st_ino)
        summary = self.summary()
        self.assertEqual((summary["archives"], summary["finished_before"]), (0, 1))

    def fill(self):
        self.write("a.zip", make_zip([("x.txt.pfile", content(OPENS)), ("in.zip", make_zip([("y.pfile", content(SECRET))]))]))
        self.write("b/bad.zip", make_zip([("x.txt.pfile", content(OPENS)), ("lost.pfile", content(LOST))]))
        self.write("b/plain.zip", make_zip([("x.txt", b"plain")]))
        self.write("partly.zip", in_another_way([("x.pfile", content(OPENS))]))
        self.write("b/x.txt.pfile", content(SECRET))

    def test_dry_run_tells_what_the_run_does(self):
        self.fill()

        def told(*options, **more):
            result = self.materialize(*options, status=1, **more)
            lines = result.stdout.decode().splitlines()
            kept = [line for line in lines if line.startswith(("Decrypted", "Archives", "Copied", "Failed", "Left"))]
            warned = [line for line in result.stderr.splitlines() if "lost.pfile" in line]
            return kept, warned

        dry = told("--dry-run")
        self.assertFalse(self.dst.exists())
        self.assertIn("Archives rewritten:    2", dry[0])
        self.assertIn("Decrypted in archives: 3", dry[0])
        self.assertEqual(len(dry[1]), 1)
        self.assertEqual(dry, told())
        place = ("--in-place", "--originals", self.folder / "originals")
        dry = told(*place, "--dry-run", target=False)
        self.assertIn("Archives rewritten:    1", dry[0])
        self.assertEqual(dry, told(*place, target=False))

    def test_what_was_not_looked_into_is_told(self):
        self.fill()
        self.write("both.zip", in_another_way([("x.pfile", content(OPENS)), ("y.txt.pfile", content(SECRET))]))
        result = self.materialize(status=1)
        self.assertIn(b"Archives partly seen:  2", result.stdout)
        self.assertEqual(self.summary()["archives_partly_looked_into"], 2)
        records = self.lines()
        for name in ("partly.zip", "both.zip"):
            self.assertIn("not all of the archive could be looked into", records[name]["message"])
        self.assertIsNone(records["b/plain.zip"]["message"])
        # And is as it was.
        with zipfile.ZipFile(self.dst / "both.zip") as archive:
            self.assertEqual([(info.filename, info.compress_type) for info in archive.infolist()],
                             [("x.pfile", 9), ("y.txt", zipfile.ZIP_STORED)])
            self.assertEqual(sha256(archive.read("y.txt")), SECRET["plain_sha256"])
        self.assertEqual((self.dst / "partly.zip").read_bytes(), (self.src / "partly.zip").read_bytes())

    def test_other_options_over_the_same_copy(self):
        self.fill()
        fresh = {}
        for options in ((), ("--containers",), ("--containers", "--unreadable", "copy")):
            dst = self.folder / ("fresh" + "".join(options))
            tool.run("materialize", "--keyring", tool.KEYRING, *options, self.src, dst)
            fresh[options] = {path.relative_to(dst): path.read_bytes() for path in dst.rglob("*")
                              if path.is_file() and STATE not in path.parts}
        for options in (*fresh, *reversed(fresh), *fresh):
            tool.run("materialize", "--keyring", tool.KEYRING, *options, self.src, self.dst)
            self.assertEqual({path.relative_to(self.dst): path.read_bytes() for path in self.dst.rglob("*")
                              if path.is_file() and STATE not in path.parts},
                             fresh[options])
            self.verify("--against", self.src)

    def test_verify_finds_a_changed_source_and_copy(self):
        path = self.write("a.zip", make_zip([("x.txt.pfile", content(OPENS))]))
        self.materialize()
        self.verify("--against", self.src)
        copy = self.dst / "a.zip"
        data = bytearray(copy.read_bytes())
        data[len(data) // 2] ^= 1
        copy.write_bytes(data)
        self.verify(status=1)
        data[len(data) // 2] ^= 1
        copy.write_bytes(data)
        self.verify()
        path.write_bytes(make_zip([("x.txt.pfile", content(SECRET))]))
        self.verify("--against", self.src, status=1)

    def test_no_scratch_is_left(self):
        inner = make_zip([("fill", os.urandom(12 * 1024 * 1024)), ("x.txt.pfile", content(OPENS))])
        self.write("a.zip", make_zip([("inner.zip", inner)]))
        self.materialize()
        self.assertEqual(sorted(path.name for path in (self.dst / STATE).iterdir()),
                         ["MISSING.jsonl", "journal.jsonl", "manifest.jsonl", "summary.json"])
        found = dict(self.archive())
        with zipfile.ZipFile(io.BytesIO(found["inner.zip"])) as archive:
            self.assertEqual(sha256(archive.read("x.txt")), OPENS["plain_sha256"])


    def test_origin_of_what_was_taken_out(self):
        self.write("sub/a.zip", make_zip([("x.txt.pfile", content(OPENS)), ("in.zip", make_zip([("y.txt.pfile", content(SECRET))]))]))
        self.materialize()
        for entry, original in ((OPENS, "sub/a.zip!/x.txt.pfile"), (SECRET, "sub/a.zip!/in.zip!/y.txt.pfile")):
            result = tool.run("origin", "--json", "--manifest", self.dst, entry["plain_sha256"])
            [found] = result.objects()
            self.assertTrue(found["original"].endswith("/" + original), found["original"])
            self.assertIn(entry["content_id"], result.stdout.decode())


class InPlace(Case):
    def run_in_place(self, *options, status=0):
        return self.materialize("--in-place", "--originals", self.folder / "originals", *options, status=status, target=False)

    def test_the_archive_is_replaced_and_the_original_kept(self):
        before = make_zip([("x.txt.pfile", content(OPENS)), ("p.txt", b"plain")])
        path = self.write("a.zip", before)
        self.run_in_place()
        self.assertEqual((self.folder / "originals" / "a.zip").read_bytes(), before)
        with zipfile.ZipFile(path) as archive:
            self.assertEqual(archive.namelist(), ["x.txt", "p.txt"])
            self.assertEqual(sha256(archive.read("x.txt")), OPENS["plain_sha256"])
        after = path.read_bytes()
        self.run_in_place()
        self.assertEqual(path.read_bytes(), after)

    def test_one_that_does_not_open_as_a_whole_is_left(self):
        before = make_zip([("x.txt.pfile", content(OPENS)), ("lost.pfile", content(LOST))])
        path = self.write("a.zip", before)
        for _ in range(2):
            result = self.run_in_place(status=1)
            self.assertIn("a.zip!/lost.pfile: no-key", result.stderr)
            self.assertEqual(path.read_bytes(), before)
        self.assertEqual([name.name for name in self.src.iterdir()], ["a.zip"])


class FullDisk(Case):
    def test_only_what_is_to_be_decrypted_needs_the_room(self):
        mount = tool.small_disk(self, self.folder / "small", "4m")
        inner = make_zip([("fill", bytes(20 << 20)), ("x.txt.pfile", content(OPENS))], zipfile.ZIP_STORED)
        data = make_zip([("inner.zip", inner)])
        self.write("a.zip", data)
        result = tool.run("materialize", "--keyring", tool.KEYRING, self.src, mount / "plain")
        self.assertEqual(result.status, 0, result.stderr)
        self.assertEqual((mount / "plain/a.zip").read_bytes(), data)
        self.assertIn("not all of the archive", self.lines(dst=mount / "plain")["a.zip"]["message"])
        result = self.materialize(dst=mount / "dst", status=1)
        self.assertIn("No space left", result.stderr)
        self.assertFalse((mount / "dst/a.zip").exists())
        subprocess.run(["mount", "-o", "remount,size=200m", mount], check=True)
        self.materialize(dst=mount / "dst")
        with zipfile.ZipFile(mount / "dst/a.zip") as archive, zipfile.ZipFile(archive.open("inner.zip")) as nested:
            self.assertEqual(sha256(nested.read("x.txt")), OPENS["plain_sha256"])


class Killed(Case):
    def setUp(self):
        super().setUp()
        readable = [(entry["path"], content(entry)) for entry in SAMPLES if entry["open"]]
        for number in range(12):
            inner = make_zip([(f"{number}.txt", b"plain"), *readable[number % 5:]])
            self.write(f"{number % 3}/{number}.zip", make_zip([("in.zip", inner), ("x.txt.pfile", content(OPENS))]))
        self.before = {path.relative_to(self.src): path.read_bytes() for path in self.src.rglob("*.zip")}
        self.materialize(dst=self.folder / "expected")
        self.after = {name: (self.folder / "expected" / name).read_bytes() for name in self.before}

    def killed(self, *arguments):
        deadline, kills, chance = time.monotonic() + KILL_SECONDS / 2, 0, random.Random(11)
        while time.monotonic() < deadline:
            process = tool.popen("materialize", "-q", "--keyring", tool.KEYRING, "--containers", *arguments)
            time.sleep(chance.uniform(0.02, 0.4))
            process.kill()
            process.communicate()
            kills += 1
            yield
        self.assertGreater(kills, 3)

    def test_each_copy_is_whole_or_not_there(self):
        for _ in self.killed(self.src, self.dst):
            for path in self.dst.rglob("*.zip"):
                self.assertEqual(path.read_bytes(), self.after[path.relative_to(self.dst)])
        self.materialize()
        for name in ("manifest.jsonl", "MISSING.jsonl"):
            self.assertEqual((self.dst / STATE / name).read_bytes(),
                             (self.folder / "expected" / STATE / name).read_bytes())
        self.assertEqual({path.relative_to(self.dst) for path in self.dst.rglob("*")
                          if path.is_file() and STATE not in path.parts}, set(self.after))
        self.verify("--against", self.src)

    def test_in_place_no_original_is_lost(self):
        originals = self.folder / "originals"
        for _ in self.killed("--in-place", "--originals", originals, self.src):
            for name, before in self.before.items():
                data, kept = (self.src / name).read_bytes(), originals / name
                self.assertIn(data, (before, self.after[name]))
                if data != before:
                    self.assertEqual(kept.read_bytes(), before)
        self.materialize("--in-place", "--originals", originals, target=False)
        for name, before in self.before.items():
            self.assertEqual((self.src / name).read_bytes(), self.after[name])
            self.assertEqual((originals / name).read_bytes(), before)
        self.assertEqual({path.relative_to(self.src) for path in self.src.rglob("*") if path.is_file()}, set(self.before))
        done = tool.run("verify", originals)
        self.assertEqual(done.status, 0, done.stdout)


class Hostile(Case):
    def test_others_go_on(self):
        data = make_zip([("x.txt.pfile", content(OPENS)), ("y.txt.pfile", content(SECRET))])
        for cut in (50, len(data) // 2, len(data) - 1):
            self.write(f"cut{cut}.zip", data[:cut])
        at = data.index(b"PK\1\2")
        for number, (field, form, value) in enumerate([(20, "<I", 0xfffffff0), (24, "<I", 0xfffffff0), (42, "<I", 1),
                                                       (24, "<I", 10), (16, "<I", 12345)]):
            changed = bytearray(data)
            struct.pack_into(form, changed, at + field, value)
            self.write(f"wrong{number}.zip", bytes(changed))
        self.write("good.zip", data)
        result = tool.run("materialize", "--keyring", tool.KEYRING, "--containers", self.src, self.dst)
        self.assertIn(result.status, (0, 1), result.stderr)
        self.assertEqual([name for name, _ in self.archive("good.zip")], ["x.txt", "y.txt"])
        missing = {path.split("!")[0] for path in self.lines("MISSING.jsonl")}
        for path in self.src.iterdir():
            copy = self.dst / path.name
            record = self.lines().get(path.name)
            if record is None:
                self.assertIn(path.name, missing)
                self.assertFalse(copy.exists())
            elif not record["protected"]:
                self.assertEqual(copy.read_bytes(), path.read_bytes())
            else:
                # What is wrong with the others stays so.
                with zipfile.ZipFile(copy) as archive:
                    for member in record["members"]:
                        if member["verdict"] == "ok":
                            self.assertIn(member["plain_sha256"], (OPENS["plain_sha256"], SECRET["plain_sha256"]))
                            text = archive.read(member["copy"].split("!/")[1])
                            self.assertEqual(sha256(text), member["plain_sha256"])

    def test_overlap_is_copied_as_it_is(self):
        data = make_zip([("x.txt.pfile", content(OPENS))])
        at = data.index(b"PK\1\2")
        record, end = data[at:data.index(b"PK\5\6")], bytearray(data[data.index(b"PK\5\6"):])
        struct.pack_into("<HHI", end, 8, 2, 2, len(record) * 2)
        self.write("a.zip", data[:at] + record * 2 + bytes(end))
        self.materialize()
        self.assertEqual((self.dst / "a.zip").read_bytes(), data[:at] + record * 2 + bytes(end))

    def test_links_and_locked_members_stay(self):
        link = zipfile.ZipInfo("link.txt.pfile")
        link.create_system = 3
        link.external_attr = 0o120777 << 16
        data = bytearray(make_zip([("x.txt.pfile", content(OPENS)), (link, content(OPENS)), ("secret.pfile", content(OPENS))],
                                  zipfile.ZIP_STORED))
        data[data.rindex(b"PK\3\4") + 6] |= 1
        data[data.rindex(b"PK\1\2") + 8] |= 1
        self.write("a.zip", bytes(data))
        self.materialize()
        with zipfile.ZipFile(self.dst / "a.zip") as archive:
            self.assertEqual(archive.namelist(), ["x.txt", "link.txt.pfile", "secret.pfile"])
            self.assertEqual(archive.read("link.txt.pfile"), content(OPENS))
            self.assertEqual(archive.infolist()[2].flag_bits & 1, 1)


if __name__ == "__main__":
    unittest.main()
