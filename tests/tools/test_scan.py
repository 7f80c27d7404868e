#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd scan finds what the manifest says, once, and keeps it in its index."""
import base64
import csv
import io
import json
import os
import pathlib
import pty
import shutil
import signal
import sqlite3
import stat
import subprocess
import time
import unittest

import tool
import scratch

KINDS = {"office-ooxml": "ooxml", "office-legacy": "ole", "pdf-v1": "pdf", "pdf-v2": "pdf", "pdf-payload": "pdf"}
FILES = [entry for entry in tool.MANIFEST if entry["kind"] != "symlink"]
PROTECTED = [entry for entry in FILES if entry["protected"]]
# A protected file cut to nothing is not recognised, but told of by its name.
SEALED = [entry for entry in PROTECTED if entry["size"] > 0]


def kind_of(entry):
    return KINDS.get(entry["kind"], entry["kind"])


class Scans(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tool.SCRATCH / self.id().rsplit(".", 2)[-2] / self.id().rsplit(".", 1)[-1]
        self.folder.mkdir(parents=True)
        self.index = self.folder / "index.sqlite"
        self.root = self.folder / "root"

    def scan(self, *options, root=None, keyring=tool.NO_KEYS, **more):
        return tool.run("scan", "--keyring", keyring, "--index", self.index, *options, "--", root or self.root, **more)

    def objects(self, *options, root=None, **more):
        """The JSON objects by path below the root."""
        result = self.scan("--json", *options, root=root, **more)
        self.assertIn(result.status, (0, 1), result.stderr)
        prefix = str(root or self.root) + "/"
        return {shown["path"].removeprefix(prefix): shown for shown in result.objects()}

    def totals(self, *options, **more):
        result = self.scan("--summary", "--json", *options, **more)
        self.assertIn(result.status, (0, 1), result.stderr)
        [totals] = result.objects()
        return totals

    def write(self, name, content=b"plain\n"):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def copy_share(self):
        shutil.copytree(tool.SHARE, self.root, symlinks=True)

    def query(self, sql):
        with sqlite3.connect(self.index) as database:
            rows = database.execute(sql).fetchall()
        database.close()
        return rows


class Share(Scans):
    def test_every_verdict_with_all_keys_and_deep(self):
        shown = self.objects("--deep", root=tool.SHARE, keyring=tool.KEYRING)
        for entry in PROTECTED:
            with self.subTest(entry["path"]):
                found = shown.pop(entry["path"])
                words = ["ok"] if entry["open"] else tool.expected_verdicts(entry)
                self.assertIn(found["verdict"], words, found["message"])
                if entry["size"] > 0:
                    self.assertEqual(found["kind"], kind_of(entry))
                if entry["open"]:
                    self.assertIs(found["size_exact"], True)
                    if entry["compare"] == "bytes":
                        self.assertEqual(found["plain_size"], entry["plain_size"])
        # The others are told of because their names are not true.
        for path, found in shown.items():
            self.assertEqual((found["kind"], found["verdict"], len(found["warnings"])), ("plain", "not-protected", 1))

    def test_members_are_those_of_show(self):
        paths = [entry["path"] for entry in PROTECTED]
        alone = tool.run("show", "--json", "--keyring", tool.KEYRING, *[tool.SHARE / path for path in paths])
        shown = self.objects("--deep", root=tool.SHARE, keyring=tool.KEYRING)
        for path, expected in zip(paths, alone.objects()):
            with self.subTest(path):
                self.assertEqual(list(shown[path]), list(expected))
                self.assertEqual(shown[path], expected)

    def test_totals(self):
        totals = self.totals("--deep", root=tool.SHARE, keyring=tool.KEYRING)
        self.assertEqual(totals["files"], len(FILES))
        self.assertEqual(totals["bytes"], sum(entry["size"] for entry in FILES))
        self.assertEqual(totals["symlinks"], len(tool.MANIFEST) - len(FILES))
        self.assertEqual(totals["protected"]["files"], len(SEALED))
        self.assertEqual(totals["protected"]["bytes"], sum(entry["size"] for entry in SEALED))
        for kind in {kind_of(entry) for entry in SEALED}:
            of_kind = [entry for entry in SEALED if kind_of(entry) == kind]
            self.assertEqual(totals["kinds"][kind],
                             {"files": len(of_kind), "bytes": sum(entry["size"] for entry in of_kind)})
        opening = [entry for entry in PROTECTED if entry["open"]]
        self.assertEqual(totals["verdicts"]["ok"]["files"], len(opening))

    def test_keys_needed(self):
        totals = self.totals(root=tool.SHARE, keyring=tool.KEYRING)
        keys = {key["fingerprint"]: key for key in totals["keys"]}
        held = {key["fingerprint"] for key in tool.KEY_LIST["tpds"] if key["expect"] == "ok"}
        held |= {key["fingerprint"] for key in tool.KEY_LIST["keys"]}
        seen = {}
        for shown in self.objects(root=tool.SHARE).values():
            if shown["key"]:
                seen.setdefault(shown["key"]["fingerprint"], []).append(shown)
        self.assertEqual(set(keys), set(seen))
        for fingerprint, files in seen.items():
            key = keys[fingerprint]
            self.assertEqual((key["files"], key["bytes"]), (len(files), sum(shown["source_size"] for shown in files)))
            self.assertEqual({key["guid"]}, {shown["key"]["guid"] for shown in files})
            self.assertIs(key["held"], fingerprint in held)
        for entry in PROTECTED:
            if entry["open"] or entry["error"] == "no-key":
                self.assertIn(entry["key_fingerprint"], keys, entry["path"])

    def test_without_keys(self):
        result = self.scan("--json", root=tool.SHARE)
        self.assertEqual((result.status, result.stderr), (1, ""))
        shown = {found["path"].removeprefix(f"{tool.SHARE}/"): found for found in result.objects()}
        for entry in PROTECTED:
            if entry["open"]:
                found = shown[entry["path"]]
                self.assertEqual((found["verdict"], found["key"]["held"], found["rights"]), ("no-key", False, None))
                self.assertIn(entry["key_guid"], found["message"])
                self.assertEqual(found["content_id"], entry["content_id"])

    def test_all_lists_plain_files_too(self):
        shown = self.objects("--all", root=tool.SHARE)
        self.assertEqual(set(shown), {entry["path"] for entry in FILES})
        for entry in tool.PLAIN:
            found = shown[entry["path"]]
            self.assertEqual((found["kind"], found["protected"], found["plain_size"]), ("plain", False, entry["size"]))

    def test_only_documents_that_need_it_are_opened(self):
        shown = self.objects(root=tool.SHARE, keyring=tool.KEYRING)
        verdicts = {found["verdict"] for found in shown.values()}
        self.assertLessEqual({"ok", "key-held"}, verdicts)
        for path, found in shown.items():
            if found["verdict"] == "key-held":
                self.assertIs(found["size_exact"], True, path)
                self.assertIsNone(found["cipher"])
            if found["verdict"] in ("ok", "key-held"):
                self.assertIsNone(found["message"])
                self.assertIs(found["key"]["held"], True)

    def test_text_tells_totals_and_problems(self):
        result = self.scan(root=tool.SHARE, keyring=tool.KEYRING)
        text = result.stdout.decode("utf-8")
        self.assertEqual((result.status, result.stderr), (1, ""))
        for word in (f"{len(FILES)} files", "not held", "Templates and policies", "Owners", "2018", "Problems: ",
                     "finance@contoso.example"):
            self.assertIn(word, text)
        quiet = self.scan("--quiet", root=tool.SHARE, keyring=tool.KEYRING)
        self.assertEqual((quiet.status, quiet.stdout, quiet.stderr), (1, b"", ""))

    def test_more_jobs_find_the_same(self):
        one = self.objects("--deep", "--jobs", "1", root=tool.SHARE, keyring=tool.KEYRING)
        self.index = self.folder / "second.sqlite"
        eight = self.objects("--deep", "--jobs", "8", root=tool.SHARE, keyring=tool.KEYRING)
        self.assertEqual(list(one.items()), list(eight.items()))


class Again(Scans):
    def test_second_scan_opens_nothing_and_tells_the_same(self):
        self.copy_share()
        for options in ((), ("--deep",)):
            first = self.objects(*options, keyring=tool.KEYRING)
            totals = self.totals(*options, keyring=tool.KEYRING)
            self.assertEqual((totals["opened"], totals["known"]), (0, totals["files"]))
            self.assertEqual(self.objects(*options, keyring=tool.KEYRING), first)

    def test_only_what_changed_is_opened(self):
        self.copy_share()
        self.totals()
        changed = self.root / SEALED[0]["path"]
        with open(changed, "ab") as file:
            file.write(b"x")
        touched = self.root / SEALED[1]["path"]
        os.utime(touched)
        self.write("new.txt")
        gone = SEALED[2]["path"]
        (self.root / gone).unlink()
        moved = SEALED[3]["path"]
        (self.root / moved).rename(self.root / "moved.docx")
        totals = self.totals()
        self.assertEqual(totals["opened"], 4)
        shown = self.objects("--all")
        self.assertNotIn(gone, shown)
        self.assertNotIn(moved, shown)
        self.assertIn("moved.docx", shown)
        self.assertEqual(shown[SEALED[0]["path"]]["source_size"], changed.stat().st_size)

    def test_content_that_changes_under_the_same_size_and_time(self):
        path = self.write("a.txt.pfile", (tool.SHARE / tool.PFILES[0]["path"]).read_bytes())
        before = path.stat()
        self.totals()
        path.write_bytes(bytes(before.st_size))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertEqual(self.totals()["opened"], 1)

    def test_folders_that_go_are_forgotten(self):
        self.write("a/b/c/file.txt.pfile", (tool.SHARE / SEALED[0]["path"]).read_bytes())
        self.write("d/file.txt")
        self.totals()
        shutil.rmtree(self.root / "a")
        self.assertEqual(self.objects(), {})
        self.assertEqual(self.query("SELECT count(*) FROM probe"), [(1,)])
        self.assertEqual(self.query("SELECT count(*) FROM document"), [(0,)])

    def test_keys_that_come_and_go(self):
        self.copy_share()
        clear = self.objects()
        totals = self.totals(keyring=tool.KEYRING)
        needing = [path for path, found in clear.items() if found["key"] and not found["size_exact"]]
        self.assertGreater(totals["opened"], 0)
        self.assertLess(totals["opened"], totals["protected"]["files"])
        held = self.objects(keyring=tool.KEYRING)
        self.assertTrue(any(held[path]["verdict"] == "ok" for path in needing))
        back = self.objects()
        self.assertEqual(self.totals()["opened"], 0)
        for path, found in back.items():
            with self.subTest(path):
                if held[path]["verdict"] in ("ok", "key-held"):
                    self.assertEqual((found["verdict"], found["key"]["held"]), ("no-key", False))
                    self.assertEqual(found["message"], clear[path]["message"])
                    # What was learnt with the key stays known.
                    self.assertEqual(found["plain_size"], held[path]["plain_size"])
        self.assertEqual(self.totals(keyring=tool.KEYRING)["opened"], 0)

    def test_another_decoder_asks_again(self):
        self.copy_share()
        totals = self.totals()
        with sqlite3.connect(self.index) as database:
            database.execute("UPDATE probe SET decoder = decoder + 1")
        database.close()
        self.assertEqual(self.totals()["opened"], totals["opened"])
        self.assertEqual(self.totals()["opened"], 0)

    def test_order_is_stable(self):
        first = self.scan("--json", "--jobs", "4", root=tool.SHARE)
        self.index = self.folder / "second.sqlite"
        second = self.scan("--json", "--jobs", "2", root=tool.SHARE)
        self.assertEqual(first.stdout, second.stdout)


class Stopped(Scans):
    N = 40000

    @classmethod
    def setUpClass(cls):
        cls.tree = pathlib.Path(scratch.of_many_files())
        for number in range(cls.N // 200):
            folder = cls.tree / f"{number % 7}" / f"{number}"
            folder.mkdir(parents=True)
            for name in range(200):
                (folder / f"{name}").write_bytes(b"x")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tree)

    def start(self):
        return tool.popen("scan", "--keyring", tool.NO_KEYS, "--index", self.index, "--jobs", "1", self.tree)

    def rows(self):
        try:
            return self.query("SELECT count(*) FROM probe")[0][0]
        except sqlite3.Error:
            return 0

    def test_killed_scan_goes_on(self):
        process = self.start()
        while self.rows() == 0 and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        process.communicate()
        rows = self.rows()
        self.assertGreater(rows, 0)
        totals = self.totals(root=self.tree)
        self.assertEqual(totals["files"], self.N)
        self.assertEqual((totals["known"], totals["opened"]), (rows, self.N - rows))
        self.assertEqual(self.totals(root=self.tree)["opened"], 0)

    def interrupt(self, number):
        """Interrupts a scan that has begun; on a busy machine it may be done
        before the signal is sent: then once more."""
        for attempt in range(50):
            self.index = self.folder / f"{number}-{attempt}.sqlite"
            process = self.start()
            # Handlers are there when the index is.
            while not self.index.exists() and process.poll() is None:
                time.sleep(0.002)
            time.sleep(0.02 if attempt % 2 == 0 else 0)
            process.send_signal(number)
            stdout, stderr = process.communicate()
            if process.returncode != 0:
                return process.returncode, stdout, tool.messages(stderr)
        self.fail("every scan was done before it could be interrupted")

    def test_interrupt_keeps_the_state(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            status, stdout, stderr = self.interrupt(number)
            self.assertEqual((status, stdout), (4, b""), stderr)
            self.assertIn("interrupted", stderr)
            rows = self.rows()
            totals = self.totals(root=self.tree)
            self.assertEqual((totals["known"], totals["opened"]), (rows, self.N - rows))

    def test_progress_is_for_terminals(self):
        master, slave = pty.openpty()
        process = subprocess.Popen([tool.TPD, "scan", "--keyring", tool.NO_KEYS, "--index", self.index, "--jobs", "1",
                                    self.tree], stdout=subprocess.DEVNULL, stderr=slave, env=tool.ENVIRONMENT)
        os.close(slave)
        shown = b""
        try:
            while data := os.read(master, 65536):
                shown += data
        except OSError:
            pass
        os.close(master)
        self.assertEqual(process.wait(), 0)
        self.assertIn(b"\rscan: ", shown)
        self.assertIn(b" files, ", shown)
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown[-40:])
        self.assertEqual(self.scan(root=self.tree).stderr, "")

    def test_memory_does_not_grow_with_the_tree(self):
        command = [tool.TPD, "scan", "--keyring", tool.NO_KEYS, "--index", self.index, self.tree]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=tool.ENVIRONMENT) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        if "asan" not in subprocess.run(["ldd", tool.TPD], capture_output=True, text=True, check=False).stdout:
            self.assertLess(usage.ru_maxrss, 60 * 1024)


