#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd show tells the sensitivity label of a file, encrypted or not."""
import io
import pathlib
import struct
import sys
import unittest
import zipfile

import tool

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fuzz"))
import olemaker
import opener

LABEL = "074e257c-5848-4582-9a6f-34a182080e71"
OTHER = "d9f23ae3-a239-45ea-bf23-f515f824c57b"
SITE = "72f988bf-86f1-41af-91ab-2d7cd011db47"


def label_info(label=LABEL, words='method="Privileged"'):
    return ('<?xml version="1.0" encoding="utf-8" standalone="yes"?>'
            '<clbl:labelList xmlns:clbl="http://schemas.microsoft.com/office/2020/mipLabelMetadata">'
            f'<clbl:label id="{{{label}}}" enabled="1" {words} siteId="{{{SITE}}}" removed="0"/></clbl:labelList>')


def custom(name="Secret", label=LABEL):
    values = {"Enabled": "true", "Name": name, "SetDate": "2024-02-03T04:05:06Z", "Method": "Standard"}
    return ('<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties" '
            'xmlns:vt="http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes">' + "".join(
                f'<property fmtid="{{D5CDD505-2E9C-101B-9397-08002B2CF9AE}}" pid="{pid}" '
                f'name="MSIP_Label_{label}_{word}"><vt:lpwstr>{value}</vt:lpwstr></property>'
                for pid, (word, value) in enumerate(values.items(), 2)) + "</Properties>")


def package(members, method=zipfile.ZIP_DEFLATED, force64=False):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in {"[Content_Types].xml": "<Types/>", "word/document.xml": "<w/>" * 5000, **members}.items():
            with file.open(name, "w", force_zip64=force64) as member:
                member.write(content.encode())
    return out.getvalue()


def show(name, data, *options):
    path = tool.SCRATCH / name
    path.write_bytes(data)
    return tool.run("show", "--json", "--keyring", tool.KEYRING, *options, path).objects()[0]


BOTH = {"docMetadata/LabelInfo.xml": label_info(), "docProps/custom.xml": custom()}
WHOLE = {"id": LABEL, "name": "Secret", "site": SITE, "method": "Privileged", "set_date": "2024-02-03T04:05:06Z"}


