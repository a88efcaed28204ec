"""What a reader must know of a teacher that only answers: how good, how calibrated, and what it read and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cod_runner.report.costs import price_in_words
from cod_runner.runs.records import RunRecord


def teacher_in_words(record: RunRecord) -> list[str]:
    """Sentences for the report; none for a teacher that is a network, or of a record that says too little."""
    teacher = record.teacher
    shots, calibration = teacher.get("shots"), teacher.get("calibration")
    if not isinstance(shots, int) or not isinstance(calibration, Mapping):
        return []
    sentences = [_labels(teacher, shots), _calibrated(teacher, calibration)]
    queries = teacher.get("queries")
    if isinstance(queries, Mapping):
        asked = ", ".join(f"{count:,} for the {purpose}" for purpose, count in queries.items() if count)
        paid = teacher.get("evaluation_usd")
        price = f" (the evaluation's price: {price_in_words(paid)})" if paid != 0 else ""
        sentences.append(f"Beside the queries of the arms it was asked about {asked}{price}.")
    return sentences


def _labels(teacher: Mapping[str, Any], shots: int) -> str:
    gold = teacher.get("gold_labels")
    beside = gold - shots if isinstance(gold, int) else 0
    more = f", and {beside:,} chose its temperature" if beside else ""
    if not shots:
        return f"The teacher only answers, and is shown no labelled text{more}."
    return (
        f"The teacher only answers: {shots} labelled texts are in its prompt{more}; they come on top of k in every arm."
    )


def _calibrated(teacher: Mapping[str, Any], calibration: Mapping[str, Any]) -> str:
    after = [_number(teacher.get("accuracy")), _number(teacher.get("calibration_error"))]
    if calibration.get("by") == "none" and calibration.get("temperature") == 1:
        return f"It is not calibrated: accuracy {after[0]}, calibration error {after[1]} on the evaluation split."
    before = [_number(calibration.get("accuracy_before")), _number(calibration.get("calibration_error_before"))]
    bias = calibration.get("bias")
    taken = ", ".join(f"{label} {value:+.2f}" for label, value in bias.items()) if isinstance(bias, Mapping) else ""
    temperature = calibration.get("temperature")
    cooled = f", temperature {temperature:.2f}" if isinstance(temperature, float) and temperature != 1 else ""
    return (
        f"Calibrated by {calibration.get('by')} (leaning taken out, in nats: {taken}{cooled}): accuracy {after[0]} "
        f"({before[0]} before), calibration error {after[1]} ({before[1]} before) on the evaluation split."
    )


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "unknown"
