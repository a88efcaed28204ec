"""What worker processes write to their standard output and error: kept off the terminal, where it would fall into what
is drawn there, and passed on by the run's own process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from pathlib import Path

from cod_runner.api import WORKERS_LOG, write_output_to
from cod_runner.progress import Progress


def write_to_the_file(folder: Path) -> None:
    """Let all that this process writes to its standard output and error go to the run's file; changes nothing in a
    process that was not started as a worker."""
    if parent_process() is None:
        return
    write_output_to(folder / WORKERS_LOG)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


@contextmanager
def passed_on(folder: Path, progress: Progress) -> Iterator[Callable[[], None]]:
    """Begin the file anew; what is yielded shows the lines that are new in it, as the end of the block does."""
    path = folder / WORKERS_LOG
    path.unlink(missing_ok=True)
    read = 0

    def pass_on() -> None:
        nonlocal read
        with suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(read)
            whole, end, _ = file.read().rpartition(b"\n")
            read += len(whole) + len(end)
            for line in whole.decode("utf-8", "replace").split("\n"):
                if shown := line.rstrip().rpartition("\r")[2]:  # the last of what a bar drew over
                    progress.pass_on(shown)

    try:
        yield pass_on
    finally:
        pass_on()
        remove_if_empty(folder)


def remove_if_empty(folder: Path) -> None:
    """Remove the run's file where workers wrote nothing."""
    path = folder / WORKERS_LOG
    if path.is_file() and not path.stat().st_size:
        path.unlink(missing_ok=True)
