"""The generator `mixup`: what it mixes depends on text, round and pool alone, and on no label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from pydantic import ValidationError

from cod_runner.api import BuildContext, DataError, Example, Input, Mixture, Request, TeacherView
from codrun_mixup.generator import Mixup
from codrun_mixup.plugin import MixupOptions

NO_TEACHER = cast(TeacherView, None)
POOL = [Example(str(row), f"sentence number {row}", row % 2) for row in range(40)]


def generator(pool: Sequence[Example] = POOL, **options: float) -> Mixup:
    return Mixup(MixupOptions.model_validate(options), BuildContext(pool=pool))


def proposed(generator: Mixup, *inputs: Input, number: int = 1) -> list[list[Input]]:
    requests = [Request(str(row), value, 0, 0, number) for row, value in enumerate(inputs)]
    return [[one.input for one in each] for each in generator.propose(requests, NO_TEACHER)]


def mixture(generator: Mixup, text: str = "a film", number: int = 1) -> Mixture:
    ((found,),) = proposed(generator, text, number=number)
    assert isinstance(found, Mixture)
    return found


def test_one_mixture_a_round_of_the_text_and_another_of_the_pool() -> None:
    texts = {example.input for example in POOL}
    found = [mixture(generator(), str(POOL[3].input), number) for number in range(1, 33)]
    assert len(set(found)) == 32
    for one in found:
        assert one.first == POOL[3].input and one.second in texts - {one.first} and 0 < one.share < 1
    assert len({one.second for one in found}) > 10


def test_neither_company_nor_order_nor_labels_decide() -> None:
    alone = [proposed(generator(), text)[0] for text in ("a film", "a book")]
    assert proposed(generator(), "a film", "a book") == alone
    turned = [Example(f"x{row}", example.input, None) for row, example in enumerate(reversed(POOL))]
    assert proposed(generator([*turned, POOL[0]]), "a film", "a book") == alone
    assert proposed(generator(POOL[:20]), "a film", "a book") != alone


@pytest.mark.parametrize(("alpha", "middle"), [(0.1, 0.12), (1.0, 0.5), (20.0, 1.0)])
def test_alpha_says_how_even_the_shares_are(alpha: float, middle: float) -> None:
    """The part of them between a quarter and three quarters."""
    shares = [mixture(generator(alpha=alpha), f"text {row}").share for row in range(400)]
    assert sum(0.25 < share < 0.75 for share in shares) / 400 == pytest.approx(middle, abs=0.07)


def test_vectors_mix_by_themselves() -> None:
    pool = [Example("a", (0.0, 0.0)), Example("b", (1.0, 4.0))]
    ((found,),) = proposed(generator(pool), (1.0, 4.0))
    assert isinstance(found, tuple) and found[1] == pytest.approx(4 * found[0]) and 0 < found[0] < 1


def test_a_mixture_is_the_same_in_every_run_and_its_share_is_of_the_first() -> None:
    drawn = mixture(generator())
    assert (drawn.first, drawn.second, drawn.share) == ("a film", "sentence number 33", pytest.approx(0.820172595))
    ((vector,),) = proposed(generator([Example("a", (0.0, 0.0)), Example("b", (1.0, 4.0))]), (1.0, 4.0))
    assert vector == pytest.approx((0.257831666, 1.031326665)), "the draw is 0.2578, and the pool's other is at 0"


def test_a_pool_without_another_text_has_nothing_to_mix_with() -> None:
    assert proposed(generator([]), "a film") == [[]]
    assert proposed(generator([Example("0", "a film")]), "a film") == [[]]


def test_what_cannot_be_mixed_is_refused_in_a_sentence() -> None:
    for value in ((1.0, 2.0), Mixture("a", "b", 0.5)):
        with pytest.raises(DataError, match="mixes two texts, or two vectors of one length"):
            proposed(generator(), value)


@pytest.mark.parametrize("options", [{"alpha": 0}, {"rounds": 0}, {"share": 0.5}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        generator(**options)
