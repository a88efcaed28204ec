"""Faults that only data or models show: the command line answers with the recipe's line, and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cod_runner.cli import call
from cod_runner.testing.tiny_models import tiny_bert

RECIPE = """\
recipe: 1
name: small
dataset:
  use: csv
  path: data.csv
  labels: [no, yes]
k: [4, 8]
seeds: [0]
teacher: {use: transformers, model: ./tiny, finetune: {rows: 8, steps: 1}}
student: {use: transformers, layers_from_teacher: [1]}
counterfactuals: {generators: [{use: precomputed, path: pairs.csv}]}
methods:
  kd: [hard, kd]
evaluate: {split: validation}
"""
THREE_CLASSES = "text,label\n" + "".join(f"text {number},{number % 3}\n" for number in range(30))
WORDS = "the film was good bad fine dull long short sweet"


def rows(yes: int, no: int) -> str:
    lines = [f"the film was good {number},yes" for number in range(yes)]
    lines += [f"the film was bad {number},no" for number in range(no)]
    return "text,label\n" + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint without a head."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_bert(folder, [rows(20, 20), WORDS])
    return folder


@pytest.fixture
def fault(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What the command line says to a recipe changed by ``old`` to ``new``, and ``data`` in its file."""
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    Path("tiny").symlink_to(tiny)

    def fault(old: str = "", new: str = "", data: str | bytes = rows(20, 20), command: str = "run", *flags: str) -> str:
        Path("r.yaml").write_text(RECIPE.replace(old, new, 1))
        Path("data.csv").write_bytes(data.encode() if isinstance(data, str) else data)
        Path("pairs.csv").write_text("original,counterfactual\na,b\n")
        assert call([command, "r.yaml", *flags]) == 2
        said = capsys.readouterr().err.splitlines()
        assert not [line for line in said if "Traceback" in line or line.startswith("error:")]
        return said[-1]

    return fault


@pytest.mark.parametrize("command", ["run", "plan", "cfes"])
def test_a_missing_data_file_points_at_its_path(fault: Callable[..., str], command: str) -> None:
    said = fault("path: data.csv", "path: dota.csv", command=command)
    assert said.startswith("r.yaml:5:9: ")
    assert "there is no such file; did you mean `data.csv`?" in said


