"""Runs of codrun with worker processes, each started in a tenth of a second, and killed: only their head, a worker, or
all of them.

A head is forked from this process, which has imported everything, and its workers from multiprocessing's fork server,
which has too: like workers that are spawned they share no open file, no lock and no memory with their head.
"""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.forkserver
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from cod_runner import pipeline
from cod_runner.cli.program import call
from cod_runner.progress import Progress
from cod_runner.report import figures
from codrun_executors import worker_process

SERVER = multiprocessing.forkserver._forkserver  # type: ignore[attr-defined]
WATCHED = ("replace", "fsync", "mkdir", "unlink", "rmdir", "rename", "utime", "truncate")
"""Calls of ``os`` before which a head may kill itself."""
SECONDS_TO_END = 60.0
"""Within which a worker must end after its head."""


def start_server(modules: Path) -> None:
    """Once, before anything is run but what wrote the file of the modules that a run imports."""
    torch.set_num_threads(1)
    os.environ["MODULES_TO_IMPORT"] = str(modules)
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # the fork server forgets what it is told of it
    multiprocessing.set_forkserver_preload(["imported"])
    SERVER.ensure_running()
    importlib.import_module("imported")


def write_modules(modules: Path, arguments: list[str], environment: dict[str, str]) -> None:
    """Write what one undisturbed run imports, with ``--jobs 1``, into a file."""
    number = os.fork()
    if number == 0:
        try:
            os.environ.update(environment)
            call(arguments)
            modules.write_text("\n".join(name for name in sys.modules if not name.startswith("_")))
        finally:
            os._exit(0)
    os.waitpid(number, 0)


class Head:
    """One call of codrun in a process of its own, which tells of each stage that it begins."""

    def __init__(
        self,
        arguments: list[str],
        environment: dict[str, str],
        output: Path,
        dies: tuple[str, int] | None = None,
        *,
        draws: bool = True,
    ) -> None:
        """Starts it. ``dies`` is the stage, and the number of a call of :data:`WATCHED` in it, at which it kills
        itself. Unless it ``draws``, its report has no figures, which take most of a small run's time."""
        self._told, tell = os.pipe()
        self._heard = b""
        sys.stdout.flush()
        self.process = os.fork()
        if self.process == 0:
            code = 70
            try:
                os.setsid()
                os.close(self._told)
                if not draws:
                    figures.draw_figures = lambda report: {}
                code = _in_the_child(arguments, environment, output, dies, tell)
            except Exception:  # noqa: BLE001 - a fork must not return into the code of its parent
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(tell)
        self.code: int | None = None

    def stages(self) -> Iterator[tuple[str, int]]:
        """Each stage when it begins, and how many calls of :data:`WATCHED` there were before; ``end`` at the end."""
        while content := os.read(self._told, 1):
            self._heard += content
            if content == b"\n":
                name, calls = self._heard.decode().split()
                yield name, int(calls)
                self._heard = b""

    def wait_for(self, stage: str) -> bool:
        """Whether it began before the run ended."""
        return any(name == stage for name, _ in self.stages())

    def ends_within(self, seconds: float) -> bool:
        """Wait so long."""
        ended = os.pidfd_open(self.process)
        try:
            return bool(select.select([ended], [], [], seconds)[0])
        finally:
            os.close(ended)

    def kill(self) -> None:
        os.kill(self.process, signal.SIGKILL)

    def end(self) -> int:
        """Wait for it; the exit code, or minus the signal."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
            os.close(self._told)
        return self.code


def _in_the_child(
    arguments: list[str], environment: dict[str, str], output: Path, dies: tuple[str, int] | None, tell: int
) -> int:
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    SERVER.ensure_running = lambda: None
    worker_process.SPAWN = multiprocessing.get_context("forkserver")  # type: ignore[assignment]
    watch = _Watch(dies, tell)
    real_stage, real_questions = Progress.stage, pipeline.ask_about_evaluation

    def stage(self: Progress, name: str, **given: Any) -> Any:
        watch.begins(name)
        return real_stage(self, name, **given)

    def questions(*given: Any) -> Any:
        watch.begins("questions")
        return real_questions(*given)

    Progress.stage, pipeline.ask_about_evaluation = stage, questions  # type: ignore[method-assign]
    code = call(arguments)
    watch.begins("end")
    return code


class _Watch:
    """Tells of stages, counts calls, and kills this process when its moment comes."""

    def __init__(self, dies: tuple[str, int] | None, tell: int) -> None:
        self._stage, self._left = dies or ("no stage", 0)
        self._tell = tell
        self._now = ""
        self._calls = 0
        for name in WATCHED:
            setattr(os, name, self._watched(getattr(os, name)))

    def begins(self, stage: str) -> None:
        self._now = stage
        os.write(self._tell, f"{stage} {self._calls}\n".encode())

    def _watched(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **named: Any) -> Any:
            self._calls += 1
            if self._now == self._stage:
                self._left -= 1
                if self._left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return instead


def workers(folder: Path) -> list[int]:
    """The processes that work for the run below ``folder``: the fork server's children, and whatever was started with
    the folder in its command or its environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            told = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
        except OSError:  # gone meanwhile
            continue
        if state != "Z" and (int(parent) == SERVER._forkserver_pid or os.fsencode(folder) in told):
            found.append(int(place.name))
    return found


def orphans(folder: Path) -> list[int]:
    """The workers that live after their head, some time after."""
    deadline = time.monotonic() + SECONDS_TO_END
    while (left := workers(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def kill_workers(found: list[int]) -> None:
    for each in found:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def limit_files(found: list[int], size: int) -> None:
    """Let these processes write no file of more bytes, as if the disk were full."""
    for each in found:
        with suppress(ProcessLookupError):
            resource.prlimit(each, resource.RLIMIT_FSIZE, (size, size))


def limit_memory(found: list[int]) -> None:
    """Let these processes get no more memory than they have."""
    for each in found:
        with suppress(ProcessLookupError, FileNotFoundError):
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[0])
            size = pages * resource.getpagesize()
            resource.prlimit(each, resource.RLIMIT_AS, (size, size))
