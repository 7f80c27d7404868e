# SPDX-License-Identifier: Apache-2.0
"""What the tests of tpd share: the fixtures, the key set, running the tool."""
import atexit
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import scratch  # noqa: E402

FIXTURES = pathlib.Path(os.environ["TPD_FIXTURES"])
BUILD = pathlib.Path(os.environ["TPD_BUILD_ROOT"])
TPD = BUILD / "tools" / "tpd"
SHARE = FIXTURES / "share"
KEYS = FIXTURES / "keys"

MANIFEST = json.loads((FIXTURES / "manifest.json").read_text(encoding="utf-8"))["files"]
KEY_LIST = json.loads((KEYS / "README.json").read_text(encoding="utf-8"))
PFILES = [entry for entry in MANIFEST if entry["kind"] == "pfile"]
PLAIN = [entry for entry in MANIFEST if entry["kind"] == "plain"]

SCRATCH = pathlib.Path(tempfile.mkdtemp(prefix="tpd-test-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

# The key set the manifest speaks of: four TPDs, a keyless one and its PEM.
LOADED = [
    "tpd-cloud.xml",
    "tpd-cloud-archived.xml",
    "tpd-onprem.xml",
    "tpd-mode1-v1compatible.xml",
    "tpd-hsm-keyless.xml",
    "tpd-hsm-key.pem",
]

# No keyring of the user who runs the tests, and his language does not matter.
ENVIRONMENT = dict(os.environ, XDG_CONFIG_HOME=str(SCRATCH / "no-config"), LANG="C.UTF-8", LANGUAGE="", LC_ALL="")


def password_file(key_file):
    return (KEYS / key_file).with_suffix(".password.txt")


def write_private(name, text):
    path = SCRATCH / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def write_keyring(name, files):
    lines = []
    for number, file in enumerate(files):
        lines.append(f"[key-{number}]\nfile={KEYS / file}\n")
        if password_file(file).exists():
            lines.append(f"password-file={password_file(file)}\n")
    return write_private(name, "".join(lines))


KEYRING = write_keyring("keyring.conf", LOADED)
NO_KEYS = write_keyring("empty.conf", [])


def messages(stderr):
    """Standard error without what depends on the limits of this machine."""
    lines = stderr.decode("utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if "memory for secrets cannot be locked" not in line)


class Result:
    def __init__(self, done):
        self.status = done.returncode
        self.stdout = done.stdout
        self.stderr = messages(done.stderr)

    def objects(self):
        """The JSON lines of standard output."""
        return [json.loads(line) for line in self.stdout.decode("utf-8").splitlines()]


def run(*arguments, env=None, cwd=None, pass_fds=()):
    environment = ENVIRONMENT | (env or {})
    done = subprocess.run([TPD, *arguments], stdin=subprocess.DEVNULL, capture_output=True, env=environment, cwd=cwd,
                          pass_fds=pass_fds, start_new_session=True, timeout=120, check=False)
    return Result(done)


def small_disk(test, path, size):
    """A file system of `size` ("4m") at `path`, for as long as `test` runs; it is skipped where none can be mounted."""
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=False, capture_output=True)
    if done.returncode != 0:
        test.skipTest("cannot mount a tmpfs")
    test.addCleanup(subprocess.run, ["umount", path], check=False)
    return path


def popen(*arguments, **options):
    return subprocess.Popen([TPD, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=ENVIRONMENT, **options)


def expected_verdicts(entry):
    """The words that are right for a file that must not open: the manifest
    calls double key encryption 'unsupported'."""
    words = [entry["error"], *(entry.get("error_alt") or [])]
    if "double key" in (entry.get("notes") or ""):
        words.append("double-key")
    return words
