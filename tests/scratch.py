#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where tests make their files. Those of thousands of files make them in
memory where they can: some file systems of disks look at each number of a file
that was deleted shortly before when they give out a new one, which takes
minutes over what takes a second. As a program it prints that folder."""
import functools
import os
import shutil
import tempfile

MEMORY = "/dev/shm"
ENOUGH = 2 << 30


@functools.cache
def memory():
    """A folder in memory that has what a disk has, or None."""
    try:
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            kinds = [line.split()[2] for line in mounts if line.split()[1] == MEMORY]
        about = os.statvfs(MEMORY)
        if kinds[-1:] != ["tmpfs"] or about.f_flag & os.ST_NOEXEC or shutil.disk_usage(MEMORY).free < ENOUGH:
            return None
        with tempfile.NamedTemporaryFile(dir=MEMORY) as probe:
            os.setxattr(probe.fileno(), "user.tpdfs-test", b"x")  # Linux 6.6
    except OSError:
        return None
    return MEMORY


def of_many_files(prefix="tpdfs-many-"):
    """A new folder for thousands of files; the caller removes it."""
    return tempfile.mkdtemp(prefix=prefix, dir=memory())


if __name__ == "__main__":
    print(memory() or tempfile.gettempdir())
