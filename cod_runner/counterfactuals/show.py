"""How ``codrun cfes`` shows pairs: word diff, the teacher's reading before and after, reasons, quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cod_runner.counterfactuals.quality import Quality
from cod_runner.plain_text import one_line, visible
from cod_runner.word_diff import shown_input, word_diff

LONGEST_SHOWN = 2_000
"""Characters of one text; a longer one is cut and ends with `…`."""


def show_pairs(
    console: Console, lines: Sequence[Mapping[str, Any]], labels: Sequence[str], quality: Sequence[Quality]
) -> None:
    """Print each line of ``counterfactuals.jsonl`` as a diff, then the quality table.

    Texts of the data set and of models are never read as markup, and their control characters are written out.
    """
    for line in lines:
        console.print(_pair(line, labels))
        console.print()
    table = Table("measure", "all", "flipped", box=None, header_style="bold", pad_edge=False)
    for one in quality:
        table.add_row(Text(one_line(one.name)), _number(one.all), _number(one.flipped))
    console.print(table)


def coloured_diff(original: str, changed: str) -> Text:
    """Removed words struck through in red, added ones in green; brackets mark both where there is no colour."""
    text = Text()
    for piece in word_diff(original, changed):
        words = visible(piece.text.strip())
        if piece.kind == "same" or not words:
            text.append(visible(piece.text))
            continue
        text.append(piece.text[: len(piece.text) - len(piece.text.lstrip())])
        if piece.kind == "removed":
            text.append(f"[-{words}-]", style="red strike")
        else:
            text.append(f"{{+{words}+}}", style="green")
    return text


def _pair(line: Mapping[str, Any], labels: Sequence[str]) -> Text:
    shown = Text(f"{one_line(str(line['source_id']))}  ", style="dim")
    if line["counterfactual"] is None:
        shown.append(_cut(shown_input(line["original"])), style="not dim")
        return shown.append(
            f"\n  no counterfactual: {one_line(_reasons(line)) or 'nothing proposed'}", style="not dim yellow"
        )
    if isinstance(line["original"], str):
        body = coloured_diff(_cut(line["original"]), _cut(line["counterfactual"]))
    else:
        body = Text(f"{shown_input(line['original'])} -> {shown_input(line['counterfactual'])}")
    return Text.assemble(shown, body, "\n  ", Text(_facts(line, labels), style="cyan"))


def _facts(line: Mapping[str, Any], labels: Sequence[str]) -> str:
    before, after = _reading(line["teacher_before"], labels), _reading(line["teacher_after"], labels)
    facts = [f"{before} -> {after}", str(line["generator"]), _counted(line["edits"], "edit")]
    attempts = line.get("attempts") or []
    rounds = max((attempt["round"] for attempt in attempts), default=1)
    facts.append(f"{len(attempts)} tried" + (f" in {rounds} rounds" if rounds > 1 else ""))
    costs = [attempt.get("usd", 0.0) for attempt in attempts]
    if None in costs:
        facts.append("cost unknown")
    elif any(costs):
        facts.append(f"${sum(costs):.4f}")
    if not line["verified"]:
        facts.append(f"NOT VERIFIED{f' ({_reasons(line)})' if line['reasons'] else ''}")
    return one_line(", ".join(facts))


def _reasons(line: Mapping[str, Any]) -> str:
    return ", ".join(f"{reason} x {count}" for reason, count in line["reasons"].items())


def _reading(probabilities: Sequence[float] | None, labels: Sequence[str]) -> str:
    if probabilities is None:
        return "unread"
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    return f"{labels[best]} {probabilities[best]:.2f}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]} …"


def _counted(number: float | None, noun: str) -> str:
    return f"? {noun}s" if number is None else f"{number:.3g} {noun}{'' if number == 1 else 's'}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value == int(value) and value > 1 else f"{value:.3f}"
