"""A log folder for each cell, so that TensorBoard lays their curves over one another, and one for the run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cod_runner.api import BuildContext, folder_written_whole
from codrun_trackers.contents import Table, cell_name, need
from codrun_trackers.following import Following
from codrun_trackers.plugin import TensorBoardOptions

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

MARK = "cell.json"
"""Beside the event file of a cell: which one it is."""
MOST_ROWS = 200
"""Of a table that is shown as text."""


class TensorBoard(Following):
    """``tensorboard/<cell>/`` and ``tensorboard/run/``, each written whole."""

    def __init__(self, options: TensorBoardOptions, context: BuildContext) -> None:
        need("tensorboard", "tensorboard")

    def begin(self) -> None:
        self._folder = self.contents.folder / "tensorboard"

    def has(self, row: Mapping[str, Any]) -> bool:
        try:
            return bool(json.loads((self._folder / cell_name(row) / MARK).read_bytes())["key"] == row["key"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def log_cell(self, row: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard.summary import hparams

        metrics = {f"cell/{name}": value for name, value in self.contents.metrics(row).items()}
        settings = {name: value if isinstance(value, int | float) else str(value)
                    for name, value in self.contents.settings(row).items()}  # fmt: skip
        last = 0
        with self._writer(cell_name(row)) as (writer, folder):
            for point in self.contents.curve(row):
                last = point.step
                for name, value in point.losses.items():
                    writer.add_scalar(f"loss/{name}", value, last)
            for name, value in metrics.items():
                writer.add_scalar(name, value, row.get("steps") or last)
            for summary in hparams(settings, metrics):
                writer.file_writer.add_summary(summary)  # type: ignore[attr-defined]
            (folder / MARK).write_text(json.dumps({"key": row["key"]}) + "\n", encoding="utf-8")

    def log_run(self, summary: Mapping[str, Any]) -> None:
        told = [f"git commit: {summary.get('git_commit')}", f"command: {summary.get('command')}", *summary["notes"]]
        with self._writer("run") as (writer, _):
            writer.add_text("table", as_markdown(self.contents.table()))
            writer.add_text("counterfactuals", as_markdown(self.contents.gallery()))
            writer.add_text("recipe", _indented(self.contents.text("recipe.yaml")))
            writer.add_text("notes", "\n".join(f"- {_escaped(line)}" for line in told))

    @contextmanager
    def _writer(self, name: str) -> Iterator[tuple[SummaryWriter, Path]]:
        from torch.utils.tensorboard import SummaryWriter

        with folder_written_whole(self._folder / name) as folder, SummaryWriter(str(folder)) as writer:
            yield writer, folder


def as_markdown(table: Table) -> str:
    """A table's first rows; whatever a text holds is shown, and nothing of it is obeyed."""
    shown = [table.columns, ["---"] * len(table.columns)]
    shown += [[_escaped(value) for value in row] for row in table.rows[:MOST_ROWS]]
    lines = [f"| {' | '.join(row)} |" for row in shown]
    if len(table.rows) > MOST_ROWS:
        lines += ["", f"The first {MOST_ROWS} of {len(table.rows)}."]
    return "\n".join(lines)


def _escaped(value: Any) -> str:
    """Text without a meaning in Markdown or HTML, on one line."""
    text = f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~>-])", r"\\\1", text)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
