# SPDX-License-Identifier: Apache-2.0
"""Decrypted Office documents open in headless LibreOffice, read through the mount.

Slow and large to install, so not part of scripts/test; run scripts/test-slow."""

import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mount"))

import harness  # noqa: E402

OFFICE = {".doc", ".docx", ".docm", ".dotx", ".xls", ".xlsx", ".xlsm", ".ppt", ".pptx", ".pptm", ".dot", ".xlt", ".pps"}


def convert(office, files, out):
    """Converts `files` to PDF in one run of LibreOffice; the names that came out."""
    profile = os.path.join(out, "profile")
    os.makedirs(out, exist_ok=True)
    subprocess.run(
        [office, f"-env:UserInstallation=file://{profile}", "--headless", "--convert-to", "pdf", "--outdir", out, *files],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600, check=False)
    return {name for name in os.listdir(out) if name.endswith(".pdf") and os.path.getsize(os.path.join(out, name)) > 500}


class LibreOffice(harness.Scratch):
    def test_decrypted_documents_open(self):
        office = shutil.which("soffice")
        if office is None:
            self.skipTest("LibreOffice is not installed")
        entries = [e for e in harness.manifest()
                   if e["kind"] in ("office-ooxml", "office-legacy") and e["open"] and e["plain_path"]
                   and os.path.splitext(e["path"])[1].lower() in OFFICE]
        self.assertGreater(len(entries), 20)
        # The same documents as they were before protection say what LibreOffice makes of them at all.
        reference, decrypted = os.path.join(self.dir, "reference"), os.path.join(self.dir, "decrypted")
        with harness.Mount(os.path.join(harness.FIXTURES, "share"), harness.key_arguments()) as mount:
            for folder in (reference, decrypted):
                os.mkdir(folder)
            for n, entry in enumerate(entries):
                name = f"{n:03d}{os.path.splitext(entry['path'])[1].lower()}"
                shutil.copyfile(os.path.join(harness.FIXTURES, "plain", entry["plain_path"]), os.path.join(reference, name))
                os.symlink(mount(entry["path"]), os.path.join(decrypted, name))
            inputs = lambda folder: [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
            wanted = convert(office, inputs(reference), os.path.join(self.dir, "out-reference"))
            found = convert(office, inputs(decrypted), os.path.join(self.dir, "out-decrypted"))
        print(f"{len(found)} of {len(entries)} documents converted", file=sys.stderr)
        self.assertGreater(len(wanted), 20)
        self.assertEqual(found, wanted)


if __name__ == "__main__":
    harness.main()
