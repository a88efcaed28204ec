"""A student's model card, put together and written beside its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cod_runner.files import write_whole
from cod_runner.report.card.forms import forms
from cod_runner.report.card.judging import calibration, limits, scores, warnings
from cod_runner.report.card.libraries import library_of
from cod_runner.report.card.making import making
from cod_runner.report.card.metadata import yaml_block
from cod_runner.report.card.subject import RunStudents, Subject, number
from cod_runner.report.card.terms import terms
from cod_runner.report.card.usage import usage
from cod_runner.report.contents import Report
from cod_runner.report.table import ACCURACY
from cod_runner.report.text import markdown_line, number_and_deviation
from cod_runner.runs.student_record import read_student_record

FILE = "README.md"


def write_cards(folder: Path, report: Report) -> list[Path]:
    """Write the card of every student of the run in ``folder`` that is there; returns them.

    A student of other settings than the recipe's present ones keeps the card that it has, and one that is as it should
    be is not written again. Raises :class:`CodrunError` that names a damaged ``student.json``.
    """
    written = []
    for subject in subjects(folder, report):
        path, card = subject.folder / FILE, model_card(subject).encode()
        if not path.is_file() or path.read_bytes() != card:
            write_whole(path, card, within=folder / "students")  # where a kill's leftovers are swept
        written.append(path)
    return written


def subjects(folder: Path, report: Report) -> Iterator[Subject]:
    """Every student of the run that was saved with a record of its own."""
    run = RunStudents(folder, report.rows)
    for row in report.rows:
        place = folder / "students" / row.name
        student = read_student_record(place)
        if student is not None and student.key == row.key:
            yield Subject(report, row, student, place, library_of(place), run)


def model_card(subject: Subject) -> str:
    """The card's text, YAML block and Markdown: what :class:`huggingface_hub.ModelCard` reads."""
    sections = (
        _summary(subject), usage(subject), scores(subject), calibration(subject), forms(subject), limits(subject),
        making(subject), terms(subject),
    )  # fmt: skip
    body = "\n\n".join("\n".join(lines) for lines in sections if lines)
    return f"---\n{yaml_block(subject)}\n---\n\n{body}\n"


def _summary(subject: Subject) -> list[str]:
    row, recipe = subject.row, subject.recipe
    title = f"{recipe.name}: {subject.setting}, k = {row.k}, seed {row.seed}"
    lines = [f"# {markdown_line(title)}", ""]
    if recipe.describe:
        lines += [f"> {markdown_line(recipe.describe)}", ""]
    names = subject.student.labels
    classes = f"{len(names)} labels" if len(names) > 6 else ", ".join(markdown_line(name) for name in names)
    what = "classifier of vectors" if subject.reads_vectors else "text classifier"
    floor = row.method in subject.report.floor
    made = "trained without a teacher's word in its loss" if floor else "distilled from a larger model, its teacher,"
    lines.append(f"A small {what} ({classes}), {made} with k = {row.k} training examples.{_headline(subject)}")
    if subject.card.intended_use:
        lines += ["", f"Intended use, in its author's words: {markdown_line(subject.card.intended_use)}"]
    for warning in warnings(subject):
        lines += ["", warning]
    return lines


def _headline(subject: Subject) -> str:
    """Accuracy, its own, its setting's and its teacher's, in one sentence."""
    value = subject.row.metrics.get(ACCURACY)
    if value is None:
        return ""
    metric = subject.record.metric(ACCURACY)
    summary = subject.summary(subject.row.method, subject.row.arm, metric)
    mean = ""
    if summary is not None and summary.n > 1:
        mean = f" ({number_and_deviation(summary, sign=False)} over the {summary.n} seeds of its setting)"
    teacher = subject.teacher_accuracy
    beside = f"; its teacher's is {number(teacher)}" if teacher is not None else ""
    return f" Its accuracy is {number(value)}{mean}{beside}."
