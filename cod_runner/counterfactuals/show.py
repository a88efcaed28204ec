"""How ``codrun cfes`` shows pairs: word diff, the teacher's reading before and after, reasons, quality."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cod_runner.counterfactuals.quality import Quality

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def show_pairs(
    console: Console, lines: Sequence[Mapping[str, Any]], labels: Sequence[str], quality: Sequence[Quality]
) -> None:
    """Print each line of ``counterfactuals.jsonl`` as a diff, then the quality table."""
    for line in lines:
        console.print(_pair(line, labels))
        console.print()
    table = Table("measure", "all", "flipped", box=None, header_style="bold", pad_edge=False)
    for one in quality:
        table.add_row(one.name, _number(one.all), _number(one.flipped))
    console.print(table)


def word_diff(original: str, changed: str) -> Text:
    """Removed words struck through in red, added ones in green; the brackets say it without colour."""
    ours, theirs = _words(original), _words(changed)
    text = Text()
    for kind, a, b, c, d in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            text.append(safe("".join(ours[a:b])))
            continue
        if removed := "".join(ours[a:b]).strip():
            text.append(f"[-{safe(removed)}-]", style="red strike")
        if added := "".join(theirs[c:d]).strip():
            text.append(f"{{+{safe(added)}+}}", style="green")
        text.append(" ")
    return text


def safe(text: str) -> str:
    """Text whose control and direction characters are shown instead of obeyed."""
    return _UNSAFE.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def _pair(line: Mapping[str, Any], labels: Sequence[str]) -> Text:
    head = Text(f"{line['source_id']}  ", style="dim")
    if line["counterfactual"] is None:
        reasons = ", ".join(f"{reason} x {count}" for reason, count in line["reasons"].items()) or "nothing proposed"
        head.append(safe(str(line["original"])))
        return head.append(f"\n  no counterfactual: {reasons}", style="yellow")
    if isinstance(line["original"], str):
        head.append(word_diff(line["original"], line["counterfactual"]))
    else:
        head.append(f"{line['original']} -> {line['counterfactual']}")
    before, after = _reading(line["teacher_before"], labels), _reading(line["teacher_after"], labels)
    verified = "" if line["verified"] else ", not verified"
    return head.append(f"\n  {before} -> {after}, {line['generator']}, {line['edits']:g} edits{verified}", style="cyan")


def _reading(probabilities: Sequence[float] | None, labels: Sequence[str]) -> str:
    if probabilities is None:
        return "unread"
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    return f"{labels[best]} {probabilities[best]:.2f}"


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value == int(value) and value > 1 else f"{value:.3f}"
