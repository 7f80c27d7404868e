#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A content key of DES, as clients of 2003 could make one: a pfile of the
fixtures whose license is sealed anew, with OpenSSL, over eight bytes of key."""
import base64
import json
import re
import struct
import unittest

import test_double_key as double
import tool

import opener  # its directory is known from the import before


def with_des_key(text, key, length=8, reserved=0):
    """`text` of a license with the first bytes of its content key for the whole."""
    start, end = re.search(rb"<ENABLINGBITS[^>]*>\s*<VALUE[^>]*>([^<]*)<", text).span(1)
    sealed = base64.b64decode(text[start:end])
    modulus, exponent, size = key
    outer = opener.message(pow(int.from_bytes(sealed[:size], "big"), exponent, modulus).to_bytes(size, "big"))
    session = outer[12:struct.unpack_from("<H", outer)[0]]
    body = opener.aes("ecb", session, sealed[size:])
    whole, = struct.unpack_from("<H", body, 16)
    digest = body[16 + whole:16 + whole + 32]
    inner = struct.pack("<HHHHI", 12 + length, 0xFFFF, length, 8, 0x1001) + body[28:28 + length] + digest
    inner = struct.pack("<IIII", 2, len(inner), reserved, 0) + inner
    inner += bytes(-len(inner) % 16)
    return text[:start] + base64.b64encode(sealed[:size] + opener.aes("ecb", session, inner, way="-e")) + text[end:]


class Des(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = double.tenant_key()
        cls.pfile = next(pfile for pfile in (
            double.Pfile(tool.SHARE / entry["path"]) for entry in tool.PFILES
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