class Plain(unittest.TestCase):
    maxDiff = None

    def test_office_packages(self):
        for what, data in (("deflated", package(BOTH)), ("stored", package(BOTH, zipfile.ZIP_STORED)),
                           ("zip64", package(BOTH, force64=True)), ("other case", package(
                               {name.upper(): content for name, content in BOTH.items()}))):
            with self.subTest(what):
                shown = show("a.docx", data)
                self.assertEqual((shown["verdict"], shown["protected"], shown["kind"]),
                                 ("not-protected", False, "plain"))
                self.assertEqual(shown["label"], WHOLE)

    def test_one_part_alone(self):
        shown = show("a.docx", package({"docProps/custom.xml": custom()}))
        self.assertEqual(shown["label"], {**WHOLE, "site": None, "method": "Standard"})
        shown = show("a.docx", package({"docMetadata/LabelInfo.xml": label_info()}))
        self.assertEqual(shown["label"], {**WHOLE, "name": None, "set_date": None})

    def test_label_info_wins_over_old_properties(self):
        shown = show("a.docx", package({**BOTH, "docProps/custom.xml": custom("Public", OTHER)}))
        self.assertEqual(shown["label"], {**WHOLE, "name": None, "set_date": None})

    def test_binary_office(self):
        values = {"Enabled": "true", "Name": "Sécret", "SiteId": SITE, "Method": "Privileged",
                  "SetDate": "2024-02-03T04:05:06Z"}
        named = {"Reviewer": "Jürgen", **{f"MSIP_Label_{LABEL}_{word}": value for word, value in values.items()}}
        for page in (1252, 1200, 65001):
            for name, stream in (("a.doc", "WordDocument"), ("a.xls", "Workbook"), ("a.ppt", "PowerPoint Document")):
                with self.subTest(page=page, name=name):
                    data = olemaker.compound({stream: b"x", olemaker.CUSTOM: olemaker.property_set(named, page)})
                    shown = show(name, data)
                    self.assertEqual((shown["verdict"], shown["protected"]), ("not-protected", False))
                    self.assertEqual(shown["label"], {**WHOLE, "name": "Sécret"})
        for word, value in (("Enabled", "false"), ("Enabled", False), ("Removed", "true")):
            with self.subTest(word=word, value=value):
                less = {**named, f"MSIP_Label_{LABEL}_{word}": value}
                data = olemaker.compound({"WordDocument": b"x", olemaker.CUSTOM: olemaker.property_set(less)})
                self.assertIsNone(show("a.doc", data)["label"])
        data = olemaker.compound({"WordDocument": b"x", olemaker.CUSTOM: olemaker.property_set({"Reviewer": "x"})})
        self.assertIsNone(show("a.doc", data)["label"])

    def test_none(self):
        self.assertIsNone(show("a.docx", package({}))["label"])
        self.assertIsNone(show("a.txt", b"MSIP_Label_" + LABEL.encode())["label"])

    def test_pdf(self):
        xmp = ('<?xpacket begin="" id="x"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
               'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
               'xmlns:pdfx="http://ns.adobe.com/pdfx/1.3/">'
               f"<pdfx:MSIP_Label_{LABEL}_Name>Secret</pdfx:MSIP_Label_{LABEL}_Name></rdf:Description></rdf:RDF>"
               '</x:xmpmeta><?xpacket end="w"?>').encode()
        parts = [b"%PDF-1.7\n", b"1 0 obj <</Type /Catalog /Pages 2 0 R /Metadata 3 0 R>> endobj\n",
                 b"2 0 obj <</Type /Pages /Kids [] /Count 0>> endobj\n",
                 b"3 0 obj <</Type /Metadata /Subtype /XML /Length %d>> stream\n" % len(xmp) + xmp
                 + b"\nendstream endobj\n"]
        offsets = [sum(map(len, parts[:i])) for i in range(1, 5)]
        data = b"".join(parts) + b"xref\n0 4\n0000000000 65535 f \n" + b"".join(
            b"%010d 00000 n \n" % off for off in offsets[:3])
        data += b"trailer <</Size 4 /Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % offsets[3]
        shown = show("a.pdf", data)
        self.assertEqual(shown["verdict"], "not-protected")
        self.assertEqual(shown["label"], {**dict.fromkeys(WHOLE), "id": LABEL, "name": "Secret"})

    def test_text_report(self):
        path = tool.SCRATCH / "text.docx"
        path.write_bytes(package({"docProps/custom.xml": custom("Se\u202ecret\x7f")}))
        text = tool.run("show", "--keyring", tool.KEYRING, path).stdout.decode()
        self.assertIn(f"Label:          Se\\u{{202E}}cret\\x7F {{{LABEL}}}".lower(), text.lower())
        self.assertIn("not-protected", text)

    def test_hostile_packages(self):
        """A label is never a reason for an error."""
        good = package(BOTH)
        bomb = package({"docProps/custom.xml": custom() + " " * (1 << 20)})
        lying = bytearray(good)
        at = good.rindex(b"PK\1\2", 0, good.rindex(b"docProps/custom.xml"))
        lying[at + 24:at + 28] = struct.pack("<I", 0xFFFFFFFE)
        encrypted = bytearray(good)
        encrypted[at + 8] |= 1
        outside = bytearray(good)
        outside[at + 42:at + 46] = struct.pack("<I", len(good) - 25)
        huge = bytearray(good)
        end = good.rindex(b"PK\5\6")
        huge[end + 12:end + 20] = struct.pack("<II", 0xFFFFFFF0, 16)
        for what, data in (("cut", good[:-1]), ("bomb", bomb), ("lying", bytes(lying)), ("encrypted", bytes(encrypted)),
                           ("outside", bytes(outside)), ("huge directory", bytes(huge)),
                           ("no xml", package({"docProps/custom.xml": "<Properties>"}))):
            with self.subTest(what):
                shown = show("hostile.docx", data)
                self.assertEqual((shown["verdict"], shown["message"]), ("not-protected", None))
                if what in ("lying", "encrypted"):
                    self.assertEqual(shown["label"], {**WHOLE, "name": None, "set_date": None})
                else:
                    self.assertIsNone(shown["label"])


