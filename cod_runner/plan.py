"""What ``codrun plan`` shows before anything is spent: cells, what is done, signals, model calls and their price."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from cod_runner.api import CallEstimate
from cod_runner.cells import Cell, cells_of
from cod_runner.recipe import LoadedRecipe
from cod_runner.registry import Registry
from cod_runner.run_folder import RunFolder
from cod_runner.settings import run_path
from cod_runner.signal_size import SignalSize, signal_size
from cod_runner.spending import Spending

CHARACTERS_A_TEXT = 200.0
"""Assumed where the data has not been read: calls are priced before anything is downloaded."""


@dataclass(frozen=True)
class Plan:
    """A run before it happens."""

    name: str
    folder: str
    cells: list[Cell]
    done: int
    signals: SignalSize
    calls: list[CallEstimate]

    def as_json(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return asdict(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield f"[bold]{self.name}[/bold] -> {self.folder}"
        table = Table("k", "methods", "arms", "seeds", "cells", box=None, header_style="dim", pad_edge=False)
        for k in sorted({cell.k for cell in self.cells}):
            of_k = [cell for cell in self.cells if cell.k == k]
            table.add_row(
                str(k),
                ", ".join(dict.fromkeys(cell.method for cell in of_k)),
                ", ".join(dict.fromkeys(cell.arm for cell in of_k)),
                str(len({cell.seed for cell in of_k})),
                str(len(of_k)),
            )
        yield table
        yield f"cells: {len(self.cells)}, {self.done} done, {len(self.cells) - self.done} to run"
        yield f"signals: {self.signals}"
        yield from self._calls()

    def _calls(self) -> Iterator[str]:
        if not self.calls:
            yield "model calls: none"
        for estimate in self.calls:
            yield f"model calls: {_told(estimate)}"


def _told(estimate: CallEstimate) -> str:
    calls = f"{estimate.calls_low:,} to {estimate.calls_high:,} calls"
    tokens = f"{estimate.tokens_low:,} to {estimate.tokens_high:,} tokens"
    if estimate.usd_low is None or estimate.usd_high is None:
        price = "price unknown"
    else:
        price = f"${estimate.usd_low:,.2f} to ${estimate.usd_high:,.2f}"
    return f"{estimate.model}: {calls}, {tokens}, {price} (kept answers cost nothing)"


def plan_of(loaded: LoadedRecipe, registry: Registry, out: Path | None) -> Plan:
    """Plan a run without reading data or models, within about a second.

    Raises :class:`SettingError` for a budget that the run itself would refuse.
    """
    recipe = loaded.recipe
    cells = cells_of(recipe, registry)
    folder = run_path(loaded, out)
    rows = RunFolder(folder).finished_rows()
    originals = len(recipe.seeds) * max(recipe.k) // 2
    calls = []
    budget = recipe.budget
    for use in [use for arm in recipe.arms for use in recipe.generators(arm)]:
        estimate = registry.estimate("generator", use.use, use.options, originals, CHARACTERS_A_TEXT)
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
    )
