"""A recipe in, distilled students and a table out: Algorithm 1 of CoD, step by step.

g_t        the teacher, built, fine-tuned once, kept                  load_experiment, finetuned
D_k        few-shot originals, one order for each class and seed      originals_by_seed
CFGen      counterfactuals that flip the teacher (lines 2 to 5)       pairs_by_arm
D_train    k originals, or k/2 and their k/2 CFEs (line 6)            training_sets
g_t(x)     the teacher speaks once about each example                 ask_the_teacher
g_s        hard + alpha KD + beta LWD, one student a cell             train_students
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from cod_runner.api import BuildContext, Classifier, Executor, Spending
from cod_runner.context import RunSettings, run_path
from cod_runner.data.fewshot import TrainingSet, originals_by_seed, training_sets
from cod_runner.engine.signals import SignalStore
from cod_runner.errors import CodrunError, ExpectationMissed
from cod_runner.machine import cores
from cod_runner.progress import Progress
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.grammar import PAIRED, Arm, Recipe
from cod_runner.registry import Registry
from cod_runner.report import QualityRow, Report, RunRecord, current_rows, json_lines, read_rows, write_reports
from cod_runner.runs.cells import Cell, cells_of
from cod_runner.runs.expectations import ExpectationResult, check_expectations
from cod_runner.runs.folder import RunFolder
from cod_runner.stages.load import Experiment, load_experiment
from cod_runner.stages.pairs import FoundPairs, pairs_by_arm
from cod_runner.stages.students import CellTask, CellWork
from cod_runner.stages.teacher import TeacherSource, finetuned
from cod_runner.stages.trackers import attach_trackers
from cod_runner.store import Store


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


def run(loaded: LoadedRecipe, registry: Registry, settings: RunSettings, progress: Progress) -> RunResult:
    """Run every cell of a recipe that is not done yet, and report on all of them."""
    recipe, store = loaded.recipe, Store()
    cells = cells_of(recipe, registry)
    started = time.monotonic()
    with RunFolder(run_path(loaded, settings.out)).opened() as folder:
        record = folder.begin(loaded, [cell.key for cell in cells])
        finished = {} if settings.fresh else folder.finished_rows()
        waiting = [cell for cell in cells if cell.key not in finished]
        progress.say(f"{recipe.name}: {len(cells)} cells, {len(cells) - len(waiting)} done, {len(waiting)} to run")
        if waiting:
            plain_recipe = recipe.model_dump(mode="json")
            spending = spending_of(recipe, folder)
            attach_trackers(recipe, registry)
            registry.hook.codrun_run_started(recipe=plain_recipe, cells=len(waiting), folder=folder.path)
            with offline_hint(loaded):
                experiment = load_experiment(recipe, registry, store, settings, spending, progress)
            distil(recipe, cells, waiting, experiment, spending, folder, registry, store, settings, record, progress)
        record.notes = list(dict.fromkeys([*record.notes, *progress.notes]))
        return conclude(loaded, folder, registry, record, time.monotonic() - started, bool(waiting))


def distil(
    recipe: Recipe,
    cells: Sequence[Cell],
    waiting: Sequence[Cell],
    experiment: Experiment,
    spending: Spending,
    folder: RunFolder,
    registry: Registry,
    store: Store,
    settings: RunSettings,
    record: RunRecord,
    progress: Progress,
) -> None:
    """Algorithm 1 for the cells that wait. Whatever may fail for want of a model or a key was loaded before.

    Pairs are those of all cells, from the ledger where a cell is done, so that ``counterfactuals.jsonl`` is whole.
    """
    corpus = experiment.corpus
    source, teacher = finetuned(experiment.source, experiment.teacher, corpus.pool, registry, store, progress)
    registry.hook.codrun_teacher_ready(teacher=teacher, pool=corpus.pool)
    originals = originals_by_seed(corpus, recipe.seeds)
    try:
        found = pairs_by_arm(recipe, cells, originals, experiment, teacher, registry, store, progress)
    finally:
        record.calls, record.tokens, record.cost = spent(spending)
        folder.write_record(record)
    folder.write_lines(folder.counterfactuals, found["cod"].lines)
    if found["control"].pairs:
        folder.write_lines(folder.control, found["control"].lines)
    record.quality = [QualityRow(name=one.name, all=one.all, flipped=one.flipped) for one in found["cod"].quality]
    pairs = {arm: of_arm.pairs for arm, of_arm in found.items()}
    sets = training_sets(waiting, originals, pairs, redraw=found["cod"].redraw)
    warn_of_unequal_arms(sets, progress)
    ask_the_teacher(teacher, sets, experiment, store, progress)
    record.teacher = teacher_facts(recipe, teacher, experiment, store)
    record.data = {"pool rows": len(corpus.pool), "evaluation rows": len(corpus.evaluation)}
    folder.write_record(record)
    fingerprint = teacher.fingerprint
    del teacher, experiment.teacher  # the teacher has spoken; its memory is the students' now
    train_students(
        recipe, waiting, source, fingerprint, sets, found, experiment, folder, registry, store, settings, progress
    )


def find_counterfactuals(
    loaded: LoadedRecipe, registry: Registry, settings: RunSettings, progress: Progress
) -> FoundPairs:
    """``codrun cfes``: the counterfactuals of a recipe alone, from the ledger or a new search; trains no student."""
    recipe, store = loaded.recipe, Store()
    cells = [cell for cell in cells_of(recipe, registry) if cell.arm == "cod"]
    with RunFolder(run_path(loaded, settings.out)).opened() as folder:
        with offline_hint(loaded):
            experiment = load_experiment(recipe, registry, store, settings, spending_of(recipe, folder), progress)
        pool = experiment.corpus.pool
        _, teacher = finetuned(experiment.source, experiment.teacher, pool, registry, store, progress)
        originals = originals_by_seed(experiment.corpus, recipe.seeds)
        found = pairs_by_arm(recipe, cells, originals, experiment, teacher, registry, store, progress)["cod"]
        folder.write_lines(folder.counterfactuals, found.lines)
        return found


def ask_the_teacher(
    teacher: Classifier,
    sets: Mapping[Any, TrainingSet],
    experiment: Experiment,
    store: Store,
    progress: Progress,
) -> None:
    """Logits of every example, and the hidden states that some loss wants of the training examples, once."""
    signals = SignalStore(store.signals)
    device = experiment.source.device
    training = {row.input: row for of_cell in sets.values() for row in of_cell.rows}
    with progress.bar("asking the teacher about the training examples") as step:
        signals.add(teacher, list(training), experiment.teacher_layers, device=device, progress=step)
    measured = [*experiment.corpus.evaluation, *experiment.dev]
    with progress.bar("asking the teacher about the evaluation split") as step:
        signals.add(teacher, [row.input for row in measured], device=device, progress=step)


def train_students(
    recipe: Recipe,
    cells: Sequence[Cell],
    source: TeacherSource,
    fingerprint: str,
    sets: Mapping[Any, TrainingSet],
    found: Mapping[Arm, FoundPairs],
    experiment: Experiment,
    folder: RunFolder,
    registry: Registry,
    store: Store,
    settings: RunSettings,
    progress: Progress,
) -> None:
    """One student a cell; each is on disk before the next is counted, so a kill loses at most what was in flight."""
    tasks = [
        CellTask(
            cell=cell,
            teacher=source,
            fingerprint=fingerprint,
            training=sets[cell.arm, cell.k, cell.seed].rows,
            facts=found[cell.arm].facts(sets[cell.arm, cell.k, cell.seed]),
            evaluation=experiment.corpus.evaluation,
            dev=experiment.dev,
            students=folder.students,
            store=store.root,
        )
        for cell in cells
    ]
    for task in tasks:
        registry.hook.codrun_cell_started(cell=vars(task.cell), training=task.training)
    executor: Executor = registry.build(
        "executor", settings.executor or recipe.executor.use, recipe.executor.options, BuildContext(say=progress.warn)
    )
    jobs = settings.jobs or default_jobs(source.device)
    with progress.bar(f"training {len(tasks)} students, {min(jobs, len(tasks))} at once") as step:
        step(0, len(tasks))
        for done, row in enumerate(executor.map(CellWork(registry), tasks, jobs), start=1):
            folder.append_row(row)
            registry.hook.codrun_cell_finished(row=row)
            step(done, len(tasks))


def conclude(
    loaded: LoadedRecipe, folder: RunFolder, registry: Registry, record: RunRecord, seconds: float, ran: bool
) -> RunResult:
    """Write every report from what is on disk, and check what the recipe expects."""
    record.finished_now(seconds, ran)
    folder.write_record(record)
    if ran:
        registry.hook.codrun_run_finished(summary=record.model_dump(mode="json"), folder=folder.path)
    rows, others = current_rows(read_rows(folder.cells), record.cell_keys)
    report = write_reports(folder.path, loaded.recipe, record, rows, json_lines(folder.counterfactuals), others)
    results = check_expectations(loaded.recipe.expect, loaded.not_run, rows)
    return RunResult(folder, record, report, results)


@contextmanager
def offline_hint(loaded: LoadedRecipe) -> Iterator[None]:
    """Where something cannot be reached and the recipe can do without, say so."""
    try:
        yield
    except CodrunError as error:
        if loaded.profile is None and "offline" in loaded.profiles and error.exit_code == 1:
            raise CodrunError(f"{error}; `--profile offline` runs this recipe here, without a hub or a key") from error
        raise


def spending_of(recipe: Recipe, folder: RunFolder) -> Spending:
    """The run's meter, bounded as the recipe says."""
    budget = recipe.budget
    return Spending(budget.calls, budget.tokens, budget.usd, run=folder.identifier)