class Trees(Scans):
    def test_symbolic_links_are_not_followed(self):
        outside = tool.SCRATCH / "outside"
        outside.mkdir(exist_ok=True)
        shutil.copy(tool.SHARE / SEALED[0]["path"], outside / "file.docx")
        self.write("a/b.txt")
        (self.root / "a" / "loop").symlink_to("..")
        (self.root / "out").symlink_to(outside)
        (self.root / "file.docx").symlink_to(outside / "file.docx")
        (self.root / "none").symlink_to("nowhere")
        os.mkfifo(self.root / "fifo")
        totals = self.totals()
        self.assertEqual((totals["files"], totals["symlinks"], totals["special_files"]), (1, 4, 1))
        self.assertEqual(list(self.objects("--all")), ["a/b.txt"])

    def test_root_may_be_a_link(self):
        self.write("a.txt")
        link = self.folder / "link"
        link.symlink_to(self.root)
        self.assertEqual(list(self.objects("--all", root=link)), ["a.txt"])

    def test_hard_links_are_looked_into_once(self):
        entry = next(entry for entry in tool.PFILES if entry["open"] and entry["compare"] == "bytes")
        path = self.write("a/one.txt.pfile", (tool.SHARE / entry["path"]).read_bytes())
        for number in range(20):
            (self.root / f"{number % 5}").mkdir(exist_ok=True)
            os.link(path, self.root / f"{number % 5}" / f"{number}.txt.pfile")
        totals = self.totals("--jobs", "8", "--deep", keyring=tool.KEYRING)
        self.assertEqual((totals["files"], totals["hard_links"], totals["opened"]), (21, 21, 1))
        self.assertEqual(self.query("SELECT count(*) FROM document"), [(1,)])
        shown = self.objects("--deep", keyring=tool.KEYRING)
        self.assertEqual({found["plain_size"] for found in shown.values()}, {entry["plain_size"]})
        self.assertEqual({found["verdict"] for found in shown.values()}, {"ok"})
        self.assertEqual(len({found["plain_name"] for found in shown.values()}), 21)

    def test_include_and_exclude(self):
        for name in ("a.docx", "b.TXT", "tmp/c.docx", "keep/tmp.docx", "keep/d.txt", "Old Files/e.docx"):
            self.write(name)
        cases = (
            ((), ["Old Files/e.docx", "a.docx", "b.TXT", "keep/d.txt", "keep/tmp.docx", "tmp/c.docx"]),
            (("--include=*.txt",), ["b.TXT", "keep/d.txt"]),
            (("--include=*.docx", "--exclude=tmp"), ["Old Files/e.docx", "a.docx", "keep/tmp.docx"]),
            (("--exclude=tmp*",), ["Old Files/e.docx", "a.docx", "b.TXT", "keep/d.txt"]),
            (("--exclude=keep/*",), ["Old Files/e.docx", "a.docx", "b.TXT", "tmp/c.docx"]),
            (("--exclude=keep/", "--exclude=/a.docx"), ["Old Files/e.docx", "b.TXT", "tmp/c.docx"]),
            (("--include=old files/*",), ["Old Files/e.docx"]),
            (("--include=*.docx", "--include=*.txt", "--exclude=*"), []),
        )
        self.totals()
        for options, expected in cases:
            with self.subTest(options):
                self.assertEqual(sorted(self.objects("--all", *options)), expected)
                totals = self.totals(*options)
                self.assertEqual(totals["files"], len(expected))
                self.assertEqual(totals["excluded_files"] > 0 or totals["excluded_directories"] > 0, len(expected) < 6)
                # What was left out is not gone.
                self.assertEqual(self.query("SELECT count(*) FROM probe"), [(6,)])
        self.assertEqual(self.totals()["opened"], 0)

    def test_snapshots_are_left_out(self):
        for folder in (".snapshot", "~snapshot", ".zfs", "a/.snapshot", "snapshot"):
            self.write(f"{folder}/file.txt")
        totals = self.totals()
        self.assertEqual((totals["files"], totals["snapshot_directories"]), (1, 4))
        self.assertEqual(self.totals("--snapshots")["files"], 5)

    def test_one_file_system(self):
        self.write("a.txt")
        (self.root / "mnt").mkdir()
        mount = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.root / "mnt"], capture_output=True, check=False)
        if mount.returncode != 0:
            self.skipTest("cannot mount here")
        try:
            self.write("mnt/b.txt")
            self.assertEqual(self.totals()["files"], 2)
            totals = self.totals("--one-file-system")
            self.assertEqual((totals["files"], totals["foreign_directories"], totals["foreign_files"]), (1, 1, 0))
            # A file can be a mount point, too.
            self.write("here.txt")
            subprocess.run(["mount", "--bind", self.root / "mnt/b.txt", self.root / "here.txt"], check=True)
            totals = self.totals("--one-file-system")
            self.assertEqual((totals["files"], totals["foreign_directories"], totals["foreign_files"]), (1, 1, 1))
        finally:
            subprocess.run(["umount", self.root / "here.txt"], stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["umount", self.root / "mnt"], check=True)

    def test_stubs_are_not_recalled(self):
        path = self.write("stub.docx", b"")
        os.truncate(path, 1 << 20)
        if path.stat().st_blocks != 0:
            self.skipTest("no holes here")
        [found] = self.objects().values()
        self.assertEqual(found["verdict"], "offline")
        self.assertIn("--recall", found["message"])
        totals = self.totals()
        self.assertEqual((totals["opened"], self.scan().status), (0, 0))
        self.assertEqual(self.objects("--recall"), {})
        self.assertEqual(self.totals("--recall")["opened"], 0)

    def test_directory_that_cannot_be_read_is_told(self):
        self.write("a.txt")
        descriptor = os.open(self.root, os.O_RDONLY)
        for _ in range(135):
            os.mkdir("d" * 250, dir_fd=descriptor)
            inner = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        os.close(descriptor)
        try:
            result = self.scan("--json")
            self.assertEqual(result.status, 1)
            [found] = result.objects()
            self.assertEqual((found["verdict"], found["kind"]), ("io-error", None))
            self.assertIn("File name too long", found["message"])
            self.assertEqual(result.stderr.count("io-error"), 1)
            self.assertEqual(self.totals()["failed_directories"], 1)
        finally:
            subprocess.run(["rm", "-rf", self.root], check=True)

    def test_closed_directory_and_file(self):
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        if os.geteuid() != 0 or subprocess.run([*user, tool.TPD, "--version"], capture_output=True,
                                               check=False).returncode != 0:
            self.skipTest("needs root and a program that others can run")
        self.write("closed/a.txt")
        self.write("open/secret.docx").chmod(0)
        self.write("open/b.txt")
        (self.root / "closed").chmod(0)
        tool.SCRATCH.chmod(0o755)
        home = self.folder / "home"
        home.mkdir()
        shutil.chown(home, 65534)
        command = [*user, tool.TPD, "scan", "--json", self.root]
        environment = tool.ENVIRONMENT | {"XDG_CACHE_HOME": str(home)}
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        shown = [json.loads(line) for line in done.stdout.decode().splitlines()]
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual([(pathlib.Path(found["path"]).name, found["verdict"]) for found in shown],
                         [("closed", "io-error"), ("secret.docx", "io-error")])
        # The default place of a user who may not write to /var/lib.
        [index] = (home / "tpdfs").glob("*.sqlite")
        self.assertEqual(stat.S_IMODE(index.stat().st_mode), 0o600)
        # It is asked again, whatever the index says.
        (self.root / "closed").chmod(0o755)
        shutil.chown(self.root / "open" / "secret.docx", 65534)
        (self.root / "open" / "secret.docx").chmod(0o400)
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b""))

    def test_large_directory_comes_in_pieces(self):
        top = pathlib.Path(scratch.of_many_files())
        self.addCleanup(shutil.rmtree, top)
        self.root = top / "root"
        self.root.mkdir()
        for number in range(20000):
            (self.root / f"file {number}").touch()
        totals = self.totals("--jobs", "4")
        self.assertEqual(totals["files"], 20000)
        for number in range(0, 20000, 1000):
            (self.root / f"file {number}").unlink()
        self.write("new")
        totals = self.totals("--jobs", "4")
        self.assertEqual((totals["files"], totals["opened"], totals["known"]), (19981, 1, 19980))
        self.assertEqual(self.query("SELECT count(*) FROM probe"), [(19981,)])
        shutil.rmtree(self.root)
        self.write("file 7")
        self.assertEqual(self.totals()["files"], 1)
        self.assertEqual(self.query("SELECT CAST(name AS TEXT) FROM probe"), [("file 7",)])


