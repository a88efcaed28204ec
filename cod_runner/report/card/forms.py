"""The section of a card on how fast a student answers, and on its exports: where its run's folder knows of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cod_runner.errors import CodrunError
from cod_runner.recipe.sections import Use
from cod_runner.report.card.subject import Subject, public
from cod_runner.report.protocol import component_in_words
from cod_runner.report.table import MISSING
from cod_runner.report.text import markdown_grid, markdown_line
from cod_runner.runs.student_record import FILE, read_student_record

BENCH = "bench.json"
COLUMNS = ("", "p50, ms", "p95, ms", "texts/s", "MB on disk", "accuracy", "agreement")


class Measured(BaseModel):
    """One form of a student, or its teacher, as `codrun bench` measured it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    p50: float | None = None
    p95: float | None = None
    texts_per_second: float | None = None
    bytes: int | None = None
    accuracy: float | None = None
    agreement: float | None = None


class Bench(BaseModel):
    """``bench.json`` of a run, as far as a card shows it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    student: str
    evaluation_rows: int = 0
    threads: int = 1
    machine: dict[str, str | int | None] = Field(default_factory=dict)
    results: list[Measured] = Field(default_factory=list)


def forms(subject: Subject) -> list[str]:
    """Nothing where neither is known."""
    bench, exports = read_bench(subject), list(_exports(subject))
    lines = ["## Speed and other forms"]
    if bench is not None:
        lines += ["", *_speed(bench)]
    if exports:
        lines += ["", "Exports of it, each in a folder of its own beside it in its run:", "", *exports]
    return lines if len(lines) > 1 else []


def read_bench(subject: Subject) -> Bench | None:
    """What was measured of this student; None where nothing was, or what is there cannot be read."""
    path = subject.folder.parent.parent / BENCH
    try:
        bench = Bench.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, ValidationError):
        return None
    return bench if Path(bench.student).name == subject.student.cell else None


def _speed(bench: Bench) -> Iterator[str]:
    cores, processor = bench.machine.get("cores"), bench.machine.get("processor")
    where = f"{processor}, {cores} cores" if processor and cores else "one machine"
    threads = "one thread" if bench.threads == 1 else f"{bench.threads} threads"
    yield (
        f"Measured on {markdown_line(where)}, in {threads}, one text at a time (p50, p95), accuracy and agreement on "
        f"{bench.evaluation_rows:,} evaluation rows:"
    )
    yield ""
    yield from markdown_grid(
        COLUMNS,
        [
            [
                markdown_line(each.name), _number(each.p50, 2), _number(each.p95, 2), _number(each.texts_per_second, 0),
                _number(None if each.bytes is None else each.bytes / 1e6, 1), _number(each.accuracy, 3),
                _number(each.agreement, 3),
            ]
            for each in bench.results
        ],
    )  # fmt: skip


def _exports(subject: Subject) -> Iterator[str]:
    """Folders beside the student's, or in it, that an exporter wrote from it."""
    for folder in sorted([*subject.beside_it, *subject.folder.glob("*")]):
        try:
            record = read_student_record(folder) if (folder / FILE).is_file() else None
        except CodrunError:
            continue
        if record is not None and record.exported is not None and record.key == subject.student.key:
            form = Use.model_validate({**record.exported.options, "use": record.exported.use})
            yield f"- {markdown_line(folder.name)}: {public(component_in_words(form))}"


def _number(value: float | None, decimals: int) -> str:
    return MISSING if value is None else f"{value:,.{decimals}f}"
