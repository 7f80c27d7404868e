# SPDX-License-Identifier: Apache-2.0
"""The cases: what is measured, on which systems, and the ratios to reach."""
import atexit
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

import settle
import systems

FORMS = {
    "plain": ("", "plain.bin"),
    "pfile": ("protected", "data.bin"),
    "ooxml-ecb": ("protected", "ecb.docx"),
    "ooxml-cbc": ("protected", "cbc.docx"),
}
RANDOM_READS = 20000  # so many that opening the file does not count
REST = 0.3  # seconds until a mount has started, and its threads have found their places
SAMPLES = {"seq": 3, "rand": 6}  # for each repetition, of what scatters most
# copyfs reads the plain bytes.
PROTECTED_GOALS = {
    "seq": [("tpdfs", "gocryptfs", 1.5), ("tpdfs", "copyfs", 0.9)],
    "rand": [("tpdfs", "copyfs", 0.9)],
    "par": [("tpdfs", "gocryptfs", 1.5)],
    "mmap": [("tpdfs", "gocryptfs", 1.5)],
}


class Wrong(Exception):
    """A system gave other bytes than the source has."""


class Case:
    """`columns`: {system: sample()}, each sample a number in `unit`, so many of
    them for each repetition; `around` is a context in which all are taken. Where
    systems are measured at the same time, `together` takes their names and gives
    {system: sample}."""

    def __init__(self, name, unit, columns, goals=(), repetitions=None, around=contextlib.nullcontext, samples=1,
                 together=None):
        self.name, self.unit, self.columns, self.goals = name, unit, columns, goals
        self.repetitions, self.around, self.samples, self.together = repetitions, around, samples, together

    def sample(self, order):
        """{system: sample}, taken in this order."""
        if self.together is not None:
            return self.together(order)
        return {name: self.columns[name]() for name in order}


