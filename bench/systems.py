# SPDX-License-Identifier: Apache-2.0
"""What is compared: a directory, natively or through a file system."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

READ_AHEAD_KB = 1920


def is_mounted(path):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split()[4] == path for line in file)


class System:
    """`with system.mounted(source) as path:`"""

    name = "native"
    decrypts = False
    missing = None  # why it cannot be run

    def mounted(self, source):
        return Mounted(self, source)

    def start(self, source, path):
        """The process that serves, or None when it is a daemon."""
        raise NotImplementedError


class Native(System):
    def mounted(self, source):
        return Here(source)


class Here:
    seconds = 0

    def __init__(self, source):
        self.source = source

    def __enter__(self):
        self.path = self.source
        return self

    def __exit__(self, *exc):
        pass


class Mounted:
    def __init__(self, system, source):
        self.system, self.source = system, source
        self.process = None

    def __enter__(self):
        self.path = os.path.realpath(tempfile.mkdtemp(prefix="bench-"))
        begin = time.monotonic()
        try:
            self.process = self.system.start(self.source, self.path)
            while not is_mounted(self.path):
                if time.monotonic() - begin > 30 or (self.process is not None and self.process.poll() is not None):
                    raise RuntimeError(f"{self.system.name} did not mount")
                time.sleep(0.002)
        except BaseException:
            self.__exit__()
            raise
        self.seconds = time.monotonic() - begin
        self.system.tune(self.path)
        return self

    def __exit__(self, *exc):
        for _ in range(50):
            if not is_mounted(self.path):
                break
            subprocess.run(["fusermount3", "-u", self.path], stderr=subprocess.DEVNULL, check=False)
            time.sleep(0.05)
        if self.process is not None:
            self.process.wait(timeout=60)
        os.rmdir(self.path)

    def pid(self):
        if self.process is not None:
            return self.process.pid
        with open(os.path.join(self.path, ".tpdfs", "status.json"), encoding="utf-8") as file:
            return json.load(file)["pid"]


def read_ahead(path, kilobytes):
    """What only root may say: the same for the baseline as tpdfs says itself."""
    device = os.stat(path).st_dev
    try:
        with open(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb", "w", encoding="ascii") as file:
            file.write(str(kilobytes))
    except OSError:
        pass


def serve(*words):
    """In a session of its own, as a daemon is: where the kernel groups tasks
    by session, sharing that of the reader would favour it."""
    return subprocess.Popen(words, start_new_session=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Fuse(System):
    def tune(self, path):
        pass


class Bindfs(Fuse):
    name = "bindfs"

    def __init__(self):
        if shutil.which("bindfs") is None:
            self.missing = "bindfs is not installed"

    def start(self, source, path):
        return serve("bindfs", "-f", "-r", source, path)


class Gocryptfs(Fuse):
    name = "gocryptfs"

    def __init__(self, corpora):
        self.corpora = corpora
        if shutil.which("gocryptfs") is None:
            self.missing = "gocryptfs is not installed"

    def start(self, source, path):
        secret = os.path.join(self.corpora.folder, "gocryptfs.pass")
        return serve("gocryptfs", "-q", "-fg", "-ro", "-passfile", secret, source, path)


class Copyfs(Fuse):
    name = "copyfs"

    def __init__(self, build):
        self.program = os.path.join(build, "bench", "copyfs")

    def start(self, source, path):
        return serve(self.program, source, path)

    def tune(self, path):
        read_ahead(path, READ_AHEAD_KB)


class PassthroughHp(Fuse):
    """The example of libfuse; Debian has its source only. It holds a descriptor
    for each file it knows."""

    name = "passthrough_hp"

    def __init__(self):
        self.program = os.environ.get("PASSTHROUGH_HP") or shutil.which("passthrough_hp")
        if self.program is None:
            self.missing = "PASSTHROUGH_HP does not name the program"

    def start(self, source, path):
        return serve("sh", "-c", 'ulimit -n "$(ulimit -H -n)"; exec "$0" "$@"', self.program, "--nopassthrough", source,
                     path)


class Tpdfs(Fuse):
    decrypts = True

    def __init__(self, build, templates, name="tpdfs", options=()):
        self.name = name
        self.program = os.path.join(build, "fs", "tpdfs")
        self.arguments = [*templates.key_arguments(), *options]

    @staticmethod
    def has_word(build, word):
        text = subprocess.run([os.path.join(build, "fs", "tpdfs"), "--help"], stdout=subprocess.PIPE, text=True,
                              check=True).stdout
        return re.search(rf"^  {word}\b", text, re.M) is not None

    @staticmethod
    def has_passthrough(build):
        text = subprocess.run([os.path.join(build, "fs", "tpdfs"), "--version"], stdout=subprocess.PIPE, text=True,
                              check=True).stdout
        return os.geteuid() == 0 and tuple(map(int, re.search(r"libfuse (\d+)\.(\d+)", text).groups())) >= (3, 17)

    def start(self, source, path):
        subprocess.run([self.program, *self.arguments, source, path], check=True, stdin=subprocess.DEVNULL)
        return None
