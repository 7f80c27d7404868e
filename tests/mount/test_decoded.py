# SPDX-License-Identifier: Apache-2.0
"""Mail and PDF through a real mount: what they decode to, under which names,
and that decoding stands in nobody's way."""

import concurrent.futures
import email
import email.policy
import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import harness
from gate import GatedMount, wait_until

MAIL = ("rpmsg", "eml", "msg")
FORMAT_TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "format")


def entries(*kinds):
    return [e for e in harness.manifest() if e["kind"] in kinds]


def mails():
    return entries(*MAIL)


def pdfs():
    return entries("pdf-v1", "pdf-v2", "pdf-payload")


def opening(chosen):
    return [e for e in chosen if e["open"]]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def native_name(entry):
    return entry["path"] + (".eml" if entry["kind"] == "rpmsg" else "")


def status(mount):
    with open(mount(".tpdfs", "status.json"), encoding="utf-8") as f:
        return json.load(f)


class Decoded(harness.Scratch):
    source = os.path.join(harness.FIXTURES, "share")

    def mounted(self, *words, source=None):
        mount = harness.Mount(source or self.source, harness.key_arguments() + list(words))
        mount.__enter__()
        self.addCleanup(mount.stop)
        return mount

    def check_eml(self, data, message):
        parsed = email.message_from_bytes(data, policy=email.policy.default)
        parts = [p for p in parsed.walk() if not p.is_multipart()]
        self.assertFalse([p.defects for p in parsed.walk() if p.defects])
        wanted_type = {"plain": "text/plain", "html": "text/html", "rtf": "application/rtf"}[message["body_format"]]
        body = next(p for p in parts if p.get_content_type() == wanted_type)
        content = body.get_payload(decode=True)
        if wanted_type != "application/rtf":
            content = content.decode(body.get_content_charset()).encode()
        self.assertEqual(sha256(content), message["body_sha256"])
        found = {p.get_filename(): p.get_payload(decode=True) for p in parts if p.get_filename() and p is not body}
        self.assertEqual(len(found), len(message["attachments"]))
        for attachment in message["attachments"]:
            inner = attachment.get("protected") or {}
            name = inner.get("plain_name", attachment["name"])
            if attachment["method"] == "message":
                self.assertEqual(found[name + ".msg"][:8].hex(), "d0cf11e0a1b11ae1")
            else:
                self.assertEqual(sha256(found[name]), inner.get("plain_sha256", attachment.get("sha256")))

    def check_msg(self, path, entry, original=None):
        expected = self.write("expected.json", json.dumps(entry))
        command = [sys.executable, "-B", os.path.join(FORMAT_TESTS, "read_msg.py"), path, expected]
        done = subprocess.run(command + ([original] if original else []), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    # --- what they decode to -----------------------------------------------

    def test_every_mail_reads_as_its_native_form(self):
        mount = self.mounted()
        found = 0
        for entry in opening(mails()):
            with self.subTest(entry["path"]):
                path = mount(native_name(entry))
                self.assertIn(os.path.basename(path), os.listdir(os.path.dirname(path)))
                if entry["kind"] == "msg":
                    self.check_msg(path, entry, os.path.join(self.source, entry["path"]))
                else:
                    self.check_eml(read(path), entry["message"])
                found += 1
        self.assertGreater(found, 10)

    def test_every_pdf_reads_plain_with_the_size_it_had(self):
        mount = self.mounted()
        found = 0
        for entry in opening(pdfs()):
            with self.subTest(entry["path"]):
                path, plain = mount(entry["path"]), os.path.join(harness.FIXTURES, "plain", entry["plain_path"])
                published = os.stat(path).st_size
                compare = [sys.executable, "-B", os.path.join(FORMAT_TESTS, "pdf_compare.py"), path, plain]
                done = subprocess.run(compare, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertEqual(len(read(path)), published)
                subprocess.run(["qpdf", "--check", path], check=True, capture_output=True)
                texts = [subprocess.run(["pdftotext", p, "-"], check=True, capture_output=True).stdout for p in (path, plain)]
                self.assertEqual(*texts)
                self.assertIn(b"MARK", texts[0])
                found += 1
        self.assertGreater(found, 6)

    def test_the_first_stat_tells_the_true_size(self):
        mount = self.mounted()
        for entry in opening(mails()) + opening(pdfs()):
            with self.subTest(entry["path"]):
                path = mount(native_name(entry))
                size = os.stat(path).st_size
                self.assertEqual(len(read(path)), size)
                self.assertEqual(os.stat(path).st_size, size)
                self.assertEqual(os.stat(path).st_mtime_ns, os.stat(os.path.join(self.source, entry["path"])).st_mtime_ns)

    def test_nothing_is_cut_for_who_never_asks_the_size(self):
        mount = self.mounted()
        for entry in opening(mails()) + opening(pdfs()):
            with self.subTest(entry["path"]), open(os.path.join(self.dir, "copy"), "w+b") as out:
                fd = os.open(mount(native_name(entry)), os.O_RDONLY)
                while os.sendfile(out.fileno(), fd, None, 1 << 20):
                    pass
                self.assertEqual(os.fstat(fd).st_size, os.fstat(out.fileno()).st_size)
                out.seek(0)
                self.assertEqual(out.read(), os.pread(fd, 1 << 20, 0))
                os.close(fd)

    def test_a_listing_with_sizes_tells_the_true_sizes(self):
        mount = self.mounted()
        sizes = {}
        for folder in {os.path.dirname(e["path"]) for e in opening(mails())}:
            done = subprocess.run(["ls", "-l", mount(folder)], check=True, capture_output=True, text=True)
            self.assertTrue(done.stdout)
            with os.scandir(mount(folder)) as listing:
                sizes.update({os.path.join(folder, e.name): e.stat().st_size for e in listing})
        for entry in opening(mails()):
            name = native_name(entry)
            self.assertEqual(sizes[name], len(read(mount(name))), name)

    def test_what_cannot_be_opened_is_refused_with_its_verdict(self):
        mount = self.mounted()
        found = 0
        for entry in mails() + pdfs():
            if entry["open"]:
                continue
            with self.subTest(entry["path"]):
                path = mount(entry["path"])
                self.assertEqual(os.stat(path).st_size, entry["size"])
                self.assertErrno(harness.ERRNO[entry["error"]], open, path, "rb")
                self.assertErrno(harness.ERRNO[entry["error"]], open, path, "rb")
                self.assertEqual(os.getxattr(path, "user.tpdfs.verdict").decode(), entry["error"])
                found += 1
        self.assertGreater(found, 4)

    def test_xattrs_tell_of_mail_and_pdf(self):
        mount = self.mounted()
        for entry in opening(mails()) + opening(pdfs()):
            with self.subTest(entry["path"]):
                path = mount(native_name(entry))
                self.assertEqual(os.getxattr(path, "user.tpdfs.content_id").decode(), entry["content_id"])
                self.assertEqual(os.getxattr(path, "user.tpdfs.kind").decode(), entry["kind"].split("-")[0])
                self.assertEqual(os.getxattr(path, "user.tpdfs.source_name").decode(), os.path.basename(entry["path"]))

    def test_two_mounts_and_the_tool_give_the_same_bytes(self):
        first, second = self.mounted(), self.mounted()
        for entry in opening(mails()) + opening(pdfs()):
            with self.subTest(entry["path"]):
                command = [harness.TPD, "cat", *harness.key_arguments(), os.path.join(self.source, entry["path"])]
                tool = subprocess.run(command, capture_output=True, check=True).stdout
                self.assertEqual(read(first(native_name(entry))), tool)
                self.assertEqual(read(second(native_name(entry))), tool)

    # --- forms and names ----------------------------------------------------

    def test_all_mail_as_eml(self):
        mount = self.mounted("-o", "mail=eml")
        for entry in opening(mails()):
            with self.subTest(entry["path"]):
                path = mount(entry["path"] + ("" if entry["kind"] == "eml" else ".eml"))
                self.assertIn(os.path.basename(path), os.listdir(os.path.dirname(path)))
                self.check_eml(read(path), entry["message"])
                self.assertEqual(os.stat(path).st_ino, os.stat(mount(entry["path"])).st_ino)

    def test_all_mail_as_msg(self):
        mount = self.mounted("-o", "mail=msg")
        for entry in opening(mails()):
            with self.subTest(entry["path"]):
                path = mount(entry["path"] + ("" if entry["kind"] == "msg" else ".msg"))
                self.assertIn(os.path.basename(path), os.listdir(os.path.dirname(path)))
                self.check_msg(path, entry)

    def test_mail_left_protected(self):
        mount = self.mounted("-o", "mail=source")
        for entry in mails():
            with self.subTest(entry["path"]):
                path = mount(entry["path"])
                self.assertIn(os.path.basename(path), os.listdir(os.path.dirname(path)))
                self.assertEqual(harness.sha256_file(path), entry["sha256"])
                self.assertEqual(os.stat(path).st_size, entry["size"])
                self.assertEqual(os.getxattr(path, "user.tpdfs.kind").decode(), entry["kind"])
        self.assertEqual(status(mount)["counters"]["decodes"], 0)
        entry = mails()[0]
        command = [harness.TPD, "cat", "--mail", "source", os.path.join(self.source, entry["path"])]
        tool = subprocess.run(command + harness.key_arguments(), capture_output=True, check=True).stdout
        self.assertEqual(sha256(tool), entry["sha256"])

    def test_names_of_mail_depend_on_content_not_on_keys(self):
        rpmsg = next(e for e in mails() if e["kind"] == "rpmsg" and e["open"])
        lost = next(e for e in mails() if e["kind"] == "rpmsg" and e["error"] == "no-key")
        for name, entry in (("message.rpmsg", rpmsg), ("message_v2.rpmsg", rpmsg), ("lost.RPMSG", lost), ("taken.rpmsg", rpmsg)):
            shutil.copy(os.path.join(self.source, entry["path"]), os.path.join(self.dir, name))
        self.write("plain.rpmsg", "this is no protected mail")
        self.write("empty.rpmsg", "")
        self.write("taken.rpmsg.eml", "was there before")
        shown = {"message.rpmsg.eml", "message_v2.rpmsg.eml", "lost.RPMSG.eml", "taken.rpmsg", "taken.rpmsg.eml", "plain.rpmsg", "empty.rpmsg"}
        self.assertEqual(set(os.listdir(self.mounted(source=self.dir).path)), shown)
        with harness.Mount(self.dir, ["--keyring", self.write("../empty.conf", "")]) as mount:
            self.assertEqual(set(os.listdir(mount.path)), shown)
            self.assertErrno(errno.ENOKEY, open, mount("message.rpmsg.eml"), "rb")
        raw = self.mounted("-o", "unreadable=raw", source=self.dir)
        self.assertEqual(set(os.listdir(raw.path)), shown - {"lost.RPMSG.eml"} | {"lost.RPMSG"})
        self.assertEqual(harness.sha256_file(raw("lost.RPMSG")), lost["sha256"])

    # --- nested --------------------------------------------------------------

    def test_nested_removes_the_layer_below(self):
        entry = next(e for e in entries("pfile") if "itself a protected" in (e.get("notes") or ""))
        one = read(self.mounted()(entry["plain_name"]))
        self.assertEqual(sha256(one), entry["plain_sha256"])
        inner = self.write("inner.docx", one)
        two = subprocess.run([harness.TPD, "cat", *harness.key_arguments(), inner], capture_output=True, check=True).stdout
        zipfile.ZipFile(io.BytesIO(two)).testzip()
        mount = self.mounted("-o", "nested=2")
        path = mount(entry["plain_name"])
        self.assertEqual(os.stat(path).st_size, len(two))
        self.assertEqual(read(path), two)
        outer = os.path.join(self.source, entry["path"])
        tool = subprocess.run([harness.TPD, "cat", "--nested", "1", *harness.key_arguments(), outer], capture_output=True, check=True).stdout
        self.assertEqual(tool, two)

    def test_nested_changes_nothing_else(self):
        mount = self.mounted("-o", "nested=3")
        for entry in opening(entries("pfile", "office-ooxml", "office-legacy", "xps")):
            if entry["compare"] != "bytes" or "itself a protected" in (entry.get("notes") or ""):
                continue
            with self.subTest(entry["path"]):
                size = os.stat(mount(entry["path"])).st_size
                self.assertEqual(size, entry["plain_size"])
                self.assertEqual(harness.sha256_file(mount(entry["path"])), entry["plain_sha256"])

    # --- one decode, bounded memory -------------------------------------------

    def test_one_decode_for_many_readers(self):
        entry = next(e for e in opening(mails()) if e["kind"] == "msg")
        with GatedMount(self.source, ["--threads=4"], "writes", ms=50) as mount:
            path = mount(native_name(entry))
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                found = set(pool.map(lambda _: (os.stat(path).st_size, sha256(read(path))), range(16)))
            self.assertEqual(len(found), 1)
            state = status(mount)
            self.assertEqual(state["counters"]["decodes"], 1)
            self.assertEqual(state["decoder"]["documents"], 1)
            self.assertEqual(state["decoder"]["bytes"], found.pop()[0])
            self.assertEqual(state["decoder"]["threads"], 2)

    def test_what_exceeds_the_budget_is_too_large(self):
        mount = self.mounted("-o", "decode_budget=16K")
        large = small = 0
        for entry in opening(mails()):
            with self.subTest(entry["path"]):
                path = mount(entry["path"])
                size = os.stat(path).st_size
                try:
                    self.assertEqual(len(read(path)), size)
                    self.assertLessEqual(size, 16384)
                    small += 1
                except OSError as e:
                    self.assertEqual(e.errno, errno.EFBIG)
                    self.assertEqual(size, entry["size"])
                    self.assertEqual(os.getxattr(path, "user.tpdfs.verdict"), b"too-large")
                    large += 1
        self.assertGreater(large, 2)
        self.assertGreater(small, 3)
        for entry in opening(pdfs()):
            self.assertErrno(errno.EFBIG, open, mount(entry["path"]), "rb")
        self.assertIn("decode_budget", mount.log())
        plain = entries("plain")[0]
        self.assertEqual(harness.sha256_file(mount(plain["path"])), plain["plain_sha256"])

    def test_memory_stays_within_the_budget(self):
        mount = self.mounted("-o", "decode_budget=40K")
        for _ in range(2):
            for entry in opening(pdfs()) + opening(mails()):
                path = mount(entry["path"])
                self.assertEqual(len(read(path)), os.stat(path).st_size)
                self.assertLessEqual(status(mount)["decoder"]["bytes"], 40 << 10)

    def test_open_documents_that_fill_the_budget_make_others_wait(self):
        first, second = opening(pdfs())[:2]
        mount = self.mounted("-o", "decode_budget=40K")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            with open(mount(first["path"]), "rb"):
                waiting = pool.submit(read, mount(second["path"]))
                time.sleep(0.5)
                self.assertFalse(waiting.done())
            self.assertTrue(waiting.result(30).startswith(b"%PDF"))
            with open(mount(first["path"]), "rb"):
                self.assertErrno(errno.ENOMEM, open, mount(second["path"]), "rb")
        self.assertTrue(read(mount(second["path"])).startswith(b"%PDF"))

    def test_a_changed_file_is_decoded_anew(self):
        a, b = [e for e in opening(mails()) if e["kind"] == "rpmsg"][:2]
        path = os.path.join(self.dir, "x.rpmsg")
        shutil.copy(os.path.join(self.source, a["path"]), path)
        mount = self.mounted(source=self.dir)
        self.check_eml(read(mount("x.rpmsg")), a["message"])
        shutil.copy(os.path.join(self.source, b["path"]), path)
        time.sleep(1.2)
        self.check_eml(read(mount("x.rpmsg")), b["message"])

    # --- in nobody's way ------------------------------------------------------

    def slow_folder(self, n):
        """`n` mails that are slow to decode, beside files that are not."""
        mail = next(e for e in opening(mails()) if e["kind"] == "msg" and len(e["message"]["attachments"]) > 4)
        for i in range(n):
            shutil.copy(os.path.join(self.source, mail["path"]), os.path.join(self.dir, f"slow{i}.msg"))
        quick = [e for e in opening(entries("pfile", "plain")) if e["compare"] == "bytes"][:40] if n else []
        for i, entry in enumerate(quick):
            suffix = ".pfile" if entry["kind"] == "pfile" else ".dat"
            shutil.copy(os.path.join(self.source, entry["path"]), os.path.join(self.dir, f"quick{i}{suffix}"))
        return quick

    def test_ten_slow_mails_do_not_stop_other_files(self):
        quick = self.slow_folder(10)
        self.assertGreater(len(quick), 10)
        with GatedMount(self.dir, ["--threads=2", "--names=source"], "writes", shut=True) as mount:
            with concurrent.futures.ThreadPoolExecutor(10) as pool:
                slow = [pool.submit(read, mount(f"slow{i}.msg")) for i in range(10)]
                try:
                    # All of them wait, and none goes on.
                    wait_until(lambda: mount.held() > 0 and status(mount)["decoder"]["waiting"] == 10)
                    listed = os.listdir(mount.path)
                    for i, entry in enumerate(quick):
                        name = next(n for n in listed if n.startswith(f"quick{i}."))
                        self.assertEqual(harness.sha256_file(mount(name)), entry["plain_sha256"])
                    self.assertFalse(any(s.done() for s in slow))
                finally:
                    mount.open_gate()
                self.assertEqual(len({sha256(s.result(120)) for s in slow}), 1)
            self.assertEqual(status(mount)["counters"]["decodes"], 10)

    def test_a_reader_that_is_killed_goes_at_once(self):
        self.slow_folder(1)
        with GatedMount(self.dir, ["--threads=2"], "writes", shut=True) as mount:
            reader = subprocess.Popen(["cat", mount("slow0.msg")], stdout=subprocess.DEVNULL)
            wait_until(lambda: mount.held() > 0 and status(mount)["decoder"]["waiting"] == 1)
            self.assertIsNone(reader.poll())
            started = time.monotonic()
            reader.send_signal(signal.SIGTERM)
            self.assertEqual(reader.wait(10), -signal.SIGTERM)
            self.assertLess(time.monotonic() - started, 1)
            wait_until(lambda: status(mount)["decoder"]["waiting"] == 0)

    def test_signals_that_do_not_kill_do_not_disturb(self):
        self.slow_folder(1)
        code = """
import os, signal, sys
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, .05, .05)
size = os.stat(sys.argv[1]).st_size
signal.setitimer(signal.ITIMER_REAL, 0)
print(size)
"""
        with GatedMount(self.dir, ["--threads=2"], "writes", ms=30) as mount:
            done = subprocess.run([sys.executable, "-c", code, mount("slow0.msg")], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(int(done.stdout), len(read(mount("slow0.msg"))))

    def test_the_mount_ends_while_decoding(self):
        self.slow_folder(6)
        with GatedMount(self.dir, ["--threads=2"], "writes", shut=True) as mount:
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                slow = [pool.submit(read, mount(f"slow{i}.msg")) for i in range(6)]
                wait_until(lambda: mount.held() > 0 and status(mount)["decoder"]["waiting"] == 6)
                self.assertFalse(any(s.done() for s in slow))
                started = time.monotonic()
                mount.process.terminate()
                time.sleep(0.3)
                mount.open_gate()
                self.assertEqual(mount.process.wait(20), 0)
                self.assertLess(time.monotonic() - started, 5)
                # All but those that were at their last write on the two threads.
                self.assertGreaterEqual(sum(isinstance(s.exception(10), OSError) for s in slow), 4)


if __name__ == "__main__":
    harness.main()
