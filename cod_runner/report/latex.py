r"""``table.tex``: the headline tables for a paper, with ``\usepackage{booktabs}``; it is read by ``\input``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cod_runner.plain_text import one_line
from cod_runner.report.contents import Report, gain_summary
from cod_runner.report.table import MISSING, OPTIMISTIC, UNVERIFIED, Table, TableCell, TableRow
from cod_runner.report.text import MINUS, cell_parts

TOLD = (
    "data set", "teacher", "teacher fine-tuning", "student", "counterfactuals", "control", "training", "evaluation",
)  # fmt: skip
"""The settings of the protocol that a caption repeats; k, seeds and methods stand in the table."""

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "`": r"\`{}", "[": "{[}", "]": "{]}", OPTIMISTIC: r"\textdagger{}",
    UNVERIFIED: r"\textdaggerdbl{}", "±": r"$\pm$", MINUS: "$-$", MISSING: r"\textendash{}", "…": r"\dots{}",
    "—": r"\textemdash{}", "’": r"\textquoteright{}", "‘": r"\textquoteleft{}", "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}", "∞": r"$\infty$", "→": r"$\rightarrow$", "\u00a0": "~",
}  # fmt: skip
_JOINED = re.compile(r"([-,'])(?=\1)")
"""What LaTeX would set as one character: a dash for two hyphens, a quotation mark for two commas."""
_LETTERS = frozenset(map(chr, range(0xC0, 0x100))) | frozenset(
    "ĂăĄąĆćČčĎďĐđĘęĚěĞğĹĺĽľŁłŃńŇňŐőŔŕŘřŚśŞşŠšŢţŤťŮůŰűŹźŻżŽžŒœŸİı"
)
"""Beyond ASCII, what the encoding T1 has, so that every font of LaTeX's does."""


def latex(report: Report) -> str:
    """One ``table`` environment for each headline metric; without a finished table, a comment that says so."""
    lines = [
        r"% \usepackage{booktabs}, and with pdfTeX \usepackage[T1]{fontenc}",
        f"% {_in_comment(report.recipe.name)}, written by codrun",
    ]
    if not report.tables:
        lines.append("% no metric was measured")
    for table in report.tables:
        lines += ["", *_table(report, table)]
    return "\n".join(lines) + "\n"


def _table(report: Report, table: Table) -> list[str]:
    head = " & ".join(["method", *(f"$k = {k}$" for k in table.k)])
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption[{{{latex_text(table.metric.heading)}}}]{{{_caption(report, table)}}}",
        rf"\label{{{_label(report, table)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.k)}}}",
        r"\toprule",
        rf"{head} \\",
        *_body(table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def _body(rows: Sequence[TableRow]) -> list[str]:
    """The rows, with a rule before every method and its other arms set in."""
    lines, before = [], None
    for row in rows:
        first = row.method != before or row.kind == "teacher"
        if first:
            lines.append(r"\midrule")
        label = latex_text(row.label) if first else rf"\quad {latex_text(row.label)}"
        lines.append(" & ".join([label, *map(_cell, row.cells)]) + r" \\")
        before = row.method
    return lines


def _cell(cell: TableCell) -> str:
    mean, after = cell_parts(cell)
    number, told = latex_text(mean), latex_text(after)
    number = rf"\textbf{{{number}}}" if cell.better else number
    return f"{number} {told}" if told else number


def _caption(report: Report, table: Table) -> str:
    """The metric, what the marks mean, and for the first table the protocol, and what CoD changed."""
    sentences = [f"{table.metric.heading}.", *table.footnotes]
    first = report.tables[0]
    if table is not first:
        return rf"{latex_text(' '.join(sentences))} Made as Table~\ref{{{_label(report, first)}}}."
    told = [each for each in report.protocol if each.name in TOLD or each.name.startswith("method ")]
    sentences += [f"{each.name[:1].upper()}{each.name[1:]}: {each.value}." for each in told]
    return latex_text(" ".join([*sentences, gain_summary(report)]))


def latex_text(text: str) -> str:
    """Any text as one line that LaTeX shows as it is: no command, no comment, no formula.

    Letters of European languages stay, as LaTeX reads UTF-8 of itself; of any other character, which pdfTeX would
    refuse, the code is shown.
    """
    shown = " ".join(one_line(text).split())
    return _JOINED.sub(r"\1{}", "".join(map(_escaped, shown)))


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isascii() or character in _LETTERS:
        return character
    return f"{{[}}U+{ord(character):04X}{{]}}"


def _in_comment(text: str) -> str:
    return " ".join(one_line(text).split())


def _label(report: Report, table: Table) -> str:
    r"""What ``\label`` calls a table: anything but letters, digits and hyphens would have to be escaped there."""
    words = f"{report.recipe.name}-{table.metric.name}"
    return "tab:" + "".join(each if each.isascii() and (each.isalnum() or each == "-") else "-" for each in words)
