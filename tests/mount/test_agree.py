# SPDX-License-Identifier: Apache-2.0
"""scan, preflight, materialize and the mount say the same of every file: of the
fixtures under other names, cut, altered and packed, and of plain ones that look
a little like them. What is protected and does not open is told by all of them."""

import base64
import gzip
import io
import json
import os
import random
import subprocess
import tarfile
import unittest
import zipfile

import harness

SHARE = os.path.join(harness.FIXTURES, "share")
OPENS = {"ok", "not-protected"}
# Tables of the decision paper that a file is in which does not open.
LOST = {"no-key": {"no-key", "foreign"}, "double-key": {"double-key"}, "damaged": {"damaged"}, "ambiguous": {"damaged"},
        "unsupported": {"unsupported"}, "too-large": {"unsupported", "damaged"}}
# Mail is decoded into files of other sizes and names: that is tested elsewhere.
KINDS = ("pfile", "office-ooxml", "office-legacy", "xps", "pdf-v1", "pdf-v2", "pdf-payload")
STUB = 4096
ROUNDS = int(os.environ.get("TPD_AGREE_ROUNDS", "40"))
SEED = int(os.environ.get("TPD_AGREE_SEED", "11"))


def read(entry):
    with open(os.path.join(SHARE, entry["path"]), "rb") as file:
        return file.read()


def samples():
    """One that opens of each kind, and of the larger families a second."""
    found = {}
    for entry in harness.manifest():
        if entry["kind"] in KINDS and entry["open"] and entry["size"] > STUB:
            number = sum(key[0] == entry["kind"] for key in found)
            if number < 2:
                found[entry["kind"], number] = entry
    return found


