"""The page for whoever reads it: by light or dark, on a phone, on paper, by keyboard, by ear."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from cod_runner.recipe.grammar import Recipe
from cod_runner.report.contents import build_report
from cod_runner.report.figures import draw_figures
from cod_runner.report.looks import term_looks
from cod_runner.report.page.one_run import page
from cod_runner.report.page.rendering import packaged
from cod_runner.report.theme import DRAWN, PAGE, Shade, colour_variables, themed
from cod_runner.runs.records import CellRow, MetricRecord, RunRecord, StageRecord, VerdictRecord

VERDICTS = [
    VerdictRecord(what="accuracy, kd, cod, k = 8", bound="at least 0.5", found="0.66 over 3 seeds", verdict="pass",
                  sentence=""),
    VerdictRecord(what="<script>", bound="at least 0.9", found="0.62 over 3 seeds", verdict="miss", sentence=""),
    VerdictRecord(what="gain", bound="at least 0", found="nothing", verdict="not run", sentence=""),
]  # fmt: skip


@pytest.fixture(scope="module")
def pages() -> list[str]:
    """What ``full`` has made: drawing takes most of a second."""
    return []


@pytest.fixture
def full(
    recipe: Recipe, record: RunRecord, rows: list[CellRow], outcomes: list[dict[str, Any]], pages: list[str]
) -> str:
    """A page with every section."""
    if not pages:
        losses = {row.key: {step: {"hard": 0.5, "kd": 0.1} for step in range(1, 9)} for row in rows}
        told = {"verdicts": VERDICTS, "stages": [StageRecord(name="data", seconds=2.0), StageRecord(name="students")]}
        report = build_report(recipe, record.model_copy(update=told), rows, outcomes * 10, losses=losses)
        pages.append(page(report, draw_figures(report)))
    return pages[0]


@pytest.fixture
def tree(full: str, parsed: Callable[[str], Any]) -> Any:
    return parsed(full)


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_measure_of_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


SHADES = {shade.name: shade for shade in PAGE}
TEXT_ON = [
    *((ink, ground) for ink in ("ink", "muted", "win", "lose", "accent") for ground in ("paper", "band")),
    ("ink", "warn"), ("ink", "added"), ("ink", "removed"),
]  # fmt: skip


@pytest.mark.parametrize("by", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT_ON)
def test_every_text_can_be_read(ink: str, ground: str, by: str) -> None:
    assert contrast(getattr(SHADES[ink], by), getattr(SHADES[ground], by)) >= 4.5


@pytest.mark.parametrize("by", ["light", "dark"])
@pytest.mark.parametrize("shade", [SHADES["edge"], *DRAWN], ids=lambda shade: shade.name)
def test_every_line_and_edge_can_be_seen(shade: Shade, by: str) -> None:
    paper = getattr(SHADES["paper"], by)
    if shade.light in ("#ffffff", "#dddddd"):  # the ground, and the lines of a grid, which say nothing
        return
    assert contrast(getattr(shade, by), paper) >= 3


def test_every_variable_that_the_style_uses_is_given_by_light_and_by_dark() -> None:
    style = packaged("page.css")
    used = set(re.findall(r"var\(--([a-z0-9-]+)\)", style)) - {"part", "width"}
    light, dark = (
        set(re.findall(r"--([a-z0-9-]+):", block))
        for block in colour_variables().split("@media screen and (prefers-color-scheme: dark)")
    )
    assert used <= light
    assert light == dark
    assert not re.search(r"#[0-9a-f]{3,8}\b", style), "a colour of the style sheet has no dark form"


def test_on_paper_the_colours_are_the_light_ones() -> None:
    assert "@media (prefers-color-scheme: dark)" not in colour_variables() + packaged("page.css")
    assert "@media print" in packaged("page.css")


def test_every_colour_of_a_figure_is_the_page_s(tree: Any) -> None:
    figures = tree.all("svg")
    assert len(figures) == 5
    for svg in figures:
        styles = " ".join(each.attributes.get("style", "") for each in svg.all())
        assert "var(--drawn-000000)" in styles
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb\(", styles)
        assert "DejaVu" not in styles


def test_a_text_in_a_figure_stays_the_text_that_it_is(
    recipe_with: Callable[..., Recipe],
    record: RunRecord,
    make_row: Callable[..., CellRow],
    parsed: Callable[[str], Any],
) -> None:
    title = '#000000 <b id="x"> font-family: y; $a$'
    metric = MetricRecord(name="accuracy", title=title, higher_is_better=True)
    recipe = recipe_with(evaluate={"metrics": ["accuracy"]})
    rows = [make_row("kd", "plain", 8, 0, 0.5)]
    report = build_report(recipe, record.model_copy(update={"metrics": [metric]}), rows)
    drawn = draw_figures(report)["accuracy"]
    assert title in [each.text for each in ElementTree.fromstring(drawn.svg).iter() if each.tag.endswith("text")]
    assert title in [each.text for each in parsed(themed(drawn.svg)).all("text")]


def test_the_same_numbers_give_the_same_svg(recipe: Recipe, record: RunRecord, rows: list[CellRow]) -> None:
    report = build_report(recipe, record, rows)
    first, second = draw_figures(report), draw_figures(report)
    assert {name: drawn.svg for name, drawn in first.items()} == {name: drawn.svg for name, drawn in second.items()}
    assert first["accuracy"].svg != draw_figures(build_report(recipe, record, rows[1:]))["accuracy"].svg
    assert "<dc:date>" not in first["accuracy"].svg
    assert re.search(r"<text[^>]*>Accuracy</text>", first["accuracy"].svg)


def test_no_two_elements_have_one_name_and_every_link_leads_somewhere(tree: Any) -> None:
    names = Counter(each.attributes["id"] for each in tree.all() if "id" in each.attributes)
    assert max(names.values()) == 1
    links = [each.attributes["href"][1:] for each in tree.all("a", "use")]
    assert set(links) <= set(names)
    clips = set(re.findall(r"url\(#([^)]*)\)", " ".join(str(each.attributes) for each in tree.all())))
    assert clips and clips <= set(names)


def test_landmarks_and_headings(tree: Any) -> None:
    assert [len(tree.all(tag)) for tag in ("header", "nav", "main", "footer", "h1")] == [1, 1, 1, 1, 1]
    assert tree.all("html")[0].attributes["lang"] == "en"
    levels = [int(each.tag[1]) for each in tree.all("h1", "h2", "h3", "h4")]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    first = tree.all("body")[0].all()[0]
    assert (first.tag, first.attributes["href"], first.text) == ("a", "#main", "Skip to the results")
    assert len(tree.all("nav")[0].all("a")) == 8


def test_every_table_has_a_caption_and_heads(tree: Any) -> None:
    tables = tree.all("table")
    assert len(tables) >= 8
    for table in tables:
        assert len(table.all("caption")) == 1 and table.all("caption")[0].text
        assert {head.attributes.get("scope") for head in table.all("thead")[0].all("th")} == {"col"}
        assert {head.attributes.get("scope") for head in table.all("tbody")[0].all("th")} == {"row"}
    captions = [table.all("caption")[0].text for table in tables]
    assert len(set(captions)) == len(captions)


def test_what_is_wider_than_a_phone_scrolls_and_can_be_reached(tree: Any) -> None:
    for wide in tree.all("table", "svg"):
        box = next(each for each in wide.above if each.attributes.get("class", "").startswith("scroll"))
        assert box.attributes["tabindex"] == "0"
        assert box.attributes["role"] in ("group", "img")
        assert box.attributes["aria-label"]
    style = packaged("page.css")
    assert ".scroll { overflow-x: auto;" in style
    assert "no-repeat scroll" in style, "the shadow that says that there is more"
    assert "Scroll sideways for more" in packaged("page.js")
    assert ":focus-visible { outline: 3px" in style


def test_every_field_has_a_label_and_news_are_read_out(tree: Any) -> None:
    fields = tree.all("input", "select")
    assert {field.attributes["name"] for field in fields} == {
        "search", "verdict", "from", "edits-from", "edits-to", "minimality-from", "minimality-to"
    }  # fmt: skip
    assert all("label" in [each.tag for each in field.above] for field in fields)
    (form,) = tree.all("form")
    assert "hidden" in form.attributes, "without its script the page shows no filters"
    assert tree.all("p", id="found")[0].attributes["aria-live"] == "polite"


def test_verdicts_stand_at_the_top_in_words_and_colours(full: str, tree: Any) -> None:
    assert "Expectations: 1 missed, 1 not run, 1 met." in tree.all("header")[0].text
    (section,) = tree.all("section", id="verdicts")
    assert full.index('id="verdicts"') < full.index('id="metric-1"')
    rows = [[cell.text for cell in row.all("th", "td")] for row in section.all("tbody")[0].all("tr")]
    assert rows == [
        ["accuracy, kd, cod, k = 8", "at least 0.5", "0.66 over 3 seeds", "✓ pass"],
        ["<script>", "at least 0.9", "0.62 over 3 seeds", "✗ miss"],
        ["gain", "at least 0", "nothing", "– not run"],
    ]
    badges = [badge.attributes["class"] for badge in section.all("span") if "class" in badge.attributes]
    assert badges == ["verdict pass", "verdict miss", "verdict not-run"]
    style = packaged("page.css")
    assert ".verdict.miss { color: var(--lose); }" in style


def test_a_run_without_them_has_no_such_section(
    recipe: Recipe, record: RunRecord, rows: list[CellRow], parsed: Callable[[str], Any]
) -> None:
    tree = parsed(page(build_report(recipe, record, rows), {}))
    assert [section.attributes["id"] for section in tree.all("section")] == [
        "metric-1", "metric-2", "protocol", "counterfactuals", "run"
    ]  # fmt: skip
    assert "Expectations" not in tree.text.replace(packaged("page.css"), "")


def test_the_floor_is_named_where_it_is_not_counted(recipe: Recipe, record: RunRecord, rows: list[CellRow]) -> None:
    html = page(build_report(recipe, record, rows), {})
    assert (
        "By mean accuracy +CoD is better in 1, equal in 0 and worse in 1 of 2 settings (method x k). "
        "Not counted: hard, without a teacher in the loss."
    ) in html


def test_terms_that_share_a_colour_have_lines_of_their_own() -> None:
    found = term_looks([f"t{place}" for place in range(12)])
    assert len(set(found.values())) == 12
