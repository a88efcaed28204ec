"""What a file of labelled texts holds, read as its recipe will: columns, labels and splits are guessed and reported."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_runner.api import BuildContext, LoadedData
from cod_runner.data.corpus import Corpus, prepare_corpus
from cod_runner.errors import DataError
from cod_runner.plain_text import one_line
from cod_runner.recipe.writing import value_yaml
from cod_runner.registry import Registry
from cod_runner.scaffold.cells import folded, is_empty, name_of
from cod_runner.scaffold.columns import SPLIT_NAMES, Columns, find_columns
from cod_runner.scaffold.defaults import FEW_EVALUATED, FOLDS, JOINT, MODEL_PACKAGE
from cod_runner.scaffold.labels import named, read_labels
from cod_runner.scaffold.options import NewRecipeOptions
from cod_runner.scaffold.recipe_parts import dataset_lines, task_in_words
from cod_runner.scaffold.sample import Sample, take_sample
from cod_runner.scaffold.sizes import smallest_fold

FEW_MEASURED = 100
"""Rows to evaluate on; fewer are said."""


@dataclass(frozen=True)
class DataFile:
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


def read_data_file(data: Path, registry: Registry, folder: Path, given: NewRecipeOptions) -> DataFile:
    """Read the file as the recipe in ``folder`` will; raises :class:`DataError` if it cannot be used."""
    sample = take_sample(data, given.header)
    columns = find_columns(sample, data, given)
    header_again = all(name in sample.columns[name] for name in (columns.text[0], columns.label))
    labels = read_labels(sample.columns[columns.label], columns.label, data, header_again=header_again)
    labels = named(labels, sample.columns[columns.label], given.labels)
    text = columns.text[0] if len(columns.text) == 1 else list(columns.text)
    options: dict[str, Any] = {"path": str(data.absolute()), **sample.options, "text": text, "label": columns.label}
    split, of_splits, said_of_splits = _splits(sample, columns, data)
    options |= of_splits
    if labels.values:
        options["values"] = labels.values
    if names := given.labels or labels.names:
        options["labels"] = list(names)
    loaded = registry.build("dataset", sample.component, options, BuildContext()).load()
    options.pop("labels", None)
    options |= {"path": path_from(folder, data), "labels": list(loaded.labels)}
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
    return DataFile(columns, corpus, split, folds, fields, tuple(sentences))


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


def path_from(folder: Path, data: Path) -> str:
    """The path of ``data`` relative to ``folder``, with ``/``."""
    return Path(os.path.relpath(data.absolute(), folder.absolute())).as_posix()


def _recipe_name(stem: str) -> str:
    """The file's name without the characters that a recipe's name may not contain."""
    name = re.sub(r"[^A-Za-z0-9_+-]+", "_", stem).strip("_+-")[:60]
    return name or "data"
