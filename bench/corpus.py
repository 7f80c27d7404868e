# SPDX-License-Identifier: Apache-2.0
"""Corpora: made once, kept in a folder outside the source tree."""
import hashlib
import os
import random
import shutil
import subprocess
import sys

import protect

SCRIPTS = ("protect.py", "corpus.py")
PER_DIRECTORY = 500


class Corpora:
    """Each corpus is a folder that is complete when it carries its mark."""

    def __init__(self, folder, templates, quick):
        self.folder = folder
        self.templates = templates
        self.big_size = (96 if quick else 512) << 20
        self.tree_files = 10_000 if quick else 100_000
        self.many_files = 100_000 if quick else 1_000_000
        self.small_files = 2_000 if quick else 20_000
        here = os.path.dirname(os.path.abspath(__file__))
        digest = hashlib.sha256()
        for name in SCRIPTS:
            with open(os.path.join(here, name), "rb") as file:
                digest.update(file.read())
        self.version = digest.hexdigest()[:12]
        os.makedirs(folder, exist_ok=True)

    def get(self, name, size, make):
        """The folder NAME-SIZE, filled by `make(path)` when it is not there."""
        path = os.path.join(self.folder, f"{name}-{size}")
        mark = path + ".complete"
        if os.path.exists(mark):
            with open(mark, encoding="ascii") as file:
                if file.read() == self.version:
                    return path
            os.unlink(mark)
        print(f"making {path}", file=sys.stderr, flush=True)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        make(path)
        os.sync()
        with open(mark, "w", encoding="ascii") as file:
            file.write(self.version)
        return path

    # --- One large file in every form ---------------------------------

    def big(self):
        return self.get("big", self.big_size >> 20, self.make_big)

    def make_big(self, path):
        plain = protect.small_zip(os.urandom(self.big_size))
        with open(os.path.join(path, "plain.bin"), "wb") as file:
            file.write(plain)
        os.mkdir(os.path.join(path, "protected"))
        for name, writer, mode in (("ecb.docx", self.templates.office_ecb, protect.ECB),
                                   ("cbc.docx", self.templates.office_cbc, protect.CBC4K_NOPAD)):
            with open(os.path.join(path, "protected", name), "wb") as file:
                writer.write(file, mode, protect.pieces(plain), len(plain))
        with open(os.path.join(path, "protected", "data.bin.pfile"), "wb") as file:
            self.templates.pfile.write(file, b".bin", protect.pieces(plain), len(plain))

    # --- Trees ---------------------------------------------------------

    def tree(self):
        return self.get("tree", self.tree_files, lambda path: self.make_tree(path, self.tree_files))

    def make_tree(self, path, count):
        """90 % plain, 4 % pfile, 4 % Office, 1 % PDF, 1 % mail; the plain twin
        of sizes beside it, for systems that do not decrypt."""
        chance = random.Random(1)
        noise = os.urandom(1 << 20)
        for number in range(count):
            folder = os.path.join(path, f"d{number // PER_DIRECTORY:05}")
            if number % PER_DIRECTORY == 0:
                os.mkdir(folder)
            size = chance.randrange(1000, 16000)
            at = chance.randrange(len(noise) - size)
            self.make_file(folder, number, chance.randrange(100), noise[at:at + size])

    def make_file(self, folder, number, kind, content):
        name = os.path.join(folder, f"document {number}")
        templates = self.templates
        if kind < 4:
            with open(name + ".txt.pfile", "wb") as file:
                templates.pfile.write(file, b".txt", protect.pieces(content), len(content))
        elif kind < 8:
            package = protect.small_zip(content)
            writer, mode = ((templates.office_ecb, protect.ECB), (templates.office_cbc, protect.CBC4K_NOPAD))[kind % 2]
            with open(name + ".docx", "wb") as file:
                writer.write(file, mode, protect.pieces(package), len(package))
        elif kind == 8:
            with open(name + ".pdf", "wb") as file:
                file.write(templates.pdf.bytes())
        elif kind == 9:
            with open(name + ".eml", "wb") as file:
                file.write(templates.mail.bytes(f"document {number}"))
        else:
            with open(name + ".txt", "wb") as file:
                file.write(content)

    def many(self):
        return self.get("many", self.many_files, self.make_many)

    def make_many(self, path):
        """As the tree, but small on disk: plain files are holes, and protected
        ones are copies of a few."""
        chance = random.Random(2)
        pool = os.path.join(self.folder, "pool")
        shutil.rmtree(pool, ignore_errors=True)
        os.mkdir(pool)
        samples = []
        for kind in range(10):
            for i in range(4):
                self.make_file(pool, kind * 10 + i, kind, os.urandom(100))
        for name in sorted(os.listdir(pool)):
            with open(os.path.join(pool, name), "rb") as file:
                samples.append((name[name.index("."):], file.read()))
        shutil.rmtree(pool)
        for number in range(self.many_files):
            folder = os.path.join(path, f"d{number // PER_DIRECTORY:05}")
            if number % PER_DIRECTORY == 0:
                os.mkdir(folder)
            if chance.randrange(10) == 0:
                suffix, content = samples[chance.randrange(len(samples))]
            else:
                suffix, content = ".txt", None
            with open(os.path.join(folder, f"document {number}{suffix}"), "wb") as file:
                if content is None:
                    file.truncate(1000)
                else:
                    file.write(content)

    def flat(self):
        return self.get("flat", self.tree_files, self.make_flat)

    def make_flat(self, path):
        """One directory; every tenth file is a pfile."""
        content = os.urandom(3000)
        for number in range(self.tree_files):
            self.make_file(path, number, 0 if number % 10 == 0 else 50, content)

    def small(self):
        return self.get("small", self.small_files, self.make_small)

    def make_small(self, path):
        """Small protected files alone, each with its own license."""
        for number in range(self.small_files):
            folder = os.path.join(path, f"d{number // PER_DIRECTORY:05}")
            if number % PER_DIRECTORY == 0:
                os.mkdir(folder)
            self.make_file(folder, number, number % 8, os.urandom(3000))

    # --- For gocryptfs, which has its own form of everything --------------

    def encrypted(self, name, source, keep=None):
        """`source` as a gocryptfs cipher directory."""
        def make(path):
            secret = os.path.join(self.folder, "gocryptfs.pass")
            with open(secret, "w", encoding="ascii") as file:
                file.write("benchmark\n")
            mount = path + ".mount"
            os.makedirs(mount, exist_ok=True)
            quiet = {"stdout": subprocess.DEVNULL, "check": True}
            subprocess.run(["gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", secret, path], **quiet)
            subprocess.run(["gocryptfs", "-q", "-passfile", secret, path, mount], **quiet)
            try:
                subprocess.run(["cp", "-r", "--", *([os.path.join(source, n) for n in keep] if keep else
                                                   [source + "/."]), mount], check=True)
            finally:
                subprocess.run(["fusermount3", "-u", mount], check=True)
                os.rmdir(mount)

        return self.get("gocryptfs-" + name, os.path.basename(source), make)
