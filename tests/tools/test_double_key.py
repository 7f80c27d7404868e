#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Double Key Encryption: a pfile of the fixtures whose content key is sealed
once more, with OpenSSL and as docs/formats.md has it, to a key that this test
makes. No genuine file of the kind is public."""
import hashlib
import json
import struct
import unittest

import sealed
import tool
from sealed import Pfile, openssl, tenant_key


def seal_again(text, key, second, damage=False, header=None, digest_name="sha256", behind=b"", block=None):
    """`text` of a license, its content key sealed to the PEM file `second` too."""

    def again(body):
        message, digest = sealed.key_and_digest(body)
        inner = block
        if inner is None:
            inner = openssl("pkeyutl", "-encrypt", "-inkey", str(second), "-pkeyopt", "rsa_padding_mode:oaep",
                            "-pkeyopt", f"rsa_oaep_md:{digest_name}", "-pkeyopt", f"rsa_mgf1_md:{digest_name}",
                            data=message + behind)
        inner = bytearray(inner)
        if damage:
            inner[100] ^= 1
        front = header
        if front is None:
            front = struct.pack("<HHHHI", 12 + len(inner), 0xFFFF, len(inner), 16, 0x1002)
        return 0, front + inner + digest

    return sealed.change_body(text, key, again)


class DoubleKey(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = tenant_key()
        cls.second, cls.other = (tool.SCRATCH / name for name in ("dke.pem", "other.pem"))
        for path in (cls.second, cls.other):
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(path))
            path.chmod(0o600)
        cls.samples = []
        for entry in tool.PFILES:
            if not entry["open"] or entry["key_role"] != "cloud" or entry["compare"] != "bytes":
                continue
            pfile = Pfile(tool.SHARE / entry["path"])
            if b"<ENABLINGBITS type=\"sealed-key-v2\"" not in pfile.license:
                continue
            try:
                sealed.opener.content_key(pfile.license.decode("utf-8-sig"), [cls.key])[0]
                cls.samples.append((entry, pfile, seal_again(pfile.license, cls.key, cls.second)))
            except (TypeError, UnicodeDecodeError, struct.error):
                continue  # a template of another make, SHA-256 for one
        assert len(cls.samples) > 10

    def sample(self, number, text=None):
        entry, pfile, again = self.samples[number]
        path = tool.SCRATCH / f"double-{number}.pfile"
        path.write_bytes(pfile.with_license(again if text is None else text))
        return entry, path

    def keys(self, *files):
        lines = tool.KEYRING.read_text(encoding="utf-8")
        lines += "".join(f"\n[{file.stem}]\nfile={file}\n" for file in files)
        return tool.write_private("double.conf", lines)

    def test_both_keys_open_it(self):
        keyring = self.keys(self.other, self.second)
        for number, (entry, _, _) in enumerate(self.samples):
            with self.subTest(entry["path"]):
                _, path = self.sample(number)
                done = tool.run("cat", "--keyring", keyring, path)
                self.assertEqual(done.status, 0, done.stderr)
                self.assertEqual(hashlib.sha256(done.stdout).hexdigest(), entry["plain_sha256"])

    def test_one_key_is_not_enough(self):
        _, path = self.sample(0)
        second_only = tool.write_private("second.conf", f"[dke]\nfile={self.second}\n")
        for keyring, verdict in ((self.keys(), "double-key"), (self.keys(self.other), "double-key"),
                                 (second_only, "no-key")):
            done = tool.run("cat", "--keyring", keyring, path)
            self.assertEqual((done.status, done.stdout), (1, b""))
            done = tool.run("show", "--json", "--keyring", keyring, path)
            self.assertEqual(json.loads(done.stdout)["verdict"], verdict)
        done = tool.run("cat", "--keyring", self.keys(), path)
        self.assertIn("load that beside it", done.stderr)

    def test_damaged_inner_seal_is_refused(self):
        _, pfile, _ = self.samples[0]
        _, path = self.sample(0, seal_again(pfile.license, self.key, self.second, damage=True))
        done = tool.run("cat", "--keyring", self.keys(self.second), path)
        self.assertEqual((done.status, done.stdout), (1, b""))

    def test_block_without_a_header_in_front(self):
        entry, pfile, _ = self.samples[0]
        _, path = self.sample(0, seal_again(pfile.license, self.key, self.second, header=b""))
        done = tool.run("cat", "--keyring", self.keys(self.other, self.second), path)
        self.assertEqual(done.status, 0, done.stderr)
        self.assertEqual(hashlib.sha256(done.stdout).hexdigest(), entry["plain_sha256"])

    def test_doubt_refuses(self):
        _, pfile, _ = self.samples[0]
        for change in ({"header": struct.pack("<HHHHI", 44, 0xFFFF, 32, 16, 0x1002)}, {"header": b"\0"},
                       {"digest_name": "sha1"}, {"behind": b"x"}):
            with self.subTest(change):
                _, path = self.sample(0, seal_again(pfile.license, self.key, self.second, **change))
                done = tool.run("show", "--json", "--keyring", self.keys(self.second), path)
                self.assertEqual(json.loads(done.stdout)["verdict"], "double-key")
                self.assertEqual(tool.run("cat", "--keyring", self.keys(self.second), path).stdout, b"")

    def test_the_index_is_for_the_keys_of_today(self):
        """What a scan found with other keys is asked again, both ways."""
        entry, path = self.sample(0)
        root = tool.SCRATCH / "double-share"
        root.mkdir()
        path.rename(root / "double.pfile")
        tenant, both = self.keys(), tool.write_private("both.conf", self.keys(self.second).read_text(encoding="utf-8"))
        tenant = tool.write_private("tenant.conf", tool.KEYRING.read_text(encoding="utf-8"))
        answers = {tenant: ("double-key", 1), both: ("ok", 0)}
        for deep in ((), ("--deep",)):
            for keyrings in ((tenant, both, both, tenant, tenant), (both, tenant, both)):
                index = tool.SCRATCH / "double.sqlite"
                for old in tool.SCRATCH.glob("double.sqlite*"):
                    old.unlink()
                for keyring in keyrings:
                    with self.subTest(deep=deep, keyring=keyring.name):
                        verdict, status = answers[keyring]
                        words = ("--keyring", keyring, "--index", index, *deep, "--json", "--", root)
                        [shown] = tool.run("scan", *words).objects()
                        self.assertEqual(shown["verdict"], verdict)
                        paper = tool.run("preflight", *words)
                        self.assertEqual(paper.status, status, paper.stderr)
                        told = [line["path"] for line in paper.objects() if line.get("table") == "double-key"]
                        self.assertEqual(told, [str(root / "double.pfile")] if status else [])

    def test_trace_names_the_second_key(self):
        _, path = self.sample(0)
        done = tool.run("show", "--trace", "--keyring", self.keys(self.other, self.second), path)
        self.assertIn(b'second key: "other" does not open it', done.stdout)
        self.assertIn(b'second key: "dke" opens it', done.stdout)

    def test_trace_names_keys_whose_modulus_is_less_than_the_block(self):
        _, pfile, _ = self.samples[0]
        _, path = self.sample(0, seal_again(pfile.license, self.key, self.second, block=b"\xff" * 256))
        done = tool.run("show", "--trace", "--keyring", self.keys(self.other, self.second), path)
        for name in (b"other", b"dke"):
            self.assertIn(b'second key: "' + name + b'" does not open it', done.stdout)


if __name__ == "__main__":
    unittest.main()