def private_keys():
    for tpd in tool.KEY_LIST["tpds"]:
        if tpd["file"] == "tpd-cloud.xml":
            data = (tool.KEYS / tpd["file"]).read_bytes()
            return [opener.private_key(opener.unseal(opener.field(data, "m_strKeyData"), tpd["password"], tpd["kdf"]))]
    return []


def xmp(name):
    return ('<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description xmlns:msip="http://www.microsoft.com/msip/1.0/" '
            'xmlns:l="http://www.microsoft.com/msip/label/1.0/"><msip:labels><rdf:Bag><rdf:li rdf:parseType="Resource">'
            f"<l:Id>{LABEL}</l:Id><l:Name>{name}</l:Name></rdf:li></rdf:Bag></msip:labels></rdf:Description></rdf:RDF>"
            "</x:xmpmeta>")


def pfile_with(content, metadata="", license_label=False):
    """A fixture with other content, with label metadata, with or without the label in its license."""
    entry = next(e for e in tool.PFILES if e["open"] and e["key_role"] == "cloud" and e["cipher"] == "ECB"
                 and e["licence"]["encoding"] == "utf8-bom" and "header_size" not in e["container"])
    data = (tool.SHARE / entry["path"]).read_bytes()
    start = 18 + struct.unpack_from("<I", data, 14)[0]
    license_off, license_len, body = struct.unpack_from("<III", data, start + 12)
    key, mode = opener.content_key(opener.license_text(data[license_off:license_off + license_len]), private_keys())
    data = bytearray(data[:body] if license_label else data[:body].replace(b'id="LABEL"', b'id="OTHER"'))
    metadata = metadata.encode().ljust(len(metadata) + 8, b"\0") if metadata else b""
    struct.pack_into("<IQII", data, start + 20, body + len(metadata), len(content), body if metadata else 0,
                     len(metadata))
    return bytes(data) + metadata + opener.encrypt(content, key, mode)


class Protected(unittest.TestCase):
    def test_label_of_what_is_encrypted(self):
        content = package(BOTH)
        shown = show("p.docx.pfile", pfile_with(content), "--hash")
        self.assertEqual((shown["verdict"], shown["plain_size"]), ("ok", len(content)))
        self.assertEqual(shown["label"], WHOLE)
        path = tool.SCRATCH / "p.docx.pfile"
        self.assertIsNone(tool.run("show", "--json", "--keyring", tool.NO_KEYS, path).objects()[0]["label"])

    def test_label_of_the_license(self):
        # The fixtures' licenses carry id and tenant.
        path = tool.SCRATCH / "l.docx.pfile"
        data = pfile_with(package(BOTH), license_label=True)
        path.write_bytes(data)
        words = [data.split(f'id="LABEL" name="{name}">'.encode())[1][:36].decode() for name in ("ID", "TenantId")]
        for keys in (tool.NO_KEYS, tool.KEYRING):
            self.assertEqual(tool.run("show", "--json", "--keyring", keys, path).objects()[0]["label"],
                             {**dict.fromkeys(WHOLE), "id": words[0], "site": words[1]})

    def test_clear_label_needs_no_key_and_wins(self):
        folder = tool.SCRATCH / "clear"
        folder.mkdir()
        clear = {**dict.fromkeys(WHOLE), "id": LABEL, "name": "Clear"}
        (folder / "p.docx.pfile").write_bytes(pfile_with(package(BOTH), xmp("Clear")))
        path = folder / "p.docx.pfile"
        shown = tool.run("show", "--json", "--keyring", tool.NO_KEYS, path).objects()[0]
        self.assertEqual((shown["verdict"], shown["label"]), ("no-key", clear))
        shown = tool.run("show", "--json", "--keyring", tool.KEYRING, path).objects()[0]
        self.assertEqual((shown["verdict"], shown["label"]), ("ok", {**WHOLE, "name": "Clear"}))
        index = tool.SCRATCH / "labels.sqlite"
        scanned = tool.run("scan", "--json", "--keyring", tool.NO_KEYS, f"--index={index}", folder).objects()
        self.assertEqual([entry["label"] for entry in scanned if entry["protected"]], [clear])


if __name__ == "__main__":
    unittest.main()
