"""Stage 5: the run's record, updated after each stage, its reports, and whether its expectations were met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_runner.api import Teacher
from cod_runner.context import RunContext
from cod_runner.counterfactuals import quality_of_lines
from cod_runner.data.corpus import Corpus
from cod_runner.data.fewshot import TrainingSet
from cod_runner.errors import CellsLeftOut, ExpectationMissed
from cod_runner.report import Report, write_reports
from cod_runner.report.as_json import results_json
from cod_runner.runs.cells import Part
from cod_runner.runs.declared import with_origins
from cod_runner.runs.expectations import ExpectationResult, check_expectations
from cod_runner.runs.failed import CURE, failed_in_words
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.folds import EVALUATION, POOL, folds_of, put_together
from cod_runner.runs.reading import current_rows, json_lines, read_rows
from cod_runner.runs.records import HELD_OUT_LABELS, CellRow, FoldRecord, LeftOut, QualityRow, RunRecord
from cod_runner.stages.additions import Additions
from cod_runner.stages.chance import how_good, warning_of_chance
from cod_runner.stages.held_out import gold_labels
from cod_runner.stages.load import Experiment
from cod_runner.stages.searches import FLIPS
from cod_runner.stages.shortages import Shortage
from cod_runner.stages.teacher import SetKey, teacher_facts
from cod_runner.stages.timing import stage


@dataclass(frozen=True)
class RunResult:
    """What a run shows at its end."""

    folder: RunFolder
    record: RunRecord
    report: Report
    expectations: list[ExpectationResult]
    strict: bool = False
    """Whether an expectation that did not run counts as missed."""

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


def record_additions(context: RunContext, record: RunRecord, found: Additions) -> None:
    """Write what was searched, and the quality of the counterfactuals, of all folds where there are some."""
    write_outcomes(context, found)
    shared = sum(searched.search.shared_queries for searched in found.searches)
    quality = found.quality
    if found.fold is None:
        record.shared_queries = shared
    else:
        record.folds.setdefault(found.fold, FoldRecord()).shared_queries = shared
        quality = quality_of_lines(json_lines(context.folder.counterfactuals), found.labels)
    record.quality = [QualityRow(name=one.name, all=one.all, flipped=one.flipped) for one in quality]


def write_outcomes(context: RunContext, found: Additions) -> None:
    """Write ``counterfactuals.jsonl``, and a file like it for every other search of the run; the lines of other folds
    stay."""
    folder = context.folder
    others = set(folds_of(context.recipe)) - {found.fold}

    def write(path: Path, lines: list[dict[str, Any]]) -> None:
        kept = [line for line in json_lines(path) if line.get("fold") in others] if others else []
        folder.write_lines(path, sorted([*kept, *lines], key=lambda line: line.get("fold", 0)))

    write(folder.counterfactuals, found.counterfactual_lines)
    for searched in found.searches:
        if searched.search.outcomes and searched.name != FLIPS:
            write(folder.outcomes(searched.name), found.lines(searched))


def record_teacher(context: RunContext, record: RunRecord, experiment: Experiment, teacher: Teacher) -> None:
    """Write what is known of teacher and data into ``run.json``, before the students train."""
    corpus = experiment.corpus
    facts, data = teacher_facts(context, experiment, teacher), _data_facts(corpus)
    if corpus.fold is None:
        record.teacher, record.data = facts, {**record.data, **data}
    else:
        fold = record.folds.setdefault(corpus.fold, FoldRecord())
        fold.teacher, fold.data = facts, data
        put_together(record, context.recipe)
    context.folder.write_record(record)
    context.progress.say(how_good(facts))
    if corpus.fold is None:  # of a few rows of a fold nothing can be said
        _warn_of_chance(context, record)


def _warn_of_chance(context: RunContext, record: RunRecord) -> None:
    if (near := warning_of_chance(record.teacher)) is not None:
        context.progress.warn(near)


def record_left_out(context: RunContext, record: RunRecord, part: Part, left_out: Sequence[Shortage]) -> None:
    """Note which cells cannot run, and say why."""
    for one in left_out:
        context.progress.warn(one.sentence)
        cells = sum(one.is_of(cell) for cell in part.waiting)
        record.left_out.append(LeftOut(arm=one.arm, k=one.k, seeds=list(one.seeds), cells=cells, sentence=one.sentence))


def _data_facts(corpus: Corpus) -> dict[str, Any]:
    vectors = any(isinstance(row.input, tuple) for row in corpus.evaluation[:1])
    return {
        POOL: len(corpus.pool),
        EVALUATION: len(corpus.evaluation),
        "dropped rows": corpus.dropped.in_words or "none",
        "inputs": "vectors" if vectors else "texts",
        **({"texts without a label": len(corpus.unlabelled)} if corpus.unlabelled else {}),
    }


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
    put_together(record, loaded.recipe)
    if ran and loaded.recipe.evaluate.folds is not None:
        _warn_of_chance(context, record)
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
