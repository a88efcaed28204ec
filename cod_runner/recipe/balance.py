"""Which k can be balanced over the classes: checked when a recipe is read and again when its data is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cod_runner.recipe.arms import Arm


def smallest_k(classes: int, arms: Mapping[str, Arm]) -> int:
    """The number that k must be a multiple of, so that every arm has whole groups (an original and what is added to
    it), as many of each class where it is balanced."""
    return math.lcm(*(arm.parts(classes) * arm.group for arm in arms.values()))


def imbalance(k: int, classes: int | None, arms: Mapping[str, Arm]) -> str | None:
    """Why ``k`` cannot be balanced and which k can; None where it can. ``classes`` is None until the data is loaded."""
    step = smallest_k(classes or 1, arms)
    if k % step == 0:
        return None
    below, above = k // step * step, (k // step + 1) * step
    would = f"{below} or {above}" if below else f"{above}"
    groups = _groups(arms)
    over = groups if classes is None else f"{classes} classes"
    if classes is not None and groups:
        over += f" and {groups}"
    if groups == "pairs" and classes is not None:
        over += " of an original and its counterfactual"
    return f"k={k} cannot be balanced over {over}: it must be a multiple of {step}; {would} would do"


def _groups(arms: Mapping[str, Arm]) -> str:
    """``pairs``, or ``groups of 3 (`cod_2`)``; "" where every arm has originals alone."""
    sizes = {arm.group: name for name, arm in reversed(list(arms.items())) if arm.group > 1}
    if set(sizes) <= {2}:
        return "pairs" if sizes else ""
    return " and ".join(f"groups of {size} (`{name}`)" for size, name in sorted(sizes.items()))
