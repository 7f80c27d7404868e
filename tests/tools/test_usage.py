#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Command line of tpd: help, versions, wrong usage, logs."""
import stat
import subprocess
import unittest

import tool

COMMANDS = ("cat", "keys", "materialize", "origin", "scan", "show", "verify")


class Usage(unittest.TestCase):
    def check(self, result, *words):
        self.assertEqual((result.status, result.stdout), (2, b""), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_help(self):
        result = tool.run("--help")
        self.assertEqual((result.status, result.stderr), (0, ""))
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", result.stdout.decode())
            of_command = tool.run(command, "--help")
            self.assertEqual((of_command.status, of_command.stderr), (0, ""))
            self.assertIn(f"tpd {command} [OPTION", of_command.stdout.decode())
            self.assertEqual(tool.run("help", command).stdout, of_command.stdout)
        self.assertEqual(tool.run("help").stdout, result.stdout)

    def test_version(self):
        result = tool.run("--version")
        self.assertEqual(result.status, 0)
        self.assertRegex(result.stdout, rb"^tpd \d+\.\d+\.\d+ \(decoder \d+\)\n$")

    def test_unknown_command_is_guessed(self):
        self.check(tool.run("shwo"), "tpd show")
        self.check(tool.run("key"), "tpd keys")
        self.check(tool.run("frobnicate-everything"), "tpd --help")
        self.check(tool.run("help", "kat"), "tpd cat")
        self.check(tool.run("x" * 5000))
        self.check(tool.run(), "tpd --help")
        self.check(tool.run("--json", "show"), "--json")

    def test_wrong_options(self):
        self.check(tool.run("show"), "no file")
        self.check(tool.run("cat", "--json", "x"), "--json")
        self.check(tool.run("keys", "x"), "'x'")
        self.check(tool.run("show", "--frob", "x"), "--frob")
        self.check(tool.run("cat", "--iv=sideways", "x"), "sideways")
        self.check(tool.run("cat", "--quiet", "--verbose", "x"), "--quiet")
        self.check(tool.run("cat", "--password-file", "p", "x"), "--key")
        self.check(tool.run("cat", "--key", "k", "--password-fd", "three", "x"), "three")
        self.check(tool.run("cat", "--key", "k", "--password-file", "a", "--password-file", "b", "x"), "--password-file")
        self.check(tool.run("cat", "--keyring", tool.NO_KEYS, "--password-file", "p", "x"), "--key")
        self.check(tool.run("cat", "--log", tool.SCRATCH / "no" / "log", "x"), "log")

    def test_iv_rules_are_accepted(self):
        entry = next(entry for entry in tool.PFILES if entry["open"])
        for rule in ("auto", "index", "offset"):
            result = tool.run("cat", f"--iv={rule}", "--keyring", tool.KEYRING, tool.SHARE / entry["path"])
            self.assertEqual((result.status, len(result.stdout)), (0, entry["plain_size"]))

    def test_log_file_gets_the_messages_and_is_private(self):
        log = tool.SCRATCH / "tpd.log"
        result = tool.run("cat", "--log", log, "--keyring", tool.NO_KEYS, tool.SCRATCH / "gone\nname")
        self.assertEqual(result.status, 1)
        text = log.read_text(encoding="utf-8")
        self.assertEqual(text.count("\n"), 1)
        self.assertIn("io-error", text)
        self.assertEqual(stat.S_IMODE(log.stat().st_mode), 0o600)

    def test_closed_standard_output_is_an_error_and_no_file_is_written(self):
        plain = tool.SCRATCH / "untouched"
        plain.write_bytes(b"content\n")
        for command in ("cat", "show"):
            done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", tool.TPD, command, "--keyring", tool.NO_KEYS,
                                   plain], stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(plain.read_bytes(), b"content\n")


if __name__ == "__main__":
    unittest.main()
