"""A comparison as a comment on a pull request, as JSON, and as an exit code."""

from __future__ import annotations

import html
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from cod_runner.cli import call
from cod_runner.errors import RecipeError, RegressionFound
from cod_runner.registry import Registry
from cod_runner.report.compare import CompareOptions, Comparison, Pair, compare_all, compare_runs, show_comparison
from cod_runner.report.compare.conclusion import conclusion, outcome, raise_on_regression
from cod_runner.report.compare.data import data_of
from cod_runner.report.compare.github_text import code, plain
from cod_runner.report.compare.markdown import LONGEST_COMMENT, MOST_ROWS, markdown_of
from cod_runner.runs.failed import FailedCell
from cod_runner.runs.reading import RunFiles, read_run
from cod_runner.runs.records import CellRow, LeftOut, MetricRecord, RunRecord

MakeRun = Callable[..., Path]
MakeRow = Callable[..., CellRow]
HOSTILE = (
    "@octocat #12 GH-3 **b** `c` <img src=x onerror=y> [l](https://evil.example) www.evil.example | :tada: $x$ &lt;"
)


def read(folder: Path) -> RunFiles:
    return read_run(folder, Registry())


@pytest.fixture
def base(make_run: MakeRun, make_row: MakeRow) -> Path:
    return make_run("base", [make_row("kd", "cod", 8, seed, 0.80 + seed / 100) for seed in range(3)], seeds=[0, 1, 2])


@pytest.fixture
def moved(make_run: MakeRun, make_row: MakeRow) -> Callable[..., Path]:
    """A run that differs from ``base`` by so much in each seed; None is a cell that is not there."""

    def made(*differences: float | None, name: str = "change", **more: Any) -> Path:
        rows = [
            make_row("kd", "cod", 8, seed, 0.80 + seed / 100 + difference, key=f"other-{seed}")
            for seed, difference in enumerate(differences)
            if difference is not None
        ]
        return make_run(name, rows, **{"seeds": [0, 1, 2], **more})

    return made


def without_accuracy(folder: Path, seed: int) -> Path:
    """A run one of whose cells was measured by its other metrics alone."""
    cells = [json.loads(line) for line in (folder / "cells.jsonl").read_text().splitlines()]
    kept = [
        {name: value for name, value in cell.items() if (name, cell["seed"]) != ("accuracy", seed)} for cell in cells
    ]
    (folder / "cells.jsonl").write_text("".join(f"{json.dumps(cell)}\n" for cell in kept))
    return folder


def compared(first: Path, second: Path, **options: Any) -> list[Comparison]:
    return [compare_runs(read(first), read(second), CompareOptions(**options))]


def spaced(markdown: str) -> str:
    """With plain spaces, also where a line must not break."""
    return markdown.replace("\N{NO-BREAK SPACE}", " ")


def rendered(markdown: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)


def outside_code(page: str) -> str:
    """What a forge looks for mentions, references and addresses in."""
    return html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<code>.*?</code>", "", page, flags=re.DOTALL)))


def test_the_verdict_stands_first_in_the_comment(base: Path, moved: Callable[..., Path]) -> None:
    lines = spaced(markdown_of(compared(base, moved(-0.11, -0.10, -0.12)))).splitlines()
    assert lines[0] == "## codrun compare: `base` → `change`"
    assert lines[2] == (
        "❌ **Regression:** accuracy of kd, cod, k = 8 fell from 0.810 to 0.700 (−0.110 ± 0.010 over 3 seeds, "
        "p = 0.002); agreement of kd, cod, k = 8 fell from 0.910 to 0.800 (−0.110 ± 0.010 over 3 seeds, p = 0.002)."
    )
    assert lines[4] == ("| metric | method | arm | k | `base` | `change` | difference | better seeds | p |  |")
    assert lines[6] == (
        "| `accuracy` | `kd` | `cod` | 8 | 0.810 | 0.700 | −0.110 ± 0.010 | 0 of 3 | 0.002 | ↓ **regression** |"
    )
    assert "The tolerance is 0.02." in "\n".join(lines)
    assert "| `agreement` | `kd` | `cod` | 8 | 2 | 0.9200 | 0.8000 |" in lines


