#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares two PDF files as qpdf reads them: pdf_compare.py [--broken] DECRYPTED PLAIN

Everything that can be reached from the trailers of both must be the same:
values, strings, dictionaries and the raw data of streams. The layout, object
numbers and /Length are free. DECRYPTED must pass `qpdf --check` without a
warning, unless --broken says that its source did not either, and pdftotext
must read the same text from both.
"""

import base64
import json
import re
import subprocess
import sys
import tempfile


def check(path, broken):
    done = subprocess.run(["qpdf", "--check", path], capture_output=True, text=True)
    if done.returncode != 0 and not (broken and done.returncode == 3):
        sys.exit(f"qpdf --check {path}: {done.returncode}\n{done.stdout}{done.stderr}")
    if "/Encrypt" in done.stdout or "encrypted" not in done.stdout.replace("File is not encrypted", "encrypted"):
        sys.exit(f"{path} is encrypted")


def load(path):
    done = subprocess.run(
        ["qpdf", "--warning-exit-0", "--no-warn", "--json=2", "--json-stream-data=inline", "--decode-level=none", path],
        capture_output=True,
    )
    if done.returncode != 0:
        sys.exit(f"qpdf --json {path}: {done.stderr.decode(errors='replace')}")
    return json.loads(done.stdout)["qpdf"][1]


def unhide(path):
    """A copy in which the table of a hybrid file lists what it hides, or None.

    ISO 32000-1 7.5.8.4 lets the table call an object free that the stream of
    /XRefStm has; qpdf 12 takes such objects as deleted, qpdf 11 reads them.
    """
    with open(path, "rb") as file:
        data = bytearray(file.read())
    place = int(re.findall(rb"startxref\s+(\d+)", data)[-1])
    table = re.compile(rb"xref\s+0 (\d+)\s?\n").match(data, place)
    if table is None:
        return None
    stream = re.compile(rb"/XRefStm\s+(\d+)").search(data, table.end())
    if stream is None:
        return None
    parts = re.compile(rb"\d+ 0 obj\s*<<(.*?)>>\s*stream\r?\n", re.S).match(data, int(stream[1]))
    if b"/W[1 3 1]" not in parts[1] or b"/Filter" in parts[1]:
        sys.exit(f"{path}: this script knows no such hybrid file")
    first, count = map(int, re.search(rb"/Index\s*\[(\d+) (\d+)\]", parts[1]).groups())
    for i in range(count):
        entry = data[parts.end() + 5 * i :][:5]
        line = table.end() + 20 * (first + i)
        if entry[0] == 1 and data[line + 17 : line + 18] == b"f":
            data[line : line + 20] = b"%010d %05d n \n" % (int.from_bytes(entry[1:4], "big"), entry[4])
    copy = tempfile.NamedTemporaryFile(suffix=".pdf")
    copy.write(data)
    copy.flush()
    return copy


REFERENCE = re.compile(r"^\d+ \d+ R$")
FREE = {"/Length", "/Size", "/Prev", "/XRefStm", "/Type", "/W", "/Index", "/Filter", "/DecodeParms"}


class Comparison:
    def __init__(self, ours, theirs):
        self.ours, self.theirs = ours, theirs
        self.seen = set()
        self.streams = self.strings = 0
        self.todo = []

    def follow(self, where, a, b):
        """Compares two values; what references lead to is put off."""
        stack = [(where, a, b)]
        while stack:
            where, a, b = stack.pop()
            if isinstance(a, str) and isinstance(b, str) and REFERENCE.match(a) and REFERENCE.match(b):
                if (a, b) not in self.seen:
                    self.seen.add((a, b))
                    self.todo.append((where, a, b))
            elif isinstance(a, dict) and isinstance(b, dict):
                keys_a, keys_b = set(a) - {"/Length"}, set(b) - {"/Length"}
                if keys_a != keys_b:
                    sys.exit(f"{where}: keys differ: {sorted(keys_a ^ keys_b)}")
                stack.extend((f"{where}{key}", a[key], b[key]) for key in keys_a)
            elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
                stack.extend((f"{where}[{i}]", x, y) for i, (x, y) in enumerate(zip(a, b)))
            elif a != b:
                sys.exit(f"{where}: {a!r} is not {b!r}")
            elif isinstance(a, str) and a[:2] in ("u:", "b:"):
                self.strings += 1

    def objects(self, where, a, b):
        a, b = self.ours.get(f"obj:{a}"), self.theirs.get(f"obj:{b}")
        if a is None or b is None:
            if a is not b:
                sys.exit(f"{where}: only one of the files has it")
            return
        if ("stream" in a) != ("stream" in b):
            sys.exit(f"{where}: only one is a stream")
        if "stream" not in a:
            self.follow(where, a["value"], b["value"])
            return
        self.streams += 1
        self.follow(where, a["stream"]["dict"], b["stream"]["dict"])
        data = [base64.b64decode(x["stream"]["data"]) for x in (a, b)]
        if data[0] != data[1]:
            sys.exit(f"{where}: stream data differ, {len(data[0])} and {len(data[1])} bytes")

    def run(self):
        trailers = [{k: v for k, v in t["trailer"]["value"].items() if k not in FREE} for t in (self.ours, self.theirs)]
        if "/Encrypt" in trailers[0]:
            sys.exit("/Encrypt is still there")
        self.follow("trailer", *trailers)
        while self.todo:
            self.objects(*self.todo.pop())


def text(path):
    return subprocess.run(["pdftotext", "-q", path, "-"], capture_output=True).stdout


def main():
    args = sys.argv[1:]
    broken = args[0] == "--broken"
    ours, theirs = args[broken:]
    check(ours, broken)
    if broken:
        copies = (None, None)
    else:
        copies = tuple(unhide(path) for path in (ours, theirs))
    comparison = Comparison(*(load(copy.name if copy else path) for copy, path in zip(copies, (ours, theirs))))
    comparison.run()
    if text(ours) != text(theirs):
        sys.exit("pdftotext reads another text")
    print(f"{comparison.strings} strings, {comparison.streams} streams")


main()
