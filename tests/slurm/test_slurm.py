#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The array job of packaging/slurm on a real cluster of one node, where Slurm
is installed: its parts, joined, are one whole copy."""
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
import tool  # noqa: E402
from test_materialize import STATE, Case, tree  # noqa: E402

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue")
SUBMIT = pathlib.Path(os.environ["TPD_SOURCE_ROOT"]) / "packaging" / "slurm" / "submit"
SECONDS = 120


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@unittest.skipUnless(os.geteuid() == 0 and all(map(shutil.which, PROGRAMS)), "needs root, slurmctld and slurmd")
class Slurm(Case):
    def setUp(self):
        super().setUp()
        host = socket.gethostname().split(".")[0]
        state = self.dir / "slurm"
        for name in ("ctld", "d"):
            (state / name).mkdir(parents=True)
        self.conf = state / "slurm.conf"
        self.conf.write_text(f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
StateSaveLocation={state}/ctld
SlurmdSpoolDir={state}/d
SlurmctldPidFile={state}/ctld.pid
SlurmdPidFile={state}/d.pid
SlurmctldLogFile={state}/ctld.log
SlurmdLogFile={state}/d.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
""")
        self.environment = tool.ENVIRONMENT | {"SLURM_CONF": str(self.conf), "TPD": str(tool.TPD)}
        for program in ("slurmctld", "slurmd"):
            daemon = subprocess.Popen([shutil.which(program), "-D", "-f", self.conf], env=self.environment,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(daemon.wait)
            self.addCleanup(daemon.terminate)
        self.wait_for(lambda: self.ask("sinfo", "-h", "-o", "%T") in ("idle", "mixed", "allocated"), "a node")

    def ask(self, *command):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def wait_for(self, condition, what):
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"no {what}: " + "".join((self.dir / "slurm" / name).read_text()[-2000:]
                                                   for name in ("ctld.log", "d.log")))
            time.sleep(0.2)

    def test_parts_of_an_array_are_one_copy(self):
        whole = self.dir / "whole"
        self.good(tool.run("materialize", "--keyring", tool.KEYRING, tool.SHARE, whole), 1)
        done = subprocess.run([SUBMIT, "3", "--keyring", tool.KEYRING, tool.SHARE, self.dst], cwd=self.dir,
                              env=self.environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.wait_for(lambda: self.ask("squeue", "-h") == "", "end of the jobs")
        logs = "".join(path.read_text() for path in self.dir.glob("*.log"))
        self.assertTrue((self.dst / STATE / "manifest.jsonl").exists(), logs)
        self.assertEqual((self.dst / STATE / "manifest.jsonl").read_bytes(),
                         (whole / STATE / "manifest.jsonl").read_bytes())
        self.assertEqual(tree(self.dst), tree(whole))
        self.assertEqual(sorted(path.name for path in (self.dst / STATE).glob("manifest.*-of-3.jsonl")),
                         [f"manifest.{part}-of-3.jsonl" for part in (1, 2, 3)])
        self.assertIn("As written:", logs)


if __name__ == "__main__":
    unittest.main()