def spent(spending: Spending) -> tuple[int, int, float | None]:
    """(calls, tokens, US dollars or None where a price is unknown)."""
    summary = spending.summary()
    return summary["calls"], summary["tokens"], None if summary["usd"] == "unknown" else summary["usd"]


def teacher_facts(recipe: Recipe, teacher: Classifier, experiment: Experiment, store: Store) -> dict[str, Any]:
    """The teacher's own accuracy on the evaluation split, the ceiling of the table."""
    rows = experiment.corpus.evaluation
    signals = SignalStore(store.signals).reader(teacher.fingerprint, experiment.source.device)
    logits = signals.logits([row.input for row in rows])
    right = logits.argmax(1) == torch.tensor([row.label for row in rows])
    return {
        "accuracy": float(right.double().mean()),
        "finetuned": recipe.teacher.finetune is not None,
        "parameters": sum(parameter.numel() for parameter in teacher.parameters()),
        "fingerprint": teacher.fingerprint[:16],
    }


def warn_of_unequal_arms(sets: Mapping[Any, TrainingSet], progress: Progress) -> None:
    """Say where the arms of a comparison are less alike than they look."""
    for (arm, k, seed), chosen in sets.items():
        if arm in PAIRED and chosen.outside:
            progress.warn(f"k={k}, seed {seed}: {chosen.outside} originals of `{arm}` lie outside what `plain` has")
        if arm in PAIRED and chosen.pair_yield < 0.9:
            what = "a counterfactual" if arm == "cod" else "a copy"
            progress.warn(f"k={k}, seed {seed}: only {chosen.pair_yield:.0%} of the originals gave {what}")


def default_jobs(device: str) -> int:
    """One cell for each core, since a student trains on one thread; one at a time on a GPU."""
    if torch.device(device).type != "cpu":
        return 1
    return cores()
