"""Runs cells in worker processes that end with their parent, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from cod_runner.api import BuildContext, CodrunError, Options

SECONDS_TO_END = 5
"""How long a broken pool's workers are waited for, each."""


class Processes:
    """Kind ``executor``: ``jobs`` spawned processes that live as long as there are tasks."""

    def __init__(self, options: Options, context: BuildContext) -> None:
        self._say = context.say

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterator[Any]:
        """Results in the order in which tasks finish. The first exception stops the workers and is raised here."""
        if jobs == 1 or len(tasks) <= 1:
            yield from (work(task) for task in tasks)
            return
        pool = ProcessPoolExecutor(
            max_workers=min(jobs, len(tasks)),
            # fork would copy torch's thread pools in an undefined state
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_end_with_the_parent,
        )
        started: list[BaseProcess] = []
        finished = False
        try:
            futures = [pool.submit(work, task) for task in tasks]
            started += (pool._processes or {}).values()  # the pool forgets them when it breaks
            for future in as_completed(futures):
                yield future.result()
            finished = True
        except BrokenProcessPool as error:
            raise CodrunError(
                f"a worker process died without an error message{_how(started)}; "
                "run again with a smaller --jobs, finished cells are not repeated"
            ) from error
        finally:
            if not finished:
                for process in list((pool._processes or {}).values()):
                    process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)


def _how(processes: Sequence[BaseProcess]) -> str:
    """What ended a worker, in brackets. The others were then ended by SIGTERM."""
    for process in processes:
        process.join(SECONDS_TO_END)
    codes = [process.exitcode for process in processes if process.exitcode not in (None, 0, -signal.SIGTERM)]
    if not codes or codes[0] is None:
        return " (often: out of memory)"
    if codes[0] > 0:
        return f" (it left with exit code {codes[0]}: some code of a component, or of a library, ended the process)"
    name = signal.Signals(-codes[0]).name if -codes[0] in set(signal.Signals) else f"signal {-codes[0]}"
    causes = {"SIGKILL": "often: out of memory", "SIGSEGV": "a crash in a library's native code"}
    return f" ({name}{f', {causes[name]}' if name in causes else ''})"


def _end_with_the_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and end when the parent is gone, even by ``kill -9``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
