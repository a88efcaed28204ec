"""Whether an exported file answers as the student does: over lengths, paddings, company and real texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from torch import Tensor

from cod_runner.api import Classifier, CodrunError, Encoded
from codrun_onnx.answering import run
from codrun_onnx.graph import logits_of

ROUNDING = 1e-4
"""Largest difference of two logits that 32-bit sums in another order explain, where logits are about 1."""
PADDINGS = (0, 1, 7)
"""Positions added to a text that stands alone."""
ROWS = 8


@dataclass(frozen=True)
class Parity:
    """How far an exported file is from its student."""

    compared: int
    """Inputs, each counted once for every padding and company."""
    largest_difference: float
    """Of two logits; not a number where one of them is not."""
    disagreeing: int
    """Inputs with another likeliest label."""
    largest_logit: float

    @property
    def is_rounding(self) -> bool:
        """Whether the difference is no more than rounding; False where it is not a number."""
        return self.largest_difference <= ROUNDING * max(1.0, self.largest_logit)


def compared(
    student: Classifier, session: Any, longest: Encoded, texts: Sequence[Encoded], temperature: float
) -> Parity:
    """Ask both about every batch of :func:`batches`."""
    count = disagreeing = 0
    differences: list[float] = []
    largest = 0.0
    for batch in batches(student, longest, texts):
        wanted = logits_of(student, batch, temperature)
        given = run(session, {name: value.numpy() for name, value in batch.items()})
        if given.shape != wanted.shape:
            raise CodrunError(f"the exported model answers in another shape ({given.shape}) than its student")
        count += len(wanted)
        differences.append(float(numpy.abs(given - wanted).max()))
        disagreeing += int((given.argmax(axis=1) != wanted.argmax(axis=1)).sum())
        largest = max(largest, float(numpy.abs(wanted).max()))
    return Parity(count, float(numpy.max(differences)), disagreeing, largest)


def batches(student: Classifier, longest: Encoded, texts: Sequence[Encoded]) -> Iterator[dict[str, Tensor]]:
    """Texts of 1 token to the longest, alone, padded by 1 and 7 and to a multiple of 8; all lengths in one batch, and
    real texts in batches of mixed lengths.

    Padded are they by the student, on its own side.
    """
    cut = [first(longest, length) for length in lengths(len(longest.ids))]
    for one in cut:
        for more in PADDINGS:
            yield student.collate([one], len(one.ids) + more)
        yield student.collate([one], 8)
    yield student.collate(cut)
    yield student.collate([cut[-1], cut[0]], 8)
    for start in range(0, len(texts), ROWS):
        yield student.collate(texts[start : start + ROWS])


def lengths(longest: int) -> list[int]:
    """1 to ``longest``, close together where they are small, with the neighbours of each power of two."""
    powers = [2**exponent + step for exponent in range(3, longest.bit_length() + 1) for step in (-1, 0, 1)]
    return sorted(
        {length for length in (*range(1, 7), 11, 12, *powers, longest - 1, longest) if 1 <= length <= longest}
    )


def first(encoded: Encoded, length: int) -> Encoded:
    """The first tokens of an encoding: a model reads any ids, whether or not a text begins so."""
    return Encoded(encoded.ids[:length], {name: value[:length] for name, value in encoded.fields.items()})