def in_zip(name, data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return out.getvalue()


def in_tar(name, data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for each in (name, "second"):
            info = tarfile.TarInfo(each)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Agree(harness.Scratch):
    def put(self, name, data, intact=None):
        """`intact`: the entry whose plaintext it must give."""
        path = os.path.join(os.fsencode(self.source), name if isinstance(name, bytes) else name.encode())
        with open(path, "wb") as file:
            file.write(data)
        if intact is not None and intact["compare"] == "bytes":
            self.intact[os.path.basename(path)] = intact["plain_sha256"]

    def make(self):
        rng = random.Random(SEED)
        for (kind, number), entry in samples().items():
            data, name = read(entry), f"{kind}{number}"
            for suffix in ("", ".txt", ".docx", ".PFILE", ".ppdf"):
                self.put(f"{name} named{suffix}", data, entry)
            self.put(name.encode() + b" \xff\xfe.bin", data, entry)
            for cut in (5, 10, 600, 5000, len(data) // 2, len(data) * 3 // 4, len(data) - 100, len(data) - 16,
                        len(data) - 1):
                self.put(f"{name} cut {cut}", data[:cut])
            for more in (b"\0", b"x" * 16, bytes(512)):
                self.put(f"{name} longer by {len(more)}", data + more)
            for front in (b"\n", b"\xef\xbb\xbf", b"junk of a gateway\n", bytes(512)):
                self.put(f"{name} behind {len(front)}", front + data)
            for number in range(ROUNDS):
                altered = bytearray(data)
                for _ in range(rng.choice((1, 1, 2, 8))):
                    altered[rng.randrange(len(data) if number % 2 else STUB)] ^= 1 << rng.randrange(8)
                self.put(f"{name} altered {number}", altered)
            for what, pack in (("zip", in_zip), ("tar", in_tar), ("gz", lambda name, data: gzip.compress(data))):
                self.put(f"{name}.{what}", pack("member", data))
                self.plain.add(f"{name}.{what}".encode())
            os.link(os.path.join(self.source, f"{name} named"), os.path.join(self.source, f"{name} linked"))
        for entry in harness.manifest():
            if entry["kind"] in KINDS and not entry["open"]:
                self.put("shut " + os.path.basename(entry["path"]), read(entry))
        for name, data in {"empty.pfile": b"", "text.pfile": b"no pfile", "text.pdf": b"no pdf", "zeros.docx": bytes(9000),
                           "head.docx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "head.pdf": b"%PDF-1.7\n",
                           "about.txt": b"%PDF- is what a PDF starts with, .pfile a pfile"}.items():
            self.put(name, data)
            self.plain.add(name.encode())

    def setUp(self):
        super().setUp()
        self.source = os.path.join(self.dir, "source")
        self.copy = os.path.join(self.dir, "copy")
        os.mkdir(self.source)
        self.intact, self.plain = {}, set()
        self.make()
        self.names = set(os.listdir(os.fsencode(self.source)))

    def tool(self, command, *words):
        environment = dict(os.environ, XDG_CONFIG_HOME=self.dir, XDG_CACHE_HOME=self.dir)
        done = subprocess.run([harness.TPD, command, "--allow-insecure-files", *harness.key_arguments(), *words],
                              stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=250, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.stdout

    @staticmethod
    def path_of(record, key="path"):
        raw = record.get(key + "_b64")
        return base64.b64decode(raw) if raw is not None else os.fsencode(record[key])

    def lines(self, name):
        with open(os.path.join(self.copy, ".tpdfs-manifest", name), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def scan(self):
        found = {}
        for line in self.tool("scan", "--json", "--all", "--deep", "--index", os.path.join(self.dir, "a"),
                              self.source).splitlines():
            record = json.loads(line)
            path = self.path_of(record)
            if b"!/" not in path:
                found[os.path.basename(path)] = record
        return found

    def paper(self):
        tables = {}
        *found, summary = self.tool("preflight", "--json", "--deep", "--index", os.path.join(self.dir, "b"),
                                    self.source).splitlines()
        for line in found:
            record = json.loads(line)
            path = self.path_of(record)
            if b"!/" not in path:
                tables.setdefault(os.path.basename(path), set()).add(record["table"])
        return tables, json.loads(summary)

    def materialize(self):
        self.tool("materialize", self.source, self.copy)
        copies = {self.path_of(line): self.path_of(line, "copy") for line in self.lines("manifest.jsonl")}
        missing = {self.path_of(line): line["reason"] for line in self.lines("MISSING.jsonl")}
        return copies, missing

    def read_all(self):
        """Bytes, or the errno, of each file through a mount."""
        found = {}
        with harness.Mount(self.source, ["--names=source", "--allow-insecure-files", *harness.key_arguments()]) as mount:
            for name in os.listdir(os.fsencode(mount())):
                path = os.path.join(os.fsencode(mount()), name)
                try:
                    with open(path, "rb") as file:
                        found[name] = file.read()
                except OSError as error:
                    found[name] = error.errno
        return found

    def check(self, name, scanned, tables, copies, missing, mounted):
        verdict = scanned["verdict"]
        with open(os.path.join(os.fsencode(self.source), name), "rb") as file:
            source = file.read()
        if name in self.plain:
            self.assertEqual(verdict, "not-protected")
        if verdict in OPENS:
            self.assertIsInstance(mounted, bytes)
            self.assertIsNone(missing)
            with open(os.path.join(os.fsencode(self.copy), copies), "rb") as file:
                self.assertEqual(file.read(), mounted)
            self.assertFalse(tables & set().union(*LOST.values()))
        else:
            self.assertEqual(mounted, harness.ERRNO[verdict])
            self.assertEqual(missing, verdict)
            self.assertIsNone(copies)
            self.assertTrue(tables & LOST[verdict], tables)
        self.assertEqual(scanned["protected"], verdict != "not-protected")
        if verdict == "not-protected":
            self.assertEqual(mounted, source)
        if name in self.intact:
            self.assertEqual(harness.hashlib.sha256(mounted).hexdigest(), self.intact[name])

    def test_all_of_them_say_the_same(self):
        scanned, mounted = self.scan(), self.read_all()
        tables, summary = self.paper()
        copies, missing = self.materialize()
        self.assertEqual(set(scanned), self.names)
        self.assertEqual(set(mounted), self.names)
        self.assertEqual(set(copies) | set(missing), self.names)
        for name in sorted(self.names):
            with self.subTest(name):
                self.check(name, scanned[name], tables.get(name, set()), copies.get(name), missing.get(name),
                           mounted[name])
        verdicts = [record["verdict"] for record in scanned.values()]
        self.assertGreater(verdicts.count("ok"), 100)
        self.assertGreater(verdicts.count("damaged"), 100)
        self.assertEqual(summary["all"]["files"], len(self.names))
        archives = [name for name in tables if name.endswith((b".zip", b".tar", b".gz"))]
        self.assertEqual(len(archives), 3 * len(samples()))


if __name__ == "__main__":
    harness.main()
