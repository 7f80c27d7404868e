#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of tpd scan --html in headless Chromium: it loads nothing, its own
script and style run under its policy, tables sort and search. Not in the quick
run: needs the package chromium.

TPD_SCREENSHOTS=FOLDER keeps pictures of it, light, dark and narrow, for people
to look at."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

import tool

CHROMIUM = shutil.which("chromium")
PICTURES = os.environ.get("TPD_SCREENSHOTS")


class Browser:
    """Chromium, spoken to through its debugging pipe (descriptors 3 and 4)."""

    def __init__(self):
        to_read, self.to_write = os.pipe()
        self.from_read, from_write = os.pipe()
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                   "--remote-debugging-pipe", f"--user-data-dir={tool.SCRATCH / 'chromium'}"]
        script = 'exec "$@" 3<&%d 4>&%d' % (to_read, from_write)
        self.process = subprocess.Popen(["bash", "-c", script, "sh", *command], pass_fds=[to_read, from_write],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(from_write)
        self.number, self.buffer, self.events, self.session = 0, b"", [], None

    def close(self):
        self.process.terminate()
        self.process.wait()
        os.close(self.to_write)
        os.close(self.from_read)

    def receive(self):
        while b"\0" not in self.buffer:
            data = os.read(self.from_read, 1 << 20)
            if not data:
                raise EOFError("the browser is gone")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        while True:
            for event in self.events:
                if event.get("method") == method:
                    return event
            self.events.append(self.receive())

    def open(self, path, **metrics):
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events.clear()
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", **({"width": 1300, "height": 900, "deviceScaleFactor": 1,
                                                           "mobile": False} | metrics))
        self.call("Page.navigate", url=path.as_uri())
        self.wait_for("Page.loadEventFired")

    def run(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def picture(self, name):
        if PICTURES:
            data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            (pathlib.Path(PICTURES) / name).write_bytes(base64.b64decode(data))


@unittest.skipUnless(CHROMIUM, "needs chromium")
class InBrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.page = tool.SCRATCH / "page.html"
        index = tool.SCRATCH / "page.sqlite"
        result = tool.run("scan", "--keyring", tool.KEYRING, "--index", index, "--html", cls.page, "--cutoff", "2023",
                          tool.SHARE)
        assert result.status == 1, result.stderr
        cls.browser = Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def rows(self, what="true"):
        return self.browser.run(f"""Array.from(document.querySelectorAll("#problems tbody tr"))
                                    .filter((row) => !row.hidden && {what})
                                    .map((row) => Array.from(row.cells, (cell) => cell.textContent))""")

    def type(self, text):
        self.browser.run(f"""(() => {{ const field = document.querySelector("#problems input");
                              field.value = {json.dumps(text)}; field.dispatchEvent(new Event("input")); }})()""")

    def test_loads_alone_and_without_complaint(self):
        self.browser.open(self.page)
        asked = [event["params"]["request"]["url"] for event in self.browser.events
                 if event.get("method") == "Network.requestWillBeSent"]
        self.assertEqual(asked, [self.page.as_uri()])
        complaints = [event for event in self.browser.events
                      if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")]
        self.assertEqual(complaints, [])
        self.assertEqual(self.browser.run("getComputedStyle(document.querySelector('.tiles')).display"), "grid")

    def test_search_and_choice(self):
        self.browser.open(self.page)
        everything = self.rows()
        self.assertGreater(len(everything), 20)
        self.type("DAMAGED sales")
        some = self.rows()
        self.assertTrue(some)
        self.assertLess(len(some), len(everything))
        for row in some:
            self.assertIn("damaged", " ".join(row))
            self.assertIn("sales", " ".join(row).lower())
        self.type("no such thing")
        self.assertEqual(self.rows(), [])
        self.type("")
        self.assertEqual(self.rows(), everything)
        self.browser.run("""(() => { const choice = document.querySelector("#problems select");
                             choice.value = "double-key"; choice.dispatchEvent(new Event("change")); })()""")
        self.assertEqual({row[1] for row in self.rows()}, {"double-key"})

    def test_sorting(self):
        self.browser.open(self.page)
        before = self.rows()
        for column, key in ((0, None), (3, "size")):
            click = f"document.querySelectorAll('#problems th button')[{column}].click()"
            self.browser.run(click)
            up = self.sizes() if key else [row[0] for row in self.rows()]
            self.browser.run(click)
            down = self.sizes() if key else [row[0] for row in self.rows()]
            self.assertEqual(up, down[::-1] if len(set(up)) == len(up) else sorted(down))
            if key:
                self.assertEqual(up, sorted(up))
        self.assertEqual(sorted(self.rows()), sorted(before))

    def sizes(self):
        return self.browser.run("""Array.from(document.querySelectorAll("#problems tbody tr"),
                                   (row) => Number(row.cells[3].dataset.v))""")

    def test_whole_without_script(self):
        self.browser.open(self.page)
        with_script = self.rows()
        self.browser.call("Emulation.setScriptExecutionDisabled", value=True)
        self.browser.events.clear()
        self.browser.call("Page.reload")
        self.browser.wait_for("Page.loadEventFired")
        self.assertEqual(self.rows(), with_script)
        self.assertIs(self.browser.run("document.querySelector('#problems .tools').hidden"), True)
        self.assertEqual(self.browser.run("document.querySelectorAll('th button').length"), 0)
        self.browser.call("Emulation.setScriptExecutionDisabled", value=False)

    def test_nothing_runs_out_of_the_window(self):
        for width in (1300, 1000, 700, 400):
            self.browser.open(self.page, width=width)
            self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), width)
            self.browser.picture(f"report-{width}.png")

    def test_dark(self):
        self.browser.open(self.page)
        light = self.browser.run("getComputedStyle(document.body).backgroundColor")
        self.browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.assertNotEqual(self.browser.run("getComputedStyle(document.body).backgroundColor"), light)
        self.browser.picture("report-dark.png")


if __name__ == "__main__":
    if not CHROMIUM:
        print("1..0 # SKIP chromium is not installed")
        sys.exit(77)
    unittest.main()
