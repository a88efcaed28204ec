"""A report on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import Console, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from cod_runner.plain_text import one_line
from cod_runner.report.contents import Report, gain_summary, smallest_p_in_words, what_cod_changes
from cod_runner.report.costs import COSTS_TITLE, ArmCost, cost_grid
from cod_runner.report.table import Gain, Table
from cod_runner.report.text import MINUS, cell_parts, gain_grid, pooled_in_words
from cod_runner.report.verdicts import VERDICT_COLUMNS, VERDICTS_TITLE, notes_on_verdicts, verdict_words
from cod_runner.runs.records import VerdictRecord

_OF_A_VERDICT = {"pass": "green", "miss": "bold red", "not run": "dim"}


def show_report(console: Console, report: Report, said: Collection[str] = ()) -> None:
    """Print the headline tables, what CoD changed in the first of them (against plain and control), and the notes but
    for those that were ``said`` already."""
    for table in report.tables:
        console.print(rich_table(table))
    for note in dict.fromkeys(note for table in report.tables for note in table.footnotes):
        console.print(Text(note, style="dim"))
    if report.teacher:
        console.print(Text(one_line(" ".join(report.teacher))))
    for gains in filter(None, (*report.gains[:1], *report.gains_over_others[:1])):
        console.print()
        console.print(rich_gains(gains))
        console.print(Text(smallest_p_in_words(gains), style="dim"))
        if sentences := pooled_in_words(gains, report.floor):
            console.print(Text(one_line(" ".join(sentences))))
    if summary := gain_summary(report):
        console.print(Text(one_line(summary)))
    if report.costs:
        console.print()
        console.print(_costs(report.costs))
    for note in report.notes:
        if note in said:
            continue
        console.print(Text(f"note: {one_line(note)}", style="yellow"))
    show_verdicts(console, report.verdicts)


def show_verdicts(console: Console, verdicts: Sequence[VerdictRecord]) -> None:
    """Print every expectation with what was measured; nothing where the recipe expects nothing."""
    if not verdicts:
        return
    shown = RichTable(title=VERDICTS_TITLE, title_justify="left", title_style="bold")
    for name in VERDICT_COLUMNS:
        shown.add_column(name, overflow="fold")
    for each in verdicts:
        *words, verdict = map(one_line, verdict_words(each))
        shown.add_row(*map(Text, words), Text(verdict, style=_OF_A_VERDICT[each.verdict]))
    console.print(shown)
    for note in notes_on_verdicts(verdicts):
        console.print(Text(one_line(note), style="yellow"))


def rich_table(table: Table) -> RichTable:
    """One metric's table: the better number of a pair is bold and green, the teacher's row is dim."""
    shown = RichTable(title=Text(one_line(table.metric.heading)), title_justify="left", title_style="bold")
    shown.add_column("method", no_wrap=True)
    for k in table.k:
        shown.add_column(f"k = {k}", justify="right", no_wrap=True)
    for place, row in enumerate(table.rows):
        following = table.rows[place + 1 : place + 2]
        ends = not following or following[0].method != row.method
        words = [Text(row.label if row.kind in ("teacher", "plain") else f"  {row.label}")]
        for cell in row.cells:
            mean, after = cell_parts(cell)
            words.append(Text.assemble((mean, "bold green" if cell.better else ""), (after, "dim")))
        shown.add_row(*words, end_section=ends, style="dim" if row.kind == "teacher" else "")
    return shown


def rich_gains(gains: tuple[Gain, ...]) -> RichTable:
    """The table of gains; losses are red."""
    columns, body = gain_grid(gains)
    better_up = gains[0].metric.higher_is_better
    return rich_grid(what_cod_changes(gains), columns, body, columns.index("mean gain"), better_up)


def _costs(costs: Sequence[ArmCost]) -> RichTable:
    """What each arm needs; columns of nothing but 0 are left out, since a terminal is narrow."""
    columns, rows = cost_grid(costs)
    shown = [place for place in range(len(columns)) if any(row[place] not in ("0", "$0") for row in rows)]
    head = [columns[place] for place in shown]
    return rich_grid(COSTS_TITLE, head, [[row[place] for place in shown] for row in rows], fold=True)


def rich_grid(
    title: str,
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    signed_column: int | None = None,
    better_up: bool = True,
    fold: bool = False,
    never_cut: int | None = None,
) -> RichTable:
    """A titled table; the numbers of ``signed_column`` are green where they are better, red where worse, and the words
    of ``never_cut`` are whole in a narrow terminal too."""
    shown = RichTable(title=Text(one_line(title)), title_justify="left", title_style="bold")
    for place, name in enumerate(head):
        justify: JustifyMethod = "left" if place == 0 or signed_column is None else "right"
        shown.add_column(
            Text(one_line(name)), justify=justify, overflow="fold" if fold else "ellipsis", no_wrap=place == never_cut
        )
    colours = {"+": "green", MINUS: "red"} if better_up else {"+": "red", MINUS: "green"}
    for row in body:
        texts = [Text(one_line(word)) for word in row]
        if signed_column is not None:
            texts[signed_column].stylize(colours.get(row[signed_column][:1], ""))
        shown.add_row(*texts)
    return shown
