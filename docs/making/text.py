"""Pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a text with line breaks or bars stays in its cell."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(each) for each in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: str, language: str = "text", caption: str | None = None) -> str:
    """A block of code, whatever it holds."""
    fence = "`" * max(3, 1 + _longest_run(text))
    title = f":caption: {caption}\n\n" if caption else "\n"
    return f"{fence}{{code-block}} {language}\n{title}{text.rstrip()}\n{fence}\n"


def _longest_run(text: str) -> int:
    longest = run = 0
    for letter in text:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    return longest


def autodoc(*directives: str) -> str:
    """Directives of Sphinx's autodoc, which are written in reStructuredText."""
    return "```{eval-rst}\n" + "\n".join(directives) + "\n```\n"
