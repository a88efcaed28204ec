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

from cod_runner.api import CallEstimate
from cod_runner.context import run_path
from cod_runner.data.corpus import DEV_ROWS
from cod_runner.destinations import Sending, sendings
from cod_runner.engine.steps import warning_of_few_steps
from cod_runner.errors import standing_at
from cod_runner.llm.budget import Spending
from cod_runner.permissions import NO_PERMISSIONS, Permissions
from cod_runner.plain_text import one_line
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.answering import answering_of
from cod_runner.recipe.grammar import Calibration, Recipe
from cod_runner.recipe.nodes import Place
from cod_runner.recipe.own_training import trains_itself
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell, cells_of
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.folds import folds_of, warning_of_unequal_folds
from cod_runner.runs.kept_students import students_kept
from cod_runner.sizes import (
    SignalSize,
    StoredSize,
    StudentsSize,
    signal_size,
    stored_sizes,
    students_size,
    training_texts,
)
from cod_runner.store import Store

CHARACTERS_A_TEXT = 200.0
"""Assumed where the data has not been read: calls are priced before anything is downloaded."""


@dataclass(frozen=True)
class TeacherQueries:
    """How many texts a teacher that only answers is asked about, at most: every text new, nothing stored."""

    purpose: str
    texts: int | None
    """None where it is not known before the run."""
    calls: CallEstimate | None
    """What they cost, where the teacher is paid."""
    unknown: str = ""
    """In words, where it is not known."""

    def __str__(self) -> str:
        texts = self.unknown if self.texts is None else f"at most {self.texts:,}"
        return f"for {self.purpose} {texts}" + (f" ({_told(self.calls)})" if self.calls is not None else "")


@dataclass(frozen=True)
class Plan:
    """A run before it happens."""

    name: str
    folder: str
    cells: list[Cell]
    done: int
    signals: SignalSize
    students: StudentsSize
    stored: list[StoredSize]
    """What the store keeps of the recipe besides: the fine-tuned teacher, models in another form."""
    calls: list[CallEstimate]
    """The generators'."""
    queries: list[TeacherQueries]
    """Those of a teacher that only answers."""
    sends: list[Sending]
    """Where texts, keys and requests would go."""
    warnings: list[str]
    """What is likely to spoil the results."""

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
        yield Text(f"signals: {self.signals}")
        yield Text(one_line(f"students: {self.students}"))
        for each in self.stored:
            yield Text(one_line(f"store: {each}"))
        yield from self._calls()
        for sending in self.sends:
            yield Text(one_line(f"sends: {sending}"))
        if not self.sends:
            yield Text("sends: nothing leaves this machine")
        for warning in self.warnings:
            yield Text.assemble(("warning:", "yellow"), one_line(f" {warning}"))

    def _calls(self) -> Iterator[Text]:
        for query in self.queries:
            yield Text(one_line(f"teacher queries: {query}"))
        if not self.calls:
            yield Text("model calls: none" if not self.queries else "model calls of generators: none")
        for estimate in self.calls:
            yield Text(one_line(f"model calls: {_told(estimate)}"))


def _told(estimate: CallEstimate) -> str:
    calls = f"{estimate.calls_low:,} to {estimate.calls_high:,} calls"
    tokens = f"{estimate.tokens_low:,} to {estimate.tokens_high:,} tokens"
    if estimate.usd_low is None or estimate.usd_high is None:
        price = "price unknown"
    else:
        price = f"${estimate.usd_low:,.2f} to ${estimate.usd_high:,.2f}"
    return f"{estimate.model}: {calls}, {tokens}, {price} (answers already in the ledger cost nothing)"


