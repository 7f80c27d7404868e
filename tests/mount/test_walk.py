#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Walks of large trees: what a listing brings along, what it costs, and how
many descriptors it takes."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
import scratch  # noqa: E402

FILES = 400


def counters(mount):
    with open(os.path.join(mount.path, ".tpdfs", "status.json"), encoding="utf-8") as file:
        return json.load(file)["counters"]


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))


class Walks(unittest.TestCase):
    def setUp(self):
        self.source = scratch.of_many_files("tpdfs-walk-")
        self.addCleanup(shutil.rmtree, self.source)

    def fill(self, folder, n=FILES):
        os.mkdir(os.path.join(self.source, folder))
        for i in range(n):
            with open(os.path.join(self.source, folder, f"file {i}.txt"), "wb") as file:
                file.write(b"x" * (i + 1))

    def stat_all(self, folder):
        """As find and rsync do: all names first, then stat(2), in a process of
        its own, so that habits do not pass from one test to another."""
        code = ("import os,sys\n"
                "for folder in sys.argv[1:]:\n"
                " for n in os.listdir(folder): print(n, os.lstat(folder + '/' + n).st_size, sep='\\t')\n")
        result = subprocess.run([sys.executable, "-c", code, *folder], stdout=subprocess.PIPE, text=True, check=True)
        return dict(line.split("\t") for line in result.stdout.splitlines())

    def test_a_walk_with_stat_gets_attributes_with_the_listing(self):
        for folder in ("a", "b"):
            self.fill(folder)
        with harness.Mount(self.source) as mount:
            sizes = self.stat_all([os.path.join(mount.path, "a"), os.path.join(mount.path, "b")])
            seen = counters(mount)
        self.assertEqual(sizes, {f"file {i}.txt": str(i + 1) for i in range(FILES)})
        # The first directory shows the habit; the second costs no LOOKUP a file.
        self.assertLess(seen["lookups"], FILES + 100)
        self.assertEqual(seen["probes"], 2 * FILES)

    def listed(self, folder, at_first):
        """What a listing of `folder` has, where `at_first` is done once it has begun."""
        with os.scandir(folder) as entries:
            names = [next(entries).name]
            at_first()
            names += [entry.name for entry in entries]
        return names

    def test_what_goes_during_a_listing_hides_no_others(self):
        self.fill("a", 3000)
        for option in ("auto", "never"):
            with harness.Mount(self.source, ["-o", f"cache={option}"]) as mount:
                folder = os.path.join(mount.path, "a")
                names = os.listdir(folder)
                os.lstat(os.path.join(folder, names[0]))
                gone = names[500:2500]  # whole replies
                found = self.listed(folder, lambda: [os.unlink(os.path.join(self.source, "a", name)) for name in gone])
            self.assertEqual(set(names) - set(found) - set(gone), set())
            self.assertEqual(len(found), len(set(found)))
            for name in gone:
                with open(os.path.join(self.source, "a", name), "wb") as file:
                    file.write(b"x")

    def test_sizes_do_not_go_back(self):
        """What is looked at ahead is not sent over what somebody has seen since."""
        self.fill("a")
        with harness.Mount(self.source) as mount:
            folder = os.path.join(mount.path, "a")
            names = os.listdir(folder)
            os.lstat(os.path.join(folder, names[0]))
            seen = {}
            with os.scandir(folder) as entries:
                for i, entry in enumerate(entries):
                    if entry.name in seen:
                        self.assertEqual(os.lstat(os.path.join(folder, entry.name)).st_size, seen[entry.name], entry.name)
                    if i % 20 != 0:
                        continue
                    time.sleep(0.003)  # looking ahead is done
                    for later in names[i + 20:i + 40]:
                        with open(os.path.join(self.source, "a", later), "ab") as file:
                            file.write(b"more")
                        fd = os.open(os.path.join(folder, later), os.O_RDONLY)  # which asks for its size
                        seen[later] = os.fstat(fd).st_size
                        os.close(fd)
                        self.assertEqual(seen[later], os.stat(os.path.join(self.source, "a", later)).st_size)

    def test_who_reads_slowly_has_nothing_looked_at_twice(self):
        """What is found out ahead is not sent when it is old: then it is left."""
        n = 2000
        self.fill("a", n)
        with harness.Mount(self.source) as mount:
            folder = os.path.join(mount.path, "a")
            os.lstat(os.path.join(folder, "file 0.txt"))
            with os.scandir(folder) as entries:
                sizes = {}
                for i, entry in enumerate(entries):
                    if i % 100 == 0:
                        time.sleep(0.12)
                    sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
            seen = counters(mount)
        self.assertEqual(sizes, {f"file {i}.txt": i + 1 for i in range(n)})
        self.assertLess(seen["probes"], n * 5 // 4)

    def test_names_alone_are_not_looked_into(self):
        self.fill("a")
        with harness.Mount(self.source) as mount:
            out = subprocess.run(["find", mount.path, "-name", "*.txt"], stdout=subprocess.PIPE, text=True, check=True)
            seen = counters(mount)
        self.assertEqual(len(out.stdout.splitlines()), FILES)
        self.assertEqual(seen["probes"], 0)

    def test_sizes_that_come_with_a_listing_are_plain_sizes(self):
        files = [f for f in harness.manifest() if f["kind"] in ("pfile", "office-ooxml") and f.get("open")
                 and f["compare"] == "bytes"]
        wanted = {}
        self.fill("a", 50)
        os.mkdir(os.path.join(self.source, "b"))
        for number, file in enumerate(files):
            name = f"{number} {os.path.basename(file['path'])}"
            shutil.copyfile(os.path.join(harness.FIXTURES, "share", file["path"]),
                            os.path.join(self.source, "b", name))
            wanted[number] = str(file["plain_size"])
        with harness.Mount(self.source, harness.key_arguments()) as mount:
            sizes = self.stat_all([os.path.join(mount.path, "a"), os.path.join(mount.path, "b")])
            seen = counters(mount)
        got = {int(name.split(" ")[0]): size for name, size in sizes.items() if not name.startswith("file ")}
        self.assertEqual(got, wanted)
        # How many come along depends on the time of the machine; that any do, not.
        self.assertLess(seen["lookups"], 50 + len(files))

    def test_mail_is_decoded_while_the_listing_is_taken_in(self):
        """Whoever asked for sizes gets those of mail without waiting for each; all of
        them, unless the machine is so busy that the time for a listing was up."""
        self.fill("a", 20)
        os.mkdir(os.path.join(self.source, "b"))
        mails = [f for f in harness.manifest() if f["kind"] in ("eml", "msg", "rpmsg") and f.get("open")]
        for number, file in enumerate(mails):
            kind = os.path.splitext(file["path"])[1]
            shutil.copyfile(os.path.join(harness.FIXTURES, "share", file["path"]),
                            os.path.join(self.source, "b", f"{number}{kind}"))
        self.assertGreater(len(mails), 5)
        code = ("import json,os,sys,time\n"
                "top = sys.argv[1]\n"
                "decodes = lambda: json.load(open(top + '/.tpdfs/status.json'))['counters']['decodes']\n"
                "for n in os.listdir(top + '/a'): os.lstat(top + '/a/' + n)\n"
                "names = os.listdir(top + '/b')\n"
                "end = time.monotonic() + 20\n"
                "while decodes() < len(names) and time.monotonic() < end: time.sleep(0.01)\n"
                "ahead = decodes()\n"
                "sizes = {n: os.lstat(top + '/b/' + n).st_size for n in names}\n"
                "json.dump([ahead, decodes(), sizes], sys.stdout)\n")
        with harness.Mount(self.source, harness.key_arguments()) as mount:
            out = subprocess.run([sys.executable, "-c", code, mount.path], stdout=subprocess.PIPE, text=True, check=True)
            ahead, after, sizes = json.loads(out.stdout)
            self.assertEqual((after, len(sizes)), (len(mails), len(mails)))
            self.assertGreater(ahead, 0)
            for name, size in sizes.items():
                with open(os.path.join(mount.path, "b", name), "rb") as file:
                    self.assertEqual(len(file.read()), size, name)

    def walk_while_it_changes(self, path, change):
        """Walks in the order of the listings, which lets the mount prepare the next
        folder; changes each in the source right before it is listed. Yields what
        was listed and what the source had then."""
        code = ("import json,os,sys\n"
                "mount, source, change = sys.argv[1:]\n"
                "out = []\n"
                "def walk(way):\n"
                " if way and change != 'none':\n"
                "  first = sorted(n for n in os.listdir(source + way) if n.startswith('file'))[0]\n"
                "  if 'create' in change: open(f'{source}{way}/new', 'w').write('new')\n"
                "  if 'remove' in change: os.unlink(f'{source}{way}/{first}')\n"
                "  if 'rename' in change: os.rename(f'{source}{way}/{first}', f'{source}{way}/other')\n"
                " names = os.listdir(mount + way)\n"
                " sizes = {n: os.lstat(f'{mount}{way}/{n}').st_size for n in names\n"
                "          if not os.path.isdir(f'{mount}{way}/{n}')}\n"
                " out.append([way, sorted(names), sorted(os.listdir(source + way)), sizes])\n"
                " for n in names:\n"
                "  if n not in sizes: walk(f'{way}/{n}')\n"
                "walk('')\n"
                "json.dump(out, sys.stdout)\n")
        result = subprocess.run([sys.executable, "-c", code, path, self.source, change], stdout=subprocess.PIPE, text=True,
                                check=True)
        return json.loads(result.stdout)

    def test_folders_are_as_they_are_when_they_are_listed(self):
        """Prepared beforehand or not. Their last change is long ago at first, so
        that nothing else speaks against what was prepared."""
        for change in ("none", "create", "remove", "rename"):
            os.mkdir(os.path.join(self.source, change))
            for folder in ("a", "a/aa", "a/aa/aaa", "a/ab", "b", "c", "c/ca", "d", "e", "f"):
                # Some of several replies, where the next is prepared before the end.
                self.fill(os.path.join(change, folder), 500 if folder in ("a/aa/aaa", "b", "e") else 30)
        time.sleep(2.5)
        for change in ("none", "create", "remove", "rename"):
            whole, self.source = self.source, os.path.join(self.source, change)
            with self.subTest(change), harness.Mount(self.source) as mount:
                listed = self.walk_while_it_changes(mount.path, change)
                self.assertEqual(len(listed), 11)
                for way, names, wanted, sizes in listed:
                    self.assertEqual(names, wanted, way)
                    for name, size in sizes.items():
                        if name.startswith("file "):
                            self.assertEqual(size, int(name[5:-4]) + 1)
            self.source = whole

    def test_few_descriptors_are_enough(self):
        """A tree of 20 000 files, and 500 of them open at once."""
        for i in range(100):
            self.fill(f"d{i}", 200)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with harness.Mount(self.source, prepare=few_descriptors) as mount:
            with open(f"/proc/{mount.process.pid}/limits", encoding="ascii") as file:
                limits = next(line for line in file if line.startswith("Max open files"))
            self.assertEqual(limits.split()[3:5], ["1024", "1024"])
            out = subprocess.run(["find", mount.path, "-type", "f", "-size", "+0"], stdout=subprocess.PIPE, text=True,
                                 check=True)
            names = out.stdout.splitlines()
            self.assertEqual(len(names), 20000)
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2048), hard))
            opened = [open(name, "rb") for name in names[::40]]
            self.assertEqual(len(opened), 500)
            try:
                for file in opened:
                    self.assertEqual(set(file.read()), {ord("x")})
                # What was not open before can be looked at and opened all the same.
                again = subprocess.run(["find", mount.path, "-type", "f", "-size", "+0"], stdout=subprocess.PIPE,
                                       text=True, check=True)
                self.assertEqual(len(again.stdout.splitlines()), 20000)
            finally:
                for file in opened:
                    file.close()

    def test_pages_are_kept_while_the_file_is_the_same(self):
        path = os.path.join(self.source, "file")
        with open(path, "wb") as file:
            file.write(b"a" * 300000)
        with harness.Mount(self.source, ["--passthrough=off"]) as mount:
            shown = os.path.join(mount.path, "file")
            with open(shown, "rb") as file:
                self.assertEqual(file.read(), b"a" * 300000)
            before = counters(mount)["bytes_plain"]
            with open(shown, "rb") as file:
                self.assertEqual(file.read(), b"a" * 300000)
            self.assertEqual(counters(mount)["bytes_plain"], before)
            with open(path, "wb") as file:
                file.write(b"b" * 300000)
            harness.time.sleep(1.1)
            with open(shown, "rb") as file:
                self.assertEqual(file.read(), b"b" * 300000)


if __name__ == "__main__":
    harness.main()
