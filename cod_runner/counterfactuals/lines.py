"""Outcomes as lines of ``counterfactuals.jsonl``, and their measures over the lines of several searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cod_runner.api import Attempt, Example, input_as_json, input_from_json
from cod_runner.counterfactuals.outcomes import PairOutcome
from cod_runner.counterfactuals.quality import Quality, quality_table
from cod_runner.errors import CodrunError


def outcome_line(original: Example, outcome: PairOutcome, labels: Sequence[str], suffix: str) -> dict[str, Any]:
    name = labels.__getitem__
    return {
        "pair_id": f"{original.id}~{suffix}",
        "source_id": original.id,
        "original": input_as_json(outcome.original),
        "counterfactual": None if outcome.counterfactual is None else input_as_json(outcome.counterfactual),
        "gold": name(original.hard_label),
        "from_label": name(outcome.from_label),
        "target": name(outcome.target),
        "label": None if outcome.label is None else name(outcome.label),
        "teacher_before": _rounded(outcome.teacher_before),
        "teacher_after": _rounded(outcome.teacher_after),
        "verified": outcome.verified,
        "edits": outcome.edits,
        "minimality": None if outcome.minimality is None else round(outcome.minimality, 6),
        "generator": outcome.generator,
        "attempts": [
            {
                "text": input_as_json(attempt.input),
                "generator": attempt.generator,
                "round": attempt.round,
                "reason": attempt.reason,
                "teacher": _rounded(attempt.probabilities),
                "edits": attempt.edits,
                "tier": attempt.tier,
                "usd": attempt.usd,
            }
            for attempt in outcome.attempts
        ],
        "reasons": outcome.reasons,
        "queries": len(outcome.queries),
    }


def _rounded(probabilities: tuple[float, ...] | None) -> list[float] | None:
    return None if probabilities is None else [round(value, 6) for value in probabilities]


def quality_of_lines(lines: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> list[Quality]:
    """:func:`quality_table` of lines that some searches left, of several folds, say; no rows where there are no lines.

    Raises :class:`CodrunError` where a line lacks what :func:`outcome_line` writes.
    """
    try:
        outcomes = [_outcome(line, labels) for line in lines]
        originals = [Example(line["source_id"], line["original"], labels.index(line["gold"])) for line in lines]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CodrunError(
            f"a line of the file of counterfactuals is damaged ({type(error).__name__}: {error}); delete the file and "
            "run the recipe again with --fresh"
        ) from error
    return quality_table(outcomes, originals) if outcomes else []


def _outcome(line: Mapping[str, Any], labels: Sequence[str]) -> PairOutcome:
    """What the measures need of an outcome; its probabilities are rounded as the line has them."""
    return PairOutcome(
        original=input_from_json(line["original"]),
        counterfactual=_input(line["counterfactual"]),
        from_label=labels.index(line["from_label"]),
        target=labels.index(line["target"]),
        label=None if line["label"] is None else labels.index(line["label"]),
        teacher_before=tuple(line["teacher_before"]),
        teacher_after=_tuple(line["teacher_after"]),
        verified=line["verified"],
        edits=line["edits"],
        minimality=line["minimality"],
        generator=line["generator"],
        attempts=tuple(
            Attempt(
                input_from_json(each["text"]), each["generator"], each["round"], each["reason"],
                _tuple(each["teacher"]), each["edits"], each["tier"], each["usd"],
            )
            for each in line["attempts"]
        ),
    )  # fmt: skip


def _input(value: Any) -> Any:
    return None if value is None else input_from_json(value)


def _tuple(value: list[float] | None) -> tuple[float, ...] | None:
    return None if value is None else tuple(value)
