"""Stage 5: the run's record, updated after each stage, its reports, and whether its expectations were met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from cod_runner.api import Teacher
from cod_runner.context import RunContext
from cod_runner.data.fewshot import TrainingSet
from cod_runner.errors import ExpectationMissed
from cod_runner.report import Report, write_reports
from cod_runner.runs.expectations import ExpectationResult, check_expectations
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.reading import current_rows, json_lines, read_rows
from cod_runner.runs.records import HELD_OUT_LABELS, QualityRow, RunRecord
from cod_runner.stages.additions import Additions
from cod_runner.stages.held_out import gold_labels
from cod_runner.stages.load import Experiment
from cod_runner.stages.teacher import SetKey, teacher_facts


@dataclass(frozen=True)
class RunResult:
    """What a run shows at its end."""

    folder: RunFolder
    record: RunRecord
    report: Report
    expectations: list[ExpectationResult]

    def raise_if_missed(self) -> None:
        """Raise :class:`ExpectationMissed` that names each missed entry."""
        missed = [result.sentence for result in self.expectations if result.missed]
        if missed:
            raise ExpectationMissed("; ".join(missed))


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


def record_additions(context: RunContext, record: RunRecord, found: Additions) -> None:
    """Write what was searched, and the quality of the counterfactuals."""
    write_outcomes(context, found)
    record.shared_queries = sum(searched.search.shared_queries for searched in found.searches)
    record.quality = [QualityRow(name=one.name, all=one.all, flipped=one.flipped) for one in found.quality]


def write_outcomes(context: RunContext, found: Additions) -> None:
    """Write ``counterfactuals.jsonl``, and a file like it for every other search of the run."""
    folder = context.folder
    folder.write_lines(folder.counterfactuals, [])
    for searched in found.searches:
        if searched.search.outcomes:
            folder.write_lines(folder.outcomes(searched.name), found.lines(searched))


def record_teacher(context: RunContext, record: RunRecord, experiment: Experiment, teacher: Teacher) -> None:
    """Write what is known of teacher and data into ``run.json``, before the students train."""
    corpus = experiment.corpus
    record.teacher = teacher_facts(context, experiment, teacher)
    record.data = {**record.data, "pool rows": len(corpus.pool), "evaluation rows": len(corpus.evaluation)}
    context.folder.write_record(record)


def record_held_out(context: RunContext, record: RunRecord, sets: Mapping[SetKey, TrainingSet]) -> None:
    """Count the gold labels that are read beside k, in ``run.json``; those of the call that read most."""
    earlier = record.held_out_labels or 0
    record.data = {**record.data, HELD_OUT_LABELS: max(gold_labels(sets.values()), earlier)}
    context.folder.write_record(record)


def conclude(context: RunContext, record: RunRecord, seconds: float, ran: bool) -> RunResult:
    """Write every report from what is on disk, and check what the recipe expects.

    ``seconds`` is how long this call took, ``ran`` whether any cell was left to run.
    """
    loaded, folder = context.loaded, context.folder
    record.notes = list(dict.fromkeys([*record.notes, *context.progress.notes]))
    record.finished_now(seconds, ran)
    folder.write_record(record)
    if ran:
        context.registry.hook.codrun_run_finished(summary=record.model_dump(mode="json"), folder=folder.path)
    rows, others = current_rows(read_rows(folder.cells, record.metric_names), record.cell_keys)
    report = write_reports(folder.path, loaded.recipe, record, rows, json_lines(folder.counterfactuals), others)
    return RunResult(folder, record, report, check_expectations(loaded.recipe.expect, loaded.not_run, rows))
