"""How processes that this one starts begin and end, for executors and for a teacher's."""

from __future__ import annotations

import _thread
import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

from cod_runner.environment import environment_variables


@contextmanager
def starting_workers(environment: Mapping[str, str]) -> Iterator[None]:
    """Inside, a process that is started has this in its environment from its first instruction on, since
    libraries look at theirs when they are imported, and has Ctrl-C blocked, which it would otherwise answer with a
    traceback."""
    with environment_variables(environment), _interruption_blocked():
        yield


@contextmanager
def _interruption_blocked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_the_parent() -> None:
    """In a process that Python started: end it when its parent is gone, even by ``kill -9``."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    # not threading's: its `start` waits for ever for a thread that memory ran out for as it began
    _thread.start_new_thread(watch, ())


def write_output_to(path: Path) -> None:
    """Let all that this process writes to its standard output and error from now on be appended to a file.

    Several processes append to one file, so a line goes there by one write. Under ``PYTHONUNBUFFERED`` Python writes a
    line and its end apart, and another process's text can come between.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(file, number)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False)
    os.close(file)


def how_it_ended(code: int) -> str:
    """A dead process's exit code, minus the signal where one ended it, in words."""
    if code >= 0:
        return f"it left with exit code {code}: some code of a component, or of a library, ended the process"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    causes = {"SIGKILL": "often: out of memory", "SIGSEGV": "a crash in a library's native code"}
    return f"{name}, {causes[name]}" if name in causes else name
