#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd registry writes what regedit takes, byte for byte."""
import os
import stat
import unittest

import tool

OLD = "https://99dc6834-fe7d-4d02-b4b1-37964d8faac3.rms.eu.aadrm.com/_wmcs/licensing"
NEW = "https://rms.new.example/_wmcs"

# Written by hand, after what Microsoft's migration scripts set.
REDIRECTION = (
    "Windows Registry Editor Version 5.00\r\n"
    "\r\n"
    "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\MSIPC\\ServiceLocation\\EnterpriseCertification]\r\n"
    '@="https://rms.new.example/_wmcs/certification"\r\n'
    "\r\n"
    "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\MSIPC\\ServiceLocation\\EnterprisePublishing]\r\n"
    '@="https://rms.new.example/_wmcs/licensing"\r\n'
    "\r\n"
    "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\MSIPC\\ServiceLocation\\LicensingRedirection]\r\n"
    '"https://99dc6834-fe7d-4d02-b4b1-37964d8faac3.rms.eu.aadrm.com/_wmcs/licensing"='
    '"https://rms.new.example/_wmcs/licensing"\r\n'
    "\r\n"
    "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Wow6432Node\\Microsoft\\MSIPC\\ServiceLocation\\EnterpriseCertification]\r\n"
    '@="https://rms.new.example/_wmcs/certification"\r\n'
    "\r\n"
    "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Wow6432Node\\Microsoft\\MSIPC\\ServiceLocation\\EnterprisePublishing]\r\n"
    '@="https://rms.new.example/_wmcs/licensing"\r\n'
    "\r\n"
    "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Wow6432Node\\Microsoft\\MSIPC\\ServiceLocation\\LicensingRedirection]\r\n"
    '"https://99dc6834-fe7d-4d02-b4b1-37964d8faac3.rms.eu.aadrm.com/_wmcs/licensing"='
    '"https://rms.new.example/_wmcs/licensing"\r\n'
    "\r\n")
CREATION = (
    "Windows Registry Editor Version 5.00\r\n"
    "\r\n"
    "[HKEY_CURRENT_USER\\Software\\Policies\\Microsoft\\Office\\16.0\\Common\\DRM]\r\n"
    '"DisableCreation"=dword:00000001\r\n'
    "\r\n")


def utf16(text):
    return b"\xff\xfe" + text.encode("utf-16-le")


class Registry(unittest.TestCase):
    def setUp(self):
        self.file = tool.SCRATCH / (self.id().rsplit(".", 1)[-1] + ".reg")

    def registry(self, *options, keys=("tpd-cloud.xml",)):
        keyring = tool.write_keyring("registry.conf", keys)
        return tool.run("registry", "--keyring", keyring, *options)

    def redirected(self, *options, **more):
        result = self.registry("--json", "--redirect-to", "https://new.example", *options, **more)
        self.assertEqual(result.status, 0, result.stderr)
        return [value["name"] for value in result.objects() if value["path"].endswith("Redirection")
                and "Wow6432Node" not in value["path"]]

    def test_redirection(self):
        for url in ("https://rms.new.example", "https://rms.new.example/", NEW, NEW + "/", NEW + "/licensing",
                    NEW + "/licensing/"):
            result = self.registry("--redirect-to", url, "--reg", self.file)
            self.assertEqual((result.status, result.stdout, result.stderr), (0, b"", ""), url)
            self.assertEqual(self.file.read_bytes(), utf16(REDIRECTION), url)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertEqual([name for name in os.listdir(tool.SCRATCH) if ".reg." in name], [])

    def test_disable_creation(self):
        result = self.registry("--disable-creation", "--reg", self.file, keys=())
        self.assertEqual((result.status, result.stderr), (0, ""))
        self.assertEqual(self.file.read_bytes(), utf16(CREATION))

    def test_both(self):
        self.registry("--redirect-to", NEW, "--disable-creation", "--reg", self.file)
        self.assertEqual(self.file.read_bytes(), utf16(REDIRECTION + CREATION.split("\r\n\r\n", 1)[1]))

    def test_text(self):
        result = self.registry("--redirect-to", NEW, "--disable-creation")
        text = result.stdout.decode()
        self.assertEqual((result.status, result.stderr), (0, ""))
        self.assertIn(f"    {OLD} = {NEW}/licensing\n", text)
        self.assertIn(f"ServiceLocation\\EnterpriseCertification\n    (Default) = {NEW}/certification\n", text)
        self.assertIn("    DisableCreation = 1 (DWORD)\n", text)

    def test_every_key_once_in_both_forms(self):
        self.assertEqual(self.redirected(keys=tool.LOADED), [
            OLD, "https://rms.contoso.example/_wmcs/licensing", "HTTP://rms-old:80/_wmcs/licensing",
            "http://rms-old/_wmcs/licensing", "https://hsm-rms.contoso.example/_wmcs/licensing"])

    def test_from(self):
        self.assertEqual(self.redirected("--from", "https://RMS.old.example:443/_wmcs/licensing", keys=()),
                         ["https://RMS.old.example:443/_wmcs/licensing", "https://rms.old.example/_wmcs/licensing"])
        [once] = self.redirected("--from", OLD.upper().replace("HTTPS", "https"))
        self.assertEqual(once.lower(), OLD)

    def test_wrong_addresses(self):
        for url in ("", "rms.new.example", "ftp://rms.new.example", "https://", "https:///x", "https://a b",
                    "https://new.example/x", 'https://a"b', "https://a\\b", "https://a\r\n[HKEY]", "https://a/_wmcsx",
                    "https://user@host/_wmcs", "https://a/_wmcs?x", "https://\u00e4.example", "https://a\x1b[2J",
                    "https://" + "a" * 2000):
            for option in (("--redirect-to", url), ("--redirect-to", NEW, "--from", url)):
                result = self.registry(*option)
                self.assertEqual((result.status, result.stdout), (2, b""), option)
                self.assertNotIn("\x1b", result.stderr)

    def test_usage(self):
        self.assertEqual(self.registry().status, 2)
        self.assertEqual(self.registry("--disable-creation", "--from", OLD).status, 2)
        self.assertEqual(self.registry("--redirect-to", NEW, "file").status, 2)
        result = self.registry("--redirect-to", NEW, keys=())
        self.assertEqual((result.status, result.stdout), (3, b""))
        self.assertIn("--from", result.stderr)
        result = self.registry("--disable-creation", "--reg", tool.SCRATCH / "no" / "x.reg")
        self.assertEqual((result.status, result.stdout), (1, b""))
        self.assertIn("x.reg", result.stderr)


if __name__ == "__main__":
    unittest.main()
