"""The gallery of counterfactuals: what it shows, how it is filtered, and how large it may become."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cod_runner.recipe.grammar import Recipe
from cod_runner.report.contents import build_report
from cod_runner.report.page.gallery import FIRST, LONGEST_TEXT, MOST_CHARACTERS, MOST_OPTIONS, MOST_PAIRS, gallery
from cod_runner.report.page.one_run import page
from cod_runner.report.page.rendering import packaged
from cod_runner.runs.records import CellRow, RunRecord

ATTACK = '"><img src=x onerror=alert(1)><script>alert(1)</script>'


def line(**changes: Any) -> dict[str, Any]:
    return {
        "original": "a good film", "counterfactual": "a bad film", "from_label": "positive", "target": "negative",
        "label": "negative", "teacher_before": [0.1, 0.9], "teacher_after": [0.8, 0.2], "verified": True, "edits": 1,
        "minimality": 0.25, "generator": "lexicon", "attempts": [{}], "reasons": {}, **changes,
    }  # fmt: skip


REFUSED = line(verified=False, label=None, counterfactual=None, edits=None, minimality=None, generator=None,
               reasons={"no_flip": 3, "identical": 1})  # fmt: skip


def test_pairs_know_their_places_among_the_options() -> None:
    shown = gallery([line(), REFUSED, line(generator="llm", from_label="negative", label="positive", fold=2)])
    options = {each.name: each.options for each in shown.filters}
    assert options == {
        "verdict": ("verified", "not verified", "refused: identical", "refused: no_flip"),
        "generator": ("lexicon", "llm"),
        "from": ("negative", "positive"),
        "to": ("negative", "positive"),
    }, "there is one fold alone, and nothing to choose"
    assert dict(shown.pairs[0].options) == {
        "verdict": "0", "generator": "0", "from": "1", "to": "0", "fold": "", "arm": "", "seed": ""
    }  # fmt: skip
    assert dict(shown.pairs[1].options)["verdict"] == "1 3 2"
    assert dict(shown.pairs[1].options)["to"] == "0", "the label that was wanted"
    assert (shown.total, shown.verified) == (3, 2)


def test_ranges_are_offered_where_there_are_numbers() -> None:
    assert gallery([line()]).has_edits and gallery([line()]).has_minimality
    assert not gallery([REFUSED]).has_edits and not gallery([REFUSED]).has_minimality
    odd = gallery([line(edits=True, minimality=float("nan"))])
    assert not odd.has_edits and not odd.has_minimality


def test_a_page_has_room_for_so_many_pairs() -> None:
    assert len(gallery([line()] * (MOST_PAIRS + 7)).pairs) == MOST_PAIRS
    long = "x" * 20_000
    shown = gallery([line(original=long, counterfactual=None)] * 100)
    assert len(shown.pairs) == MOST_CHARACTERS // LONGEST_TEXT
    assert shown.pairs[0].pieces[0].text == "x" * LONGEST_TEXT + " …"
    assert shown.total == 100
    assert len(gallery([line(generator=f"g{place}") for place in range(99)]).filters[0].options) == MOST_OPTIONS


def test_thousands_of_lines_stay_one_small_page_that_says_so(
    recipe: Recipe, record: RunRecord, rows: list[CellRow], parsed: Callable[[str], Any]
) -> None:
    html = page(build_report(recipe, record, rows, [line(), REFUSED] * 2_000), {})
    assert "2000 of 4000 flip the teacher. The first 500 of them are on this page; all are in" in html
    assert len(html) < 600_000
    tree = parsed(html)
    (first,) = tree.all("ol", id="pairs")
    (others,) = tree.all("details", id="other-pairs")
    assert len(first.all("li")) == FIRST == int(first.attributes["data-at-once"])
    assert len(others.all("li")) == MOST_PAIRS - FIRST
    assert others.all("summary")[0].text == f"{MOST_PAIRS - FIRST} more"


def test_texts_of_strangers_never_become_a_part_of_the_page(
    recipe: Recipe, record: RunRecord, rows: list[CellRow], parsed: Callable[[str], Any]
) -> None:
    hostile = [
        line(**{key: ATTACK + str(place) for key in ("original", "counterfactual", "generator", "from_label", "label")},
             reasons={ATTACK: 1}, verified=False, arm=ATTACK + str(place))
        for place in range(20)
    ]  # fmt: skip
    tree = parsed(page(build_report(recipe, record, rows, hostile), {}))
    assert not tree.all("img")
    assert len(tree.all("script")) == 1
    for pair in tree.all("li"):
        for name, value in pair.attributes.items():
            if name.startswith("data-"):
                assert re.fullmatch(r"[\d .]*", value), f"{name} holds a text"
    assert ATTACK + "0" in [option.text for option in tree.all("option")]


def test_what_is_in_no_form_that_we_write_is_shown_all_the_same(
    recipe: Recipe, record: RunRecord, rows: list[CellRow]
) -> None:
    lines: list[dict[str, Any]] = [
        {}, {"original": {"a": 1}, "from_label": {"b": 2}, "label": [1], "reasons": "x", "generator": ["g"]},
        line(teacher_before=["a", 1], teacher_after={"x": None}, attempts="many", edits="2"),
        line(original=[0.5, 1.0], counterfactual=[0.25, 1.0], from_label=1, label=0),
    ]  # fmt: skip
    html = page(build_report(recipe, record, rows, lines), {})
    assert "class 1 0.90 → class 0 0.80" in html
    assert "positive 1.00 → negative" in html
    assert "2 of 4 flip the teacher." in html


@pytest.mark.parametrize("forbidden", ["innerHTML", "outerHTML", "insertAdjacent", "eval(", "document.write", "fetch("])
def test_the_script_builds_no_html(forbidden: str) -> None:
    assert forbidden not in packaged("page.js")
    assert "</" not in packaged("page.js")
