#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd show tells of each fixture what its manifest says, and no secret."""
import base64
import os
import pathlib
import re
import unittest

import tool

CIPHERS = {"ECB": "ecb", "CBC4K-pkcs7": "cbc4k", "CBC4K-nopad": "cbc4k-nopad", "CBC512-nopad": "cbc512"}

MEMBERS = """schema tool_version decoder_version path kind protected verdict message plain_name plain_size size_exact
source_size proof cipher crypto_mode fallbacks content_id policy_id rms_owner author issued issuer tenant key urls
template rights expires label original_name pl_sha256 source_sha256 plain_sha256 signature container nested
warnings""".split()


def show(keyring, entries, *options):
    return tool.run("show", "--json", "--keyring", keyring, *options, *[tool.SHARE / entry["path"] for entry in entries])


def by_principal(rights):
    return sorted((entry["principal"], sorted(entry["rights"]), entry.get("until")) for entry in rights)


class WithKeys(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.result = show(tool.KEYRING, tool.PFILES, "--hash")
        cls.pairs = list(zip(tool.PFILES, cls.result.objects()))

    def test_one_object_a_file_in_order_and_status_1(self):
        self.assertEqual(len(self.pairs), len(tool.PFILES))
        self.assertEqual([shown["path"] for _, shown in self.pairs],
                         [str(tool.SHARE / entry["path"]) for entry in tool.PFILES])
        self.assertEqual(self.result.status, 1)
        self.assertEqual(self.result.stderr, "")

    def test_members_are_those_of_the_schema(self):
        for _, shown in self.pairs:
            self.assertEqual(list(shown), MEMBERS)
            self.assertEqual(shown["schema"], 1)

    def test_verdicts(self):
        for entry, shown in self.pairs:
            with self.subTest(entry["path"]):
                words = ["ok"] if entry["open"] else tool.expected_verdicts(entry)
                self.assertIn(shown["verdict"], words)
                self.assertEqual(shown["message"] is None, shown["verdict"] in ("ok", "not-protected"))

    def test_content_of_what_opens(self):
        for entry, shown in self.pairs:
            if not entry["open"]:
                continue
            with self.subTest(entry["path"]):
                self.assertEqual(shown["kind"], "pfile")
                self.assertIs(shown["protected"], True)
                # Names that do not look protected stay, whatever the header says.
                renamed = (entry.get("notes") or "").startswith("renamed by a user")
                self.assertEqual(shown["plain_name"],
                                 pathlib.PurePath(entry["path" if renamed else "plain_name"]).name)
                self.assertEqual(shown["source_size"], entry["size"])
                self.assertEqual(shown["source_sha256"], entry["sha256"])
                if entry["compare"] == "bytes":
                    self.assertEqual(shown["plain_size"], entry["plain_size"])
                    self.assertEqual(shown["plain_sha256"], entry["plain_sha256"])
                self.assertIs(shown["size_exact"], True)
                self.assertEqual(shown["container"]["version"], entry["container"].get("version", "3.0"))
                mode = CIPHERS[entry.get("content_cipher", entry["cipher"])]
                self.assertEqual(shown["cipher"], f"aes-{entry['key_bytes'] * 8}-{mode}")
                self.assertIn(shown["proof"], ("plausible", "proven", "none"))
                self.assertEqual("oaep-sha256" in shown["fallbacks"],
                                 (entry.get("notes") or "").startswith("oaep sha256"))

    def test_license_of_what_opens_or_lacks_its_key(self):
        for entry, shown in self.pairs:
            if not entry["open"] and shown["verdict"] != "no-key":
                continue
            with self.subTest(entry["path"]):
                self.assertClearFacts(entry, shown)
                self.assertIs(shown["key"]["held"], entry["open"])

    def assertClearFacts(self, entry, shown):
        for ours, theirs in (("content_id", "content_id"), ("policy_id", "policy_id"), ("rms_owner", "owner"),
                             ("author", "author"), ("issued", "issued"), ("tenant", "tenant_id"),
                             ("signature", "signature"), ("crypto_mode", "crypto_mode"), ("urls", "urls")):
            self.assertEqual(shown[ours], entry[theirs], ours)
        self.assertEqual(shown["key"]["guid"], entry["key_guid"])
        self.assertEqual(shown["key"]["fingerprint"], entry["key_fingerprint"])
        self.assertEqual(shown["key"]["bits"], 1024 if entry["crypto_mode"] == 1 else 2048)
        self.assertEqual(shown["template"]["names"] if shown["template"] else {}, entry["template_names"])
        self.assertRegex(shown["pl_sha256"], "^[0-9a-f]{64}$")

    def test_rights(self):
        for entry, shown in self.pairs:
            if not entry["open"] or isinstance(entry["rights"], dict):
                continue
            with self.subTest(entry["path"]):
                self.assertEqual(by_principal(shown["rights"]), by_principal(entry["rights"]))
                if entry["from_template"]:
                    self.assertEqual(shown["template"]["id"], entry["policy_id"])
                elif shown["template"]:
                    self.assertIsNone(shown["template"]["id"])

    def test_expired_content_opens_with_a_warning(self):
        entries = [(entry, shown) for entry, shown in self.pairs if entry.get("warn") == "expired"]
        self.assertTrue(entries)
        for _, shown in entries:
            self.assertEqual(shown["verdict"], "ok")
            self.assertIsNotNone(shown["expires"])
            self.assertTrue(any("expired" in warning for warning in shown["warnings"]), shown["warnings"])

    def test_key_of_another_guid_opens_with_a_warning(self):
        entry = next(entry for entry in tool.PFILES if entry["open"] and entry["compare"] == "bytes")
        data = (tool.SHARE / entry["path"]).read_bytes()
        other = "0badc0de-1111-2222-3333-444455556666"
        changed = tool.SCRATCH / "other-guid.pfile"
        for coding in ("utf-8", "utf-16-le"):
            data = re.sub(re.escape(entry["key_guid"].encode(coding)), other.encode(coding), data, flags=re.I)
        changed.write_bytes(data)
        for keyring, held in ((tool.KEYRING, True), (tool.NO_KEYS, False)):
            shown, = tool.run("show", "--json", "--keyring", keyring, "--hash", changed).objects()
            self.assertEqual(shown["key"]["guid"], other)
            about = [warning for warning in shown["warnings"] if other in warning]
            if not held:
                self.assertEqual((shown["verdict"], about), ("no-key", []))
                continue
            self.assertEqual((shown["verdict"], shown["plain_sha256"]), ("ok", entry["plain_sha256"]))
            self.assertEqual(len(about), 1, shown["warnings"])
            self.assertIn(entry["key_guid"], about[0])
        for entry, shown in self.pairs:
            self.assertFalse([warning for warning in shown["warnings"] if "modulus" in warning], entry["path"])

    def test_bad_signature_opens_with_a_warning(self):
        for entry, shown in self.pairs:
            if entry.get("open") and entry.get("signature") == "bad":
                self.assertTrue(any("signature" in warning.lower() for warning in shown["warnings"]), entry["path"])


class WithoutKeys(unittest.TestCase):
    maxDiff = None

    def test_what_is_clear_is_shown(self):
        result = show(tool.NO_KEYS, [entry for entry in tool.PFILES if entry["open"]])
        self.assertEqual((result.status, result.stderr), (0, ""))
        for entry, shown in zip([entry for entry in tool.PFILES if entry["open"]], result.objects()):
            with self.subTest(entry["path"]):
                self.assertEqual(shown["verdict"], "no-key")
                self.assertIn(entry["key_guid"], shown["message"])
                WithKeys.assertClearFacts(self, entry, shown)
                self.assertIs(shown["key"]["held"], False)
                for member in ("rights", "cipher", "proof", "fallbacks", "plain_sha256"):
                    self.assertIsNone(shown[member], member)
                if shown["plain_size"] is not None:
                    self.assertEqual(shown["plain_size"], entry["plain_size"])
                self.assertEqual(shown["size_exact"], shown["plain_size"] is not None)

    def test_plain_files(self):
        result = show(tool.NO_KEYS, tool.PLAIN, "--hash")
        self.assertEqual(result.status, 0)
        for entry, shown in zip(tool.PLAIN, result.objects()):
            with self.subTest(entry["path"]):
                self.assertEqual((shown["kind"], shown["verdict"]), ("plain", "not-protected"))
                self.assertIs(shown["protected"], False)
                self.assertEqual(shown["plain_size"], entry["plain_size"])
                self.assertEqual(shown["plain_sha256"], entry["plain_sha256"])
                self.assertIsNone(shown["key"])

    def test_empty_file_with_a_protected_name_is_reported(self):
        [entry] = [entry for entry in tool.PFILES if entry["size"] == 0]
        [shown] = show(tool.NO_KEYS, [entry]).objects()
        self.assertEqual(shown["verdict"], "not-protected")
        self.assertEqual(shown["warnings"], ["the name is that of a protected file, but it is empty"])


class Forms(unittest.TestCase):
    def setUp(self):
        self.entry = next(entry for entry in tool.PFILES
                          if entry["open"] and {"1033", "1031"} <= set(entry["template_names"]))

    def text(self, *arguments, **options):
        result = tool.run("show", "--keyring", tool.KEYRING, *arguments, **options)
        return result.stdout.decode("utf-8"), result

    def test_text_says_the_same_facts(self):
        text, result = self.text(tool.SHARE / self.entry["path"])
        self.assertEqual(result.status, 0, result.stderr)
        for value in (self.entry["content_id"], self.entry["owner"], self.entry["key_guid"],
                      self.entry["key_fingerprint"], self.entry["urls"][0], str(self.entry["plain_size"]),
                      self.entry["template_names"]["1033"], self.entry["rights"][0]["principal"]):
            self.assertIn(value, text)

    def test_names_are_in_the_users_language(self):
        text, _ = self.text(tool.SHARE / self.entry["path"], env={"LANGUAGE": "de_DE"})
        self.assertIn(self.entry["template_names"]["1031"], text)
        text, _ = self.text(tool.SHARE / self.entry["path"], env={"LANGUAGE": "eo"})
        self.assertIn(self.entry["template_names"]["1033"], text)

    def test_path_that_is_not_utf8_or_has_controls(self):
        for name in (b"\xff\xfe.txt", "new\nline \x1b[1m \u202e\u0085.txt".encode(), b"-q", b"--json"):
            with self.subTest(name):
                folder = os.fsencode(tool.SCRATCH)
                with open(folder + b"/" + name, "wb") as file:
                    file.write(b"plain\n")
                result = tool.run("show", "--json", "--keyring", tool.NO_KEYS, "--", name, cwd=folder)
                self.assertEqual(result.status, 0, result.stderr)
                [shown] = result.objects()
                if name.startswith(b"\xff"):
                    self.assertEqual(base64.b64decode(shown["path_b64"]), name)
                else:
                    self.assertEqual(shown["path"].encode(), name)
                    self.assertNotIn("path_b64", shown)
                for output in (result, tool.run("show", "--keyring", tool.NO_KEYS, "--", name, cwd=folder)):
                    text = output.stdout.decode("utf-8")
                    self.assertFalse(any(c in text for c in "\x1b\u202e\u0085"), text)

    def test_file_that_cannot_be_opened(self):
        missing = tool.SCRATCH / "none"
        result = tool.run("show", "--json", "--keyring", tool.NO_KEYS, missing)
        [shown] = result.objects()
        self.assertEqual((result.status, shown["verdict"], shown["kind"]), (1, "io-error", None))
        self.assertIn("No such file", shown["message"])
        result = tool.run("show", "--keyring", tool.NO_KEYS, missing)
        self.assertEqual((result.status, result.stdout), (1, b""))
        self.assertIn("none: io-error: ", result.stderr)

    def test_copies_with_attributes_of_a_mount_are_not_believed(self):
        path = tool.SCRATCH / "copy.txt"
        path.write_bytes(b"plain\n")
        try:
            os.setxattr(path, "user.tpdfs.kind", b"pfile")
        except OSError:
            self.skipTest("no user attributes on this file system")
        [shown] = tool.run("show", "--json", "--keyring", tool.NO_KEYS, path).objects()
        self.assertEqual(shown["kind"], "plain")


REAL = pathlib.Path(os.environ.get("TPD_REAL_FILES", "/nonexistent"))


@unittest.skipUnless(REAL.is_dir(), "no genuine files here")
class Genuine(unittest.TestCase):
    def test_each_is_identified(self):
        files = [path for path in sorted(REAL.glob("pfile/*")) if path.suffix != ".md"]
        result = tool.run("show", "--json", "--keyring", tool.NO_KEYS, *files)
        self.assertEqual((result.status, result.stderr), (0, ""))
        for path, shown in zip(files, result.objects()):
            with self.subTest(path.name):
                if path.stat().st_size == 0:
                    self.assertEqual((shown["verdict"], len(shown["warnings"])), ("not-protected", 1))
                    continue
                self.assertEqual((shown["kind"], shown["verdict"]), ("pfile", "no-key"))
                self.assertRegex(shown["content_id"], r"^[0-9a-f]{8}-[0-9a-f-]{27}$")
                self.assertIn(shown["key"]["guid"],
                              ("407999b7-d71b-47ff-b672-d9e369f59c23", "aaa331f3-e659-4ea9-876b-e8b25c7b4996"))
                self.assertRegex(shown["urls"][0], r"^https://[0-9a-f-]{36}\.rms\.na\.aadrm\.com/_wmcs/licensing$")
                self.assertEqual(shown["signature"], "good")
                raw = path.read_bytes()
                self.assertTrue(any(shown["content_id"].encode(form) in raw.lower() for form in ("ascii", "utf-16-le")))


def der_integers(data):
    """INTEGERs of a PKCS#1 key: the SEQUENCE's direct children."""

    def header(at):
        length, at = data[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(data[at:at + count], "big"), at + count
        return length, at

    _, at = header(0)
    numbers = []
    while at < len(data):
        length, at = header(at)
        numbers.append(data[at:at + length].lstrip(b"\0"))
        at += length
    return numbers


def pem_numbers(path):
    lines = path.read_text(encoding="ascii").splitlines()
    data = base64.b64decode("".join(line for line in lines if not line.startswith("-----")))
    version, _modulus, _exponent, *private = der_integers(data)
    assert version == b"" and len(private) == 6
    return private


class Trace(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        files = [tool.SHARE / entry["path"] for entry in tool.PFILES]
        cls.result = tool.run("show", "--trace", "--keyring", tool.KEYRING, *files)
        cls.text = cls.result.stdout.decode("utf-8")

    def trace_of(self, path):
        result = tool.run("show", "--trace", "--keyring", tool.KEYRING, tool.SHARE / path)
        return result.stdout.decode("utf-8")

    def entry(self, notes):
        return next(entry["path"] for entry in tool.PFILES if (entry.get("notes") or "").startswith(notes))

    def test_says_version_and_warns_of_names(self):
        text = self.trace_of(tool.PLAIN[0]["path"])
        self.assertRegex(text, r"trace by tpd \d+\.\d+")
        self.assertIn("names, addresses and ids", text)

    def test_says_every_step(self):
        text = self.trace_of(self.entry("oaep sha256"))
        for step in ("-- container", "2e 70 66 69 6c 65", "-- license", "-- key", "same modulus", "-- content key",
                     "SHA-256 (fallback)", "mode word 0xfffd", "-- rights", "-- document", "-- verdict"):
            self.assertIn(step, text)
        self.assertRegex(text, r"Hash rule: +A")
        self.assertRegex(self.trace_of(self.entry("hash differs")), r"Hash rule: +none")
        self.assertRegex(self.trace_of(self.entry("long session key")), r"Session key: +32 bytes")

    def test_agent_tells_where_a_damaged_seal_fails(self):
        path = next(entry["path"] for entry in tool.PFILES if "enabling header damaged" in entry["path"])
        text = self.trace_of(path)
        self.assertIn("Agent:", text)
        self.assertIn("damaged", text)

    def test_holds_no_secret(self):
        everything = self.text + self.result.stderr
        for key in tool.KEY_LIST["tpds"]:
            self.assertNotIn(key["password"], everything)
        compact = everything.replace(" ", "").lower()
        for name in ("onprem.pkcs1.pem", "mode1.pkcs1.pem"):
            for number in pem_numbers(tool.KEYS / "alt" / name):
                self.assertNotIn(number.hex()[:16], compact)
                self.assertNotIn(number[::-1].hex()[:16], compact)

    def test_is_not_json(self):
        result = tool.run("show", "--trace", "--json", "--keyring", tool.NO_KEYS, tool.KEYRING)
        self.assertEqual((result.status, result.stdout), (2, b""))


if __name__ == "__main__":
    unittest.main()
