"""One model that `codrun bench` measures, in a process of its own: loaded, asked and weighed by what its parent says.

Imports nothing heavy before the process knows what it loads, so that an exported student's memory holds no torch.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cod_runner.api import Answerer, BuildContext, Input
from cod_runner.errors import CodrunError

if TYPE_CHECKING:
    import numpy

    from cod_runner.deployment.teacher import FoundTeacher

WARM_UP = 3
"""Answers before the first that counts."""
BATCH = 32


@dataclass(frozen=True)
class Contender:
    """What to load, and where; can be pickled."""

    name: str
    folder: Path | None = None
    """Of a student or an export; None for the teacher."""
    teacher: FoundTeacher | None = None
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Loaded:
    """What is known of a model once it is loaded."""

    seconds: float
    """To import what it needs, read its files and build it."""
    parameters: int | None
    """None for an exported student."""


class Process:
    """A contender in its process; a method raises :class:`CodrunError` where the model fails or the process ends."""

    def __init__(self, contender: Contender) -> None:
        context = multiprocessing.get_context("spawn")
        self.contender = contender
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(contender, other), daemon=True)
        self._process.start()
        other.close()

    def load(self) -> Loaded:
        found: Loaded = self._asked("load")
        return found

    def singles(self, texts: Sequence[Input], seconds: float) -> list[float]:
        """Seconds of each answer to one text, reading included; stops after ``seconds``, but not before the first."""
        found: list[float] = self._asked("singles", list(texts), seconds)
        return found

    def batches(self, texts: Sequence[Input], seconds: float) -> tuple[int, float]:
        """(texts, seconds they took) in batches of like length, in random order; stops likewise."""
        found: tuple[int, float] = self._asked("batches", list(texts), seconds)
        return found

    def logits(self, texts: Sequence[Input]) -> numpy.ndarray:
        """``[texts, labels]``, float32."""
        return self._asked("logits", list(texts))

    def memory(self) -> tuple[int, int | None]:
        """(bytes that the process held at most, the same on the GPU or None)."""
        found: tuple[int, int | None] = self._asked("memory")
        return found

    def end(self) -> None:
        """End the process, whatever it does."""
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def _asked(self, *question: Any) -> Any:
        try:
            self._pipe.send(question)
            kind, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(5)
            code = self._process.exitcode
            why = "killed, as it is where memory is short" if code == -signal.SIGKILL else f"exit code {code}"
            raise CodrunError(f"its process ended before it answered ({why})") from error
        if kind == "error":
            raise CodrunError(value)
        return value


@contextmanager
def running(contender: Contender) -> Iterator[Process]:
    """The process of a contender, ended with the block."""
    process = Process(contender)
    try:
        yield process
    finally:
        process.end()


def _serve(contender: Contender, pipe: Connection) -> None:
    """What the process does: answer its parent until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(contender.threads)
    model = _Model(contender)
    while True:
        try:
            method, *arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            reply = "value", getattr(model, method)(*arguments)
        except CodrunError as error:
            reply = "error", str(error)
        except Exception as error:  # noqa: BLE001 - what a plugin's model raises; the parent says it and goes on
            reply = "error", f"{contender.name}: {type(error).__name__}: {str(error)[:300]}"
        pipe.send(reply)


class _Model:
    """The model, in its process."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self._answerer: Answerer | None = None

    @property
    def answerer(self) -> Answerer:
        if self._answerer is None:
            raise CodrunError(f"{self._contender.name} is not loaded")
        return self._answerer

    def load(self) -> Loaded:
        from cod_runner.registry import Registry

        started = time.perf_counter()
        registry, parameters = Registry.discover(), None
        if self._contender.teacher is not None:
            from cod_runner.deployment.teacher import open_teacher

            self._set_threads()
            self._answerer = open_teacher(self._contender.teacher, registry)
        elif self._contender.folder is not None:
            from cod_runner.deployment.opened import open_student
            from cod_runner.runs.student_record import read_student_record

            record = read_student_record(self._contender.folder)
            if record is not None and record.exported is None:
                self._set_threads()
            context = BuildContext(device=self._contender.device, offline=True)
            self._answerer = open_student(self._contender.folder, registry, context).answerer
        classifier = getattr(self._answerer, "classifier", None)
        if classifier is not None:
            parameters = sum(parameter.numel() for parameter in classifier.parameters())
        return Loaded(time.perf_counter() - started, parameters)

    def singles(self, texts: Sequence[Input], seconds: float) -> list[float]:
        taken: list[float] = []
        for place in range(-WARM_UP, len(texts)):
            started = time.perf_counter()
            self.answerer.logits(self.answerer.encode([texts[place % len(texts)]]))
            if place >= 0:
                taken.append(time.perf_counter() - started)
            if taken and sum(taken) > seconds:
                break
        return taken

    def batches(self, texts: Sequence[Input], seconds: float) -> tuple[int, float]:
        from cod_runner.deployment.answering import batches_by_length

        done, started = 0, time.perf_counter()
        encoded = self.answerer.encode(texts)
        batches = list(batches_by_length(encoded, BATCH))
        # The longest come first, and a slow model would be timed on those alone.
        random.Random(0).shuffle(batches)
        for chosen in batches:
            self.answerer.logits([encoded[place] for place in chosen])
            done += len(chosen)
            if time.perf_counter() - started > seconds:
                break
        return done, time.perf_counter() - started

    def logits(self, texts: Sequence[Input]) -> numpy.ndarray:
        from cod_runner.deployment.answering import logits_of

        return logits_of(self.answerer, texts, BATCH)

    def memory(self) -> tuple[int, int | None]:
        gpu = None
        if self._contender.device.startswith("cuda"):
            import torch

            gpu = torch.cuda.max_memory_allocated(self._contender.device)
        return peak_memory(), gpu

    def _set_threads(self) -> None:
        import torch

        torch.set_num_threads(self._contender.threads)


def peak_memory() -> int:
    """Bytes that this process held in memory at most.

    Linux counts what a process held before it became another program in ``getrusage``, so its own file is read there.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024