NAMES = [
    b"=1+1.txt.pfile", b"+1.txt.pfile", b"-1.txt.pfile", b"@SUM(A1).txt.pfile", b"\tx.txt.pfile", b"\rx.txt.pfile",
    b"new\nline.txt.pfile", b'say "hi", you.txt.pfile', b"\xff\xfe.txt.pfile", b"<b>&amp;.txt.pfile",
    b"<script>alert(1)<.script>.txt.pfile", b"--><!--.txt.pfile", b"' onmouseover='x.txt.pfile", b"\x1b[31m.txt.pfile",
    "\u202e\u0085.txt.pfile".encode(), b"]]>.txt.pfile", b"%s%n.txt.pfile", " lead.txt.pfile".encode(),
]


class Hostile(Scans):
    def setUp(self):
        super().setUp()
        self.bytes = (tool.SHARE / tool.PFILES[0]["path"]).read_bytes()[:90]
        # </script> needs a directory: a slash cannot stand in a name.
        for folder in (b"", b"<", b"=cmd"):
            path = os.fsencode(self.root) + b"/" + folder
            os.makedirs(path, exist_ok=True)
            for name in NAMES + [b"script><script>alert(2)<.pfile"]:
                with open(path + b"/" + name, "wb") as file:
                    file.write(self.bytes)
        self.count = 3 * (len(NAMES) + 1)

    def test_json(self):
        result = self.scan("--json")
        self.assertFalse(any(c in result.stdout.decode() for c in "\x1b\u202e\u0085\r"))
        found = set()
        for shown in result.objects():
            self.assertEqual(shown["verdict"], "damaged")
            found.add(base64.b64decode(shown["path_b64"]) if "path_b64" in shown else os.fsencode(shown["path"]))
        self.assertEqual(len(found), self.count)
        self.assertTrue(all(os.path.exists(path) for path in found))

    def test_csv_holds_no_formulas(self):
        result = tool.run("scan", "--csv", "--keyring", tool.NO_KEYS, "--index", self.index, ".", cwd=self.root)
        lines = list(csv.reader(io.StringIO(result.stdout.decode("utf-8"), newline=""), strict=True))
        self.assertEqual(len(lines), self.count + 1)
        self.assertEqual({len(line) for line in lines}, {len(lines[0])})
        self.assertTrue(result.stdout.endswith(b"\r\n"))
        column = lines[0].index("plain_name")
        for line in lines[1:]:
            for cell in line:
                self.assertNotIn(cell[:1], tuple("=+-@\t\r"))
        # The column of names is where such a cell can begin.
        names = [line[column] for line in lines[1:]]
        self.assertIn("'=1+1.txt", names)
        self.assertIn("'-1.txt", names)
        self.assertIn("'@SUM(A1).txt", names)

    def test_text_and_errors(self):
        result = self.scan("--verbose")
        text = result.stdout.decode("utf-8") + result.stderr
        self.assertFalse(any(c in text for c in "\x1b\u202e\u0085\r"))

    def test_index_holds_the_bytes(self):
        self.scan()
        stored = {row[0] for row in self.query("SELECT name FROM probe")}
        self.assertLessEqual(set(NAMES), stored)


