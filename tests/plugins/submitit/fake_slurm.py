"""Slurm's commands, as far as codrun and submitit use them, for a machine without it: one file under five names.

Jobs are processes; each has a file in ``$FAKE_SLURM`` that names its process and itself. Behaves as Slurm 22.05 did
when the tests were also run against it: ids of arrays, which jobs are listed, and that jobs outlive who submitted them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol")


def install(folder: Path) -> None:
    """Put the commands into ``folder / "bin"``."""
    (folder / "bin").mkdir()
    for name in COMMANDS:
        path = folder / "bin" / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        path.chmod(0o755)


def place() -> Path:
    return Path(os.environ["FAKE_SLURM"])


def flags(text: str) -> dict[str, str]:
    found = re.findall(r"--([\w-]+)(?:=(?:'([^']*)'|(\S+)))?", text)
    return {name: quoted or plain for name, quoted, plain in found}


def sbatch(script: str) -> None:
    text = Path(script).read_text()
    said = flags("\n".join(line for line in text.splitlines() if line.startswith("#SBATCH")))
    if said.get("partition") == "nope":
        sys.exit("sbatch: error: invalid partition specified: nope")
    number = 1 + len(list(place().glob("*.submitted")))
    (place() / f"{number}.submitted").write_text(text)
    copy = place() / f"{number}.sh"
    copy.write_text(text)
    last = re.fullmatch(r"0-(\d+)%\d+", said.get("array", ""))
    for index in range(int(last[1]) + 1) if last else (None,):
        job = str(number) if index is None else f"{number}_{index}"
        env = {**os.environ, "SLURM_JOB_ID": str(number), "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}
        if index is not None:
            env |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(index)}
        process = subprocess.Popen(
            ["bash", str(copy)], env=env, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        (place() / f"{job}.job").write_text(f"{process.pid} {said['job-name']}")
    print(f"Submitted batch job {number}")


def srun(*words: str) -> None:
    words = tuple(word for word in words if word != "--unbuffered")
    job = os.environ["SLURM_JOB_ID"]
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID", ""), os.environ.get("SLURM_ARRAY_TASK_ID", "")
    streams = {}
    while words[0] in ("--output", "--error"):
        path = words[1].replace("%A", array).replace("%a", index).replace("%j", job).replace("%t", "0")
        streams[words[0]] = Path(path).open("a")  # noqa: SIM115 - the job writes there
        words = words[2:]
    done = subprocess.run(words, stdout=streams["--output"], stderr=streams["--error"], check=False)
    sys.exit(done.returncode % 256)


def jobs(*words: str) -> dict[str, int]:
    """The jobs that run and have the name that the flags say, with their processes."""
    name, found = flags(" ".join(words))["name"], {}
    for path in place().glob("*.job"):
        process, called = path.read_text().split()
        if called == name and runs(int(process)):
            found[path.stem] = int(process)
    return found


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def squeue(*words: str) -> None:
    print("\n".join(jobs(*words)))


def scancel(*words: str) -> None:
    for process in jobs(*words).values():
        os.killpg(process, signal.SIGKILL)
        while runs(process):
            time.sleep(0.01)


def scontrol(*words: str) -> None:
    print(f"JobId={words[-1]} JobState=NODE_FAIL Reason=None")


if __name__ == "__main__":
    {"sbatch": sbatch, "srun": srun, "squeue": squeue, "scancel": scancel, "scontrol": scontrol}[sys.argv[1]](
        *sys.argv[2:]
    )
