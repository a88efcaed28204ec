"""`plugins: [./my_loss.py]`: code of a recipe's, which runs only where the command line allows it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cod_runner
from cod_runner.cli import call
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.permissions import read_permissions
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of

RECIPE = """\
recipe: 1
name: local
plugins: [./my_loss.py]
dataset: {use: moons}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 200, steps: 60, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
methods: {own: [hard, {use: halves, share: 0.5}]}
arms: [plain]
train: {steps: 3, lr: 0.01}
evaluate: {metrics: [accuracy]}
"""
PLUGIN = """\
from torch import nn

from cod_runner.api import Component, Options, hookimpl


class HalvesOptions(Options):
    share: float = 1.0


@hookimpl
def codrun_components():
    yield Component("loss", "halves", HalvesOptions, "my_loss:Halves", "a share of the squared logits")


class Halves(nn.Module):
    def __init__(self, options, context):
        super().__init__()
        self.share = options.share

    def bind(self, binding):
        pass

    def forward(self, student, teacher, batch):
        return self.share * student.logits.square().sum(1)
"""
REFUSED = (
    "local.yaml:3:11: `./my_loss.py` is Python code, and a recipe runs no code of its own: read it, and if you trust "
    "it, add `--allow-local-plugins` to the command"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with a recipe and its plugin."""
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("local.yaml").write_text(RECIPE)
    Path("my_loss.py").write_text(PLUGIN)
    yield tmp_path / "work"
    sys.modules.pop("my_loss", None)


@pytest.mark.parametrize("command", ["run", "validate", "plan", "cfes"])
def test_it_is_refused_unless_the_command_allows_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("my_loss.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    assert call([command, "local.yaml"]) == 2
    assert capsys.readouterr().err.strip() == REFUSED
    assert not Path("ran").exists() and "my_loss" not in sys.modules


def test_a_profile_s_and_a_parent_s_file_is_refused_too(capsys: pytest.CaptureFixture[str]) -> None:
    body = RECIPE.replace("plugins: [./my_loss.py]\n", "")
    Path("local.yaml").write_text(f"{body}profiles:\n  own:\n    plugins: [./my_loss.py]\n")
    assert call(["validate", "local.yaml"]) == 2
    assert "local.yaml:14:15: `./my_loss.py` is Python code" in capsys.readouterr().err
    Path("parent.yaml").write_text(RECIPE)
    Path("local.yaml").write_text("extends: parent.yaml\nname: child\n")
    assert call(["validate", "local.yaml"]) == 2
    assert "parent.yaml:3:11: `./my_loss.py` is Python code" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_it_runs_where_it_is_allowed_in_workers_too(jobs: str, folder: Path) -> None:
    assert call(["local.yaml", "--allow-local-plugins", "--quiet", "--jobs", jobs]) == 0
    rows = [json.loads(line) for line in Path("runs/local/cells.jsonl").read_text().splitlines()]
    assert [set(row["losses"]) for row in rows] == [{"hard", "halves"}] * 2
    record = json.loads(Path("runs/local/run.json").read_text())
    assert set(record["local_plugins"]) == {"my_loss.py"} and len(record["local_plugins"]["my_loss.py"]) == 64
    assert f"plugins:\n- {folder}/my_loss.py\n" in Path("runs/local/recipe.yaml").read_text()
    assert not Path("__pycache__").exists()


def test_its_run_is_reported_on_and_runs_again_with_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["local.yaml", "--allow-local-plugins", "--quiet", "--jobs", "1"]) == 0
    assert call(["report", "runs/local"]) == 0
    capsys.readouterr()
    assert call(["runs/local/recipe.yaml"]) == 2
    assert "is Python code, and a recipe runs no code of its own" in capsys.readouterr().err
    assert call(["runs/local/recipe.yaml", "--allow-local-plugins"]) == 0
    assert "2 cells, 2 done, 0 to run" in capsys.readouterr().err


def test_it_runs_from_python() -> None:
    with pytest.raises(RecipeError, match="is Python code"):
        cod_runner.run("local.yaml", jobs=1)
    assert len(cod_runner.run("local.yaml", jobs=1, allow_local_plugins=True).rows) == 2


def keys(registry: Registry, *, allowed: bool = True) -> list[str]:
    permissions = read_permissions(local_plugins=allowed)
    loaded = load_recipe(Path("local.yaml"), registry, permissions=permissions)
    return [cell.key for cell in cells_of(loaded.recipe, registry)]


