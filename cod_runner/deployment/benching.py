"""`codrun bench`: teacher and student side by side on this machine, in every form that can be made here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from cod_runner.api import Input
from cod_runner.deployment.contender import Contender, Process, running
from cod_runner.deployment.evaluation import Evaluation
from cod_runner.errors import CodrunError
from cod_runner.progress import Progress

ROUNDS = 5
"""In each of which every contender is asked in turn, so that whatever else the machine does slows all of them."""
SECONDS = 6.0
"""The longest that one contender is asked at a stretch; slow ones answer fewer texts."""


@dataclass(frozen=True)
class Result:
    """One contender, measured. None: not measured, or not known."""

    name: str
    form: str
    """``torch``, or the name of an exporter."""
    device: str
    parameters: int | None = None
    bytes: int | None = None
    """On disk."""
    load_seconds: float | None = None
    singles: int = 0
    """Answers to one text that were timed."""
    p50: float | None = None
    """Milliseconds for one text, reading included: the median."""
    p95: float | None = None
    texts_per_second: float | None = None
    """In batches of :data:`cod_runner.deployment.contender.BATCH`."""
    memory: int | None = None
    """Bytes that its whole process held at most."""
    gpu_memory: int | None = None
    accuracy: float | None = None
    agreement: float | None = None
    """With the teacher."""
    usd_per_thousand: float | None = None
    """Of a teacher that is paid, what a thousand answers cost in the run."""


@dataclass(frozen=True)
class Bench:
    """Everything that was measured."""

    results: tuple[Result, ...]
    """The teacher first, where it was measured."""
    student: str
    """The cell's name."""
    rows: int
    """Evaluation rows behind accuracy and agreement."""
    texts: int
    """Behind the times."""
    threads: int
    teacher: Result | None = None
    """The one of the results that the others are compared with: the teacher on the CPU; None where it was not timed."""
    notes: tuple[str, ...] = ()
    """What was not measured, and why."""

    def faster(self, result: Result) -> float | None:
        """How many times as fast as the teacher on the CPU it answers one text; None where either was not timed."""
        teacher = self.teacher.p50 if self.teacher is not None else None
        return teacher / result.p50 if teacher and result.p50 else None


@dataclass
class Entry:
    """A contender before it is measured."""

    contender: Contender
    form: str
    bytes: int | None = None
    is_teacher: bool = False
    result: Result = field(init=False)

    def __post_init__(self) -> None:
        self.result = Result(self.contender.name, self.form, self.contender.device, bytes=self.bytes)


def measured(
    entries: Sequence[Entry], evaluation: Evaluation, texts: int, progress: Progress
) -> tuple[list[Result], list[str]]:
    """(results, why some are missing): times in interleaved rounds, memory, then accuracy on all evaluation rows.

    The teacher's accuracy is that of its stored answers, where the store has them.
    """
    inputs = evaluation.fewer(texts).inputs
    with ExitStack() as held:
        measurements = [_Measurement(entry, held.enter_context(running(entry.contender))) for entry in entries]
        with progress.bar("loading") as step:
            for place, each in enumerate(measurements):
                step(place, len(measurements))
                each.attempt(functools.partial(_Measurement.load, inputs=inputs))
        rounds = min(ROUNDS, len(inputs))
        with progress.bar("timing") as step:
            for turn in range(rounds):
                for place, each in enumerate(measurements):
                    step(turn * len(measurements) + place, rounds * len(measurements))
                    each.attempt(functools.partial(_Measurement.time, part=inputs[turn::rounds], inputs=inputs))
        with progress.bar(f"measuring {len(evaluation.examples):,} evaluation rows") as step:
            for place, each in enumerate(measurements):
                step(place, len(measurements))
                each.attempt(functools.partial(_Measurement.conclude, evaluation=evaluation))
    whole = [each.entry.result for each in measurements if not each.failed]
    return whole, [
        f"{each.entry.contender.name} is not measured: {each.failed}" for each in measurements if each.failed
    ]


class _Measurement:
    """A contender that is running, and what it has said so far."""

    def __init__(self, entry: Entry, process: Process) -> None:
        self.entry, self._process = entry, process
        self.failed = ""
        """Why it is not asked any more."""
        self._singles: list[float] = []
        self._rates: list[float] = []

    def attempt(self, step: Callable[[_Measurement], None]) -> None:
        """One step, unless an earlier one failed; the others go on where this one fails."""
        if self.failed:
            return
        try:
            step(self)
        except CodrunError as error:
            self.failed = str(error)
            self._process.end()

    def load(self, inputs: Sequence[Input]) -> None:
        """Load it, and let it answer a little before anything is timed."""
        loaded = self._process.load()
        self._process.singles(inputs[:1], 0.0)
        self._process.batches(inputs[:32], SECONDS)
        self._result(parameters=loaded.parameters, load_seconds=loaded.seconds)

    def time(self, part: Sequence[Input], inputs: Sequence[Input]) -> None:
        """One round: ``part`` text by text, all ``inputs`` in batches."""
        self._singles += self._process.singles(part, SECONDS)
        done, seconds = self._process.batches(inputs, SECONDS)
        self._rates.append(done / seconds)

    def conclude(self, evaluation: Evaluation) -> None:
        """Put together what it said, and measure what it is worth; memory first, as of a server that answers texts."""
        memory, gpu = self._process.memory()
        stored = evaluation.teacher_logits if self.entry.is_teacher else None
        logits = self._process.logits(evaluation.inputs) if stored is None else stored
        p50, p95 = numpy.percentile(self._singles, [50, 95]) * 1000
        self._result(
            singles=len(self._singles),
            p50=float(p50),
            p95=float(p95),
            texts_per_second=float(numpy.median(self._rates)),
            memory=memory,
            gpu_memory=gpu,
            accuracy=evaluation.accuracy(logits),
            agreement=evaluation.agreement(logits),
        )

    def _result(self, **known: Any) -> None:
        self.entry.result = replace(self.entry.result, **known)
