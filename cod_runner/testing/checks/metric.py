"""The contract of a metric."""

from __future__ import annotations

import math
from dataclasses import fields

import torch
from torch import Tensor

from cod_runner.api import Metric, Predictions
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.identity import check_identity
from cod_runner.testing.checks.subject import Subject

NUMBER = "Metric.__call__: a finite number"
PURE = "Predictions: what a metric is given stays as it is"
SAME = "Metric.__call__: the same predictions give the same number"
ORDER = "Metric.__call__: the order of the rows does not count"
DIRECTION = "Component.higher_is_better: whether a larger value is the better one"
TITLE = "Component.title: the heading of its table, a text"


@check_of("metric")
def check_metric(subject: Subject) -> None:
    """A finite number, the better the way its component says."""
    metric: Metric = subject.build()
    component = subject.component
    subject.must(isinstance(component.title, str), f"has the title {component.title!r}", TITLE)
    declared = component.higher_is_better
    own = getattr(metric, "higher_is_better", declared)
    subject.must(own == declared, f"says `higher_is_better = {own}` and its component {declared}", DIRECTION)
    for rows, classes in ((1, 2), (7, 2), (40, 2), (33, 5), (300, 3)):
        given = _drawn(rows, classes)
        value = _value(subject, metric, given)
        again = _value(subject, subject.build(), given)
        subject.must(value == again, f"gives {value} and then {again} for the same predictions", SAME)
        order = torch.arange(rows).flip(0)
        turned = _value(subject, metric, _rows(given, order))
        close = math.isclose(value, turned, rel_tol=1e-4, abs_tol=1e-5)
        subject.must(close, f"gives {value}, and {turned} for the rows in another order", ORDER)
    labels = torch.arange(30) % 3
    right, wrong = (torch.eye(3)[(labels + shift) % 3] * 8.0 for shift in (0, 1))
    best = _value(subject, metric, Predictions(right, right.clone(), labels))
    worst = _value(subject, metric, Predictions(wrong, right.clone(), labels))
    kept = best >= worst if declared else best <= worst
    subject.must(
        kept,
        f"gives {best:.4g} where the student is right and {worst:.4g} where it is wrong everywhere, and its component "
        f"says `higher_is_better={declared}`",
        DIRECTION,
    )
    check_identity(
        subject, lambda options: [_value(subject, subject.build(options), _drawn(rows, 3)) for rows in (40, 90)]
    )


def _value(subject: Subject, metric: Metric, given: Predictions) -> float:
    before = [getattr(given, each.name).clone() for each in fields(given)]
    with subject.watched(f"for {len(given.labels)} predictions"):
        value = metric(given)
    after = [getattr(given, each.name) for each in fields(given)]
    same = all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    subject.must(same, "changed the predictions that it was given", PURE)
    number = isinstance(value, float | int) and not isinstance(value, bool)
    subject.must(number, f"gives {value!r:.60}, a {type(value).__name__}", NUMBER)
    subject.must(math.isfinite(value), f"gives {value} for {len(given.labels)} predictions", NUMBER)
    return float(value)


def _drawn(rows: int, classes: int) -> Predictions:
    generator = torch.Generator().manual_seed(rows)

    def drawn() -> Tensor:
        return torch.randn(rows, classes, generator=generator) * 2

    labels = torch.randint(classes, (rows,), generator=generator)
    return Predictions(drawn(), drawn(), labels)


def _rows(given: Predictions, order: Tensor) -> Predictions:
    return Predictions(given.student_logits[order], given.teacher_logits[order], given.labels[order])
