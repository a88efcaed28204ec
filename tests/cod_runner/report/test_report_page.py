from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from cod_runner.errors import CodrunError
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.report.contents import build_report
from cod_runner.report.figures import Drawing, draw_figures
from cod_runner.report.page.one_run import page
from cod_runner.report.page.rendering import packaged
from cod_runner.report.write import write_reports, write_reports_again
from cod_runner.runs.records import CellRow, RunRecord

PNG = b"\x89PNG\r\n\x1a\n"
DRAWN = Drawing(PNG, '<?xml?><svg xmlns="x" viewBox="0 0 9 9"><g id="a"><path style="fill: #000000"/></g></svg>', 9.0)
Parse = Callable[[str], Any]


@pytest.fixture
def html(recipe: Recipe, record: RunRecord, rows: list[CellRow], outcomes: list[dict[str, Any]]) -> str:
    report = build_report(recipe, record, rows, outcomes)
    return page(report, {"accuracy": DRAWN}, {"boundaries_k_8": PNG})


def test_the_page_asks_the_network_for_nothing(html: str, parsed: Parse) -> None:
    tree = parsed(html)
    (policy,) = [meta for meta in tree.all("meta") if "http-equiv" in meta.attributes]
    assert policy.attributes["content"].startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; ")
    assert "base-uri 'none'; form-action 'none'" in policy.attributes["content"]
    assert all(each.attributes["src"].startswith("data:image/png") for each in tree.all() if "src" in each.attributes)
    assert all(each.attributes["href"].startswith("#") for each in tree.all() if "href" in each.attributes)
    assert not re.search(r"url\((?!#)|@import|https?:|fetch|XMLHttp|innerHTML", html)


def test_no_script_runs_but_the_page_s_own(html: str, parsed: Parse) -> None:
    tree = parsed(html)
    (script,) = tree.all("script")
    (policy,) = [meta.attributes["content"] for meta in tree.all("meta") if "http-equiv" in meta.attributes]
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert script.text == packaged("page.js")


def test_figures_are_inlined_including_those_of_plugins(html: str, parsed: Parse) -> None:
    tree = parsed(html)
    (image,) = tree.all("img")
    assert image.attributes["src"] == "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert image.attributes["alt"] == "boundaries k 8"
    (svg,) = tree.all("svg")
    assert svg.all("path")[0].attributes["style"] == "fill: var(--drawn-000000)"


def test_the_page_holds_numbers_gains_pairs_quality_and_the_command(html: str) -> None:
    assert '<b>0.660</b><span class="soft"> ± 0.030</span>' in html
    assert '<td class="number worse">−0.020</td>' in html
    assert "<del>good</del><ins>bad</ins>" in html
    assert "positive 0.90 → negative 0.70" in html
    assert "1 of 2 flip the teacher" in html
    assert "rejected: no flip" in html
    assert '<th scope="row">flip rate</th><td class="number">0.5</td><td class="number">1</td>' in html
    assert '<pre tabindex="0">codrun recipes/small.yaml</pre>' in html
    assert "k=8, seed 2: only 80% gave a pair" in html
    assert "0.6300" in html  # seed by seed


def test_texts_from_the_data_stay_texts(recipe: Recipe, rows: list[CellRow], outcomes: list[dict[str, Any]]) -> None:
    attack = "<script>alert(1)</script>\x00{{ 7 * 7 }}"
    outcomes[0].update(original=attack, counterfactual=attack + " no", generator=attack, from_label=attack)
    record = RunRecord(recipe="small", notes=[attack], machine={"name": attack}, command=attack)
    html = page(build_report(recipe, record, rows, outcomes), {})
    assert html.count("<script") == 1
    assert "{{ 7 * 7 }}" in html
    assert "\x00" not in html


def test_no_folder_of_this_machine_is_shown(html: str) -> None:
    assert "/somewhere" not in html
    assert "films.csv" in html


def test_an_unknown_price_is_not_0(recipe: Recipe, rows: list[CellRow]) -> None:
    html = page(build_report(recipe, RunRecord(recipe="small", calls=3, tokens=1200, cost=None), rows), {})
    assert "3 (1,200 tokens), cost unknown" in html


