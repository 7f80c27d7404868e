#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd scan and preflight look into zip archives, and hostile ones do no harm."""
import io
import os
import resource
import shutil
import sqlite3
import struct
import tarfile
import time
import unittest
import zipfile

import tool

KINDS = {"office-ooxml": "ooxml", "office-legacy": "ole", "pdf-v1": "pdf", "pdf-v2": "pdf", "pdf-payload": "pdf"}
SEALED = [entry for entry in tool.MANIFEST if entry["kind"] != "symlink" and entry["protected"] and entry["size"] > 0]
SAMPLES = {}
for _entry in SEALED:
    SAMPLES.setdefault((_entry["kind"], _entry.get("key_role"), _entry["open"]), _entry)
SAMPLES = list(SAMPLES.values())
OPENS = next(entry for entry in tool.PFILES if entry["open"] and entry["key_role"] == "cloud"
             and entry["plain_name"].endswith(".txt") and entry["compare"] == "bytes")
LOST = next(entry for entry in SEALED if entry.get("key_role") == "lost" and entry["kind"] == "pfile")


def content(entry):
    return (tool.SHARE / entry["path"]).read_bytes()


def make_zip(members, method=zipfile.ZIP_DEFLATED, comment=b""):
    """Members: (name or ZipInfo, bytes)."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, what in members:
            archive.writestr(name, what, compress_type=method)
        archive.comment = comment
    return data.getvalue()


def make_tar(members):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, what in members:
            info = tarfile.TarInfo(name)
            info.size = len(what)
            archive.addfile(info, io.BytesIO(what))
    return data.getvalue()


def in_another_way(members, method=9):
    """As if compressed by a method that is not read: 9 is Deflate64, 98 PPMd."""
    data = bytearray(make_zip(members))
    at = data.index(b"PK\1\2")
    header, = struct.unpack_from("<I", data, at + 42)
    struct.pack_into("<H", data, at + 10, method)
    struct.pack_into("<H", data, header + 8, method)
    return bytes(data)


def of_samples(method=zipfile.ZIP_DEFLATED):
    return make_zip([(entry["path"], content(entry)) for entry in SAMPLES], method)


def zeros(name, n, head=b"", method=zipfile.ZIP_DEFLATED):
    """An archive of one member, without holding that in memory."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.compress_type = method
        with archive.open(info, "w") as member:
            member.write(head)
            for _ in range(n):
                member.write(bytes(1024 * 1024))
    return data.getvalue()


