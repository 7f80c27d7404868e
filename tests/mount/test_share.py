# SPDX-License-Identifier: Apache-2.0
"""The whole sample share through a real mount, against its manifest."""

import concurrent.futures
import errno
import hashlib
import json
import mmap
import os
import random
import subprocess
import unittest

import harness

KINDS = {"plain", "symlink", "pfile", "office-ooxml", "office-legacy", "xps"}
NAMED = (".pfile", ".ptxt", ".pxml", ".pjpg", ".ppng", ".pbmp", ".ppdf")


def entries(*kinds):
    return [e for e in harness.manifest() if e["kind"] in (kinds or KINDS)]


def shown_name(entry):
    """The path under which the design shows an entry that opens."""
    path, plain = entry["path"], entry.get("plain_name") or entry["path"]
    if not path.lower().endswith(NAMED):
        return path  # only the known extensions are looked at for naming
    if entry.get("plain_path") != entry.get("plain_name"):
        return path + os.path.splitext(plain)[1]  # a collision
    return plain


class Share(harness.Scratch):
    def test_origin_names_the_protected_file(self):
        """Of each file on the mount."""
        asked = {}
        for entry in entries("pfile", "office-ooxml", "office-legacy", "xps"):
            if entry["open"]:
                asked[os.path.join(self.mount.path, shown_name(entry))] = entry
        done = subprocess.run([harness.TPD, "origin", "--json", *asked], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        told = {line["asked"]: line for line in map(json.loads, done.stdout.splitlines())}
        self.assertEqual(set(told), set(asked))
        for path, entry in asked.items():
            with self.subTest(entry["path"]):
                self.assertEqual(told[path]["source_name"], os.path.basename(entry["path"]))
                if entry.get("content_id"):
                    self.assertEqual(told[path]["content_id"], entry["content_id"])

    @classmethod
    def setUpClass(cls):
        cls.source = os.path.join(harness.FIXTURES, "share")
        cls.mount = harness.Mount(cls.source, harness.key_arguments())
        cls.mount.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.mount.stop()

    def listing(self, folder):
        return set(os.listdir(self.mount(folder)))

    def test_every_plain_file_is_the_same_byte_for_byte(self):
        found = 0
        for entry in entries("plain"):
            with self.subTest(entry["path"]):
                path, source = self.mount(entry["path"]), os.path.join(self.source, entry["path"])
                self.assertEqual(harness.sha256_file(path), entry["plain_sha256"])
                a, b = os.stat(path), os.stat(source)
                self.assertEqual((a.st_size, a.st_mtime_ns, a.st_uid, a.st_ino), (b.st_size, b.st_mtime_ns, b.st_uid, b.st_ino))
                self.assertIn(os.path.basename(path), self.listing(os.path.dirname(entry["path"])))
                found += 1
        self.assertGreater(found, 20)

    def test_every_link_reads_as_it_is(self):
        for entry in entries("symlink"):
            self.assertEqual(os.readlink(self.mount(entry["path"])), entry["target"])

    def test_every_protected_file_opens_with_true_name_and_size(self):
        found = 0
        for entry in entries():
            if not (entry["protected"] and entry["open"]):
                continue
            with self.subTest(entry["path"]):
                name = shown_name(entry)
                path = self.mount(name)
                size = os.stat(path).st_size
                with open(path, "rb") as f:
                    data = f.read()
                self.assertEqual(len(data), size)
                if entry["compare"] == "padded":
                    self.assertLessEqual(size - entry["plain_size"], 15)
                    data = data[: entry["plain_size"]]
                self.assertEqual(len(data), entry["plain_size"])
                self.assertEqual(hashlib.sha256(data).hexdigest(), entry["plain_sha256"])
                listed = self.listing(os.path.dirname(name))
                self.assertIn(os.path.basename(name), listed)
                source_name = os.path.basename(entry["path"])
                if os.path.basename(name) != source_name:
                    self.assertNotIn(source_name, listed)
                self.assertEqual(os.stat(path).st_ino, os.stat(self.mount(entry["path"])).st_ino)
                self.assertEqual(os.stat(path).st_mtime_ns, os.stat(os.path.join(self.source, entry["path"])).st_mtime_ns)
                self.assertEqual(os.stat(path).st_mode & 0o222, 0)
                found += 1
        self.assertGreater(found, 60)

    def test_every_other_protected_file_is_refused_with_its_verdict(self):
        found = 0
        for entry in entries():
            if not entry["protected"] or entry["open"]:
                continue
            with self.subTest(entry["path"]):
                path = self.mount(entry["path"])
                classes = [entry["error"]] + (entry.get("error_alt") or [])
                self.assertEqual(os.stat(path).st_size, entry["size"])
                allowed = {harness.ERRNO[c] for c in classes if c in harness.ERRNO}
                if "double key" in (entry.get("notes") or ""):
                    allowed = {errno.ENOKEY}
                try:
                    with open(path, "rb") as f:
                        data = f.read()
                except OSError as e:
                    self.assertIn(e.errno, allowed, errno.errorcode[e.errno])
                else:
                    self.assertIn("not-protected", classes)
                    self.assertEqual(hashlib.sha256(data).hexdigest(), entry["sha256"])
                found += 1
        self.assertGreater(found, 15)

    def test_missing_key_is_told_with_guid_bits_tenant_and_url(self):
        entry = next(e for e in entries("pfile") if e.get("key_role") == "lost")
        self.assertErrno(errno.ENOKEY, open, self.mount(entry["path"]), "rb")
        log = self.mount.log()
        line = next(l for l in log.splitlines() if os.path.basename(entry["path"]) in l)
        for word in (entry["key_guid"], "2048", entry["tenant_id"], entry["urls"][0]):
            self.assertIn(word, line)

    def test_a_hint_is_given_for_the_same_guid_with_another_modulus(self):
        entry = next(e for e in entries("pfile") if e.get("key_role") == "stray")
        self.assertErrno(errno.ENOKEY, open, self.mount(entry["path"]), "rb")
        line = next(l for l in self.mount.log().splitlines() if os.path.basename(entry["path"]) in l)
        self.assertIn("modulus", line)

    def test_xattrs_tell_without_opening(self):
        for entry in entries():
            if not entry["protected"] or not (entry["open"] or entry["error"] == "no-key"):
                continue
            with self.subTest(entry["path"]):
                path = self.mount(entry["path"])

                def get(name):
                    return os.getxattr(path, "user.tpdfs." + name).decode()

                self.assertEqual(get("content_id"), entry["content_id"])
                self.assertEqual(get("rms_owner"), entry["owner"])
                self.assertEqual(get("issued"), entry["issued"])
                self.assertIn(entry["key_guid"], get("key"))
                self.assertEqual(get("source_name"), os.path.basename(entry["path"]))
                self.assertEqual(int(get("source_size")), entry["size"])
                self.assertIn(get("verdict"), ("ok", "key-held") if entry["open"] else ("no-key", "damaged", "unsupported", "double-key", "key-held"))
                names = entry.get("template_names") or {}
                if names:
                    self.assertIn(get("template"), names.values())
        plain = entries("plain")[0]
        self.assertFalse([n for n in os.listxattr(self.mount(plain["path"])) if n.startswith("user.tpdfs.")])

    def test_readers_of_every_kind_see_the_same_bytes(self):
        chosen = [e for e in entries() if e["protected"] and e["open"] and e["compare"] == "bytes" and e["plain_size"] > 4096 and e["plain_path"]]
        self.assertGreater(len(chosen), 10)
        rng = random.Random(1)
        for entry in chosen:
            with self.subTest(entry["path"]):
                path = self.mount(shown_name(entry))
                plain = os.path.join(harness.FIXTURES, "plain", entry["plain_path"])
                with open(plain, "rb") as f:
                    expected = f.read()
                subprocess.run(["cmp", path, plain], check=True)
                done = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True)
                self.assertEqual(done.stdout.split()[0].lstrip("\\"), entry["plain_sha256"])
                fd = os.open(path, os.O_RDONLY)
                for _ in range(40):
                    off, size = rng.randrange(len(expected) + 20), rng.randrange(1, 9000)
                    self.assertEqual(os.pread(fd, size, off), expected[off : off + size])
                with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as m:
                    self.assertEqual(m[:], expected)
                os.close(fd)
                for block, skip in ((1, 4095), (7, 585), (511, 8), (4097, 1)):
                    done = subprocess.run(["dd", f"if={path}", f"bs={block}", f"skip={skip}", "count=3", "status=none"], check=True, capture_output=True)
                    self.assertEqual(done.stdout, expected[block * skip : block * (skip + 3)])

    def test_direct_reads_bypassing_the_page_cache_agree(self):
        entry = max((e for e in entries() if e["protected"] and e["open"] and e["compare"] == "bytes" and e["plain_path"]), key=lambda e: e["plain_size"])
        path = self.mount(shown_name(entry))
        done = subprocess.run(["dd", f"if={path}", "bs=4096", "iflag=direct", "status=none"], capture_output=True, check=False)
        if done.returncode != 0 and b"Invalid argument" in done.stderr:
            self.skipTest("O_DIRECT is not offered by this kernel")
        self.assertEqual(hashlib.sha256(done.stdout).hexdigest(), entry["plain_sha256"])

    def test_many_readers_at_once(self):
        chosen = [e for e in entries() if e["protected"] and e["open"] and e["compare"] == "bytes"]
        with harness.Mount(self.source, harness.key_arguments()) as fresh:
            def digest(entry):
                return entry, harness.sha256_file(fresh(shown_name(entry)))

            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                for entry, found in pool.map(digest, chosen * 4):
                    self.assertEqual(found, entry["plain_sha256"], entry["path"])

    def test_two_mounts_and_the_tool_give_the_same_bytes(self):
        chosen = [e for e in entries() if e["protected"] and e["open"]][::5]
        with harness.Mount(self.source, harness.key_arguments()) as other:
            for entry in chosen:
                with self.subTest(entry["path"]):
                    tool = subprocess.run([harness.TPD, "cat", *harness.key_arguments(), os.path.join(self.source, entry["path"])], capture_output=True, check=True)
                    name = shown_name(entry)
                    self.assertEqual(hashlib.sha256(tool.stdout).hexdigest(), harness.sha256_file(other(name)))
                    self.assertEqual(harness.sha256_file(other(name)), harness.sha256_file(self.mount(name)))

    def test_status_folder_is_there_but_not_listed(self):
        self.assertNotIn(".tpdfs", os.listdir(self.mount()))
        with open(self.mount(".tpdfs", "status.json"), encoding="utf-8") as f:
            status = json.load(f)
        self.assertIsInstance(status, dict)
        self.assertEqual(os.stat(self.mount(".tpdfs")).st_mode & 0o777, 0o500)

    def test_names_source_lists_the_source_names(self):
        with harness.Mount(self.source, harness.key_arguments() + ["-o", "names=source"]) as mount:
            for folder, folders, files in os.walk(self.source):
                inside = mount(os.path.relpath(folder, self.source))
                self.assertEqual(set(os.listdir(inside)), set(folders) | set(files))
            entry = next(e for e in entries("pfile") if e["open"] and e["compare"] == "bytes")
            self.assertEqual(harness.sha256_file(mount(entry["path"])), entry["plain_sha256"])

    def test_without_keys_protected_files_answer_enokey(self):
        with harness.Mount(self.source, ["--keyring", self.write("empty.conf", "")]) as mount:
            for entry in entries("pfile"):
                if entry["open"]:
                    with self.subTest(entry["path"]):
                        self.assertEqual(os.stat(mount(entry["path"])).st_mtime_ns, os.stat(os.path.join(self.source, entry["path"])).st_mtime_ns)
                        self.assertErrno(errno.ENOKEY, open, mount(entry["path"]), "rb")
            plain = entries("plain")[0]
            self.assertEqual(harness.sha256_file(mount(plain["path"])), plain["plain_sha256"])

    def test_unreadable_raw_hands_out_ciphertext_under_the_source_name(self):
        with harness.Mount(self.source, harness.key_arguments() + ["-o", "unreadable=raw"]) as mount:
            for entry in entries("pfile"):
                if entry["open"] or entry["error"] != "no-key":
                    continue
                with self.subTest(entry["path"]):
                    self.assertIn(os.path.basename(entry["path"]), os.listdir(mount(os.path.dirname(entry["path"]))))
                    self.assertEqual(harness.sha256_file(mount(entry["path"])), entry["sha256"])

    def test_errors_eacces_for_reexport(self):
        with harness.Mount(self.source, harness.key_arguments() + ["-o", "errors=eacces"]) as mount:
            for entry in entries("pfile"):
                if not entry["open"] and "not-protected" not in [entry["error"]] + (entry.get("error_alt") or []):
                    with self.subTest(entry["path"]):
                        self.assertErrno(errno.EACCES, open, mount(entry["path"]), "rb")


if __name__ == "__main__":
    harness.main()
