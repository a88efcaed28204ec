"""A report as text: ``table.md`` and ``table.csv``."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence

from cod_runner.plain_text import one_line, visible
from cod_runner.report.calibration import CALIBRATION_COLUMNS, CALIBRATION_TITLE, calibration_notes
from cod_runner.report.contents import Report, gain_summary, smallest_p_in_words, what_cod_changes
from cod_runner.report.costs import COSTS_TITLE, cost_grid, cost_notes
from cod_runner.report.statistics import Summary
from cod_runner.report.table import ACCURACY, DECIMALS, MISSING, Gain, Table, TableCell, TableRow, arm_name, pooled
from cod_runner.report.verdicts import VERDICT_COLUMNS, VERDICTS_TITLE, notes_on_verdicts, verdict_words

CSV_COLUMNS = (
    "method", "arm", "k", "metric", "mean", "sd", "n", "min", "max",
    "labelled", "added", "unlabelled", "teacher_queries", "embedded", "generator_calls", "usd", "teacher_usd",
)  # fmt: skip
COUNTED = 8
"""The last eight are means over the seeds of an arm at one k; see :class:`cod_runner.report.costs.ArmCost`."""
MINUS = "−"


def markdown(report: Report) -> str:
    """``table.md``: the protocol, a table per headline metric, the gains and the notes."""
    lines = [f"# {markdown_line(report.recipe.name)}", ""]
    if report.recipe.describe:
        lines += [markdown_line(report.recipe.describe), ""]
    lines += [f"- {markdown_line(setting.name)}: {markdown_line(setting.value)}" for setting in report.protocol]
    if report.teacher:
        lines += ["", markdown_line(" ".join(report.teacher))]
    for table, gains_over_plain, others in zip(report.tables, report.gains, report.gains_over_others, strict=True):
        lines += ["", f"## {markdown_line(table.metric.heading)}", "", *table_lines(table), ""]
        lines += [f"- {markdown_line(note)}" for note in table.footnotes]
        for gains in filter(None, (gains_over_plain, others)):
            lines += ["", f"### {markdown_line(what_cod_changes(gains))}", "", *gain_lines(gains), ""]
            lines += [f"- {markdown_line(smallest_p_in_words(gains))}"]
            if sentences := pooled_in_words(gains, report.floor):
                lines += [f"- {markdown_line(' '.join(sentences))}"]
    if summary := gain_summary(report):
        lines += ["", markdown_line(summary)]
    if report.calibrations:
        body = [[markdown_line(word) for word in each.words] for each in report.calibrations]
        lines += ["", f"## {CALIBRATION_TITLE}", "", *markdown_grid(CALIBRATION_COLUMNS, body), ""]
        lines += [f"- {markdown_line(note)}" for note in calibration_notes(report.calibrations)]
    if report.costs:
        lines += ["", f"## {COSTS_TITLE}", "", *markdown_grid(*cost_grid(report.costs)), ""]
        lines += [f"- {markdown_line(note)}" for note in cost_notes(report.costs)]
    if report.verdicts:
        body = [[markdown_line(word) for word in verdict_words(each)] for each in report.verdicts]
        lines += ["", f"## {VERDICTS_TITLE}", "", *markdown_grid(VERDICT_COLUMNS, body)]
        if notes := notes_on_verdicts(report.verdicts):
            lines += ["", *(f"- {markdown_line(note)}" for note in notes)]
    if report.notes:
        lines += ["", "## Notes", "", *(f"- {markdown_line(note)}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def table_lines(table: Table) -> list[str]:
    """The table as markdown lines."""
    head = ["method", *(f"k = {k}" for k in table.k)]
    body = [[_label(row), *(_bold(cell) for cell in row.cells)] for row in table.rows]
    return markdown_grid(head, body)


def gain_lines(gains: Sequence[Gain]) -> list[str]:
    """The gains as markdown lines."""
    columns, rows = gain_grid(gains)
    return markdown_grid(columns, [[markdown_line(word) for word in row] for row in rows])


GAIN_COLUMNS = ("method", "k", "mean gain", "± sd", "better seeds", "p")


def gain_grid(gains: Sequence[Gain]) -> tuple[tuple[str, ...], list[list[str]]]:
    """(columns, rows) of a table of gains; with the arm first, where they are over several."""
    rows = [_gain_words(gain) for gain in gains]
    if len({gain.over for gain in gains}) <= 1:
        return GAIN_COLUMNS, rows
    return ("against", *GAIN_COLUMNS), [[arm_name(gain.over), *row] for gain, row in zip(gains, rows, strict=True)]


def _gain_words(gain: Gain) -> list[str]:
    summary = gain.pairs.summary
    sd = MISSING if summary.sd is None else f"{summary.sd:.{DECIMALS}f}"
    wins = f"{gain.pairs.wins} of {summary.n}"
    return [gain.method, str(gain.k), signed(summary.mean), sd, wins, f"{gain.pairs.p:.3g}"]


def pooled_in_words(gains: Sequence[Gain], floor: Sequence[str]) -> list[str]:
    """For each arm that CoD is compared with, one test over all settings: their p-values are not independent."""
    sentences = []
    for over in dict.fromkeys(gain.over for gain in gains):
        of_arm = [gain for gain in gains if gain.over == over]
        distilled = [gain for gain in of_arm if gain.method not in floor] or of_arm
        together = pooled(distilled)
        if len(distilled) < 2 or together is None:
            continue
        metric = distilled[0].metric.name
        which = "settings with a teacher" if len(distilled) < len(of_arm) else "settings"
        sentences.append(
            f"All {len(distilled)} {which} together against {arm_name(over)}, seed by seed: "
            f"{number_and_deviation(together.summary)} {metric}, better in "
            f"{together.wins} of {together.summary.n} seeds, p = {together.p:.3g}."
        )
    if sentences:
        sentences.append("The settings of a seed share their draws, and all share one teacher.")
    return sentences


def signed(value: float) -> str:
    """The value with its sign, a real minus; one that rounds to 0 has no sign."""
    shown = f"{abs(value):.{DECIMALS}f}"
    if not math.isfinite(value) or float(shown) == 0:
        return shown
    return ("+" if value > 0 else MINUS) + shown


def number_and_deviation(summary: Summary, sign: bool = True) -> str:
    """``+0.021 ± 0.013``, or without a sign; a single value has no deviation."""
    mean = signed(summary.mean) if sign else f"{summary.mean:.{DECIMALS}f}"
    return mean if summary.sd is None else f"{mean} ± {summary.sd:.{DECIMALS}f}"


def cell_parts(cell: TableCell) -> tuple[str, str]:
    """(mean, what follows it: deviation, marks, n if seeds are missing)."""
    summary = cell.summary
    if summary is None:
        return MISSING, ""
    after = "" if summary.sd is None else f" ± {summary.sd:.{DECIMALS}f}"
    if cell.marks:
        after += f" {cell.marks}"
    if cell.some_missing:
        after += f" (n = {summary.n})"
    return f"{summary.mean:.{DECIMALS}f}", after


def _bold(cell: TableCell) -> str:
    mean, after = cell_parts(cell)
    return (f"**{mean}**" if cell.better else mean) + after


def _label(row: TableRow) -> str:
    return markdown_line(row.label)


def markdown_grid(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A markdown table of escaped texts; pipes in them are escaped here."""
    rows = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def markdown_line(text: str) -> str:
    """Any text as one line that Markdown shows as it is."""
    return markdown_text(" ".join(one_line(text).split()))


