"""Which k can be balanced over the classes: checked when a recipe is read and again when its data is loaded."""

from __future__ import annotations

from collections.abc import Collection

from cod_runner.recipe.grammar import PAIRED


def smallest_k(classes: int, arms: Collection[str]) -> int:
    """The number that k must be a multiple of: one example per class, or one whole pair where an arm has pairs."""
    return classes if PAIRED.isdisjoint(arms) else 2 * classes


def imbalance(k: int, classes: int | None, arms: Collection[str]) -> str | None:
    """Why ``k`` cannot be balanced and which k can; None where it can. ``classes`` is None until the data is loaded."""
    step = smallest_k(classes or 1, arms)
    if k % step == 0:
        return None
    below, above = k // step * step, (k // step + 1) * step
    would = f"{below} or {above}" if below else f"{above}"
    over = "pairs" if classes is None else f"{classes} classes"
    if classes is not None and not PAIRED.isdisjoint(arms):
        over += " and pairs of an original and its counterfactual"
    return f"k={k} cannot be balanced over {over}: it must be a multiple of {step}; {would} would do"
