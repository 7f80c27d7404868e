#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd verify finds what is no longer as written, and nothing else; tpd origin
leads back from a copy to what it was made of."""
import hashlib
import json
import os
import shutil
import subprocess
import unittest

import tool
from test_materialize import STATE, Case, lines, materialize, tree


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def verify(*arguments):
    return tool.run("verify", *arguments)


class Verify(Case):
    def setUp(self):
        super().setUp()
        self.good(materialize(tool.SHARE, self.dst), 1)
        self.copies = [record["copy"] for record in lines(self.dst) if record["kind"] != "symlink"]

    def test_untouched_copy_is_good(self):
        result = self.good(verify("--json", self.dst))
        objects = result.objects()
        self.assertEqual(len(objects), len(lines(self.dst)))
        self.assertEqual({line["result"] for line in objects}, {"ok"})

    def test_what_has_no_copy_is_told(self):
        result = self.good(verify(self.dst))
        missing = len(lines(self.dst, "MISSING.jsonl"))
        self.assertGreater(missing, 5)
        self.assertIn(f"{missing} in the source had no plaintext copy", result.stdout.decode())
        (self.dst / STATE / "MISSING.jsonl").write_text("")
        self.assertNotIn("no plaintext copy", self.good(verify(self.dst)).stdout.decode())

    def test_one_flipped_bit_is_found(self):
        path = self.dst / next(copy for copy in self.copies if (self.dst / copy).stat().st_size > 1000)
        data, status = bytearray(path.read_bytes()), path.stat()
        data[777] ^= 16
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        result = self.good(verify(self.dst), 1)
        self.assertEqual(result.stderr.count("\n"), 1)
        self.assertIn(f"{path.relative_to(self.dst)}: changed", result.stderr)

    def test_one_missing_file_is_found(self):
        path = self.dst / self.copies[5]
        path.unlink()
        result = self.good(verify(self.dst), 1)
        self.assertEqual(result.stderr.count("\n"), 1)
        self.assertIn(f"{self.copies[5]}: missing", result.stderr)

    def test_only_what_was_written_is_judged(self):
        (self.dst / "later.txt").write_text("not from us")
        (self.dst / "folder").mkdir()
        self.good(verify(self.dst))

    def test_links_are_compared_and_never_followed(self):
        record = next(record for record in lines(self.dst) if record["kind"] == "symlink")
        (self.dst / record["copy"]).unlink()
        (self.dst / record["copy"]).symlink_to("elsewhere")
        self.assertIn("changed", self.good(verify(self.dst), 1).stderr)
        (self.dst / record["copy"]).unlink()
        (self.dst / record["copy"]).symlink_to(record["target"])
        path = self.dst / self.copies[0]
        shutil.copy(path, self.dir / "same")
        path.unlink()
        path.symlink_to(self.dir / "same")
        self.assertIn(f"{self.copies[0]}: changed", self.good(verify(self.dst), 1).stderr)

    def test_against_decrypts_again(self):
        self.good(verify("--keyring", tool.KEYRING, "--against", tool.SHARE, self.dst))
        other = self.dir / "other"
        shutil.copytree(tool.SHARE, other, symlinks=True)
        record = next(record for record in lines(self.dst) if record["verdict"] == "ok" and record["kind"] == "pfile")
        with open(other / record["path"], "ab") as file:
            file.write(b"more")
        result = self.good(verify("--keyring", tool.KEYRING, "--against", other, self.dst), 1)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn(record["copy"], result.stderr)

    def test_forged_manifest_is_refused(self):
        manifest = self.dst / STATE / "manifest.jsonl"
        digest = sha256(manifest.read_bytes())
        self.good(verify("--manifest-sha256", digest, self.dst))
        kept = manifest.read_text().splitlines(keepends=True)
        manifest.write_text("".join(kept[1:]))
        self.good(verify(self.dst))
        self.good(verify("--manifest-sha256", digest, self.dst), 1)

    def test_paths_in_a_manifest_lead_nowhere_else(self):
        (self.dir / "outside").write_bytes(b"")
        manifest = self.dst / STATE / "manifest.jsonl"
        for copy in ("../outside", "/etc/passwd", "a/../../outside", ""):
            manifest.write_text(json.dumps({"path": "x", "copy": copy, "kind": "plain", "plain_size": 0,
                                            "plain_sha256": sha256(b"")}) + "\n")
            self.assertIn("names no copy", self.good(verify(self.dst), 1).stderr)
        for text in ("{", "[]", '{"path":1}', "\x00", '{"path":"x"}', '{"path":"a","kind":{},"copy":[]}'):
            manifest.write_text(text + "\n")
            self.good(verify(self.dst), 1)

    def test_lists_that_somebody_edited_are_told(self):
        deep = "[" * 1000000
        long = '{"path":"x","copy":"x","kind":"plain","target":"' + "x" * (8 << 20) + '"}'
        manifest, summary = self.dst / STATE / "manifest.jsonl", self.dst / STATE / "summary.json"
        for text in ('{"path":"x","copy":"x","kind":"plain","a":' + deep, deep, '{"a":' * 100000, long, '"' + "\\" * 999):
            manifest.write_text(text + "\n")
            self.good(verify(self.dst), 1)
            self.assertEqual(tool.run("origin", "--manifest", self.dst, "0" * 64).status, 1)
        manifest.write_text("")
        for text in (deep, '{"in_place":true,"copy":7,"source":[]}', '{"in_place":"yes","copy":null}',
                     '{"files":9223372036854775807}', "x"):
            summary.write_text(text)
            self.good(verify(self.dst))

    def test_sums_of_edited_parts_are_no_trap(self):
        for part in ("1-of-2", "2-of-2"):
            shutil.copy(self.dst / STATE / "manifest.jsonl", self.dst / STATE / f"manifest.{part}.jsonl")
            shutil.copy(self.dst / STATE / "MISSING.jsonl", self.dst / STATE / f"MISSING.{part}.jsonl")
            (self.dst / STATE / f"summary.{part}.json").write_text('{"files":9223372036854775807,"bytes":-5,"plain":"7"}')
        self.good(verify("--merge", self.dst))
        joined = json.loads((self.dst / STATE / "summary.json").read_text())
        self.assertEqual((joined["bytes"], joined["plain"]), (0, 0))

    def test_without_a_copy_it_is_wrong_usage(self):
        self.src.mkdir()
        self.assertNotEqual(verify(self.src).status, 0)
        self.assertEqual(verify().status, 2)


class Shards(Case):
    def test_what_lies_on_other_file_systems_is_told_once(self):
        self.put()
        (self.src / "mnt").mkdir()
        (self.src / ".snapshot").mkdir()
        (self.src / "file").write_bytes(b"below")
        mount = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.src / "mnt"], capture_output=True, check=False)
        if mount.returncode != 0:
            self.skipTest("cannot mount here")
        try:
            (self.src / "mnt/other").write_bytes(b"above")
            subprocess.run(["mount", "--bind", self.src / "mnt/other", self.src / "file"], check=True)
            for shard in ("1/3", "2/3", "3/3"):
                self.good(materialize("-x", "--shard", shard, self.src, self.dst))
        finally:
            subprocess.run(["umount", self.src / "file"], stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["umount", self.src / "mnt"], check=True)
        self.good(tool.run("verify", "--merge", self.dst))
        self.assertEqual([(line["path"], line["reason"]) for line in lines(self.dst, "MISSING.jsonl")],
                         [("file", "other-file-system"), ("mnt", "other-file-system")])
        summary = json.loads((self.dst / STATE / "summary.json").read_text())
        self.assertEqual([summary[name] for name in ("missing", "failed", "foreign_directories", "snapshot_directories")],
                         [2, 0, 1, 1])

    def shards(self, count, *options, source=tool.SHARE):
        for shard in range(1, count + 1):
            materialize("--shard", f"{shard}/{count}", *options, source, self.dst)

    def test_shards_merged_equal_one_run(self):
        whole = self.dir / "whole"
        self.good(materialize(tool.SHARE, whole), 1)
        self.shards(2)
        self.assertEqual(tree(self.dst), tree(whole))
        self.good(verify("--merge", self.dst))
        for name in ("manifest.jsonl", "MISSING.jsonl"):
            self.assertEqual((self.dst / STATE / name).read_bytes(), (whole / STATE / name).read_bytes())
        parts = [len(lines(self.dst, f"manifest.{shard}-of-2.jsonl")) for shard in (1, 2)]
        self.assertEqual(sum(parts), len(lines(whole)))
        self.assertGreater(min(parts), 20)
        summaries = [json.loads((top / STATE / "summary.json").read_text()) for top in (whole, self.dst)]
        for name in ("decrypted", "plain", "symlinks", "bytes", "failed"):
            self.assertEqual(summaries[0][name], summaries[1][name])

    def test_shards_at_the_same_time(self):
        whole = self.dir / "whole"
        self.good(materialize(tool.SHARE, whole), 1)
        running = [tool.popen("materialize", "-q", "--keyring", tool.KEYRING, "--shard", f"{shard}/3", tool.SHARE,
                              self.dst) for shard in (1, 2, 3)]
        for process in running:
            process.communicate()
            self.assertIn(process.returncode, (0, 1))
        self.good(verify("--merge", self.dst))
        self.assertEqual(tree(self.dst), tree(whole))

    def test_missing_shard_is_told(self):
        materialize("--shard", "1/3", tool.SHARE, self.dst)
        materialize("--shard", "3/3", tool.SHARE, self.dst)
        self.assertEqual(verify("--merge", self.dst).status, 2)
        result = self.good(verify(self.dst), 1)
        self.assertIn("1 of 3 parts", result.stderr)

    def test_names_of_a_file_stay_together(self):
        self.src.mkdir()
        for number in range(20):
            (self.src / f"{number}").write_text(str(number))
            for name in range(3):
                os.link(self.src / f"{number}", self.src / f"{number}-{name}")
        self.shards(4, source=self.src)
        for number in range(20):
            inodes = {(self.dst / name).stat().st_ino for name in
                      [f"{number}", *(f"{number}-{name}" for name in range(3))]}
            self.assertEqual(len(inodes), 1)

    def test_wrong_shards_are_wrong_usage(self):
        for word in ("0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3"):
            self.assertEqual(materialize("--shard", word, tool.SHARE, self.dst).status, 2, word)


class Origin(Case):
    def setUp(self):
        super().setUp()
        self.entry = self.put("dir/a.txt.pfile")
        (self.src / "p").write_text("plain")
        self.good(materialize(self.src, self.dst))

    def origin(self, *arguments):
        return self.good(tool.run("origin", "--json", *arguments)).objects()

    def test_by_path(self):
        found = self.origin(self.dst / "dir/a.txt")
        self.assertEqual([line["original"] for line in found], [str(self.src / "dir/a.txt.pfile")])
        self.assertEqual(found[0]["content_id"], self.entry["content_id"])
        text = self.good(tool.run("origin", self.dst / "dir/a.txt")).stdout.decode()
        self.assertIn(str(self.src / "dir/a.txt.pfile"), text)
        self.assertIn(self.entry["plain_sha256"], text)

    def test_by_digest_and_by_content(self):
        digest = self.entry["plain_sha256"]
        self.assertEqual(self.origin("--manifest", self.dst, digest)[0]["path"], "dir/a.txt.pfile")
        shutil.copy(self.dst / "dir/a.txt", self.dir / "moved")
        self.assertEqual(self.origin("--manifest", self.dst, self.dir / "moved")[0]["path"], "dir/a.txt.pfile")
        (self.dst / "dir/a.txt").rename(self.dst / "renamed")
        self.assertEqual(self.origin(self.dst / "renamed")[0]["path"], "dir/a.txt.pfile")

    def test_unknown_is_told(self):
        (self.dst / "new").write_text("new")
        self.assertEqual(tool.run("origin", self.dst / "new").status, 1)
        self.assertEqual(tool.run("origin", "--manifest", self.dst, "0" * 64).status, 1)
        self.assertEqual(tool.run("origin", self.src / "p").status, 2)
        self.assertEqual(tool.run("origin").status, 2)


if __name__ == "__main__":
    unittest.main()
