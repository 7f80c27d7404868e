#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Protected files through the mount: sizes, names, refusals, and change underneath."""
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import unittest

import mountlib
from mountlib import FIXTURES, MountTest, wait_until

KEYS = os.path.join(FIXTURES, "keys")


def manifest():
    with open(os.path.join(FIXTURES, "manifest.json"), encoding="utf-8") as f:
        return json.load(f)["files"]


@unittest.skipUnless(os.path.isdir(KEYS), "TPD_FIXTURES is not set")
class ProtectedTest(MountTest):
    def setUp(self):
        super().setUp()
        self.keys = os.path.join(self.top, "keys")
        os.mkdir(self.keys)
        for name in ("tpd-cloud.xml", "tpd-cloud.password.txt"):
            shutil.copyfile(os.path.join(KEYS, name), os.path.join(self.keys, name))
            os.chmod(os.path.join(self.keys, name), 0o600)
        self.key = ["--key", os.path.join(self.keys, "tpd-cloud.xml"),
                    "--password-file", os.path.join(self.keys, "tpd-cloud.password.txt")]
        files = [f for f in manifest() if f["kind"] == "pfile" and f.get("key_role") == "cloud" and f["open"]
                 and f["compare"] == "bytes" and f["path"].endswith(".txt.pfile")]
        # The size of these is in clear, so that a look at them unwraps nothing.
        files = [f for f in files if f["container"].get("original_size") == "true" and f["plain_size"] > 0]
        self.entry = max(files, key=lambda f: f["plain_size"])
        self.others = [f for f in files if f is not self.entry]
        self.foreign = next(f for f in manifest() if f["kind"] == "pfile" and f.get("error") == "no-key")

    def put_fixture(self, entry, name):
        shutil.copy2(os.path.join(FIXTURES, "share", entry["path"]), self.source_path(name))

    def assert_plain(self, name, entry):
        content = self.get(name)
        self.assertEqual(len(content), entry["plain_size"])
        self.assertEqual(hashlib.sha256(content).hexdigest(), entry["plain_sha256"])


class Reading(ProtectedTest):
    def test_extra_extensions_are_looked_at_only_when_given(self):
        self.put_fixture(self.entry, "plan.pdwg")
        self.put("other.pdwg", b"no protected file")
        self.mount(*self.key)
        self.assertEqual(sorted(os.listdir(self.mnt)), ["other.pdwg", "plan.pdwg"])
        self.assert_plain("plan.pdwg", self.entry)
        self.unmount()
        self.mount(*self.key, "-o", "pext=dwg")
        self.assertEqual(sorted(os.listdir(self.mnt)), ["other.pdwg", "plan.txt"])
        self.assert_plain("plan.txt", self.entry)
        self.assertEqual(self.get("other.pdwg"), b"no protected file")

    def test_both_names_lead_to_one_inode(self):
        self.put_fixture(self.entry, "x.txt.pfile")
        self.mount(*self.key)
        self.assertEqual(os.listdir(self.mnt), ["x.txt"])
        shown, source = os.stat(self.path("x.txt")), os.stat(self.path("x.txt.pfile"))
        self.assertEqual(shown.st_ino, source.st_ino)
        self.assertEqual((shown.st_size, source.st_size), (self.entry["plain_size"],) * 2)
        self.assertEqual(shown.st_mtime_ns, os.stat(self.source_path("x.txt.pfile")).st_mtime_ns)
        self.assert_plain("x.txt", self.entry)
        self.assert_plain("x.txt.pfile", self.entry)
        self.unmount()
        self.mount(*self.key, "--names=source")
        self.assertEqual(os.listdir(self.mnt), ["x.txt.pfile"])
        self.assert_errno(errno.ENOENT, os.stat, self.path("x.txt"))

    def test_sizes_of_a_listing_are_those_of_the_content(self):
        """READDIRPLUS never sends a size that a read then disproves."""
        shutil.copytree(os.path.join(FIXTURES, "share"), self.source_path("share"), symlinks=True)
        self.mount(*self.key)
        for top, _, _ in os.walk(self.mnt):
            sizes = {e.path: e.stat(follow_symlinks=False).st_size for e in os.scandir(top) if e.is_file(follow_symlinks=False)}
            for path, size in sizes.items():
                try:
                    with open(path, "rb") as f:
                        self.assertEqual(len(f.read()), size, path)
                except OSError as error:
                    self.assertIn(error.errno, (errno.ENOKEY, errno.EBADMSG, errno.EOPNOTSUPP), path)

    def test_second_open_is_served_from_the_page_cache(self):
        self.put_fixture(self.entry, "x.txt.pfile")
        self.mount(*self.key)
        self.assert_plain("x.txt", self.entry)
        before = self.status()["counters"]
        self.assert_plain("x.txt", self.entry)
        after = self.status()["counters"]
        self.assertEqual(after["bytes_decrypted"], before["bytes_decrypted"])
        self.assertEqual(after["opens_protected"], before["opens_protected"] + 1)

    def test_many_openers_at_once(self):
        for i, entry in enumerate(self.others[:6]):
            self.put_fixture(entry, f"f{i}.txt.pfile")
        self.mount(*self.key)
        errors = []

        def reader():
            try:
                for _ in range(30):
                    for i, entry in enumerate(self.others[:6]):
                        self.assert_plain(f"f{i}.txt", entry)
            except (OSError, AssertionError) as error:
                errors.append(error)

        threads = [threading.Thread(target=reader) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])

    def test_xattrs_tell_without_unwrapping(self):
        self.put_fixture(self.entry, "x.txt.pfile")
        self.put_fixture(self.foreign, "lost.txt.pfile")
        self.put_fixture({"path": "Finance/2019/budget v2-355.ptxt"}, "labelled.txt.pfile")
        self.put("plain.txt", b"plain")
        self.mount(*self.key)
        value = lambda name, word: os.getxattr(self.path(name), "user.tpdfs." + word).decode()
        self.assertEqual(os.listxattr(self.path("plain.txt")), [])
        self.assertEqual(value("x.txt", "kind"), "pfile")
        self.assertEqual(value("x.txt", "verdict"), "key-held")
        self.assertEqual(value("x.txt", "source_name"), "x.txt.pfile")
        self.assertEqual(int(value("x.txt", "source_size")), self.entry["size"])
        self.assertEqual(value("x.txt", "key"), self.entry["key_guid"])
        self.assertEqual(value("x.txt", "content_id").strip("{}").lower(), self.entry["content_id"].strip("{}").lower())
        self.assert_errno(errno.ENODATA, value, "x.txt", "cipher")
        self.assertEqual(value("labelled.txt", "label"), "78b44d85-e322-4103-8843-8b9a2178a182")
        self.assertEqual(value("lost.txt", "verdict"), "no-key")
        self.assertEqual(value("lost.txt", "key"), self.foreign["key_guid"])
        self.get("x.txt")
        self.assertEqual(value("x.txt", "verdict"), "ok")
        self.assertTrue(value("x.txt", "cipher").startswith("aes-"))
        for name in os.listxattr(self.path("x.txt")):
            self.assertTrue(os.getxattr(self.path("x.txt"), name))


