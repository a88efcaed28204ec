"""The folder of one call: what jobs read and write, and what is left of a call that ended early."""

from __future__ import annotations

import fcntl
import pickle
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from codrun_submitit.job import HEAD, WORK, answer_file, out_of_time_file
from codrun_submitit.slurm import cancel_named

PLACE = "submitit"
"""Below the run's folder."""
NAME = re.compile(r"codrun-[0-9a-f]{12}")
SLURM = "slurm"
"""A file that says that the call's jobs are Slurm's, which go on without it."""


class Call:
    """One call of ``map``; its name is that of its jobs in Slurm."""

    def __init__(self, folder: Path, head: BinaryIO) -> None:
        """``head`` is the file that is locked as long as local jobs may live."""
        self.folder = folder
        self.name = folder.name
        self.kept_logs: set[Path] = set()
        """Of jobs that died."""
        self._head = head

    def let_go(self) -> None:
        """End the local jobs."""
        fcntl.flock(self._head, fcntl.LOCK_UN)

    def answer(self, task: int) -> bytes | None:
        """The answer to a task; None where there is none yet. It stays, so that a job that Slurm begins anew does not
        work on it again."""
        try:
            return answer_file(self.folder, task).read_bytes()
        except FileNotFoundError:
            return None

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
        with tempfile.TemporaryDirectory() as temporary, _begun(Path(temporary), work, slurm=slurm) as call:
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
        call = Call(folder, head)
        try:
            yield call
        finally:
            _remove_all_but(call.kept_logs, folder)


def _remove_all_but(kept: set[Path], folder: Path) -> None:
    for path in folder.iterdir():
        if path not in kept:
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
            cancelled = cancel_named(folder.name)
            if cancelled:
                say(f"cancelled {cancelled} Slurm jobs ({folder.name}) of an earlier call, which had been killed")
        shutil.rmtree(folder)
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
