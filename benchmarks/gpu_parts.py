"""The engine's parts on a device, measured one by one: signals, evaluation, the training step."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cod_runner.api import BuildContext, Classifier, Example, TrainSettings
from cod_runner.engine.device import autocast, resolve_precision
from cod_runner.engine.inference import predict
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.signals import SignalStore, TeacherSignals
from cod_runner.engine.training import train_student
from cod_runner.registry import Registry

LABELS = ("negative", "positive")
EXAMPLES, BATCH = 16, 8
WARMING = 3
"""Steps before the clock starts."""


@dataclass(frozen=True)
class Measured:
    """A line of the table."""

    what: str
    much: str


@dataclass(frozen=True)
class Models:
    """Folders of a teacher and a student, and texts for them."""

    folder: Path
    texts: list[str]
    device: str

    def built(self, kind: Any, name: str) -> Classifier:
        """Whole, with a new head, on the device."""
        context = BuildContext(labels=LABELS, device=self.device)
        options = {"model": str(self.folder / name), "new_head": True}
        model: Classifier = Registry.discover().build(kind, "transformers", options, context)
        return model.to(self.device)

    @property
    def examples(self) -> list[Example]:
        return [Example(f"e{row}", text, row % len(LABELS)) for row, text in enumerate(self.texts[:EXAMPLES])]


def settled(device: str) -> None:
    """Wait until the device has done all that was queued."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def timed(device: str, work: Callable[[], Any]) -> float:
    """Seconds."""
    settled(device)
    started = time.perf_counter()
    work()
    settled(device)
    return time.perf_counter() - started


def peak(device: str) -> str:
    """The most memory that was allocated since it was last asked, in words."""
    if torch.device(device).type != "cuda":
        return ""
    found = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return f", at most {found / 2**30:.1f} GiB"


def measure_signals(models: Models, rows: int) -> Iterator[Measured]:
    """The teacher's logits of many texts, and its logits and hidden states of a quarter as many."""
    teacher = models.built("teacher", "teacher")
    layers = range(1, teacher.shape.layers + 1, 2)
    peak(models.device)
    with tempfile.TemporaryDirectory() as folder:
        store = SignalStore(Path(folder))
        store.add(teacher, models.texts[-1:], device=models.device)
        for some, wanted in ((models.texts[:rows], ()), (models.texts[: rows // 4], tuple(layers))):
            seconds = timed(models.device, lambda: store.add(teacher, some, wanted, device=models.device))  # noqa: B023
            what = f"hidden states of {len(wanted)} layers" if wanted else "logits"
            yield Measured(f"teacher's {what}", f"{len(some) / seconds:.0f} texts/s{peak(models.device)}")


def measure_evaluation(models: Models, rows: int) -> Iterator[Measured]:
    """A student's logits in the precision that a run takes by itself."""
    student = models.built("student", "student")
    precision = resolve_precision("auto", models.device)
    predict(student, models.texts[:32], device=models.device, precision=precision)
    peak(models.device)
    seconds = timed(
        models.device, lambda: predict(student, models.texts[:rows], device=models.device, precision=precision)
    )
    yield Measured(f"evaluation in {precision}", f"{rows / seconds:.0f} texts/s{peak(models.device)}")


def measure_step(models: Models, steps: int) -> Iterator[Measured]:
    """codrun's step with KD in fp32 and in low precision, forward, backward and optimiser alone, and those compiled."""
    teacher = models.built("teacher", "teacher")
    with tempfile.TemporaryDirectory() as folder:
        store = SignalStore(Path(folder))
        store.add(teacher, [each.input for each in models.examples], device=models.device)
        signals = store.reader(teacher.fingerprint, models.device)
        del teacher
        for precision in dict.fromkeys(("fp32", resolve_precision("auto", models.device))):
            ours = _step_of_ours(models, signals, steps, precision)
            much = f"{ours * 1000:.1f} ms{peak(models.device)}"
            yield Measured(f"a step with hard and kd, {precision}", much)
            bare = _bare_step(models, steps, precision, compiled=False)
            yield Measured(f"the bare step, {precision}", f"{bare * 1000:.1f} ms; codrun's is {ours / bare:.2f} of it")
            if torch.device(models.device).type == "cuda":
                compiled = _bare_step(models, steps, precision, compiled=True)
                yield Measured(
                    f"the bare step compiled, {precision}", f"{compiled * 1000:.1f} ms, {bare / compiled:.2f} as fast"
                )


def _step_of_ours(models: Models, signals: TeacherSignals, steps: int, precision: str) -> float:
    """The median of a step, from the times at which steps ended."""
    student, registry = models.built("student", "student"), Registry.discover()
    context = BuildContext(labels=LABELS, device=models.device)
    terms = [
        WeightedTerm("hard", registry.build("loss", "hard", {}, context), 1.0),
        WeightedTerm("kd", registry.build("loss", "kd", {"temperature": 2}, context), 20.0),
    ]
    ended: list[float] = []

    def step_ended(done: int, total: int) -> None:
        settled(models.device)
        ended.append(time.perf_counter())

    settings = TrainSettings(steps=steps + WARMING, batch_size=BATCH, precision=precision)
    peak(models.device)
    train_student(student, models.examples, terms, signals, settings, seed=0, device=models.device, progress=step_ended)
    return statistics.median(
        after - before for before, after in zip(ended[WARMING - 1 :], ended[WARMING:], strict=False)
    )


def _bare_step(models: Models, steps: int, precision: str, *, compiled: bool) -> float:
    """Forward, cross-entropy, backward and a fused AdamW, on the same batches; the median of a step."""
    student = models.built("student", "student").train()
    encoded = student.encode([each.input for each in models.examples])
    labels = torch.tensor([each.label for each in models.examples[:BATCH]], device=models.device)
    batch = {name: value.to(models.device) for name, value in student.collate(encoded[:BATCH]).items()}
    optimiser = torch.optim.AdamW(student.parameters(), lr=6e-5, fused=torch.device(models.device).type != "mps")
    forward = torch.compile(student) if compiled else student

    def step() -> None:
        with autocast(precision, models.device):
            logits = forward(batch).logits
        nn.functional.cross_entropy(logits.float(), labels).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    for _ in range(WARMING):
        step()
    return statistics.median(timed(models.device, step) for _ in range(steps))
