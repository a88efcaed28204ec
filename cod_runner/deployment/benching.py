"""`codrun bench`: teacher and student side by side on this machine, in every form that can be made here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

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
    """The teacher first."""
    student: str
    """The cell's name."""
    rows: int
    """Evaluation rows behind accuracy and agreement."""
    texts: int
    """Behind the times."""
    threads: int
    notes: tuple[str, ...] = ()
    """What was not measured, and why."""

    def faster(self, result: Result) -> float | None:
        """How many times as fast as the teacher it answers one text, on the CPU."""
        teacher = self.results[0]
        return teacher.p50 / result.p50 if teacher.p50 and result.p50 else None


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
    inputs = spread(evaluation.inputs, texts)
    results, notes = [], []
    with ExitStack() as held:
        processes: list[tuple[Entry, Process]] = []
        with progress.bar("loading") as step:
            for place, entry in enumerate(entries):
                step(place, len(entries))
                process = held.enter_context(running(entry.contender))
                try:
                    loaded = process.load()
                    process.singles(inputs[:1], 0.0)
                    process.batches(inputs[:32], SECONDS)
                except CodrunError as error:
                    notes.append(f"{entry.contender.name} is not measured: {error}")
                    process.end()
                    continue
                entry.result = replace(entry.result, parameters=loaded.parameters, load_seconds=loaded.seconds)
                processes.append((entry, process))
        times = _timed(processes, inputs, progress)
        for place, (entry, process) in enumerate(processes):
            memory, gpu = process.memory()
            singles, p50, p95, rate = times[place]
            entry.result = replace(
                entry.result,
                memory=memory,
                gpu_memory=gpu,
                singles=singles,
                p50=p50,
                p95=p95,
                texts_per_second=rate,
            )
        with progress.bar(f"measuring {len(evaluation.examples):,} evaluation rows") as step:
            for place, (entry, process) in enumerate(processes):
                step(place, len(processes))
                stored = evaluation.teacher_logits if entry.is_teacher else None
                logits = process.logits(evaluation.inputs) if stored is None else stored
                entry.result = replace(
                    entry.result, accuracy=evaluation.accuracy(logits), agreement=evaluation.agreement(logits)
                )
                results.append(entry.result)
    return results, notes


def _timed(
    processes: Sequence[tuple[Entry, Process]], inputs: Sequence[Input], progress: Progress
) -> list[tuple[int, float, float, float]]:
    """What the rounds say of each: (answers timed, p50 and p95 in ms, texts per second in the median round)."""
    singles: list[list[float]] = [[] for _ in processes]
    rates: list[list[float]] = [[] for _ in processes]
    with progress.bar("timing") as step:
        for turn in range(ROUNDS):
            part = inputs[turn::ROUNDS]
            for place, (_, process) in enumerate(processes):
                step(turn * len(processes) + place, ROUNDS * len(processes))
                singles[place] += process.singles(part, SECONDS)
                done, seconds = process.batches(inputs, SECONDS)
                rates[place].append(done / seconds)
    return [
        (
            len(taken),
            float(numpy.percentile(taken, 50)) * 1000,
            float(numpy.percentile(taken, 95)) * 1000,
            float(numpy.median(rate)),
        )
        for taken, rate in zip(singles, rates, strict=True)
    ]


def spread(inputs: Sequence[Input], most: int) -> list[Input]:
    """At most ``most`` of them, evenly spread, in their order."""
    if len(inputs) <= most:
        return list(inputs)
    return [inputs[place * len(inputs) // most] for place in range(most)]
