"""From which probability on a label is given, so that what is given is right, or what is there is found, often enough.

A threshold is chosen on the student's held-out rows, at its calibrated probabilities. What it reaches there it need not
reach on other texts: the interval says how much a set of that size can tell.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy

from cod_runner.binomial import wilson
from cod_runner.deployment.answering import softmax
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.runs.student_record import HeldOut, StudentRecord

FEW_ROWS = 30
"""Below, a threshold is given with a warning."""


@dataclass(frozen=True)
class Threshold:
    """Give ``label`` to a text where its calibrated probability is at least ``value``."""

    label: str
    value: float
    precision: float
    """Of the held-out rows that are given the label, the share that have it."""
    recall: float
    """Of the held-out rows that have the label, the share that are given it."""
    rows: int
    """Held-out rows in all."""
    given: int
    """How many of them are given the label."""
    having: int
    """How many of them have it."""
    wanted: str
    """``precision`` or ``recall``."""
    interval: tuple[float, float]
    """Wilson's interval of 95% for what is wanted."""

    @property
    def sentences(self) -> list[str]:
        """What the threshold reaches, on how many rows, and what to think of it."""
        low, high = self.interval
        told = [
            f"`{self.label}` is given where its probability is at least {self.value:.3f}: on {self.rows} held-out rows "
            f"precision {self.precision:.2f}, recall {self.recall:.2f} ({self.given} are given it, {self.having} have "
            f"it); 95% interval of the {self.wanted}: {low:.2f} to {high:.2f}"
        ]
        counted = self.given if self.wanted == "precision" else self.having
        if self.rows < FEW_ROWS or counted < FEW_ROWS:
            told.append(
                f"the {self.wanted} rests on {counted} of {self.rows} held-out rows, which is little: see the "
                "interval, and leave more labelled rows beside k to narrow it"
            )
        return told


def threshold_for(
    record: StudentRecord, label: str, *, precision: float | None = None, recall: float | None = None
) -> Threshold:
    """The threshold for ``label`` that reaches the wanted ``precision`` with the highest recall, or the wanted
    ``recall`` with the highest precision, on the student's held-out rows; give one of the two, above 0 and at most 1.

    Raises :class:`CodrunError` that says why there is none and what to do.
    """
    target = _target(precision, recall)
    index = _index(record, label)
    held_out = _held_out_with(record, index)
    at_each = _at_each_value(held_out, record.temperature or 1.0, index)
    if precision is not None:
        reached = [each for each in at_each if each.precision >= target]
        if not reached:
            best = max(at_each, key=lambda each: (each.precision, each.recall))
            raise CodrunError(
                f"no threshold reaches a precision of {target:g} for `{label}` on the {len(held_out.labels)} held-out "
                f"rows: the highest is {best.precision:.2f}, with recall {best.recall:.2f}; ask for less, or train a "
                "better student (a larger k, a better teacher)"
            )
        chosen = max(reached, key=lambda each: (each.recall, each.precision))
    else:
        reached = [each for each in at_each if each.recall >= target]  # the smallest value finds every row
        chosen = max(reached, key=lambda each: (each.precision, each.recall))
    having = held_out.labels.count(index)
    return Threshold(
        label=label,
        value=chosen.value,
        precision=chosen.precision,
        recall=chosen.recall,
        rows=len(held_out.labels),
        given=chosen.given,
        having=having,
        wanted="precision" if precision is not None else "recall",
        interval=wilson(chosen.right, chosen.given if precision is not None else having),
    )


@dataclass(frozen=True)
class _Reached:
    """What a threshold reaches on the held-out rows."""

    value: float
    precision: float
    recall: float
    given: int
    """Rows that are given the label."""
    right: int
    """Those of them that have it."""


def _held_out_with(record: StudentRecord, index: int) -> HeldOut:
    """The student's held-out rows; raises :class:`CodrunError` where none of them has the label."""
    held_out, label = record.held_out, record.labels[index]
    if held_out is None or not held_out.labels:
        raise CodrunError(
            f"no row was held out of the training of {record.cell}, so no threshold can be chosen for `{label}`: train "
            "it with more labelled rows in the pool, or a smaller k (a student that `codrun push` sent leaves what it "
            "said of these rows behind)"
        )
    if index not in held_out.labels:
        raise CodrunError(
            f"none of the {len(held_out.labels)} held-out rows has the label `{label}`, so no threshold can be chosen "
            "for it; leave more labelled rows beside k"
        )
    return held_out


def _at_each_value(held_out: HeldOut, temperature: float, index: int) -> list[_Reached]:
    """Every threshold that makes a difference, from the smallest: the calibrated probabilities of the label."""
    probabilities = softmax(numpy.array(held_out.logits), temperature)[:, index].tolist()
    having = held_out.labels.count(index)
    found = []
    for value in sorted(set(probabilities)):
        given = [gold for probability, gold in zip(probabilities, held_out.labels, strict=True) if probability >= value]
        right = given.count(index)
        found.append(_Reached(value, right / len(given), right / having, len(given), right))
    return found


def _target(precision: float | None, recall: float | None) -> float:
    given = [value for value in (precision, recall) if value is not None]
    if len(given) != 1:
        raise RecipeError("a threshold is for a wanted precision or for a wanted recall: give one of the two")
    if not 0 < given[0] <= 1:
        raise RecipeError(f"a precision or recall is a share above 0 and at most 1, not {given[0]:g}")
    return given[0]


def _index(record: StudentRecord, label: str) -> int:
    if label in record.labels:
        return record.labels.index(label)
    near = difflib.get_close_matches(label, record.labels, 1, cutoff=0.0)
    raise RecipeError(
        f"{record.cell} has no label `{label}`; did you mean `{near[0]}`? It has "
        f"{', '.join(f'`{each}`' for each in record.labels)}"
    )
