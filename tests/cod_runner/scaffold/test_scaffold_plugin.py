"""`codrun new plugin`: packages of every kind and spelling pass their own tests; invalid requests are refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cod_runner.api import KINDS, Kind
from cod_runner.errors import CodrunError
from cod_runner.registry import Registry
from cod_runner.scaffold.new_plugin import new_plugin

NAMES: dict[Kind, str] = {
    "dataset": "lines",
    "teacher": "bag_teacher",
    "student": "bag_student",
    "selector": "by_length",
    "generator": "shorter",
    "chooser": "same_length",
    "loss": "logit_mse",
    "metric": "sure_and_wrong",
    "cfe_measure": "length_ratio",
    "executor": "one_by_one",
    "tracker": "cell_log",
    "exporter": "linear_weights",
}
PACKAGES: list[tuple[Kind, str]] = [
    (kind, spelt) for kind, name in NAMES.items() for spelt in (name, f"my-{name.replace('_', '-')}")
]
"""Every kind, named like a component and like a distribution."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    for kind, name in PACKAGES:
        new_plugin(name, kind, folder)
    return folder


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_every_kind_has_a_template() -> None:
    assert set(NAMES) == set(KINDS)


@pytest.mark.parametrize(("kind", "spelt"), PACKAGES)
def test_the_package_declares_what_its_entry_point_says(packages: Path, kind: Kind, spelt: str) -> None:
    folder = packages / spelt
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    ((name, module),) = project["project"]["entry-points"]["codrun"].items()
    assert (folder / f"{module.replace('.', '/')}.py").is_file()
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [module.split(".")[0]]
    assert name == spelt
    registry = Registry()
    sys.path.insert(0, str(folder))
    try:
        registry.register(name, module, lambda: __import__(module).plugin)
    finally:
        sys.path.remove(str(folder))
    assert not registry.warnings
    assert registry.find(kind, spelt.replace("-", "_")).build.startswith(module.split(".")[0])


def test_no_placeholder_is_left(packages: Path) -> None:
    for path in packages.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert not any(
                mark in path.read_text()
                for mark in ("@name@", "@module@", "@Class@", "@kind@", "@dist", "@plugin@", "@api@")
            ), path


def test_the_packages_own_tests_pass(packages: Path) -> None:
    """All in one process, because importing torch takes most of the time."""
    tests = [str(path) for path in sorted(packages.glob("*/tests"))]
    done = run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ".",
        *_python_path(packages),
        "-k",
        "not (contract and test_my)",  # of either spelling the same
        *tests,
        folder=packages,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "124 passed" in done.stdout, done.stdout


COMPONENTS = [name.replace("-", "_") for _, name in PACKAGES if name.startswith("my-")]
LOGS = {"my_lines": ("--set", "path=lines.txt"), "my_cell_log": ("--set", "path=cells.txt")}
"""What has no default."""
CHECKS = """
import json, sys
from cod_runner.cli import call
for name, *settings in json.load(sys.stdin):
    assert call(["plugins", name, *settings, "--check"]) == 0, name
"""


def test_the_command_line_says_of_every_kind_that_it_keeps_its_contract(packages: Path, tmp_path: Path) -> None:
    """Unchanged, as its author checks it first; installed once, and in one process."""
    (tmp_path / "lines.txt").write_text("good: a fine film\nbad: a dull film\n" * 4)
    site = tmp_path / "site"
    for _, name in PACKAGES:
        if name.startswith("my-"):
            _install(packages / name, site)
    done = subprocess.run(
        [sys.executable, "-c", CHECKS],
        input=json.dumps([[name, *LOGS.get(name, ())] for name in COMPONENTS]),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "CODRUN_HOME": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("keeps its contract on toy data") == len(KINDS)


def _install(package: Path, site: Path) -> None:
    """As pip would, which needs the network for what builds a package."""
    project = tomllib.loads((package / "pyproject.toml").read_text())
    (module,) = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    shutil.copytree(package / module, site / module)
    about = site / f"{module}-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 0.1.0\n")
    points = project["project"]["entry-points"]["codrun"].items()
    (about / "entry_points.txt").write_text("[codrun]\n" + "".join(f"{name} = {place}\n" for name, place in points))


