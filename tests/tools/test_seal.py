#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which of the less usual readings of a sealed key opened it is told."""
import hashlib
import json
import unittest

import sealed
import tool
from test_double_key import DoubleKey


class Seals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        DoubleKey.setUpClass()
        cls.entry, cls.pfile, cls.double = DoubleKey.samples[0]
        cls.size = DoubleKey.key[2]

    def show(self, text, *options, keyring=tool.KEYRING):
        path = tool.SCRATCH / "seal.pfile"
        path.write_bytes(self.pfile.with_license(text))
        done = tool.run("show", *options, "--keyring", keyring, path)
        self.assertEqual(done.status, 0, done.stderr)
        plain = tool.run("cat", "--keyring", keyring, path)
        self.assertEqual(hashlib.sha256(plain.stdout).hexdigest(), self.entry["plain_sha256"])
        return done.stdout

    def fallbacks(self, text, **more):
        return json.loads(self.show(text, "--json", **more))["fallbacks"]

    def test_the_usual_needs_none(self):
        self.assertEqual(self.fallbacks(self.pfile.license), [])

    def test_reversed_block(self):
        text = sealed.change_sealed(self.pfile.license, lambda bits: bits[:self.size][::-1] + bits[self.size:])
        self.assertEqual(self.fallbacks(text), ["rsa-reversed"])

    def test_unknown_type(self):
        text = self.pfile.license.replace(b'type="sealed-key-v2"', b'type="sealed-key-v3"')
        self.assertEqual(self.fallbacks(text), ["seal-type-unknown"])
        self.assertIn(b"SHA-1", self.show(text, "--trace"))

    def test_second_key(self):
        keyring = tool.write_private("seal.conf", tool.KEYRING.read_text(encoding="utf-8")
                                     + f"\n[dke]\nfile={DoubleKey.second}\n")
        self.assertEqual(self.fallbacks(self.double, keyring=keyring), ["second-key"])


if __name__ == "__main__":
    unittest.main()
