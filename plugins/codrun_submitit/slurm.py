"""What Slurm's own commands say of jobs by their name: one call for all of them, which needs no accounting."""

from __future__ import annotations

import getpass
import re
import subprocess
import time

SECONDS_TO_END = 60.0
"""How long cancelled jobs are waited for: Slurm kills what does not end by itself, within half a minute unless its
administrator sets another time."""
SECONDS_BETWEEN = 10.0
"""Between two looks at Slurm's queue, which all its users share."""


class Queue:
    """Which of the jobs of one name are still to end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._listed: set[str] = set()
        self._looked_at = float("-inf")

    def look_again(self) -> None:
        """Take no older look for an answer: jobs were submitted."""
        self._looked_at = float("-inf")

    def ended(self, job: str) -> bool:
        """Whether Slurm says that a job (``1234``, or ``1234_5`` of an array) neither waits nor runs."""
        if time.monotonic() - self._looked_at >= SECONDS_BETWEEN:
            listed = _listed(self._name)
            if listed is None:  # Slurm is too busy to say
                return False
            self._listed, self._looked_at = listed, time.monotonic()
        return job not in self._listed


def cancel_named(name: str) -> int:
    """Cancel all jobs of this name, also those of which nothing is known because a kill came first, and wait until
    they are over. How many there were."""
    there = _listed(name)
    subprocess.run(["scancel", f"--user={getpass.getuser()}", f"--name={name}"], check=False, capture_output=True)
    until = time.monotonic() + SECONDS_TO_END
    while _listed(name) and time.monotonic() < until:
        time.sleep(1)
    return len(there or ())


def state_of(job: str) -> str:
    """What Slurm calls the end of a job, in its own word; `its state is unknown` where it has forgotten it."""
    try:
        shown = subprocess.run(["scontrol", "--oneliner", "show", "job", job], capture_output=True, text=True).stdout
    except OSError:
        shown = ""
    found = re.search(r"\bJobState=(\w+)", shown)
    return found[1] if found else "its state is unknown"


def _listed(name: str) -> set[str] | None:
    """The jobs of this name that wait, run or are about to end, each of an array by itself; None where Slurm does not
    answer."""
    command = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", f"--name={name}", "--format=%i"]
    try:
        answered = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return set(answered.stdout.split())