def _python_path(packages: Path) -> list[str]:
    return ["-o", "pythonpath=" + " ".join(str(folder) for folder in sorted(packages.iterdir()))]


def test_the_package_is_linted_and_formatted(packages: Path) -> None:
    pytest.importorskip("ruff")
    lint = run("-m", "ruff", "check", "--select", "E,F,W,B,UP,SIM", "--line-length", "120", ".", folder=packages)
    assert lint.returncode == 0, lint.stdout
    form = run("-m", "ruff", "format", "--check", "--line-length", "120", ".", folder=packages)
    assert form.returncode == 0, form.stdout


@pytest.mark.parametrize(
    ("name", "distribution", "module"),
    [
        ("my-plugin", "my-plugin", "my_plugin"),
        ("my_plugin", "codrun-my-plugin", "codrun_my_plugin"),
        ("codrun-mine", "codrun-mine", "codrun_mine"),
        ("codrun_mine", "codrun-mine", "codrun_mine"),
        ("mine", "codrun-mine", "codrun_mine"),
    ],
)
def test_distribution_module_and_component_follow_from_the_name(
    tmp_path: Path, name: str, distribution: str, module: str
) -> None:
    assert Path(name, module, "plugin.py") in new_plugin(name, "metric", tmp_path)
    project = tomllib.loads((tmp_path / name / "pyproject.toml").read_text())["project"]
    assert project["name"] == distribution
    assert project["entry-points"]["codrun"] == {name: f"{module}.plugin"}
    assert f'name="{name.replace("-", "_")}"' in (tmp_path / name / module / "plugin.py").read_text()


def test_either_spelling_installs_and_is_found(packages: Path, tmp_path: Path) -> None:
    spelt = [str(packages / name) for name in ("logit_mse", "my-logit-mse")]
    site = tmp_path / "site"
    installed = run("-m", "pip", "install", "-q", "--no-deps", "--target", str(site), *spelt, folder=tmp_path)
    assert installed.returncode == 0, installed.stderr
    code = (
        "from cod_runner.registry import Registry; registry = Registry.discover();"
        "print([(each.name, each.fault) for each in registry.plugins if each.distribution.endswith('logit-mse')]);"
        "print([registry.find('loss', name).build for name in ('logit_mse', 'my_logit_mse')])"
    )
    environment = os.environ | {"PYTHONPATH": str(site)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [
        "[('logit_mse', None), ('my-logit-mse', None)]",
        "['codrun_logit_mse.loss:LogitMse', 'my_logit_mse.loss:MyLogitMse']",
    ]


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/b", "", "1st", "My", "class", "a b", "é", "a" * 51, ".hidden", "-a", "a-", "a_", "codrun_1"],
)
def test_invalid_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CodrunError, match="cannot be a plugin's name"):
        new_plugin(name, "loss", tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert Path("mine/codrun_mine/loss.py") in new_plugin("mine", "loss", tmp_path)
    before = (tmp_path / "mine/codrun_mine/loss.py").read_text()
    with pytest.raises(CodrunError, match="already exists and is not overwritten"):
        new_plugin("mine", "metric", tmp_path)
    assert (tmp_path / "mine/codrun_mine/loss.py").read_text() == before


@pytest.mark.parametrize(("name", "module"), [("ted", "codrun_ted"), ("typing-extensions", "typing_extensions")])
def test_an_installed_module_is_not_shadowed(tmp_path: Path, name: str, module: str) -> None:
    with pytest.raises(CodrunError, match=f"would be the module `{module}`, which is already installed"):
        new_plugin(name, "loss", tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_kind_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(CodrunError, match="no kind `losses`; a component is one of dataset, teacher"):
        new_plugin("mine", "losses", tmp_path)  # type: ignore[arg-type]
