"""The run's record and the files of its searches, updated after each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cod_runner.api import Teacher
from cod_runner.context import RunContext
from cod_runner.counterfactuals import quality_of_lines
from cod_runner.data.corpus import Corpus
from cod_runner.data.fewshot import TrainingSet
from cod_runner.runs.cells import Part, TrainingSetKey
from cod_runner.runs.folds import EVALUATION, POOL, folds_of, merge_folds
from cod_runner.runs.reading import json_lines
from cod_runner.runs.records import HELD_OUT_LABELS, FoldRecord, LeftOut, QualityRow, RunRecord
from cod_runner.stages.additions import Additions
from cod_runner.stages.chance import accuracy_in_words, warn_of_chance
from cod_runner.stages.held_out import gold_labels
from cod_runner.stages.load import Experiment
from cod_runner.stages.searches import FLIPS
from cod_runner.stages.shortages import Shortage
from cod_runner.stages.teacher import teacher_facts


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
        merge_folds(record, context.recipe)
    context.folder.write_record(record)
    context.progress.say(accuracy_in_words(facts))
    if corpus.fold is None:  # of a few rows of a fold nothing can be said
        warn_of_chance(context.progress, record.teacher)


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


def record_held_out(context: RunContext, record: RunRecord, sets: Mapping[TrainingSetKey, TrainingSet]) -> None:
    """Count the gold labels that are read beside k, in ``run.json``; those of the call that read most."""
    earlier = record.held_out_labels or 0
    record.data = {**record.data, HELD_OUT_LABELS: max(gold_labels(sets.values()), earlier)}
    context.folder.write_record(record)
