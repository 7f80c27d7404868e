#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of tpd scan --html is whole, harmless, and needs nobody else."""
import base64
import hashlib
import html.parser
import os
import re
import stat
import unittest

import tool

FOLDER = tool.SCRATCH / "html"
FOLDER.mkdir()
VOID = {"meta", "line", "rect", "input", "br"}


class Page(html.parser.HTMLParser):
    """What a browser would see: elements, attributes, the cells of tables."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.stack, self.errors = [], [], [], []
        self.tables, self.texts, self.text = {}, {}, []
        self.section = None
        self.feed(path.read_bytes().decode("utf-8"))
        self.close()
        if self.stack:
            self.errors.append(f"not closed: {self.stack}")

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "section":
            self.section = dict(attrs).get("id")
        if tag == "tr" and "tbody" in self.stack and self.section:
            self.tables.setdefault(self.section, []).append([])
        if tag == "td" and self.section and self.section in self.tables:
            self.tables[self.section][-1].append("")
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.stack or self.stack[-1] != tag:
            self.errors.append(f"</{tag}> inside {self.stack}")
        else:
            self.stack.pop()

    def handle_data(self, data):
        if not self.stack:
            return
        self.texts.setdefault(self.stack[-1], []).append(data)
        if "td" in self.stack and self.section in self.tables and self.tables[self.section][-1]:
            self.tables[self.section][-1][-1] += data


def report(root, *options, keyring=tool.KEYRING):
    path = FOLDER / f"{len(list(FOLDER.iterdir()))}.html"
    index = path.with_suffix(".sqlite")
    result = tool.run("scan", "--keyring", keyring, "--index", index, "--html", path, *options, root)
    return path, result, index


class Share(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.path, cls.result, cls.index = report(tool.SHARE, "--cutoff", "2023")
        cls.page = Page(cls.path)
        shown = tool.run("scan", "--keyring", tool.KEYRING, "--index", cls.index, "--json", tool.SHARE).objects()
        cls.shown = {found["path"].removeprefix(f"{tool.SHARE}/"): found for found in shown}

    def test_status_and_mode(self):
        self.assertEqual((self.result.status, self.result.stdout, self.result.stderr), (1, b"", ""))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual([name for name in os.listdir(FOLDER) if ".html." in name], [])

    def test_is_sound(self):
        self.assertEqual(self.page.errors, [])
        for tag in ("html", "head", "body", "main", "h1"):
            self.assertEqual(self.page.tags.count(tag), 1, tag)

    def test_every_problem_once(self):
        problems = {path for path, found in self.shown.items() if found["verdict"] not in ("ok", "key-held")}
        self.assertGreater(len(problems), 20)
        rows = [row[0] for row in self.page.tables["problems"]]
        self.assertEqual(sorted(rows), sorted(problems))
        for row in self.page.tables["problems"]:
            self.assertEqual(row[1], self.shown[row[0]]["verdict"])
            self.assertTrue(row[6], row)

    def test_every_late_license_once(self):
        late = {path for path, found in self.shown.items() if found["issued"] and found["issued"] >= "2023"}
        self.assertEqual(sorted(row[0] for row in self.page.tables["cutoff"]), sorted(late))

    def test_every_key(self):
        keys = {found["key"]["fingerprint"]: found["key"] for found in self.shown.values() if found["key"]}
        rows = {row[5]: row for row in self.page.tables["keys"]}
        self.assertEqual(set(rows), set(keys))
        for fingerprint, key in keys.items():
            self.assertEqual(rows[fingerprint][0], key["guid"])
            self.assertEqual(rows[fingerprint][1], "held" if key["held"] else "not held")

    def test_charts_tell_numbers(self):
        text = " ".join(self.page.texts["bdi"] + self.page.texts["text"] + self.page.texts["td"])
        for word in ("pfile", "ooxml", "damaged", "Contoso - Confidential", "finance@contoso.example", "2018"):
            self.assertIn(word, text)

    def test_refers_to_nothing_outside(self):
        for tag in ("link", "img", "iframe", "object", "embed", "base", "form", "a", "use", "image"):
            self.assertNotIn(tag, self.page.tags)
        for tag, name, value in self.page.attributes:
            self.assertNotIn(name, ("src", "href", "srcset", "action", "style", "background", "xlink:href"), tag)
            self.assertFalse(name.startswith("on"), (tag, name))
        for text in self.page.texts["style"]:
            self.assertNotRegex(text, r"url\(|@import")
        self.assertEqual(self.page.tags.count("script"), 1)
        self.assertNotRegex("".join(self.page.texts["script"]), r"fetch|XMLHttp|import|eval|innerHTML")

    def test_policy_names_its_own_script_and_style_only(self):
        [policy] = [value for tag, name, value in self.page.attributes
                    if tag == "meta" and name == "content" and "default-src" in value]
        self.assertTrue(policy.startswith("default-src 'none';"))
        self.assertNotIn("unsafe", policy)
        for tag in ("style", "script"):
            digest = hashlib.sha256("".join(self.page.texts[tag]).encode()).digest()
            self.assertIn(f"{tag}-src 'sha256-{base64.b64encode(digest).decode()}'", policy)


class Others(unittest.TestCase):
    def test_hostile_names(self):
        root = FOLDER / "hostile"
        content = (tool.SHARE / tool.PFILES[0]["path"]).read_bytes()[:90]
        names = [b"</td><td>x.pfile", b"</script><script>alert(1)</script>.pfile", b"\" onload=\"x.pfile",
                 b"' onload='x.pfile", b"&lt;b&gt;.pfile", b"<!--.pfile", b"]]>.pfile", b"\xff\xfe.pfile",
                 b"\x1b[1m\n.pfile", "\u202etxt.pfile".encode(), b"<svg onload=alert(1)>.pfile", b"--!>.pfile"]
        for name in names:
            path = os.fsencode(root) + b"/" + name
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        path, result, _ = report(root, keyring=tool.NO_KEYS)
        self.assertEqual(result.status, 1, result.stderr)
        page = Page(path)
        self.assertEqual(page.errors, [])
        self.assertEqual(page.tags.count("script"), 1)
        self.assertEqual(len(page.tables["problems"]), len(names))
        shown = {row[0] for row in page.tables["problems"]}
        for name in (b"</td><td>x.pfile", b"</script><script>alert(1)</script>.pfile", b"&lt;b&gt;.pfile"):
            self.assertIn(name.decode(), shown)
        self.assertFalse(any(name.startswith("on") for _, name, _ in page.attributes))
        self.assertFalse(re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", path.read_text(encoding="utf-8")))

    def test_hostile_licenses(self):
        # What licenses say goes the same way: as text.
        root = FOLDER / "license"
        root.mkdir()
        entry = next(entry for entry in tool.PFILES if entry["open"] and entry["licence"]["encoding"] == "utf8"
                     and entry["owner"].encode() in (tool.SHARE / entry["path"]).read_bytes())
        data = (tool.SHARE / entry["path"]).read_bytes()
        owner = entry["owner"].encode()
        evil = b"&lt;script&gt;&lt;/td&gt;"
        evil += b"x" * (len(owner) - len(evil))
        if len(evil) != len(owner):
            evil = b"&lt;b&gt;".ljust(len(owner), b"x")
        (root / "a.txt.pfile").write_bytes(data.replace(owner, evil))
        path, _, _ = report(root, "--cutoff", "2000", keyring=tool.NO_KEYS)
        page = Page(path)
        self.assertEqual(page.errors, [])
        self.assertEqual(page.tags.count("script"), 1)
        self.assertTrue(page.tables["cutoff"][0][5].startswith("<"), page.tables)

    def test_nothing_protected(self):
        root = FOLDER / "plain"
        root.mkdir()
        (root / "a.txt").write_bytes(b"plain")
        path, result, _ = report(root)
        self.assertEqual(result.status, 0, result.stderr)
        page = Page(path)
        self.assertEqual(page.errors, [])
        self.assertIn("No protected file was found.", path.read_text(encoding="utf-8"))

    def test_page_that_cannot_be_written(self):
        result = tool.run("scan", "--keyring", tool.NO_KEYS, "--index", FOLDER / "x.sqlite", "--html",
                          FOLDER / "no" / "page.html", tool.SHARE)
        self.assertEqual((result.status, result.stdout), (1, b""))
        self.assertIn("page.html", result.stderr)

    def test_page_replaces_an_older_one(self):
        path = FOLDER / "again.html"
        path.write_text("old", encoding="utf-8")
        path.chmod(0o644)
        for _ in range(2):
            tool.run("scan", "--keyring", tool.NO_KEYS, "--index", FOLDER / "again.sqlite", "--html", path, tool.SHARE)
        self.assertEqual(Page(path).errors, [])
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)


if __name__ == "__main__":
    unittest.main()
