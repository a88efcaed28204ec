"""Says where Theorem 1's inequality holds in the simulation and where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from codrun_logistic.estimation import interval
from codrun_logistic.simulation import LABELS, PARTS, Label, Point

MEANINGS: dict[Label, str] = {
    "drawn": "a CFE's label is drawn from the teacher's probability at that point: one model generates all labels, as "
    "the proof needs",
    "teacher": "a CFE's label is the class that the teacher predicts for it: what codrun trains on",
    "flipped": "a CFE's label is 1 - y, as in Algorithm 1",
}

OPTIMISER_REMAINDER = 1e-5
"""A squared error below this is what training left over, not an error of an estimate."""


@dataclass(frozen=True)
class StudentErrors:
    """Squared estimation error of one trained student, by part."""

    method: str
    arm: str
    k: int
    seed: int
    along: float
    orthogonal: float
    total: float


def summary_text(
    students: Sequence[StudentErrors], norm: float, dimension: int, points: Sequence[Point], k: int, repeats: int
) -> str:
    """``theory.md``."""
    return "\n".join(
        [
            "# Theorem 1 in numbers",
            "",
            "The theorem: E||w_s(cf) - w_t||² < E||w_s - w_t||², if CFEs lie on the boundary (w_t . x_c = 0) and have "
            "the originals' second moments. Both cannot hold: on the boundary the second moment along w_t is 0, the "
            "originals' is 1. So the error is shown in two parts: along w_t (how steep) and orthogonal to it (the "
            "direction of the boundary). Intervals are 95%, paired by training set; `undecided`: one contains 0.",
            "",
            *_of_students(students, norm, dimension),
            *_of_grid(points, k, repeats),
        ]
    )


def _of_students(students: Sequence[StudentErrors], norm: float, dimension: int) -> list[str]:
    lines = [
        f"## This run's students: |w_t| = {norm:g}, d = {dimension}",
        "",
        "Trained by the engine, on sets balanced by class, with an intercept that is ignored here. Where the "
        "teacher's probabilities are the labels (`kd`) they determine w_t, and neither arm has anything to estimate: "
        "`both exact`.",
        "",
        "| method | k | seeds | part | plain | cod | cod - plain | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method, k in dict.fromkeys((one.method, one.k) for one in students):
        by_arm = {
            arm: {one.seed: one for one in students if (one.method, one.k, one.arm) == (method, k, arm)}
            for arm in ("plain", "cod")
        }
        seeds = sorted(by_arm["plain"].keys() & by_arm["cod"].keys())
        if not seeds:
            continue
        for part in PARTS:
            plain, cod = (
                torch.tensor([getattr(by_arm[arm][seed], part) for seed in seeds], dtype=torch.float64)
                for arm in ("plain", "cod")
            )
            difference = interval(cod - plain)
            exact = max(plain.max().item(), cod.max().item()) < OPTIMISER_REMAINDER
            verdict = "both exact" if exact else difference.verdict
            means = f"{interval(plain)} | {interval(cod)} | {difference} | {verdict}"
            lines.append(f"| {method} | {k} | {len(seeds)} | {part} | {means} |")
    return [*lines, ""]


def _of_grid(points: Sequence[Point], k: int, repeats: int) -> list[str]:
    lines = [
        f"## The grid: k = {k}, {repeats} training sets per point",
        "",
        "Fitted by maximum likelihood without an intercept. A set that a hyperplane separates has no finite estimate; "
        "it is omitted from both arms and counted under `no fit` (plain, cod). A few nearly separable sets make a mean "
        "and its interval large: read such points as undecided, regardless of their sign.",
    ]
    for label in LABELS:
        of_label = [point for point in points if point.label == label]
        lines += ["", f"### {label}: {MEANINGS[label]}", "", *_sentences(of_label), ""]
        lines += [
            "| norm | d | overshoot | no fit | along: plain, cod | | orthogonal: plain, cod | | total: plain, cod | |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for point in of_label:
            cells = [f"{point.plain[part]}, {point.cod[part]} | {point.difference[part].verdict}" for part in PARTS]
            lines.append(
                f"| {point.norm:g} | {point.dimension} | {point.overshoot:g} | {point.infinite_plain}, "
                f"{point.infinite_cod} | {' | '.join(cells)} |"
            )
    return [*lines, ""]


def _sentences(points: Sequence[Point]) -> list[str]:
    said = []
    for overshoot in sorted({point.overshoot for point in points}):
        here = [point for point in points if point.overshoot == overshoot]
        counts = {
            part: [sum(point.difference[part].verdict == verdict for point in here) for verdict in ("falls", "rises")]
            for part in PARTS
        }
        holds, fails = (
            ", ".join(
                f"({point.norm:g}, {point.dimension})" for point in here if point.difference["total"].verdict == verdict
            )
            or "nowhere"
            for verdict in ("falls", "rises")
        )
        said.append(
            f"- Overshoot {overshoot:g}: of {len(here)} points, the error along w falls at {counts['along'][0]} and "
            f"rises at {counts['along'][1]}; the orthogonal error falls at {counts['orthogonal'][0]} and rises at "
            f"{counts['orthogonal'][1]}. The inequality (total error) holds at (|w|, d) = {holds}; the opposite holds "
            f"at {fails}; elsewhere it is undecided."
        )
    return said
