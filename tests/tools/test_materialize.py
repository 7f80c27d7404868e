#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd materialize makes the plain tree of the fixtures, whole or not at all."""
import fcntl
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import time
import unittest

import tool
import scratch

STATE = ".tpdfs-manifest"
KILL_SECONDS = float(os.environ.get("TPD_KILL_SECONDS", "3"))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def plain_name(entry):
    """Where the copy of an entry is to be found."""
    path, plain = entry["path"], entry.get("plain_name") or entry["path"]
    if entry["kind"] == "rpmsg":
        return path + ".eml"
    if entry["kind"] == "pfile" and path.endswith(".jpg"):
        return path  # the name is none of a protected file
    if entry.get("compare") != "message" and entry.get("plain_path") not in (None, plain):
        return path + os.path.splitext(plain)[1]  # a collision
    return plain


def materialize(*arguments, keyring=tool.KEYRING):
    return tool.run("materialize", "--keyring", keyring, *arguments)


def lines(dst, name="manifest.jsonl"):
    text = (pathlib.Path(dst) / STATE / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def tree(top):
    """Everything beneath `top` but the state: path -> what it is."""
    found = {}
    top = os.fsencode(top)
    for folder, names, files in os.walk(top):
        if folder == top and STATE.encode() in names:
            names.remove(STATE.encode())
        for name in names + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                what = ("link", os.readlink(path))
            elif stat.S_ISDIR(status.st_mode):
                what = ("dir",)
            else:
                with open(path, "rb") as file:
                    what = ("file", sha256(file.read()), status.st_mtime_ns, stat.S_IMODE(status.st_mode))
            found[os.path.relpath(path, top)] = what
    return found


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tool.tempfile.mkdtemp(dir=tool.SCRATCH))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.src = self.dir / "src"
        self.dst = self.dir / "dst"

    def many_files(self):
        """Puts source and copies where thousands of files are soon made."""
        self.dir = pathlib.Path(scratch.of_many_files())
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.src = self.dir / "src"
        self.dst = self.dir / "dst"

    def some(self, **wanted):
        for entry in tool.PFILES:
            if entry["open"] and entry["compare"] == "bytes" and entry["plain_name"].endswith(".txt") and all(entry.get(k) == v for k, v in wanted.items()):
                return entry
        self.fail("no such fixture")

    def put(self, name="a.txt.pfile", entry=None):
        """A protected file in the source."""
        entry = entry or self.some(key_role="cloud")
        path = self.src / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tool.SHARE / entry["path"], path)
        return entry

    def good(self, result, status=0):
        self.assertEqual(result.status, status, result.stderr)
        return result

    def no_temps(self, top):
        left = [path for path in pathlib.Path(top).rglob("*") if path.name.startswith(".tpdfs-tmp-")]
        self.assertEqual(left, [])


