"""`codrun export`: a student in a form that runs without codrun, and what that costs in accuracy and gains in time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy
import yaml
from pydantic import ValidationError

from cod_runner.api import Answerer, BuildContext, Exporter, ExportReport, ExportRequest, Input, one_thread
from cod_runner.deployment.answering import logits_of
from cod_runner.deployment.evaluation import Evaluation
from cod_runner.deployment.export_card import write_export_card
from cod_runner.deployment.opened import ClassifierAnswers, classifier_of
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.files import folder_written_whole
from cod_runner.progress import Progress
from cod_runner.registry import Registry
from cod_runner.runs.student_record import (
    FILE,
    SavedComponent,
    StudentRecord,
    read_student_record,
    write_student_record,
)

ASKED_AT_ONCE = 256
"""Rows between two steps of the progress bar."""
TIMED = 60
"""Answers about one text, of each of the two."""
PLAIN_TEXT = "The actors are good, but the story takes far too long to begin and ends before it has said anything."
"""What is timed where no evaluation row is at hand."""


@dataclass(frozen=True)
class Destination:
    """What is to be written, and where."""

    exporter: str
    options: Mapping[str, Any]
    folder: Path
    replace: bool = False
    """Whether an earlier export there may be replaced."""


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


def exporter_options(registry: Registry, name: str, settings: Sequence[str], *, int8: bool) -> dict[str, Any]:
    """The options of ``KEY=VALUE`` settings, the value in YAML; raises :class:`RecipeError` for wrong ones."""
    known = registry.find("exporter", name).options
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--set {setting}: write KEY=VALUE; {_usage(name, known.model_fields)}")
        try:
            options[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {setting}: what follows `=` is not YAML") from error
    if int8:
        if "int8" not in known.model_fields:
            raise RecipeError(f"the exporter `{name}` knows no int8; {_usage(name, known.model_fields)}")
        options["int8"] = True
    try:
        known.model_validate(options)
    except ValidationError as error:
        wrong = "; ".join(_wrong_option(each["type"], each["loc"], each["msg"]) for each in error.errors())
        raise RecipeError(f"--set: {wrong}; {_usage(name, known.model_fields)}") from error
    return options


def _wrong_option(kind: str, place: Sequence[str | int], message: str) -> str:
    option = ".".join(map(str, place))
    if kind == "extra_forbidden":
        return f"there is no option `{option}`"
    return f"`{option}`: {message.removeprefix('Value error, ')}"


def export_folder(student: Path, exporter: str, options: Mapping[str, Any]) -> Path:
    """Where an export goes that names no folder: beside its student."""
    return student.with_name(f"{student.name}-{exporter}{'-int8' if options.get('int8') else ''}")


def is_export_of(folder: Path, student: Path) -> bool:
    """Whether the folder holds an export of the student as it is now, not of one that a changed recipe replaced."""
    record = read_student_record(folder)
    return record is not None and record.exported is not None and record.key == record_to_export(student).key


def record_to_export(student: Path) -> StudentRecord:
    """What the folder says of its student; raises :class:`RecipeError` where it holds none, or an export already."""
    record = read_student_record(student)
    if record is None:
        raise RecipeError(f"{student} is not a student's folder: it has no student.json")
    if record.exported is not None:
        raise RecipeError(
            f"{student} is an export already, by `{record.exported.use}`; name the folder of the student itself"
        )
    return record


def refuse_what_is_there(folder: Path, student: Path, *, replaceable: bool) -> None:
    """Raise :class:`RecipeError` where something is in the folder's place that must not be replaced."""
    if not folder.exists():
        return
    if folder.absolute() == student.absolute() or not folder.is_dir():
        raise RecipeError(f"{folder} is not replaced: name another folder with --out")
    record = read_student_record(folder)
    if record is None or record.exported is None:
        raise RecipeError(f"{folder} exists, and it is not an earlier export: name another folder with --out")
    if not replaceable:
        raise RecipeError(f"{folder} holds an earlier export: name another folder with --out, or add --force")


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


def fewer_rows(evaluation: Evaluation, most: int) -> Evaluation:
    """At most ``most`` of its rows, evenly spread over all of them."""
    rows = len(evaluation.examples)
    if rows <= most:
        return evaluation
    chosen = [place * rows // most for place in range(most)]
    logits = evaluation.teacher_logits
    return replace(
        evaluation,
        examples=tuple(evaluation.examples[place] for place in chosen),
        teacher_logits=None if logits is None else logits[chosen],
    )


def _usage(name: str, options: Mapping[str, Any]) -> str:
    return f"the options of `{name}` are {', '.join(options) or 'none'}"