_LIVE = re.compile(
    r"[*`~<]|\](?=[(\[:])|\\(?=[!-/:-@\[-`{-~])|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)"
    r"|^(?:>|#(?=#*(?:\s|$))|[-+](?=\s|[-+\s]*$)|=(?==*$))|(?<=^\d)[.)](?=\s|$)|(?<=^\d\d)[.)](?=\s|$)"
)
"""What starts formatting, a link, HTML or an entity; and at the beginning of a line, a heading, a quote or a list."""


def markdown_text(text: str) -> str:
    """A line of text, escaped so that Markdown shows it as it is."""
    entities = {"<": "&lt;", "&": "&amp;"}
    return _LIVE.sub(lambda found: entities.get(found.group()) or f"\\{found.group()}", text)


def csv_text(report: Report) -> str:
    """``table.csv``: one line per method, arm, k and metric; full precision; safe to open in a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    accuracy = report.record.teacher_accuracy
    if accuracy is not None:
        writer.writerow(["teacher", "", "", ACCURACY, accuracy, "", 1, accuracy, accuracy, *[""] * COUNTED])
    needed = {(cost.arm, cost.k): cost.numbers for cost in report.costs}
    for table in (*report.tables, *report.further_tables):
        metric = spreadsheet_safe(visible(table.metric.name))
        for row in table.rows:
            if row.kind == "teacher":
                continue
            for k, cell in zip(table.k, row.cells, strict=True):
                if cell.summary is not None:
                    each = cell.summary
                    numbers = [each.mean, "" if each.sd is None else each.sd, each.n, each.smallest, each.largest]
                    costs = ["" if number is None else number for number in needed.get((row.kind, k), [None] * COUNTED)]
                    writer.writerow([spreadsheet_safe(row.method), row.kind, k, metric, *numbers, *costs])
    return out.getvalue()


def spreadsheet_safe(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would take for a formula, so that it stays text."""
    return "'" + text if text.startswith(tuple("=+-@\t\r\n＝＋－＠")) else text
