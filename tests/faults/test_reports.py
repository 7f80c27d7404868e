#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd scan, preflight, show, cat and verify, and the mount, on what cannot be
read: told, never taken for unprotected, and no obstacle to the rest."""
import errno
import json
import os
import shutil
import sqlite3

import faults
import harness
import tool
from test_materialize import lines, materialize, sha256


class Reports(faults.Faulty):
    def setUp(self):
        super().setUp()
        self.fill()
        self.mount()
        self.index = self.dir / "index.sqlite"

    def scan(self, *options, status=0):
        return self.good(tool.run("scan", "--keyring", tool.KEYRING, "--index", self.index, *options, self.src), status)

    def verdicts(self, result):
        return {os.path.relpath(line["path"], self.src): line["verdict"] for line in result.objects() if "path" in line}

    def test_scan_tells_each_and_looks_again(self):
        good = self.verdicts(self.scan("--json"))
        self.assertIn(good["a.txt.pfile"], ("ok", "key-held"))
        for word in ("EIO", "ESTALE"):
            for path in ("a.txt.pfile", "large", "dir/deep/c"):
                for rule in (f"open /{path} {word}", f"read /{path} {word}", f"open /{path} direct"):
                    with self.subTest(rule):
                        self.index.unlink(missing_ok=True)
                        self.fail_with(rule, f"read /{path} {word}")
                        result = self.scan("--json", status=1)
                        found = self.verdicts(result)
                        self.assertEqual(found.pop(path), "io-error")
                        self.assertEqual(found, {name: verdict for name, verdict in good.items() if name != path})
                        self.assertIn(f"{path}: io-error", result.stderr)
                        self.fail_with()
                        self.assertEqual(self.verdicts(self.scan("--json")), good)

    def test_directory_that_cannot_be_read_keeps_its_rows(self):
        good = self.verdicts(self.scan("--json"))
        for word in ("EIO", "ESTALE"):
            for rule in (f"opendir /dir {word}", f"readdir /dir {word}", f"readdir /dir {word} from=3"):
                with self.subTest(rule):
                    self.fail_with(rule)
                    result = self.scan("--json", status=1)
                    self.assertIn("dir", result.stderr)
                    self.fail_with()
                    with sqlite3.connect(self.index) as index:
                        rows = index.execute("select count(*) from probe").fetchone()[0]
                    self.assertGreaterEqual(rows, len(good) - 1)
                    self.assertEqual(self.verdicts(self.scan("--json")), good)

    def test_preflight_does_not_let_it_lapse(self):
        arguments = ("--keyring", tool.KEYRING, "--index", self.index)
        self.good(tool.run("preflight", *arguments, self.src))
        for rules in (["open /a.txt.pfile EIO"], ["read /large ESTALE"], ["opendir /dir EIO"], ["readdir /dir/deep EIO"],
                      ["getattr /large EIO"]):
            with self.subTest(rules):
                self.index.unlink(missing_ok=True)
                self.fail_with(*rules)
                result = self.good(tool.run("preflight", *arguments, self.src), 1)
                text = result.stdout.decode()
                self.assertNotIn("Let it lapse", text)
                name = rules[0].split()[1][1:]
                self.assertIn(name, text + result.stderr)
                self.fail_with()

    def test_deep_check_tells_what_it_cannot_read_to_its_end(self):
        entry = next(entry for entry in tool.MANIFEST if entry["kind"] == "office-ooxml" and entry["open"]
                     and os.path.getsize(tool.SHARE / entry["path"]) > 12000)
        shutil.copy(tool.SHARE / entry["path"], self.backing / "x.docx")
        at = os.path.getsize(tool.SHARE / entry["path"]) - 3000
        self.fail_with("open /x.docx direct", f"read /x.docx EIO from={at}")
        result = tool.run("preflight", "--keyring", tool.KEYRING, "--index", self.index, "--deep", self.src)
        self.assertEqual(result.status, 1, result.stdout)

    def test_show_and_cat(self):
        self.fail_with("open /a.txt.pfile direct", "read /a.txt.pfile EIO")
        self.assertEqual(tool.run("show", "--keyring", tool.KEYRING, self.src / "a.txt.pfile").status, 1)
        shown = tool.run("cat", "--keyring", tool.KEYRING, self.src / "a.txt.pfile")
        self.assertEqual((shown.status, shown.stdout), (1, b""))
        self.fail_with("open /a.txt.pfile EIO")
        self.assertEqual(tool.run("show", "--keyring", tool.KEYRING, self.src / "a.txt.pfile").status, 1)

    def test_verify_and_origin(self):
        """The copies are on what fails."""
        target = self.src / "dst"
        self.good(materialize(self.expected, target))
        for rules, word in ((["open /dst/large EIO"], "failed"), (["read /dst/large EIO from=2000000"], "failed"),
                            (["getattr /dst/dir/plain ESTALE"], "failed"), (["readlink /dst/link EIO"], "failed")):
            with self.subTest(rules):
                self.fail_with(*rules)
                result = self.good(tool.run("verify", "--json", target), 1)
                bad = [line for line in result.objects() if line["result"] != "ok"]
                self.assertEqual([(line["copy"], line["result"]) for line in bad], [(rules[0].split()[1][5:], word)])
                self.fail_with()
                self.good(tool.run("verify", target))
        self.fail_with("read */manifest.jsonl EIO")
        self.assertEqual(tool.run("verify", target).status, 1)
        self.assertEqual(tool.run("origin", "--manifest", target, "0" * 64).status, 1)


class Mounted(faults.Faulty):
    """tpdfs over a source that fails."""

    def setUp(self):
        super().setUp()
        if not harness.fuse_available():
            self.skipTest("no FUSE")
        self.fill()
        self.mount()

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def errno_of(self, path):
        with self.assertRaises(OSError) as caught:
            self.read(path)
        return caught.exception.errno

    def test_one_file_fails_and_the_others_open(self):
        for word, number in (("EIO", errno.EIO), ("ESTALE", errno.ESTALE)):
            for rules, path in (([f"open /a.txt.pfile {word}"], "a.txt"), ([f"read /large {word}"], "large"),
                                ([f"read /a.txt.pfile {word}"], "a.txt"), ([f"open /dir/deep/c {word}"], "dir/deep/c")):
                with self.subTest(rules), harness.Mount(str(self.src), harness.key_arguments()) as shown:
                    self.addCleanup(self.fail_with)
                    self.fail_with(*rules)
                    found = {os.path.relpath(os.path.join(folder, name), shown.path)
                             for folder, _, files in os.walk(shown.path) for name in files}
                    # What it is called is in it.
                    bad = path if path in found else f"{path}.pfile"
                    self.assertIn(self.errno_of(os.path.join(shown.path, bad)), (number, errno.EIO))
                    for other in ("a.txt", "large", "dir/plain", "dir/deep/c", "dir/b.txt"):
                        if other != path:
                            self.assertEqual(sha256(self.read(os.path.join(shown.path, other))),
                                             sha256((self.expected / other).read_bytes()))
                    self.fail_with()
                    self.assertEqual(len(found), 7)
                # What could not be read is read when it can be.
                with harness.Mount(str(self.src), harness.key_arguments()) as shown:
                    self.assertEqual(self.read(os.path.join(shown.path, path)), (self.expected / path).read_bytes())

    def test_it_heals_without_another_mount(self):
        with harness.Mount(str(self.src), [*harness.key_arguments(), "-o", "cache=never"]) as shown:
            self.fail_with("read /a.txt.pfile EIO", "read /large EIO from=1500000")
            path = os.path.join(shown.path, "large")
            with open(path, "rb", buffering=0) as file:
                self.assertEqual(file.read(4096), faults.LARGE[:4096])
                file.seek(3000000)
                with self.assertRaises(OSError) as caught:
                    file.read(4096)
                self.assertEqual(caught.exception.errno, errno.EIO)
            self.fail_with()
            self.assertEqual(self.read(path), faults.LARGE)
            names = os.listdir(shown.path)
            self.assertIn("a.txt", names)
            self.assertEqual(self.read(os.path.join(shown.path, "a.txt")), (self.expected / "a.txt").read_bytes())

    def test_no_end_where_reading_fails(self):
        """A piece that cannot be read is told, in whatever manner it is asked for."""
        for cache in ("auto", "never"):
            for size in (1 << 20, 100000, 4096, 3 << 20):
                options = [*harness.key_arguments(), "-o", f"passthrough=off,cache={cache}"]
                with self.subTest(cache=cache, size=size), harness.Mount(str(self.src), options) as shown:
                    self.addCleanup(self.fail_with)
                    self.fail_with("read /large EIO from=1500000")
                    path = os.path.join(shown.path, "large")
                    got = b""
                    with open(path, "rb", buffering=0) as file, self.assertRaises(OSError) as caught:
                        while piece := file.read(size):
                            got += piece
                    self.assertEqual(caught.exception.errno, errno.EIO)
                    self.assertEqual(sha256(got), sha256(faults.LARGE[:len(got)]))
                    self.assertEqual(os.path.getsize(path), len(faults.LARGE))
                    self.fail_with()
                    self.assertEqual(sha256(self.read(path)), sha256(faults.LARGE))


if __name__ == "__main__":
    faults.main()
