#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Power fails during tpd materialize. The disk is a file of a faultfs, which
logs every write and flush; what may be left of it is made of the log: all
writes up to some moment, or all up to the last flush and any of those behind
it. Everywhere: a final name stands for the whole file, no original is lost, and
the next run ends the copy."""
import os
import random
import shutil
import struct
import subprocess
import sys

import faults
import tool
from test_materialize import lines, materialize, sha256, tree
from test_target import contents

SNAPSHOTS = int(os.environ.get("TPD_POWER_SNAPSHOTS", "6"))
SIZE = 48 << 20


def can_loop():
    if os.geteuid() != 0 or not shutil.which("losetup") or not shutil.which("mkfs.ext4"):
        return False
    done = subprocess.run(["losetup", "-f"], capture_output=True, check=False)
    return done.returncode == 0


class Power(faults.Faulty):
    def setUp(self):
        super().setUp()
        if not can_loop():
            self.skipTest("no loop devices here")
        self.image = self.backing / "disk.img"
        with open(self.image, "wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image],
                       check=True)
        self.disk = self.dir / "disk"
        self.disk.mkdir()

    def attach(self, image):
        """Mounts it at .disk."""
        device = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, check=False, text=True)
        if device.returncode != 0:
            self.skipTest(f"no loop device: {device.stderr}")
        self.device = device.stdout.strip()
        done = subprocess.run(["mount", "-t", "ext4", "-o", "commit=1", self.device, self.disk], capture_output=True,
                              check=False)
        if done.returncode != 0:
            subprocess.run(["losetup", "-d", self.device], check=False)
            self.skipTest(f"cannot mount: {done.stderr.decode()}")

    def detach(self):
        subprocess.run(["umount", self.disk], check=True)
        subprocess.run(["losetup", "-d", self.device], check=True)

    def record(self, prepare, run):
        """Runs on a disk whose writes are logged. The image before, the log."""
        self.attach(self.image)
        prepare()
        self.detach()
        before = self.dir / "before.img"
        shutil.copy(self.image, before)
        self.mount()
        self.attach(self.faulty.path / "disk.img")
        try:
            run()
        finally:
            self.detach()
        self.faulty.unmount()
        return before, self.read_log()

    def read_log(self):
        """[(offset, bytes)], None for a flush."""
        entries = []
        with open(self.faulty.log, "rb") as file:
            while head := file.read(16):
                offset, length = struct.unpack("QQ", head)
                entries.append((offset, file.read(length)) if length else None)
        self.assertGreater(entries.count(None), 3)
        return entries

    def left(self, before, log, end, chance):
        """An image as the power may leave it when `end` entries were logged."""
        image = self.dir / "left.img"
        shutil.copy(before, image)
        flushed = max((number for number in range(end) if log[number] is None), default=-1)
        with open(image, "r+b") as file:
            for number, entry in enumerate(log[:end]):
                if entry is None or (chance is not None and number > flushed and chance.random() < 0.5):
                    continue
                file.seek(entry[0])
                file.write(entry[1])
        return image

    def moments(self, before, log, check):
        """Calls check() with the disk mounted after the power failed."""
        chance = random.Random(30)
        for number in range(SNAPSHOTS):
            end = chance.randrange(len(log)) if number else len(log)
            with self.subTest(number=number, end=end, of=len(log)):
                # Every other time what the disk had not yet been told to keep is kept in part.
                self.attach(self.left(before, log, end, chance if number % 2 else None))
                try:
                    check()
                finally:
                    self.detach()

    def names(self, top):
        """Of files with final names."""
        return {path: what for path, what in tree(top).items() if what[0] != "dir" and b".tpdfs-" not in path}


class Copies(Power):
    def test_every_moment_leaves_whole_files_and_is_resumed(self):
        source, expected = self.dir / "source", self.dir / "expected"
        shutil.copytree(tool.SHARE / "Finance", source, symlinks=True)
        (source / "large").write_bytes(os.urandom(6 << 20))
        status = materialize(source, expected).status
        self.assertIn(status, (0, 1))
        wanted = tree(expected)
        manifest = (expected / ".tpdfs-manifest/manifest.jsonl").read_bytes()
        dst = self.disk / "dst"

        def run():
            # Small batches, so that there are many: a limit on open files makes them so.
            done = subprocess.run(["prlimit", "--nofile=256", tool.TPD, "materialize", "-q", "--keyring", tool.KEYRING, source,
                                   dst], env=tool.ENVIRONMENT, capture_output=True, check=False)
            self.assertEqual(done.returncode, status, done.stderr)

        def check():
            for path, what in self.names(dst).items() if dst.exists() else ():
                self.assertEqual(what[:2], wanted[path][:2], path)
            if (dst / ".tpdfs-manifest/manifest.jsonl").exists():
                self.assertEqual((dst / ".tpdfs-manifest/manifest.jsonl").read_bytes(), manifest)
                self.assertEqual(set(self.names(dst)), set(self.names(expected)))
            self.good(materialize(source, dst), status)
            self.assertEqual(tree(dst), wanted)
            self.assertEqual((dst / ".tpdfs-manifest/manifest.jsonl").read_bytes(), manifest)
            self.no_temps(dst)

        before, log = self.record(lambda: None, run)
        self.moments(before, log, check)


class InPlace(Power):
    def check_in_place(self, *options):
        entries = [entry for entry in tool.MANIFEST if entry["kind"] not in ("plain", "symlink") and entry["open"]
                   and entry["compare"] == "bytes"]
        digest = {entry["path"]: sha256((tool.SHARE / entry["path"]).read_bytes()) for entry in entries}
        plain = {entry["path"]: entry["plain_sha256"] for entry in entries}
        src, originals = self.disk / "src", self.disk / "originals"

        def prepare():
            for entry in entries:
                path = src / entry["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tool.SHARE / entry["path"], path)

        def run():
            done = subprocess.run(["prlimit", "--nofile=256", tool.TPD, "materialize", "-q", "--keyring", tool.KEYRING,
                                   "--in-place", "--originals", originals, *options, src], env=tool.ENVIRONMENT,
                                  capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)

        def nothing_lost():
            found = contents(src)
            kept = contents(originals) if originals.exists() else {}
            for path, of_it in digest.items():
                if of_it not in found and of_it not in kept:
                    self.assertTrue(options, f"{path} is lost")
                    self.assertIn(plain[path], found, f"{path} is lost")
            known = {*digest.values(), *plain.values()}
            for of_it, names in found.items():
                if any("/.tpdfs-" not in f"/{name}" for name in names):
                    self.assertIn(of_it, known, names)

        def check():
            nothing_lost()
            self.good(materialize("--in-place", "--originals", originals, *options, src))
            nothing_lost()
            found = contents(src)
            for path, of_it in plain.items():
                self.assertIn(of_it, found, path)
                self.assertNotIn(digest[path], found, path)
            self.no_temps(self.disk)
            self.good(tool.run("verify", originals))

        before, log = self.record(prepare, run)
        self.moments(before, log, check)

    def test_every_moment_keeps_the_originals(self):
        self.check_in_place()

    def test_every_moment_keeps_the_originals_or_their_plaintext(self):
        self.check_in_place("--remove-originals")


if __name__ == "__main__":
    if not can_loop():
        sys.exit(77)
    faults.main()
