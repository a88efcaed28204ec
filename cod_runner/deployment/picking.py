"""Which student of a run to ship: the rule of :mod:`cod_runner.runs.choice`, its reasons, and what the student cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_runner.binomial import half_width
from cod_runner.deployment.located import CellFilter, folder_of, listed, saved_rows
from cod_runner.errors import RecipeError
from cod_runner.registry import Registry
from cod_runner.report.costs import price_in_words
from cod_runner.report.statistics import summarise
from cod_runner.report.table import MISSING
from cod_runner.report.text import number_and_deviation
from cod_runner.runs.choice import Choice, RankedSetting, choose
from cod_runner.runs.reading import RunFiles, read_run
from cod_runner.runs.records import CellRow

FEW_ROWS = 30
"""Held-out rows; fewer settle little."""


@dataclass(frozen=True)
class Picked:
    """The choice, and where its student is."""

    run: RunFiles
    choice: Choice
    folder: Path
    unsaved: int
    """Finished cells that were no candidates, since their students, the best among them, are not on disk."""

    @property
    def row(self) -> CellRow:
        return self.choice.row

    @property
    def bytes(self) -> int:
        """Of the student's folder."""
        return size_of(self.folder)

    def reasons(self) -> list[str]:
        """Sentences: what was chosen, why, and how far that can be trusted."""
        return [*self.choice.sentences, *self._trust(), *self._measured()]

    def _trust(self) -> Iterator[str]:
        rows = self.choice.held_out_rows
        if self.choice.by == "protocol":
            yield (
                "no label chose it: give the data more labelled rows and run the recipe again with --fresh, and rows "
                "that train nothing will say which student is best"
            )
        elif rows < FEW_ROWS:
            yield (
                f"{rows} held-out row{'' if rows == 1 else 's'} settle{'s' if rows == 1 else ''} little: an accuracy "
                f"on them is known to ±{half_width(rows):.2f} (95%), so the order of these settings may be chance"
            )
        else:
            yield f"on {rows} held-out rows an accuracy is known to ±{half_width(rows):.2f} (95%)"
        if self.unsaved:
            yield (
                f"{self.unsaved} finished cell{' was no candidate' if self.unsaved == 1 else 's were no candidates'}, "
                "though the best is among them: their students are not on disk"
            )

    def _measured(self) -> Iterator[str]:
        """What the evaluation split says, which had no say."""
        values = [
            f"{metric.title} {self.row.metrics[metric.name]:.3f}"
            for metric in self.run.record.metrics[:2]
            if metric.name in self.row.metrics
        ]
        if values:
            yield f"on the evaluation split, which chose nothing: {', '.join(values)}"

    def costs(self) -> list[str]:
        """Sentences on what its training set cost; what is not recorded is left out."""
        row, found = self.row, []
        counts = (
            (row.labelled, "labelled text", "labelled texts"),
            (row.added, "added text", "added texts"),
            (row.unlabelled, "unlabelled text", "unlabelled texts"),
            (row.teacher_queries, "teacher query", "teacher queries"),
            (row.generator_calls, "generator call", "generator calls"),
            (row.embedded, "embedded text", "embedded texts"),
        )
        words = [f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count]
        prices = [f"{price_in_words(row.usd)} for generators"] if row.usd else []
        prices += [f"{price_in_words(row.teacher_usd)} for the teacher"] if row.teacher_usd else []
        if row.generator_calls and row.usd is None:
            prices.append("the generators' price is not known")
        if words:
            found.append(f"its training set: {', '.join([*words, *(prices or ['nothing paid'])])}")
        more = []
        if row.held_out_rows:
            more.append(f"{row.held_out_rows:,} labels held out to choose and calibrate")
        tuned = self.run.recipe.teacher.finetune
        if tuned is not None:
            more.append(f"up to {tuned.rows:,} labels that fine-tuned the teacher")
        gold = self.run.record.teacher.get("gold_labels")
        if isinstance(gold, int) and gold:
            more.append(f"{gold:,} labels in the teacher's prompt or its calibration")
        if more:
            found.append(f"beside it: {', '.join(more)}")
        return found

    def commands(self) -> list[str]:
        """What to do next."""
        return [
            f'codrun predict {self.folder} "a text"',
            f"codrun export {self.folder} --to onnx",
            f"codrun push {self.folder} OWNER/NAME",
        ]

    def as_json(self) -> Mapping[str, Any]:
        """For programs."""
        row = self.row
        return {
            "folder": str(self.folder),
            "method": row.method,
            "arm": row.arm,
            "k": row.k,
            "seed": row.seed,
            "by": self.choice.by,
            "held_out_rows": self.choice.held_out_rows,
            "reasons": self.reasons(),
            "bytes": self.bytes,
            "cost": {
                "labelled": row.labelled,
                "added": row.added,
                "unlabelled": row.unlabelled,
                "held_out_labels": row.held_out_rows,
                "teacher_queries": row.teacher_queries,
                "generator_calls": row.generator_calls,
                "usd": row.usd,
                "teacher_usd": row.teacher_usd,
            },
            "candidates": [
                {
                    "method": setting.setting[0],
                    "arm": setting.setting[1],
                    "k": setting.setting[2],
                    "held_out_accuracy": accuracies(setting),
                    "held_out_loss": losses(setting),
                    "seeds": [each.seed for each in setting.rows],
                }
                for setting in self.choice.settings
            ],
        }


def pick_student(folder: Path, wanted: CellFilter, registry: Registry) -> Picked:
    """The student of a run to ship, among those that ``wanted`` leaves and whose folders are on disk.

    Raises :class:`RecipeError` where none is.
    """
    run = read_run(folder, registry)
    saved = saved_rows(run)
    left = [row for row in run.rows if wanted.takes(row)]
    on_disk = [row for row in saved if wanted.takes(row)]
    if not on_disk:
        raise RecipeError(f"{folder} has no such student; there {listed(saved)}")
    without_teacher = run.record.without_teacher or ()
    choice, unsaved = choose(left, without_teacher=without_teacher), 0
    if choice.row not in on_disk:
        choice, unsaved = choose(on_disk, without_teacher=without_teacher), len(left) - len(on_disk)
    return Picked(run, choice, folder_of(run, choice.row), unsaved)


def candidates(choice: Choice) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the table of settings, the best first."""
    columns = ["", "setting", "held-out loss", "accuracy", "rows", "seeds", "seed"]
    body = []
    for place, setting in enumerate(choice.settings):
        rows = [row.held_out_rows or 0 for row in setting.rows]
        body.append(
            [
                ">" if place == 0 else "",
                setting.name,
                mean_and_deviation(losses(setting)),
                mean_and_deviation(accuracies(setting)),
                str(min(rows)) if min(rows) == max(rows) else f"{min(rows)}-{max(rows)}",
                str(len(rows)),
                str(setting.rows[0].seed),
            ]
        )
    return columns, body


def losses(setting: RankedSetting) -> list[float]:
    """Of its seeds, those that are known."""
    return [row.held_out_loss for row in setting.rows if row.held_out_loss is not None]


def accuracies(setting: RankedSetting) -> list[float]:
    """Of its seeds, those that are known."""
    return [row.held_out_accuracy for row in setting.rows if row.held_out_accuracy is not None]


def mean_and_deviation(values: Sequence[float]) -> str:
    """``0.612 ± 0.053`` (the sample deviation), or a dash for none."""
    summary = summarise(values)
    return MISSING if summary is None else number_and_deviation(summary, sign=False)


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def size_in_words(count: float) -> str:
    """For example ``69.6 MB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
