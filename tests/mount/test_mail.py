# SPDX-License-Identifier: Apache-2.0
"""Mail through the mount, in whatever form it is kept: decrypted, refused, or as it
is; tests/tools/test_eml.py says which, and that the last is told."""

import email
import email.policy
import hashlib
import os
import sys

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))
import eml_maker  # noqa: E402


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Mail(harness.Scratch):
    def test_each_form(self):
        for name, (content, _) in eml_maker.CASES.items():
            self.write("share/" + name, content)
        wanted = eml_maker.ENTRY["message"]
        with harness.Mount(os.path.join(self.dir, "share"), harness.key_arguments()) as mount:
            self.assertEqual(set(os.listdir(mount())), eml_maker.CASES.keys())
            for name, (content, word) in eml_maker.CASES.items():
                with self.subTest(name):
                    if word in ("plain", "told"):
                        self.assertEqual(read(mount(name)), content)
                    elif word in harness.ERRNO:
                        self.assertErrno(harness.ERRNO[word], open, mount(name), "rb")
                    else:
                        self.assertEqual(word, "ok")
                        data = read(mount(name))
                        self.assertEqual(os.stat(mount(name)).st_size, len(data))
                        mail = email.message_from_bytes(data, policy=email.policy.default)
                        body = next(part for part in mail.walk() if part.get_content_type() == "text/html")
                        text = body.get_payload(decode=True).decode(body.get_content_charset())
                        self.assertEqual(hashlib.sha256(text.encode()).hexdigest(), wanted["body_sha256"])


if __name__ == "__main__":
    harness.main()
