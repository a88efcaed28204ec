"""What was measured of boundaries, in a table and in words, including the check of the theorem."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from codrun_moons.geometry import Proximity, Window


@dataclass(frozen=True)
class CellMeasures:
    """What is measured of one student."""

    method: str
    arm: str
    k: int
    seed: int
    agreement: float
    hausdorff: float
    """Between the two boundaries inside the window; infinite if the student has none there."""
    mean_distance: float
    proximity: Proximity | None
    """None for a student that trained without pairs."""

    def holds(self, slack: float) -> bool | None:
        """Whether H <= alpha + epsilon, up to ``slack`` for the grid; None without pairs, or where epsilon is
        infinite and the bound says nothing."""
        if self.proximity is None or math.isinf(self.proximity.bound):
            return None
        return self.hausdorff <= self.proximity.bound + slack

    def as_json(self) -> dict[str, Any]:
        """Plain data; infinities become None, which JSON can hold."""
        plain = asdict(self)
        if self.proximity is not None:
            plain["proximity"] |= {"epsilon": self.proximity.epsilon, "bound": self.proximity.bound}
        return _finite(plain)


def summary_text(cells: Sequence[CellMeasures], window: Window, spacing: float) -> str:
    """``theory.md``."""
    (left, right), (low, high) = window
    lines = [
        "# Theorem 2 in the plane",
        "",
        f"Boundaries inside [{left:.2f}, {right:.2f}] x [{low:.2f}, {high:.2f}], read from a grid of spacing "
        f"{spacing:.3f}; H is the Hausdorff distance between the teacher's and the student's. Mean ± standard "
        "deviation over seeds. alpha: largest distance between an original and its CFE. epsilon: largest distance from "
        "a boundary to the nearest crossing of a pair that both boundaries cross (the larger of teacher's and "
        "student's).",
        "",
        "| method | k | arm | agreement | H | mean distance | alpha | epsilon | alpha + epsilon | bound holds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, int, str], list[CellMeasures]] = defaultdict(list)
    for cell in sorted(cells, key=lambda one: (one.method, one.k, one.arm != "plain", one.seed)):
        groups[cell.method, cell.k, cell.arm].append(cell)
    for (method, k, arm), group in groups.items():
        pairs = [cell.proximity for cell in group if cell.proximity is not None]
        checks = [cell.holds(2 * spacing) for cell in group]
        shown = [
            _mean([cell.agreement for cell in group]),
            _mean([cell.hausdorff for cell in group]),
            _mean([cell.mean_distance for cell in group]),
            *(_mean([read(one) for one in pairs]) for read in _OF_PAIRS),
            f"{checks.count(True)} of {len(checks)}" if pairs else "no pairs",
        ]
        lines.append(f"| {method} | {k} | {arm} | {' | '.join(shown)} |")
    lines += ["", *_sentences(groups, spacing)]
    return "\n".join(lines) + "\n"


_OF_PAIRS: tuple[Callable[[Proximity], float], ...] = (
    lambda one: one.alpha,
    lambda one: one.epsilon,
    lambda one: one.bound,
)


def _sentences(groups: dict[tuple[str, int, str], list[CellMeasures]], spacing: float) -> list[str]:
    said = []
    for method, k in dict.fromkeys((method, k) for method, k, _ in groups):
        plain = {cell.seed: cell for cell in groups.get((method, k, "plain"), [])}
        cod = {cell.seed: cell for cell in groups.get((method, k, "cod"), [])}
        both = [(plain[seed], cod[seed]) for seed in plain if seed in cod]
        if both:
            nearer = sum(with_cfes.hausdorff < without.hausdorff for without, with_cfes in both)
            closer = sum(with_cfes.mean_distance < without.mean_distance for without, with_cfes in both)
            agree = sum(with_cfes.agreement > without.agreement for without, with_cfes in both)
            said.append(
                f"- {method}, k={k}: with CFEs the Hausdorff distance is smaller for {nearer} of {len(both)} seeds, "
                f"the mean distance for {closer}, and the agreement higher for {agree}."
            )
        pairs = [cell.proximity for cell in cod.values() if cell.proximity is not None]
        if pairs:
            checks = [cell.holds(2 * spacing) for cell in cod.values()]
            total = sum(one.pairs for one in pairs)
            said.append(
                f"- {method}, k={k}, the theorem's terms: the bound holds for {checks.count(True)}, fails for "
                f"{checks.count(False)} and says nothing for {checks.count(None)} of {len(checks)} students (no pair "
                f"that both boundaries cross). The student classifies both halves as the teacher does (A2, by class) "
                f"on {sum(one.matched for one in pairs)} of {total} pairs, and both boundaries cross "
                f"{sum(one.crossed for one in pairs)} of them."
            )
    said += [
        "",
        "What the check is worth: where both boundaries cross the segment of a pair, they are at most alpha apart "
        "there, so the bound follows from how alpha and epsilon are measured, regardless of what the student has "
        f"learnt ({2 * spacing:.3f} is allowed for the grid). What can differ is how tight the bound is and on how "
        "many pairs A2 holds. H comes from the worst place of the window, often a corner without data; the mean "
        "distance does not.",
    ]
    return said


def _mean(values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "∞" if values else "–"
    spread = f" ± {statistics.stdev(finite):.3f}" if len(finite) > 1 else ""
    infinite = f" ({len(values) - len(finite)} infinite)" if len(finite) < len(values) else ""
    return f"{statistics.mean(finite):.3f}{spread}{infinite}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