class Fixtures(Case):
    def check(self, dst):
        for entry in tool.MANIFEST:
            with self.subTest(entry["path"]):
                source, copy = tool.SHARE / entry["path"], dst / plain_name(entry)
                if entry["kind"] == "symlink":
                    self.assertEqual(os.readlink(copy), os.readlink(source))
                    continue
                if not entry["open"]:
                    if "not-protected" not in tool.expected_verdicts(entry):
                        self.assertFalse(copy.exists())
                    continue
                self.check_file(entry, source, copy)

    def check_file(self, entry, source, copy):
        data, before, after = copy.read_bytes(), source.stat(), copy.stat()
        self.assertEqual(before.st_mtime_ns, after.st_mtime_ns)
        self.assertEqual(before.st_mode, after.st_mode)
        if entry["compare"] == "padded":
            self.assertLess(len(data) - entry["plain_size"], 16)
            data = data[:entry["plain_size"]]
        if entry["compare"] in ("bytes", "padded"):
            self.assertEqual(sha256(data), entry["plain_sha256"])
        elif entry["compare"] == "pdf":
            self.assertEqual(data[:5], b"%PDF-")
            self.assertEqual(subprocess.run(["qpdf", "--check", copy], capture_output=True, check=False).returncode, 0)
        else:
            shown = tool.run("cat", "--keyring", tool.KEYRING, source)
            self.assertEqual(data, shown.stdout)

    def test_share_becomes_the_plain_tree(self):
        result = self.good(materialize("--json", tool.SHARE, self.dst), 1)
        self.check(self.dst)
        self.no_temps(self.dst)
        records = {record["path"]: record for record in lines(self.dst)}
        missing = {record["path"]: record for record in lines(self.dst, "MISSING.jsonl")}
        for entry in tool.MANIFEST:
            with self.subTest(entry["path"]):
                if entry["kind"] != "symlink" and not entry["open"] and entry["path"] in missing:
                    self.assertIn(missing[entry["path"]]["verdict"], tool.expected_verdicts(entry))
                    continue
                record = records.pop(entry["path"])
                self.assertEqual(record["copy"], plain_name(entry))
                if entry["kind"] == "symlink":
                    continue
                self.assertEqual(record["source_sha256"], sha256((tool.SHARE / entry["path"]).read_bytes()))
                self.assertEqual(record["plain_sha256"], sha256((self.dst / record["copy"]).read_bytes()))
                if entry.get("key_fingerprint") and record["verdict"] == "ok":
                    self.assertEqual(record["key"]["fingerprint"], entry["key_fingerprint"])
                    self.assertEqual(record["content_id"], entry["content_id"])
        self.assertEqual(records, {})
        self.assertEqual(sorted(map(str, result.objects())),
                         sorted(map(str, lines(self.dst) + lines(self.dst, "MISSING.jsonl"))))

    def test_only_openable_protected_files_are_in_plain_tree(self):
        self.good(materialize("--only-protected", tool.SHARE, self.dst), 1)
        for record in lines(self.dst):
            self.assertTrue(record["protected"])
        for entry in tool.PLAIN:
            self.assertFalse((self.dst / entry["path"]).exists())

    def test_manifest_digest_is_told(self):
        result = self.good(materialize(tool.SHARE, self.dst), 1)
        digest = sha256((self.dst / STATE / "manifest.jsonl").read_bytes())
        self.assertIn(digest, result.stdout.decode())
        summary = json.loads((self.dst / STATE / "summary.json").read_text())
        self.assertEqual(summary["manifest_sha256"], digest)
        for file in (self.dst / STATE).iterdir():
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE((self.dst / STATE).stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(self.dst.stat().st_mode), 0o700)

    def test_second_run_does_nothing_again(self):
        self.good(materialize(tool.SHARE, self.dst), 1)
        before = {path: os.lstat(path).st_ino for path in self.dst.rglob("*") if STATE not in path.parts}
        manifest = (self.dst / STATE / "manifest.jsonl").read_bytes()
        self.good(materialize(tool.SHARE, self.dst), 1)
        self.assertEqual(before, {path: os.lstat(path).st_ino for path in self.dst.rglob("*") if STATE not in path.parts})
        self.assertEqual(manifest, (self.dst / STATE / "manifest.jsonl").read_bytes())
        summary = json.loads((self.dst / STATE / "summary.json").read_text())
        self.assertEqual((summary["decrypted"], summary["plain"]), (0, 0))

    def test_unreadable_copy_keeps_them_protected(self):
        self.good(materialize("--unreadable", "copy", tool.SHARE, self.dst), 1)
        for entry in tool.MANIFEST:
            if entry["kind"] != "symlink" and not entry["open"]:
                with self.subTest(entry["path"]):
                    source, copy = tool.SHARE / entry["path"], self.dst / entry["path"]
                    self.assertEqual(source.read_bytes(), copy.read_bytes())

    def test_unreadable_copies_are_tried_and_told_each_time(self):
        """Also those whose name stays, and those with several names."""
        kinds = ("office-ooxml", "pfile")
        entries = [next(e for e in tool.MANIFEST if e["kind"] == kind and e.get("key_role") == "cloud" and e["open"]
                        and e["compare"] == "bytes") for kind in kinds]
        names = [f"{number}-{os.path.basename(entry['path'])}" for number, entry in enumerate(entries)]
        for name, entry in zip(names, entries):
            self.put(name, entry)
            os.link(self.src / name, self.src / f"also-{name}")
        options = ("--unreadable", "copy", self.src, self.dst)
        for _ in range(3):
            self.good(tool.run("materialize", "--keyring", tool.NO_KEYS, *options), 1)
            told = {line["path"].removeprefix("also-") for line in lines(self.dst, "MISSING.jsonl")}
            self.assertEqual(told, set(names))
            shown = {name for name in os.listdir(self.dst) if name != STATE}
            self.assertEqual(shown, {first + name for first in ("", "also-") for name in names})
            for name in names:
                self.assertEqual((self.dst / name).read_bytes(), (self.src / name).read_bytes())
                self.assertEqual((self.dst / name).stat().st_ino, (self.dst / f"also-{name}").stat().st_ino)
        self.good(materialize(*options))
        self.assertEqual(lines(self.dst, "MISSING.jsonl"), [])
        self.assertEqual({record["plain_sha256"] for record in lines(self.dst)},
                         {entry["plain_sha256"] for entry in entries})
        self.good(tool.run("verify", self.dst))

    def test_what_cannot_be_copied_at_all_is_told_once(self):
        """Its place is taken, so that not even the protected file can be put there."""
        entry = next(e for e in tool.PFILES if e.get("key_role") == "cloud" and e["open"])
        for name in ("a", "b"):
            self.put(f"{name}.pfile", entry)
        os.link(self.src / "b.pfile", self.src / "c.pfile")
        for name in ("a", "b", "c"):
            (self.dst / f"{name}.pfile").mkdir(parents=True)
            (self.dst / f"{name}.pfile" / "of-somebody").touch()
        result = self.good(tool.run("materialize", "--keyring", tool.NO_KEYS, "--unreadable", "copy", self.src,
                                    self.dst), 1)
        told = [line["path"] for line in lines(self.dst, "MISSING.jsonl")]
        self.assertEqual(sorted(told), ["a.pfile", "b.pfile", "c.pfile"])
        summary = json.loads((self.dst / STATE / "summary.json").read_text())
        self.assertEqual((summary["missing"], summary["failed"], summary["unreadable_copied"]), (3, 3, 0))
        self.assertEqual(lines(self.dst), [])
        self.assertIn("a.pfile: not copied as it is either", result.stderr)

    def test_dry_run_writes_nothing(self):
        result = self.good(materialize("--dry-run", tool.SHARE, self.dst), 1)
        self.assertFalse(self.dst.exists())
        self.assertIn("Nothing was written", result.stdout.decode())


