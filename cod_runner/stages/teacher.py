"""Stage 2: the teacher is made ready once, and asked once about every example that students train or are tested on."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cod_runner.api import (
    Classifier,
    Example,
    FinetuneSettings,
    Input,
    LabelScorer,
    Teacher,
    expected_calibration_error,
    input_as_json,
)
from cod_runner.context import RunContext
from cod_runner.data.corpus import Corpus
from cod_runner.data.fewshot import TrainingSet
from cod_runner.engine.asking import network
from cod_runner.engine.calibration import CalibratedScorer
from cod_runner.engine.checkpoints import Resumption
from cod_runner.engine.device import resolve_precision, threads
from cod_runner.engine.finetune import finetune_teacher
from cod_runner.engine.seeds import derived_seed
from cod_runner.engine.signals import SignalStore
from cod_runner.machine import finetuning_threads
from cod_runner.progress import Step
from cod_runner.recipe.grammar import Calibration
from cod_runner.runs.cells import TrainingSetKey
from cod_runner.runs.identity import finetuned_key
from cod_runner.stages.asking_together import AskedTogether
from cod_runner.stages.build import TeacherSource, build_teacher
from cod_runner.stages.calibrate import asked_to_calibrate, calibrate_teacher
from cod_runner.stages.finetuning_together import Finetuning, finetuned_together
from cod_runner.stages.kept_teacher import Turn, is_kept, keep, read_kept, turn
from cod_runner.stages.load import Experiment
from cod_runner.store import content_key, name_of_signals


def prepare_teacher(context: RunContext, experiment: Experiment, teacher: Teacher) -> tuple[TeacherSource, Teacher]:
    """The teacher, fine-tuned where the recipe says so, or calibrated where it only answers, and how other processes
    have it again."""
    if isinstance(teacher, LabelScorer):
        ready = calibrate_teacher(context, experiment, teacher)
        return TeacherSource(experiment.corpus.labels, None, ready.fingerprint, experiment.shots), ready
    return train_teacher(context, experiment.corpus, teacher), teacher


def train_teacher(context: RunContext, corpus: Corpus, teacher: Classifier) -> TeacherSource:
    """Fine-tune ``teacher`` in place on gold labels, or read its weights from the store if that was done before.

    Two runs that need the same teacher wait for each other. One that is interrupted or killed leaves nothing
    half-written, but a checkpoint, at which the next one continues.
    """
    settings = context.recipe.teacher.finetune
    if settings is None:
        return TeacherSource(corpus.labels, None, teacher.fingerprint)
    settings = settings.model_copy(update={"precision": resolve_precision(settings.precision, context.device)})
    key = finetuned_key(context.recipe, context.registry, settings.precision, context.device, corpus.fold)
    weights = context.store.teachers / key
    with turn(weights, f"the run {context.folder.path}", context.progress) as mine:
        reads = functools.partial(_read_by_another, context, corpus.labels, weights)
        if is_kept(weights, context.progress, reads=reads):
            context.progress.say("the fine-tuned teacher is in the store")
            context.note_use(f"teachers/{key}")
        else:
            context.note_use(f"teachers/{key}", new=True)
            with _finetuned(context, corpus, teacher, settings, mine) as (record, write):
                keep(write, weights, {"key": key, "training": record})
        with suppress(OSError):
            mine.checkpoint.unlink(missing_ok=True)
    # Always the one read back, so that a first run and a later one use the same teacher.
    read_kept(teacher, weights)
    teacher.to(context.device)
    teacher.eval()
    return TeacherSource(corpus.labels, weights, teacher.fingerprint)


def _read_by_another(context: RunContext, labels: tuple[str, ...], weights: Path) -> None:
    """Read the weights into another teacher of the recipe; raises whatever its plugin does if they are torn."""
    network(build_teacher(replace(context.worker, device="cpu"), context.registry, TeacherSource(labels))).load(weights)


@contextmanager
def _finetuned(
    context: RunContext, corpus: Corpus, teacher: Classifier, settings: FinetuneSettings, mine: Turn
) -> Iterator[tuple[dict[str, Any], Callable[[Path], None]]]:
    """The record of a fine-tuning, and what writes the fine-tuned teacher into a folder."""
    rows, progress = rows_of_the_teacher(corpus.pool, settings), context.progress
    if len(rows) < settings.rows:
        progress.warn(f"the teacher's `rows: {settings.rows}` is more than the pool has; all {len(rows)} rows are used")
    together = f" in {context.recipe.teacher.processes} processes" if context.recipe.teacher.processes > 1 else ""
    progress.say(f"fine-tuning the teacher on {len(rows)} rows{together} (once: it is then in the store)")
    task = Finetuning(rows, settings, mine.checkpoint, _identity(mine.key, teacher, rows))
    with progress.bar("fine-tuning the teacher") as step:

        def stepped(done: int, total: int) -> None:
            step(done, total)
            mine.tell(done, total)

        if context.recipe.teacher.processes > 1:
            with finetuned_together(context, teacher, task, stepped) as (record, saved):
                yield record, functools.partial(_move_files, saved)
            return
        with threads(finetuning_threads()):
            resuming = Resumption(task.checkpoint, task.identity, say=progress.say, warn=progress.warn)
            record = finetune_teacher(
                teacher, rows, settings, device=context.device, progress=stepped, resuming=resuming
            )
    yield record, teacher.save


def _move_files(saved: Path, folder: Path) -> None:
    """What another process saved on the same disk; nothing is written twice."""
    for each in saved.iterdir():
        each.replace(folder / each.name)


def _identity(key: str, teacher: Classifier, rows: Sequence[Example]) -> str:
    """Names a fine-tuning: the teacher's key, and what a recipe does not pin down, the weights that it starts from and
    the rows, which differ where a hub's branch has moved."""
    texts = [[row.id, input_as_json(row.input), row.label] for row in rows]
    return content_key({"teacher": key, "start": teacher.fingerprint, "rows": texts})


