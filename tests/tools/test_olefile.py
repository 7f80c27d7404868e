#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""python3-olefile, a reader that nobody here wrote, agrees on every .msg that
tpd writes: bodies and attachments are what the manifest says."""
import hashlib
import os
import sys
import unittest

try:
    import olefile
except ImportError:
    # Debian's package serves Debian's python.
    if sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", "-B", *sys.argv])
    print("python3-olefile is not installed")
    sys.exit(77)

import tool

MAILS = [entry for entry in tool.MANIFEST if entry["kind"] in ("msg", "eml", "rpmsg") and entry["open"]]
CHARSETS = {65001: "utf-8", 1200: "utf-16-le", 28591: "latin-1", 20127: "ascii"}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Item:
    def __init__(self, ole, *path):
        self.ole, self.path = ole, list(path)

    def stream(self, name):
        where = [*self.path, "__substg1.0_" + name]
        return self.ole.openstream(where).read() if self.ole.exists("/".join(where)) else None

    def text(self, number):
        """Unicode, or the 8-bit text of an old item in its code page."""
        wide = self.stream(number + "001F")
        if wide is not None:
            return wide.decode("utf-16-le")
        page = self.number(0x3FFD0003) or 1252
        return self.stream(number + "001E").decode(CHARSETS.get(page, f"cp{page}"))

    def number(self, tag):
        header = 8 if self.path else 32
        table = self.ole.openstream([*self.path, "__properties_version1.0"]).read()
        for i in range(header, len(table), 16):
            if int.from_bytes(table[i:i + 4], "little") == tag:
                return int.from_bytes(table[i + 8:i + 12], "little")
        return None

    def attachments(self):
        depth = len(self.path)
        names = sorted({entry[depth] for entry in self.ole.listdir(storages=True)
                        if len(entry) > depth and entry[:depth] == self.path and entry[depth].startswith("__attach_version1.0_#")})
        return [Item(self.ole, *self.path, name) for name in names]


class Olefile(unittest.TestCase):
    def check_body(self, item, message):
        if message["body_format"] == "plain":
            body = item.text("1000").encode()
        elif message["body_format"] == "html":
            page = item.number(0x3FDE0003)
            body = item.stream("10130102").decode(CHARSETS.get(page, f"cp{page}")).encode()
        else:
            packed = item.stream("10090102")
            self.assertEqual(packed[8:12], b"MELA")
            body = packed[16:]
        self.assertEqual(sha256(body), message["body_sha256"])

    def check_attachment(self, item, expected):
        if expected["method"] == "message":
            inner = Item(item.ole, *item.path, "__substg1.0_3701000D")
            self.assertEqual(inner.text("0037"), expected["subject"])
            self.assertEqual([(a.text("3707"), sha256(a.stream("37010102"))) for a in inner.attachments()],
                             [(f["name"], f["sha256"]) for f in expected["files"]])
        elif expected["method"] == "ole":
            self.assertEqual(item.ole.get_type([*item.path, "__substg1.0_3701000D"]), olefile.STGTY_STORAGE)
        else:
            wanted = expected.get("protected") or {}
            self.assertEqual(item.text("3707"), wanted.get("plain_name", expected["name"]))
            self.assertEqual(sha256(item.stream("37010102")), wanted.get("plain_sha256", expected["sha256"]))

    def check(self, entry):
        done = tool.run("cat", "--keyring", tool.KEYRING, "--mail=msg", tool.SHARE / entry["path"])
        self.assertEqual(done.status, 0, done.stderr)
        ole = olefile.OleFileIO(done.stdout, raise_defects=olefile.DEFECT_UNSURE)
        self.assertEqual(ole.parsing_issues, [])
        item = Item(ole)
        self.check_body(item, entry["message"])
        attachments = item.attachments()
        self.assertEqual(len(attachments), len(entry["message"]["attachments"]))
        for attachment, expected in zip(attachments, entry["message"]["attachments"]):
            self.check_attachment(attachment, expected)

    def test_every_mail_as_msg(self):
        self.assertGreaterEqual(len(MAILS), 12)
        for entry in MAILS:
            with self.subTest(entry["path"]):
                self.check(entry)


if __name__ == "__main__":
    unittest.main()
