"""`codrun export`: a student in a form that runs without codrun, and what that costs in accuracy and gains in time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import numpy

from cod_runner.api import Answerer, BuildContext, Exporter, ExportReport, ExportRequest, Input, one_thread
from cod_runner.deployment.answering import logits_of
from cod_runner.deployment.evaluation import Evaluation
from cod_runner.deployment.export_card import write_export_card
from cod_runner.deployment.export_destination import Destination, record_to_export, refuse_what_is_there
from cod_runner.deployment.opened import ClassifierAnswers, classifier_of
from cod_runner.errors import CodrunError
from cod_runner.files import folder_written_whole
from cod_runner.progress import Progress
from cod_runner.registry import Registry
from cod_runner.runs.student_record import (
    FILE,
    SavedComponent,
    write_student_record,
)

ASKED_AT_ONCE = 256
"""Rows between two steps of the progress bar."""
TIMED = 60
"""Answers about one text, of each of the two."""
PLAIN_TEXT = "The actors are good, but the story takes far too long to begin and ends before it has said anything."
"""What is timed where no evaluation row is at hand."""


@dataclass(frozen=True)
class Form:
    """A student, before or after its export."""

    file: str
    bytes: int
    milliseconds: float | None
    """The median over answers about one input at a time, on one thread, reading included; None for a student of vectors
    without evaluation rows, of which there is none to time."""
    accuracy: float | None = None
    agreement: float | None = None
    """With the teacher."""


@dataclass(frozen=True)
class Export:
    """What was written, and how far it is from the student."""

    folder: Path
    report: ExportReport
    before: Form
    after: Form
    rows: int = 0
    """Of the evaluation split, on which both were asked; 0 where it is not at hand."""
    same_label: float | None = None
    """The share of these rows on which both give the same label."""
    notes: Sequence[str] = field(default_factory=tuple)
    """Why something was not measured."""


def export_student(
    student: Path,
    destination: Destination,
    registry: Registry,
    evaluation: Evaluation | None,
    progress: Progress,
) -> Export:
    """Write the student of a folder, whole or not at all, and measure both forms on ``evaluation``.

    The teacher's answers are part of it, where they are known. Raises :class:`CodrunError`.
    """
    record = record_to_export(student)
    refuse_what_is_there(destination.folder, student, replaceable=destination.replace)
    context = BuildContext(labels=record.labels, describe=record.describe, offline=True, say=progress.warn)
    exporter: Exporter = registry.build("exporter", destination.exporter, destination.options, context)
    classifier = classifier_of(student, record, registry, context)
    inputs: Sequence[Input] = evaluation.inputs if evaluation else []
    with one_thread(), folder_written_whole(destination.folder) as folder:
        request = ExportRequest(folder, record.temperature or 1.0, inputs, progress.say)
        report = exporter.export(classifier, request)
        chosen = SavedComponent(use=destination.exporter, options=dict(destination.options))
        exported_record = record.model_copy(update={"exported": chosen})
        write_student_record(folder, exported_record)
        exported: Answerer | None = registry.reopen("exporter", destination.exporter, folder, context)
        if exported is None:
            raise CodrunError(f"the exporter `{destination.exporter}` cannot open what it wrote; nothing was written")
        forms = ClassifierAnswers(classifier), exported
        before, after = _forms(forms, inputs or _one_text(forms[0]), student, report)
        found = Export(destination.folder, report, before, after)
        if evaluation and inputs:
            found = _measured(found, forms, evaluation, progress)
        write_export_card(student, folder, exported_record, report, list(_told(found)))
        return found


def _told(export: Export) -> Iterator[str]:
    """What the card says of both forms."""
    before, after = export.before, export.after
    if before.milliseconds is not None and after.milliseconds is not None:
        yield (
            f"one text on one thread of the machine that exported it: {before.milliseconds:.2f} ms before, "
            f"{after.milliseconds:.2f} ms after (median)."
        )
    pairs = (
        ("accuracy", before.accuracy, after.accuracy),
        ("agreement with the teacher", before.agreement, after.agreement),
    )
    for name, earlier, later in pairs:
        if earlier is not None and later is not None:
            yield f"{name} on {export.rows:,} evaluation rows: {earlier:.4f} before, {later:.4f} after."
    if export.same_label is not None:
        yield f"the same label as the student on {export.same_label:.2%} of these rows."


def _one_text(student: Answerer) -> list[Input]:
    """A text to time the student with, if it reads texts."""
    try:
        student.encode([PLAIN_TEXT])
    except CodrunError:
        return []
    return [PLAIN_TEXT]


def _forms(
    forms: tuple[Answerer, Answerer], inputs: Sequence[Input], student: Path, report: ExportReport
) -> tuple[Form, Form]:
    """Files and times."""
    before, after = _medians(forms, inputs) if inputs else (None, None)
    weights = weights_file(student)
    return (
        Form(str(weights.relative_to(student)), weights.stat().st_size, before),
        Form(report.file, report.bytes, after),
    )


def weights_file(student: Path) -> Path:
    """The largest file of weights; where none is called so, the largest but for codrun's own."""
    files = [path for path in student.rglob("*") if path.is_file()]
    weights = [path for path in files if path.suffix == ".safetensors"]
    others = [path for path in files if path.name not in (FILE, "README.md")]
    return max(weights or others or files, key=lambda path: path.stat().st_size)


def _medians(forms: tuple[Answerer, Answerer], inputs: Sequence[Input]) -> tuple[float, float]:
    """Milliseconds. The two are asked in turn, so that whatever else the machine does slows both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(-len(forms), TIMED):  # the first answers are slower, and not counted
        for form, taken in zip(forms, seconds, strict=True):
            started = time.perf_counter()
            form.logits(form.encode([inputs[turn % len(inputs)]]))
            if turn >= 0:
                taken.append(time.perf_counter() - started)
    return median(seconds[0]) * 1000, median(seconds[1]) * 1000


def _measured(export: Export, forms: tuple[Answerer, Answerer], evaluation: Evaluation, progress: Progress) -> Export:
    """With accuracy and agreement of both on the evaluation split."""
    rows = len(evaluation.examples)
    said: list[numpy.ndarray] = []
    with progress.bar(f"answering {rows:,} evaluation rows twice") as step:
        for turn, form in enumerate(forms):
            parts = []
            for start in range(0, rows, ASKED_AT_ONCE):
                parts.append(logits_of(form, evaluation.inputs[start : start + ASKED_AT_ONCE]))
                step(turn * rows + min(rows, start + ASKED_AT_ONCE), 2 * rows)
            said.append(numpy.concatenate(parts))
    before, after = (
        replace(form, accuracy=evaluation.accuracy(logits), agreement=evaluation.agreement(logits))
        for form, logits in zip((export.before, export.after), said, strict=True)
    )
    same = float((said[0].argmax(1) == said[1].argmax(1)).mean())
    notes = (evaluation.without_teacher,) if evaluation.without_teacher else ()
    return replace(export, before=before, after=after, rows=rows, same_label=same, notes=notes)