@pytest.mark.parametrize(
    ("old", "new", "data", "wanted"),
    [
        ("", "", "txt,label\na,yes\nb,no\n", "r.yaml:4:3: {data}: there is no column `text`; did you mean `txt`?"),
        ("csv", "csv\n  text: txet", rows(9, 9), "r.yaml:5:9: {data}: there is no column `txet`"),
        ("csv", "csv\n  label: gold", rows(9, 9), "r.yaml:5:10: {data}: there is no column `gold`"),
        ("csv", "csv\n  where: {lang: en}", rows(9, 9), "r.yaml:5:17: {data}: there is no column `lang`"),
        ("", "", "text,label\na,yes\nb,maybe\n", "r.yaml:6:11: {data}:3 (row 2): the label `maybe`"),
        ("labels: [no, yes]", "values: {yes: y, no: n}", "text,label\na,yes\nb,off\n", "r.yaml:6:11: {data}:3 (row 2)"),
        ("", "", rows(20, 1), "r.yaml:6:11: the data needs at least 2 rows of the class `no` and has only 1"),
        ("", "", rows(20, 0), "r.yaml:6:11: the data has rows of one class only, `yes`"),
        ("", "", "text,label\n", "r.yaml:4:3: {data}: there are no rows"),
        ("", "", b"text,label\ncaf\xe9,yes\n", "r.yaml:4:3: {data}:2: byte 14 (0xe9) is not utf-8; if it comes"),
        ("csv", "csv\n  encoding: ascii", "text,label\nné,yes\n", "r.yaml:5:13: {data}:2: byte 12"),
        ("", "", 'text,label\n"a,yes\n', "r.yaml:4:3: {data}:2: the quotes do not match"),
        ("k: [4, 8]", "k: [4, 512]", rows(20, 20), "r.yaml:7:8: k=512 needs 256 originals of each class"),
        ("k: [4, 8]", "k: [512, 4]", rows(20, 20), "r.yaml:7:5: k=512 needs 256 originals of each class"),
        ("  labels: [no, yes]\n", "", THREE_CLASSES, "r.yaml:6:5: k=4 cannot be balanced"),
        ("csv", "csv\n  splits: {test: data.csv}", rows(9, 9), "r.yaml:15:19: the data has no split `validation`"),
        ("csv", "csv\n  hold_out: {dev: {of: train, rows: 99}}", rows(9, 9), "r.yaml:5:37: `hold_out` asks for 99"),
        ("csv", "csv\n  splits: {test: tset.csv}", rows(9, 9), "r.yaml:5:18: "),
    ],
)  # fmt: skip
def test_a_fault_of_the_data_points_at_what_cures_it(
    fault: Callable[..., str], old: str, new: str, data: str | bytes, wanted: str
) -> None:
    said = fault(old, new, data)
    assert said.startswith(wanted.format(data=Path("data.csv").absolute())), said


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("./tiny", "./tinny", "r.yaml:9:37: there is no model folder "),
        (", finetune: {rows: 8, steps: 1}", "", "r.yaml:9:10: the teacher's checkpoint has no trained classification"),
        ("kd: [hard, kd]", "lwd: [hard, {use: lwd, layers: [[1, 9]]}]", "r.yaml:13:34: `layers` names the pair [1, 9]"),
        ("kd: [hard, kd]", "ted: [hard, {use: ted, layers: [[9, 1]]}]", "r.yaml:13:34: ted's `layers` names the pair"),
        ("path: pairs.csv", "path: paris.csv", "r.yaml:11:57: "),
        ("path: pairs.csv", "path: pairs.csv, original: text", "r.yaml:11:78: "),
    ],
)  # fmt: skip
def test_a_fault_of_a_model_or_a_loss_points_at_its_option(
    fault: Callable[..., str], old: str, new: str, wanted: str
) -> None:
    assert fault(old, new).startswith(wanted)


def test_a_value_from_a_flag_is_named_with_it(fault: Callable[..., str]) -> None:
    assert fault("", "", rows(20, 20), "run", "--k", "512").startswith("--k: k=512 needs 256 originals")
    said = fault("", "", rows(20, 20), "run", "--set", "dataset.path=dota.csv")
    assert said.startswith("--set dataset.path=dota.csv: ")


def test_a_value_from_a_parent_points_at_the_parents_line(
    fault: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    fault("path: data.csv", "path: dota.csv")
    Path("heir.yaml").write_text("extends: r.yaml\nname: heir\n")
    assert call(["run", "heir.yaml"]) == 2
    assert capsys.readouterr().err.startswith("r.yaml:5:9: ")


def test_what_cannot_be_filled_is_left_out_and_the_run_ends_with_1_after_its_table(
    fault: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Here the generator knows no text of the data, so that only the plain cells run."""
    with pytest.raises(AssertionError):  # it expects exit code 2
        fault("k: [4, 8]", "k: [4]")
    capsys.readouterr()
    assert call(["run", "r.yaml"]) == 1
    shown = capsys.readouterr()
    last = shown.err.splitlines()[-1]
    assert last.startswith(
        "error: 1 of 2 cells could not run, since their training sets cannot be drawn: `cod` at k = 4"
    )
    assert "report: " in shown.out and "could not run (seed 0): 0 of the 1" not in shown.out, "it was said already"
    assert " ".join(shown.err.split()).count("could not run (seed 0): 0 of the 1") == 1
    assert len(Path("runs/small/cells.jsonl").read_text().splitlines()) == 1
