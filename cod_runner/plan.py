"""What ``codrun plan`` shows before anything is spent: cells, what is done, signals, model calls and their price."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from cod_runner.api import CallEstimate, ModelShape, ShapeEstimate
from cod_runner.context import run_path
from cod_runner.destinations import Sending, sendings
from cod_runner.engine.steps import warning_of_few_steps
from cod_runner.errors import standing_at
from cod_runner.llm.budget import Spending
from cod_runner.permissions import NO_PERMISSIONS, Permissions
from cod_runner.plain_text import one_line
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.arms import Arm
from cod_runner.recipe.grammar import Recipe, WeightedLoss
from cod_runner.recipe.nodes import Place
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell, cells_of
from cod_runner.runs.folder import RunFolder

CHARACTERS_A_TEXT = 200.0
"""Assumed where the data has not been read: calls are priced before anything is downloaded."""


BYTES_A_NUMBER = 4
"""Hidden states, logits and token ids are stored as float32 and int32."""
BYTES_A_TEXT, BYTES_A_LAYER = 1_024, 128
"""What a text's row and file, and each layer in that file, take besides; enough for up to 200 classes."""
STAND_IN = ModelShape(layers=200, width=1, classes=0)
"""For a model whose size is unknown: deep enough for any layer that a recipe names, to see whether a loss names one."""


@dataclass(frozen=True)
class SignalSize:
    """The teacher's word on the training texts, at most: every text as long as the teacher reads, none shared between
    arms and seeds, nothing of it in the store already."""

    texts: int
    """Originals of every arm and seed, and what is made of them."""
    layers: int | None
    """Layers whose hidden states some loss wants; None where some are wanted and the teacher's depth is unknown."""
    tokens: int | None
    """Of the longest text that the teacher reads."""
    width: int | None
    bytes: int | None
    """None where the teacher's sizes are unknown."""

    def __str__(self) -> str:
        of = f"for at most {self.texts:,} training texts"
        if self.bytes is None:
            return f"{'logits alone' if self.layers == 0 else 'size unknown until the teacher is loaded'}, {of}"
        size = f"{self.bytes / 1e6:,.1f} MB" if self.bytes < 1e9 else f"{self.bytes / 1e9:,.1f} GB"
        what = "logits alone"
        if self.layers:
            layers = f"{self.layers} layer{'' if self.layers == 1 else 's'}"
            what = f"{layers} x {self.tokens} tokens x {self.width} x {BYTES_A_NUMBER} bytes per text"
        return f"at most {size} in the store, {of} ({what})"


@dataclass(frozen=True)
class Plan:
    """A run before it happens."""

    name: str
    folder: str
    cells: list[Cell]
    done: int
    signals: SignalSize
    calls: list[CallEstimate]
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
        yield from self._calls()
        for sending in self.sends:
            yield Text(one_line(f"sends: {sending}"))
        if not self.sends:
            yield Text("sends: nothing leaves this machine")
        for warning in self.warnings:
            yield Text.assemble(("warning:", "yellow"), one_line(f" {warning}"))

    def _calls(self) -> Iterator[Text]:
        if not self.calls:
            yield Text("model calls: none")
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
    rows = RunFolder(folder).finished_rows()
    calls = []
    budget = recipe.budget
    for place, kind, use in recipe.generators():
        with standing_at(*place), registry.asked(kind, use.use, use.options) as options:
            estimate = options.estimate(originals_searched(recipe, place), CHARACTERS_A_TEXT)
        if estimate is not None:
            priced = estimate.usd_high is not None
            Spending(budget.calls, budget.tokens, budget.usd).require_a_bound(estimate.model, priced)
            calls.append(estimate)
    return Plan(
        name=recipe.name,
        folder=str(folder),
        cells=cells,
        done=sum(cell.key in rows for cell in cells),
        signals=signal_size(recipe, registry),
        calls=calls,
        sends=sendings(loaded, registry, permissions),
        warnings=[few] if (few := warning_of_few_steps(recipe.train, recipe.k)) else [],
    )


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


def _unlabelled(arm: Arm, k: int) -> int:
    """Texts beside k, at most."""
    if arm.unlabelled is None:
        return 0
    return arm.unlabelled.rows or (arm.unlabelled.per_original or 0) * (k // arm.group)


def signal_size(recipe: Recipe, registry: Registry) -> SignalSize:
    """Reckon with the largest k of every arm and seed.

    Raises :class:`SettingError` where a loss names layers that a model is known not to have.
    """
    beside = sum(_unlabelled(arm, max(recipe.k)) for arm in recipe.arms.values())
    texts = len(recipe.seeds) * (max(recipe.k) * len(recipe.arms) + beside)
    with standing_at("teacher"):
        teacher = registry.options("teacher", recipe.teacher.use, recipe.teacher.options).shape(None)
    with standing_at("student"):
        student = registry.options("student", recipe.student.use, recipe.student.options).shape(teacher)
    wanted: set[int] = set()
    for method, terms in recipe.methods.items():
        for index, term in enumerate(terms):
            with standing_at("methods", method, index):
                wanted |= _layers(term, registry, teacher, student)
    if teacher is None:
        return SignalSize(texts, None if wanted else 0, None, None, None)
    tokens, width = teacher.longest, teacher.shape.width
    per_text = BYTES_A_TEXT + BYTES_A_NUMBER * tokens
    per_text += len(wanted) * (BYTES_A_LAYER + BYTES_A_NUMBER * tokens * width)
    return SignalSize(texts, len(wanted), tokens, width, texts * per_text)


def _layers(
    term: WeightedLoss, registry: Registry, teacher: ShapeEstimate | None, student: ShapeEstimate | None
) -> set[int]:
    """The teacher's layers that a loss wants; all, where it wants some and which is unknown."""
    shapes = [model.shape if model else STAND_IN for model in (teacher, student)]
    needs = registry.options("loss", term.use, term.options).needs(*shapes)
    if not needs.teacher or (teacher and student):
        return set(needs.teacher)
    return set(range(shapes[0].layers + 1))