class Streamed(io.RawIOBase):
    """Cannot be sought: sizes come behind the data."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += data
        return len(data)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tool.SCRATCH / self.id().rsplit(".", 2)[-2] / self.id().rsplit(".", 1)[-1]
        self.root = self.folder / "root"
        self.root.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.index = self.folder / "index.sqlite"

    def write(self, name, data):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def run_tool(self, command, *options, keyring=tool.KEYRING):
        return tool.run(command, "--keyring", keyring, "--index", self.index, *options, "--", self.root)

    def objects(self, *options, command="scan", **more):
        result = self.run_tool(command, "--json", *options, **more)
        self.assertIn(result.status, (0, 1), result.stderr)
        return result.objects()

    def members(self, *options, **more):
        """The objects of a scan by path below the root."""
        prefix = str(self.root) + "/"
        return {shown["path"].removeprefix(prefix): shown for shown in self.objects(*options, **more)}

    def paper(self, *options, **more):
        *lines, summary = self.objects(*options, command="preflight", **more)
        tables = {}
        for line in lines:
            tables.setdefault(line["table"], {})[line["path"].removeprefix(str(self.root) + "/")] = line
        for name, count in summary["tables"].items():
            found = tables.get(name, {})
            self.assertEqual((count["files"], count["bytes"]),
                             (len(found), sum(line["source_size"] or 0 for line in found.values())), name)
        return summary, tables

    def opaque(self):
        """How the index calls the archives."""
        with sqlite3.connect(f"file:{self.index}?mode=ro", uri=True) as db:
            return dict(db.execute("SELECT substr(path, ?), opaque FROM file WHERE member = 0",
                                   (len(os.path.realpath(self.root)) + 2,)))

    def check_samples(self, members, prefix, words=("ok", "key-held")):
        for entry in SAMPLES:
            with self.subTest(prefix + entry["path"]):
                shown = members.pop(prefix + entry["path"])
                self.assertEqual(shown["kind"], KINDS.get(entry["kind"], entry["kind"]))
                self.assertEqual(shown["source_size"], entry["size"])
                self.assertIn(shown["verdict"], words if entry["open"] else tool.expected_verdicts(entry))
                if entry.get("key_fingerprint") and shown["key"]:
                    self.assertEqual(shown["key"]["fingerprint"], entry["key_fingerprint"])
                if entry["open"] and entry["compare"] == "bytes" and shown["plain_size"] is not None:
                    self.assertEqual(shown["plain_size"], entry["plain_size"])
                if entry["open"]:
                    self.assertEqual(shown["content_id"], entry.get("content_id", shown["content_id"]))


class Members(Case):
    def test_every_kind_of_member_is_told_by_every_method(self):
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            self.write(f"sub/{method}.zip", of_samples(method))
        members = self.members("--deep")
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            self.check_samples(members, f"sub/{method}.zip!/", words=("ok",))
        self.assertEqual(members, {})

    def test_plain_members_are_not_told(self):
        self.write("a.zip", make_zip([("x.txt", b"plain"), ("empty", b""), ("dir/", b""), ("d/y.pfile", content(OPENS))]))
        self.assertEqual(set(self.members()), {"a.zip!/d/y.pfile"})

    def test_without_keys(self):
        self.write("a.zip", make_zip([("x.pfile", content(OPENS))]))
        [shown] = self.members(keyring=tool.NO_KEYS).values()
        self.assertEqual((shown["verdict"], shown["key"]["held"]), ("no-key", False))
        self.assertEqual(shown["key"]["guid"], OPENS["key_guid"])
        # The key is there now: the index knows the rest.
        [shown] = self.members().values()
        self.assertIn(shown["verdict"], ("ok", "key-held"))
        self.assertTrue(shown["key"]["held"])

    def test_archives_inside_archives(self):
        data = make_zip([("x.pfile", content(OPENS))])
        for depth in range(1, 6):
            self.write(f"{depth}.zip", data)
            data = make_zip([(f"in/{depth}.zip", data)], zipfile.ZIP_STORED if depth % 2 else zipfile.ZIP_DEFLATED)
        self.assertEqual(set(self.members()), {"1.zip!/x.pfile", "2.zip!/in/1.zip!/x.pfile",
                                               "3.zip!/in/2.zip!/in/1.zip!/x.pfile",
                                               "4.zip!/in/3.zip!/in/2.zip!/in/1.zip!/x.pfile"})
        # What is deeper was not looked into, and that is said.
        self.assertEqual(self.opaque(), {"1.zip": None, "2.zip": None, "3.zip": None, "4.zip": None, "5.zip": "archive"})

    def test_a_mark_in_front(self):
        """Archives that were to be split have it, also those that are not."""
        sealed = next(entry for entry in SEALED if entry["kind"] == "pdf-v2" and entry["open"])
        for mark in (b"PK00", b"PK\7\10"):
            data = io.BytesIO(mark)
            data.seek(4)
            with zipfile.ZipFile(data, "a") as archive:
                archive.writestr("x.pdf", content(sealed))
            self.write(f"{mark[2]}.zip", data.getvalue())
        self.write("part.z01", b"PK\7\10" + make_zip([("x.pfile", content(OPENS))])[:5000])
        self.assertEqual(set(self.members()), {"48.zip!/x.pdf", "7.zip!/x.pdf"})
        self.assertEqual(self.opaque(), {"48.zip": None, "7.zip": None, "part.z01": "archive"})

    def test_by_content_not_by_name(self):
        self.write("a.dat", make_zip([("harmless.bin", content(OPENS))]))
        self.assertEqual(set(self.members()), {"a.dat!/harmless.bin"})

    def test_documents_are_no_archives(self):
        inside = ("embedded.pfile", content(OPENS))
        for first in ("[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF", "_rels/.rels"):
            name = first.replace("/", "_")
            self.write(f"{name}.first", make_zip([(first, b"x"), inside]))
            self.write(f"{name}.last", make_zip([inside, (first, b"x")]))
            self.write(f"{name}.zip", make_zip([("d", make_zip([(first, b"x"), inside]))]))
        self.assertEqual(self.members(), {})
        self.assertEqual(set(self.opaque().values()), {None})

    def test_streamed_and_zip64(self):
        stream = Streamed()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("x.pfile", "w") as member:
                member.write(content(OPENS))
            with archive.open("y.pfile", "w", force_zip64=True) as member:
                member.write(content(OPENS))
        self.write("streamed.zip", bytes(stream.data))
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            with archive.open("big.pfile", "w", force_zip64=True) as member:
                member.write(content(OPENS))
        self.write("zip64.zip", data.getvalue())
        self.write("comment.zip", make_zip([("x.pfile", content(OPENS))], comment=b"PK\5\6" * 16000))
        self.assertEqual(set(self.members("--deep")), {"streamed.zip!/x.pfile", "streamed.zip!/y.pfile",
                                                       "zip64.zip!/big.pfile", "comment.zip!/x.pfile"})

    def test_large_members_go_through_a_file(self):
        plain = os.urandom(1024 * 1024) * 24
        self.write("a.zip", make_zip([("inner.zip", make_zip([("fill", plain), ("x.pfile", content(OPENS))],
                                                             zipfile.ZIP_STORED))]))
        self.assertEqual(set(self.members()), {"a.zip!/inner.zip!/x.pfile"})


class Index(Case):
    def test_incremental(self):
        path = self.write("a.zip", make_zip([("x.pfile", content(OPENS)), ("y.pfile", content(LOST))]))
        self.write("a.zip!3.zip", make_zip([("z.pfile", content(OPENS))]))
        first = self.members()
        self.assertEqual(set(first), {"a.zip!/x.pfile", "a.zip!/y.pfile", "a.zip!3.zip!/z.pfile"})
        [totals] = self.objects("--summary")
        self.assertEqual((totals["opened"], totals["known"], totals["files"]), (0, 2, 2))
        self.assertEqual(totals["members"]["files"], 3)
        self.assertEqual(totals["containers"]["files"], 2)
        self.assertEqual(totals["protected"]["files"], 3)
        self.assertEqual(self.members(), first)
        path.write_bytes(make_zip([("other.pfile", content(OPENS))]))
        self.assertEqual(set(self.members()), {"a.zip!/other.pfile", "a.zip!3.zip!/z.pfile"})
        path.write_bytes(b"no archive any more, and of no other length by chance")
        self.assertEqual(set(self.members()), {"a.zip!3.zip!/z.pfile"})
        (self.root / "a.zip!3.zip").unlink()
        self.assertEqual(self.members(), {})
        with sqlite3.connect(self.index) as db:
            self.assertEqual(db.execute("SELECT count(*) FROM document").fetchone(), (0,))
            self.assertEqual(db.execute("SELECT count(*) FROM keys_needed").fetchone(), (0,))

    def test_switched_off_and_on(self):
        self.write("a.zip", make_zip([("x.pfile", content(OPENS))]))
        self.assertEqual(self.members("--no-containers"), {})
        self.assertEqual(self.opaque(), {"a.zip": "archive"})
        self.assertEqual(set(self.members()), {"a.zip!/x.pfile"})
        self.assertEqual(self.opaque(), {"a.zip": None})

    def test_every_name_of_an_archive_has_its_members(self):
        path = self.write("a.zip", make_zip([("x.pfile", content(OPENS))]))
        os.link(path, self.root / "b.zip")
        for _ in range(2):
            self.assertEqual(set(self.members()), {"a.zip!/x.pfile", "b.zip!/x.pfile"})

    def test_same_names_and_names_that_are_no_names(self):
        with self.assertWarns(UserWarning):
            data = make_zip([("x.pfile", content(OPENS)), ("x.pfile", content(LOST)), ("../../etc/up.pfile", content(OPENS)),
                             ("/abs.pfile", content(OPENS)), ("n\x01l.pfile", content(OPENS))])
        self.write("a.zip", data.replace(b"n\x01l", b"n\0l"))
        members = self.members()
        self.assertEqual(set(members), {"a.zip!/x.pfile", "a.zip!2/x.pfile", "a.zip!/../../etc/up.pfile",
                                        "a.zip!//abs.pfile", "a.zip!/n\\0l.pfile"})
        self.assertEqual(members["a.zip!2/x.pfile"]["verdict"], "no-key")

    def test_include_means_the_archive(self):
        self.write("a.zip", make_zip([("x.pfile", content(OPENS))]))
        self.write("b.zip", make_zip([("x.pfile", content(OPENS))]))
        self.assertEqual(set(self.members("--include", "a.*")), {"a.zip!/x.pfile"})

    def test_an_index_of_before_is_set_aside(self):
        self.write("a.zip", make_zip([("x.pfile", content(OPENS))]))
        self.members()
        with sqlite3.connect(self.index) as db:
            db.execute("PRAGMA user_version = 2")
        result = self.run_tool("scan", "--json")
        self.assertEqual(len(result.objects()), 1)
        self.assertIn("another version", result.stderr)


class Preflight(Case):
    def test_tables(self):
        self.write("good.zip", make_zip([("x.pfile", content(OPENS))]))
        self.write("bad.zip", make_zip([("x.pfile", content(OPENS)), ("in/lost.pfile", content(LOST))]))
        self.write("plain.zip", make_zip([("x.txt", b"plain")]))
        summary, tables = self.paper()
        self.assertFalse(summary["go"])
        self.assertEqual(set(tables["containers"]), {"good.zip", "bad.zip"})
        self.assertIn("all open", tables["containers"]["good.zip"]["why"])
        self.assertIn("2 protected members, of which 1 cannot be opened (no-key)", tables["containers"]["bad.zip"]["why"])
        self.assertEqual(set(tables["no-key"]), {"bad.zip!/in/lost.pfile"})
        self.assertEqual(summary["tables"]["no-key"]["bytes"], LOST["size"])
        self.assertEqual((summary["all"]["files"], summary["protected"]["files"]), (3, 3))
        self.assertEqual((summary["members"]["files"], summary["members_shut"]["files"]), (3, 1))
        keys = {key["fingerprint"]: key for key in summary["keys"]}
        self.assertEqual((keys[OPENS["key_fingerprint"]]["files"], keys[OPENS["key_fingerprint"]]["bytes"]),
                         (2, 2 * OPENS["size"]))
        self.assertEqual(keys[LOST["key_fingerprint"]]["files"], 1)
        self.assertNotIn("archives", tables)
        self.assertNotIn("opaque", tables)

    def test_go_when_all_members_open(self):
        self.write("good.zip", make_zip([("x.pfile", content(OPENS))]))
        result = self.run_tool("preflight")
        self.assertEqual(result.status, 0, result.stdout)
        self.assertIn(b"of 1 protected files", result.stdout)
        summary, _ = self.paper("--deep")
        self.assertEqual((summary["opens"]["files"], summary["unopened"]["files"]), (1, 0))

    def test_encrypted_ones_stay_opaque(self):
        data = bytearray(make_zip([("x.pfile", content(OPENS)), ("secret.txt", b"0123456789ab")], zipfile.ZIP_STORED))
        data[data.rindex(b"PK\3\4") + 6] |= 1
        data[data.rindex(b"PK\1\2") + 8] |= 1
        self.write("mixed.zip", bytes(data))
        self.write("outer.zip", make_zip([("mixed.zip", bytes(data))]))
        self.write("outer7.zip", make_zip([("x.7z", b"7z\xbc\xaf\x27\x1c\0\4" + bytes(100))]))
        summary, tables = self.paper()
        self.assertFalse(summary["go"])
        self.assertEqual({path: line["opaque"] for path, line in tables["opaque"].items()},
                         {"mixed.zip": "encrypted-zip", "outer.zip": "encrypted-zip", "outer7.zip": "7z"})
        # What can be seen is seen.
        self.assertEqual(set(tables["containers"]), {"mixed.zip", "outer.zip"})
        accept = self.folder / "accept"
        accept.write_text("mixed.zip\nouter.zip\nouter7.zip\n", encoding="utf-8")
        summary, tables = self.paper("--accept", accept)
        self.assertTrue(summary["go"])


    def test_what_was_not_looked_into_holds_up(self):
        sealed = [("x.pfile", content(OPENS))]
        self.write("deflate64.zip", in_another_way(sealed))
        self.write("ppmd.zip", in_another_way([("a.txt", b"plain")] + sealed, 98))
        self.write("lzma.zip", make_zip(sealed, zipfile.ZIP_LZMA))
        self.write("outer.zip", make_zip([("lzma.zip", make_zip(sealed, zipfile.ZIP_LZMA)), *sealed]))
        self.write("cut.zip", make_zip(sealed)[:-1])
        deep = make_zip(sealed)
        for _ in range(4):
            deep = make_zip([("in.zip", deep)])
        self.write("deep.zip", deep)
        names = {"deflate64.zip", "ppmd.zip", "lzma.zip", "outer.zip", "cut.zip", "deep.zip"}
        summary, tables = self.paper()
        self.assertFalse(summary["go"])
        self.assertEqual({path: line["opaque"] for path, line in tables["opaque"].items()}, dict.fromkeys(names, "archive"))
        self.assertEqual(set(tables["containers"]), {"outer.zip", "ppmd.zip"})
        accept = self.folder / "accept"
        accept.write_text("".join(name + "\n" for name in names), encoding="utf-8")
        summary, tables = self.paper("--accept", accept)
        self.assertTrue(summary["go"])
        self.assertEqual(set(tables["accepted"]), names)

    def test_archives_of_other_kinds_inside_are_told_and_do_not(self):
        self.write("a.zip", make_zip([("x.gz", b"\x1f\x8b\x08" + bytes(40))]))
        summary, tables = self.paper()
        self.assertTrue(summary["go"])
        self.assertEqual(tables["archives"]["a.zip"]["opaque"], "archive")

    def test_passwords_inside_are_told_as_outside(self):
        office = next(entry for entry in tool.PLAIN if "password protected" in entry["path"])
        body = (b"%PDF-1.7\n1 0 obj\n<</Type/Catalog>>\nendobj\n2 0 obj\n<</Filter/Standard/V 4/R 4>>\nendobj\n")
        at = [body.index(b"1 0 obj"), body.index(b"2 0 obj")]
        pdf = body + (b"xref\n0 3\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \n" % tuple(at)
                      + b"trailer\n<</Root 1 0 R/Encrypt 2 0 R/Size 3>>\nstartxref\n%d\n%%%%EOF\n" % len(body))
        self.write("office.zip", make_zip([("a.docx", content(office)), ("x.gz", b"\x1f\x8b\x08" + bytes(40))]))
        self.write("pdf.zip", make_zip([("a.pdf", pdf), ("b.txt", b"plain")]))
        self.write("tar.zip", make_zip([("a.pdf", pdf), ("x.tar", make_tar([("a.txt", b"x")]))]))
        self.write("a.docx", content(office))
        self.write("a.pdf", pdf)
        _, tables = self.paper()
        self.assertEqual({path: line["opaque"] for path, line in tables["opaque"].items()},
                         {"office.zip": "password-office", "a.docx": "password-office"})
        self.assertEqual({path: line["opaque"] for path, line in tables["archives"].items()},
                         {"pdf.zip": "password-pdf", "a.pdf": "password-pdf", "tar.zip": "archive"})

    def test_archive_that_begins_with_a_protected_pdf_is_no_pdf(self):
        pdf = content(next(entry for entry in SEALED if entry["kind"] == "pdf-v1" and entry["open"]))
        rest = content(OPENS)
        files = {
            "a.tar": make_tar([("a.pdf", pdf), ("b.pfile", rest)]),
            "a.deb": b"!<arch>\na.pdf/          0           0     0     644     %-10d`\n" % len(pdf) + pdf + rest,
            "a.rar": b"Rar!\x1a\x07\x01\x00" + b"a.pdf" + pdf + b"end",
            "a.7z": b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24) + pdf + b"end",
        }
        for name, data in files.items():
            self.write(name, data)
        self.write("a.pdf", pdf)
        self.write("zeros.pdf", bytes(300) + pdf)
        self.assertEqual(set(self.members("--deep")), {"a.pdf", "zeros.pdf"})
        copy = self.folder / "copy"
        result = tool.run("materialize", "--keyring", tool.KEYRING, "--", self.root, copy)
        self.assertEqual(result.status, 0, result.stderr)
        for name, data in files.items():
            self.assertEqual((copy / name).read_bytes(), data, name)
        self.assertTrue((copy / "zeros.pdf").read_bytes().startswith(b"%PDF-"))
        told = next(line for line in self.objects("--deep") if line["path"].endswith("/zeros.pdf"))
        self.assertIn("What stands in front of the header of the PDF file is left out.", told["warnings"])

    def test_protected_archives_are_told(self):
        entry = next(entry for entry in tool.PFILES if entry["open"] and entry["plain_name"].endswith(".zip"))
        self.write("a.zip.pfile", content(entry))
        summary, tables = self.paper()
        self.assertTrue(summary["go"])
        self.assertIn("an archive under protection", tables["archives"]["a.zip.pfile"]["why"])


class Hostile(Case):
    """Each is told to be an archive that was not looked into, in bounded time
    and memory, and never stops the others."""

    def check(self, opaque="archive", seconds=20):
        self.write("good.zip", make_zip([("x.pfile", content(OPENS))]))
        started = time.monotonic()
        members = self.members()
        self.assertLess(time.monotonic() - started, seconds)
        self.assertEqual(members.pop("good.zip!/x.pfile")["verdict"], "ok")
        shown = self.opaque()
        self.assertEqual({name: shown[name] for name in shown if name != "good.zip"},
                         {name: opaque for name in shown if name != "good.zip"})
        # Of tpd, or of these tests themselves, from which it is forked.
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 500 * 1024)
        return members

    def test_cut(self):
        data = of_samples()
        for cut in (100, 1000, len(data) // 2, len(data) - 1, len(data) - 30):
            self.write(f"{cut}.zip", data[:cut])
        self.assertEqual(self.check(), {})

    def test_bomb(self):
        """A member that claims to be a document, and goes on for ever."""
        head = content(next(entry for entry in SEALED if entry["kind"] == "office-legacy"))
        self.write("bomb.zip", zeros("x.doc", 300, head[:512]))
        members = self.check(opaque=None)
        for shown in members.values():
            self.assertNotIn(shown["verdict"], ("ok", "key-held"))

    def test_nested_bomb(self):
        data = zeros("x", 200)
        self.write("bomb.zip", make_zip([(f"{i}.zip", data) for i in range(40)]))
        self.check(opaque=None)
        # This one would have to be unpacked to be looked into.
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("in.zip", "w") as member:
                with zipfile.ZipFile(member, "w", zipfile.ZIP_STORED) as inner:
                    with inner.open("fill", "w") as fill:
                        for _ in range(128):
                            fill.write(bytes(1024 * 1024))
        self.write("bomb.zip", data.getvalue())
        self.check()

    def test_overlap(self):
        """All members of the directory are one and the same."""
        data = make_zip([("x", content(OPENS))])
        at = data.index(b"PK\1\2")
        record, end = data[at:data.index(b"PK\5\6")], bytearray(data[data.index(b"PK\5\6"):])
        struct.pack_into("<HHI", end, 8, 60000, 60000, len(record) * 60000)
        self.write("overlap.zip", data[:at] + record * 60000 + end)
        self.assertEqual(self.check(), {})

    def test_too_many_members(self):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for i in range(70000):
                archive.writestr(f"{i:060}", b"")
        self.write("many.zip", data.getvalue())
        self.assertEqual(self.check(), {})

    def test_wrong_sizes_and_offsets(self):
        data = make_zip([("x.pfile", content(OPENS)), ("y.pfile", content(OPENS))])
        at = data.index(b"PK\1\2")
        for number, (field, form, value) in enumerate([(20, "<I", 0xfffffff0), (24, "<I", 0xfffffff0), (42, "<I", 0xfffffff0),
                                                       (42, "<I", 1), (28, "<H", 0xffff), (30, "<H", 0xffff)]):
            changed = bytearray(data)
            struct.pack_into(form, changed, at + field, value)
            self.write(f"{number}.zip", bytes(changed))
        members = {path for path in self.members()}
        self.assertLessEqual({path.split("!")[0] for path in members}, {f"{i}.zip" for i in range(6)})

    def test_damaged_data(self):
        """The first bytes tell a protected file; the rest does not unpack."""
        data = bytearray(make_zip([("x.pfile", content(OPENS))]))
        start, end = 40, data.index(b"PK\1\2")
        for at in range((start + end) // 2, end):
            data[at] ^= 0x5a
        self.write("a.zip", bytes(data))
        for options in ((), ("--deep",)):
            for shown in self.members(*options).values():
                if options:
                    self.assertEqual(shown["verdict"], "damaged")

    def test_symbolic_links_are_not_followed(self):
        link = zipfile.ZipInfo("link.pfile")
        link.create_system = 3
        link.external_attr = 0o120777 << 16
        self.write("a.zip", make_zip([(link, content(OPENS))]))
        self.assertEqual(self.members(), {})

    def test_unknown_method(self):
        self.write("lzma.zip", make_zip([("x.pfile", content(OPENS))], zipfile.ZIP_LZMA))
        self.assertEqual(self.check(), {})


if __name__ == "__main__":
    unittest.main()
