"""``table.tex``: any text as it is, balanced, and the same numbers as the other tables."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cod_runner.recipe.grammar import Recipe
from cod_runner.report.contents import build_report
from cod_runner.report.latex import latex, latex_text
from cod_runner.runs.records import CellRow, MetricRecord, RunRecord

SPECIAL = set('\\{}$&#%_^~<>|"`[]')
COMMANDS = {
    r"\textbackslash{}": "\\", r"\{": "{", r"\}": "}", r"\$": "$", r"\&": "&", r"\#": "#", r"\%": "%", r"\_": "_",
    r"\textasciicircum{}": "^", r"\textasciitilde{}": "~", r"\textless{}": "<", r"\textgreater{}": ">",
    r"\textbar{}": "|", r"\`{}": "`", "{[}": "[", "{]}": "]", "-{}": "-", ",{}": ",", "'{}": "'",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("50% of a_b & c#1", r"50\% of a\_b \& c\#1"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("$x^2$ ~ <y>", r"\$x\textasciicircum{}2\$ \textasciitilde{} \textless{}y\textgreater{}"),
        ("a -- b, '' [x]", r"a -{}- b, '{}' {[}x{]}"),
        ("0.66 ± 0.03 −0.1 – †‡", r"0.66 $\pm$ 0.03 $-$0.1 \textendash{} \textdagger{}\textdaggerdbl{}"),
        ("Zoë in Łódź, 中 🎬", r"Zoë in Łódź, {[}U+4E2D{]} {[}U+1F3AC{]}"),
        ("two\nlines\ttab\x1b", r"two lines tab\textbackslash{}x1b"),
    ],
)
def test_texts_are_escaped(text: str, shown: str) -> None:
    assert latex_text(text) == shown


@given(st.text(st.sampled_from("ab \\{}$&#%_^~<>|`[]-',.")))
def test_any_text_reads_back(text: str) -> None:
    escaped = latex_text(text)
    tokens = re.findall("|".join(map(re.escape, sorted(COMMANDS, key=len, reverse=True))) + "|.", escaped)
    assert all(token in COMMANDS or token not in SPECIAL for token in tokens)
    assert "".join(COMMANDS.get(token, token) for token in tokens) == " ".join(text.split())


def test_the_table(recipe: Recipe, record: RunRecord, rows: list[CellRow]) -> None:
    written = latex(build_report(recipe, record, rows))
    assert (
        "\\begin{tabular}{lrr}\n\\toprule\nmethod & $k = 8$ & $k = 16$ \\\\\n\\midrule\n"
        "teacher (ceiling) & 0.815 & 0.815 \\\\\n\\midrule\n"
        "kd & 0.620 $\\pm$ 0.020 & \\textbf{0.720} $\\pm$ 0.020 \\\\\n"
        "\\quad +CoD & \\textbf{0.660} $\\pm$ 0.030 & 0.700 $\\pm$ 0.010 \\\\\n\\midrule\n"
        "hard (no teacher, floor) & 0.520 $\\pm$ 0.020 & 0.550 $\\pm$ 0.000 \\\\\n"
        "\\quad +CoD & 0.520 $\\pm$ 0.020 & \\textendash{} \\\\\n\\bottomrule\n\\end{tabular}"
    ) in written
    assert r"\caption[{Accuracy}]{Accuracy. Mean $\pm$ sample standard deviation over 3 seeds (0, 1, 2)." in written
    assert "Method kd: hard + 20 x kd (temperature 2). Counterfactuals: lexicon; each verified to flip" in written
    assert "Not counted: hard, without a teacher in the loss.}" in written
    assert r"Made as Table~\ref{tab:small-accuracy}.}" in written
    assert "/somewhere" not in written


@pytest.fixture
def hostile(recipe_with: Callable[..., Recipe], record: RunRecord, make_row: Callable[..., CellRow]) -> str:
    attack = "\\write18{rm}%$_^&#~{[\n\\\\中\x00é"
    recipe = recipe_with(
        dataset={"use": "csv", "path": "films.csv", "labels": [attack, "b"]}, evaluate={"metrics": [attack]}
    )
    metric = MetricRecord(name=attack, title=attack, higher_is_better=True)
    rows = [make_row("kd", "plain", 8, seed, 0.5, **{attack: 0.5 + seed / 10}) for seed in (0, 1)]
    return latex(build_report(recipe, record.model_copy(update={"metrics": [metric]}), rows))


def test_a_stranger_s_names_close_nothing_and_start_nothing(hostile: str) -> None:
    assert set(re.findall(r"\\[a-zA-Z]+", hostile)) <= {
        "\\begin", "\\end", "\\centering", "\\caption", "\\label", "\\toprule", "\\midrule", "\\bottomrule", "\\quad",
        "\\dots", "\\pm", "\\textbackslash", "\\textasciicircum", "\\textasciitilde", "\\textendash", "\\usepackage",
        "\\textbf",
    }  # fmt: skip
    bare = re.sub(r"\\[{}]", "", "\n".join(each for each in hostile.splitlines() if not each.startswith("%")))
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert all(each.count(r"\\") <= 1 for each in hostile.splitlines())


def test_a_run_that_has_measured_nothing_is_a_comment(recipe_with: Callable[..., Recipe], record: RunRecord) -> None:
    report = build_report(recipe_with(), record.model_copy(update={"metrics": []}), [])
    assert all(each.startswith("%") or not each or "\\" in each for each in latex(report).splitlines())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no TeX here")
def test_it_compiles(hostile: str, recipe: Recipe, record: RunRecord, rows: list[CellRow], tmp_path: Path) -> None:
    for name, table in (("hostile", hostile), ("table", latex(build_report(recipe, record, rows)))):
        (tmp_path / f"{name}.tex").write_text(table, encoding="utf-8")
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}"
        "\\input{table.tex}\\input{hostile.tex}\\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