@pytest.mark.parametrize(
    ("differences", "first_line", "word"),
    [
        ((0.0, 0.0, 0.0), "✅ **No regression in 2 differences (2 unchanged).**", "unchanged"),
        ((0.11, 0.10, 0.12), "✅ **No regression in 2 differences (2 gains).**", "gain"),
        (
            (-0.05, 0.01, -0.05),
            "⚠️ **No regression in 2 differences (2 unclear); seed noise can make this, and more seeds would tell:** "
            "accuracy of kd, cod, k = 8 fell from 0.810 to 0.780 (−0.030 ± 0.035 over 3 seeds, p = 0.148); agreement "
            "of kd, cod, k = 8 fell from 0.910 to 0.880 (−0.030 ± 0.035 over 3 seeds, p = 0.148).",
            "unclear",
        ),
    ],
)
def test_what_else_a_comparison_comes_to(
    base: Path, moved: Callable[..., Path], differences: tuple[float, ...], first_line: str, word: str
) -> None:
    comparisons = compared(base, moved(*differences))
    assert markdown_of(comparisons).splitlines()[2] == first_line
    assert outcome(comparisons) == word
    raise_on_regression(comparisons)


def test_everything_is_rendered_and_folds_are_closed(base: Path, moved: Callable[..., Path]) -> None:
    page = rendered(markdown_of(compared(base, moved(-0.11, -0.10, None, train={"steps": 3}))))
    assert page.count("<details>") == page.count("</details>") == 4
    assert page.count("<table>") == page.count("</table>") == 3
    for summary in ("What differs in the protocol: 1", "Notes: 1", "How to read this", "Every seed"):
        assert f"<summary>{summary}</summary>" in page
    assert "<li>missing from <code>change</code>: kd, cod, k = 8, seed 2 (not finished)</li>" in page


def test_a_stranger_s_names_format_mention_and_link_nothing(
    make_run: MakeRun, make_row: MakeRow, record: RunRecord
) -> None:
    record.metrics = [MetricRecord(name=HOSTILE, title=HOSTILE, higher_is_better=True)]
    first = [make_row(HOSTILE, HOSTILE, 8, seed, 0.6, **{HOSTILE: 0.9}) for seed in (0, 1)]
    second = [make_row(HOSTILE, HOSTILE, 8, seed, 0.6, key=f"{seed}", **{HOSTILE: 0.1}) for seed in (0, 1)]
    recipe = {"evaluate": {"metrics": [HOSTILE]}}
    one = read(make_run("one", first, **recipe))
    two = read(make_run("two", second, teacher={"use": "transformers", "model": HOSTILE}, **recipe))
    pairs = [Pair(one, two, (HOSTILE, f"{HOSTILE}\n# heading\n\n<script>"), HOSTILE) for _ in range(2)]
    written = markdown_of(compare_all(pairs), [f"{HOSTILE} is a note", "[x] done"])
    page = rendered(written)
    assert not re.search(r"<(?:a|img|script|h1|strong)\b[^>]*>(?!Regression|regression)", page)
    assert page.count("<h2>") == 1
    text = outside_code(page)
    assert "is a note" in text
    assert not re.search(r"@\w|#\d|gh-\d|www\.|://|:\w+:", text, re.IGNORECASE)
    assert "&#36;x&#36; " in written
    cell = html.unescape(re.findall(r"<td><code>(.*?)</code></td>", page)[0])
    assert cell == HOSTILE, "it is shown as it is"
    assert "\x1b" not in markdown_of(compare_all([Pair(one, two, ("a\x1b[31m", "b"))]))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("kd", "`kd`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("a``b", "```a``b```"),
        ("", "`(empty)`"),
        ("two\nlines", "`two lines`"),
        ("x" * 400, f"`{'x' * 297}...`"),
    ],
)
def test_a_code_span_holds_any_text(text: str, written: str) -> None:
    assert code(text) == written


def test_a_sentence_calls_nobody() -> None:
    assert plain("ask @me about #7 at https://a.b, $5, a@b.c") == (
        "ask @&#8203;me about #&#8203;7 at https:&#8203;//a.b, &#36;5, a@&#8203;b.c"
    )
    assert plain("p = 0.12: 3 of 4 (k = 8)") == "p = 0.12: 3 of 4 (k = 8)"