def test_vectors_and_numbered_labels_are_shown(recipe: Recipe, record: RunRecord) -> None:
    line = {"original": [0.5, 1.0], "counterfactual": [0.25, 1.0], "from_label": 1, "label": 0, "verified": True,
            "teacher_before": [0.25, 0.75], "teacher_after": [0.5, 0.5]}  # fmt: skip
    html = page(build_report(recipe, record, [], [line]), {})
    assert "class 1 0.75 → class 0 0.50" in html


def test_figures_are_drawn_for_the_data_that_exist(
    recipe: Recipe, record: RunRecord, rows: list[CellRow], outcomes: list[dict[str, Any]]
) -> None:
    figures = draw_figures(build_report(recipe, record, rows, outcomes))
    assert set(figures) == {"accuracy", "agreement", "minimality"}
    assert all(drawn.png.startswith(PNG) and len(drawn.png) > 5_000 for drawn in figures.values())
    assert all(ElementTree.fromstring(drawn.svg).tag.endswith("svg") for drawn in figures.values())
    assert draw_figures(build_report(recipe, record, [], [])) == {}


def test_a_figure_follows_the_numbers(recipe: Recipe, record: RunRecord, rows: list[CellRow]) -> None:
    first = draw_figures(build_report(recipe, record, rows))["accuracy"]
    assert first == draw_figures(build_report(recipe, record, rows))["accuracy"]
    assert first != draw_figures(build_report(recipe, record, rows[1:]))["accuracy"]


def test_one_k_and_one_seed_can_be_drawn(
    recipe_with: Callable[..., Recipe], record: RunRecord, make_row: Callable[..., CellRow]
) -> None:
    recipe = recipe_with(k=[8], seeds=[0])
    assert "accuracy" in draw_figures(build_report(recipe, record, [make_row("kd", "cod", 8, 0, 0.6)]))


def test_a_run_writes_its_report_and_writes_it_again_from_its_files(
    run_folder: Path, recipe: Recipe, record: RunRecord, rows: list[CellRow], outcomes: list[dict[str, Any]],
    no_plugins: Registry,
) -> None:  # fmt: skip
    write_reports(run_folder, recipe, record, rows, outcomes)
    kinds = {".md", ".csv", ".tex", ".html", ".png", ".svg"}
    written = {path: path.read_bytes() for path in run_folder.rglob("*") if path.suffix in kinds}
    assert {path.relative_to(run_folder).as_posix() for path in written} == {
        "table.md", "table.csv", "table.tex", "report.html",
        "figures/accuracy.png", "figures/agreement.png", "figures/minimality.png",
        "figures/accuracy.svg", "figures/agreement.svg", "figures/minimality.svg",
    }  # fmt: skip
    for path in written:
        path.unlink()
    write_reports_again(run_folder, no_plugins)
    assert {path: path.read_bytes() for path in written} == written


def test_a_plugin_s_figure_is_on_the_page(run_folder: Path, no_plugins: Registry) -> None:
    (run_folder / "figures").mkdir()
    (run_folder / "figures" / "boundary.png").write_bytes(PNG + b"boundary")
    write_reports_again(run_folder, no_plugins)
    assert base64.b64encode(PNG + b"boundary").decode() in (run_folder / "report.html").read_text()


def test_a_report_on_a_folder_without_a_run_writes_nothing(tmp_path: Path, no_plugins: Registry) -> None:
    with pytest.raises(CodrunError):
        write_reports_again(tmp_path, no_plugins)
    assert list(tmp_path.iterdir()) == []


def test_importing_the_report_imports_no_heavy_library() -> None:
    code = (
        "import sys, cod_runner.runs.expectations, cod_runner.report\n"
        "import cod_runner.report.compare, cod_runner.report.published, cod_runner.report.terminal\n"
        "import cod_runner.report.several\n"
        "print([name for name in ('matplotlib', 'torch', 'pandas', 'jinja2', 'numpy') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
