#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile files that ask the key agent about the key, through a real mount:
whatever is wrong with what is sealed, the answer is one and the same, and
somebody is told that it was asked often."""
import base64
import errno
import json
import os
import re
import subprocess
import unittest

import processes
from processes import harness, tool

VALUE = re.compile(rb'(<ENABLINGBITS type="sealed-key-v2"><VALUE encoding="base64" size="\d+">)([^<]+)(</VALUE>)')
# As many refusals of a key are worth a line.
MANY = 100


def document():
    """Bytes of a protected file whose license is ASCII, and what is sealed in it."""
    for entry in tool.PFILES:
        if entry["open"] and entry.get("key_role") == "cloud":
            data = (tool.SHARE / entry["path"]).read_bytes()
            match = VALUE.search(data)
            if match:
                return entry, data, match
    raise LookupError("no fixture has a license in ASCII")


class Oracle(harness.Scratch):
    def make_files(self):
        """`u`: one for each way to be wrong up to the header inside: a bit in the
        RSA block or the first block of AES, numbers that are no ciphertext, pieces
        in the wrong place. `x`: a bit behind that, which makes another content key,
        or touches what follows it."""
        entry, data, match = document()
        sealed = base64.b64decode(match.group(2))
        rsa, header = 256, 256 + 16

        def flipped(at):
            return sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1:]

        wrong = [flipped(at) for at in range(0, header, 3)]
        wrong += [bytes([i]) * rsa + sealed[rsa:] for i in (*range(40), 255)]
        wrong += [bytes(rsa - 1) + b"\x01" + sealed[rsa:], sealed[rsa:] + sealed[:rsa],
                  sealed[:rsa] + sealed[:len(sealed) - rsa]]
        behind = [flipped(at) for at in range(header, len(sealed))]
        for letter, values in (("u", wrong), ("x", behind)):
            for number, value in enumerate(values):
                text = base64.b64encode(value)
                self.assertEqual(len(text), len(match.group(2)))
                self.write(f"share/{letter}{number:03}.txt.pfile", data[:match.start(2)] + text + data[match.end(2):])
        self.write("share/right.txt.pfile", data)
        return entry, len(wrong)

    def test_every_wrong_file_gets_the_same_answer(self):
        entry, number = self.make_files()
        self.assertGreater(number, MANY)
        words = ["--key", str(tool.KEYS / "tpd-cloud.xml"), "--password-file", str(tool.password_file("tpd-cloud.xml"))]
        with harness.Mount(os.path.join(self.dir, "share"), words) as mount:
            for name in os.listdir(mount.path):
                try:
                    digest = harness.sha256_file(mount(name))
                except OSError as e:
                    self.assertEqual((e.errno, name[0] in "ux"), (errno.EBADMSG, True), name)
                else:
                    self.assertEqual((digest, name[0] in "rx"), (entry["plain_sha256"], True), name)
            with open(mount(".tpdfs", "unreadable.jsonl"), encoding="utf-8") as file:
                told = [line for line in map(json.loads, file) if line["path"].startswith("u")]
            self.assertEqual(len(told), number)
            self.assertEqual(len({(line["verdict"], line["message"]) for line in told}), 1, told[0])
            log = mount.log()
        self.assertEqual(log.count("sealed keys did not open with it"), 1, log)
        self.assertIn("somebody makes files to find out about the key", log)


@unittest.skipUnless(harness.fuse_available(), "no fuse")
class WrongPassword(harness.Scratch):
    def test_nothing_is_mounted(self):
        password = self.write("password", "not the password")
        os.chmod(password, 0o600)
        point = os.path.join(self.dir, "point")
        os.mkdir(point)
        for more in ([], ["-f"]):
            done = subprocess.run([harness.TPDFS, *more, "--allow-insecure-files", "--key", tool.KEYS / "tpd-cloud.xml",
                                   "--password-file", password, tool.SHARE, point], capture_output=True, check=False,
                                  stdin=subprocess.DEVNULL, timeout=processes.TIMEOUT)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertNotIn(b"not the password", done.stderr)
            self.assertFalse(harness.is_mounted(point))


if __name__ == "__main__":
    harness.main()
