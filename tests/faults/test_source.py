#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What cannot be read is told, counted and left out; the rest goes on, and the
next run does what was left."""
import os
import shutil

import faults
import tool
from test_materialize import STATE, lines, materialize, tree


class Materialize(faults.Faulty):
    def check_one(self, rules, missing, lost=None, reason="io-error"):
        """With these rules exactly `missing` is left out (and what is beneath
        `lost`), and told; afterwards the next run ends it."""
        shutil.rmtree(self.dst, ignore_errors=True)
        self.fail_with(*rules)
        result = self.good(materialize(self.src, self.dst), 1)
        got, expected = tree(self.dst), tree(self.expected)
        gone = [copy for copy in expected if copy not in got]
        wanted = sorted(os.fsencode(name) for name in (lost or missing.values()))
        self.assertEqual(sorted(gone), wanted)
        for path, what in got.items():
            if what[0] != "dir":
                self.assertEqual(what, expected[path], path)
        told = lines(self.dst, "MISSING.jsonl")
        self.assertEqual(sorted((line["path"], line["reason"]) for line in told),
                         sorted((path, reason) for path in missing))
        for path in missing:
            self.assertIn(f"{path}: {reason}: ", result.stderr)
        self.assertEqual(self.summary()["failed"], len(missing))
        self.assertEqual(self.summary()["missing"], len(missing))
        self.no_temps(self.dst)
        self.good(tool.run("verify", self.dst))
        self.fail_with()
        self.good(materialize(self.src, self.dst))
        self.assertEqual(tree(self.dst), expected)
        self.assertEqual((self.dst / STATE / "manifest.jsonl").read_bytes(),
                         (self.expected / STATE / "manifest.jsonl").read_bytes())

    def test_one_file_that_cannot_be_read(self):
        self.fill()
        self.mount()
        copies = {"a.txt.pfile": "a.txt", "large": "large", "dir/plain": "dir/plain", "dir/deep/c": "dir/deep/c"}
        for word in ("EIO", "ESTALE", "EACCES"):
            for path in ("a.txt.pfile", "large", "dir/deep/c"):
                for operation in ("open", "read"):
                    with self.subTest(f"{operation} {path} {word}"):
                        self.check_one([f"{operation} /{path} {word}"], {path: copies[path]})
            with self.subTest(f"{word} behind the first block"):
                self.check_one([f"read /large {word} from=2000000"], {"large": "large"})
                self.check_one([f"read /a.txt.pfile {word} from=4096"] if (self.backing / "a.txt.pfile").stat().st_size > 4096
                               else [f"read /a.txt.pfile {word} from=1000"], {"a.txt.pfile": "a.txt"})
            with self.subTest(f"readlink {word}"):
                self.check_one([f"readlink /link {word}"], {"link": "link"})

    def test_every_name_of_a_file_is_told(self):
        self.fill()
        self.mount()
        self.check_one(["open /dir/plain EIO", "open /dir/twice EIO"],
                       {"dir/plain": "dir/plain", "dir/twice": "dir/twice"})
        # The second name alone: its first has a copy, and it cannot be looked at.
        for name in ("plain", "twice"):
            self.check_one([f"getattr /dir/{name} EIO"], {f"dir/{name}": f"dir/{name}"})

    def test_directory_that_cannot_be_read(self):
        self.fill()
        self.mount()
        below = ["dir/b.txt", "dir/plain", "dir/twice", "dir/deep", "dir/deep/c"]
        for word in ("EIO", "ESTALE"):
            self.check_one([f"opendir /dir {word}"], {"dir": "dir"}, ["dir", *below])
            self.check_one([f"readdir /dir {word}"], {"dir": "dir"}, ["dir", *below])
        self.fail_with("opendir / EIO")
        self.assertEqual(materialize(self.src, self.dst).status, 1)


if __name__ == "__main__":
    faults.main()
