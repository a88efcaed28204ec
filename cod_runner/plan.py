"""What ``codrun plan`` shows before anything is spent: cells, what is done, what the disk takes, model calls and their
price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from cod_runner.api import CallEstimate, ClusterRequest
from cod_runner.context import run_path
from cod_runner.destinations import Sending, sendings
from cod_runner.disk import told_size
from cod_runner.durations import in_words
from cod_runner.engine.steps import warning_of_few_steps
from cod_runner.errors import standing_at
from cod_runner.estimates import TeacherQueries, all_calls, budget_warnings, generator_calls, teacher_queries, told
from cod_runner.llm.budget import Spending
from cod_runner.memory import CellMemory, cell_memory
from cod_runner.named_code import NamedCode, named_code
from cod_runner.permissions import NO_PERMISSIONS, Permissions
from cod_runner.plain_text import one_line
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.grammar import Recipe
from cod_runner.recipe.own_training import trains_itself
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell, cells_of
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.folds import warning_of_unequal_folds
from cod_runner.runs.kept_students import students_kept
from cod_runner.sizes import (
    SignalSize,
    StoredSize,
    StudentsSize,
    signal_size,
    stored_sizes,
    students_size,
)
from cod_runner.store import Store
from cod_runner.tip import student_tip


@dataclass(frozen=True)
class Plan:
    """A run before it happens."""

    name: str
    folder: str
    cells: list[Cell]
    done: int
    """With those that workers finished after an earlier call had died, which the next one takes in."""
    signals: SignalSize
    students: StudentsSize
    memory: CellMemory | None
    """What one cell takes; None where that is unknown before its student is loaded."""
    stored: list[StoredSize]
    """What the store keeps of the recipe besides: the fine-tuned teacher, models in another form."""
    calls: list[CallEstimate]
    """The generators'."""
    queries: list[TeacherQueries]
    """Those of a teacher that only answers."""
    sends: list[Sending]
    """Where texts, keys and requests would go."""
    code: list[NamedCode]
    """What the recipe would have called."""
    cluster: ClusterRequest | None
    """What the cells that wait would ask a cluster for; None where they run on this machine."""
    warnings: list[str]
    """What is likely to spoil the results."""
    tip: str
    """What the student would gain by an option that the recipe leaves out; "" where it would nothing."""
    teacher_processes: int = 1
    """How many fine-tune the teacher together and answer as it."""

    def as_json(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return asdict(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text.assemble((self.name, "bold"), one_line(f" -> {self.folder}"))
        table = Table("k", "methods", "arms", "seeds", "cells", box=None, header_style="dim", pad_edge=False)
        for k in sorted({cell.k for cell in self.cells}):
            of_k = [cell for cell in self.cells if cell.k == k]
            table.add_row(
                str(k),
                Text(", ".join(dict.fromkeys(cell.method for cell in of_k))),
                Text(", ".join(dict.fromkeys(cell.arm for cell in of_k))),
                str(len({cell.seed for cell in of_k})),
                str(len(of_k)),
            )
        yield table
        yield Text(f"cells: {len(self.cells)}, {self.done} done, {len(self.cells) - self.done} to run")
        if self.teacher_processes > 1:
            yield Text(f"teacher: in {self.teacher_processes} processes")
        yield Text(f"signals: {self.signals}")
        yield Text(one_line(f"students: {self.students}"))
        yield Text(f"memory: {self.memory or 'unknown before a student is built'}")
        for kept in self.stored:
            yield Text(one_line(f"store: {kept}"))
        yield from self._calls()
        for sending in self.sends:
            yield Text(one_line(f"sends: {sending}"))
        if not self.sends:
            yield Text("sends: nothing leaves this machine")
        for each in self.code:
            yield Text(one_line(f"code: {each}"))
        if self.cluster is not None:
            yield Text(one_line(f"cluster: {_told(self.cluster)}"))
        if self.tip:
            yield Text(one_line(self.tip))
        for warning in self.warnings:
            yield Text.assemble(("warning:", "yellow"), one_line(f" {warning}"))

    def _calls(self) -> Iterator[Text]:
        for query in self.queries:
            yield Text(one_line(f"teacher queries: {query}"))
        if not self.calls:
            yield Text("model calls: none" if not self.queries else "model calls of generators: none")
        for estimate in self.calls:
            yield Text(one_line(f"model calls: {told(estimate)}"))


def plan_of(
    loaded: LoadedRecipe, registry: Registry, out: Path | None, permissions: Permissions = NO_PERMISSIONS
) -> Plan:
    """Plan a run without reading data or models, within about a second.

    Raises :class:`SettingError` for a budget that the run itself would refuse.
    """
    recipe = loaded.recipe
    cells = cells_of(recipe, registry)
    folder = run_path(loaded, out)
    waiting = _waiting(cells, RunFolder(folder), [metric.use for metric in recipe.evaluate.metrics])
    calls, queries = generator_calls(recipe, registry), teacher_queries(recipe, registry)
    budget = recipe.bounds
    for estimate in all_calls(calls, queries):
        spending = Spending(budget.calls, budget.tokens, budget.usd, named=recipe.budget_key)
        spending.require_a_bound(estimate.model, priced=estimate.usd_high is not None)
    students = students_size(recipe, registry, RunFolder(folder), cells, kept=min(len(cells), students_kept(recipe)))
    store = Store()
    stored = stored_sizes(recipe, registry, store)
    full = [*students.warnings(), *(warning for each in stored for warning in each.warnings(store.root))]
    return Plan(
        name=recipe.name,
        folder=str(folder),
        cells=cells,
        done=len(cells) - len(waiting),
        signals=signal_size(recipe, registry),
        students=students,
        memory=cell_memory(recipe, registry),
        stored=stored,
        calls=calls,
        queries=queries,
        sends=sendings(loaded, registry, permissions),
        code=named_code(loaded, registry, permissions),
        cluster=_cluster_request(recipe, registry, len(waiting)),
        warnings=[*_warnings(recipe, registry, calls, queries), *full],
        tip=student_tip(recipe, registry),
        teacher_processes=recipe.teacher.processes,
    )


def _waiting(cells: Sequence[Cell], folder: RunFolder, metrics: Sequence[str]) -> list[Cell]:
    """The cells that the next call trains, found without changing the folder, which a living run may hold."""
    rows = folder.finished_rows(metrics)
    waiting = [cell for cell in cells if cell.key not in rows]
    left = {row.key for row in folder.rows_left.seen(waiting, metrics)}
    return [cell for cell in waiting if cell.key not in left]


def _cluster_request(recipe: Recipe, registry: Registry, cells: int) -> ClusterRequest | None:
    use = recipe.executor
    if cells == 0:
        return None
    with standing_at("executor"), registry.asked("executor", use.use, use.options) as options:
        return options.cluster_request(cells)


def _told(request: ClusterRequest) -> str:
    """``Slurm, partition gpu: 12 jobs, 8 at once, each 1 GPU, 2 cores, at most 4 h 00 min (48 GPU hours ...)``"""
    jobs = "1 job" if request.jobs == 1 else f"{request.jobs:,} jobs"
    if request.at_once is None:
        jobs += ", as many at once as it has room for"
    elif request.at_once < request.jobs:
        jobs += f", {request.at_once:,} at once"
    each = [f"{request.gpus:g} GPU{'s' if request.gpus > 1 else ''}"] if request.gpus else []
    each.append("1 core" if request.cpus == 1 else f"{request.cpus:,} cores")
    each += [told_size(request.memory)] if request.memory is not None else []
    if request.minutes is not None:
        hours = request.jobs * (request.gpus or request.cpus) * request.minutes / 60
        together = f"{hours:,.1f}".removesuffix(".0")
        kind = "GPU" if request.gpus else "core"
        each.append(f"at most {in_words(60 * request.minutes)} ({together} {kind} hours if all of them take so long)")
    return f"{request.cluster}: {jobs}, each {', '.join(each)}"


def _warnings(
    recipe: Recipe, registry: Registry, generators: Sequence[CallEstimate], queries: Sequence[TeacherQueries]
) -> Iterator[str]:
    few = None if trains_itself(recipe, registry) else warning_of_few_steps(recipe.train, recipe.k)
    if few is not None:
        yield few
    if (unequal := warning_of_unequal_folds(recipe)) is not None:
        yield unequal
    asked = [query.calls for query in queries if query.calls is not None]
    for query in queries:
        if asked and query.texts is None:
            yield f"the teacher is paid, and for {query.purpose} it is asked about {query.unknown}"
    yield from budget_warnings(recipe, all_calls(generators, queries))
