"""The table of ``codrun ledger list``: one line per answer, cut to the width of the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cod_runner.plain_text import visible


def show_answers(console: Console, rows: Iterable[Mapping[str, Any]]) -> None:
    """Print :meth:`Ledger.rows` as a table; texts are never read as markup, and control characters are written out."""
    table = Table(box=None, header_style="bold", pad_edge=False, expand=True)
    table.add_column("day (UTC)", no_wrap=True, min_width=10)
    table.add_column("model", no_wrap=True, overflow="ellipsis", max_width=max(12, console.width // 4))
    for name, width in (("tokens", 6), ("USD", 7)):
        table.add_column(name, no_wrap=True, justify="right", min_width=width)
    for name in ("asked about", "answer"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=8, ratio=1)
    calls, tokens, usd, unpriced = 0, 0, 0.0, 0
    for row in rows:
        calls += 1
        tokens += row["tokens_in"] + row["tokens_out"]
        usd += row["usd"] or 0.0
        unpriced += row["usd"] is None
        table.add_row(
            Text(visible(_day(row["created"]))),
            Text(visible(str(row["model"]))),
            str(row["tokens_in"] + row["tokens_out"]),
            "unknown" if row["usd"] is None else f"{row['usd']:.4f}",
            Text(visible(_one_line(_asked_about(row)))),
            Text(visible(_one_line(row["text"] or f"({row['finish'] or 'nothing'})"))),
        )
    if calls:
        console.print(table)
    price = f"${usd:,.4f}" + (f" and {unpriced:,} of unknown price" if unpriced else "")
    console.print(f"{calls:,} answers, {tokens:,} tokens, {price if calls else 'nothing spent'}", highlight=False)


def _asked_about(row: Mapping[str, Any]) -> str:
    """The data set's text in the last message, or the whole message where it has none."""
    content = row["messages"][-1]["content"] if row["messages"] else ""
    try:
        return str(json.loads(content)["text"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return str(content)


def _day(created: str) -> str:
    """What an earlier version imported may have no date."""
    try:
        return datetime.fromisoformat(created).strftime("%Y-%m-%d")
    except ValueError:
        return "unknown"


def _one_line(text: str) -> str:
    return " ".join(text.split())
