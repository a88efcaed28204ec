"""Stage 3c: training sets that cannot be drawn, since too few originals can be used; their cells are left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cod_runner.context import RunContext
from cod_runner.counterfactuals import Walked
from cod_runner.counterfactuals.walk import LOWEST_YIELD
from cod_runner.data.fewshot import TooFewOriginals, drawn
from cod_runner.recipe.arms import Arm
from cod_runner.recipe.balance import smallest_k
from cod_runner.recipe.sections import Use
from cod_runner.runs.cells import Cell
from cod_runner.stages.additions import Additions, shares_originals, walk_name
from cod_runner.stages.load import Experiment
from cod_runner.stages.sets import added_in_words, originals_drawn


@dataclass(frozen=True)
class Shortage:
    """Cells of one arm and k that lack originals."""

    arm: str
    k: int
    seeds: tuple[int, ...]
    label: str | None
    """The class that has too few; None where classes are not balanced, or all have none."""
    wanted: int
    found: int
    looked_at: int
    gave_up: bool = False
    """Whether the search ended since too few could be used."""
    sentence: str = ""
    """All this and what can be done, for the user."""

    def is_of(self, cell: Cell) -> bool:
        """Whether this is what a cell lacks."""
        return (cell.arm, cell.k) == (self.arm, self.k) and cell.seed in self.seeds


def find_shortages(
    context: RunContext, experiment: Experiment, found: Additions, cells: Sequence[Cell]
) -> list[Shortage]:
    """The training sets of these cells that cannot be drawn, those of several seeds together where they lack the
    same."""
    alike: dict[Shortage, list[int]] = {}
    for arm, k, seed in dict.fromkeys(cell.training_set for cell in cells):
        shortage = _shortage(context, experiment, found, (arm, k, seed))
        if shortage is not None:
            alike.setdefault(replace(shortage, seeds=()), []).append(seed)
    shortages = [replace(shortage, seeds=tuple(seeds)) for shortage, seeds in alike.items()]
    return [replace(one, sentence=_sentence(context, experiment, found, one)) for one in shortages]


def _shortage(
    context: RunContext, experiment: Experiment, found: Additions, place: tuple[str, int, int]
) -> Shortage | None:
    arm, k, seed = place
    try:
        chosen = originals_drawn(context, found, place)
    except TooFewOriginals as error:
        walked = found.walked.get(walk_name(context, found.orders, arm, k, seed), [])
        part = walked[error.label or 0] if walked else Walked((), 0)
        label = None if error.label is None else experiment.corpus.labels[error.label]
        return Shortage(arm, k, (seed,), label, error.wanted, error.found, part.looked_at, part.gave_up)
    if chosen.originals:
        return None
    looked_at = chosen.missing  # each was left out, and none took its place
    return Shortage(arm, k, (seed,), None, looked_at, 0, looked_at)


def _sentence(context: RunContext, experiment: Experiment, found: Additions, one: Shortage) -> str:
    arm = context.recipe.arms[one.arm]
    seeds = f"seed{'' if len(one.seeds) == 1 else 's'} {', '.join(map(str, one.seeds))}"
    has = added_in_words(one.arm) if arm.add else "what the other arms add"
    if arm.add and len(_making(context, one.arm)) > 1:
        has += " and what arms with the same originals add"
    of = f" of `{one.label}`" if one.label is not None else ""
    searched = f"{one.found:,} of the {one.looked_at:,} originals{of} that were searched {_have(one.found)} {has}"
    needed = f"and {one.wanted:,} {'is' if one.wanted == 1 else 'are'} needed"
    if _dropping(context, one):
        needed = "and with `counterfactuals.on_failure: drop` no other takes their place"
    if one.gave_up:
        needed += f"; that shows that fewer than 1 in {round(1 / LOWEST_YIELD)} has, so the search ended there"
    cures = list(_cures(context, experiment, found, one))
    helps = f" What can help: {'; '.join(cures)}." if cures else ""
    return f"`{one.arm}` at k = {one.k} could not run ({seeds}): {searched}, {needed}.{helps}"


def _dropping(context: RunContext, one: Shortage) -> bool:
    """Whether the recipe leaves originals out that cannot be used, instead of taking the next."""
    made = context.recipe.counterfactuals
    uses = any(context.recipe.arms[name].uses_section for name in _making(context, one.arm))
    return uses and made is not None and made.on_failure == "drop"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _making(context: RunContext, arm: str) -> list[str]:
    """The arms whose additions an original of this arm must have."""
    if not shares_originals(context, arm):
        return [arm]
    return [name for name, each in context.recipe.arms.items() if each.add and shares_originals(context, name)]


def _cures(context: RunContext, experiment: Experiment, found: Additions, one: Shortage) -> Iterator[str]:
    """What would work, or may; each was reckoned with what the search found."""
    recipe = context.recipe
    arm, making = recipe.arms[one.arm], _making(context, one.arm)
    k = _largest_k(context, experiment, found, one)
    if k is not None and k not in recipe.k:
        yield f"k = {k}, for which there are enough"
    rows = _rows(found, one)
    if one.found and not one.gave_up and one.looked_at >= rows:
        more = math.ceil((one.wanted - one.found) * one.looked_at / one.found)
        yield f"some {more:,} more rows{f' of `{one.label}`' if one.label is not None else ''}"
    dropping = _dropping(context, one)
    if not dropping and any(recipe.arms[name].uses_section for name in making):
        left = [_left_by_drop(context, found, one, seed) for seed in one.seeds]
        if min(left) > 0:
            yield (
                f"`counterfactuals.on_failure: drop`, which leaves {_range(left)} of {arm.originals(one.k, 1)} "
                "originals to train on"
            )
    if dropping:
        yield "`counterfactuals.on_failure: redraw`, which searches further originals"
    if len(making) > 1 or making != [one.arm]:
        yield "`same_originals: false`, by which an arm passes over what it cannot use itself, and nothing else"
    for use in _generators(context, making):
        advice = context.registry.options("generator", use.use, use.options).advice()
        if advice:
            yield f"for the generator `{use.use}`: {advice}"


def _largest_k(context: RunContext, experiment: Experiment, found: Additions, one: Shortage) -> int | None:
    """The largest smaller k for which all these seeds have enough; None where there is none, or it is not known."""
    recipe = context.recipe
    if not experiment.selectors[one.arm].nested:
        return None
    step = smallest_k(len(experiment.corpus.labels), recipe.arms)
    return next(
        (
            k
            for k in range(one.k - step, 0, -step)
            if all(_can_be_drawn(context, found, one, seed, k) for seed in one.seeds)
        ),
        None,
    )


def _can_be_drawn(context: RunContext, found: Additions, one: Shortage, seed: int, k: int) -> bool:
    walk = walk_name(context, found.orders, one.arm, one.k, seed)
    try:
        chosen = drawn(
            context.recipe.arms[one.arm], k, found.orders.of(one.arm, one.k, seed).parts, found.usable_in(walk)
        )
    except TooFewOriginals:
        return False
    return bool(chosen.originals)


def _left_by_drop(context: RunContext, found: Additions, one: Shortage, seed: int) -> int:
    """How many originals the arm would have if those that cannot be used left gaps."""
    walk = walk_name(context, found.orders, one.arm, one.k, seed)
    parts = found.orders.of(one.arm, one.k, seed).parts
    arm: Arm = context.recipe.arms[one.arm]
    return len(drawn(arm, one.k, parts, found.usable_in(walk), redraw=False).originals)


def _rows(found: Additions, one: Shortage) -> int:
    """Rows of the pool that the class has that lacks originals."""
    if one.label is None:
        return len(found.examples)
    label = found.labels.index(one.label)
    return sum(row.label == label for row in found.examples.values())


def _generators(context: RunContext, arms: Sequence[str]) -> list[Use]:
    """The generators that make what these arms add, each once."""
    recipe = context.recipe
    made: list[Use] = []
    for name in arms:
        for each in recipe.arms[name].add:
            if isinstance(each, Use):
                made.append(each)
            elif each == "control":
                made += [recipe.control] if recipe.control is not None else []
            elif recipe.counterfactuals is not None:
                made += recipe.counterfactuals.generators
    return [use for place, use in enumerate(made) if use not in made[:place]]


def _range(counts: Sequence[int]) -> str:
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
