#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd cat gives the plaintext of the fixtures, byte for byte, or nothing."""
import hashlib
import os
import shutil
import signal
import unittest

import tool


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def cat(path, *options):
    return tool.run("cat", "--keyring", tool.KEYRING, *options, "--", path)


class Fixtures(unittest.TestCase):
    def test_plain_files_pass_unchanged(self):
        self.assertTrue(tool.PLAIN)
        for entry in tool.PLAIN:
            with self.subTest(entry["path"]):
                result = cat(tool.SHARE / entry["path"])
                self.assertEqual(result.status, 0, result.stderr)
                self.assertEqual(sha256(result.stdout), entry["plain_sha256"])

    def test_pfiles_that_open_give_their_plaintext(self):
        entries = [entry for entry in tool.PFILES if entry["open"]]
        self.assertTrue(entries)
        for entry in entries:
            with self.subTest(entry["path"]):
                result = cat(tool.SHARE / entry["path"])
                self.assertEqual(result.status, 0, result.stderr)
                data = result.stdout
                if entry["compare"] == "padded":
                    self.assertLess(len(data) - entry["plain_size"], 16)
                    data = data[:entry["plain_size"]]
                self.assertEqual(len(data), entry["plain_size"])
                self.assertEqual(sha256(data), entry["plain_sha256"])

    def test_other_pfiles_fail_with_a_sentence_and_no_plaintext(self):
        entries = [entry for entry in tool.PFILES if not entry["open"]]
        self.assertTrue(entries)
        for entry in entries:
            with self.subTest(entry["path"]):
                path = tool.SHARE / entry["path"]
                result = cat(path)
                if result.status == 0:
                    self.assertIn("not-protected", tool.expected_verdicts(entry))
                    self.assertEqual(result.stdout, path.read_bytes())
                    continue
                self.assertEqual(result.status, 1)
                self.assertEqual(result.stdout, b"")
                self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
                words = [f"{path}: {word}: " for word in tool.expected_verdicts(entry)]
                self.assertTrue(any(word in result.stderr for word in words), result.stderr)


class Behaviour(unittest.TestCase):
    def some(self, **wanted):
        for entry in tool.PFILES:
            if entry["open"] and all(entry.get(name) == value for name, value in wanted.items()):
                return entry
        self.fail("no such fixture")

    def test_several_files_are_joined_and_a_bad_one_is_skipped(self):
        first, plain = self.some(key_role="cloud"), tool.PLAIN[0]
        result = tool.run("cat", "--keyring", tool.KEYRING, tool.SHARE / first["path"], tool.SCRATCH / "missing",
                          tool.SHARE / plain["path"])
        self.assertEqual(result.status, 1)
        self.assertEqual(len(result.stdout), first["plain_size"] + plain["plain_size"])
        self.assertIn("missing: io-error: ", result.stderr)

    def test_missing_key_is_told_with_what_to_look_for(self):
        entry = self.some(key_role="cloud")
        result = tool.run("cat", "--keyring", tool.NO_KEYS, tool.SHARE / entry["path"])
        self.assertEqual((result.status, result.stdout), (1, b""))
        self.assertIn(": no-key: ", result.stderr)
        self.assertIn(entry["key_guid"], result.stderr)
        self.assertIn(entry["tenant_id"], result.stderr)
        self.assertIn(entry["urls"][0], result.stderr)
        self.assertIn("2048", result.stderr)

    def test_odd_names(self):
        entry = self.some(key_role="cloud")
        folder = tool.SCRATCH / "odd"
        folder.mkdir(exist_ok=True)
        for name in (b"line\nfeed", b"-k", b"--help", b"\xff\xfe bytes", b"esc\x1b[31m"):
            with self.subTest(name):
                shutil.copy(tool.SHARE / entry["path"], os.fsencode(folder) + b"/" + name)
                result = tool.run("cat", "--keyring", tool.KEYRING, "--", name, cwd=folder)
                self.assertEqual(result.status, 0, result.stderr)
                self.assertEqual(sha256(result.stdout), entry["plain_sha256"])
                os.truncate(os.fsencode(folder) + b"/" + name, 60)
                result = tool.run("cat", "--keyring", tool.KEYRING, "--", name, cwd=folder)
                self.assertEqual((result.status, result.stdout), (1, b""))
                self.assertEqual(result.stderr.count("\n"), 1)
                self.assertNotIn("\x1b", result.stderr)

    def test_links_are_followed_and_only_regular_files_read(self):
        entry = self.some(key_role="cloud")
        link, fifo = tool.SCRATCH / "link", tool.SCRATCH / "fifo"
        link.symlink_to(tool.SHARE / entry["path"])
        os.mkfifo(fifo)
        self.assertEqual(sha256(cat(link).stdout), entry["plain_sha256"])
        for path, what in ((fifo, "a named pipe"), (tool.SCRATCH, "a directory"), ("/dev/null", "a device")):
            with self.subTest(path):
                result = cat(path)
                self.assertEqual((result.status, result.stdout), (1, b""))
                self.assertIn(f"{path}: unsupported: this is {what}", result.stderr)

    def test_reader_that_goes_away_ends_it_quietly(self):
        big = tool.SCRATCH / "big"
        big.write_bytes(bytes(4 * 1024 * 1024))
        process = tool.popen("cat", "--keyring", tool.NO_KEYS, big)
        process.stdout.read(1)
        process.stdout.close()
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()
        self.assertEqual(process.wait(), 1)

    def test_interrupt_gives_status_4(self):
        big = tool.SCRATCH / "big"
        big.write_bytes(bytes(4 * 1024 * 1024))
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                process = tool.popen("cat", "--keyring", tool.KEYRING, big)
                process.stdout.read(1)
                process.send_signal(number)
                _, stderr = process.communicate()
                self.assertEqual((process.returncode, tool.messages(stderr)), (4, "tpd: interrupted\n"))

    def test_full_disk_is_told(self):
        entry = self.some(key_role="cloud")
        with open("/dev/full", "wb") as full:
            process = tool.subprocess.run([tool.TPD, "cat", "--keyring", tool.KEYRING, tool.SHARE / entry["path"]],
                                          stdout=full, stderr=tool.subprocess.PIPE, check=False)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"No space left", process.stderr)

    def test_file_that_changes_underneath_is_an_error(self):
        # Under ECB without a stored size more blocks are more content.
        entry = next(entry for entry in tool.PFILES if entry.get("compare") == "padded")
        path = tool.SCRATCH / "growing.txt.pfile"
        data = (tool.SHARE / entry["path"]).read_bytes()
        path.write_bytes(data + data[-16:] * (4 * 1024 * 1024 // 16))
        process = tool.popen("cat", "--keyring", tool.KEYRING, path)
        head = process.stdout.read(1)
        self.assertEqual(len(head), 1)
        with open(path, "ab") as file:
            file.write(data[-16:])
        rest, stderr = process.communicate()
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"changed while it was read", stderr)
        self.assertLess(len(rest), 3 * 1024 * 1024)


if __name__ == "__main__":
    unittest.main()