def test_its_content_decides_the_keys_of_cells_that_use_it() -> None:
    first = keys(Registry.discover())
    assert keys(Registry.discover()) == first
    Path("my_loss.py").write_text(PLUGIN.replace("square()", "abs()"))
    assert not set(keys(Registry.discover())) & set(first)
    unused = RECIPE.replace("{use: halves, share: 0.5}", "kd")
    Path("local.yaml").write_text(unused)
    using_none = keys(Registry.discover())
    for without in ("plugins: []\n", ""):
        Path("local.yaml").write_text(unused.replace("plugins: [./my_loss.py]\n", without))
        assert keys(Registry.discover(), allowed=False) == using_none


@pytest.mark.parametrize(
    ("named", "content", "sentence"),
    [
        ("./gone.py", None, "`./gone.py`: there is no such file"),
        ("./my_loss.txt", PLUGIN, "`./my_loss.txt` must be a Python file, `NAME.py`"),
        ("../other.py", PLUGIN, "`../other.py` is outside the recipe's folder; move it beside the recipe, or name its"),
        ("./my-loss.py", PLUGIN, "my-loss.py cannot be imported: use letters, digits and `_`, as in `my_loss.py`"),
        ("./json.py", PLUGIN, "json.py has the name of another module, `json`; rename it"),
        ("./wave.py", PLUGIN, "wave.py has the name of another module, `wave`; rename it"),
        ("./torn.py", "def (:", "`./torn.py` cannot be loaded: SyntaxError: invalid syntax (torn.py, line 1)"),
        (
            "./empty.py",
            "",
            "`./empty.py` cannot be loaded: PluginError: it has no hook: it needs a `codrun_components`",
        ),
        (
            "./bad.py",
            "import json\n\n1 / 0\n",
            "`./bad.py` cannot be loaded: ZeroDivisionError: division by zero, at bad.py:3 in <module>",
        ),
    ],
)
def test_a_file_that_cannot_be_a_plugin_is_a_fault_of_its_line(
    named: str, content: str | None, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        Path(named).write_text(content)
    Path("local.yaml").write_text(RECIPE.replace("./my_loss.py", named))
    assert call(["validate", "local.yaml", "--allow-local-plugins"]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("local.yaml:3:11: ") and sentence in said


def test_a_link_leads_nowhere_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.py").write_text(PLUGIN)
    Path("linked.py").symlink_to(tmp_path / "other.py")
    Path("local.yaml").write_text(RECIPE.replace("./my_loss.py", "./linked.py"))
    assert call(["validate", "local.yaml", "--allow-local-plugins"]) == 2
    assert "`./linked.py` is outside the recipe's folder" in capsys.readouterr().err


def test_a_name_of_ours_is_refused_with_the_file_that_can_change(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my_loss.py").write_text(PLUGIN.replace('"halves"', '"kd"'))
    Path("local.yaml").write_text(RECIPE.replace("{use: halves, share: 0.5}", "kd"))
    assert call(["validate", "local.yaml", "--allow-local-plugins"]) == 2
    said = capsys.readouterr().err.strip()
    assert "claimed by two plugins: `losses` of codrun and `my_loss` of my_loss.py; codrun" in said
    assert said.endswith("own stays, so rename the component in my_loss.py")


def test_a_worker_loads_what_the_run_loaded_or_nothing() -> None:
    registry = Registry.discover()
    (file,) = (registry.register_file(Path("my_loss.py").absolute()) and registry).local_files
    Path("my_loss.py").write_text(PLUGIN + "\n")
    with pytest.raises(CodrunError, match=r"my_loss\.py has changed since the run began; run it again"):
        Registry.discover().register_file(file.path, file.digest)
    with pytest.raises(CodrunError, match=r"my_loss\.py has changed since it was loaded; start anew"):
        registry.register_file(file.path)


def test_its_failure_names_file_and_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my_loss.py").write_text(PLUGIN.replace("return self.share *", "return 1 / 0 *"))
    assert call(["local.yaml", "--allow-local-plugins", "--quiet", "--jobs", "1"]) == 1
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(
            "error: the loss `halves` (my_loss.py) raised ZeroDivisionError: division by zero, at my_loss.py:24 in "
            "forward; the whole traceback is in runs/local/run.log"
        )
    )
