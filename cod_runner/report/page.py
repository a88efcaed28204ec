"""``report.html``: one self-contained file that loads nothing from the network and can be printed."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import yaml

from cod_runner.report.calibration import CALIBRATION_COLUMNS, CALIBRATION_TITLE, calibration_notes
from cod_runner.report.contents import Report, gain_summary, smallest_p_in_words, what_cod_changes
from cod_runner.report.costs import COSTS_TITLE, cost_grid, cost_notes
from cod_runner.report.looks import looks
from cod_runner.report.protocol import without_folder
from cod_runner.report.table import MISSING, arm_name, in_order
from cod_runner.report.text import cell_parts, gain_grid, pooled_in_words
from cod_runner.word_diff import Piece, shown_input, word_diff

PAIRS_SHOWN = 12


def page(report: Report, figures: Mapping[str, bytes]) -> str:
    """The page as HTML. ``figures``, PNG by name, are inlined; all text from data is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, finalize=_without_control
    )
    template = environment.from_string(
        resources.files("cod_runner.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    )
    record = report.record
    verified = sum(bool(line.get("verified")) for line in report.outcomes)
    return template.render(
        report=report,
        record=record,
        cell_parts=cell_parts,
        gain_grid=gain_grid,
        gain_summary=gain_summary(report),
        what_cod_changes=what_cod_changes,
        smallest_p_in_words=smallest_p_in_words,
        pooled_in_words=pooled_in_words,
        figures={name: base64.b64encode(png).decode("ascii") for name, png in figures.items()},
        figure_captions=_captions(report, figures),
        pairs=[_shown_pair(line) for line in report.outcomes[:PAIRS_SHOWN]],
        pairs_verified=verified,
        training_sets=_training_sets(report),
        calibration_title=CALIBRATION_TITLE,
        calibration_columns=CALIBRATION_COLUMNS,
        calibration_notes=calibration_notes(report.calibrations),
        costs_title=COSTS_TITLE,
        cost_columns=cost_grid(report.costs)[0],
        cost_rows=cost_grid(report.costs)[1],
        cost_notes=cost_notes(report.costs),
        seeds=_by_seed(report),
        facts=_facts(report),
        machine=_machine(report),
        command=record.command or "codrun recipe.yaml",
        recipe_yaml=yaml.safe_dump(
            _without_folders(report.recipe.model_dump(mode="json")), sort_keys=False, allow_unicode=True, width=100
        ),
        number=_number,
    )


def _without_control(value: Any) -> Any:
    return shown_input(value) if type(value) is str else value  # Markup comes from the macros, not from data


@dataclass(frozen=True)
class ShownPair:
    """An original and its counterfactual as the page shows them."""

    pieces: list[Piece]
    verified: bool
    before: str
    after: str
    facts: str


def _shown_pair(line: Mapping[str, Any]) -> ShownPair:
    original, changed = shown_input(line.get("original")), line.get("counterfactual")
    facts = []
    if line.get("generator"):
        facts.append(str(line["generator"]))
    if isinstance(line.get("edits"), int | float):
        facts.append(f"{line['edits']:.3g} {'edit' if line['edits'] == 1 else 'edits'}")
    attempts = line.get("attempts")
    tried = len(attempts) if isinstance(attempts, list) else attempts
    if isinstance(tried, int):
        facts.append(f"{tried} tried")
    reasons = line.get("reasons")
    if not line.get("verified") and isinstance(reasons, dict | list) and reasons:
        facts.append("rejected: " + ", ".join(str(reason) for reason in reasons))
    return ShownPair(
        pieces=word_diff(original, shown_input(changed)) if changed is not None else [Piece("same", original)],
        verified=bool(line.get("verified")),
        before=_reading(line.get("from_label"), line.get("teacher_before")),
        after=_reading(line.get("label"), line.get("teacher_after")) if changed is not None else MISSING,
        facts=", ".join(facts),
    )


def _reading(label: Any, probabilities: Any) -> str:
    """``positive .93``: a class and the teacher's largest probability."""
    probability = None
    if isinstance(probabilities, Mapping):
        probabilities = list(probabilities.values())
    if isinstance(probabilities, list | tuple) and probabilities:
        probability = max(probabilities)
    elif isinstance(probabilities, int | float):
        probability = probabilities
    words = [] if label is None else [f"class {label}" if isinstance(label, int) else str(label)]
    if isinstance(probability, int | float):
        words.append(f"{probability:.2f}")
    return " ".join(words) or MISSING


def _captions(report: Report, figures: Mapping[str, bytes]) -> dict[str, str]:
    captions = {
        table.metric.name: f"{table.metric.heading} over k. Dots are seeds, bars sample standard deviations; "
        f"{_lines_in_words(report)}."
        for table in report.tables
    }
    if report.tables:
        captions["teacher_queries"] = (
            f"{report.tables[0].metric.heading} over the texts that the teacher read for a training set; each point is "
            f"one k. Bars are sample standard deviations; {_lines_in_words(report)}."
        )
    captions["minimality"] = "How much of each original a verified counterfactual changed."
    return {name: captions.get(name, name.replace("_", " ").replace("-", " ")) for name in figures}


def _lines_in_words(report: Report) -> str:
    """``plain dashed, +CoD solid``"""
    return ", ".join(f"{arm_name(arm)} {look.line_in_words}" for arm, look in looks(report.recipe.arms).items())


@dataclass(frozen=True)
class TrainingSet:
    """What one arm trained on at one k, as means over its cells; None if no cell records it."""

    arm: str
    k: int
    cells: int
    training_rows: float | None
    redrawn: float | None
    yield_: float | None
    steps: float | None


def _training_sets(report: Report) -> list[TrainingSet]:
    arms = in_order(report.recipe.arms)
    places = sorted(
        {(row.arm, row.k) for row in report.rows if row.arm in arms}, key=lambda at: (arms.index(at[0]), at[1])
    )
    sets = []
    for arm, k in places:
        rows = [row for row in report.rows if (row.arm, row.k) == (arm, k)]

        def mean(values: Sequence[float | None]) -> float | None:
            known = [value for value in values if value is not None]
            return sum(known) / len(known) if known else None

        sets.append(
            TrainingSet(
                arm,
                k,
                len(rows),
                mean([row.training_rows for row in rows]),
                mean([row.redrawn for row in rows]),
                mean([row.yield_ for row in rows]),
                mean([row.steps for row in rows]),
            )
        )
    return sets


@dataclass(frozen=True)
class SeedLine:
    """One method, arm and k: the headline metric seed by seed."""

    method: str
    arm: str
    k: int
    values: list[float | None]


def _by_seed(report: Report) -> list[SeedLine]:
    if not report.tables:
        return []
    metric = report.tables[0].metric.name
    values = {row.place: row.metrics.get(metric) for row in report.rows}
    return [
        SeedLine(method, arm, k, [values.get((method, arm, k, seed)) for seed in report.recipe.seeds])
        for method in report.recipe.methods
        for k in sorted(report.recipe.k)
        for arm in report.recipe.arms
    ]


def _facts(report: Report) -> list[tuple[str, str]]:
    record = report.record
    facts = [("cells finished", f"{len(report.rows)}")]
    if record.teacher_accuracy is not None:
        facts.append(("teacher's accuracy", f"{record.teacher_accuracy:.3f}"))
    if record.seconds is not None:
        facts.append(("time", _duration(record.seconds)))
    if record.calls:
        cost = "unknown" if record.cost is None else f"${record.cost:.4f}"
        facts.append(("model calls", f"{record.calls:,} ({record.tokens:,} tokens), cost {cost}"))
    else:
        facts.append(("model calls", "none"))
    facts += [(name.replace("_", " "), _number(value)) for name, value in record.data.items()]
    return facts


def _machine(report: Report) -> list[tuple[str, str]]:
    record = report.record
    lines = [(name.replace("_", " "), str(value)) for name, value in record.machine.items() if value is not None]
    lines += [(name, version) for name, version in record.versions.items()]
    if record.git_commit:
        lines.append(("git commit", record.git_commit))
    for name, value in (("profile", record.profile), ("started", record.started), ("finished", record.finished)):
        if value:
            lines.append((name, value))
    return lines


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _number(value: Any) -> str:
    """A number for a table: integers with commas, others to three digits, – for None."""
    if value is None:
        return MISSING
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return f"{value:,.0f}" if value == int(value) and abs(value) >= 10 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _without_folders(value: Any) -> Any:
    """Cut absolute paths to their last part: a page that is passed on should not reveal the folders of this machine."""
    if isinstance(value, Mapping):
        return {name: _without_folders(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return without_folder(value) if isinstance(value, str) else value