class Killed(Case):
    def test_kill_loop_ends_with_the_expected_tree(self):
        expected = self.dir / "expected"
        self.good(materialize(tool.SHARE, expected), 1)
        deadline, kills, chance = time.monotonic() + KILL_SECONDS, 0, random.Random(5)
        while time.monotonic() < deadline:
            process = tool.popen("materialize", "--keyring", tool.KEYRING, "-q", tool.SHARE, self.dst)
            time.sleep(chance.uniform(0.03, 0.4))
            process.kill()
            process.communicate()
            kills += 1
            if self.dst.exists():
                self.check_partial(tree(expected))
        self.assertGreater(kills, 3)
        self.good(materialize(tool.SHARE, self.dst), 1)
        self.assertEqual(tree(self.dst), tree(expected))
        self.assertEqual((self.dst / STATE / "manifest.jsonl").read_bytes(),
                         (expected / STATE / "manifest.jsonl").read_bytes())
        self.no_temps(self.dst)

    def check_partial(self, expected):
        """Whatever has a final name is whole."""
        for path, what in tree(self.dst).items():
            if what[0] == "file" and b".tpdfs-tmp-" not in path:
                self.assertEqual(what[1:2], expected[path][1:2], path)

    def test_interrupt_keeps_state(self):
        self.many_files()
        self.src.mkdir()
        # Many batches: the first is in the journal long before the last.
        for number in range(20000):
            (self.src / f"{number}").write_bytes(b"x")
        process = tool.popen("materialize", "--keyring", tool.NO_KEYS, self.src, self.dst)
        while process.poll() is None and not (self.dst / STATE / "journal.jsonl").exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate()
        self.assertEqual(process.returncode, 4, stderr)
        self.assertFalse((self.dst / STATE / "manifest.jsonl").exists())
        self.good(materialize(self.src, self.dst))
        self.assertEqual(tree(self.dst), tree(self.src))


