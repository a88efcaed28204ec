"""Balance, nesting, redrawing, and the numbers in what is refused."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from cod_runner.api import DataError, Example
from cod_runner.data.fewshot import (
    Arm,
    Pair,
    check_k,
    check_pool,
    first_with_pair,
    originals_in_order,
    paired_set,
    plain_set,
    training_rows,
    training_sets,
)


def pool(count: int = 90, classes: int = 3) -> list[Example]:
    return [Example(f"train:{row}", f"text {row}", row % classes) for row in range(count)]


def pair(original: Example) -> Pair:
    return Pair(
        original,
        Example(f"{original.id}~cf", f"not {original.input}", (original.label + 1) % 3, is_counterfactual=True),
    )


def pairs(examples: list[Example], rate: float = 1.0, seed: int = 0) -> dict[str, Pair]:
    draw = random.Random(seed)
    return {example.id: pair(example) for example in examples if draw.random() < rate}


def ids(rows: object) -> list[str]:
    return [row.id for row in rows]  # type: ignore[attr-defined]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_plain_is_balanced_and_nests(classes: int, seed: int) -> None:
    order = originals_in_order(pool(90, classes), classes, seed)
    sets = [plain_set(order, k) for k in range(classes, 11 * classes, classes)]
    for smaller, larger in pairwise(sets):
        assert larger[: len(smaller)] == smaller
    assert all(sum(row.label == label for row in sets[-1]) == 10 for label in range(classes))
    assert [row.label for row in sets[1]] == [*range(classes)] * 2, "classes take turns"


@pytest.mark.parametrize("rate", [1.0, 0.8, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_cod_nests_and_holds_whole_pairs(rate: float, seed: int) -> None:
    examples = pool(300)
    order = originals_in_order(examples, 3, seed)
    found = pairs(examples, rate, seed)
    smaller, larger = (paired_set(order, k, found) for k in (12, 48))
    assert larger.rows[: len(smaller.rows)] == smaller.rows
    assert len(larger.rows) == 48
    by_id = {row.id: row for row in larger.rows}
    for row in larger.rows:
        assert row.partner is not None
        assert by_id[row.partner].partner == row.id
        assert by_id[row.partner].is_counterfactual != row.is_counterfactual
    originals = [row for row in larger.rows if not row.is_counterfactual]
    assert [sum(row.label == label for row in originals) for label in range(3)] == [8, 8, 8]


def test_cod_originals_lie_inside_plain_when_nothing_fails() -> None:
    examples = pool()
    order = originals_in_order(examples, 3, 0)
    made = paired_set(order, 12, pairs(examples))
    assert {row.id for row in made.rows if not row.is_counterfactual} <= set(ids(plain_set(order, 12)))
    assert (made.redrawn, made.outside, made.missing, made.pair_yield) == (0, 0, 0, 1.0)


def test_redrawn_and_outside_are_counted() -> None:
    examples = pool()
    order = originals_in_order(examples, 3, 0)
    found = pairs(examples)
    for row in order[1][:5]:
        del found[row.id]
    made = paired_set(order, 12, found)
    assert made.redrawn == 5
    assert made.outside == 2, "plain has four of the class, all of which failed"
    assert made.pair_yield == pytest.approx(6 / 11)
    assert order[1][5].id in ids(made.rows)


def test_dropping_leaves_gaps_instead() -> None:
    examples = pool()
    order = originals_in_order(examples, 3, 0)
    found = pairs(examples)
    del found[order[0][0].id]
    made = paired_set(order, 12, found, redraw=False)
    assert (len(made.rows), made.missing, made.redrawn) == (10, 1, 0)
    assert order[0][2].id not in ids(made.rows)
    assert made.pair_yield == pytest.approx(5 / 6)


def test_a_verdict_about_one_class_moves_no_other() -> None:
    examples = pool()
    order = originals_in_order(examples, 3, 0)
    found = pairs(examples)
    before = [row for row in paired_set(order, 24, found).rows if row.id.split("~")[0] in ids(order[2])]
    del found[order[0][0].id]
    after = [row for row in paired_set(order, 24, found).rows if row.id.split("~")[0] in ids(order[2])]
    assert before == after


def test_order_depends_on_seed_and_content_only() -> None:
    examples = pool()
    shuffled = examples[:]
    random.Random(1).shuffle(shuffled)
    assert originals_in_order(examples, 3, 7) == originals_in_order(shuffled, 3, 7)
    assert originals_in_order(examples, 3, 7) != originals_in_order(examples, 3, 8)


def test_order_takes_vectors() -> None:
    points = [Example(f"train:{row}", (float(row), 1.5), row % 2) for row in range(20)]
    order = originals_in_order(points, 2, 0)
    assert sorted(ids(order[0] + order[1])) == sorted(ids(points))
    assert order[0] != points[::2]


def test_running_out_of_originals_says_the_numbers() -> None:
    examples = pool(30)
    order = originals_in_order(examples, 3, 0)
    found = pairs([row for row in examples if row.label != 2]) | pairs(order[2][:3])
    with pytest.raises(
        DataError, match="needs 4 originals of class 2 with a counterfactual or a copy; 3 of its 10 rows"
    ):
        paired_set(order, 24, found)


@pytest.mark.parametrize(
    ("k", "classes", "arms", "would"),
    [
        (6, 2, ["plain", "cod"], "multiple of 4; 4 or 8 would do"),
        (2, 2, ["cod"], "multiple of 4; 4 would do"),
        (16, 3, ["plain", "cod"], "multiple of 6; 12 or 18 would do"),
        (7, 3, ["plain"], "multiple of 3; 6 or 9 would do"),
    ],
)
def test_k_that_does_not_divide(k: int, classes: int, arms: list[str], would: str) -> None:
    with pytest.raises(DataError, match=f"k={k} .*{would}"):
        check_k(k, classes, arms)


def test_k_that_divides() -> None:
    check_k(6, 2, ["plain"])
    check_k(8, 2, ["plain", "cod"])
    check_k(12, 3, ["cod"])


def test_k_larger_than_the_pool() -> None:
    few = [*pool(40, 2), *(Example(f"more:{row}", f"more {row}", 0) for row in range(50))]
    check_pool(40, ("no", "yes"), few, ["plain", "cod"])
    check_pool(80, ("no", "yes"), few, ["cod"])
    with pytest.raises(
        DataError, match=r"k=44 needs 22 originals of each class, .* has 20 of the class `yes`; .* is 40"
    ):
        check_pool(44, ("no", "yes"), few, ["plain", "cod"])
    with pytest.raises(DataError, match="needs 3 originals of each class; class 1 has 2"):
        plain_set([pool(3, 1), pool(2, 1)], 6)


def test_walk_stops_at_the_last_one_wanted() -> None:
    rows = pool(6, 1)
    walk = first_with_pair(rows, 2, {row.id: pair(row) for row in rows[1:3]})
    assert [each.original for each in walk.pairs] == rows[1:3]
    assert (walk.redrawn, walk.missing) == (1, 0)


def test_training_rows_name_their_partners() -> None:
    original = Example("train:1", "good", 1)
    first, second = training_rows([Pair(original, Example("train:1~cf", "bad", 0, is_counterfactual=True))])
    assert (first.id, first.partner, first.is_counterfactual, first.label) == ("train:1", "train:1~cf", False, 1)
    assert (second.id, second.partner, second.is_counterfactual, second.label) == ("train:1~cf", "train:1", True, 0)


def test_what_several_methods_train_on_is_drawn_once() -> None:
    examples = pool(60)
    originals = {seed: originals_in_order(examples, 3, seed) for seed in (0, 1)}
    wanted: list[tuple[Arm, int, int]] = [(arm, 6, seed) for arm in ("plain", "cod") for seed in (0, 1)] * 2
    sets = training_sets(wanted, originals, {"cod": pairs(examples)})
    assert set(sets) == {("plain", 6, 0), ("plain", 6, 1), ("cod", 6, 0), ("cod", 6, 1)}
    assert all(len(each.rows) == 6 for each in sets.values())
    assert sets["plain", 6, 0].pair_yield == 1.0


def test_the_control_takes_the_originals_of_cod_with_copies_instead() -> None:
    examples = pool(60)
    copies = {one.id: Pair(one, Example(f"{one.id}~copy", f"{one.input} less a word", one.label)) for one in examples}
    originals = {0: originals_in_order(examples, 3, 0)}
    sets = training_sets([("cod", 12, 0), ("control", 12, 0)], originals, {"cod": pairs(examples), "control": copies})
    cod, control = sets["cod", 12, 0], sets["control", 12, 0]
    assert ids(cod.rows)[::2] == ids(control.rows)[::2]
    assert not any(row.is_counterfactual for row in control.rows)
    assert all(control.rows[place].partner == control.rows[place + 1].id for place in range(0, 12, 2))
    assert all(first.label == second.label for first, second in zip(control.rows[::2], control.rows[1::2], strict=True))
    assert control.pair_yield == 1.0
