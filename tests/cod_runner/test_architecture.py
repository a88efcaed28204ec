"""Imports run one way, the core imports no plugin, and a plugin imports nothing of the core but its contracts."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cod_runner.api import KINDS
from cod_runner.registry import Registry

ROOT = Path(__file__).parents[2]
CORE = ROOT / "cod_runner"
FILES = sorted(CORE.rglob("*.py"))
FOR_PYTEST = sorted((ROOT / "pytest_codrun").glob("*.py"))
PLUGINS = sorted(path for path in (ROOT / "plugins").iterdir() if path.is_dir())
PLUGIN_FILES = sorted((ROOT / "plugins").rglob("*.py"))

REGISTRY = Registry.discover()
HEADLINES = {"accuracy", "agreement"}
"""Measures that the field's tables are about; a report leads with them where a recipe has them."""
WORDS = {"hub", "margin", "processes"}
"""Names of components that are words of the core's too: where a model lies, a setting of the search, and in how many a
teacher is made."""

MAY_IMPORT: dict[str, str] = {
    "plain_text": "",
    "errors": "plain_text",
    "defaults": "",
    "kinds": "",
    "machine": "",
    "answers": "",
    "out_of_memory": "",
    "environment": "",
    "child_processes": "environment",
    "worker_group": "answers child_processes errors machine",
    "fixed_batches": "machine",
    "word_diff": "plain_text",
    "terminal": "plain_text",
    "durations": "",
    "progress": "durations plain_text terminal",
    "figure_style": "",
    "hugging_face": "errors",
    "hidden_states": "errors",
    "network_disk": "",
    "files": "errors network_disk",
    "signal_tables": "files",
    "tensor_headers": "",
    "disk": "",
    "checkpoints": "errors files tensor_headers",
    "checked_tensors": "",
    "text_encoder": ("checked_tensors checkpoints errors files fixed_batches hidden_states hugging_face machine"),
    "text_files": "errors",
    "recipe_files": "",
    "reliability": "",
    "binomial": "",
    "word_edits": "",
    "loss_terms": "",
    "label_prompts": "errors recipe_files",
    "llm": "errors files",
    "api": (
        "answers checkpoints child_processes environment errors figure_style files fixed_batches hidden_states "
        "hugging_face kinds label_prompts llm loss_terms machine out_of_memory recipe_files reliability "
        "text_encoder text_files word_edits"
    ),
    "hookspecs": "api",
    "blame": "api errors plain_text",
    "build_paths": "",
    "code_digests": "build_paths",
    "component_results": "api errors plain_text",
    "local_plugins": "errors",
    "plugin_modules": "api errors hookspecs",
    "registry": "api blame build_paths code_digests component_results errors hookspecs local_plugins plugin_modules",
    "observers": "api blame errors hookspecs registry",
    "permissions": "errors files",
    "store": "errors files signal_tables",
    "recipe": "api defaults errors permissions plain_text registry",
    "data": "api component_results errors recipe",
    "engine": "api checked_tensors errors files fixed_batches loss_terms signal_tables",
    "counterfactuals": "api binomial component_results data errors files plain_text recipe registry store word_diff",
    "runs": "api blame errors files loss_terms machine plain_text recipe registry store",
    "report": (
        "api binomial durations errors figure_style files loss_terms plain_text recipe registry runs text_files "
        "word_diff"
    ),
    "named_code": "errors permissions recipe registry",
    "destinations": "api errors permissions recipe registry",
    "context": "engine llm observers permissions progress recipe registry runs store",
    "sizes": "api disk errors recipe registry runs store",
    "memory": "api disk engine errors fixed_batches recipe registry sizes",
    "tip": "errors recipe registry sizes",
    "estimates": "api data errors recipe registry runs sizes",
    "plan": (
        "api context destinations disk durations engine errors estimates llm memory named_code permissions plain_text "
        "recipe registry runs sizes store tip"
    ),
    "stages": (
        "api binomial blame component_results context counterfactuals data defaults destinations disk durations engine "
        "errors estimates files local_plugins machine memory observers out_of_memory progress recipe registry report "
        "runs store worker_group"
    ),
    "pipeline": "context runs stages",
    "running": "context named_code permissions pipeline progress recipe registry runs stages tip",
    "calling": "context errors permissions progress recipe registry running store",
    "__init__": "calling context permissions progress registry running",
    "scaffold": "api data errors files plain_text recipe registry text_files",
    "deployment": (
        "api binomial context engine errors files hugging_face machine permissions progress recipe registry report "
        "runs scaffold stages store text_files"
    ),
    "revisions": "errors files progress registry runs store",
    "testing": "api component_results engine hookspecs runs",
    "cli": (
        "__init__ api calling context counterfactuals defaults deployment disk engine errors kinds llm local_plugins "
        "permissions plain_text plan progress recipe registry report revisions running runs scaffold store terminal "
        "testing"
    ),
}
"""What each folder and file of the core may import of the others, from the bottom of the house to the top."""
PYTEST_MAY_IMPORT = "calling context errors files machine permissions plain_text progress recipe registry runs"
"""What `pytest_codrun` may import of the core, beside which it stands: it calls recipes as the command line does."""
LOADED_IN_EVERY_SESSION = {"__init__", "plugin", "hooks", "chosen", "options"}
"""Files of `pytest_codrun` that pytest imports before it has met a recipe."""