def rows_of_the_teacher(pool: Sequence[Example], settings: FinetuneSettings) -> list[Example]:
    """The rows of the pool that fine-tune the teacher."""
    if settings.rows >= len(pool):
        return list(pool)
    return random.Random(derived_seed(settings.seed, "teacher rows")).sample(list(pool), settings.rows)


def ask_about_evaluation(context: RunContext, experiment: Experiment, source: TeacherSource, teacher: Teacher) -> None:
    """Logits of every row that students are measured on, or that chooses their epoch, once."""
    measured = [*experiment.corpus.evaluation, *experiment.dev]
    with context.progress.bar("asking the teacher about the evaluation split") as step:
        _ask(AskedTogether(context, source), teacher, [row.input for row in measured], (), step)


def ask_the_teacher(
    context: RunContext,
    experiment: Experiment,
    source: TeacherSource,
    teacher: Teacher,
    sets: Iterable[TrainingSet],
) -> None:
    """Logits of every training example, and the hidden states that some loss reads of it, once."""
    for each in (teacher, teacher.raw) if isinstance(teacher, CalibratedScorer) else (teacher,):
        context.note_use(name_of_signals(each.fingerprint, torch.device(context.device).type))
    training = {row.input: row for chosen in sets for row in chosen.rows}
    with context.progress.bar("asking the teacher about the training examples") as step:
        _ask(AskedTogether(context, source), teacher, list(training), experiment.teacher_layers, step)


def _ask(
    together: AskedTogether, teacher: Teacher, inputs: Sequence[Input], layers: Sequence[int], progress: Step
) -> None:
    """Store what the teacher says of the inputs; of a calibrated one several processes give the raw answers, which are
    then at hand."""
    context = together.context
    signals = SignalStore(context.store.signals)
    if context.recipe.teacher.processes > 1 and isinstance(teacher, CalibratedScorer):
        signals.add(teacher.raw, inputs, layers, device=context.device, progress=progress, ask=together)
        signals.add(teacher, inputs, layers, device=context.device)
    else:
        signals.add(teacher, inputs, layers, device=context.device, progress=progress, ask=together)


def with_teacher_price(
    teacher: Teacher, sets: Mapping[TrainingSetKey, TrainingSet]
) -> dict[TrainingSetKey, TrainingSet]:
    """The training sets with what the teacher's answers for each of them cost: as many as it needed, at the mean price
    of the answers about all their rows."""
    if not isinstance(teacher, LabelScorer):
        return dict(sets)
    inputs = list({row.input: None for chosen in sets.values() for row in chosen.rows})
    paid = teacher.price(inputs) if inputs else 0.0
    return {
        key: replace(
            chosen,
            cost=replace(
                chosen.cost, teacher_usd=None if paid is None else chosen.cost.teacher_queries * paid / len(inputs)
            ),
        )
        for key, chosen in sets.items()
    }


def teacher_facts(context: RunContext, experiment: Experiment, teacher: Teacher) -> dict[str, Any]:
    """What ``run.json`` says of the teacher; its accuracy on the evaluation split is the ceiling of the table."""
    rows = experiment.corpus.evaluation
    gold = torch.tensor([row.hard_label for row in rows])

    def measured(fingerprint: str) -> dict[str, float]:
        signals = SignalStore(context.store.signals).reader(fingerprint, context.device)
        logits = signals.logits([row.input for row in rows])
        right = (logits.argmax(1) == gold).double().mean()
        return {"accuracy": float(right), "calibration_error": expected_calibration_error(logits, gold)}

    facts: dict[str, Any] = {
        **measured(teacher.fingerprint),
        "rows_by_class": {
            label: sum(row.label == number for row in rows) for number, label in enumerate(experiment.corpus.labels)
        },
        "finetuned": context.recipe.teacher.finetune is not None,
        "fingerprint": teacher.fingerprint[:16],
    }
    if context.recipe.teacher.processes > 1:
        facts["processes"] = context.recipe.teacher.processes
    if not isinstance(teacher, LabelScorer):
        return {**facts, "parameters": sum(parameter.numel() for parameter in teacher.parameters())}
    read = asked_to_calibrate(context, experiment.corpus)
    facts["shots"] = len(experiment.shots)
    facts["gold_labels"] = len(experiment.shots) + read["gold labels"]
    measured_rows = [*rows, *experiment.dev]
    facts["queries"] = {"calibration": read["texts"] + read["gold labels"], "evaluation": len(measured_rows)}
    facts["evaluation_usd"] = teacher.price([row.input for row in measured_rows])
    if isinstance(teacher, CalibratedScorer):
        before = measured(teacher.raw.fingerprint)
        facts["calibration"] = {
            "by": (context.recipe.teacher.calibration or Calibration()).chosen,
            "bias": dict(zip(teacher.labels, teacher.calibration.bias, strict=True)),
            "temperature": teacher.calibration.temperature,
            "accuracy_before": before["accuracy"],
            "calibration_error_before": before["calibration_error"],
        }
    return facts
