"""The contract of a data set."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from cod_runner.api import Dataset, Example, LoadedData, Mixture, input_as_json
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.identity import check_identity
from cod_runner.testing.checks.subject import Subject

LOADED = "Dataset.load: a `LoadedData`"
LABELS = "LoadedData.labels: label names in the order of their class ids, two at least, each once"
DECLARED = "Dataset: the option `labels` is the list of label names in the order of their class ids"
SPLITS = "LoadedData.splits: examples by split name; a source without splits puts everything in `train`"
ROWS = "Example: an id that no other row has, an input, and a class id or None"
INPUTS = "Input: a text or a tuple of numbers, of one kind and one length in all rows"
PLAIN = "Example: `partner` and `is_counterfactual` are the core's"
NOTES = "LoadedData.notes: sentences for the user"
SAME = "Dataset.load: the same options give the same rows in the same order"
PICKLED = "Example: rows can be pickled, since cells run in other processes"


@check_of("dataset")
def check_dataset(subject: Subject) -> None:
    """Labels, splits and rows of the right form, and the same ones at each load."""
    options = subject.options()
    dataset: Dataset = subject.build(options)
    loaded = _loaded(subject, dataset)
    labels = loaded.labels
    names = isinstance(labels, tuple) and all(isinstance(each, str) and each.strip() for each in labels)
    subject.must(names and len(set(labels)) == len(labels) >= 2, f"has the labels {labels!r:.200}", LABELS)
    declared = getattr(options, "labels", None)
    subject.must(
        not declared or tuple(declared) == tuple(labels),
        f"has the labels {labels}, and its options {declared}",
        DECLARED,
    )
    splits = loaded.splits
    subject.must(
        isinstance(splits, Mapping) and all(isinstance(name, str) and name for name in splits),
        f"has splits of the type {type(splits).__name__}, or without names",
        SPLITS,
    )
    subject.must(any(len(rows) for rows in splits.values()), "has no rows in any split", SPLITS)
    _check_rows(subject, [row for rows in splits.values() for row in rows], len(labels))
    notes = isinstance(loaded.notes, tuple) and all(isinstance(note, str) and note for note in loaded.notes)
    subject.must(notes, f"has the notes {loaded.notes!r:.200}", NOTES)
    first = _plain(loaded)
    subject.must(_plain(_loaded(subject, dataset)) == first, "gives other rows when it is loaded again", SAME)
    again = _plain(_loaded(subject, subject.build(options)))
    subject.must(again == first, "gives other rows when it is built and loaded again", SAME)
    check_identity(subject, lambda changed: _plain(_loaded(subject, subject.build(changed))))


def _loaded(subject: Subject, dataset: Dataset) -> LoadedData:
    with subject.watched("in `load`", refusals=True):
        loaded = dataset.load()
    subject.must(isinstance(loaded, LoadedData), f"loads a {type(loaded).__name__}", LOADED)
    return loaded


def _check_rows(subject: Subject, rows: Sequence[Example], classes: int) -> None:
    seen: set[str] = set()
    kinds: set[Any] = set()
    for row in rows:
        subject.must(isinstance(row, Example), f"has the row {row!r:.100}, which is no `Example`", ROWS)
        fits = isinstance(row.id, str) and row.id and row.id not in seen
        subject.must(bool(fits), f"has the id {row.id!r:.100} twice, or one that is no text", ROWS)
        seen.add(row.id)
        known = row.label is None or (type(row.label) is int and 0 <= row.label < classes)
        subject.must(known, f"gives the row `{row.id}` the label {row.label!r} of {classes} classes", ROWS)
        text, vector = isinstance(row.input, str), isinstance(row.input, tuple)
        numbers = vector and all(type(each) in (int, float) and math.isfinite(each) for each in row.input)  # type: ignore
        subject.must(text or numbers, f"gives the row `{row.id}` the input {row.input!r:.100}", INPUTS)
        kinds.add("text" if isinstance(row.input, str | Mixture) else len(row.input))
        subject.must(
            row.partner is None and not row.is_counterfactual, f"marks the row `{row.id}` as one of a pair", PLAIN
        )
    subject.must(len(kinds) == 1, f"mixes inputs: {' and '.join(map(str, sorted(map(str, kinds))))}", INPUTS)
    try:
        same = pickle.loads(pickle.dumps(rows[0])) == rows[0]  # noqa: S301 - what was pickled a moment ago
    except Exception as error:  # noqa: BLE001 - pickling may raise anything
        subject.fail(f"has rows that cannot be pickled ({error})", PICKLED)
    subject.must(same, "has rows that are others once they were pickled", PICKLED)


def _plain(loaded: LoadedData) -> Any:
    rows = {
        name: [(row.id, input_as_json(row.input), row.label) for row in each] for name, each in loaded.splits.items()
    }
    return loaded.labels, rows
