"""The contract of a tracker: the observer hooks, through the life of a run."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pluggy

from cod_runner.hookspecs import Hooks
from cod_runner.runs.records import CellRow, RunRecord
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.checks.toys import LABELS, POINTS, TEXTS, toy_teacher

HOOKS = "Hooks: a tracker has at least one of the observer hooks, marked with `hookimpl`"
KNOWN = "Hooks: every hook that a tracker marks is one of codrun's, and takes its arguments"
PURE = "Hooks: what an observer is told stays as it is"
LIFE = "Hooks: a whole run, and a second call that continues it, can be observed"
WORKER = "Hooks.codrun_step: in a worker a tracker of its own gets no other hook"

DRAWN_FROM = ("torch",)
"""The generator that trainings draw from beside a tracker; services make names of their own with another."""


@check_of("tracker")
def check_tracker(subject: Subject) -> None:
    """Two calls of a run and a worker of it, observed without a fault and without a change to what is told."""

    def look(texts: bool) -> None:
        for _ in ("a run", "the same again"):
            hook = _attached(subject, subject.build())
            for name, told in _life(subject, texts):
                _called(subject, hook, name, told, LIFE)
        worker = _attached(subject, subject.build())
        for name, told in _steps(2):
            _called(subject, worker, name, told, WORKER)

    subject.either_input(look)


def _attached(subject: Subject, tracker: object) -> Any:
    """pluggy's caller of its hooks alone."""
    manager = pluggy.PluginManager("codrun")
    manager.add_hookspecs(Hooks)
    try:
        manager.register(tracker)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        subject.fail(f"has a hook that cannot be called ({error})", KNOWN)
    subject.must(True, "", KNOWN)
    callers = manager.get_hookcallers(tracker) or []
    observes = [caller.name for caller in callers if caller.name != "codrun_components"]
    subject.must(bool(observes), "marks no observer hook, so it would never be called", HOOKS)
    return manager.hook


def _called(subject: Subject, hook: Any, name: str, told: dict[str, Any], clause: str) -> None:
    plain = {key: value for key, value in told.items() if key != "teacher"}
    before = copy.deepcopy(plain)
    files = _named_files(subject)
    with subject.watched(f"in `{name}`", refusals=True, write=files, untouched=DRAWN_FROM, clause=clause):
        getattr(hook, name)(**told)
    subject.must(plain == before, f"changed what `{name}` told it", PURE)
    subject.must(True, "", clause)


def _named_files(subject: Subject) -> list[Path]:
    """Files that its own options name."""
    values = (getattr(subject.options(), name) for name in type(subject.options()).model_fields)
    return [Path(value) for value in values if isinstance(value, str) and value]


def _cell(number: int) -> dict[str, Any]:
    return {"key": f"{number:032x}", "method": ("kd", "hard")[number % 2], "arm": "plain", "k": 8, "seed": number}


def _row(number: int) -> dict[str, Any]:
    """Its line of ``cells.jsonl``."""
    cell = CellRow(
        **_cell(number),
        metrics={"accuracy": 0.5, "agreement": 0.75, "kl": 0.1},
        steps=3,
        training_rows=8,
        yield_=1.0,
        losses={"hard": 0.2},
        select="last",
        seconds=1.5,
    )
    return cell.to_json()


def _steps(cells: int) -> list[tuple[str, dict[str, Any]]]:
    """The steps of some cells, in turn."""
    return [
        ("codrun_step", {"cell": _cell(number), "step": step, "losses": {"hard": 0.7 / step, "kd": 0.5}})
        for step in (1, 2, 3)
        for number in range(cells)
    ]


def _life(subject: Subject, texts: bool) -> list[tuple[str, dict[str, Any]]]:
    """Every hook of a run of two cells, whose files are in its folder."""
    folder = subject.context.run
    assert folder is not None
    rows, cells = TEXTS if texts else POINTS, [_cell(0), _cell(1)]
    finished = [_row(0), _row(1)]
    recipe = {
        "recipe": 1, "name": "toy", "k": [8], "seeds": [0, 1], "arms": {"plain": {}}, "train": {"steps": 3},
        "dataset": {"use": "toy", "labels": list(LABELS)}, "teacher": {"use": "toy"}, "student": {"use": "toy"},
        "methods": {"kd": [{"use": "kd", "weight": 1.0}], "hard": [{"use": "hard", "weight": 1.0}]},
        "evaluate": {"metrics": [{"use": "accuracy"}]},
    }  # fmt: skip
    record = RunRecord(recipe="toy", seconds=3.0, versions={"codrun": "0.1"})
    record.cell_keys = [cell["key"] for cell in cells]
    summary = record.model_dump(mode="json")
    files = {
        "recipe.yaml": json.dumps(recipe),  # which is YAML too
        "run.json": json.dumps(summary),
        "cells.jsonl": "".join(json.dumps(row) + "\n" for row in finished),
        "table.md": "| method | accuracy |\n|---|---|\n| kd | 0.5 |\n",
        "table.csv": "method,accuracy\nkd,0.5\n",
        "report.html": "<!doctype html><title>toy</title>",
        "counterfactuals.jsonl": "",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [
        ("codrun_run_started", {"recipe": recipe, "cells": len(cells), "folder": folder}),
        ("codrun_teacher_ready", {"teacher": toy_teacher(texts), "pool": list(rows)}),
        *(("codrun_cell_started", {"cell": cell, "training": list(rows[:8])}) for cell in cells),
        *_steps(len(cells)),
        *(("codrun_cell_finished", {"row": row}) for row in finished),
        ("codrun_run_finished", {"summary": summary, "folder": folder}),
        ("codrun_report_written", {"summary": summary, "folder": folder}),
    ]
