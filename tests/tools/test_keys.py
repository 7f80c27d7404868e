#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd keys, and what every command says of keys it cannot load."""
import os
import shutil
import unittest

import tool

GOOD = [key for key in tool.KEY_LIST["tpds"] if key["expect"] == "ok"]
BAD = [key for key in tool.KEY_LIST["tpds"] if key["expect"] != "ok"]


def key_options(file):
    return ["--key", tool.KEYS / file, "--password-file", tool.password_file(file)]


class Report(unittest.TestCase):
    maxDiff = None

    def test_each_tpd_is_described(self):
        for key in GOOD:
            with self.subTest(key["file"]):
                result = tool.run("keys", "--json", *key_options(key["file"]))
                self.assertEqual(result.status, 0, result.stderr)
                [shown] = result.objects()
                self.assertEqual(shown["guid"], key["guid"])
                self.assertEqual(shown["fingerprint"], key["fingerprint"])
                self.assertEqual(shown["bits"], key["bits"])
                self.assertEqual(shown["crypto_mode"], key["crypto_mode"])
                self.assertEqual(shown["state"], "keyless" if key["keyless"] else "held")
                self.assertEqual(shown["licensor_name"], key["slc_name"])
                self.assertEqual(shown["origin"], "tpd")
                self.assertEqual(shown["path"], str(tool.KEYS / key["file"]))
                if "kdf_key" not in key:
                    self.assertEqual(shown["kdf"], key["kdf"])
                self.assertEqual([(t["guid"], t["names"]) for t in shown["templates"]],
                                 [(t["guid"], t["names"]) for t in key["templates"]])
                self.assertTrue(shown["urls"])

    def test_keyless_tpd_and_its_private_key_become_one(self):
        result = tool.run("keys", "--json", *key_options("tpd-hsm-keyless.xml"), "--key",
                          tool.KEYS / "tpd-hsm-key.pem")
        self.assertEqual(result.status, 0, result.stderr)
        [shown] = result.objects()
        self.assertEqual((shown["state"], shown["licensor_name"]), ("held", "Contoso Ltd HSM"))

    def test_private_key_alone(self):
        [shown] = tool.run("keys", "--json", "--key", tool.KEYS / "tpd-hsm-key.pem").objects()
        [expected] = [key for key in tool.KEY_LIST["keys"] if key["file"] == "tpd-hsm-key.pem"]
        self.assertEqual((shown["fingerprint"], shown["bits"]), (expected["fingerprint"], expected["bits"]))
        self.assertEqual((shown["state"], shown["guid"], shown["templates"]), ("held", None, []))

    def test_text_says_the_same(self):
        result = tool.run("keys", *key_options("tpd-mode1-v1compatible.xml"), env={"LANGUAGE": "ja"})
        text = result.stdout.decode("utf-8")
        self.assertEqual(result.status, 0, result.stderr)
        for value in ("049205e9-8712-4b6f-88d0-f52eecff64b5", "1024 bits, crypto mode 1", "RMS 1.0 (weak",
                      "RMS-OLD", "Contoso - 社外秘", "State:", "held"):
            self.assertIn(value, text)

    def test_keyring_of_the_user_is_the_default(self):
        config = tool.SCRATCH / "config"
        (config / "tpdfs").mkdir(parents=True)
        shutil.copy(tool.KEYRING, config / "tpdfs" / "keyring.conf")
        result = tool.run("keys", "--json", env={"XDG_CONFIG_HOME": str(config)})
        self.assertEqual(result.status, 0, result.stderr)
        self.assertEqual(len(result.objects()), len(tool.LOADED) - 1)

    def test_password_from_a_descriptor(self):
        read_end, write_end = os.pipe()
        os.write(write_end, b"Correct-Horse-7\n")
        os.close(write_end)
        result = tool.run("keys", "--json", "--key", tool.KEYS / "tpd-cloud.xml", "--password-fd", str(read_end),
                          pass_fds=[read_end])
        os.close(read_end)
        self.assertEqual(result.status, 0, result.stderr)


class Refused(unittest.TestCase):
    def check(self, result, status, *words):
        self.assertEqual((result.status, result.stdout), (status, b""), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_no_key_configured(self):
        self.check(tool.run("keys", "--keyring", tool.NO_KEYS), 3, "--key")

    def test_bad_key_files(self):
        for key in BAD:
            with self.subTest(key["file"]):
                for command in (["keys"], ["cat", tool.SHARE / tool.PLAIN[0]["path"]]):
                    self.check(tool.run(command[0], *key_options(key["file"]), *command[1:]), 3,
                               os.path.basename(key["file"]))

    def test_wrong_password_names_file_and_remedy(self):
        result = tool.run("keys", "--key", tool.KEYS / "tpd-cloud.xml", "--password-file",
                          tool.password_file("tpd-onprem.xml"))
        self.check(result, 3, "tpd-cloud.xml", "password")
        self.assertNotIn("P@ssw0rd", result.stderr)

    def test_missing_files(self):
        self.check(tool.run("keys", "--key", tool.SCRATCH / "no.xml"), 3, "no.xml", "No such file")
        self.check(tool.run("keys", "--key", tool.KEYS / "tpd-cloud.xml", "--password-file", tool.SCRATCH / "no.txt"),
                   3, "no.txt", "No such file")

    def test_files_that_others_can_read(self):
        for name in ("tpd-cloud.xml", "tpd-cloud.password.txt"):
            with self.subTest(name):
                folder = tool.SCRATCH / f"insecure-{name}"
                folder.mkdir()
                for file in ("tpd-cloud.xml", "tpd-cloud.password.txt"):
                    shutil.copy(tool.KEYS / file, folder)
                    (folder / file).chmod(0o600)
                (folder / name).chmod(0o644)
                options = ["--key", folder / "tpd-cloud.xml", "--password-file", folder / "tpd-cloud.password.txt"]
                self.check(tool.run("keys", *options), 3, str(folder / name), "600")
                self.assertEqual(tool.run("keys", "--allow-insecure-files", *options).status, 0)
                self.assertEqual(tool.run("keys", *options, "--allow-insecure-files").status, 0)

    def test_no_password_and_no_terminal(self):
        self.check(tool.run("keys", "--key", tool.KEYS / "tpd-cloud.xml"), 3, "--password-file")

    def test_keyring_with_an_unknown_word(self):
        keyring = tool.write_private("word.conf", f"[a]\nfile={tool.KEYS / 'tpd-cloud.xml'}\npasswordfile=x\n")
        self.check(tool.run("keys", "--keyring", keyring), 3, "word.conf", "[a]", "passwordfile")

    def test_keyring_that_is_missing_or_no_keyring(self):
        """As tpdfs has it: no usable key, not a wrong command."""
        self.check(tool.run("keys", "--keyring", tool.SCRATCH / "gone.conf"), 3, "gone.conf")
        self.check(tool.run("keys", "--keyring", tool.write_private("odd.conf", "[a]\nnonsense\n")), 3, "odd.conf")
        self.check(tool.run("keys", "--password-file", "p"), 2, "--key")

    def test_keyring_that_others_can_write(self):
        keyring = tool.write_private("shared.conf", "")
        keyring.chmod(0o666)
        self.check(tool.run("keys", "--keyring", keyring), 3, "shared.conf", "chmod")


if __name__ == "__main__":
    unittest.main()
