"""Stage 5: what a run spent, its reports, and whether its expectations were met; loads no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cod_runner.context import RunContext
from cod_runner.errors import CellsLeftOut, ExpectationMissed
from cod_runner.report import Report, write_reports
from cod_runner.report.as_json import results_json
from cod_runner.runs.declared import with_origins
from cod_runner.runs.expectations import ExpectationResult, check_expectations
from cod_runner.runs.failed import CURE, failed_in_words
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.folds import merge_folds
from cod_runner.runs.reading import current_rows, json_lines, read_rows
from cod_runner.runs.records import CellRow, RunRecord
from cod_runner.stages.chance import warn_of_chance
from cod_runner.stages.timing import stage


@dataclass(frozen=True, repr=False)
class RunResult:
    """What a run shows at its end."""

    folder: RunFolder
    record: RunRecord
    report: Report
    expectations: list[ExpectationResult]
    strict: bool = False
    """Whether an expectation that did not run counts as missed."""

    def __repr__(self) -> str:
        """One line, since a notebook prints what a call gives back."""
        counted = [f"{len(self.rows):,} finished cells"]
        if self.expectations:
            met = sum(each.ran and not each.missed for each in self.expectations)
            counted.append(f"{met} of {len(self.expectations)} expectations met")
        return f"<RunResult of {self.folder.path}: {', '.join(counted)}>"

    @property
    def rows(self) -> tuple[CellRow, ...]:
        """The finished cells of the recipe, by method, k, arm and seed."""
        return self.report.rows

    def raise_if_incomplete(self) -> None:
        """Raise :class:`CellsLeftOut` that says which cells could not run or failed, if any."""
        sentences = []
        if self.record.left_out:
            sentences.append(f"{self.record.left_out_in_words}; the notes say what can be done")
        if self.record.failed:
            sentences.append(f"{failed_in_words(self.record.failed)}; {CURE}")
        if sentences:
            raise CellsLeftOut(f"{'; '.join(sentences)}; all other cells ran")

    def raise_if_missed(self) -> None:
        """Raise :class:`ExpectationMissed` that names each missed entry; where the run is strict, also each that did
        not run."""
        missed = [each.sentence for each in self.expectations if each.missed or (self.strict and not each.ran)]
        if missed:
            raise ExpectationMissed("; ".join(missed))

    @property
    def exit_code(self) -> int:
        """What ``codrun`` ends with: 0, 1 where a cell could not run or failed, 3 where an expectation was missed."""
        try:
            self.raise_if_incomplete()
            self.raise_if_missed()
        except (CellsLeftOut, ExpectationMissed) as error:
            return error.exit_code
        return 0

    def as_json(self) -> dict[str, Any]:
        """``codrun RECIPE --json``: ``run.json``, which holds verdicts and cells that could not run, with the cells,
        the gains, the folder and the exit code beside."""
        record = self.record.model_dump(mode="json")
        return {**record, **results_json(self.report), "folder": str(self.folder.path), "exit_code": self.exit_code}


@contextmanager
def spending_recorded(context: RunContext, record: RunRecord) -> Iterator[None]:
    """Note in ``run.json`` what the block spent, also where it ends in an error."""
    try:
        yield
    finally:
        spent = context.spending.summary()
        record.calls, record.tokens = spent["calls"], spent["tokens"]
        record.cost = None if spent["usd"] == "unknown" else spent["usd"]
        context.folder.write_record(record)


def conclude(context: RunContext, record: RunRecord, seconds: float, ran: bool) -> RunResult:
    """Write every report from what is on disk, and check what the recipe expects.

    ``seconds`` is how long this call took, ``ran`` whether any cell was left to run.
    """
    loaded, folder = context.loaded, context.folder
    merge_folds(record, loaded.recipe)
    if ran and loaded.recipe.evaluate.folds is not None:
        warn_of_chance(context.progress, record.teacher)
    record.notes = list(dict.fromkeys([*record.notes, *context.progress.notes]))
    record = with_origins(record, loaded.recipe, context.registry)
    record.finished_now(seconds, ran)
    rows, others = current_rows(read_rows(folder.cells, record.metric_names), record.cell_keys)
    expectations = check_expectations(loaded.recipe.expect, loaded.not_run, rows, record.quality, folder.path)
    record.verdicts = [each.record for each in expectations]
    folder.write_record(record)
    with stage(context, record, "report") if ran else context.progress.stage("report"):
        if ran:
            context.observers.notify("codrun_run_finished", summary=record.model_dump(mode="json"), folder=folder.path)
        report = write_reports(folder.path, loaded.recipe, record, rows, json_lines(folder.counterfactuals), others)
        if ran:
            context.observers.notify(
                "codrun_report_written", summary=record.model_dump(mode="json"), folder=folder.path
            )
    return RunResult(folder, record, report, expectations, context.settings.strict)
