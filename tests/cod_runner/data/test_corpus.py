"""Cleaning, the evaluation split, and what is refused."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from cod_runner.api import DataError, Example, LoadedData
from cod_runner.data.content import by_class, content_of
from cod_runner.data.corpus import EVALUATION_ROWS, prepare_corpus, prepare_folds, with_fewer_rows

LABELS = ("negative", "positive")


def rows(count: int, *, split: str = "train", labels: int = 2, prefix: str = "text") -> list[Example]:
    return [Example(f"{split}:{row}", f"{prefix} number {row}", row % labels) for row in range(count)]


def data(labels: Sequence[str] = LABELS, **splits: list[Example]) -> LoadedData:
    return LoadedData(tuple(labels), splits)


def texts(examples: Sequence[Example]) -> set[object]:
    return {content_of(example.input) for example in examples}


def test_a_single_split_gives_a_fifth_stratified() -> None:
    unbalanced = [Example(f"train:{row}", f"row {row}", int(row < 30)) for row in range(100)]
    corpus = prepare_corpus(data(train=unbalanced), "validation")
    assert Counter(example.label for example in corpus.evaluation) == {0: 14, 1: 6}
    assert len(corpus.pool) == 80
    assert not texts(corpus.pool) & texts(corpus.evaluation)
    assert any("20 of its 100 rows are held out" in note for note in corpus.notes)


def test_evaluation_rows_are_bounded() -> None:
    corpus = prepare_corpus(data(train=rows(12_000)), "validation")
    assert len(corpus.evaluation) == EVALUATION_ROWS == 2_000


def test_evaluation_does_not_depend_on_the_order_of_the_rows() -> None:
    examples = rows(200)
    shuffled = [Example(f"train:{place}", each.input, each.label) for place, each in enumerate(examples)]
    random.Random(3).shuffle(shuffled)
    first = prepare_corpus(data(train=examples), "validation")
    second = prepare_corpus(data(train=shuffled), "validation")
    assert texts(first.evaluation) == texts(second.evaluation)
    assert [example.input for example in first.evaluation] != [example.input for example in second.evaluation]


def test_seed_decides_the_evaluation_split() -> None:
    first, second = (prepare_corpus(data(train=rows(200)), "validation", seed=seed) for seed in (0, 1))
    assert texts(first.evaluation) != texts(second.evaluation)


def test_empty_duplicate_and_conflicting_rows_are_dropped_and_counted() -> None:
    dirty = [
        *rows(20),
        Example("train:20", "  \t\n ", 0),
        Example("train:21", "text  number\t3 ", 1),
        Example("train:22", "cafe\u0301", 0),
        Example("train:23", "caf\u00e9", 0),
        Example("train:24", "either way", 0),
        Example("train:25", "either way", 1),
        Example("train:26", "Text number 3", 1),
        Example("train:27", "no label", -1),
    ]
    corpus = prepare_corpus(data(train=dirty), "validation")
    dropped = corpus.dropped
    assert (dropped.empty, dropped.duplicate, dropped.conflicting, dropped.unlabelled) == (1, 2, 2, 1)
    remaining = {example.id for example in (*corpus.pool, *corpus.evaluation)}
    assert "train:22" in remaining, "the first of equal texts stays"
    assert "train:26" in remaining, "case counts"
    assert len(remaining) == 22
    assert corpus.notes[-1] == (
        "dropped rows: 1 without text, 1 without a label, 2 that repeat another, 2 whose text has several labels"
    )


def test_a_named_split_is_used_and_the_pool_gives_way() -> None:
    validation = [*rows(6, split="validation", prefix="held out"), Example("validation:6", "text number 4", 0)]
    corpus = prepare_corpus(data(train=rows(20), validation=validation, test=rows(4, prefix="other")), "validation")
    assert len(corpus.evaluation) == 7
    assert len(corpus.pool) == 19
    assert corpus.dropped.overlapping == 1
    assert not texts(corpus.pool) & texts(corpus.evaluation)


def test_vectors_are_inputs_too() -> None:
    points = [Example(f"train:{row}", (row / 7, -1.0), row % 2) for row in range(40)]
    points.append(Example("train:40", (0.0, -1.0), 0))
    corpus = prepare_corpus(data(train=points), "validation")
    assert corpus.dropped.duplicate == 1
    assert (len(corpus.pool), len(corpus.evaluation)) == (32, 8)


def test_unknown_split_lists_those_that_are_there() -> None:
    with pytest.raises(DataError, match=r"no split `dev`.*`train`, `test`"):
        prepare_corpus(data(train=rows(8), test=rows(8, prefix="other")), "dev")


def test_labels_that_are_not_public_are_refused() -> None:
    hidden = [Example(f"test:{row}", f"hidden {row}", -1) for row in range(5)]
    with pytest.raises(DataError, match=r"split `test` are not public .*splits with labels: `train`"):
        prepare_corpus(data(train=rows(8), test=hidden), "test")


def test_one_split_cannot_be_both() -> None:
    with pytest.raises(DataError, match="only split of the data is `train`"):
        prepare_corpus(data(train=rows(20)), "train")


def test_several_splits_and_none_named_train() -> None:
    with pytest.raises(DataError, match="no split is named `train`"):
        prepare_corpus(data(a=rows(8), b=rows(8), validation=rows(4, prefix="x")), "validation")


@pytest.mark.parametrize(
    ("examples", "sentence"),
    [
        ([], "has no rows"),
        ([Example("train:0", " ", 0)], "has no rows .*1 without text"),
        ([Example(f"train:{row}", f"r {row}", 1) for row in range(9)], "one class only, `positive`"),
        (
            [*rows(10), Example("train:99", "odd", 2)],
            "needs at least 2 rows of the class `odd one` and has only 1",
        ),
    ],
)
def test_unusable_data_is_refused(examples: list[Example], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        prepare_corpus(data(("negative", "positive", "odd one"), train=examples), "validation")


def test_a_class_that_the_pool_lacks_is_named() -> None:
    only_held_out = [Example("validation:0", "a", 0), Example("validation:1", "b", 1)]
    with pytest.raises(DataError, match=r"training pool \(split `train`\) has rows of one class only"):
        prepare_corpus(data(train=[Example("train:0", "c", 0)], validation=only_held_out), "validation")


def test_an_evaluation_split_without_a_class_is_noted() -> None:
    held = [Example("validation:0", "a", 0)]
    corpus = prepare_corpus(data(train=rows(8), validation=held), "validation")
    assert corpus.notes[-1] == "the evaluation split `validation` has no row of `positive`"


def skewed(count: int, rare: int) -> list[Example]:
    """``rare`` rows of each class but the first."""
    counts = {0: count, 1: rare, 2: rare}
    return [
        Example(f"test:{label}-{row}", f"{label} in row {row}", label)
        for label, n in counts.items()
        for row in range(n)
    ]


@pytest.mark.parametrize(
    ("wanted", "shares"),
    [
        (60, {0: 50, 1: 5, 2: 5}),
        (12, {0: 10, 1: 1, 2: 1}),
        (4, {0: 2, 1: 1, 2: 1}),  # by their shares the rare classes would have none
        (3, {0: 1, 1: 1, 2: 1}),
        (2, {0: 2}),  # fewer rows than classes
        (240, {0: 200, 1: 20, 2: 20}),
        (999, {0: 200, 1: 20, 2: 20}),
        (None, {0: 200, 1: 20, 2: 20}),
    ],
)
def test_fewer_rows_to_evaluate_on_keep_the_shares_of_the_classes(wanted: int | None, shares: dict[int, int]) -> None:
    corpus = prepare_corpus(data("abc", train=rows(30, labels=3), validation=skewed(200, 20)), "validation")
    fewer = with_fewer_rows(corpus, wanted)
    counted = Counter(example.label for example in fewer.evaluation)
    assert len(fewer.evaluation) <= (wanted or 240)
    if wanted == 2:
        assert sum(counted.values()) == 2
    else:
        assert counted == shares
    assert fewer.pool == corpus.pool
    order = {example.id: place for place, example in enumerate(corpus.evaluation)}
    places = [order[example.id] for example in fewer.evaluation]
    assert places == sorted(places)


def test_fewer_rows_are_drawn_by_their_content() -> None:
    test = skewed(60, 60)
    turned = [Example(f"test:{place}", row.input, row.label) for place, row in enumerate(reversed(test))]
    train = rows(30, labels=3)
    first, second = (
        with_fewer_rows(prepare_corpus(data("abc", train=train, validation=each), "validation"), 30)
        for each in (test, turned)
    )
    assert texts(first.evaluation) == texts(second.evaluation)
    assert [row.input for row in first.evaluation] != [row.input for row in test[:30]]
    fewer = with_fewer_rows(prepare_corpus(data("abc", train=train, validation=test), "validation"), 15)
    assert texts(fewer.evaluation) < texts(first.evaluation), "fewer of the same"


def test_rows_without_a_label_are_kept_beside_the_pool() -> None:
    labelled = rows(20)
    first = prepare_corpus(data(train=labelled), "validation")
    more = [
        Example("train:20", "nobody labelled this"),
        Example("train:21", "nobody  labelled this"),
        Example("train:22", first.pool[0].input),
        Example("train:23", first.evaluation[0].input),
        Example("train:24", " "),
        Example("train:25", "nor this"),
    ]
    corpus = prepare_corpus(data(train=[*labelled, *more]), "validation")
    assert (corpus.pool, corpus.evaluation) == (first.pool, first.evaluation), "these are as without them"
    assert [row.id for row in corpus.unlabelled] == ["train:20", "train:25"]
    assert corpus.unread == (*corpus.unlabelled, *corpus.pool)
    assert (corpus.dropped.empty, corpus.dropped.duplicate, corpus.dropped.overlapping) == (1, 2, 1)
    assert "2 texts without a label, for arms with `unlabelled: {from: pool, ...}`" in corpus.notes
    assert first.unlabelled == () and not any("without a label" in note for note in first.notes)


def test_a_split_named_unlabelled_is_read_without_its_labels() -> None:
    more = [Example("unlabelled:1", "a further text", 1), Example("unlabelled:2", "text number 3", 0)]
    corpus = prepare_corpus(data(train=rows(20), unlabelled=more), "validation")
    assert corpus.unlabelled == (Example("unlabelled:1", "a further text"),)
    assert len(corpus.pool) + len(corpus.evaluation) == 20, "it is neither the pool nor the evaluation split"
    held = rows(5, split="test", prefix="held out")
    assert prepare_corpus(data(part=rows(20), test=held, unlabelled=more), "test").pool == tuple(rows(20))


def test_a_split_in_which_no_row_has_a_label_cannot_be_measured_on() -> None:
    held = [Example(f"test:{row}", f"held out {row}") for row in range(5)]
    with pytest.raises(DataError, match=r"no row of the split `test` has a label, .* splits with labels: `train`"):
        prepare_corpus(data(train=rows(20), test=held), "test")


# --- folds ------------------------------------------------------------------------------------------------------------


def test_folds_are_stratified_and_hold_each_row_once() -> None:
    unbalanced = [Example(f"train:{row}", f"row {row}", int(row < 13)) for row in range(57)]
    folds = prepare_folds(data(train=unbalanced), "validation", 5)
    assert [fold.fold for fold in folds] == [0, 1, 2, 3, 4]
    assert [len(fold.evaluation) for fold in folds] == [12, 12, 11, 11, 11]
    assert {sum(row.label == 1 for row in fold.evaluation) for fold in folds} == {2, 3}
    assert sorted(row.id for fold in folds for row in fold.evaluation) == sorted(row.id for row in unbalanced)
    for fold in folds:
        assert {row.id for row in (*fold.pool, *fold.evaluation)} == {row.id for row in unbalanced}
        assert not texts(fold.pool) & texts(fold.evaluation)


def test_which_fold_a_row_is_in_depends_on_its_content_alone() -> None:
    turned = [Example(f"train:{place}", row.input, row.label) for place, row in enumerate(reversed(rows(50)))]
    first, second = (prepare_folds(data(train=each), "validation", 4) for each in (rows(50), turned))
    assert [texts(fold.evaluation) for fold in first] == [texts(fold.evaluation) for fold in second]


def test_a_row_that_repeats_another_is_in_one_fold_and_a_class_of_two_rows_can_be_trained_on() -> None:
    twice = [*rows(20), Example("train:20", " text  number 3", 1)]
    rare = [*twice, Example("train:21", "rare", 2), Example("train:22", "rarer", 2)]
    folds = prepare_folds(data("abc", train=rare), "validation", 4)
    assert sum(len(fold.evaluation) for fold in folds) == 22
    assert folds[0].notes == (
        "dropped rows: 1 that repeat another",
        "the data has 2 rows of `c`, so some of its 4 folds measure none",
    )
    assert all(sum(row.label == 2 for row in fold.pool) >= 1 for fold in folds)


def test_rows_by_class_keep_their_order() -> None:
    rows = [Example(str(number), f"text {number}", label) for number, label in enumerate((1, 0, 1, 0, 1))]
    assert [[row.id for row in each] for each in by_class(rows, 3)] == [["1", "3"], ["0", "2", "4"], []]
