#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tpd preflight says whether the service may be switched off, and why not."""
import bz2
import csv
import io
import json
import lzma
import os
import pathlib
import shutil
import struct
import subprocess
import tarfile
import unittest
import zipfile

import tool

FILES = [entry for entry in tool.MANIFEST if entry["kind"] != "symlink"]
SEALED = [entry for entry in FILES if entry["protected"] and entry["size"] > 0]
BY_ROLE = {}
for _entry in SEALED:
    BY_ROLE.setdefault(_entry.get("key_role"), []).append(_entry)
STEPS = [("Connect-AipService", "no error"), ("Get-AipService", "Enabled"), ("Disable-AipService", "no error"),
         ("Get-AipService", "Disabled"), ("Disconnect-AipService", "no error")]


def some(role, kind="pfile"):
    """A file under the key of that role."""
    return next(entry for entry in BY_ROLE[role] if kind in (None, entry["kind"]))


def is_double(entry):
    return "double key" in (entry.get("notes") or "")


def encrypted_zip():
    """One member, marked as encrypted in both places."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("folder/", b"")
        archive.writestr("folder/secret.txt", b"0123456789ab")
    raw = bytearray(data.getvalue())
    at = raw.rindex(b"PK\x03\x04")
    raw[at + 6] |= 1
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 8] |= 1
    return bytes(raw)


def plain_zip(*names):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 100)
    return data.getvalue()


OPAQUE = {
    "mail.pst": (b"!BDN\0\0\0\0SM" + bytes(1000), "pst"),
    "mail.ost": (b"!BDN\0\0\0\0SO" + bytes(1000), "ost"),
    "x.7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(100), "7z"),
    "old.rar": (b"Rar!\x1a\x07\x00" + bytes(100), "rar"),
    "new.rar": (b"Rar!\x1a\x07\x01\x00" + bytes(100), "rar"),
    "secret.zip": (encrypted_zip(), "encrypted-zip"),
    "cut.zip": (plain_zip("a.txt")[:50], "archive"),
}


def tar(name, content, how):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=how) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def old_tar(name, content):
    """Of before POSIX: nothing but a checksum tells it."""
    data = bytearray(tar(name, content, tarfile.USTAR_FORMAT))
    data[257:265] = bytes(8)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


def disk(partition_type):
    return bytes(446) + bytes([0x80, 0, 0, 0, partition_type]) + bytes(59) + b"\x55\xaa" + bytes(1000)


NOT_OPAQUE = {
    "x.zip": (plain_zip("a.txt", "b.txt"), None),
    "x.docx": (plain_zip("[Content_Types].xml", "word/document.xml"), None),
    "x.gz": (b"\x1f\x8b\x08" + bytes(20), "archive"),
    "x.pst": (b"!BDN" + bytes(1000), None),
    "x.txt": (b"7z is a program", None),
    "pax.tar": (tar("a", b"x" * 2000, tarfile.PAX_FORMAT), "archive"),
    "gnu.tar": (tar("a", b"x" * 2000, tarfile.GNU_FORMAT), "archive"),
    "old.tar": (old_tar("a", b"x" * 2000), "archive"),
    "x.cpio": (b"070701" + b"0" * 104 + b"a\0\0\0", "archive"),
    "old.cpio": (b"070707" + b"0" * 68 + b"02a\0", "archive"),
    "x.deb": (b"!<arch>\n" + b"debian-binary   0           0     0     100644  4         `\n2.0\n", "archive"),
    "empty.a": (b"!<arch>\n", "archive"),
    "x.bz2": (bz2.compress(b"text"), "archive"),
    "empty.bz2": (bz2.compress(b""), "archive"),
    "x.lz4": (b"\x04\x22\x4d\x18" + bytes(20), "archive"),
    "x.lzma": (b"\x5d\0\0\x80\0" + bytes(20), "archive"),
    "known.lzma": (b"\x5d\0\0\x80\0" + (1 << 30).to_bytes(8, "little") + bytes(20), "archive"),
    "made.lzma": (lzma.compress(b"text", format=lzma.FORMAT_ALONE), "archive"),
    "x.lz": (b"LZIP\1\x0c" + bytes(30), "archive"),
    "x.Z": (b"\x1f\x9d\x90" + bytes(20), "archive"),
    "x.lzh": (b"\x20\x66-lh5-" + bytes(20), "archive"),
    "x.ace": (bytes(7) + b"**ACE**" + bytes(20), "archive"),
    "x.iso": (bytes(32769) + b"CD001\1" + bytes(2000), "archive"),
    "disk.img": (disk(7), "archive"),
    "ext.img": (bytes(1080) + b"\x53\xef" + bytes(1000), "archive"),
    "ntfs.img": (b"\xeb\x52\x90NTFS    " + bytes(499) + b"\x55\xaa" + bytes(1000), "archive"),
    "x.xar": (b"xar!\0\x1c\0\1" + bytes(100), "archive"),
    "x.sit": (b"SIT!\0\1\0\0\1\0rLau" + bytes(100), "archive"),
    "new.sit": (b"StuffIt (c)1997-2002 Aladdin Systems, Inc., http://www.aladdinsys.com/StuffIt/\r\n\x1a\0"
                + bytes(100), "archive"),
    "x.squashfs": (b"hsqs" + bytes(24) + b"\4\0\0\0" + bytes(100), "archive"),
    "x.vhdx": (b"vhdxfile" + "Microsoft".encode("utf-16-le") + bytes(1000), "archive"),
    "x.vhd": (b"conectix\0\0\0\2\0\1\0\0" + bytes(496), "archive"),
    "x.vmdk": (b"KDMV\1\0\0\0" + bytes(504), "archive"),
    "x.vdi": (b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe\1\0\1\0" + bytes(440),
              "archive"),
    "x.dmg": (b"encrcdsa\0\0\0\2" + bytes(500), "archive"),
    "zeros": (bytes(50000), None),
    "few zeros": (bytes(5), None),
    "no disk": (disk(0), None),
    "like a tar": (bytes(tar("a", b"x" * 2000, tarfile.USTAR_FORMAT)[:257]) + b"x" * 500, None),
    "digits": (b"0" * 2000, None),
    # Text that begins with the letters that archives begin with.
    **{f"text {number}": (text * 40, None) for number, text in enumerate([
        b"BZh is what bzip2 begins with\n", b"BZh9 too, with a level of compression\n", b"070707 and then more numbers\n",
        b"070701 00000000 00000000 00000000\n", b"070702\n070703\n", b"LZIP: a program, and a format of files\n",
        b"xar! that is what it said\n", b"a -lh5- is a method of LHA\n", b"- -lzs- of LArc, which is older than that\n",
        b"<<< a marker of a conflict\n", b"<<< >>> " * 10, b"KDMV the virtual machine\n", b"hsqs, once more\n",
        b"vhdxfile=disk.vhdx\n", b"conectix, a company of old\n", b"encrcdsa is not a word\n", b"SIT! said he to the dog\n",
        b"StuffIt (c) Aladdin, a manual in many chapters\n", b"!<arch>\nis the first line of an ar file\n",
        b"1234567**ACE** is what it says\n", b"the NTFS    file system\n"[1:], b"on EXFAT   file systems\n"])},
    "like ustar": (b"x" * 257 + b"ustar is a form of tar\n" * 40, None),
    "like compress": (b"\x1f\x9d\xe2\x80\x99 in text\n" * 40, None),
    "like lzma": (b"\x5d\0\0\x80\0" + b"text that goes on", None),
}


class Preflights(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tool.SCRATCH / self.id().rsplit(".", 2)[-2] / self.id().rsplit(".", 1)[-1]
        self.folder.mkdir(parents=True)
        self.index = self.folder / "index.sqlite"
        self.root = self.folder / "root"
        self.root.mkdir()

    def preflight(self, *options, root=None, keyring=tool.KEYRING):
        return tool.run("preflight", "--keyring", keyring, "--index", self.index, *options, "--", root or self.root)

    def paper(self, *options, status=None, **more):
        """The summary, and the paths of each table."""
        result = self.preflight("--json", *options, **more)
        self.assertIn(result.status, (0, 1) if status is None else (status,), result.stderr)
        *lines, summary = result.objects()
        self.assertEqual(summary["table"], "summary")
        self.assertIs(summary["go"], result.status == 0)
        tables = {}
        prefix = str(more.get("root") or self.root) + "/"
        for line in lines:
            tables.setdefault(line["table"], {})[line["path"].removeprefix(prefix)] = line
        for name, count in summary["tables"].items():
            found = tables.get(name, {})
            self.assertEqual((count["files"], count["bytes"]),
                             (len(found), sum(line["source_size"] or 0 for line in found.values())), name)
        return summary, tables

    def write(self, name, content=b"plain\n"):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def take(self, entry, name=None):
        return self.write(name or entry["path"], (tool.SHARE / entry["path"]).read_bytes())

    def note(self, name, text):
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path


class Share(Preflights):
    def test_tables_are_those_of_the_manifest(self):
        summary, tables = self.paper(root=tool.SHARE, status=1)
        own = {entry["path"] for role in ("lost", "stray") for entry in BY_ROLE[role]}
        foreign = {entry["path"] for role in ("foreign", "foreign1") for entry in BY_ROLE[role]}
        self.assertEqual(set(tables["no-key"]), own)
        self.assertEqual(set(tables["foreign"]), foreign)
        self.assertEqual(set(tables["double-key"]), {entry["path"] for entry in SEALED if is_double(entry)})
        broken = {entry["path"] for entry in SEALED if not entry["open"] and entry["path"] not in own | foreign
                  and not is_double(entry)}
        self.assertEqual(set(tables["damaged"]) | set(tables["unsupported"]), broken)
        for path, line in tables["damaged"].items():
            self.assertTrue(line["why"], path)
        self.assertEqual({path for path, line in tables["opaque"].items() if line["opaque"] == "password-office"},
                         {entry["path"] for entry in tool.PLAIN if "password encryption" in (entry.get("notes") or "")})
        self.assertEqual(summary["opens"]["files"], len([entry for entry in SEALED if entry["open"]]))
        self.assertEqual(summary["protected"]["files"], len(SEALED))
        self.assertEqual(summary["all"]["files"], len(FILES))

    def test_keys_needed_against_keys_held(self):
        summary, _ = self.paper(root=tool.SHARE)
        self.assertEqual(summary["keys_lacking"], 2)
        keys = {key["fingerprint"]: key for key in summary["keys"]}
        expected = {"cloud": (True, "loaded"), "archived": (True, "loaded"), "onprem": (True, "loaded"),
                    "mode1": (True, "loaded"), "hsm": (True, "loaded"), "lost": (False, "tenant"),
                    "stray": (False, "guid"), "foreign": (False, "foreign"), "foreign1": (False, "foreign")}
        for role, (held, own_by) in expected.items():
            entry = BY_ROLE[role][0]
            key = keys.pop(entry["key_fingerprint"])
            self.assertEqual((key["guid"], key["held"], key["own"], key["own_by"]),
                             (entry["key_guid"], held, own_by != "foreign", own_by), role)
            self.assertGreaterEqual(key["files"], len(BY_ROLE[role]) if role != "cloud" else 1)
        self.assertEqual(keys, {})

    def test_deep_checks_everything(self):
        shallow, _ = self.paper(root=tool.SHARE)
        summary, tables = self.paper("--deep", root=tool.SHARE)
        self.assertGreater(shallow["unopened"]["files"], 0)
        self.assertEqual(summary["unopened"]["files"], 0)
        self.assertEqual(summary["opens"]["files"], len([entry for entry in SEALED if entry["open"]]))
        self.assertEqual(summary["proven"]["files"] + summary["tables"]["unproven"]["files"],
                         summary["opens"]["files"])
        # Every whole ZIP package, and nothing that is bare text.
        for entry in SEALED:
            if entry["open"] and entry["plain_path"] and zipfile.is_zipfile(tool.FIXTURES / "plain" / entry["plain_path"]):
                self.assertNotIn(entry["path"], set(tables["unproven"]))
            if entry["open"] and entry["kind"] == "pfile" and entry["plain_name"].endswith(".txt"):
                self.assertIn(tables["unproven"][entry["path"]]["proof"], ("none", "plausible"))
        # And once is enough.
        again, _ = self.paper("--deep", root=tool.SHARE)
        self.assertEqual(again["proven"], summary["proven"])

    def test_text(self):
        result = self.preflight(root=tool.SHARE)
        text = result.stdout.decode("utf-8")
        self.assertEqual((result.status, result.stderr), (1, ""))
        for word in ("Not yet.", "NOT HELD", BY_ROLE["lost"][0]["key_guid"], "same tenant", "What this cannot see",
                     "SharePoint", "Laptops", "Microsoft Support", "export ends with", "policy=rights",
                     "1. Connect-AipService", "expect: Disabled", "5. Disconnect-AipService"):
            self.assertIn(word, text)
        self.assertEqual(self.preflight("--quiet", root=tool.SHARE).stdout, b"")

    def test_steps_and_what_to_expect(self):
        summary, _ = self.paper(root=tool.SHARE)
        self.assertEqual([(step["command"], step["expect"]) for step in summary["steps"]], STEPS)
        self.assertTrue(summary["before"] and summary["after"] and summary["unseen"])

    def test_policy(self):
        summary, tables = self.paper("--deep", root=tool.SHARE)
        bad = {entry["path"] for entry in SEALED if entry["open"] and entry.get("signature") == "bad"}
        refused = tables["rights"]
        self.assertTrue(bad)
        self.assertLessEqual(bad, set(refused))
        for path in bad:
            self.assertIn("signature", refused[path]["why"])
        self.assertEqual(sum(count["files"] for count in summary["refused"].values()), len(refused))
        for entry in SEALED:
            if entry["open"] and entry["licence"]["documents"] == "pl" and entry["licence"]["style"] == "client" \
                    and entry.get("signature") != "bad" and entry["path"] in refused:
                self.assertRegex(refused[entry["path"]]["why"], "certificate|signature|expired|rights")
        # A license that its certificates lead from to the server is let through.
        linked = [entry for entry in SEALED if entry["open"] and entry["licence"]["documents"] == "clc"
                  and entry.get("signature") != "bad"]
        self.assertTrue(any(entry["path"] not in refused for entry in linked))


class Answers(Preflights):
    def test_nothing_protected(self):
        self.write("a.txt")
        for keyring in (tool.KEYRING, tool.NO_KEYS):
            result = self.preflight(keyring=keyring)
            self.assertEqual(result.status, 0, result.stderr)
            self.assertIn("let it lapse", result.stdout.decode().lower())

    def test_all_keys_held(self):
        for role in ("cloud", "archived", "onprem", "mode1", "hsm"):
            self.take(some(role, None))
        self.paper(status=0)

    def test_own_key_lacking(self):
        for role, by in (("lost", "tenant"), ("stray", "guid")):
            shutil.rmtree(self.root)
            self.take(some(role, None))
            summary, tables = self.paper(status=1)
            self.assertEqual((summary["keys_lacking"], len(tables["no-key"])), (1, 1))
            self.assertEqual(summary["keys"][0]["own_by"], by)

    def test_foreign_keys_do_not_count(self):
        self.take(some("foreign", None))
        self.take(some("foreign1", None))
        summary, tables = self.paper(status=0)
        self.assertEqual((summary["keys_lacking"], len(tables["foreign"])), (0, 2))

    def test_foreign_keys_that_are_named_count(self):
        entry = some("foreign", None)
        self.take(entry)
        for word in (entry["tenant_id"], entry["key_guid"], "{%s}" % entry["key_guid"].upper(),
                     entry["urls"][0].split("/")[2], entry["owner"].split("@")[1]):
            summary, _ = self.paper("--own", word, status=1)
            self.assertEqual(summary["keys"][0]["own_by"], "named", word)
        self.paper("--own", "nothing.example", status=0)

    def test_own_keys_that_are_disowned_do_not_count(self):
        entry = some("lost", None)
        self.take(entry)
        self.paper("--foreign", entry["tenant_id"], status=0)
        self.paper("--foreign", entry["tenant_id"], "--own", entry["key_guid"], status=1)

    def test_without_keys_every_key_is_own(self):
        self.take(some("foreign", None))
        summary, _ = self.paper(status=1, keyring=tool.NO_KEYS)
        self.assertEqual(summary["keys"][0]["own_by"], "no-keys")

    def test_owner_tells(self):
        # Another cluster of ours, of which no key is loaded: neither tenant
        # nor address are known, but its people are.
        self.take(some("onprem", None))
        self.take(some("cloud", None))
        keyring = tool.write_keyring("only-cloud.conf", ["tpd-cloud.xml"])
        summary, _ = self.paper(status=1, keyring=keyring)
        keys = {key["guid"]: key for key in summary["keys"]}
        self.assertEqual(keys[some("onprem", None)["key_guid"]]["own_by"], "owner")

    def test_keyless_key_is_not_held(self):
        self.take(some("hsm", None))
        keyring = tool.write_keyring("keyless.conf", ["tpd-hsm-keyless.xml"])
        summary, _ = self.paper(status=1, keyring=keyring)
        self.assertEqual((summary["keys"][0]["own_by"], summary["keys"][0]["held"]), ("loaded", False))

    def test_double_key(self):
        entry = next(entry for entry in SEALED if is_double(entry))
        path = self.take(entry)
        self.paper(status=1)
        self.paper("--accept", self.note("accept", f"{path}\n"), status=0)

    def test_damaged_files_are_told_and_do_not_hold_up(self):
        entry = next(entry for entry in SEALED if not entry["open"] and entry["error"] == "damaged")
        self.take(entry)
        _, tables = self.paper(status=0)
        self.assertEqual(list(tables["damaged"]), [entry["path"]])

    def test_what_cannot_be_read_holds_up(self):
        self.write("dir/a.txt")
        outside = self.folder / "as-user"
        script = "import os,sys; os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])"
        outside.mkdir()
        os.chmod(outside, 0o777)
        os.chmod(self.root / "dir", 0)
        keyring = self.note("nobody.conf", "")
        for path in (tool.SCRATCH, *self.folder.relative_to(tool.SCRATCH).parents):
            os.chmod(tool.SCRATCH / path, 0o755)
        os.chmod(self.folder, 0o755)
        os.chmod(keyring, 0o644)
        if os.geteuid() != 0:
            self.skipTest("needs root to become somebody else")
        done = subprocess.run(["python3", "-c", script, tool.TPD, "preflight", "--json", "--keyring", keyring,
                               "--allow-insecure-files", "--index", outside / "i.sqlite", self.root],
                              capture_output=True, env=tool.ENVIRONMENT, check=False)
        os.chmod(self.root / "dir", 0o755)
        if not done.stdout:
            self.skipTest("the build cannot be run by another user: " + done.stderr.decode())
        self.assertEqual(done.returncode, 1, done.stderr)
        *lines, summary = [json.loads(line) for line in done.stdout.decode().splitlines()]
        self.assertEqual((lines[0]["table"], summary["tables"]["unread"]["files"]), ("unread", 1))


class LeftOut(Preflights):
    def test_what_was_left_out_is_told(self):
        self.write("a.txt", b"plain")
        self.write(".snapshot/a.txt", b"plain")
        self.write("b.docx", b"plain")
        self.write("tmp/c.txt", b"plain")
        os.mkfifo(self.root / "pipe")
        (self.root / "link").symlink_to("a.txt")
        summary, _ = self.paper("--exclude=tmp", "--exclude=*.docx", status=0)
        self.assertEqual([summary[name] for name in ("symlinks", "special_files", "excluded_files", "excluded_directories",
                                                     "snapshot_directories", "foreign_files", "foreign_directories")],
                         [1, 1, 1, 1, 1, 0, 0])


class Opaque(Preflights):
    def test_each_kind(self):
        for name, (content, _) in (OPAQUE | NOT_OPAQUE).items():
            self.write(name, content)
        summary, tables = self.paper(status=1)
        self.assertEqual({path: line["opaque"] for path, line in tables["opaque"].items()},
                         {name: word for name, (_, word) in OPAQUE.items()})
        self.assertEqual({path: line["opaque"] for path, line in tables["archives"].items()},
                         {name: word for name, (_, word) in NOT_OPAQUE.items() if word})
        self.assertEqual(summary["opaque"]["rar"]["files"], 2)

    def test_each_kind_alone_holds_up(self):
        for name, (content, _) in OPAQUE.items():
            path = self.write(name, content)
            self.paper(status=1)
            path.unlink()
        for name, (content, _) in NOT_OPAQUE.items():
            self.write(name, content)
        self.paper(status=0)

    def test_index_remembers(self):
        for name, (content, _) in OPAQUE.items():
            self.write(name, content)
        first = self.preflight("--json").stdout
        totals = tool.run("scan", "--keyring", tool.KEYRING, "--index", self.index, "--summary", "--json", self.root)
        self.assertEqual((totals.status, totals.objects()[0]["opened"]), (0, 0))
        self.assertEqual(self.preflight("--json").stdout, first)
        self.write("x.7z", b"no archive any more")
        _, tables = self.paper()
        self.assertNotIn("x.7z", tables["opaque"])

    def test_accept(self):
        for name, (content, _) in OPAQUE.items():
            self.write("a/b/" + name, content)
        paths = [f"a/b/{name}" for name in OPAQUE]
        for text in ("\n".join(paths), "\r\n".join(paths) + "\r\n", "\ufeff" + "\n".join(paths) + "\n",
                     "# looked at\n\n" + "\n".join(f"{self.root}/{path}" for path in paths),
                     "./a//b/\n", "a/\n", f"{self.root}/\n", "./\n"):
            summary, tables = self.paper("--accept", self.note("accept", text), status=0)
            self.assertEqual((set(tables["accepted"]), summary["accept_unused"]), (set(paths), []), text)
        summary, tables = self.paper("--accept", self.note("accept", "\n".join(paths[1:]) + "\nnowhere\n"), status=1)
        self.assertEqual((list(tables["opaque"]), summary["accept_unused"]), ([paths[0]], ["nowhere"]))

    def test_accept_is_no_glob_and_no_prefix(self):
        self.write("a/x.7z", OPAQUE["x.7z"][0])
        for text in ("*", "a", "a/x.7", "a/x.7z/", "A/x.7z", "a/x.7z ", "#a/x.7z"):
            self.paper("--accept", self.note("accept", text + "\n"), status=1)

    def test_accept_accepts_no_lost_file(self):
        path = self.take(some("lost", None))
        self.paper("--accept", self.note("accept", f"{path}\n./\n"), status=1)

    def test_hostile_accept_files(self):
        self.write("a.txt")
        for text, word in ((b"../x\n", "does not lie in"), (b"a/../../x\n", "line 1"), (b"/etc/passwd\n", "line 1"),
                           (b"ok\nx/../y\n", "line 2"), ("x\n".encode("utf-16"), "UTF-16"), (b"a\0b\n", "NUL"),
                           (b"/\x1b[2J\n", "line 1")):
            result = self.preflight("--accept", self.note("accept", text))
            self.assertEqual((result.status, result.stdout), (2, b""), text)
            self.assertIn(word, result.stderr)
            self.assertNotIn("\x1b", result.stderr)
        for path in (self.folder / "no-such-file", self.folder):
            result = self.preflight("--accept", path)
            self.assertIn(result.status, (1, 2))
            self.assertIn(str(path), result.stderr)


GUIDS = {"active": "04f83314-0efd-4d98-b609-17c4b389b980", "archived": "e1f3ca50-1436-4c5d-9557-208c407c31ed"}


def aip_list(keys):
    return "".join(f"FriendlyName  : Contoso key\nKeyIdentifier : {guid}\nKeyType       : Microsoft-managed\n"
                   f"Status        : {status}\nCreationTime  : 1/23/2015 12:14:16 AM\nPublicKey     : \n\n"
                   for status, guid in keys.items())


def aip_table(keys):
    return ("FriendlyName KeyIdentifier                        KeyType           Status   CreationTime\n"
            "------------ -------------                        -------           ------   ------------\n"
            + "".join(f"Contoso      {guid} Microsoft-managed {status:8} 1/23/2015 12:14:16 AM\n"
                      for status, guid in keys.items()) + "\n\nPS C:\\>\n")


def aip_csv(keys, separator=","):
    lines = ["#TYPE Microsoft.Rms.Online.Admin.Key",
             separator.join(f'"{name}"' for name in ("FriendlyName", "KeyIdentifier", "KeyType", "Status",
                                                     "CreationTime"))]
    lines += [separator.join(f'"{cell}"' for cell in ('a ""quoted"" name', guid, "Microsoft-managed", status,
                                                      "23.01.2015 00:14:16")) for status, guid in keys.items()]
    return "\n".join(lines) + "\n"


def aip_json(keys):
    return json.dumps([{"FriendlyName": 'a "name" } {', "KeyIdentifier": guid, "KeyType": "Microsoft-managed",
                        "Status": status, "CreationTime": "/Date(1421968456000)/", "PublicKey": None,
                        "More": {"x": [1, 2]}} for status, guid in keys.items()], indent=4)


class AipKeys(Preflights):
    def setUp(self):
        super().setUp()
        self.take(some("cloud"))

    def test_every_form_and_encoding(self):
        forms = {"list": aip_list, "table": aip_table, "csv": aip_csv, "json": aip_json,
                 "semicolons": lambda keys: aip_csv(keys, ";")}
        for name, form in forms.items():
            for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be-sig"):
                text = form(GUIDS).replace("\n", "\r\n")
                data = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-sig" else text.encode(encoding)
                with self.subTest(name, encoding=encoding):
                    summary, _ = self.paper("--aip-keys", self.note("keys", data), status=0)
                    keys = {key["guid"]: key for key in summary["keys"]}
                    self.assertEqual(set(keys), set(GUIDS.values()))
                    for status, guid in GUIDS.items():
                        self.assertEqual((keys[guid]["listed"], keys[guid]["held"], keys[guid]["key_status"],
                                          keys[guid]["key_type"]), (True, True, status, "Microsoft-managed"))
                    self.assertEqual(keys[GUIDS["archived"]]["files"], 0)

    def test_listed_key_that_is_not_loaded(self):
        keys = GUIDS | {"Archived": BY_ROLE["lost"][0]["key_guid"]}
        summary, _ = self.paper("--aip-keys", self.note("keys", aip_list(keys)), status=1)
        lacking = [key for key in summary["keys"] if not key["held"]]
        self.assertEqual([(key["guid"], key["own_by"], key["files"]) for key in lacking],
                         [(keys["Archived"], "listed", 0)])
        text = self.preflight("--aip-keys", self.folder / "keys").stdout.decode()
        self.assertIn("NOT LOADED", text)

    def test_listed_key_makes_foreign_own(self):
        self.take(some("foreign", None))
        guid = some("foreign", None)["key_guid"]
        self.paper(status=0)
        self.paper("--aip-keys", self.note("keys", aip_list({"Active": "{%s}" % guid.upper()})), status=1)

    def test_wrong_files(self):
        for data, word in ((b"", "no text"), (b"\0\1\2\3\0\0", "Get-AipServiceKeys"), (b"nothing here\n", "KeyIdentifier"),
                           (aip_table({"Active": "04f83314-0efd-4d98-b609-17c4..."}).encode(), "narrow"),
                           (aip_list({"Active": "04f83314-0efd-4d98"}).encode(), "narrow"),
                           (b"[" * 100000, "KeyIdentifier"), (b'{"KeyIdentifier": ', "KeyIdentifier")):
            result = self.preflight("--aip-keys", self.note("keys", data))
            self.assertEqual((result.status, result.stdout), (2, b""), data[:40])
            self.assertIn(word, result.stderr)


class Escaping(Preflights):
    NAMES = [b"\x1b]0;title\x07.7z", b"=cmd|' C calc'!A0.7z", b"a,\"b\".7z", b"new\nline.7z", b"\xff\xfe.7z",
             "\u202egpj.7z".encode(), b"<td><script>.7z", b"+1.7z", b"@x.7z"]

    def setUp(self):
        super().setUp()
        for name in self.NAMES:
            with open(os.fsencode(self.root) + b"/" + name, "wb") as file:
                file.write(OPAQUE["x.7z"][0])

    def test_terminal(self):
        result = self.preflight()
        text = result.stdout.decode("utf-8")
        self.assertEqual(result.status, 1)
        self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
        self.assertIn(r"\x1b]0;title\x07.7z", text)

    def test_csv(self):
        result = self.preflight("--csv")
        rows = list(csv.DictReader(io.StringIO(result.stdout.decode("utf-8"), newline="")))
        self.assertEqual(len(rows), len(self.NAMES))
        for row in rows:
            self.assertEqual((row["table"], row["opaque"]), ("opaque", "7z"))
            self.assertNotIn("\x1b", row["path"])
        self.assertTrue(any(row["path"].endswith('/a,"b".7z') for row in rows))

    def test_csv_formulas_in_licenses(self):
        # Absolute paths begin with a slash; relative ones need not.
        result = tool.run("preflight", "--keyring", tool.NO_KEYS, "--index", self.index, "--csv", ".", cwd=self.root)
        for row in csv.DictReader(io.StringIO(result.stdout.decode("utf-8"), newline="")):
            self.assertNotIn(row["path"][0], "=+-@")

    def test_json(self):
        _, tables = self.paper(status=1)
        self.assertEqual(len(tables["opaque"]), len(self.NAMES))


class Usage(Preflights):
    def check(self, word, *arguments):
        result = tool.run("preflight", "--keyring", tool.NO_KEYS, *arguments)
        self.assertEqual((result.status, result.stdout), (2, b""), result.stderr)
        self.assertIn(word, result.stderr)

    def test_wrong_options(self):
        self.check("one directory")
        self.check("--csv", "--csv", "--json", "a")
        self.check("--deeper", "--deeper", "a")

    def test_refused_key_file(self):
        result = tool.run("preflight", "--key", tool.SCRATCH / "no.xml", "--index", self.index, self.root)
        self.assertEqual((result.status, result.stdout), (3, b""))

    def test_interrupt(self):
        for number in range(20000):
            (self.root / f"{number}").write_bytes(b"x")
        for attempt in range(50):
            index = self.folder / f"{attempt}.sqlite"
            process = tool.popen("preflight", "--keyring", tool.NO_KEYS, "--index", index, "--jobs", "1", self.root)
            while not index.exists() and process.poll() is None:
                pass
            process.terminate()
            stdout, _ = process.communicate()
            if process.returncode != 0:
                self.assertEqual((process.returncode, stdout), (4, b""))
                return
        self.fail("every run was done before it could be interrupted")


if __name__ == "__main__":
    unittest.main()