def test_many_unchanged_rows_are_folded_and_a_comment_is_never_too_long(make_run: MakeRun, make_row: MakeRow) -> None:
    def run(name: str, drop: float, methods: int) -> RunFiles:
        rows = [
            make_row(
                f"method-{number:03}", "cod", 8, seed, 0.9 - (drop if number == 0 else 0), key=f"{name}{number}{seed}"
            )
            for number in range(methods)
            for seed in (0, 1)
        ]
        return read(make_run(f"{name}{methods}", rows))

    many = spaced(markdown_of([compare_runs(run("one", 0, 30), run("two", 0.4, 30))]))
    assert "<summary>58 unchanged</summary>" in many
    assert MOST_ROWS < 58
    assert many.index("↓ **regression**") < many.index("58 unchanged")
    huge = markdown_of([compare_runs(run("one", 0, 400), run("two", 0.4, 400))])
    assert LONGEST_COMMENT / 2 < len(huge) < 65_536
    assert "cut here: too long for a comment" in huge
    assert huge.count("<details>") == huge.count("</details>")


def test_a_missing_cell_counts_where_the_recipe_asks_for_it(base: Path, moved: Callable[..., Path]) -> None:
    gone = compared(base, moved(0.0, 0.0, None))
    assert conclusion(gone) == "Regression: missing from change: kd, cod, k = 8, seed 2 (not finished)."
    with pytest.raises(RegressionFound, match=r"^missing from change: kd, cod, k = 8, seed 2 \(not finished\)$"):
        raise_on_regression(gone)
    console = Console(record=True, width=120, file=io.StringIO())
    show_comparison(console, gone[0])
    assert "missing from change: kd, cod, k = 8, seed 2 (not finished)" in console.export_text()
    fewer = compared(base, moved(0.0, 0.0, None, name="fewer", seeds=[0, 1]))
    raise_on_regression(fewer)
    assert fewer[0].missing == ()
    assert "Of these, 1 of base is not asked for by the recipe of fewer, and not counted as missing." in fewer[0].notes


def test_a_cell_that_could_not_run_is_called_left_out(
    base: Path, moved: Callable[..., Path], record: RunRecord
) -> None:
    record.left_out = [LeftOut(arm="cod", k=8, seeds=[1, 2], cells=2, sentence="too few originals")]
    (comparison,) = compared(base, moved(0.0, None, None))
    assert [(each.seed, each.why) for each in comparison.missing] == [(1, "left out"), (2, "left out")]
    assert "kd, cod, k = 8, seeds 1, 2 (left out)" in conclusion([comparison])


def test_a_cell_that_failed_says_why(base: Path, moved: Callable[..., Path], record: RunRecord) -> None:
    place = {"key": "x", "method": "kd", "arm": "cod", "k": 8, "seed": 2, "name": "kd-cod-k8-s2"}
    record.failed = [FailedCell(**place, cause="the metric `f1` is nan")]
    comparisons = compared(base, moved(0.0, 0.0, None))
    assert conclusion(comparisons) == (
        "Regression: missing from change: kd, cod, k = 8, seed 2 (failed: the metric `f1` is nan)."
    )


def test_a_number_that_is_gone_is_a_missing_cell(base: Path, moved: Callable[..., Path]) -> None:
    (comparison,) = compared(base, without_accuracy(moved(0.0, 0.0, 0.0), seed=2))
    assert [(each.seed, each.why) for each in comparison.missing] == [(2, "no number")]
    assert comparison.metrics[0].differences[0].seeds == (0, 1)
    assert comparison.metrics[1].differences[0].seeds == (0, 1, 2)
    (other_way,) = [compare_runs(read(base.parent / "change"), read(base))]
    assert other_way.missing == ()


def test_runs_that_have_nothing_in_common_are_no_success(base: Path, make_run: MakeRun, make_row: MakeRow) -> None:
    other = make_run("other", [make_row("lwd", "plain", 16, 0, 0.9)], methods={"lwd": ["hard"]})
    comparisons = compared(base, other)
    assert outcome(comparisons) == "nothing compared"
    with pytest.raises(RegressionFound, match=r"^Nothing is comparable: no method, arm, k and seed is in both runs"):
        raise_on_regression(comparisons)
    assert "⚠️ **Nothing was compared.**" in markdown_of(comparisons)


