"""The contract of a measure of counterfactuals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cod_runner.api import CfeMeasure, Input
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.identity import check_identity
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.checks.toys import ODD_POINTS, ODD_TEXTS, POINTS, TEXTS

TITLE = "CfeMeasure.title: what the row is called, its unit or range included"
VALUES = "CfeMeasure.__call__: one finite value per pair, in order; None where there is nothing to measure"
COMPANY = "CfeMeasure.__call__: a pair's value does not depend on the others"
PURE = "CfeMeasure.__call__: what it is given stays as it is"
SAME = "CfeMeasure.__call__: the same pairs give the same values"
Pairs = list[tuple[Input, Input]]


@check_of("cfe_measure")
def check_cfe_measure(subject: Subject) -> None:
    """One value per pair, that of the pair alone."""

    def look(texts: bool) -> None:
        measure: CfeMeasure = subject.build()
        title = measure.title
        subject.must(isinstance(title, str) and bool(title.strip()), f"has the title {title!r}", TITLE)
        rows, odd = (TEXTS, ODD_TEXTS) if texts else (POINTS, ODD_POINTS)
        inputs: list[Input] = [*(row.input for row in rows[:6]), *odd]
        pairs: Pairs = list(zip(inputs, [*inputs[1:], inputs[0]], strict=True))
        values = _values(subject, measure, pairs)
        subject.must(_values(subject, measure, []) == [], "measures where there are no pairs", VALUES)
        for one in (measure, subject.build()):
            again = _values(subject, one, pairs)
            subject.must(_close(again, values), "gives other values when it is asked again", SAME)
        backwards = _values(subject, measure, pairs[::-1])[::-1]
        subject.must(_close(backwards, values), "gives other values when the pairs come in another order", COMPANY)
        alone = [_values(subject, measure, [pair])[0] for pair in pairs]
        subject.must(_close(alone, values), "gives a pair another value alone than among others", COMPANY)
        check_identity(subject, lambda options: _values(subject, subject.build(options), pairs[:8]))

    subject.either_input(look)


def _values(subject: Subject, measure: CfeMeasure, pairs: Pairs) -> list[float | None]:
    given = list(pairs)
    with subject.watched(f"for {len(pairs)} pairs", refusals=True):
        values = measure(given)
    subject.must(given == pairs, "changed the pairs that it was given", PURE)
    subject.must(
        isinstance(values, list) and len(values) == len(pairs), f"gives {values!r:.80} for {len(pairs)} pairs", VALUES
    )
    for value, pair in zip(values, pairs, strict=True):
        number = value is None or (isinstance(value, float | int) and math.isfinite(value))
        subject.must(number, f"gives {value!r:.60} for {pair!s:.100}", VALUES)
    return values


def _close(some: Sequence[float | None], others: Sequence[float | None]) -> bool:
    return all(
        one is other or (one is not None and other is not None and math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-4))
        for one, other in zip(some, others, strict=True)
    )