class Refusing(ProtectedTest):
    def test_missing_key(self):
        self.put_fixture(self.foreign, "lost.txt.pfile")
        self.put_fixture(self.entry, "x.txt.pfile")
        self.mount_in_foreground(*self.key)
        for _ in range(3):
            self.assert_errno(errno.ENOKEY, open, self.path("lost.txt"), "rb")
        self.assertEqual(os.stat(self.path("lost.txt")).st_size, self.foreign["size"])
        self.assert_plain("x.txt", self.entry)
        lines = [json.loads(line) for line in self.get(".tpdfs/unreadable.jsonl").splitlines()]
        self.assertEqual([(line["path"], line["verdict"]) for line in lines], [("lost.txt.pfile", "no-key")])
        log = [line for line in self.unmount().splitlines() if "lost.txt.pfile" in line]
        self.assertEqual(len(log), 1, log)
        self.assertIn("no-key", log[0])
        self.assertIn(self.foreign["key_guid"], log[0])

    def test_no_keys_at_all(self):
        self.put_fixture(self.entry, "x.txt.pfile")
        self.put("plain", b"plain")
        self.mount()
        self.assertEqual(self.get("plain"), b"plain")
        self.assertEqual(os.stat(self.path("x.txt")).st_size, self.entry["size"])
        self.assert_errno(errno.ENOKEY, open, self.path("x.txt"), "rb")

    def test_one_errno_for_re_export(self):
        self.put_fixture(self.foreign, "lost.txt.pfile")
        self.mount("-o", "errors=eacces")
        self.assert_errno(errno.EACCES, open, self.path("lost.txt"), "rb")

    def test_raw_shows_what_cannot_be_opened_as_it_is(self):
        self.put_fixture(self.foreign, "lost.txt.pfile")
        self.put_fixture(self.entry, "x.txt.pfile")
        self.mount(*self.key, "-o", "unreadable=raw")
        self.assertEqual(sorted(os.listdir(self.mnt)), ["lost.txt.pfile", "x.txt"])
        with open(self.source_path("lost.txt.pfile"), "rb") as f:
            self.assertEqual(self.get("lost.txt.pfile"), f.read())
        self.assert_plain("x.txt", self.entry)

    def test_cut_file_does_not_disturb_its_neighbour(self):
        self.put_fixture(self.entry, "x.txt.pfile")
        self.put_fixture(self.entry, "cut.txt.pfile")
        os.truncate(self.source_path("cut.txt.pfile"), 300)
        self.mount(*self.key)
        with self.assertRaises(OSError) as caught:
            self.get("cut.txt.pfile")
        self.assertEqual(caught.exception.errno, errno.EBADMSG)
        self.assert_plain("x.txt", self.entry)

    def test_key_file_that_others_can_read(self):
        os.chmod(os.path.join(self.keys, "tpd-cloud.xml"), 0o644)
        result = self.run_tpdfs(*self.key, self.src, self.mnt)
        self.assertEqual(result.returncode, 3)
        self.assertIn("tpd-cloud.xml", result.stderr)
        self.assertIn("install -m 600", result.stderr)
        self.mount(*self.key, "--allow-insecure-files")

    def test_wrong_password(self):
        with open(os.path.join(self.keys, "tpd-cloud.password.txt"), "w") as f:
            f.write("wrong")
        result = self.run_tpdfs(*self.key, self.src, self.mnt)
        self.assertEqual(result.returncode, 3)
        self.assertIn("tpd-cloud.xml", result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertFalse(mountlib.is_mounted(self.mnt))

    def test_password_from_a_descriptor(self):
        self.put_fixture(self.entry, "x.txt.pfile")
        with open(os.path.join(self.keys, "tpd-cloud.password.txt"), "rb") as f:
            self.mount(*self.key[:2], "--password-fd", str(f.fileno()), pass_fds=[f.fileno()])
        self.assert_plain("x.txt", self.entry)


class Change(ProtectedTest):
    def test_change_while_open_is_an_error_never_a_mix(self):
        self.put_fixture(self.entry, "x.txt.pfile")
        self.mount(*self.key, "-o", "cache=never")
        with open(self.path("x.txt"), "rb", buffering=0) as f:
            self.assertEqual(len(f.read(16)), 16)
            with open(self.source_path("x.txt.pfile"), "r+b") as source:
                source.seek(-1, os.SEEK_END)
                source.write(b"?")
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.assert_errno(errno.EIO, os.pread, f.fileno(), 16, 0)

    def test_replaced_by_another_protected_file(self):
        first, second = self.others[0], self.others[1]
        self.put_fixture(first, "x.txt.pfile")
        self.mount(*self.key)
        self.assert_plain("x.txt", first)
        for i in range(6):
            entry = (second, first)[i % 2]
            self.put_fixture(entry, "new")
            os.rename(self.source_path("new"), self.source_path("x.txt.pfile"))
            self.assert_plain("x.txt.pfile", entry)

    def test_written_in_place_with_another_protected_file(self):
        first, second = self.others[0], self.others[1]
        self.put_fixture(first, "x.txt.pfile")
        self.mount(*self.key)
        for i in range(6):
            entry = (second, first)[i % 2]
            time.sleep(0.02)
            self.put_fixture(entry, "x.txt.pfile")
            self.assert_plain("x.txt", entry)

    def test_plain_content_under_a_protected_name(self):
        self.put_fixture(self.entry, "x.txt.pfile")
        self.mount(*self.key, "-o", "cache=never")
        self.assertEqual(os.listdir(self.mnt), ["x.txt"])
        with open(self.source_path("x.txt.pfile"), "wb") as f:
            f.write(b"no longer protected")
        self.assertEqual(os.listdir(self.mnt), ["x.txt.pfile"])
        self.assertEqual(self.get("x.txt.pfile"), b"no longer protected")
        self.assert_errno(errno.ENOENT, os.stat, self.path("x.txt"))

    def test_collision_comes_and_goes(self):
        self.put_fixture(self.entry, "x.txt.pfile")
        self.mount(*self.key, "-o", "cache=never")
        self.put("x.txt", b"was here first")
        self.assertEqual(sorted(os.listdir(self.mnt)), ["x.txt", "x.txt.pfile.txt"])
        self.assertEqual(self.get("x.txt"), b"was here first")
        self.assert_plain("x.txt.pfile.txt", self.entry)
        os.unlink(self.source_path("x.txt"))
        self.assert_plain("x.txt", self.entry)

    def test_agent_gone(self):
        """Without the agent nothing new opens, and the mount stays."""
        self.put_fixture(self.entry, "x.txt.pfile")
        self.put("plain", b"plain")
        self.mount(*self.key)
        os.kill(self.status()["agent_pid"], signal.SIGKILL)
        self.assert_errno(errno.EIO, open, self.path("x.txt"), "rb")
        self.assertEqual(self.get("plain"), b"plain")

    def test_agent_ends_with_the_mount(self):
        self.mount(*self.key)
        agent = self.status()["agent_pid"]
        self.assertTrue(mountlib.is_running(agent))
        self.unmount()
        self.assertTrue(wait_until(lambda: not mountlib.is_running(agent)))
        self.mount(*self.key)
        agent = self.status()["agent_pid"]
        os.kill(self.pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not mountlib.is_running(agent)))
        self.assert_errno(errno.ENOTCONN, os.listdir, self.mnt)
        result = subprocess.run(["fusermount3", "-u", self.mnt], check=False, timeout=20)
        self.assertEqual(result.returncode, 0)


if __name__ == "__main__":
    mountlib.main()
