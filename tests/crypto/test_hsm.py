#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keys in a PKCS#11 token: SoftHSM, started here with a token of its own, and the real programs."""
import ctypes
import errno
import glob
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

import processes
from processes import harness, tool

PIN, SO_PIN, TOKEN = "81726354", "00112233", "rms"
UTIL = shutil.which("softhsm2-util")
MODULES = sorted(glob.glob("/usr/lib/softhsm/libsofthsm2.so") + glob.glob("/usr/lib*/*/softhsm/libsofthsm2.so"))
HSM_FINGERPRINT, ONPREM_FINGERPRINT, MODE1_FINGERPRINT = (
    next(k["fingerprint"] for k in tool.KEY_LIST["keys"] + tool.KEY_LIST["tpds"] if k["file"] == name)
    for name in ("tpd-hsm-key.pem", "tpd-onprem.xml", "tpd-mode1-v1compatible.xml"))
# label, id, the file of the private key
KEYS = [
    ("slc-hsm", "01", tool.KEYS / "tpd-hsm-key.pem", HSM_FINGERPRINT),
    ("slc-onprem", "02", tool.KEYS / "alt" / "onprem.pkcs1.pem", ONPREM_FINGERPRINT),
    ("slc-mode1", "a0ff", tool.KEYS / "alt" / "mode1.pkcs1.pem", MODE1_FINGERPRINT),
]
PR_SET_CHILD_SUBREAPER = 36
# A module needs a moment of rest between two tries to reach a token.
RETRY = 1.2


def fixtures_of(*roles):
    return [e for e in tool.MANIFEST if e.get("key_role") in roles and e["open"] and e["compare"] == "bytes"
            and e["kind"] in ("pfile", "office-ooxml", "office-legacy", "xps") and e.get("plain_path")]


