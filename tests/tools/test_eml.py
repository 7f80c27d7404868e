#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No mail that carries a message.rpmsg passes as a plain one without a word, in
whatever form it is kept; ordinary mail does."""
import email
import email.policy
import hashlib
import json
import unittest

import eml_maker
import tool



def sha256(data):
    return hashlib.sha256(data).hexdigest()


# What stands beside the protected mail in the wrapper.
OTHERS = {
    "attached-marked.eml": [("a.csv", b"1,2,3\n")],
    "attached-encodings.eml": [("Übersicht.bin", bytes(range(256))), ("größe.txt", "1 €\n".encode()), ("c.txt", b"text")],
    # What cannot be taken apart is kept as it is.
    "closed-beside.eml": [("attachment", eml_maker.CLOSED_PART.split(b"\n\n", 1)[1])],
    "attached-inline.eml": [("inline.pdf", b"a"), ("id.pdf", b"b"), ("table.csv", b"c")],
}


class Mails(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tool.SCRATCH / "mails"
        cls.folder.mkdir()
        for name, (content, _) in eml_maker.CASES.items():
            (cls.folder / name).write_bytes(content)

    def expected(self, *words):
        return {name: case for name, case in eml_maker.CASES.items() if case[1] in words}

    def test_show(self):
        result = tool.run("show", "--json", "--keyring", tool.KEYRING, *sorted(self.folder.iterdir()))
        shown = {line["path"].rsplit("/", 1)[1]: line for line in result.objects()}
        self.assertEqual(len(shown), len(eml_maker.CASES))
        for name, (_, word) in eml_maker.CASES.items():
            with self.subTest(name):
                line = shown[name]
                if word in ("plain", "told"):
                    self.assertEqual((line["verdict"], line["kind"]), ("not-protected", "plain"))
                    self.assertEqual(bool(line["warnings"]), word == "told", line["warnings"])
                else:
                    self.assertEqual((line["verdict"], line["kind"], line["protected"]), (word, "eml", True), line["message"])

    def test_refusals_name_the_encoding(self):
        names = [name for name in self.expected("unsupported") if name.startswith("uuencode")]
        self.assertGreater(len(names), 2)
        for name in names:
            result = tool.run("cat", "--keyring", tool.KEYRING, self.folder / name)
            self.assertEqual((result.status, result.stdout), (1, b""))
            self.assertRegex(result.stderr, r': unsupported: .* encoding "(x-)?uuencode"')

    def test_scan_and_preflight(self):
        index = tool.SCRATCH / "mails.sqlite"
        for run in ("cold", "warm"):
            with self.subTest(run):
                result = tool.run("scan", "--json", "--index", index, self.folder)
                lines = {line["path"].rsplit("/", 1)[1]: line for line in result.objects()}
                self.assertEqual({name for name, line in lines.items() if line["verdict"] == "no-key"},
                                 self.expected("ok").keys())
                self.assertEqual({name for name, line in lines.items()
                                  if line["verdict"] == "not-protected" and line["warnings"]},
                                 self.expected("told").keys())
                for word in ("damaged", "unsupported", "too-large"):
                    self.assertEqual({name for name, line in lines.items() if line["verdict"] == word},
                                     self.expected(word).keys())
        result = tool.run("preflight", "--json", "--index", index, "--keyring", tool.KEYRING, self.folder)
        opaque = {line["path"].rsplit("/", 1)[1]: line["opaque"] for line in result.objects()
                  if line.get("table") == "opaque"}
        self.assertEqual(opaque, {name: "mbox" if name.endswith(".mbox") else "mail" for name in self.expected("told")})
        self.assertEqual(result.status, 1)

    def check_mail(self, data, *others):
        mail = email.message_from_bytes(data, policy=email.policy.default)
        parts = [part for part in mail.walk() if not part.is_multipart()]
        self.assertFalse([part.defects for part in mail.walk() if part.defects])
        wanted = eml_maker.ENTRY["message"]
        body = next(part for part in parts if part.get_content_type() == "text/html")
        text = body.get_payload(decode=True).decode(body.get_content_charset())
        self.assertEqual(sha256(text.encode()), wanted["body_sha256"])
        files = [(part.get_filename(), sha256(part.get_payload(decode=True))) for part in parts
                 if part.get_content_disposition() == "attachment"]
        self.assertEqual(files, [(one["name"], one["sha256"]) for one in wanted["attachments"]]
                         + [(name, sha256(content)) for name, content in others])
        self.assertNotIn("Content-Class", mail)
        return mail

    def test_cat_of_what_opens(self):
        for name in self.expected("ok"):
            with self.subTest(name):
                result = tool.run("cat", "--keyring", tool.KEYRING, self.folder / name)
                self.assertEqual(result.status, 0, result.stderr)
                mail = self.check_mail(result.stdout, *OTHERS.get(name, ()))
                if b"Subject: figures" in eml_maker.CASES[name][0]:
                    self.assertEqual(mail["Subject"], "figures")

    def test_cat_of_the_rest(self):
        for name, (content, word) in eml_maker.CASES.items():
            if word == "ok":
                continue
            with self.subTest(name):
                result = tool.run("cat", "--keyring", tool.KEYRING, self.folder / name)
                if word in ("plain", "told"):
                    self.assertEqual((result.status, result.stdout), (0, content))
                else:
                    self.assertEqual((result.status, result.stdout), (1, b""))
                    self.assertIn(f": {word}: ", result.stderr)

    def test_materialize(self):
        out = tool.SCRATCH / "copies"
        result = tool.run("materialize", "--keyring", tool.KEYRING, self.folder, out)
        self.assertEqual(result.status, 1, result.stderr)
        records = {}
        for line in (out / ".tpdfs-manifest/manifest.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            records[record["path"]] = record
        for name, (content, word) in eml_maker.CASES.items():
            with self.subTest(name):
                if word in ("plain", "told"):
                    self.assertEqual((out / name).read_bytes(), content)
                    self.assertEqual(bool(records[name]["message"]), word == "told", records[name])
                elif word == "ok":
                    self.check_mail((out / name).read_bytes(), *OTHERS.get(name, ()))
                else:
                    self.assertFalse((out / name).exists())

    def test_wrapper_of_too_many_parts_is_refused(self):
        """Also where a probe does not see them."""
        path = tool.SCRATCH / "many-behind.eml"
        path.write_bytes(eml_maker.mail(eml_maker.rpmsg_part(), eml_maker.BIG_PART, *[eml_maker.OTHER_PART] * 1000))
        result = tool.run("cat", "--keyring", tool.KEYRING, path)
        self.assertEqual((result.status, result.stdout), (1, b""))
        self.assertIn(": too-large: The protected mail is in a wrapper of more than 1000 parts", result.stderr)

    def test_cat_tells_what_it_sees(self):
        result = tool.run("cat", "--keyring", tool.KEYRING, self.folder / "forward.eml")
        self.assertIn("forward.eml: The mail is not protected itself", result.stderr)


class Texts(unittest.TestCase):
    """Text that begins like a mail, and is none, is plain without a word."""

    CASES = {
        "k8s.yaml": b"apiVersion: v1\nkind: ConfigMap\ndata:\n" + b"  key: rpmsg\n" * 2000,
        "urls.txt": b"https://contoso.example/message.rpmsg\n" * 500,
        "app.conf": b"X-Frame-Options: deny\nServer-Name: a\n" * 9000,
        "log.txt": b"WARN: nothing\nINFO: message.rpmsg seen\n" * 500,
        "talk.txt": b"From: a\nTo: b\nSubject: c\n\nDear all, open message.rpmsg\n",
        "patch.mbox": b"From 0123456789 Mon Sep 17 00:00:00 2001\nFrom: a <a@b>\nDate: x\nSubject: [PATCH] y\n\ndiff\n",
        "essay.txt": b"From here on it goes.\n" * 100,
        "number.txt": b"1234\n5678\n",
        "wide.txt": "\ufeffDear: all\r\n\r\nmessage.rpmsg".encode("utf-16-le"),
        "wide.reg": "\ufeffWindows Registry Editor\r\n".encode("utf-16-le") * 200,
        "mac.txt": b"Note: a\rTo: b\r" * 600,
        "blank": b" \n" * 5000,
        "bom.cs": b"\xef\xbb\xbfusing System;\r\n",
    }

    def test_scan(self):
        folder = tool.SCRATCH / "texts"
        folder.mkdir()
        for name, content in self.CASES.items():
            (folder / name).write_bytes(content)
        result = tool.run("preflight", "--json", "--index", tool.SCRATCH / "texts.sqlite", folder)
        lines = result.objects()
        self.assertEqual([line["table"] for line in lines if "table" in line], ["summary"])
        self.assertEqual(lines[-1]["all"]["files"], len(self.CASES))
        self.assertEqual(result.status, 0)


if __name__ == "__main__":
    unittest.main()