class Index(Scans):
    def check_set_aside(self):
        result = self.scan("--summary", "--json")
        self.assertEqual(result.status, 0, result.stderr)
        self.assertIn("set aside as", result.stderr)
        [totals] = result.objects()
        self.assertEqual((totals["files"], totals["opened"]), (300, 300))
        self.assertEqual(len(list(self.folder.glob("index.sqlite.bad-*[0-9]"))), 1)
        self.assertEqual(self.totals()["opened"], 0)

    def fill(self):
        for number in range(300):
            self.write(f"{number % 10}/{number}.txt")

    def test_foreign_file_is_set_aside(self):
        self.fill()
        self.index.write_bytes(b"not an index at all, but something else" * 50)
        self.check_set_aside()
        self.assertIn(b"something else", next(self.folder.glob("index.sqlite.bad-1")).read_bytes())

    def test_damage_found_on_the_way_is_set_aside(self):
        self.fill()
        self.totals()
        size = self.index.stat().st_size
        with open(self.index, "r+b") as file:
            for at in range(4096, size, 4096):
                file.seek(at)
                file.write(b"\xa5" * 4096)
        self.check_set_aside()

    def test_never_on_the_share(self):
        self.fill()
        for path in (self.root / "i.sqlite", self.root / "3" / "i.sqlite"):
            result = tool.run("scan", "--keyring", tool.NO_KEYS, "--index", path, self.root)
            self.assertEqual((result.status, result.stdout), (2, b""))
            self.assertIn("--index", result.stderr)
            self.assertFalse(path.exists())

    def test_full_disk_is_told(self):
        self.fill()
        script = 'ulimit -f 16; exec "$@"'
        done = subprocess.run(["sh", "-c", script, "sh", tool.TPD, "scan", "--keyring", tool.NO_KEYS, "--index",
                               self.index, tool.SHARE], capture_output=True, env=tool.ENVIRONMENT, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("index.sqlite", tool.messages(done.stderr))
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
        self.assertEqual(self.totals(root=tool.SHARE)["files"], len(FILES))

    def test_can_be_asked_by_hand(self):
        self.totals(root=tool.SHARE, keyring=tool.KEYRING)
        self.assertEqual(self.query("SELECT count(*) FROM file"), [(len(FILES),)])
        [(path, kind, verdict, owner)] = self.query(
            "SELECT path, kind, verdict, rms_owner FROM file WHERE path LIKE '%/Offer #12_109.pptx'")
        self.assertEqual((path, kind, verdict), (str(tool.SHARE / "Finance/2012/Offer #12_109.pptx"), "ooxml",
                                                 "key-held"))
        self.assertEqual(owner, "hr@contoso.example")
        self.assertEqual({json.loads(row[0])["signature"] for row in self.query(
            "SELECT json FROM file WHERE json IS NOT NULL")}, {None, "good", "bad"})
        self.assertEqual(self.query("SELECT sum(files) FROM keys_needed"),
                         self.query("SELECT count(*) FROM file WHERE key_guid IS NOT NULL"))
        self.assertEqual(stat.S_IMODE(self.index.stat().st_mode), 0o600)

    def test_two_scans_at_once(self):
        self.fill()
        processes = [tool.popen("scan", "--keyring", tool.NO_KEYS, "--index", self.index, "--summary", "--json",
                                self.root) for _ in range(3)]
        for process in processes:
            stdout, stderr = process.communicate()
            self.assertEqual(process.returncode, 0, stderr)
            self.assertEqual(json.loads(stdout)["files"], 300)
        self.assertEqual(self.query("SELECT count(*) FROM probe"), [(300,)])


class Cutoff(Scans):
    def test_lists_what_was_issued_since(self):
        for date, since in (("2023", "2023-01-01T00:00"), ("2023-06", "2023-06-01T00:00"),
                            ("2024-02-29", "2024-02-29T00:00"), ("2021-07-01T12:30", "2021-07-01T12:30")):
            with self.subTest(date):
                expected = {path for path, found in self.objects(root=tool.SHARE).items()
                            if found["issued"] and found["issued"] >= since}
                self.assertTrue(expected)
                self.assertEqual(set(self.objects("--cutoff", date, root=tool.SHARE)), expected)
                totals = self.totals("--cutoff", date, root=tool.SHARE)
                self.assertEqual((totals["cutoff"]["date"], totals["cutoff"]["files"]), (since, len(expected)))
                text = self.scan("--cutoff", date, root=tool.SHARE).stdout.decode()
                self.assertIn(f"Issued since {since}: {len(expected)} files", text)

    def test_wrong_dates(self):
        for date in ("", "yesterday", "21-05-01", "2021-5-1", "2021-05-01T", "20210501"):
            result = self.scan("--cutoff", date, root=tool.SHARE)
            self.assertEqual((result.status, result.stdout), (2, b""), date)


class Usage(Scans):
    def check(self, word, *arguments):
        result = tool.run("scan", "--keyring", tool.NO_KEYS, *arguments)
        self.assertEqual((result.status, result.stdout), (2, b""), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1)
        self.assertIn(word, result.stderr)

    def test_wrong_options(self):
        self.check("one directory")
        self.check("one directory", "a", "b")
        self.check("--jobs", "--jobs", "0", "a")
        self.check("--jobs", "--jobs", "many", "a")
        self.check("--csv", "--csv", "--json", "a")
        self.check("--summary", "--csv", "--summary", "a")

    def test_what_cannot_be_scanned(self):
        for root in (tool.SCRATCH / "nothing", tool.KEYRING):
            result = tool.run("scan", "--keyring", tool.NO_KEYS, "--index", self.index, root)
            self.assertEqual((result.status, result.stdout), (1, b""))
            self.assertIn(str(root), result.stderr)

    def test_refused_key_file(self):
        result = tool.run("scan", "--key", tool.SCRATCH / "no.xml", "--index", self.index, tool.SHARE)
        self.assertEqual((result.status, result.stdout), (3, b""))

    def test_reader_that_goes_away(self):
        process = tool.popen("scan", "--keyring", tool.NO_KEYS, "--index", self.index, "--json", "--all", tool.SHARE)
        process.stdout.close()
        self.assertEqual(tool.messages(process.stderr.read()), "")
        process.stderr.close()
        self.assertEqual(process.wait(), 1)


if __name__ == "__main__":
    unittest.main()