def test_a_lower_number_can_be_better(make_run: MakeRun, make_row: MakeRow, base: Path) -> None:
    worse = make_run("worse", [make_row("kd", "cod", 8, seed, 0.5, key=f"x{seed}") for seed in range(3)])
    (comparison,) = compared(base, worse, metrics=("kl",))  # .19 on average becomes .5
    assert conclusion([comparison]).startswith("Regression: kl of kd, cod, k = 8 rose from 0.190 to 0.500 (+0.310")
    assert "| `kl` (lower is better) |" in markdown_of([comparison])
    assert "| ↑ **regression** |" in spaced(markdown_of([comparison]))


def test_a_wish_for_a_metric_that_is_not_there_is_refused(base: Path) -> None:
    with pytest.raises(RecipeError, match="`f1` was not measured in both runs; the metrics that were: `accuracy`, "):
        compared(base, base, metrics=("f1",))
    with pytest.raises(RecipeError, match="`kl` has a tolerance, but is not compared by; add `--metrics accuracy,"):
        compared(base, base, tolerances={"kl": 0.1})
    assert compared(base, base, metrics=("kl",), tolerances={"kl": 0.1})[0].metrics[0].tolerance == 0.1


def test_several_comparisons_are_adjusted_together_and_told_apart(base: Path, moved: Callable[..., Path]) -> None:
    bad = moved(-0.065, -0.065, -0.065)
    pairs = [Pair(read(base), read(bad), title="a.yaml"), *[Pair(read(base), read(base), title="b.yaml")] * 3]
    alone, *_ = compare_all(pairs[:1])
    together, *_ = compare_all(pairs)
    assert alone.metrics[0].differences[0].judgement.p == pytest.approx(0.0162, abs=1e-3)
    assert together.metrics[0].differences[0].judgement.p > 0.05
    far = compare_all([Pair(read(base), read(moved(-0.5, -0.5, -0.5, name="far")), title="a.yaml"), pairs[1]])
    assert conclusion(far).startswith("Regression: accuracy of kd, cod, k = 8 of a.yaml fell from 0.810 to 0.310")
    assert "### `a.yaml`" in markdown_of(far)


def test_json_holds_everything_and_no_number_that_json_lacks(base: Path, moved: Callable[..., Path]) -> None:
    data = data_of(compared(base, without_accuracy(moved(-0.11, None, math.nan), seed=2)))
    json.dumps(data, allow_nan=False)
    assert (data["verdict"], data["regressed"]) == ("regression", True)
    (one,) = data["comparisons"]
    (difference,) = one["metrics"][0]["differences"]
    assert difference["first"] == {"mean": 0.8, "values": [0.8]}
    assert difference["difference"]["sd"] is None
    assert difference["seeds"] == [0]
    assert [each["seed"] for each in one["missing"]] == [1, 2]


def test_the_command_prints_clean_data_and_ends_with_3(
    base: Path, moved: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = str(moved(-0.11, -0.10, -0.12))
    assert call(["compare", str(base), bad, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["regressed"] is True
    assert call(["compare", str(base), bad, "--markdown", "--fail-on-regression"]) == 3
    shown = capsys.readouterr()
    assert shown.out.startswith("## codrun compare: `base` → `change`\n")
    assert shown.err.startswith("regression: accuracy of kd, cod, k = 8 fell from 0.810 to 0.700")
    assert shown.err.count("\n") == 1
    assert call(["compare", str(base), bad, "--fail-on-regression", "--tolerance", "0.2"]) == 0
    assert call(["compare", bad, str(base), "--fail-on-regression"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "give a second run"),
        (["a", "b", "c"], "give two runs' folders"),
        (["a", "b", "--json", "--markdown"], "not both"),
        (["a", "b", "--seeds", "1"], "go with --rev"),
        (["a", "b", "--tolerance", "-1"], "at least 0"),
        (["a", "b", "--tolerance", "nan"], "at least 0"),
        (["a", "b", "--tolerance", "=1"], "names no metric"),
        (["a", "b", "--metrics", ","], "names no metric"),
        (["a", "b", "--published", "x.csv"], "takes one RUN"),
        (["a", "--published", "x.csv", "--json"], "takes one RUN"),
        (["nowhere", "nowhere"], "is not a run's folder"),
    ],
)
def test_a_wrong_call_is_a_sentence_and_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert call(["compare", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in " ".join(shown.err.split())
    assert shown.out == ""
