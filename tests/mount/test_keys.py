# SPDX-License-Identifier: Apache-2.0
"""Keys at mount time: what is wrong is told in one sentence, and then there is no mount."""

import errno
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import harness

KEYS = os.path.join(harness.FIXTURES, "keys")
SHARE = os.path.join(harness.FIXTURES, "share")


def key_list():
    with open(os.path.join(KEYS, "README.json"), encoding="utf-8") as f:
        return json.load(f)["tpds"]


class Keys(harness.Scratch):
    def refused(self, words, status=3):
        """Runs tpdfs, which must not mount, and gives its message."""
        point = tempfile.mkdtemp(dir=self.dir)
        for foreground in ([], ["-f"]):
            done = subprocess.run([harness.TPDFS, *foreground, *words, SHARE, point], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=harness.TIMEOUT, check=False, start_new_session=True)
            self.assertFalse(os.path.ismount(point))
            self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def copy_key(self, name, mode=0o600):
        for part in (name, name[:-4] + ".password.txt"):
            target = os.path.join(self.dir, os.path.basename(part))
            shutil.copyfile(os.path.join(KEYS, part), target)
            os.chmod(target, mode)
        return os.path.join(self.dir, os.path.basename(name))

    def test_every_bad_key_file_is_refused_without_a_mount(self):
        bad = [k for k in key_list() if k["expect"] != "ok"]
        self.assertGreater(len(bad), 5)
        for key in bad:
            with self.subTest(key["file"]):
                file = os.path.join(KEYS, key["file"])
                message = self.refused(["--key", file, "--password-file", os.path.join(KEYS, key["password_file"])])
                self.assertIn(file, message)
                self.assertNotIn(key["password"], message)
                self.assertEqual(len(message.strip().splitlines()), 1, message)

    def test_every_variant_opens(self):
        for key in key_list():
            if key["expect"] != "ok" or not key["file"].startswith("variants/"):
                continue
            with self.subTest(key["file"]):
                entry = next(e for e in harness.manifest() if e["kind"] == "pfile" and e["open"] and e.get("key_fingerprint") == key["fingerprint"] and e["compare"] == "bytes")
                words = ["--key", os.path.join(KEYS, key["file"]), "--password-file", os.path.join(KEYS, key["password_file"])]
                with harness.Mount(SHARE, words) as mount:
                    self.assertEqual(harness.sha256_file(mount(entry["path"])), entry["plain_sha256"])

    def test_wrong_password_names_file_and_remedy(self):
        file = os.path.join(KEYS, "tpd-cloud.xml")
        password = self.write("password", "nonsense\n")
        os.chmod(password, 0o600)
        message = self.refused(["--key", file, "--password-file", password])
        self.assertIn(file, message)
        self.assertIn("password", message)
        self.assertNotIn("nonsense", message)
        self.assertNotIn(". ", message)

    def test_key_or_password_readable_by_others_is_refused_with_the_remedy(self):
        for loose in ("tpd-cloud.xml", "tpd-cloud.password.txt"):
            with self.subTest(loose):
                file = self.copy_key("tpd-cloud.xml")
                os.chmod(os.path.join(self.dir, loose), 0o640)
                words = ["--key", file, "--password-file", file[:-4] + ".password.txt"]
                message = self.refused(words)
                self.assertIn(os.path.join(self.dir, loose), message)
                self.assertRegex(message, r"chmod|install -m 600")
                with harness.Mount(SHARE, words + ["--allow-insecure-files"]) as mount:
                    self.assertTrue(os.listdir(mount()))

    def test_password_by_descriptor(self):
        file = os.path.join(KEYS, "tpd-cloud.xml")
        entry = next(e for e in harness.manifest() if e["kind"] == "pfile" and e.get("key_role") == "cloud" and e["compare"] == "bytes" and e["open"])
        reader, writer = os.pipe()
        os.write(writer, b"Correct-Horse-7\n")
        os.close(writer)
        os.set_inheritable(reader, True)
        point = tempfile.mkdtemp(dir=self.dir)
        process = subprocess.Popen([harness.TPDFS, "--key", file, "--password-fd", str(reader), SHARE, point], pass_fds=[reader], stderr=subprocess.PIPE)
        os.close(reader)
        try:
            self.assertEqual(process.wait(harness.TIMEOUT), 0, process.stderr)
            self.assertTrue(os.path.ismount(point))
            self.assertEqual(harness.sha256_file(os.path.join(point, entry["path"])), entry["plain_sha256"])
        finally:
            process.stderr.close()
            subprocess.run(["fusermount3", "-u", point], check=False)

    def test_keyring_file_with_current_and_archived_key(self):
        lines = ""
        for name in ("tpd-cloud", "tpd-cloud-archived"):
            file = self.copy_key(name + ".xml")
            lines += f"[{name}]\nfile={os.path.basename(file)}\npassword-file={file[:-4]}.password.txt\n\n"
        keyring = self.write("keyring.conf", lines)
        os.chmod(keyring, 0o644)
        with harness.Mount(SHARE, ["-o", f"keyring={keyring}"]) as mount:
            for role in ("cloud", "archived"):
                entry = next(e for e in harness.manifest() if e["kind"] == "pfile" and e.get("key_role") == role and e["compare"] == "bytes" and e["open"])
                self.assertEqual(harness.sha256_file(mount(entry["path"])), entry["plain_sha256"])
            entry = next(e for e in harness.manifest() if e["kind"] == "pfile" and e.get("key_role") == "onprem" and e["open"])
            self.assertErrno(errno.ENOKEY, open, mount(entry["path"]), "rb")

    def test_a_missing_keyring_or_key_is_told(self):
        for words in (["--keyring", "/nonexistent/keyring.conf"], ["--key", "/nonexistent/key.xml"]):
            self.assertIn("/nonexistent/", self.refused(words))

    def test_a_keyring_that_makes_no_sense_is_told(self):
        keyring = self.write("odd.conf", "[a]\nnonsense\n")
        os.chmod(keyring, 0o600)
        self.assertIn("odd.conf", self.refused(["--keyring", keyring]))

    def test_options_that_are_not_there_are_refused_by_name(self):
        for word in ("policy=rights", "audit=on", "spill", "nonsense=1", "setuid=nobody"):
            with self.subTest(word):
                message = self.refused(["-o", word], status=2)
                self.assertIn(word.split("=")[0], message)


if __name__ == "__main__":
    harness.main()
