"""The schema as a file that editors find: written beside a recipe, renewed, and never over somebody else's."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from cod_runner.cli import call
from cod_runner.errors import CodrunError
from cod_runner.recipe.nodes import Source, plain
from cod_runner.recipe.yaml import read_file
from cod_runner.registry import Registry
from cod_runner.scaffold.new_recipe import write_recipe
from cod_runner.scaffold.schema_file import BESIDE, refresh_schema, write_schema

FOREIGN = ['{"type": "object"}', "[1]", "not JSON", "[" * 100_000, '{"$comment": "by hand"}', ""]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a file of labelled texts."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(
        f"the film number {i} was {'good' if i % 2 else 'bad'},{'pos' if i % 2 else 'neg'}\n" for i in range(400)
    )
    (tmp_path / "films.csv").write_text(f"text,label\n{rows}")
    return tmp_path


@pytest.fixture(scope="module")
def installed() -> Registry:
    return Registry.discover()


def test_a_new_recipe_names_the_schema_that_is_written_beside_it(here: Path, installed: Registry) -> None:
    path, sentences = write_recipe(Path("films.csv"), installed, Path("of/films.yaml"))
    first = path.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=.codrun/recipe.schema.json"
    schema = json.loads((path.parent / first.partition("=")[2]).read_text())
    recipe = read_file(path, Source(path.name, path.parent), [])
    assert recipe is not None
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(plain(recipe))) == []
    assert f"editors: they complete, explain and check the recipe by {BESIDE}, which its first line names" in sentences


@pytest.mark.parametrize("content", FOREIGN, ids=range(len(FOREIGN)))
def test_a_file_of_somebody_else_stays_and_no_recipe_names_it(content: str, here: Path, installed: Registry) -> None:
    (here / ".codrun").mkdir()
    (here / BESIDE).write_text(content)
    path, sentences = write_recipe(Path("films.csv"), installed)
    assert path.read_text().startswith("# Written by `codrun new recipe films.csv`")
    assert f"editors cannot check the recipe: {BESIDE} is not a schema that codrun wrote" in " ".join(sentences)
    assert refresh_schema(here, installed) is None
    with pytest.raises(CodrunError, match="is not overwritten"):
        write_schema(here / BESIDE, installed)
    assert (here / BESIDE).read_text() == content


def test_validate_renews_the_schema_where_plugins_have_changed(
    here: Path, installed: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = write_recipe(Path("films.csv"), installed)
    whole = (here / BESIDE).read_text()
    assert call(["validate", str(path)]) == 0
    assert "up to date" not in capsys.readouterr().out
    assert write_schema(here / BESIDE, Registry())  # as written where nothing is installed
    assert call(["validate", str(path)]) == 0
    assert f"{BESIDE}: brought up to date with the installed plugins, for editors" in capsys.readouterr().out
    assert (here / BESIDE).read_text() == whole


def test_validate_writes_no_schema_where_there_is_none(here: Path, installed: Registry) -> None:
    path, _ = write_recipe(Path("films.csv"), installed)
    (here / BESIDE).unlink()
    assert call(["validate", str(path)]) == 0
    assert not (here / BESIDE).exists()


def test_the_command_prints_it_or_writes_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["schema"]) == 0
    printed = capsys.readouterr().out
    assert call(["schema", "--out", "-"]) == 0
    assert capsys.readouterr().out == printed
    for said in ("wrote at/recipe.schema.json", "at/recipe.schema.json is up to date"):
        assert call(["schema", "--out", "at/recipe.schema.json"]) == 0
        assert capsys.readouterr().out == f"{said}\n"
    assert Path("at/recipe.schema.json").read_text() == printed
    assert call(["schema", "--out", "films.csv"]) != 0
    assert "films.csv is not a schema that codrun wrote" in " ".join(capsys.readouterr().err.split())
    assert call(["schema", "--out", "at"]) != 0
    assert "at cannot be written: Is a directory" in capsys.readouterr().err
