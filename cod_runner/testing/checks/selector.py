"""The contract of a selector of originals."""

from __future__ import annotations

from collections.abc import Sequence

from cod_runner.api import Input, Selection, Selector
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.identity import check_identity
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.checks.toys import ODD_POINTS, ODD_TEXTS, POINTS, TEXTS, CountingTeacher

NESTED = "Selector.nested: whether the order is the same for every `wanted`"
RANK = "Selector.rank: positions in `selection.inputs`, every one once"
SAME = "Selector.rank: the same inputs and seed give the same order"
PURE = "Selection: what a selector is given stays as it is"
QUESTIONS = (
    "Options.questions: about how many texts the teacher is asked for one order, at most; None where it cannot be said"
)


@check_of("selector")
def check_selector(subject: Subject) -> None:
    """Every position once, by what it is given and its seed alone."""

    def look(texts: bool) -> None:
        rows, odd = (TEXTS, ODD_TEXTS) if texts else (POINTS, ODD_POINTS)
        inputs: list[Input] = [row.input for row in rows]
        selector: Selector = subject.build()
        order = _ranked(subject, selector, inputs, 4, texts)
        subject.must(isinstance(selector.nested, bool), f"has the `nested` {selector.nested!r}", NESTED)
        for some, wanted in (([], 0), (inputs[:1], 1), (inputs[:7], 7), ([*inputs[:3], *odd], 2), (inputs[:2] * 3, 3)):
            _ranked(subject, selector, some, wanted, texts)
        for one in (selector, subject.build()):
            again = _ranked(subject, one, inputs, 4, texts)
            subject.must(again == order, "ranks the same inputs in another order when it is asked again", SAME)
        if selector.nested:
            for wanted in (1, 2, 9, len(inputs)):
                other = _ranked(subject, selector, inputs, wanted, texts)
                subject.must(
                    other == order, f"says that it is nested, and ranks otherwise for {wanted} than for 4", NESTED
                )
        check_identity(subject, lambda options: _ranked(subject, subject.build(options), inputs, 4, texts))

    subject.either_input(look)


def _ranked(subject: Subject, selector: Selector, inputs: Sequence[Input], wanted: int, texts: bool) -> list[int]:
    teacher = CountingTeacher(texts)
    given = list(inputs)
    with subject.watched("in `rank`", refusals=True):
        order = selector.rank(Selection(given, wanted, seed=5, teacher=teacher))
    subject.must(given == list(inputs), "changed the inputs that it was given", PURE)
    right = isinstance(order, list) and all(isinstance(place, int) for place in order)
    subject.must(
        right and sorted(order) == list(range(len(inputs))), f"ranked {order!r:.80} of {len(inputs)} inputs", RANK
    )
    allowed = subject.options().questions(wanted)
    asked = len(teacher.asked)
    if allowed is not None:
        subject.must(
            asked <= allowed,
            f"asked the teacher about {asked} texts for {wanted} originals, and says {allowed}",
            QUESTIONS,
        )
    return order
