# SPDX-License-Identifier: Apache-2.0
"""Memory in the same order for everybody. Which physical pages a file gets is
chance: pieces that were left over, and pages freed lately, last one first.
Pages in rising order are read up to half as fast again as those in falling order
(docs/performance.md), so that the order, not the file system, would be measured."""
import contextlib
import mmap
import os
import sys

SHORT_LISTS = "/proc/sys/vm/percpu_pagelist_high_fraction"
COMPACT = "/proc/sys/vm/compact_memory"
MADV_POPULATE_WRITE = 23
LARGE_ORDER = 9  # 2 MiB


def fragments():
    """Bytes of free memory that lie in pieces of less than 2 MiB."""
    pages = 0
    with open("/proc/buddyinfo", encoding="ascii") as file:
        for line in file:
            counts = [int(word) for word in line.split("zone")[1].split()[1:]]
            pages += sum(count << order for order, count in enumerate(counts[:LARGE_ORDER]))
    return pages * mmap.PAGESIZE


def available():
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))


def tell(path, value):
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


@contextlib.contextmanager
def held(size):
    """`size` bytes of memory that exist, in single pages, while it lasts. In a
    process of its own: what this one once had counts as its children's."""
    ready, told = os.pipe()
    go_on, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(done)
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            memory.madvise(mmap.MADV_NOHUGEPAGE)
            memory.madvise(MADV_POPULATE_WRITE)
            os.write(told, b".")
            os.read(go_on, 1)
        finally:
            os._exit(0)
    os.close(told)
    os.close(go_on)
    try:
        if os.read(ready, 1) == b"":
            raise RuntimeError(f"cannot hold {size} bytes of memory")
        yield
    finally:
        os.close(done)
        os.close(ready)
        os.waitpid(pid, 0)


def touch(size):
    """Uses memory and frees it. A virtual machine may have given free memory
    back to its host, and who uses it first waits for the host."""
    with held(min(size, available() // 2)):
        pass


def compact():
    """Free memory in pieces as large as can be; root only."""
    if os.geteuid() == 0 and os.path.exists(COMPACT):
        tell(COMPACT, "1")


@contextlib.contextmanager
def settled_memory():
    """While it lasts pages come from whole pieces, in rising order: free
    pieces are held, and freed pages go back to where they were. Root only; for
    others, and where the kernel has no such setting, memory stays as it is."""
    if os.geteuid() != 0 or not os.path.exists(SHORT_LISTS):
        print("memory is measured as it is found: only root can settle it", file=sys.stderr)
        yield
        return
    with open(SHORT_LISTS, encoding="ascii") as file:
        before = file.read().strip()
    try:
        tell(SHORT_LISTS, "8000000")  # the largest part of which the lists get one: as short as can be
        compact()
        size = min(fragments(), available() // 2)
        with held(max(size, mmap.PAGESIZE)):
            yield
    finally:
        tell(SHORT_LISTS, before)