class Bench:
    """The cases; they are named without anything, and made once it is prepared."""

    def prepare(self, build, corpora, templates, options):
        self.build, self.corpora, self.options = build, corpora, options
        self.trash = None
        self.reader_program = os.path.join(build, "bench", "reader")
        self.tpd = os.path.join(build, "tools", "tpd")
        self.key_arguments = templates.key_arguments()
        self.native = systems.Native()
        self.copyfs = systems.Copyfs(build)
        self.bindfs = systems.Bindfs()
        self.gocryptfs = systems.Gocryptfs(corpora)
        self.passthrough_hp = systems.PassthroughHp()
        self.products = [systems.Tpdfs(build, templates, "tpdfs", options.tpdfs_option)]
        if systems.Tpdfs.has_passthrough(build):
            self.products.append(systems.Tpdfs(build, templates, "tpdfs-copy",
                                               [*options.tpdfs_option, "--passthrough=off"]))
        self.templates = templates

    # --- Samples --------------------------------------------------------

    def read(self, *words):
        return self.read_each(*words)[0]

    def read_each(self, *words):
        result = subprocess.run([self.reader_program, *map(str, words)], stdout=subprocess.PIPE, check=True)
        return [json.loads(line) for line in result.stdout.splitlines()]

    @staticmethod
    def run(*words, **keywords):
        keywords.setdefault("stdout", subprocess.DEVNULL)
        begin = time.monotonic()
        subprocess.run(words, check=True, **keywords)
        return time.monotonic() - begin

    def big_place(self, system, form):
        """(source to mount, path in it) of the large file for this system."""
        big = self.corpora.big()
        if system is self.gocryptfs:
            return self.corpora.encrypted("big", big, ["plain.bin"]), "plain.bin"
        if not system.decrypts:
            return big, "plain.bin"
        folder, name = FORMS[form]
        return os.path.join(big, folder), name

    def warm_source(self, source):
        """The source's own pages; what is measured is the file system."""
        for at, _, names in os.walk(source):
            for name in names:
                with open(os.path.join(at, name), "rb", buffering=0) as file:
                    while file.read(1 << 22):
                        pass

    def read_anew(self, sources):
        """Who read a file first, and how, decides in what pieces it lies in the
        page cache, for as long as it is there."""
        settle.compact()
        for source in sources:
            for at, _, names in os.walk(source):
                for name in names:
                    with open(os.path.join(at, name), "rb", buffering=0) as file:
                        os.fsync(file.fileno())
                        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.warm_source(source)

    def big_sample(self, system, form, manner, *words):
        source, name = self.big_place(system, form)
        expected = self.read(manner, os.path.join(self.corpora.big(), "plain.bin"), *words)["xor"]

        def sample():
            settle.touch(self.corpora.big_size * 3 // 2)
            with system.mounted(source) as mounted:
                path = os.path.join(mounted.path, name)
                time.sleep(REST)
                result = self.read(manner, path, *words)
            if result["xor"] != expected:
                raise Wrong(f"{system.name} gave other bytes of {name}")
            return result["bytes"] / result["seconds"] / 1e6

        return sample

    def samples_in_turns(self, systems_of, form, words, warm):
        """All at once, in turns of milliseconds: single samples of one system after
        the other differ by a fifth, and which is the faster half second is chance."""
        expected = self.read(*words, os.path.join(self.corpora.big(), "plain.bin"))["xor"]

        def sample(order):
            if not warm:
                settle.touch(self.corpora.big_size * (len(order) + 1 if words[0] == "seq" else 1))
            with contextlib.ExitStack() as stack:
                paths = []
                for name in order:
                    source, file = self.big_place(systems_of[name], form)
                    paths.append(os.path.join(stack.enter_context(systems_of[name].mounted(source)).path, file))
                # The second time the kernel notes of each page that it is in use; the
                # source's have been read often.
                for path in paths * 2 if warm else []:
                    self.read(*words, path)
                time.sleep(REST)
                results = dict(zip(order, self.read_each(*words, *paths)))
            for name, result in results.items():
                if result["xor"] != expected:
                    raise Wrong(f"{name} gave other bytes of {form}")
            amount, unit = ("operations", 1) if words[0] == "rand" else ("bytes", 1e6)
            return {name: result[amount] / unit / result["seconds"] for name, result in results.items()}

        return sample

    # --- Large files ----------------------------------------------------

    def all_systems(self):
        return [s for s in (self.native, self.copyfs, self.bindfs, self.gocryptfs, *self.products) if not s.missing]

    def big_case(self, name, form, manner, warm, goals, *words):
        self.read_anew({self.corpora.big(), *(self.big_place(s, form)[0] for s in self.all_systems() if not s.decrypts)})
        if manner not in SAMPLES:
            columns = {s.name: self.big_sample(s, form, manner, *words) for s in self.all_systems()}
            return Case(name, "MB/s", columns, goals)
        systems_of = {s.name: s for s in self.all_systems()}
        return Case(name, "reads/s" if manner == "rand" else "MB/s", systems_of, goals, samples=SAMPLES[manner],
                    together=self.samples_in_turns(systems_of, form, (manner, *words), warm),
                    around=settle.settled_memory if warm and not self.options.memory_as_found else contextlib.nullcontext)

    def big_cases(self):
        for form in FORMS:
            for manner, word, warm, more in (("seq-cold", "seq", False, ()), ("seq-warm", "seq", True, ()),
                                             ("random", "rand", False, (RANDOM_READS,)), ("parallel", "par", False, (8,)),
                                             ("mmap", "mmap", False, ())):
                yield f"{manner}-{form}", lambda n, f=form, w=word, c=warm, m=more: self.big_case(
                    n, f, w, c, self.big_goals(f, w, c), *m)

    def big_goals(self, form, manner, warm):
        if warm:
            return [("tpdfs", "native", 0.8)]
        return (self.plain_goals() if form == "plain" else PROTECTED_GOALS)[manner]

    def plain_goals(self):
        """Those of the mount that reads them itself, and of the kernel's passthrough where there is any."""
        names = [product.name for product in self.products]
        goals = {manner: [(names[-1], "copyfs", 1.0)] for manner in ("seq", "rand", "par", "mmap")}
        if len(names) > 1:
            goals["seq"].append(("tpdfs", "native", 0.9))
            goals["rand"].append(("tpdfs", "native", 0.8))
        return goals

    # --- Trees ----------------------------------------------------------

    def tree_place(self, system, tree):
        return self.corpora.encrypted("tree", tree) if system is self.gocryptfs else tree

    def tree_case(self, name, action, unit="s", products=None, goals=(), tree=None, others=None):
        tree = tree or self.corpora.tree()
        self.warm_source(tree)
        subprocess.run(["find", tree, "-type", "f", "-size", "+0"], stdout=subprocess.DEVNULL, check=True)
        columns = {}
        for system in [*(others if others is not None else self.all_systems()), *(products or [])]:
            source = self.tree_place(system, tree)
            # gocryptfs has names and inodes of its own to be read.
            subprocess.run(["find", source, "-size", "+0"], stdout=subprocess.DEVNULL, check=True)

            def sample(system=system, source=source):
                with system.mounted(source) as mounted:
                    return action(mounted.path)

            columns[system.name] = sample
        return Case(name, unit, columns, goals)

    def find_size(self, path):
        return self.run("find", path, "-type", "f", "-size", "+0")

    def without_mail(self):
        """The tree without the files whose size is known only when they are decoded."""
        def make(path):
            subprocess.run(["cp", "-r", self.corpora.tree() + "/.", path], check=True)
            subprocess.run(["find", path, "-name", "*.eml", "-delete"], check=True)

        return self.corpora.get("tree-without-mail", self.corpora.tree_files, make)

    def with_index(self):
        """The product with a warm index."""
        path = os.path.join(self.corpora.folder, f"index-{os.path.basename(self.corpora.tree())}.sqlite")
        subprocess.run([self.tpd, "scan", "--quiet", "--deep", "--index", path, *self.key_arguments,
                        self.corpora.tree()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return [systems.Tpdfs(self.build, self.templates, "tpdfs-index",
                              [*self.options.tpdfs_option, f"--index={path}"])]

    def find_name(self, path):
        folders = [os.path.join(path, f"d{i:05}") for i in range(30)]
        return self.run("find", *[f for f in folders if os.path.isdir(f)], "-name", "*7*")

    def tree_cases(self):
        yield "find-size", lambda n: self.tree_case(n, self.find_size, products=self.with_index(), goals=[
            ("tpdfs", "bindfs", 1, "<="), ("tpdfs-index", "native", 4, "<="), ("tpdfs-index", "gocryptfs", 1, "<=")])
        yield "find-size-without-mail", lambda n: self.tree_case(
            n, self.find_size, tree=self.without_mail(), others=[self.native, self.copyfs, self.bindfs, *self.products],
            goals=[("tpdfs", "native", 5, "<="), ("tpdfs", "bindfs", 1, "<=")])
        yield "find-name", lambda n: self.tree_case(
            n, self.find_name, products=[hp for hp in [self.passthrough_hp] if not hp.missing], goals=[
                ("tpdfs", "copyfs", 1.5, "<="), ("tpdfs", "passthrough_hp", 1.5, "<=")])
        yield "ls-l", lambda n: self.tree_case(n, lambda path: self.read("stat", path)["seconds"])
        yield "ls-l-one", lambda n: self.tree_case(
            n, lambda path: self.run("ls", "-lU", path), tree=self.corpora.flat(),
            others=[s for s in self.all_systems() if s is not self.gocryptfs])
        yield "tree-read", lambda n: self.tree_case(n, lambda path: self.read("tree", path)["seconds"])
        yield "startup", lambda n: self.startup_case(n, self.corpora.many())
        yield "memory", lambda n: self.memory_case(n)

    def startup_case(self, name, tree):
        columns = {}
        for system in [s for s in self.all_systems() if s not in (self.native, self.gocryptfs)]:
            def sample(system=system):
                with system.mounted(tree) as mounted:
                    os.stat(mounted.path)
                    return mounted.seconds * 1000
            columns[system.name] = sample
        return Case(name, "ms", columns, [("tpdfs", None, 100, "<=")])

    # --- Memory ---------------------------------------------------------

    @staticmethod
    def anonymous(pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024

    def memory_case(self, name):
        """Anonymous resident memory in MiB: after a walk, and after the kernel
        has forgotten (root only)."""
        tree = self.corpora.many()
        results = {}

        def walk(system):
            with system.mounted(tree) as mounted:
                before = self.anonymous(mounted.pid())
                self.find_size(mounted.path)
                after = self.anonymous(mounted.pid())
                results[system.name] = after
                left = None
                if os.geteuid() == 0:
                    drop_caches(2)
                    left = after
                    for _ in range(100):
                        time.sleep(0.1)
                        now = self.anonymous(mounted.pid())
                        if now >= left and left < after / 2:
                            break
                        left = min(left, now)
                results[system.name + "-forgotten"] = left
                results[system.name + "-before"] = before
            return after

        columns = {}
        for system in (self.products[0], self.copyfs):
            columns[system.name] = lambda system=system: walk(system)
            columns[system.name + "-forgotten"] = lambda system=system: results[system.name + "-forgotten"] or 0
            columns[system.name + "-before"] = lambda system=system: results[system.name + "-before"]
        return Case(name, "MiB", columns, [("tpdfs", None, 250, "<="), ("tpdfs-forgotten", None, 100, "<=")],
                    repetitions=1)

    # --- The tool -------------------------------------------------------

    def tool_cases(self):
        yield "materialize-large", lambda n: self.materialize_case(n)
        yield "materialize-small", lambda n: self.small_case(n)
        yield "scan-cold", lambda n: self.scan_case(n, "cold")
        yield "scan-warm", lambda n: self.scan_case(n, "warm")
        yield "scan-memory", lambda n: self.scan_memory_case(n)
        if os.geteuid() == 0:
            yield "scan-disk", lambda n: self.scan_case(n, "disk")

    def scratch(self):
        """A new folder, removed when all is measured: a file system may look
        for a long time for an inode that was not freed a moment ago."""
        if self.trash is None:
            self.trash = tempfile.mkdtemp(prefix="bench-", dir=self.corpora.folder)
            atexit.register(shutil.rmtree, self.trash, ignore_errors=True)
        return tempfile.mkdtemp(dir=self.trash)

    def timed_copy(self, *words):
        """Until all is on the disk. The last word is completed by the place."""
        path = self.scratch()
        os.sync()
        begin = time.monotonic()
        subprocess.run([*words, os.path.join(path, "out")], stdout=subprocess.DEVNULL, check=True)
        subprocess.run(["sync", "-f", path], check=True)
        return time.monotonic() - begin

    def materialize(self, source):
        return self.timed_copy(self.tpd, "materialize", "--quiet", *self.key_arguments, source)

    def materialize_case(self, name):
        source = os.path.join(self.corpora.big(), "protected")
        megabytes = sum(entry.stat().st_size for entry in os.scandir(source)) / 1e6
        self.warm_source(source)
        return Case(name, "MB/s", {"cp": lambda: megabytes / self.timed_copy("cp", "-r", source),
                                   "tpd": lambda: megabytes / self.materialize(source)}, [("tpd", "cp", 0.4)])

    def small_case(self, name):
        source, files = self.corpora.small(), self.corpora.small_files
        self.warm_source(source)

        def rsa():
            text = subprocess.run(["openssl", "speed", "-seconds", "2", "-multi", str(os.cpu_count()), "rsa2048"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
            head = next(line for line in text.splitlines() if "sign/s" in line).split()
            line = next(line for line in text.splitlines() if re.match(r"rsa +2048 bits", line))
            # Columns of times come first, with a unit; the rates in the same order as their heads.
            rates = [head.index(word) for word in head if word.endswith("/s")]
            return float(line.split("bits")[1].split()[rates[0]])

        return Case(name, "files/s", {
            "openssl-rsa2048": rsa, "cp": lambda: files / self.timed_copy("cp", "-r", source),
            "tpd": lambda: files / self.materialize(source)}, [("tpd", "openssl-rsa2048", 0.7)])

    def share(self):
        """The tree of a scan: a tenth is protected, each file with a license of its own."""
        count = 2 * self.corpora.tree_files
        return self.corpora.get("tree", count, lambda path: self.corpora.make_tree(path, count))

    def scan(self, tree, fresh):
        """Without keys: the index is looked into and nothing else."""
        index = os.path.join(self.corpora.folder, "scan.sqlite")
        keyring = os.path.join(self.corpora.folder, "no-keys.conf")
        with open(os.open(keyring, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii"):
            pass
        for suffix in ("", "-wal", "-shm") if fresh else ():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(index + suffix)
        process = subprocess.Popen([self.tpd, "scan", "--quiet", "--keyring", keyring, "--index", index, tree],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            raise RuntimeError(f"tpd scan: exit status {process.returncode}")
        return usage.ru_maxrss / 1024

    def scan_case(self, name, what):
        """`cold`: no index; `warm`: one that knows all; both with the tree in the
        caches of the kernel. `disk`: no index, and the caches dropped."""
        tree = self.share()
        goals = {"cold": [("tpd", "find", 4, "<=")], "warm": [("tpd", "find", 1.5, "<=")], "disk": []}[what]
        if what != "disk":
            self.warm_source(tree)
            self.find_size(tree)
        if what == "warm":
            self.scan(tree, True)

        def find():
            if what == "disk":
                drop_caches(3)
            return self.find_size(tree)

        def product():
            if what == "disk":
                drop_caches(3)
            begin = time.monotonic()
            self.scan(tree, what != "warm")
            return time.monotonic() - begin

        return Case(name, "s", {"find": find, "tpd": product}, goals)

    def scan_memory_case(self, name):
        tree = self.share()
        return Case(name, "MiB", {"tpd": lambda: self.scan(tree, True)}, [("tpd", None, 200, "<=")],
                    repetitions=1)

    def all(self):
        yield from self.big_cases()
        yield from self.tree_cases()
        yield from self.tool_cases()


def drop_caches(what):
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write(str(what))