def plan_of(
    loaded: LoadedRecipe, registry: Registry, out: Path | None, permissions: Permissions = NO_PERMISSIONS
) -> Plan:
    """Plan a run without reading data or models, within about a second.

    Raises :class:`SettingError` for a budget that the run itself would refuse.
    """
    recipe = loaded.recipe
    cells = cells_of(recipe, registry)
    folder = run_path(loaded, out)
    rows = RunFolder(folder).finished_rows([metric.use for metric in recipe.evaluate.metrics])
    calls = []
    budget = recipe.bounds
    for place, kind, use in recipe.generators():
        with standing_at(*place), registry.asked(kind, use.use, use.options) as options:
            estimate = options.estimate(originals_searched(recipe, place), CHARACTERS_A_TEXT)
        if estimate is not None:
            priced = estimate.usd_high is not None
            spending = Spending(budget.calls, budget.tokens, budget.usd, named=recipe.budget_key)
            spending.require_a_bound(estimate.model, priced)
            calls.append(estimate)
    queries = teacher_queries(recipe, registry)
    for query in queries:
        if query.calls is not None:
            spending = Spending(budget.calls, budget.tokens, budget.usd, named=recipe.budget_key)
            spending.require_a_bound(query.calls.model, query.calls.usd_high is not None)
    students = students_size(recipe, registry, RunFolder(folder), cells, kept=min(len(cells), students_kept(recipe)))
    store = Store()
    stored = stored_sizes(recipe, registry, store)
    full = [*students.warnings(), *(warning for each in stored for warning in each.warnings(store.root))]
    return Plan(
        name=recipe.name,
        folder=str(folder),
        cells=cells,
        done=sum(cell.key in rows for cell in cells),
        signals=signal_size(recipe, registry),
        students=students,
        stored=stored,
        calls=calls,
        queries=queries,
        sends=sendings(loaded, registry, permissions),
        warnings=[*_warnings(recipe, registry, calls, queries), *full],
    )


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
    calls = [*generators, *asked]
    bounds, needed = recipe.bounds, sum(each.calls_low for each in calls)
    if bounds.calls is not None and needed > bounds.calls:
        yield (
            f"{recipe.budget_key} allows {bounds.calls:,} calls, and the run needs about {needed:,} at the least, less "
            "what the ledger has; it would end there, and go on with a larger budget"
        )
    known = [each.usd_low for each in calls]
    usd = sum(price for price in known if price is not None)
    if bounds.usd is not None and usd > bounds.usd:
        yield (
            f"{recipe.budget_key} allows ${bounds.usd:,.2f}, and the run needs about ${usd:,.2f} at the least, less "
            "what the ledger has; it would end there, and go on with a larger budget"
        )


def teacher_queries(recipe: Recipe, registry: Registry) -> list[TeacherQueries]:
    """What a teacher that only answers is asked about, by purpose; nothing for a network."""
    answering = answering_of(recipe, registry)
    if answering is None:
        return []
    calibration = recipe.teacher.calibration or Calibration()
    dev = DEV_ROWS if recipe.evaluate.select == "best_dev" else 0
    split = f"every row of `{recipe.evaluate.split}`, unless `evaluate.rows` says how many"
    if recipe.evaluate.folds is not None:
        split = "every labelled row"
    calibrating = (calibration.unlabelled + calibration.gold) * max(1, len(folds_of(recipe)))  # anew for each fold
    wanted: list[tuple[str, int | None, str]] = [
        ("training texts and calibration", training_texts(recipe) + calibrating, ""),
        ("the choice of originals", _selecting(recipe, registry), "a number that its selectors cannot say"),
        ("the search", _searching(recipe, registry), "a number that its generators cannot say"),
        ("the evaluation", None if recipe.evaluate.rows is None else recipe.evaluate.rows + dev, split),
    ]
    with standing_at("teacher"), registry.asked("teacher", recipe.teacher.use, recipe.teacher.options) as options:
        return [
            TeacherQueries(
                purpose,
                texts,
                options.estimate(texts, CHARACTERS_A_TEXT) if texts else None,
                unknown if texts is None else "",
            )
            for purpose, texts, unknown in wanted
            if texts != 0
        ]


def _selecting(recipe: Recipe, registry: Registry) -> int | None:
    """Texts that selectors ask the teacher about; arms with equal selectors ask once."""
    wanted: dict[str, int | None] = {}
    for name, arm in recipe.arms.items():
        use = arm.select
        with standing_at("arms", name, "select"), registry.asked("selector", use.use, use.options) as options:
            wanted[repr((use.use, use.options))] = options.questions(max(recipe.k))
    counts = list(wanted.values())
    return None if None in counts else len(recipe.seeds) * sum(each or 0 for each in counts)


def _searching(recipe: Recipe, registry: Registry) -> int | None:
    """Texts that generators and choosers ask the teacher about, and their candidates."""
    asking = [*recipe.generators()]
    asking += [(("arms", name, "choose"), "chooser", arm.choose) for name, arm in recipe.arms.items() if arm.choose]
    counts = []
    for place, kind, use in asking:
        with standing_at(*place), registry.asked(kind, use.use, use.options) as options:
            counts.append(options.questions(originals_searched(recipe, place)))
    return None if None in counts else sum(each or 0 for each in counts)


def originals_searched(recipe: Recipe, place: Place) -> int:
    """How many originals a generator is asked about at least: those of the largest k, all seeds, and the arm of the
    smallest groups among those that need it."""
    needing = list(recipe.arms.values())
    if place[0] == "arms":
        needing = [recipe.arms[str(place[1])]]
    elif place[0] == "counterfactuals":
        needing = [arm for arm in recipe.arms.values() if arm.uses_section]
    looked_at = [
        max(recipe.k) // arm.group * (1 if arm.of == "own" else 2) for arm in needing if arm.add or arm.unlabelled
    ]
    return len(recipe.seeds) * max(looked_at, default=0)
