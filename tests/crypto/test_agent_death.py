#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The key agent dies under a mount: what is open stays readable, what is new is EIO, nothing hangs."""
import errno
import os
import signal
import time
import unittest

import processes
from processes import harness, tool

ENTRIES = [e for e in tool.MANIFEST if e["kind"] == "pfile" and e["open"] and e["compare"] == "bytes"
           and e.get("key_role") in ("onprem", "cloud")]


class Death(harness.Scratch):
    def mount(self):
        return harness.Mount(str(tool.SHARE), [str(word) for word in harness.key_arguments()])

    def agent_of(self, mount):
        [agent] = processes.children(mount.process.pid, processes.AGENT)
        return agent

    def stop(self, agent):
        """Returns when none of its threads can answer any more: the signal comes to one of them first."""
        os.kill(agent, signal.SIGSTOP)
        end = time.monotonic() + 20
        while any((processes.stat_fields(f"{agent}/task/{task}") or ("", "T"))[1] != "T"
                  for task in os.listdir(f"/proc/{agent}/task")):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_open_files_go_on_new_ones_are_refused(self):
        with self.mount() as mount:
            first, *others = ENTRIES
            with open(mount(first["path"]), "rb") as file:
                start = file.read(64)
                os.kill(self.agent_of(mount), signal.SIGKILL)
                begin = time.monotonic()
                for entry in others[:8]:
                    self.assertErrno(errno.EIO, open, mount(entry["path"]), "rb")
                self.assertLess(time.monotonic() - begin, 10)
                file.seek(0)
                data = file.read()
            self.assertTrue(data.startswith(start))
            self.assertEqual(len(data), first["plain_size"])
            plain = next(e for e in tool.PLAIN if e["size"] > 0)
            with open(mount(plain["path"]), "rb") as file:
                self.assertEqual(len(file.read()), plain["size"])
            log = mount.log()
        self.assertEqual(log.count("the key agent (process"), 1, log)
        self.assertIn("mount again", log)

    def test_killed_while_it_is_asked(self):
        with self.mount() as mount:
            agent = self.agent_of(mount)
            self.stop(agent)
            children = []
            for entry in ENTRIES[:4]:
                child = os.fork()
                if child == 0:
                    try:
                        open(mount(entry["path"]), "rb").close()
                        os._exit(0)
                    except OSError as e:
                        os._exit(e.errno)
                children.append(child)
            time.sleep(0.5)
            os.kill(agent, signal.SIGKILL)
            for child in children:
                _pid, status = os.waitpid(child, 0)
                self.assertEqual(os.waitstatus_to_exitcode(status), errno.EIO)

    def test_unmount_ends_it(self):
        with self.mount() as mount:
            agent = self.agent_of(mount)
            self.assertEqual(mount.unmount(), 0)
        self.assertIn((processes.stat_fields(agent) or ("", "Z"))[1], "ZX")


if __name__ == "__main__":
    harness.main()