class SoftHsm:
    """A folder with a token that holds the three keys."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tpd-hsm-"))
        self.tokens = self.folder / "tokens"
        self.tokens.mkdir()
        self.config = self.folder / "softhsm2.conf"
        self.config.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n",
                               encoding="utf-8")
        self.environment = {"SOFTHSM2_CONF": str(self.config)}
        self.run("--init-token", "--free", "--label", TOKEN, "--so-pin", SO_PIN, "--pin", PIN)
        for label, key_id, pem, _fingerprint in KEYS:
            pkcs8 = self.folder / f"{label}.pem"
            subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", pem, "-out", pkcs8], check=True)
            self.run("--import", pkcs8, "--token", TOKEN, "--label", label, "--id", key_id, "--pin", PIN)
            pkcs8.unlink()
        self.pin_file = self.private("pin", PIN + "\n")

    def run(self, *arguments):
        subprocess.run([UTIL, *arguments], env=dict(os.environ, **self.environment), check=True, capture_output=True)

    def private(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    def keyring(self, name, *groups):
        """A keyring file; a group is a list of lines."""
        lines = [f"[{TOKEN}-{number}]\n" + "\n".join(group) + "\n" for number, group in enumerate(groups)]
        return self.private(name + ".conf", "".join(lines))

    def group(self, uri, *more, module=True, pin=True):
        lines = [f"uri={uri}", *more]
        if module:
            lines.append(f"module={MODULES[0]}")
        if pin:
            lines.append(f"pin-file={self.pin_file}")
        return lines

    def take_away(self):
        self.tokens.rename(self.folder / "away")
        self.tokens.mkdir()

    def bring_back(self):
        self.tokens.rmdir()
        (self.folder / "away").rename(self.tokens)

    def remove(self):
        shutil.rmtree(self.folder)


class Hsm(unittest.TestCase):
    def setUp(self):
        self.hsm = SoftHsm()
        self.addCleanup(self.hsm.remove)
        self.all = [self.hsm.group(f"pkcs11:token={TOKEN};object={label}") for label, *_ in KEYS]

    def run_tpd(self, *arguments, env=None, **options):
        return tool.run(*arguments, env=self.hsm.environment | (env or {}), **options)

    def keys(self, *groups, **options):
        return self.run_tpd("keys", "--json", "--allow-insecure-files", "--keyring",
                            self.hsm.keyring("keyring", *groups), **options)

    def refused(self, group, *words, status=3, **options):
        result = self.keys(group, **options)
        self.assertEqual((result.status, result.stdout), (status, b""), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertNotIn(PIN, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)


class Found(Hsm):
    def fingerprint(self, *lines, **options):
        result = self.keys(self.hsm.group(*lines), **options)
        self.assertEqual(result.status, 0, result.stderr)
        [key] = result.objects()
        return key["fingerprint"]

    def test_by_label(self):
        for label, _id, _pem, fingerprint in KEYS:
            self.assertEqual(self.fingerprint(f"pkcs11:token={TOKEN};object={label}"), fingerprint)

    def test_by_id(self):
        for _label, key_id, _pem, fingerprint in KEYS:
            encoded = "".join(f"%{key_id[at:at + 2]}" for at in range(0, len(key_id), 2))
            self.assertEqual(self.fingerprint(f"pkcs11:id={encoded};type=private"), fingerprint)

    def test_by_the_modulus_of_a_keyless_tpd(self):
        result = self.keys(self.hsm.group(f"pkcs11:token={TOKEN}", f"licensor={tool.KEYS / 'tpd-hsm-keyless.xml'}",
                                          f"password-file={tool.password_file('tpd-hsm-keyless.xml')}"))
        self.assertEqual(result.status, 0, result.stderr)
        [key] = result.objects()
        [expected] = [k for k in tool.KEY_LIST["tpds"] if k["file"] == "tpd-hsm-keyless.xml"]
        self.assertEqual((key["state"], key["guid"], key["fingerprint"], key["licensor_name"]),
                         ("held", expected["guid"], expected["fingerprint"], expected["slc_name"]))
        self.assertEqual((key["origin"], key["path"]), ("pkcs11", f"pkcs11:token={TOKEN}"))
        self.assertEqual((key["csp_name"], key["key_container"]), (TOKEN, "slc-hsm"))
        self.assertEqual([t["guid"] for t in key["templates"]], [t["guid"] for t in expected["templates"]])

    def test_keyless_tpd_in_a_group_of_its_own(self):
        result = self.keys(self.all[0], [f"file={tool.KEYS / 'tpd-hsm-keyless.xml'}",
                                         f"password-file={tool.password_file('tpd-hsm-keyless.xml')}"])
        self.assertEqual(result.status, 0, result.stderr)
        [key] = result.objects()
        self.assertEqual((key["state"], key["licensor_name"], key["origin"]), ("held", "Contoso Ltd HSM", "pkcs11"))

    def test_the_wrong_licensor_is_refused(self):
        self.refused(self.hsm.group("pkcs11:object=slc-onprem", f"licensor={tool.KEYS / 'tpd-hsm-keyless.xml'}",
                                    f"password-file={tool.password_file('tpd-hsm-keyless.xml')}"),
                     "modulus of the licensor", '"slc-onprem"')

    def test_key_alone(self):
        result = self.keys(*self.all)
        self.assertEqual(result.status, 0, result.stderr)
        shown = result.objects()
        self.assertEqual([k["fingerprint"] for k in shown], [fingerprint for *_, fingerprint in KEYS])
        for key, (label, *_) in zip(shown, KEYS):
            self.assertEqual((key["state"], key["origin"], key["guid"], key["key_container"]),
                             ("held", "pkcs11", None, label))

    def test_module_of_the_uri_and_the_default_one(self):
        self.assertEqual(self.fingerprint(f"pkcs11:object=slc-onprem?module-path={MODULES[0]}"), ONPREM_FINGERPRINT)
        if not glob.glob("/usr/lib/*/libp11-kit.so.0") or not glob.glob("/usr/share/p11-kit/modules/softhsm*"):
            self.skipTest("p11-kit does not know SoftHSM here")
        result = self.keys(self.hsm.group(f"pkcs11:token={TOKEN};object=slc-onprem", module=False))
        self.assertEqual(result.status, 0, result.stderr)

    def test_several_keys_are_told_apart(self):
        self.refused(self.hsm.group(f"pkcs11:token={TOKEN}"), "several keys", '"slc-hsm"', '"slc-mode1"', "licensor=")

    def test_what_is_not_there(self):
        self.refused(self.hsm.group("pkcs11:object=nothing"), "no private RSA key", '"slc-onprem"')
        self.refused(self.hsm.group("pkcs11:token=other;object=slc-hsm"), "No token is there", f'"{TOKEN}"')
        self.refused(self.hsm.group("pkcs11:object=slc-hsm", "module=/tmp/own.so", module=False),
                     "/tmp/own.so", "directories", "ln -s", status=2)
        missing = str(pathlib.Path(MODULES[0]).parent / "absent.so")
        self.refused(self.hsm.group("pkcs11:object=slc-hsm", f"module={missing}", module=False), missing, "No such file",
                     status=2)

    def test_two_tokens(self):
        self.hsm.run("--init-token", "--free", "--label", "second", "--so-pin", SO_PIN, "--pin", PIN)
        self.assertEqual(self.fingerprint(f"pkcs11:token={TOKEN};object=slc-onprem"), ONPREM_FINGERPRINT)
        self.refused(self.hsm.group("pkcs11:object=slc-onprem"), "2 tokens", '"second"', "token=")


class Pin(Hsm):
    URI = f"pkcs11:token={TOKEN};object=slc-hsm"

    def opens(self, *lines, **options):
        result = self.keys(self.hsm.group(*lines, pin=False), **options)
        self.assertEqual(result.status, 0, result.stderr)

    def test_from_file_credential_descriptor_and_pin_source(self):
        self.opens(self.URI, f"pin-file={self.hsm.pin_file}")
        self.opens(f"{self.URI}?pin-source=file:{self.hsm.pin_file}")
        self.opens(self.URI, "credential=pin", env={"CREDENTIALS_DIRECTORY": str(self.hsm.folder)})
        read_end, write_end = os.pipe()
        os.write(write_end, PIN.encode())
        os.close(write_end)
        self.opens(self.URI, f"password-fd={read_end}", pass_fds=[read_end])
        os.close(read_end)

    def test_wrong(self):
        self.hsm.pin_file.write_text("11111111", encoding="ascii")
        self.refused(self.hsm.group(self.URI), "PIN is wrong", f'"{TOKEN}"')

    def test_none_and_no_terminal(self):
        self.refused(self.hsm.group(self.URI, pin=False), "No PIN", "pin-file=")

    def test_typed(self):
        keyring = self.hsm.keyring("keyring", self.hsm.group(self.URI, pin=False))
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(tool.TPD, ["tpd", "keys", "--keyring", str(keyring)], tool.ENVIRONMENT | self.hsm.environment)
        shown = b""
        while True:
            try:
                block = os.read(terminal, 4096)
            except OSError:  # EIO when it is gone
                break
            if not block:
                break
            shown += block
            if shown.endswith(f"PIN for {self.URI}: ".encode()):
                os.write(terminal, PIN.encode() + b"\n")
        os.close(terminal)
        _pid, status = os.waitpid(pid, 0)
        self.assertEqual(status, 0, shown)
        self.assertIn(b"held", shown)
        self.assertNotIn(PIN.encode(), shown)

    def test_file_that_others_can_read(self):
        self.hsm.pin_file.chmod(0o644)
        keyring = self.hsm.keyring("keyring", self.hsm.group(self.URI))
        result = self.run_tpd("keys", "--keyring", keyring)
        self.assertEqual(result.status, 3)
        self.assertIn("chmod 600", result.stderr)

    def test_not_in_the_uri(self):
        self.refused(self.hsm.group(f"{self.URI}?pin-value={PIN}", pin=False), "holds a PIN", "pin-file=")


class Opens(Hsm):
    def test_documents_of_both_modes(self):
        keyring = self.hsm.keyring("keyring", *self.all)
        entries = fixtures_of("hsm", "onprem", "mode1")
        self.assertGreater(len(entries), 20)
        self.assertEqual({e["crypto_mode"] for e in entries}, {1, 2})
        result = self.run_tpd("cat", "--keyring", keyring, *(tool.SHARE / e["path"] for e in entries))
        self.assertEqual((result.status, result.stderr), (0, ""))
        expected = b"".join((tool.FIXTURES / "plain" / e["plain_path"]).read_bytes() for e in entries)
        self.assertEqual(result.stdout, expected)

    def test_copies_with_keys_of_token_and_file_together(self):
        """One worker asks for sixteen files in one message, whose keys are here and there."""
        entries = fixtures_of("hsm", "onprem", "mode1", "cloud")
        self.assertEqual(len({e["key_role"] for e in entries}), 4)
        source, target = self.hsm.folder / "source", self.hsm.folder / "target"
        source.mkdir()
        for number, entry in enumerate(entries):
            shutil.copy(tool.SHARE / entry["path"],
                        source / f"{number:04}{pathlib.Path(entry['path']).name.encode().hex()[:40]}")
        keyring = self.hsm.keyring("keyring", *self.all,
                                   [f"file={tool.KEYS / 'tpd-cloud.xml'}",
                                    f"password-file={tool.password_file('tpd-cloud.xml')}"])
        result = self.run_tpd("materialize", "--quiet", "--allow-insecure-files", "--jobs", "1", "--keyring", keyring,
                              source, target)
        self.assertEqual((result.status, result.stderr), (0, ""))
        got = {path.name[:4]: path.read_bytes() for path in target.iterdir() if path.is_file()}
        want = {f"{number:04}": (tool.FIXTURES / "plain" / entry["plain_path"]).read_bytes()
                for number, entry in enumerate(entries)}
        self.assertEqual(got, want)

    def test_no_helper_is_left(self):
        # Orphans come to us.
        self.assertEqual(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0)
        for groups, status in (([*self.all], 0), ([self.all[0], self.hsm.group("pkcs11:object=nothing")], 3)):
            self.assertEqual(self.keys(*groups).status, status)
            with self.assertRaises(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)

    @unittest.skipUnless(os.geteuid() == 0, "needs root and another user")
    def test_as_an_ordinary_user(self):
        user = 65534
        if subprocess.run([tool.TPD, "keys", "--help"], user=user, group=user, extra_groups=[], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("the build is not to be read by others")
        keyring = self.hsm.keyring("keyring", *self.all)
        for path in [self.hsm.folder, *self.hsm.folder.rglob("*")]:
            os.chown(path, user, user)
        done = subprocess.run([tool.TPD, "keys", "--keyring", keyring], user=user, group=user, extra_groups=[],
                              env=tool.ENVIRONMENT | self.hsm.environment, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count(b"held"), 3)

    @unittest.skipUnless(os.geteuid() == 0, "only root can look into undumpable processes")
    def test_private_numbers_are_in_the_token_only(self):
        numbers = processes.RsaNumbers(tool.KEYS / "alt" / "onprem.pkcs1.pem")
        keyring = self.hsm.keyring("keyring", self.all[1])
        files = [tool.SHARE / e["path"] for e in fixtures_of("onprem")] * 4
        process = subprocess.Popen([tool.TPD, "cat", "--keyring", keyring, *files], stdout=subprocess.PIPE,
                                   env=tool.ENVIRONMENT | self.hsm.environment)
        try:
            # The helper first: until it has begun it is called as the agent.
            [helper] = processes.wait_until(lambda: processes.children(process.pid, processes.HELPER), "no helper")
            [agent] = processes.children(process.pid, processes.AGENT)
            processes.wait_until(lambda: processes.sleeps(process.pid), "it does not block")
            for pid in (process.pid, agent):
                self.assertTrue(processes.search(pid, numbers.public_needle()))
                self.assertEqual(processes.search(pid, numbers.private_needles()), [])
            # And the PIN in neither, after it was handed over.
            for pid in (process.pid, agent):
                self.assertEqual(processes.search(pid, [("PIN", PIN.encode())]), [])
            self.assertTrue(processes.search(helper, [("PIN", PIN.encode())]))
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@unittest.skipUnless(harness.fuse_available(), "no fuse")
class Mounted(Hsm):
    def mount(self, *groups):
        os.environ.update(self.hsm.environment)
        self.addCleanup(os.environ.pop, "SOFTHSM2_CONF")
        return harness.Mount(str(tool.SHARE), ["--keyring", str(self.hsm.keyring("keyring", *groups)),
                                               "--allow-insecure-files"])

    def digest(self, mount, entry):
        return harness.sha256_file(mount(entry["path"]))

    def assert_eio(self, mount, entry):
        begin = time.monotonic()
        with self.assertRaises(OSError) as caught:
            open(mount(entry["path"]), "rb").close()
        self.assertEqual(caught.exception.errno, errno.EIO)
        self.assertLess(time.monotonic() - begin, 20)

    def entries(self, role):
        # pfiles keep their plain size in clear: only opening them needs the key
        return [e for e in fixtures_of(role) if e["kind"] == "pfile"]

    def test_token_taken_away_and_brought_back(self):
        with self.mount(*self.all) as mount:
            first, second, third = self.entries("onprem")[:3]
            with open(mount(first["path"]), "rb") as file:
                start = file.read(10)
                self.hsm.take_away()
                for _ in range(3):
                    self.assert_eio(mount, second)
                file.seek(0)
                self.assertEqual(file.read()[:10], start)
            self.assertEqual(mount.log().count(f'The token "{TOKEN}" cannot be used now'), 1, mount.log())
            self.hsm.bring_back()
            time.sleep(RETRY)
            for entry in (second, third):
                self.assertEqual(self.digest(mount, entry), entry["plain_sha256"])
            self.assertEqual(mount.log().count("its token works again"), 1, mount.log())

    def test_wrong_pin_mounts_nothing(self):
        self.hsm.pin_file.write_text("11111111", encoding="ascii")
        for foreground in (True, False):
            mount = harness.Mount(str(tool.SHARE), ["--keyring", str(self.hsm.keyring("keyring", self.all[0])),
                                                    "--allow-insecure-files"], foreground=foreground)
            with unittest.mock.patch.dict(os.environ, self.hsm.environment), self.assertRaises(RuntimeError) as caught:
                mount.start()
            self.addCleanup(mount.stop)
            self.assertEqual(mount.process.returncode, 3)
            self.assertIn("PIN is wrong", str(caught.exception))
            self.assertNotIn("11111111", str(caught.exception))
            self.assertFalse(harness.is_mounted(mount.path))

    def test_helper_killed(self):
        with self.mount(self.all[1], [f"file={tool.KEYS / 'tpd-cloud.xml'}",
                                      f"password-file={tool.password_file('tpd-cloud.xml')}"]) as mount:
            first, second = self.entries("onprem")[:2]
            self.assertEqual(self.digest(mount, first), first["plain_sha256"])
            [helper] = processes.children(mount.process.pid, processes.HELPER)
            os.kill(helper, signal.SIGKILL)
            for _ in range(2):
                self.assert_eio(mount, second)
            # The other keys are not touched by it.
            other = self.entries("cloud")[0]
            self.assertEqual(self.digest(mount, other), other["plain_sha256"])
            self.assertEqual(mount.log().count("has died"), 1, mount.log())

    def test_unmount_ends_agent_and_helper(self):
        with self.mount(self.all[0]) as mount:
            pids = [pid for name in (processes.AGENT, processes.HELPER)
                    for pid in processes.children(mount.process.pid, name)]
            self.assertEqual(len(pids), 2)
            self.assertEqual(mount.unmount(), 0)
        for pid in pids:
            self.assertIn((processes.stat_fields(pid) or ("", "Z"))[1], "ZX")


if __name__ == "__main__":
    if UTIL is None or not MODULES:
        sys.stderr.write("softhsm2 is not installed: skipped\n")
        sys.exit(77)
    unittest.main(verbosity=2)
