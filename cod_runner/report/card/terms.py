"""The section of a card on licences: the student's own, and whose terms may apply beside it."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.report.card.metadata import UNKNOWN, licence_of
from cod_runner.report.card.subject import Subject, public
from cod_runner.report.text import markdown_grid, markdown_line

ROLES = {
    "teacher": "taught it",
    "student": "the student's weights began as it",
    "dataset": "its training and evaluation rows",
    "generator": "wrote texts that students of the run trained on",
    "selector": "helped to choose the originals",
    "chooser": "helped to choose what was added",
}
"""What each kind of component has to do with a student."""


def terms(subject: Subject) -> list[str]:
    """The student's licence, who says so, and everything of other people's that is in it: of all students the same."""
    return subject.run.once(("terms",), lambda: _terms(subject))


def _terms(subject: Subject) -> list[str]:
    licence = licence_of(subject)
    lines = ["## Licence and terms", "", f"Licence: {markdown_line(licence.name)} ({licence.says})."]
    if licence.name == UNKNOWN:
        lines[-1] += " Ask its author; the terms of what it is made of apply in any case."
    rows = [list(row) for row in _origins(subject)]
    lines += ["", "What it is made of, and whose terms may apply to it:", ""]
    lines += markdown_grid(["what", "name", "part in it", "licence that its own card states"], rows)
    if any(origin.role in ("teacher", "generator") for origin in subject.record.origins or ()):
        lines += [
            "",
            "The makers of a language model may have terms on what its answers are used for, the training of other "
            "models among it, whether it taught the student or wrote its counterfactuals.",
        ]
    return lines


def _origins(subject: Subject) -> Iterator[tuple[str, str, str, str]]:
    for origin in subject.record.origins or ():
        part = _part_of_the_teacher(subject) if origin.role == "teacher" else ROLES.get(origin.role, origin.role)
        stated = markdown_line(origin.license) if origin.license else "not stated here"
        yield origin.what, public(origin.name), part, stated
    if not subject.origins("dataset"):
        yield "data set", public(subject.data_set), "its training and evaluation rows", "not stated here"


def _part_of_the_teacher(subject: Subject) -> str:
    part = ROLES["teacher"]
    without = subject.row.method in (subject.record.without_teacher or ())
    if without and subject.arm.adds_flips:
        part = "gave the labels of the counterfactuals that it was trained on"
    elif without and subject.arm.add:
        part = "judged what was added to the texts that it was trained on"
    elif without:
        part = "taught other students of the run, and not this one"
    return f"{part}, and its weights began as parts of it" if subject.record.student_from_teacher else part
