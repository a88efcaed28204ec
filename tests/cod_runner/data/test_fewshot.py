"""Balance, nesting, redrawing, and the numbers in what is refused."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest

from cod_runner.api import DataError, Example
from cod_runner.data.fewshot import (
    Group,
    TooFewOriginals,
    TrainingSet,
    check_k,
    check_pool,
    drawn,
    in_random_order,
    originals_in_order,
    training_rows,
    walked,
    with_additions,
)
from cod_runner.recipe.arms import Arm

PLAIN, COD, CONTROL = Arm(), Arm(add=["flips"]), Arm(add=["control"])
TWO = Arm(add=["flips"], per_original=2)
BLIND_TWO = Arm(add=["flips"], per_original=2, balanced=False)
UNPAIRED = Arm(add=["flips"], of="others")
ARMS = {"plain": PLAIN, "cod": COD}


def pool(count: int = 90, classes: int = 3) -> list[Example]:
    return [Example(f"train:{row}", f"text {row}", row % classes) for row in range(count)]


def pair(original: Example) -> Group:
    flipped = Example(f"{original.id}~cf", f"not {original.input}", (original.hard_label + 1) % 3, None, True)
    return Group(original, (flipped,))


def pairs(examples: Sequence[Example], rate: float = 1.0, seed: int = 0) -> dict[str, Group]:
    draw = random.Random(seed)
    return {example.id: pair(example) for example in examples if draw.random() < rate}


def plain_set(order: Sequence[Sequence[Example]], k: int) -> tuple[Example, ...]:
    return drawn(PLAIN, k, order).rows


def grouped(
    order: Sequence[Sequence[Example]], k: int, groups: Mapping[str, Group], arm: Arm = COD, *, redraw: bool = True
) -> TrainingSet:
    """The set of an arm that can use the originals which have a group."""
    chosen = drawn(arm, k, order, lambda original: original.id in groups, redraw=redraw)
    return with_additions(chosen, groups)


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
    smaller, larger = (grouped(order, k, found) for k in (12, 48))
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
    made = grouped(order, 12, pairs(examples))
    assert {row.id for row in made.rows if not row.is_counterfactual} <= set(ids(plain_set(order, 12)))
    assert (made.redrawn, made.outside, made.missing, made.group_yield) == (0, 0, 0, 1.0)


def test_redrawn_and_outside_are_counted() -> None:
    examples = pool()
    order = originals_in_order(examples, 3, 0)
    found = pairs(examples)
    for row in order[1][:5]:
        del found[row.id]
    made = grouped(order, 12, found)
    assert made.redrawn == 5
    assert made.outside == 2, "plain has four of the class, all of which failed"
    assert made.group_yield == pytest.approx(6 / 11)
    assert order[1][5].id in ids(made.rows)


def test_dropping_leaves_gaps_instead() -> None:
    examples = pool()
    order = originals_in_order(examples, 3, 0)
    found = pairs(examples)
    del found[order[0][0].id]
    made = grouped(order, 12, found, redraw=False)
    assert (len(made.rows), made.missing, made.redrawn) == (10, 1, 0)
    assert order[0][2].id not in ids(made.rows)
    assert made.group_yield == pytest.approx(5 / 6)


def test_a_verdict_about_one_class_moves_no_other() -> None:
    examples = pool()
    order = originals_in_order(examples, 3, 0)
    found = pairs(examples)
    before = [row for row in grouped(order, 24, found).rows if row.id.split("~")[0] in ids(order[2])]
    del found[order[0][0].id]
    after = [row for row in grouped(order, 24, found).rows if row.id.split("~")[0] in ids(order[2])]
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
    with pytest.raises(TooFewOriginals) as caught:
        grouped(order, 24, found)
    assert (caught.value.label, caught.value.wanted, caught.value.found) == (2, 4, 3)


@pytest.mark.parametrize(
    ("k", "classes", "arms", "would"),
    [
        (6, 2, ARMS, "2 classes and pairs of an original and its counterfactual: .* multiple of 4; 4 or 8 would do"),
        (2, 2, {"cod": COD}, "multiple of 4; 4 would do"),
        (16, 3, ARMS, "multiple of 6; 12 or 18 would do"),
        (7, 3, {"plain": PLAIN}, "over 3 classes: it must be a multiple of 3; 6 or 9 would do"),
        (8, 2, {"cod_2": TWO}, r"2 classes and groups of 3 \(`cod_2`\): it must be a multiple of 6; 6 or 12 would do"),
        (
            8,
            2,
            {**ARMS, "cod_2": TWO},
            r"groups of 2 \(`cod`\) and groups of 3 \(`cod_2`\): .* multiple of 12; 12 would",
        ),
        (8, 2, {"blind": BLIND_TWO}, r"multiple of 3; 6 or 9 would do"),
    ],
)
def test_k_that_does_not_divide(k: int, classes: int, arms: dict[str, Arm], would: str) -> None:
    with pytest.raises(DataError, match=f"k={k} .*{would}"):
        check_k(k, classes, arms)


def test_k_that_divides() -> None:
    check_k(6, 2, {"plain": PLAIN})
    check_k(8, 2, ARMS)
    check_k(12, 3, {"cod": COD})
    check_k(12, 2, {**ARMS, "cod_2": TWO})
    check_k(9, 2, {"blind": BLIND_TWO})


def test_k_larger_than_the_pool() -> None:
    few = [*pool(40, 2), *(Example(f"more:{row}", f"more {row}", 0) for row in range(50))]
    check_pool(40, ("no", "yes"), few, ARMS)
    check_pool(80, ("no", "yes"), few, {"cod": COD})
    with pytest.raises(
        DataError, match=r"k=44 needs 22 originals of each class, .* has 20 of the class `yes`; .* is 40"
    ):
        check_pool(44, ("no", "yes"), few, ARMS)
    with pytest.raises(TooFewOriginals, match="3 originals of the class 1 are wanted, and 2 can be used"):
        plain_set([pool(3, 1), pool(2, 1)], 6)


def test_others_need_twice_the_originals_and_an_unbalanced_arm_the_whole_pool() -> None:
    few = [*pool(40, 2), *(Example(f"more:{row}", f"more {row}", 0) for row in range(50))]
    check_pool(40, ("no", "yes"), few, {"unpaired": UNPAIRED})
    with pytest.raises(DataError, match=r"k=44 needs 22 originals of each class, .* 20 of the class `yes`; .* is 40"):
        check_pool(44, ("no", "yes"), few, {"unpaired": UNPAIRED})
    check_pool(90, ("no", "yes"), few, {"blind": Arm(balanced=False)})
    with pytest.raises(DataError, match=r"k=92 needs 92 originals, and the training pool has 90 rows; .* is 90"):
        check_pool(92, ("no", "yes"), few, {"blind": Arm(balanced=False)})


def test_walk_stops_at_the_last_one_wanted() -> None:
    rows = pool(6, 1)
    walk = walked(rows, 2, lambda original: original in rows[1:3])
    assert walk.taken == tuple(rows[1:3])
    assert (walk.passed, walk.missing) == ((rows[0],), 0)


def test_training_rows_name_their_partners() -> None:
    original = Example("train:1", "good", 1)
    first, second = training_rows([Group(original, (Example("train:1~cf", "bad", 0, is_counterfactual=True),))])
    assert (first.id, first.partner, first.is_counterfactual, first.label) == ("train:1", "train:1~cf", False, 1)
    assert (second.id, second.partner, second.is_counterfactual, second.label) == ("train:1~cf", "train:1", True, 0)


def test_the_control_takes_the_originals_of_cod_with_copies_instead() -> None:
    examples = pool(60)
    copies = {
        one.id: Group(one, (Example(f"{one.id}~copy", f"{one.input} less a word", one.label),)) for one in examples
    }
    order = originals_in_order(examples, 3, 0)
    cod, control = grouped(order, 12, pairs(examples)), grouped(order, 12, copies, CONTROL)
    assert ids(cod.rows)[::2] == ids(control.rows)[::2]
    assert not any(row.is_counterfactual for row in control.rows)
    assert all(control.rows[place].partner == control.rows[place + 1].id for place in range(0, 12, 2))
    assert all(first.label == second.label for first, second in zip(control.rows[::2], control.rows[1::2], strict=True))
    assert control.group_yield == 1.0


# --- arms that a recipe tells in full -------------------------------------------------------------------------


def threes(examples: Sequence[Example]) -> dict[str, Group]:
    return {
        one.id: Group(one, tuple(Example(f"{one.id}~{n}", f"{n} {one.input}", 0, None, True) for n in (1, 2)))
        for one in examples
    }


@pytest.mark.parametrize("seed", range(3))
def test_groups_of_three_nest_in_k_and_hold_together(seed: int) -> None:
    examples = pool(90)
    order = originals_in_order(examples, 3, seed)
    smaller, larger = (grouped(order, k, threes(examples), TWO) for k in (9, 36))
    assert larger.rows[:9] == smaller.rows
    assert (len(larger.rows), larger.labelled, larger.added, larger.unlabelled) == (36, 12, 24, 0)
    assert [sum(one.label == label for one in larger.originals) for label in range(3)] == [4, 4, 4]
    for original, *added in zip(larger.rows[::3], larger.rows[1::3], larger.rows[2::3], strict=True):
        assert original.partner == added[0].id, "an original names the first"
        assert [one.partner for one in added] == [original.id] * 2, "each names the original"
    assert larger.originals == drawn(COD, 24, order).originals, "as many originals, the same ones"


def test_what_is_of_others_has_no_partner_and_no_original_beside_it() -> None:
    examples = pool(90)
    order = originals_in_order(examples, 3, 0)
    made, own = grouped(order, 12, pairs(examples), UNPAIRED), grouped(order, 12, pairs(examples))
    assert made.originals == own.originals
    assert [row.partner for row in made.rows] == [None] * 12
    assert (made.labelled, made.added) == (6, 6)
    lenders = {row.id.removesuffix("~cf") for row in made.rows if row.is_counterfactual}
    assert lenders == set(ids(made.lenders)) == {one.id for part in order for one in part[2:4]}
    assert not lenders & set(ids(made.originals))
    by_id = {one.id: one for one in examples}
    lent = [by_id[row.id.removesuffix("~cf")].label for row in made.rows[1::2]]
    assert lent == [row.label for row in made.rows[::2]], "what is beside an original was made from one of its class"


def test_of_others_a_dropped_lender_leaves_an_original_less() -> None:
    examples = pool(90)
    order = originals_in_order(examples, 3, 0)
    found = pairs(examples)
    del found[order[0][3].id]
    made = grouped(order, 12, found, UNPAIRED, redraw=False)
    assert made.missing == 1
    assert (len(made.rows), made.labelled, made.added) == (10, 5, 5)
    assert set(ids(made.originals)) == {row.id for row in made.rows if not row.is_counterfactual}
    labels = [row.label for row in made.originals]
    assert [labels.count(label) for label in range(3)] == [1, 2, 2], "the class that lacks a lender"


def test_an_arm_that_is_not_balanced_draws_from_the_pool_as_one() -> None:
    examples = [*pool(30, 2), *(Example(f"more:{row}", f"more {row}", 0) for row in range(60))]
    order = [in_random_order(examples, 0)]
    smaller, larger = (drawn(Arm(balanced=False), k, order) for k in (5, 20))
    assert larger.rows == tuple(order[0][:20])
    assert larger.rows[:5] == smaller.rows, "and an odd k will do"
    assert sum(row.label == 0 for row in larger.rows) > 12, "more of the class that has more rows"


def test_classes_that_give_less_do_not_move_the_others() -> None:
    examples = pool(90)
    order = originals_in_order(examples, 3, 0)
    found = pairs([row for row in examples if row.label != 1]) | pairs(order[1][1:3])
    made = grouped(order, 24, found, redraw=False)
    originals = [row for row in made.rows if not row.is_counterfactual]
    assert [row.label for row in originals] == [0, 1, 2, 0, 1, 2, 0, 2, 0, 2], "the shorter class ends first"
    assert made.missing == 2


def test_running_out_says_so_for_an_arm_that_adds_nothing_too() -> None:
    order = originals_in_order(pool(30), 3, 0)
    usable = {one.id for part in order for one in part} - set(ids(order[2][4:]))
    with pytest.raises(TooFewOriginals, match="6 originals of the class 2 are wanted, and 4 can be used"):
        drawn(PLAIN, 18, order, lambda original: original.id in usable)


def test_rows_without_a_label_are_counted_apart() -> None:
    original = Example("a", "good", 1)
    made = TrainingSet((original, Example("a~cf", "bad", 0), Example("a~asked1", "so so", None)), (original,))
    assert (made.labelled, made.added, made.unlabelled) == (1, 1, 1)
