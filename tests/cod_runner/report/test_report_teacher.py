"""What a report says of a teacher that only answers."""

from __future__ import annotations

import pytest

from cod_runner.report.teacher import teacher_in_words
from cod_runner.runs.records import RunRecord


@pytest.mark.parametrize(
    ("shots", "gold", "sentence"),
    [
        (6, 6, "The teacher only answers: 6 labelled texts are in its prompt; they come on top of k in every arm."),
        (0, 0, "The teacher only answers, and is shown no labelled text."),
        (0, 40, "The teacher only answers, and is shown no labelled text, and 40 chose its temperature."),
    ],
)
def test_the_labels_that_it_has_seen(record: RunRecord, shots: int, gold: int, sentence: str) -> None:
    record.teacher = {"shots": shots, "gold_labels": gold, "calibration": {}}
    assert teacher_in_words(record)[0] == sentence
