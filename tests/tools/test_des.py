#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A content key of DES, as clients of 2003 could make one: a pfile of the
fixtures whose license is sealed anew, with OpenSSL, over eight bytes of key."""
import json
import struct
import unittest

import sealed
import tool


def with_des_key(text, key, length=8, reserved=0):
    """`text` of a license with the first bytes of its content key for the whole."""

    def again(body):
        message, digest = sealed.key_and_digest(body)
        return reserved, struct.pack("<HHHHI", 12 + length, 0xFFFF, length, 8, 0x1001) + message[12:12 + length] + digest

    return sealed.change_body(text, key, again)


class Des(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = sealed.tenant_key()
        cls.pfile = next(pfile for pfile in (
            sealed.Pfile(tool.SHARE / entry["path"]) for entry in tool.PFILES
            if entry["open"] and entry["key_role"] == "cloud" and entry["compare"] == "bytes")
            if b"<ENABLINGBITS type=\"sealed-key-v2\"" in pfile.license)

    def show(self, *options, **change):
        path = tool.SCRATCH / "des.txt.pfile"
        path.write_bytes(self.pfile.with_license(with_des_key(self.pfile.license, self.key, **change)))
        return tool.run("show", *options, "--keyring", tool.KEYRING, path), path

    def test_des_is_unsupported_and_says_so(self):
        for length in (7, 8):
            done, path = self.show("--json", length=length)
            shown = json.loads(done.stdout)
            self.assertEqual(shown["verdict"], "unsupported")
            self.assertIn("DES", shown["message"])
            done = tool.run("cat", "--keyring", tool.KEYRING, path)
            self.assertEqual((done.status, done.stdout), (1, b""))
            self.assertIn("DES", done.stderr)

    def test_other_lengths_and_headers_stay_damaged(self):
        for change in ({"length": 6}, {"length": 9}, {"reserved": 1}):
            done, _ = self.show("--json", **change)
            self.assertEqual(json.loads(done.stdout)["verdict"], "damaged", change)

    def test_trace(self):
        done, _ = self.show("--trace")
        self.assertIn(b"8 bytes, a key of DES", done.stdout)

    def test_des_is_no_attack_on_the_key(self):
        for change, told in (({}, False), ({"reserved": 1}, True)):
            _, path = self.show(**change)
            done = tool.run("show", "--trace", "--keyring", tool.KEYRING, *[path] * 101)
            self.assertEqual("did not open with it" in done.stderr, told, done.stderr)


if __name__ == "__main__":
    unittest.main()