def room_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        yield from imported_by(node)


def imported_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module == "cod_runner":
        yield from (f"cod_runner.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module


def rooms_imported(path: Path) -> set[str]:
    names = [name.split(".") for name in imported(path) if name.split(".")[0] == "cod_runner"]
    found = {parts[1] if len(parts) > 1 else "__init__" for parts in names}
    return {"__init__" if room == "__version__" else room for room in found} - {room_of(path)}


def test_every_folder_and_file_has_its_place() -> None:
    rooms = {room_of(path) for path in FILES}
    assert rooms == set(MAY_IMPORT), "say in MAY_IMPORT what a new folder or file may import, and drop what is gone"


def test_nothing_may_import_what_stands_above_it() -> None:
    below: set[str] = set()
    for room, allowed in MAY_IMPORT.items():
        assert set(allowed.split()) <= below, f"{room} may import something that stands above it"
        below.add(room)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_imports_run_one_way(path: Path) -> None:
    assert rooms_imported(path) <= set(MAY_IMPORT[room_of(path)].split())


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_what_may_be_imported_is_imported(room: str) -> None:
    used: set[str] = set().union(*(rooms_imported(path) for path in FILES if room_of(path) == room))
    assert set(MAY_IMPORT[room].split()) <= used


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_imports_no_plugin(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith("codrun_")]


def test_nothing_imports_what_pytest_loads() -> None:
    assert [path for path in [*FILES, *PLUGIN_FILES] if "pytest_codrun" in path.read_text(encoding="utf-8")] == []
    used = {name.split(".")[1] for path in FOR_PYTEST for name in imported(path) if name.startswith("cod_runner.")}
    assert used == set(PYTEST_MAY_IMPORT.split())


@pytest.mark.parametrize("path", FOR_PYTEST, ids=lambda path: path.name)
def test_what_every_pytest_session_loads_imports_nothing_of_codrun(path: Path) -> None:
    if path.stem not in LOADED_IN_EVERY_SESSION:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name for node in top for name in imported_by(node)}
    ours = {name.removeprefix("pytest_codrun.") for name in names if name.startswith("pytest_codrun")}
    assert ours <= LOADED_IN_EVERY_SESSION
    assert {name.split(".")[0] for name in names} - {"pytest_codrun", "pytest"} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=lambda path: str(path.relative_to(ROOT / "plugins")))
def test_a_plugin_sees_the_contracts_alone(path: Path) -> None:
    core = {name for name in imported(path) if name.split(".")[0] == "cod_runner"}
    assert core <= {"cod_runner.api"}


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda path: path.name)
def test_no_two_files_of_a_plugin_import_each_other(folder: Path) -> None:
    modules = {f"{folder.name}.{path.stem}": path for path in folder.glob("*.py")}
    of = {name: {each for each in imported(path) if each in modules} for name, path in modules.items()}

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            new = of[waiting.pop()] - found
            found |= new
            waiting += new
        return found

    assert not [name for name in modules if name in reached(name)]


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) in {"algorithm", "pipeline", "stages"}])
def test_no_function_of_the_pipeline_takes_more_than_five_arguments(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    taken = {each.name: [a.arg for a in each.args.args + each.args.kwonlyargs if a.arg != "self"] for each in functions}
    assert {name: arguments for name, arguments in taken.items() if len(arguments) > 5} == {}


def test_one_function_opens_databases() -> None:
    opened = {str(path.relative_to(CORE)) for path in FILES if "sqlite3.connect(" in path.read_text(encoding="utf-8")}
    assert opened == {"files.py"}


MAY_NAME_COMPONENTS = {"defaults.py", "machine.py", "report/card/libraries.py"}
"""A list of defaults, scaffolds apart; and the libraries whose versions a run records, or that open a student, some of
which share a name."""


def sentences(path: Path) -> Iterator[str]:
    """Every string of a file that is not a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_names_no_component(path: Path) -> None:
    place = str(path.relative_to(CORE))
    if place in MAY_NAME_COMPONENTS or room_of(path) in {"scaffold", "testing"}:
        return
    ours = {name for kind in KINDS for name in REGISTRY.names(kind)} - HEADLINES - WORDS
    said = [text for text in sentences(path) if text in ours or any(f"`{name}`" in text for name in ours)]
    assert said == []


def test_every_plugin_is_shipped() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for folder in PLUGINS:
        if (folder / "plugin.py").exists():
            assert f'"plugins/{folder.name}"' in text
            assert f'"{folder.name}.plugin"' in text
