#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that change while they are read: never a mixture of two versions under a
final name; it is told, and the next run has the new version."""
import os
import shutil

import faults
import tool
from test_materialize import lines, materialize, sha256

ACTIONS = ("rewrite", "rewrite-quietly", "append", "truncate", "replace")


class Change(faults.Faulty):
    def setUp(self):
        super().setUp()
        self.pairs = self.protected_pairs()
        self.mount()

    def protected_pairs(self):
        """Two files of a kind, by kind: their plaintext is known."""
        pairs = {}
        for kind in ("pfile", "office-ooxml", "office-legacy"):
            found = [entry for entry in tool.MANIFEST if entry["kind"] == kind and entry["open"]
                     and entry["compare"] == "bytes" and os.path.getsize(tool.SHARE / entry["path"]) > 6000
                     and (kind != "pfile" or entry["plain_name"].endswith(".txt") or entry["path"].endswith(".pfile"))]
            found.sort(key=lambda entry: os.path.getsize(tool.SHARE / entry["path"]))
            # With another extension it has another name.
            pairs[kind] = next((first, second) for first in reversed(found) for second in reversed(found)
                               if first["plain_sha256"] != second["plain_sha256"]
                               and os.path.splitext(first["plain_name"])[1] == os.path.splitext(second["plain_name"])[1])
        return pairs

    def put_versions(self, name, old, new):
        for path in self.backing.iterdir():
            path.unlink()
        (self.backing / name).write_bytes(old)
        (self.backing / f"{name}.new").write_bytes(new)

    def check(self, name, old, new, results, rules, whole):
        """`results`: what a whole copy may hold, after the first run."""
        shutil.rmtree(self.dst, ignore_errors=True)
        self.put_versions(name, old, new)
        self.fail_with(*rules)
        result = materialize("--exclude", "*.new", self.src, self.dst)
        self.fail_with()
        copies = [path for path in self.dst.iterdir() if path.name != ".tpdfs-manifest"]
        if result.status == 0:
            self.assertEqual(len(copies), 1, result.stderr)
            self.assertIn(sha256(copies[0].read_bytes()), results)
        else:
            self.assertEqual(result.status, 1, result.stderr)
            self.assertEqual(copies, [])
            told = lines(self.dst, "MISSING.jsonl")
            self.assertEqual([line["path"] for line in told], [name])
            self.assertIn(f"{name}: ", result.stderr)
        self.assertEqual(lines(self.dst) == [], result.status == 1)
        if whole is not None:
            self.good(materialize("--exclude", "*.new", self.src, self.dst))
            copies = [path for path in self.dst.iterdir() if path.name != ".tpdfs-manifest"]
            self.assertEqual(len(copies), 1)
            self.assertEqual(sha256(copies[0].read_bytes()), whole)
            self.good(tool.run("verify", self.dst))
        return result.status

    def test_plain_files(self):
        old, new = os.urandom(2 << 20), os.urandom(2 << 20)
        after = {"rewrite": new, "rewrite-quietly": new, "append": old + b"more", "truncate": old[:1000000], "replace": new}
        for action in ACTIONS:
            for rules in ((), ("open /big direct",)):
                with self.subTest(action=action, rules=rules):
                    status = self.check("big", old, new, {sha256(old)}, [f"read /big {action} from=1000000 times=1", *rules],
                                        sha256(after[action]))
                    if action != "replace":
                        self.assertEqual(status, 1)

    def test_protected_files(self):
        for kind, (first, second) in self.pairs.items():
            old, new = ((tool.SHARE / entry["path"]).read_bytes() for entry in (first, second))
            name = "x.txt.pfile" if kind == "pfile" else f"x{os.path.splitext(first['path'])[1]}"
            after = {"rewrite": second["plain_sha256"], "rewrite-quietly": second["plain_sha256"],
                     "replace": second["plain_sha256"]}
            for action in ACTIONS:
                for at in (0, 4096, len(old) // 2, len(old) - 600):
                    with self.subTest(kind=kind, action=action, at=at):
                        results = {first["plain_sha256"], second["plain_sha256"]}
                        if action == "truncate" and at == 0:
                            results = {sha256(b"")}  # before anything was looked at
                        self.check(name, old, new, results,
                                   [f"open /{name} direct", f"read /{name} {action} from={at} times=1"], after.get(action))

    def test_short_reads_are_no_end(self):
        for kind, (first, _) in self.pairs.items():
            with self.subTest(kind):
                old = (tool.SHARE / first["path"]).read_bytes()
                name = "x.txt.pfile" if kind == "pfile" else f"x{os.path.splitext(first['path'])[1]}"
                self.assertEqual(0, self.check(name, old, b"", {first["plain_sha256"]},
                                               [f"open /{name} direct", f"read /{name} short"], first["plain_sha256"]))
        old = os.urandom(100000)
        self.assertEqual(0, self.check("p", old, b"", {sha256(old)}, ["open /p direct", "read /p short"], sha256(old)))

    def test_other_readers_never_mix_either(self):
        """tpd cat and tpd verify --against."""
        for kind, (first, second) in self.pairs.items():
            old, new = ((tool.SHARE / entry["path"]).read_bytes() for entry in (first, second))
            name = "x.txt.pfile" if kind == "pfile" else f"x{os.path.splitext(first['path'])[1]}"
            for action in ("rewrite", "rewrite-quietly", "append"):
                for at in (4096, len(old) - 600):
                    with self.subTest(kind=kind, action=action, at=at):
                        shutil.rmtree(self.dst, ignore_errors=True)
                        self.put_versions(name, old, new)
                        self.good(materialize("--exclude", "*.new", self.src, self.dst))
                        rules = [f"open /{name} direct", f"read /{name} {action} from={at} times=1"]
                        self.fail_with(*rules)
                        against = tool.run("verify", "--keyring", tool.KEYRING, "--against", self.src, self.dst)
                        self.assertEqual(against.status, 1)
                        self.put_versions(name, old, new)
                        self.fail_with(*rules)
                        shown = tool.run("cat", "--keyring", tool.KEYRING, self.src / name)
                        self.fail_with()
                        if shown.status == 0:
                            self.assertIn(sha256(shown.stdout), (first["plain_sha256"], second["plain_sha256"]))


if __name__ == "__main__":
    faults.main()
