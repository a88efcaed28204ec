"""A comparison as the comment on a pull request: the verdict first, a compact table, all else folded away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cod_runner.report.compare.conclusion import conclusion, outcome, p_in_words, reading_help
from cod_runner.report.compare.github_text import code, plain
from cod_runner.report.compare.missing import missing_in_words
from cod_runner.report.compare.runs import Comparison, Difference, MetricComparison
from cod_runner.report.compare.verdict import Verdict
from cod_runner.report.statistics import PairedComparison
from cod_runner.report.table import DECIMALS
from cod_runner.report.text import markdown_grid, number_and_deviation

MOST_ROWS = 40
"""Of a comparison's table; of more, those that are unchanged are folded away."""
LONGEST_COMMENT = 60_000
"""Characters; GitHub takes 65,536 in a comment."""
MARKS: dict[str, str] = {Verdict.REGRESSION: "❌", Verdict.GAIN: "✅", Verdict.UNCHANGED: "✅", Verdict.UNCLEAR: "⚠️"}
COLUMNS = ("metric", "method", "arm", "k")


def markdown_of(comparisons: Sequence[Comparison], notes: Sequence[str] = ()) -> str:
    """The comment, with notes on all comparisons.

    Names and settings in it cannot format, link, mention or refer to anything.
    """
    mark = MARKS.get(outcome(comparisons), "⚠️")
    verdict, colon, reasons = conclusion(comparisons).partition(": ")
    said = f"**{plain(verdict)}{colon.strip()}**" + (f" {plain(reasons)}" if colon else "")
    lines = [_heading(comparisons), "", f"{mark} {said}"]
    for comparison in comparisons:
        lines += _of_one(comparison)
    if notes:
        lines += ["", *(f"- {plain(note)}" for note in notes)]
    if told := reading_help(comparisons):
        lines += ["", *_folded("How to read this", [plain(told)])]
    short = [*lines, ""]
    for comparison in comparisons:
        if comparison.metrics:
            title = f"### {code(comparison.title)}\n" if comparison.title else ""
            lines += ["", *_folded("Every seed", [*([title] if title else []), *_seeds(comparison)])]
    whole = "\n".join([*lines, ""])
    return whole if len(whole) <= LONGEST_COMMENT else _cut("\n".join(short))


def _heading(comparisons: Sequence[Comparison]) -> str:
    names = {(each.first, each.second) for each in comparisons}
    if len(names) == 1:
        first, second = names.pop()
        return f"## codrun compare: {code(first)} → {code(second)}"
    return "## codrun compare"


def _of_one(comparison: Comparison) -> Iterator[str]:
    for block in _blocks(comparison):
        yield from ("", *block)


def _blocks(comparison: Comparison) -> Iterator[list[str]]:
    """Groups of lines, between which Markdown wants an empty one."""
    if comparison.title:
        yield [f"### {code(comparison.title)}"]
    rows = [(compared, each) for compared in comparison.metrics for each in compared.differences]
    unchanged = [(compared, each) for compared, each in rows if each.judgement.verdict is Verdict.UNCHANGED]
    folds = len(rows) > MOST_ROWS and bool(unchanged)
    shown = [each for each in rows if each not in unchanged] if folds else rows
    if shown:
        yield _table(comparison, shown)
    if folds:
        yield _folded(f"{len(unchanged)} unchanged", _table(comparison, unchanged))
    if comparison.missing:
        missing = missing_in_words(comparison.missing)
        yield [f"- missing from {code(comparison.second)}: {plain(words)}" for words in missing]
    if comparison.settings:
        body = [[plain(name), code(first), code(second)] for name, first, second in comparison.settings]
        grid = markdown_grid(["setting", code(comparison.first), code(comparison.second)], body)
        yield _folded(f"What differs in the protocol: {len(comparison.settings)}", grid)
    if comparison.notes:
        yield _folded(f"Notes: {len(comparison.notes)}", [f"- {plain(note)}" for note in comparison.notes])


def _table(comparison: Comparison, rows: Sequence[tuple[MetricComparison, Difference]]) -> list[str]:
    head = [*COLUMNS, code(comparison.first), code(comparison.second), "difference", "better seeds", "p", ""]
    return markdown_grid(head, [_row(compared, each) for compared, each in rows])


def _row(compared: MetricComparison, each: Difference) -> list[str]:
    metric = compared.metric
    return [
        code(metric.name) + ("" if metric.higher_is_better else " (lower is better)"),
        code(each.method),
        code(each.arm),
        str(each.k),
        f"{each.first:.{DECIMALS}f}",
        f"{each.second:.{DECIMALS}f}",
        _unbroken(number_and_deviation(each.pairs.summary)),
        _unbroken(f"{each.pairs.wins} of {each.pairs.summary.n}"),
        p_in_words(each),
        _unbroken(_verdict(each.judgement.verdict, each.pairs)),
    ]


def _unbroken(words: str) -> str:
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def _verdict(verdict: Verdict, pairs: PairedComparison) -> str:
    """``↓ **regression**``: the arrow says where the number went, the word what that means."""
    mean = pairs.summary.mean
    arrow = "=" if verdict is Verdict.UNCHANGED else "↑" if mean > 0 else "↓"
    return f"{arrow} {verdict}" if verdict in (Verdict.UNCHANGED, Verdict.UNCLEAR) else f"{arrow} **{verdict}**"


def _seeds(comparison: Comparison) -> list[str]:
    body = [
        [code(compared.metric.name), code(each.method), code(each.arm), str(each.k), str(seed),
         f"{first:.4f}", f"{second:.4f}"]
        for compared in comparison.metrics
        for each in compared.differences
        for seed, (first, second) in zip(each.seeds, each.values, strict=True)
    ]  # fmt: skip
    return markdown_grid([*COLUMNS, "seed", code(comparison.first), code(comparison.second)], body)


def _folded(summary: str, lines: Sequence[str]) -> list[str]:
    """Lines that a reader opens; ``summary`` is ours, since no escape holds inside it."""
    return ["<details>", f"<summary>{summary}</summary>", "", *lines, "", "</details>"]


def _cut(text: str) -> str:
    if len(text) <= LONGEST_COMMENT:
        return text
    whole = text[:LONGEST_COMMENT].rpartition("\n")[0]
    opened = whole.count("<details>") - whole.count("</details>")
    return "\n".join(
        [whole, *["", "</details>"] * opened, "", "(cut here: too long for a comment; `--json` has all)", ""]
    )
