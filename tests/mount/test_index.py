#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The mount and the index of tpd scan: it saves looking into files, and changes
nothing else, whatever is in it."""

import ctypes
import errno
import hashlib
import json
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import unittest
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
import scratch  # noqa: E402

RACE_SECONDS = float(os.environ.get("TPD_RACE_SECONDS", "3"))
IN_OPEN, IN_ISDIR, IN_NONBLOCK = 0x20, 0x40000000, 0o4000
KEYS = harness.key_arguments()
# One of the tenant keys only.
ONE_KEY = ["--key", os.path.join(harness.FIXTURES, "keys", "tpd-cloud.xml"),
           "--password-file", os.path.join(harness.FIXTURES, "keys", "tpd-cloud.password.txt")]


class Opened:
    """Which files below `root` are opened by anybody, as the kernel tells."""

    def __init__(self, root):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(IN_NONBLOCK)
        self.folders = {}
        for at, _, _ in os.walk(os.fsencode(root)):
            number = self.libc.inotify_add_watch(self.fd, at, IN_OPEN)
            assert number > 0, os.strerror(ctypes.get_errno())
            self.folders[number] = at

    def files(self):
        names = []
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return names
            at = 0
            while at < len(data):
                number, mask, _, length = struct.unpack_from("iIII", data, at)
                name = data[at + 16:at + 16 + length].rstrip(b"\0")
                if not mask & IN_ISDIR:
                    names.append(os.path.join(self.folders.get(number, b"?"), name))
                at += 16 + length

    def close(self):
        os.close(self.fd)


def walk(path, attributes=True):
    """{name: (size, attributes)} of all files, by a process of its own, as find
    does it: names first."""
    code = ("import os,sys\n"
            "top = os.fsencode(sys.argv[1])\n"
            "for at, folders, names in os.walk(top):\n"
            " for n in sorted(names):\n"
            "  p = os.path.join(at, n); s = os.lstat(p); x = {}\n"
            "  if s.st_mode & 0o170000 != 0o100000: continue\n"
            "  for a in sorted(os.listxattr(p)) if sys.argv[2] else ():\n"
            "   if a.startswith('user.tpdfs.'): x[a[11:]] = os.getxattr(p, a).decode('utf-8', 'replace')\n"
            "  print(repr((p[len(top) + 1:], (s.st_size, x))))\n")
    done = subprocess.run([sys.executable, "-c", code, path, "1" if attributes else ""], stdout=subprocess.PIPE, text=True,
                          check=True)
    shown = dict(eval(line) for line in done.stdout.splitlines())  # noqa: S307 - our own words
    for _, x in shown.values():
        # Known once a document has been opened by this mount.
        x.pop("cipher", None)
        x.pop("proof", None)
    return shown


def contents(path, names):
    """{name: SHA-256 or errno}, and the size that fstat(2) tells of what opens."""
    out = {}
    for name in names:
        try:
            with open(os.path.join(os.fsencode(path), name), "rb") as file:
                size, data = os.fstat(file.fileno()).st_size, file.read()
            out[name] = hashlib.sha256(data).hexdigest()
            assert size == len(data), (name, size, len(data))
        except OSError as error:
            out[name] = errno.errorcode[error.errno]
    return out


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


class Indexed(harness.Scratch):
    def setUp(self):
        super().setUp()
        self.source = os.path.join(self.dir, "source")
        self.index = os.path.join(self.dir, "index", "index.sqlite")
        os.mkdir(os.path.dirname(self.index), 0o700)

    def copy_share(self):
        shutil.copytree(os.path.join(harness.FIXTURES, "share"), self.source, symlinks=True)

    def scan(self, *words, keys=KEYS, root=None):
        done = subprocess.run([harness.TPD, "scan", "--summary", "--quiet", "--index", self.index, *words, *keys,
                               root or self.source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)

    def mount(self, *words, keys=KEYS):
        return harness.Mount(self.source, [f"--index={self.index}", *keys, *words])

    def plain_mount(self, *words, keys=KEYS):
        return harness.Mount(self.source, ["--index=off", *keys, *words])

    def status(self, mount):
        with open(mount(".tpdfs", "status.json"), encoding="utf-8") as file:
            return json.load(file)

    def counters(self, mount):
        return self.status(mount)["counters"]

    def fixture(self, name, **wanted):
        """A file of the share that opens, copied into the source as `name`."""
        entry = next(e for e in harness.manifest() if e["protected"] and e["open"] and e["compare"] == "bytes"
                     and e["plain_size"] > 100 and all(e[k] == v for k, v in wanted.items()))
        path = os.path.join(self.source, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copyfile(os.path.join(harness.FIXTURES, "share", entry["path"]), path)
        return entry

    def tamper(self, sql, *values):
        base = sqlite3.connect(self.index)
        with base:
            changed = base.execute(sql, values).rowcount
        base.close()
        self.assertGreater(changed, 0)

    def not_used(self, sentence, state="failed", words=(), mount=None):
        """A mount says why it does without the index, and shows the truth."""
        with mount or self.mount(*words) as m:
            self.assertEqual(self.status(m)["index"]["state"], state)
            shown = walk(m.path)
            self.assertEqual(shown, self.truth)
            self.assertGreater(self.counters(m)["probes"], 0)
            log = m.log()
        self.assertIn(sentence, log)


class Saves(Indexed):
    def setUp(self):
        super().setUp()
        self.copy_share()
        # Scans look into archives, which a mount shows as they are.
        sealed = next(e for e in harness.manifest() if e["kind"] == "pfile" and e["open"])
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            with zipfile.ZipFile(os.path.join(self.source, f"archive {method}.zip"), "w", method) as archive:
                archive.write(os.path.join(harness.FIXTURES, "share", sealed["path"]), "in/it.pfile")
                archive.writestr("plain.txt", "plain")

    def no_keys(self):
        path = self.write("no-keys.conf", b"")
        os.chmod(path, 0o600)
        return ["--keyring", path]

    def compare(self, *words, keys=KEYS):
        """A mount with the index and one without show the same."""
        with self.plain_mount(*words, keys=keys) as m:
            wanted = walk(m.path)
            wanted_contents = contents(m.path, wanted)
            wanted_after = walk(m.path)
        with self.mount(*words, keys=keys) as m:
            self.assertEqual(self.status(m)["index"]["state"], "on")
            shown = walk(m.path)
            walked = self.counters(m)
            self.assertEqual(shown, wanted)
            # Sizes stay what they were told to be when files are read.
            self.assertEqual(contents(m.path, wanted), wanted_contents)
            self.assertEqual(walk(m.path), wanted_after)
            self.assertEqual(self.counters(m)["index_wrong"], 0)
        return walked

    def test_a_walk_opens_no_file_that_the_index_knows(self):
        self.scan()
        sizes = {}
        with self.plain_mount() as m:
            sizes = walk(m.path, attributes=False)
        with self.mount() as m:
            opened = Opened(self.source)
            shown = walk(m.path, attributes=False)
            self.assertEqual(opened.files(), [])
            opened.close()
            counters = self.counters(m)
        self.assertEqual(shown, sizes)
        self.assertEqual((counters["probes"], counters["decodes"]), (0, 0))
        self.assertGreaterEqual(counters["index_hits"], len(sizes) - 10)  # all but empty ones
        by_path = {os.fsencode(e["plain_path"]): e for e in harness.manifest()
                   if e["protected"] and e["open"] and e["compare"] == "bytes" and e["plain_path"]}
        told = [name for name in by_path if name in shown]
        self.assertGreater(len(told), 50)
        for name in told:
            self.assertEqual(shown[name][0], by_path[name]["plain_size"], name)

    def test_without_one_files_are_opened(self):
        """The proof above would see it."""
        with self.plain_mount() as m:
            opened = Opened(self.source)
            shown = walk(m.path, attributes=False)
            self.assertGreater(len(set(opened.files())), len(shown) / 2)
            opened.close()

    def test_nothing_else_changes(self):
        self.scan()
        self.compare()

    def test_nothing_else_changes_with_all_opened(self):
        self.scan("--deep")
        walked = self.compare()
        self.assertEqual((walked["probes"], walked["decodes"]), (0, 0))

    def test_nothing_else_changes_after_a_preflight(self):
        done = subprocess.run([harness.TPD, "preflight", "--deep", "--quiet", "--index", self.index, *KEYS, self.source],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.compare()

    def test_nothing_else_changes_with_other_keys(self):
        self.scan()
        # What takes a second key is asked again by who has other keys than the scan.
        double = len([e for e in harness.manifest() if "double key" in (e.get("notes") or "")])
        self.assertGreater(double, 0)
        for keys, probes in ((self.no_keys(), 0), (ONE_KEY, double)):
            with self.subTest(keys=len(keys)):
                walked = self.compare(keys=keys)
                self.assertEqual((walked["probes"], walked["decodes"]), (probes, 0))

    def test_nothing_else_changes_when_the_scan_had_no_keys(self):
        self.scan(keys=self.no_keys())
        walked = self.compare()
        # What only the key tells has to be found out.
        self.assertGreater(walked["probes"], 0)
        self.assertGreater(walked["index_hits"], 50)

    def test_nothing_else_changes_under_other_options(self):
        self.scan("--deep")
        for word in ("mail=source", "mail=eml", "mail=msg", "nested=2", "unreadable=raw", "iv=index", "iv=offset",
                     "names=source", "pext=*", "decode_budget=1K", "probe=always"):
            with self.subTest(word=word):
                self.compare("--" + word)
        with self.subTest(word="raw without keys"):
            self.compare("--unreadable=raw", keys=self.no_keys())

    def test_names_alone_need_no_look(self):
        self.scan()
        with self.plain_mount() as m:
            wanted = sorted(os.path.join(at, n) for at, _, names in os.walk(os.fsencode(m.path)) for n in names)
            wanted = [name[len(m.path):] for name in wanted]
            self.assertGreater(self.counters(m)["probes"], 0)
        with self.mount() as m:
            names = sorted(os.path.join(at, n) for at, _, names in os.walk(os.fsencode(m.path)) for n in names)
            self.assertEqual([name[len(m.path):] for name in names], wanted)
            self.assertEqual(self.counters(m)["probes"], 0)

    def test_the_index_is_not_written(self):
        self.scan()
        files = [f for f in (self.index, self.index + "-wal") if os.path.exists(f)]
        before = {f: harness.sha256_file(f) for f in files}
        with self.mount() as m:
            shown = walk(m.path)
            contents(m.path, shown)
            pid = self.status(m)["pid"]
            held = {}
            for fd in os.listdir(f"/proc/{pid}/fd") if os.getuid() == 0 else ():
                with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                    held[os.readlink(f"/proc/{pid}/fd/{fd}")] = int(info.read().split("flags:")[1].split()[0], 8)
        self.assertEqual({f: harness.sha256_file(f) for f in files}, before)
        for path in (self.index, self.index + "-wal"):
            self.assertEqual(held.get(path, os.O_RDONLY) & os.O_ACCMODE, os.O_RDONLY, path)
        # The next scan finds it in order, and all rows still right.
        result = subprocess.run([harness.TPD, "scan", "--summary", "--index", self.index, *KEYS, self.source],
                                stdout=subprocess.PIPE, text=True, check=False)
        self.assertIn("Looked into 0 files", result.stdout)

    def test_more_files_than_are_read_at_once(self):
        self.source = scratch.of_many_files()
        self.addCleanup(shutil.rmtree, self.source)
        folder = os.path.join(self.source, "many")
        os.mkdir(folder)
        for i in range(3000):
            with open(os.path.join(folder, f"{i}.txt"), "wb") as file:
                file.write(b"x" * (i % 7 + 1))
        self.scan()
        with self.mount() as m:
            shown = walk(m("many"), attributes=False)
            self.assertEqual(self.counters(m)["probes"], 0)
        self.assertEqual({name: size for name, (size, _) in shown.items()},
                         {f"{i}.txt".encode(): i % 7 + 1 for i in range(3000)})


class Wrong(Indexed):
    """What changed since, and what somebody put into it."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.source)
        self.entry = self.fixture("a/sealed.pfile", kind="pfile")
        self.plain_size, self.hash = self.entry["plain_size"], self.entry["plain_sha256"]
        self.name = next(n for n in self.shown() if n != "plain.txt")
        self.write("source/a/plain.txt", b"plain text\n" * 40)

    def shown(self):
        with self.plain_mount() as m:
            return os.listdir(m("a"))

    def read_all(self, m):
        with open(m("a", self.name), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def test_files_that_changed_since_are_looked_at(self):
        self.scan()
        path = os.path.join(self.source, "a", "plain.txt")
        status = os.stat(path)
        sealed = os.path.join(self.source, "a", "sealed.pfile")
        with open(sealed, "rb") as file:
            data = file.read()
        # A protected file over a plain one, of which even the time is put back.
        with open(path, "wb") as file:
            file.write(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        with open(sealed, "r+b") as file:
            file.write(b"plain" * (len(data) // 5 + 1))
            file.truncate(len(data))
        with self.mount() as m:
            self.assertEqual(os.stat(m("a", "plain.txt")).st_size, self.plain_size)
            self.assertEqual(harness.sha256_file(m("a", "plain.txt")), self.hash)
            self.assertEqual(os.stat(m("a", "sealed.pfile")).st_size, len(data))
            with open(m("a", "sealed.pfile"), "rb") as file:
                self.assertEqual(file.read(), (b"plain" * (len(data) // 5 + 1))[:len(data)])
            self.assertEqual(self.counters(m)["index_hits"], 0)

    def test_folders_that_changed_places(self):
        self.fixture("b/sealed.pfile", kind="pfile", key_role="onprem")
        self.scan()
        for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
            os.rename(os.path.join(self.source, old), os.path.join(self.source, new))
        with self.plain_mount() as m:
            wanted = walk(m.path)
            wanted_contents = contents(m.path, wanted)
        with self.mount() as m:
            self.assertEqual(walk(m.path), wanted)
            self.assertEqual(contents(m.path, wanted), wanted_contents)

    def test_new_files_and_files_that_are_gone(self):
        self.scan()
        self.write("source/a/new.txt", b"new")
        self.fixture("new/deep/sealed.pfile", kind="pfile")
        os.unlink(os.path.join(self.source, "a", "plain.txt"))
        with self.mount() as m:
            shown = walk(m.path)
            self.assertEqual(len(shown), 3)
            self.assertEqual(shown[b"a/new.txt"][0], 3)
            self.assertEqual(sorted(size for size, _ in shown.values()), sorted([3, self.plain_size, self.plain_size]))

    def test_a_size_that_is_a_lie_is_put_right_before_it_is_read(self):
        for size in (0, 1, self.plain_size - 1, self.plain_size + 1, self.plain_size + 100000):
            with self.subTest(size=size):
                self.scan()
                self.tamper("UPDATE probe SET plain_size = ? WHERE kind != 0", size)
                with self.mount() as m:
                    self.assertEqual(os.stat(m("a", self.name)).st_size, size)
                    with open(m("a", self.name), "rb") as file:
                        self.assertEqual(os.fstat(file.fileno()).st_size, self.plain_size)
                        self.assertEqual(hashlib.sha256(file.read()).hexdigest(), self.hash)
                    self.assertEqual(os.stat(m("a", self.name)).st_size, self.plain_size)
                    self.assertEqual(self.counters(m)["index_wrong"], 1)
                    self.assertIn("not what the index says", m.log())
                    with open(m("a", "plain.txt"), "rb") as file:
                        self.assertEqual(file.read(), b"plain text\n" * 40)
                os.unlink(self.index)

    def test_sizes_out_of_this_world_are_not_believed(self):
        for size in (-1, 1 << 62, (1 << 63) - 1):
            with self.subTest(size=size):
                self.scan()
                self.tamper("UPDATE probe SET plain_size = ? WHERE kind != 0", size)
                with self.mount() as m:
                    self.assertEqual(os.stat(m("a", self.name)).st_size, self.plain_size)
                    self.assertEqual(self.read_all(m), self.hash)
                os.unlink(self.index)

    def test_a_protected_file_that_is_called_plain_is_not_read_raw(self):
        self.scan()
        self.tamper("UPDATE probe SET kind = 0, verdict = (SELECT code FROM word WHERE what = 'verdict' AND"
                    " word = 'not-protected'), opened = 0, document = NULL, plain_size = NULL WHERE kind != 0")
        source = os.stat(os.path.join(self.source, "a", "sealed.pfile"))
        with self.mount() as m:
            # Its name is not that of a protected file then.
            self.assertEqual(sorted(os.listdir(m("a"))), ["plain.txt", "sealed.pfile"])
            self.assertEqual(os.stat(m("a", "sealed.pfile")).st_size, source.st_size)
            self.assertEqual(harness.sha256_file(m("a", "sealed.pfile")), self.hash)
            self.assertEqual(os.stat(m("a", "sealed.pfile")).st_size, self.plain_size)
            # And it has its name back.
            self.assertTrue(wait_until(lambda: sorted(os.listdir(m("a"))) == sorted(["plain.txt", self.name])))
            self.assertEqual(self.counters(m)["index_wrong"], 1)

    def test_a_plain_file_that_is_called_protected_is_read_as_it_is(self):
        self.scan()
        self.tamper("UPDATE probe SET kind = 1, verdict = 3, size_class = 0, opened = 0, plain_size = 7, document ="
                    " (SELECT max(id) FROM document) WHERE name = ?", b"plain.txt")
        with self.mount() as m:
            self.assertEqual(os.stat(m("a", "plain.txt")).st_size, 7)
            with open(m("a", "plain.txt"), "rb") as file:
                self.assertEqual(file.read(), b"plain text\n" * 40)
            self.assertEqual(os.stat(m("a", "plain.txt")).st_size, 440)

    def test_a_file_that_is_called_damaged_opens(self):
        self.scan()
        self.tamper("UPDATE probe SET verdict = (SELECT code FROM word WHERE what = 'verdict' AND word = 'damaged'),"
                    " opened = 0, plain_size = NULL WHERE kind != 0")
        with self.mount() as m:
            self.assertEqual(self.read_all(m), self.hash)

    def test_an_extension_that_is_a_way(self):
        self.scan()
        for extension in ("/../../x", "../x", ".", "." + "x" * 300, "\n"):
            with self.subTest(extension=extension):
                self.tamper("UPDATE probe SET extension = ? WHERE kind != 0", extension)
                with self.mount() as m:
                    names = os.listdir(m("a"))
                    self.assertEqual(len(names), 2)
                    self.assertFalse([n for n in names if "/" in n or n in (".", "..")])
                    self.assertEqual(harness.sha256_file(m("a", "sealed.pfile")), self.hash)

    def test_rows_that_make_no_sense(self):
        for column, value in (("kind", 99), ("kind", -1), ("verdict", 99), ("size_class", 7), ("opaque", 50),
                              ("decoder", 12345), ("ino", "x"), ("extension", 5), ("document", 10**12)):
            with self.subTest(column=column, value=value):
                self.scan()
                self.tamper(f"UPDATE probe SET {column} = ?", value)
                with self.mount() as m:
                    self.assertEqual(self.read_all(m) if column != "extension" else self.hash, self.hash)
                    self.assertEqual(harness.sha256_file(m("a", "sealed.pfile")), self.hash)
                os.unlink(self.index)


class Unusable(Indexed):
    """A mount never fails for its index."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.source)
        self.entry = self.fixture("a/sealed.pfile", kind="pfile")
        self.write("source/a/plain.txt", b"plain text\n" * 40)
        with self.plain_mount() as m:
            self.truth = walk(m.path)
        self.scan()

    def test_none_there(self):
        os.unlink(self.index)
        self.not_used("No such file", state="none")
        self.assertFalse(os.path.exists(self.index))

    def test_no_folder(self):
        shutil.rmtree(os.path.dirname(self.index))
        self.not_used("No such file", state="none")
        self.assertFalse(os.path.exists(os.path.dirname(self.index)))

    def test_of_another_source(self):
        os.unlink(self.index)
        other = os.path.join(self.dir, "other")
        os.mkdir(other)
        self.scan(root=other)
        self.not_used("is not about")

    def test_of_another_version(self):
        base = sqlite3.connect(self.index)
        base.execute("PRAGMA user_version = 99")
        base.close()
        before = harness.sha256_file(self.index)
        self.not_used("another version of tpd")
        # Setting it aside is for scans.
        self.assertEqual(harness.sha256_file(self.index), before)

    def test_of_another_program(self):
        os.unlink(self.index)
        base = sqlite3.connect(self.index)
        base.execute("CREATE TABLE dir (id, source, path)")
        base.close()
        os.chmod(self.index, 0o600)
        self.not_used("no index of tpd")

    def test_that_is_no_database(self):
        for data in (b"", b"x", b"SQLite format 3\0", os.urandom(100000)):
            with self.subTest(length=len(data)):
                with open(self.index, "wb") as file:
                    file.write(data)
                self.not_used("the index is not used")

    def test_that_is_a_folder_or_a_link(self):
        real = self.index + ".real"
        os.rename(self.index, real)
        os.symlink(real, self.index)
        self.not_used("not a file of this user")
        os.unlink(self.index)
        os.mkdir(self.index)
        self.not_used("not a file of this user")

    def test_that_others_can_write(self):
        os.chmod(self.index, 0o620)
        self.not_used("not a file of this user")
        os.chmod(self.index, 0o600)
        os.chmod(os.path.dirname(self.index), 0o777)
        self.not_used("can be written by others")
        os.chmod(os.path.dirname(self.index), 0o1777)
        self.not_used("can be written by others")
        os.chmod(os.path.dirname(self.index), 0o700)
        log = self.index + "-wal"
        with open(log, "ab"):
            os.chmod(log, 0o666)
        self.not_used("not a file of this user")

    @unittest.skipUnless(os.getuid() == 0, "takes root")
    def test_that_belongs_to_somebody_else(self):
        os.chown(self.index, 65534, 65534)
        self.not_used("not a file of this user")

    def test_that_lies_on_the_share(self):
        index = os.path.join(self.source, "index.sqlite")
        with harness.Mount(self.source, [f"--index={index}", *KEYS]) as m:
            self.assertEqual(self.status(m)["index"]["state"], "failed")
            self.assertEqual(walk(m.path), self.truth)
            self.assertIn("would lie on the share", m.log())

    def test_that_is_broken_inside(self):
        """Bytes at random: what is read is right all the same, and what a walk
        shows, but for a row that is whole and wrong."""
        for i in range(300):
            self.write(f"source/b/{i:04}.txt", b"y" * (i + 1))
        self.scan()
        with sqlite3.connect(self.index) as base:
            base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        base.close()
        with open(self.index, "rb") as file:
            sound = file.read()
        for seed in range(12):
            with self.subTest(seed=seed):
                luck = random.Random(seed)
                data = bytearray(sound)
                for _ in range(200):
                    data[luck.randrange(100, len(data))] = luck.randrange(256)
                with open(self.index, "wb") as file:
                    file.write(data if seed % 3 else data[:len(data) // 2])
                with self.mount() as m:
                    names = list(walk(m.path, attributes=False))
                    self.assertEqual(len(names), 302)
                    for name in names:
                        with open(os.path.join(os.fsencode(m.path), name), "rb") as file:
                            read = file.read()
                        if name.startswith(b"b/"):
                            self.assertEqual(read, b"y" * (int(name[2:6]) + 1))
                        elif name != b"a/plain.txt":
                            self.assertEqual(hashlib.sha256(read).hexdigest(), self.entry["plain_sha256"])

    def test_that_is_off(self):
        with self.plain_mount() as m:
            self.assertEqual(self.status(m)["index"]["state"], "off")


class Concurrent(Indexed):
    def test_a_scan_writes_meanwhile(self):
        os.mkdir(self.source)
        for folder in range(20):
            for i in range(60):
                self.write(f"source/{folder}/{i}.txt", b"z" * (i + 1))
        self.scan()
        stop, problems = threading.Event(), []

        def replace(path, content):
            """At once: a file that is being written has no size to compare."""
            self.write("incoming", content)
            os.rename(os.path.join(self.dir, "incoming"), os.path.join(self.dir, path))

        def scans():
            n = 0
            while not stop.is_set():
                n += 1
                replace(f"source/{n % 20}/{n % 60}.txt", b"w" * (n % 60 + 1))
                replace(f"source/{n % 20}/more {n}.txt", b"w" * 17)
                try:
                    self.scan()
                except AssertionError as error:
                    problems.append(error)

        thread = threading.Thread(target=scans)
        thread.start()
        try:
            end = time.monotonic() + RACE_SECONDS
            while time.monotonic() < end:
                with self.mount() as m:
                    self.assertEqual(self.status(m)["index"]["state"], "on")
                    shown = walk(m.path, attributes=False)
                    self.assertEqual(self.status(m)["index"]["state"], "on")
                    self.assertEqual(self.counters(m)["index_wrong"], 0)
                    for name, (size, _) in shown.items():
                        base = os.path.basename(name)[:-4]
                        self.assertEqual(size, 17 if b"more" in base else int(base) + 1, name)
        finally:
            stop.set()
            thread.join()
        self.assertEqual(problems, [])

    def test_memory_that_somebody_cuts(self):
        os.mkdir(self.source)
        for folder in "ab":
            self.write(f"source/{folder}/1.txt", b"1")
        self.scan()
        with self.mount() as m:
            self.assertEqual(len(walk(m("a"))), 1)
            os.truncate(self.index + "-shm", 0)
            self.assertEqual(walk(m("b")), {b"1.txt": (1, {})})
            self.assertEqual(self.status(m)["index"]["state"], "failed")

    def test_a_scan_sets_it_aside_meanwhile(self):
        os.mkdir(self.source)
        self.write("source/a/1.txt", b"1")
        self.write("source/b/1.txt", b"22")
        self.scan()
        with self.mount() as m:
            self.assertEqual(len(walk(m("a"))), 1)
            for suffix in ("", "-wal", "-shm"):
                if os.path.exists(self.index + suffix):
                    os.unlink(self.index + suffix)
            self.scan()
            self.assertEqual(walk(m("b")), {b"1.txt": (2, {})})


if __name__ == "__main__":
    harness.main()
