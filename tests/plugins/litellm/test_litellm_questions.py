"""What the generator says of its questions to the teacher before it is built."""

from __future__ import annotations

from codrun_litellm.options import WORDS_A_TEXT, LitellmOptions


def test_a_plan_knows_how_many_candidates_the_teacher_may_read() -> None:
    plain = LitellmOptions(model="openai/local", candidates=[1, 4])
    assert plain.questions(10) == 50 and not plain.asks_for_attribution()
    named = LitellmOptions(model="openai/local", candidates=[2], highlight=3)
    assert named.questions(10) == 10 * (2 + WORDS_A_TEXT) and named.asks_for_attribution()
    shown = LitellmOptions(model="openai/local", candidates=[1], demonstrations=2)
    assert shown.questions(1) == 1 + 4 + 4
