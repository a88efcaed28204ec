"""Code that changed while its version did not: what a digest takes for a change, and what a run says of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from faulty_plugin import forget, write_plugin

from cod_runner.cli import call
from cod_runner.code_digests import code_digest

LOSS = '''
"""What it does."""
from .kernel import halve
from own_code import other

def build(options, context):
    return halve(3)  # three
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own_code"
    folder.mkdir()
    for name, text in {
        "__init__": "",
        "plugin": "components = 1",
        "loss": LOSS,
        "kernel": "import json\nfrom own_code import plugin\n\ndef halve(x):\n    return x / 2\n",
        "other": "number = 1",
        "unrelated": "number = 1",
    }.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def digest() -> str | None:
    return code_digest("own_code.loss", {"own_code.plugin"})


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("loss", LOSS.replace("halve(3)", "halve(4)"), True),
        ("loss", LOSS.replace("# three", "# 3").replace("What it does", "How"), False),
        ("loss", LOSS.replace("(options, context)", "(\n    options,\n    context,\n)"), False),
        ("kernel", "def halve(x):\n    return x / 3\n", True),
        ("other", "number = 2", True),
        ("unrelated", "number = 2", False),
        ("plugin", "components = 2", False),
    ],
)
def test_what_changes_a_digest(name: str, text: str, changes: bool, package: Path) -> None:
    before = digest()
    assert before is not None and before.startswith(f"{sys.version_info.major}.{sys.version_info.minor}:")
    assert digest() == before
    (package / f"{name}.py").write_text(text)
    assert (digest() != before) == changes
    assert "own_code" not in sys.modules


def test_without_a_source_there_is_none(package: Path) -> None:
    assert code_digest("own_code.gone") is None
    assert code_digest("math") is None
    (package / "loss.py").write_text("def (:")
    assert digest() is None


RECIPE = """\
recipe: 1
name: code
dataset: {use: moons}
k: [8]
seeds: [0]
teacher: {use: mlp, hidden: [16], finetune: {rows: 200, steps: 60, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
methods: {own: [hard, faulty]}
arms: [plain]
train: {steps: 3, lr: 0.01}
evaluate: {metrics: [accuracy]}
"""
SENTENCE = (
    "note: the loss `faulty` has changed since cells of this run were finished, and its version is still 1: raise "
    "`version` in its Component, and cells, stored pairs and what losses fit are made anew; --fresh makes the cells "
    "alone"
)


@pytest.mark.slow
def test_a_run_says_where_its_cells_are_another_code_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    package = write_plugin(tmp_path / "site")
    forget()
    Path("code.yaml").write_text(RECIPE)

    def said(*flags: str) -> list[str]:
        assert call(["code.yaml", "--quiet", "--jobs", "1", *flags]) == 0
        return [line for line in capsys.readouterr().err.splitlines() if "its version is still" in line]

    def edit(name: str, old: str, new: str) -> None:
        text = (package / f"{name}.py").read_text()
        assert old in text
        (package / f"{name}.py").write_text(text.replace(old, new))

    assert said() == said() == []
    edit("needy", "import", "# another module\nimport")
    assert said() == []
    edit("parts", "student.logits.sum(1)", "student.logits.sum(1) * 2")
    assert said() == [SENTENCE]
    assert said() == [SENTENCE], "as long as the cells are there"
    recorded = json.loads(Path("runs/code/run.json").read_text())["code"]
    assert set(recorded) == {"the loss `faulty`"} and len(recorded["the loss `faulty`"]["digests"]) == 2
    assert said("--fresh") == said() == []
    edit("plugin", '"codrun_faulty.parts:Loss", "fails as told"', '"codrun_faulty.parts:Loss", "fails", version=2')
    edit("parts", "* 2", "* 3")
    forget()
    assert said() == said() == []