class Metadata(Case):
    def test_times_modes_xattrs_and_acls_are_kept(self):
        entry = self.put("deep/a.txt.pfile")
        (self.src / "deep/plain").write_bytes(b"plain")
        for name in ("deep/a.txt.pfile", "deep/plain"):
            path = self.src / name
            subprocess.run(["setfattr", "-n", "user.note", "-v", "kept", path], check=True)
            subprocess.run(["setfacl", "-m", "u:65534:r", path], check=True)
            os.utime(path, ns=(1_000_000_000_123_456_789, 1_200_000_000_987_654_321))
        os.chmod(self.src / "deep", 0o2751)
        os.utime(self.src / "deep", ns=(5, 1_100_000_000_000_000_007))
        self.good(materialize(self.src, self.dst))
        for source, copy in (("deep/a.txt.pfile", "deep/a.txt"), ("deep/plain", "deep/plain")):
            copy = self.dst / copy
            self.assertEqual(copy.stat().st_mtime_ns, 1_200_000_000_987_654_321)
            self.assertEqual(copy.stat().st_mode, (self.src / source).stat().st_mode)
            self.assertEqual(os.getxattr(copy, "user.note"), b"kept")
            acl = [subprocess.run(["getfacl", "-cp", path], capture_output=True, check=True).stdout
                   for path in (self.src / source, copy)]
            self.assertEqual(*acl)
            self.assertEqual(acl[0].count(b"user:"), 2)
        self.assertEqual(sha256((self.dst / "deep/a.txt").read_bytes()), entry["plain_sha256"])
        self.assertEqual((self.dst / "deep").stat().st_mtime_ns, 1_100_000_000_000_000_007)
        self.assertEqual((self.dst / "deep").stat().st_mode, (self.src / "deep").stat().st_mode)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_owner_is_kept(self):
        self.put()
        os.chown(self.src / "a.txt.pfile", 1234, 4321)
        self.good(materialize(self.src, self.dst))
        status = (self.dst / "a.txt").stat()
        self.assertEqual((status.st_uid, status.st_gid), (1234, 4321))

    def test_hard_links_stay_links(self):
        entry = self.put("a/one.txt.pfile")
        (self.src / "b").mkdir()
        os.link(self.src / "a/one.txt.pfile", self.src / "b/two.txt.pfile")
        os.link(self.src / "a/one.txt.pfile", self.src / "three.txt.pfile")
        (self.src / "p").write_bytes(b"plain")
        os.link(self.src / "p", self.src / "b/q")
        self.good(materialize(self.src, self.dst))
        names = ["a/one.txt", "b/two.txt", "three.txt"]
        self.assertEqual(len({(self.dst / name).stat().st_ino for name in names}), 1)
        self.assertEqual((self.dst / "three.txt").stat().st_nlink, 3)
        self.assertEqual((self.dst / "p").stat().st_ino, (self.dst / "b/q").stat().st_ino)
        self.assertEqual({record["plain_sha256"] for record in lines(self.dst) if record["copy"] in names},
                         {entry["plain_sha256"]})
        os.link(self.src / "p", self.src / "late")
        (self.dst / "b/two.txt").unlink()
        self.good(materialize(self.src, self.dst))
        self.assertEqual((self.dst / "p").stat().st_ino, (self.dst / "late").stat().st_ino)
        self.assertEqual((self.dst / "a/one.txt").stat().st_ino, (self.dst / "b/two.txt").stat().st_ino)

    def links(self, n_files=12, n_names=5):
        """Files of several names, spread over directories; their names by file."""
        (self.src / "d0").mkdir(parents=True)
        for number in range(n_files):
            path = self.src / f"d0/{number}-0{'.txt.pfile' if number % 2 else '.bin'}"
            if number % 2:
                self.put(path.relative_to(self.src))
            else:
                path.write_bytes(b"plain %d" % number)
            for name in range(1, n_names):
                other = self.src / f"d{(number + name) % 4}" / path.name.replace("-0.", f"-{name}.")
                other.parent.mkdir(exist_ok=True)
                os.link(path, other)
        groups = {}
        for path in self.src.rglob("*.*"):
            groups.setdefault(os.lstat(path).st_ino, []).append(str(path.relative_to(self.src)))
        return list(groups.values())

    def one_inode_each(self, groups, root):
        for names in groups:
            copies = [root / name.removesuffix(".pfile") for name in names]
            self.assertEqual(len({os.lstat(copy).st_ino for copy in copies}), 1, names)
            self.assertEqual(os.lstat(copies[0]).st_nlink, len(names))

    def test_new_names_link_to_finished_ones_whichever_is_met_first(self):
        groups = self.links()
        chance = random.Random(7)
        hold = self.dir / "hold"
        for jobs in ("1", "2", "8"):
            shutil.rmtree(self.dst, ignore_errors=True)
            # One name of each file is finished by the first run, and some by the second.
            kept = [chance.choice(names) for names in groups]
            hold.write_text("\n".join(name for names in groups for name in names if name not in kept))
            self.good(materialize("--hold", hold, self.src, self.dst))
            before = {os.lstat(self.dst / name.removesuffix(".pfile")).st_ino for name in kept}
            hold.write_text("\n".join(chance.choice([n for n in names if n not in kept]) for names in groups))
            self.good(materialize("--hold", hold, "--jobs", jobs, self.src, self.dst))
            self.good(materialize("--jobs", jobs, self.src, self.dst))
            self.one_inode_each(groups, self.dst)
            self.assertEqual(before, {os.lstat(self.dst / names[0].removesuffix(".pfile")).st_ino for names in groups})
            self.assertEqual(len(lines(self.dst)), sum(map(len, groups)))

    def test_links_of_a_copy_in_place_stay_links_after_a_resume(self):
        groups = [names for names in self.links() if names[0].endswith(".pfile")]
        hold = self.dir / "hold"
        hold.write_text("\n".join(name for names in groups for name in names[1:]))
        where = ("--in-place", self.src, "--originals", self.dir / "originals")
        self.good(materialize(*where, "--hold", hold))
        self.good(materialize(*where))
        self.one_inode_each(groups, self.src)

    def test_a_first_name_that_fails_leaves_the_others_linked(self):
        groups = self.links()
        taken = [names[number % len(names)] for number, names in enumerate(groups)]
        for name in taken:
            foreign = self.dst / name.removesuffix(".pfile")
            foreign.parent.mkdir(parents=True, exist_ok=True)
            foreign.write_text("of somebody else")
        self.good(materialize(self.src, self.dst), 1)
        self.one_inode_each([[n for n in names if n not in taken] for names in groups], self.dst)
        for name in taken:
            self.assertEqual((self.dst / name.removesuffix(".pfile")).read_text(), "of somebody else")

    def test_many_names_of_an_unreadable_file_are_all_told(self):
        bad = self.src / "bad-0.pfile"
        entry = next(e for e in tool.PFILES if not e["open"])
        self.src.mkdir(exist_ok=True)
        shutil.copy(tool.SHARE / entry["path"], bad)
        for name in range(1, 500):
            os.link(bad, self.src / f"bad-{name}.pfile")
        self.good(materialize(self.src, self.dst), 1)
        self.assertEqual(len(lines(self.dst, "MISSING.jsonl")), 500)

    def test_holes_stay_holes(self):
        self.src.mkdir()
        with open(self.src / "sparse", "wb") as file:
            file.write(b"begin")
            file.seek(64 << 20)
            file.write(b"end")
            file.truncate((64 << 20) + (1 << 20))
        self.good(materialize(self.src, self.dst))
        self.assertEqual(tree(self.src), tree(self.dst))
        self.assertLess((self.dst / "sparse").stat().st_blocks * 512, 2 << 20)

    def test_link_plain_links_and_only_plain(self):
        self.put()
        (self.src / "p").write_bytes(b"plain")
        self.good(materialize("--link-plain", self.src, self.dst))
        self.assertEqual((self.src / "p").stat().st_ino, (self.dst / "p").stat().st_ino)
        self.assertNotEqual((self.src / "a.txt.pfile").stat().st_ino, (self.dst / "a.txt").stat().st_ino)
        self.good(materialize("--link-plain", self.src, self.dst))
        self.assertEqual(json.loads((self.dst / STATE / "summary.json").read_text())["finished_before"], 2)

    def test_special_files_are_left_and_told(self):
        self.src.mkdir()
        os.mkfifo(self.src / "pipe")
        self.good(materialize(self.src, self.dst))
        self.assertEqual(os.listdir(self.dst), [STATE])
        self.assertEqual([(line["path"], line["reason"]) for line in lines(self.dst, "MISSING.jsonl")],
                         [("pipe", "special-file")])

    def test_names_of_any_bytes(self):
        self.put()
        for name in (b"line\nfeed.txt.pfile", b"\xff\xfe.txt.pfile", b"esc\x1b.txt.pfile", "ü.txt.pfile".encode()):
            shutil.copy(self.src / "a.txt.pfile", os.fsencode(self.src) + b"/" + name)
        os.symlink(b"\xff", os.fsencode(self.src) + b"/link")
        self.good(materialize(self.src, self.dst))
        self.assertEqual(len(os.listdir(self.dst)), 7)
        self.good(materialize(self.src, self.dst))
        self.assertEqual(json.loads((self.dst / STATE / "summary.json").read_text())["finished_before"], 6)


