"""The folder of one call: what jobs read and write, and what is left of a call that ended early."""

from __future__ import annotations

import fcntl
import getpass
import os
import pickle
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from codrun_submitit.job import HEAD, WORK, Answer, answer_file, out_of_time_file

PLACE = "submitit"
"""Below the run's folder."""
NAME = re.compile(r"codrun-[0-9a-f]{12}")
SLURM = "slurm"
"""A file that says that the call's jobs are Slurm's, which go on without it."""
SECONDS_TO_END = 60.0
"""How long cancelled jobs of an earlier call are waited for: Slurm kills what does not end within half a minute."""


class Call:
    """One call of ``map``; its name is that of its jobs in Slurm."""

    def __init__(self, folder: Path, head: BinaryIO) -> None:
        """``head`` is the file that is locked as long as local jobs may live."""
        self.folder = folder
        self.name = folder.name
        self._head = head

    def let_go(self) -> None:
        """End the local jobs."""
        fcntl.flock(self._head, fcntl.LOCK_UN)

    def answer(self, task: int) -> Answer | None:
        """The answer to a task; None where there is none yet. It stays, so that a job that Slurm begins anew does not
        work on it again."""
        try:
            whole = answer_file(self.folder, task).read_bytes()
        except FileNotFoundError:
            return None
        answer = pickle.loads(whole)  # noqa: S301 - a job of this call wrote it
        assert isinstance(answer, Answer)
        return answer

    def out_of_time(self, task: int) -> bool:
        """Whether a job ended at this task because of its time limit; forgotten when asked."""
        path = out_of_time_file(self.folder, task)
        found = path.exists()
        path.unlink(missing_ok=True)
        return found


@contextmanager
def begun_call(run: Path | None, work: Callable[[Any], Any], *, slurm: bool) -> Iterator[Call]:
    """A folder in the run's, or a temporary one; in the end only the logs of jobs that died are left of it."""
    if run is None:
        with tempfile.TemporaryDirectory() as place, _begun(Path(place), work, slurm=slurm) as call:
            yield call
        return
    place = run / PLACE
    try:
        with _begun(place, work, slurm=slurm) as call:
            yield call
    finally:
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()


@contextmanager
def _begun(place: Path, work: Callable[[Any], Any], *, slurm: bool) -> Iterator[Call]:
    folder = place / f"codrun-{uuid.uuid4().hex[:12]}"
    folder.mkdir(parents=True)
    if slurm:
        (folder / SLURM).touch()
    (folder / WORK).write_bytes(pickle.dumps(work))
    with (folder / HEAD).open("wb") as head:
        fcntl.flock(head, fcntl.LOCK_EX)
        try:
            yield Call(folder, head)
        finally:
            _leave_logs(folder)


def _leave_logs(folder: Path) -> None:
    """Remove everything but logs that were kept, and the folder where there are none."""
    for path in folder.iterdir():
        if path.suffix not in (".out", ".err"):
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def end_earlier_calls(run: Path, say: Callable[[str], None]) -> None:
    """Cancel the Slurm jobs of calls whose head died, and wait until they are over, so that no cell is trained in two
    places at once; their finished cells are kept by the run itself."""
    place = run / PLACE
    for folder in sorted(place.iterdir()) if place.is_dir() else ():
        if not NAME.fullmatch(folder.name) or not (folder / HEAD).exists():
            continue
        if (folder / SLURM).exists():
            left = _queued(folder.name)
            if left:
                say(f"cancelling {left} Slurm jobs of an earlier call of this run that was ended ({folder.name})")
            cancel_named(folder.name)
        shutil.rmtree(folder)


def cancel_named(name: str) -> None:
    """Cancel all Slurm jobs of this name, also those of which nothing is known because a kill came first, and wait
    until they are over."""
    subprocess.run(["scancel", f"--user={_user()}", f"--name={name}"], check=False, capture_output=True)
    until = time.monotonic() + SECONDS_TO_END
    while _queued(name) and time.monotonic() < until:
        time.sleep(1)


def _queued(name: str) -> int:
    """How many jobs of this name wait or run; 0 where Slurm cannot say."""
    command = ["squeue", "--noheader", "--array", f"--user={_user()}", f"--name={name}", "--format=%i"]
    try:
        said = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    except OSError:
        return 0
    return len(said.split())


def _user() -> str:
    return getpass.getuser() or str(os.getuid())
