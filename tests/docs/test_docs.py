"""The documentation: its tutorial works as it is written, and its pages leave out nothing that a plugin may use."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import cod_runner
from cod_runner import api
from cod_runner.api import KINDS
from cod_runner.cli import call
from cod_runner.registry import Registry

DOCS = Path(__file__).parents[2] / "docs"
DEFAULT = api.BuildContext()
GIVEN_TO_EACH = """
recipe: 1
name: given
describe: which of two half circles a point belongs to
dataset: {use: moons, n: 300, validation: 100}
k: [8]
seeds: [1]
teacher: {use: mlp, hidden: [8], finetune: {rows: 100, steps: 20, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [4]}
counterfactuals: {generators: [{use: gradient, step: 0.1}], max_edits: 1000}
methods: {kd: [hard, {use: kd, weight: 2}]}
arms:
  plain: {}
  chosen: {select: margin, add: flips, choose: margin}
train: {steps: 3, lr: 0.01}
"""
FILES = re.compile(r"```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)```\n", re.DOTALL)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that Sphinx is given, the made pages included."""
    folder = tmp_path_factory.mktemp("docs") / "pages"
    sys.path.insert(0, str(DOCS))
    try:
        from making import make_pages
    finally:
        sys.path.remove(str(DOCS))
    make_pages(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_per_kind_names_its_scaffold_contract_check_and_components(pages: Path, kind: api.Kind) -> None:
    text = (pages / f"kinds/{kind}.md").read_text(encoding="utf-8")
    assert f"--kind {kind}`" in text
    assert "cod_runner.hookspecs.Hooks" in text if kind == "tracker" else f"autoclass:: {api.__name__}." in text
    assert "cod_runner.testing.checks.check_component" in text
    assert all(f"\n### {name}\n" in text for name in Registry.discover().names(kind))


def test_every_name_of_the_api_is_documented(pages: Path) -> None:
    text = (pages / "api.md").read_text(encoding="utf-8")
    assert [name for name in api.__all__ if f"cod_runner.api.{name}\n" not in text and f"`{name}`" not in text] == []


def test_every_question_that_the_core_asks_of_options_stands_on_a_page(pages: Path) -> None:
    text = "".join((pages / f"kinds/{kind}.md").read_text(encoding="utf-8") for kind in KINDS)
    asked = [name for name, value in vars(api.Options).items() if callable(value) and not name.startswith("_")]
    assert [name for name in asked if f"Options.{name}\n" not in text] == []


def test_every_field_that_a_component_is_given_is_explained(pages: Path) -> None:
    for kind in KINDS:
        assert "` |  |" not in (pages / f"kinds/{kind}.md").read_text(encoding="utf-8").split("## What its options")[0]


def test_components_are_given_what_the_pages_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a run in which every kind that a run builds is built."""
    with monkeypatch.context() as path:
        path.syspath_prepend(str(DOCS))
        from making.contracts import GIVEN
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    seen: dict[api.Kind, set[str]] = {}
    build = Registry.build

    def noted(self: Registry, kind: api.Kind, name: str, options: Mapping[str, Any], context: api.BuildContext) -> Any:
        filled = {each.name for each in fields(context) if getattr(context, each.name) != getattr(DEFAULT, each.name)}
        seen[kind] = seen.get(kind, set()) | filled
        return build(self, kind, name, options, context)

    monkeypatch.setattr(Registry, "build", noted)
    (tmp_path / "given.yaml").write_text(GIVEN_TO_EACH, encoding="utf-8")
    cod_runner.run(tmp_path / "given.yaml", out=tmp_path / "run", jobs=1, device="cpu")
    assert set(KINDS) - set(seen) == {"cfe_measure", "exporter"}
    assert [(kind, name) for kind, filled in seen.items() for name in filled - set(GIVEN[kind])] == []
    may_be_default = {"offline", "device", "seed", "unlabelled", "shots"}
    unfilled = [(kind, name) for kind, filled in seen.items() for name in set(GIVEN[kind]) - filled - may_be_default]
    assert unfilled == []


def test_the_teacher_that_only_answers_keeps_its_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((name, text),) = FILES.findall((DOCS / "answering.md").read_text(encoding="utf-8"))
    (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert call(["plugins", name, "--check", "--set", "words={negative: [bad, dull], positive: [good, fine]}"]) == 0


def test_what_only_losses_are_asked_stands_on_their_page_alone(pages: Path) -> None:
    on = [kind for kind in KINDS if "Options.needs\n" in (pages / f"kinds/{kind}.md").read_text(encoding="utf-8")]
    assert on == ["loss"]


@pytest.mark.parametrize("page", [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_every_link_to_a_file_of_the_repository_leads_somewhere(pages: Path, page: Path) -> None:
    """Those to pages that are made of the code, too, wherever they were made."""

    def target(link: str) -> Path:
        return pages / link.removeprefix("made/") if link.startswith("made/") else page.parent / link

    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert [link for link in links if "://" not in link and not target(link).exists()] == []


def test_every_recipe_is_in_the_gallery(pages: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (pages / "gallery").glob("*.md"))
    recipes = [path for path in (DOCS.parent / "recipes").rglob("*.yaml") if not path.name.startswith("_")]
    assert [path.stem for path in recipes if f"\n## {path.stem}\n" not in text] == []


def test_every_command_and_every_key_of_a_recipe_is_listed(pages: Path) -> None:
    commands = (pages / "commands.md").read_text(encoding="utf-8")
    assert all(f"\n## codrun {name}\n" in commands for name in ("run", "compare", "new plugin", "store list"))
    assert "Traceback" not in commands
    keys = (pages / "recipe.md").read_text(encoding="utf-8")
    assert all(f"| `{key}` |" in keys for key in ("dataset", "train.lr", "evaluate.metrics", "expect"))


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    """Its plugin passes its own tests, beats nobody, and its recipe meets what it expects."""
    place, site = tmp_path / "work", tmp_path / "site"
    place.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site), "CODRUN_HOME": str(tmp_path / "store")}

    def run(*command: str) -> str:
        done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    codrun = (sys.executable, "-c", "import sys; from cod_runner.cli import call; sys.exit(call(sys.argv[1:]))")
    run(*codrun, "new", "plugin", "near-boundary", "--kind", "loss")
    written = FILES.findall((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    assert [name for name, _ in written] == [
        "near-boundary/near_boundary/plugin.py",
        "near-boundary/near_boundary/loss.py",
        "near-boundary/tests/test_near_boundary.py",
        "boundary.yaml",
    ]
    for name, text in written:
        (place / name).write_text(text, encoding="utf-8")
    shutil.copytree(place / "near-boundary", tmp_path / "source")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(tmp_path / "source"))
    run(sys.executable, "-m", "pytest", "-q", "near-boundary")
    run(*codrun, "validate", "boundary.yaml")
    run(*codrun, "boundary.yaml", "--seeds", "0,1", "--quiet")
    assert "near" in (place / "runs/boundary/table.md").read_text(encoding="utf-8")
