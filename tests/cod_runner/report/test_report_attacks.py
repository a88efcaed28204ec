"""A run whose names, notes and files attack whoever reads its report: each is shown as the text that it is."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.report import write_reports, write_reports_again
from cod_runner.report.compare import compare_runs, show_comparison
from cod_runner.report.contents import build_report
from cod_runner.report.page.rendering import packaged
from cod_runner.report.terminal import show_report
from cod_runner.report.text import csv_text, markdown, markdown_text, spreadsheet_safe
from cod_runner.runs.reading import read_run
from cod_runner.runs.records import CellRow, MetricRecord, QualityRow, RunRecord

ATTACKS = (
    "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](http://host/b.png)", "[x]: javascript:alert(1)",
    "</td><script>alert(1)</script>", "a | b | c", "&lt;b&gt;", "`code` **b** ~~s~~ __u__ _i_", "# head", "> quote",
    "- item", "1. item", "---", "===", "a\\*b\\", "a\n\n# head", "\x1b[2Jforged", "\u202egnp.exe", "[/red]",
    "[bold]b[/bold]", "[link=http://host]x[/link]", ":warning:", "$\\frac$", "../../../x", "a/b", "..", "=1+1", "\x00",
)  # fmt: skip
RENDER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
LIVE = {
    "html_inline", "html_block", "link_open", "image", "code_inline", "fence", "code_block", "em_open", "s_open",
    "blockquote_open",
}  # fmt: skip


@pytest.fixture(params=ATTACKS, ids=ascii)
def attack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def attacked(
    attack: str, recipe_with: Callable[..., Recipe], record: RunRecord, make_row: Callable[..., CellRow]
) -> tuple[Recipe, RunRecord, list[CellRow]]:
    """A run with the attack wherever a name or a sentence is free: models, labels, metrics, notes, measures."""
    recipe = recipe_with(
        describe=attack,
        dataset={"use": "csv", "path": "films.csv", "labels": [attack, "positive"]},
        teacher={"use": "transformers", "model": attack},
        counterfactuals={"generators": [{"use": "llm", "model": attack}]},
        evaluate={"metrics": [attack]},
    )
    metric = MetricRecord(name=attack, title=attack, higher_is_better=True)
    quality = [QualityRow(name=attack, all=0.5, flipped=1.0)]
    changed = record.model_copy(update={"metrics": [metric], "notes": [attack], "command": attack, "quality": quality})
    changed = changed.model_copy(
        update={"quality": RunRecord.model_validate({"recipe": "s", "quality": quality}).quality}
    )
    rows = [
        make_row(method, arm, k, seed, 0.5 + seed / 10, **{attack: 0.5 + seed / 10})
        for method in ("hard", "kd") for arm in ("plain", "cod") for k in (8, 16) for seed in (0, 1, 2)
    ]  # fmt: skip
    return recipe, changed, rows


def text_of_markdown(text: str) -> tuple[set[str], str]:
    """The kinds of token that a Markdown renderer finds, and the text that it shows."""
    tokens = [inner for token in RENDER.parse(text) for inner in (token.children or [token])]
    return {token.type for token in tokens}, "".join(token.content for token in tokens)


def test_table_md_holds_nothing_live(attacked: tuple[Recipe, RunRecord, list[CellRow]]) -> None:
    kinds, _ = text_of_markdown(markdown(build_report(*attacked)))
    live = {
        "html_inline",
        "html_block",
        "link_open",
        "image",
        "code_inline",
        "fence",
        "code_block",
        "em_open",
        "s_open",
    }
    assert not kinds & live
    assert "blockquote_open" not in kinds
    assert "\x1b" not in markdown(build_report(*attacked))


@given(st.text(st.sampled_from("ab 0<>[]()!*_`~#|\\&;:=+-.'\"\n") | st.characters(), max_size=30))
def test_any_text_is_shown_as_it_is(text: str) -> None:
    shown = " ".join(text.split())
    kinds, found = text_of_markdown(f"- x {markdown_text(shown)}")
    assert kinds <= {"bullet_list_open", "list_item_open", "paragraph_open", "text", "text_special"} | {
        kind for kind in kinds if kind.endswith("_close")
    }
    assert found.split() == f"x {shown}".replace("\x00", "\ufffd").split()


@given(st.text(st.sampled_from("ab 0<>[]()!*_`~#|\\&;:=+-.'\""), max_size=12))
def test_any_text_begins_no_list_heading_or_quote(text: str) -> None:
    kinds, _ = text_of_markdown(f"- {markdown_text(' '.join(text.split()))}")
    assert not kinds & {
        "heading_open",
        "blockquote_open",
        "ordered_list_open",
        "hr",
        "html_block",
        "fence",
        "code_block",
    }


@pytest.mark.parametrize(
    "attack",
    ["<img src=x onerror=alert(1)>", "</td><script>alert(1)</script>", "$\\frac$", "../../../x", "..", "\x1b[2J\u202e"],
    ids=ascii, indirect=True,
)  # fmt: skip
def test_the_page_holds_no_tag_of_a_stranger(
    attacked: tuple[Recipe, RunRecord, list[CellRow]], tmp_path: Path, parsed: Callable[[str], Any]
) -> None:
    folder = tmp_path / "runs" / "small"
    write_reports(folder, *attacked)
    html = (folder / "report.html").read_text(encoding="utf-8")
    tree = parsed(html)
    tags = {element.tag for element in tree.all()}
    assert not tags & {"iframe", "link", "object", "embed", "base", "image", "foreignobject", "animate", "set"}
    assert [script.text for script in tree.all("script")] == [packaged("page.js")]
    assert all(link.attributes["href"].startswith("#") for link in tree.all("a", "use"))
    assert not tree.all("img")
    assert not [name for element in tree.all() for name in element.attributes if name.startswith("on")]
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert {path.relative_to(tmp_path).parts[:3] for path in tmp_path.rglob("*.png")} == {("runs", "small", "figures")}
    assert not list(tmp_path.glob("*.png"))


def test_the_terminal_obeys_nothing(attack: str, attacked: tuple[Recipe, RunRecord, list[CellRow]]) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=300, color_system=None)
    show_report(console, build_report(*attacked))
    printed = out.getvalue()
    assert "\x1b[2J" not in printed
    assert "\u202e" not in printed
    assert "\x00" not in printed
    printed.encode()
    if attack.startswith("[") and "](" not in attack:
        assert attack in printed, "markup is shown"


def test_folders_with_markup_can_be_compared(
    make_run: Callable[..., Path], rows: list[CellRow], no_plugins: Registry
) -> None:
    named = (("[red]", 1), ("a[bold]", 2))
    first, second = (read_run(make_run(name, rows, train={"steps": steps}), no_plugins) for name, steps in named)
    out = io.StringIO()
    show_comparison(Console(file=out, width=300), compare_runs(first, second))
    assert "first: [red]   second: a[bold]" in out.getvalue()
    assert out.getvalue().count("[red]") == 2, "once more above a column"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"])
def test_no_name_of_the_csv_is_a_formula(
    name: str, recipe_with: Callable[..., Recipe], record: RunRecord, make_row: Callable[..., CellRow]
) -> None:
    recipe = recipe_with(evaluate={"metrics": [name]})
    rows = [make_row("kd", "plain", 8, 0, -0.5, **{name: -0.5})]
    table = csv_text(build_report(recipe, record, rows))
    (line,) = [line for line in csv.DictReader(io.StringIO(table)) if line["method"] == "kd"]
    assert line["metric"].startswith("'")
    assert line["mean"] == "-0.5", "a number stays one"
    assert spreadsheet_safe("a=1") == "a=1"


def test_figures_that_are_links_or_no_images_are_not_read(
    run_folder: Path, no_plugins: Registry, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"\x89PNG\r\n\x1a\nsecret")
    figures = run_folder / "figures"
    figures.mkdir()
    (figures / "link.png").symlink_to(tmp_path / "secret")
    (figures / "folder.png").mkdir()
    (figures / "text.png").write_text("secret")
    (figures / "drawn.png").write_bytes(b"\x89PNG\r\n\x1a\ndrawn")
    write_reports_again(run_folder, no_plugins)
    html = (run_folder / "report.html").read_text()
    captions: list[Any] = re.findall(r"<figcaption>(link|folder|text|drawn)</figcaption>", html)
    assert captions == ["drawn"]


DRAWN = """
import hashlib, sys
from pathlib import Path
from cod_runner.registry import Registry
from cod_runner.report.contents import build_report
from cod_runner.report.figures import draw_figures
from cod_runner.runs.reading import read_run
run = read_run(Path(sys.argv[1]), Registry.discover())
for name, drawn in draw_figures(build_report(run.recipe, run.record, run.rows, run.outcomes)).items():
    print(name, hashlib.sha256(drawn.png).hexdigest(), hashlib.sha256(drawn.svg.encode()).hexdigest())
"""


def test_a_style_file_in_the_current_folder_changes_no_figure(run_folder: Path, tmp_path: Path) -> None:
    """matplotlib reads `matplotlibrc` there, which could have LaTeX set every name."""
    (tmp_path / "attacked").mkdir()
    (tmp_path / "attacked" / "matplotlibrc").write_text("text.usetex: True\nlines.linewidth: 9\n")
    drawn = [
        subprocess.run(
            [sys.executable, "-c", DRAWN, str(run_folder)], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        for folder in (tmp_path, tmp_path / "attacked")
    ]
    assert drawn[0].startswith("accuracy") and drawn[0] == drawn[1]