class Refusals(Case):
    def test_changed_source_is_read_again(self):
        first = self.put()
        self.good(materialize(self.src, self.dst))
        second = next(entry for entry in tool.PFILES if entry["open"] and entry["compare"] == "bytes"
                      and entry["plain_name"].endswith(".txt") and entry["plain_sha256"] != first["plain_sha256"])
        self.put(entry=second)
        self.good(materialize(self.src, self.dst))
        self.assertEqual(sha256((self.dst / "a.txt").read_bytes()), second["plain_sha256"])
        self.assertEqual(len(lines(self.dst)), 1)

    def test_foreign_file_is_not_overwritten(self):
        self.put()
        self.dst.mkdir()
        (self.dst / "a.txt").write_text("mine")
        result = self.good(materialize(self.src, self.dst), 1)
        self.assertEqual((self.dst / "a.txt").read_text(), "mine")
        self.assertIn("did not write", result.stderr)
        self.no_temps(self.dst)

    def test_file_with_a_number_that_was_ours_is_not_overwritten(self):
        """What was refused leaves an inode number in the journal, which file
        systems give to the next file."""
        self.put()
        self.dst.mkdir()
        (self.dst / "a.txt").write_text("mine")
        self.good(materialize(self.src, self.dst), 1)
        last = (self.dst / STATE / "journal.jsonl").read_bytes().splitlines()[-1].decode()
        number = int(json.loads(last)["journal"].split()[1], 16)
        (self.dst / "a.txt").unlink()
        made = []
        for name in range(2000):
            path = self.dst / f"{name}"
            path.write_text("mine, too")
            made.append(path)
            if path.stat().st_ino == number:
                break
        else:
            self.skipTest("numbers are not used again here")
        path.rename(self.dst / "a.txt")
        result = self.good(materialize(self.src, self.dst), 1)
        self.assertEqual((self.dst / "a.txt").read_text(), "mine, too")
        self.assertIn("did not write", result.stderr)

    def test_copy_that_was_edited_is_not_overwritten(self):
        first = self.put()
        self.good(materialize(self.src, self.dst))
        copy = self.dst / "a.txt"
        with open(copy, "ab") as file:
            file.write(b"my notes")
        edited = copy.read_bytes()
        self.good(materialize(self.src, self.dst), 1)
        self.assertEqual(copy.read_bytes(), edited)
        self.put(entry=next(entry for entry in tool.PFILES if entry["open"] and entry["compare"] == "bytes"
                            and entry["plain_name"].endswith(".txt") and entry["plain_sha256"] != first["plain_sha256"]))
        self.good(materialize(self.src, self.dst), 1)
        self.assertEqual(copy.read_bytes(), edited)

    def test_hostile_links_lead_nowhere(self):
        self.put("dir/a.txt.pfile")
        outside = self.dir / "outside"
        outside.mkdir()
        (outside / "file").write_text("untouched")
        self.dst.mkdir()
        (self.dst / "dir").symlink_to(outside)
        self.good(materialize(self.src, self.dst), 1)
        self.assertEqual([path.name for path in outside.iterdir()], ["file"])
        (self.dst / "dir").unlink()
        (self.dst / "dir").mkdir()
        (self.dst / "dir/a.txt").symlink_to(outside / "file")
        self.good(materialize(self.src, self.dst), 1)
        self.assertEqual((outside / "file").read_text(), "untouched")
        self.assertTrue((self.dst / "dir/a.txt").is_symlink())

    def test_state_of_somebody_else_is_refused(self):
        self.put()
        self.dst.mkdir()
        (self.dst / STATE).symlink_to(self.dir)
        self.assertNotEqual(materialize(self.src, self.dst).status, 0)
        (self.dst / STATE).unlink()
        (self.dst / STATE).mkdir(mode=0o755)
        os.chmod(self.dst / STATE, 0o755)
        self.assertNotEqual(materialize(self.src, self.dst).status, 0)
        self.assertFalse((self.dst / "a.txt").exists())

    def test_swapped_directories_lead_nowhere(self):
        for number in range(400):
            self.put(f"dir/{number}.txt.pfile")
        outside = self.dir / "outside"
        outside.mkdir()
        self.dst.mkdir()
        process = tool.popen("materialize", "--keyring", tool.KEYRING, self.src, self.dst)
        while process.poll() is None:
            try:
                os.rename(self.dst / "dir", self.dst / "moved")
                os.symlink(outside, self.dst / "dir")
                os.unlink(self.dst / "dir")
                os.rename(self.dst / "moved", self.dst / "dir")
            except OSError:
                pass
        process.communicate()
        self.assertEqual(list(outside.iterdir()), [])

    def test_source_and_target_must_be_apart(self):
        self.put()
        self.assertEqual(materialize(self.src, self.src / "inside").status, 2)
        self.assertEqual(materialize(self.src, self.dir).status, 2)
        self.assertEqual(materialize(self.src).status, 2)

    def test_two_at_once_are_refused(self):
        self.put()
        self.good(materialize(self.src, self.dst))
        with open(self.dst / STATE / "journal.jsonl", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertEqual(materialize(self.src, self.dst).status, 2)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_full_disk_is_told_file_by_file(self):
        mount = tool.small_disk(self, self.dir / "small", "512k")
        entry = self.put()
        (self.src / "large").write_bytes(os.urandom(1 << 20))
        # One worker: the large file must not take the room while the small one is written.
        result = self.good(materialize("--jobs", "1", self.src, mount / "dst"), 1)
        self.assertIn("No space left", result.stderr)
        self.assertEqual(sha256((mount / "dst/a.txt").read_bytes()), entry["plain_sha256"])
        self.assertFalse((mount / "dst/large").exists())
        self.no_temps(mount / "dst")
        (self.src / "large").write_bytes(b"small")
        self.good(materialize(self.src, mount / "dst"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_full_disk_is_warned_of_once(self):
        mount = tool.small_disk(self, self.dir / "small", "512k")
        self.put()
        large = [f"large {number}" for number in range(5)]
        for name in large:
            (self.src / name).write_bytes(os.urandom(1 << 20))
        result = self.good(materialize("--jobs", "1", self.src, mount / "dst"), 1)
        warnings = [line for line in result.stderr.splitlines() if "No space left" in line]
        self.assertEqual(len(warnings), 1, result.stderr)
        self.assertIn("there was no room for 4 more files", result.stderr)
        self.assertIn("MISSING.jsonl", result.stderr)
        missing = [json.loads(line) for line in (mount / "dst" / STATE / "MISSING.jsonl").read_text().splitlines()]
        self.assertEqual([line["path"] for line in missing], large)
        summary = json.loads((mount / "dst" / STATE / "summary.json").read_text())
        self.assertEqual((summary["missing"], summary["failed"]), (len(large), len(large)))

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_file_that_may_not_be_read_stops_nothing(self):
        self.src.mkdir()
        (self.src / "open").write_text("y")
        (self.src / "secret").write_text("x")
        if subprocess.run(["runuser", "-u", "nobody", "--", "test", "-x", tool.TPD], check=False).returncode != 0:
            self.skipTest("nobody cannot run the tool")
        os.chmod(self.src / "secret", 0)
        self.dst.mkdir()
        os.chmod(self.dir, 0o755)
        os.chmod(tool.SCRATCH, 0o755)
        self.addCleanup(os.chmod, tool.SCRATCH, 0o700)
        os.chown(self.dst, 65534, 65534)
        process = subprocess.run(["runuser", "-u", "nobody", "--", tool.TPD, "materialize", self.src, self.dst],
                                 capture_output=True, env=tool.ENVIRONMENT, check=False, cwd="/")
        self.assertEqual(process.returncode, 1, process.stderr)
        self.assertIn(b"secret: io-error", process.stderr)
        self.assertEqual((self.dst / "open").read_text(), "y")


if __name__ == "__main__":
    unittest.main()
