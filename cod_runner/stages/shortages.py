"""Stage 3c: training sets that cannot be drawn, since too few originals can be used; their cells are left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cod_runner.context import RunContext
from cod_runner.counterfactuals import Walked
from cod_runner.counterfactuals.walk import LOWEST_YIELD
from cod_runner.data.fewshot import TooFewOriginals
from cod_runner.recipe.arms import CONTROL
from cod_runner.recipe.balance import smallest_k
from cod_runner.recipe.sections import Use
from cod_runner.runs.cells import Cell, TrainingSetKey
from cod_runner.stages.additions import Additions
from cod_runner.stages.load import Experiment
from cod_runner.stages.originals import shares_originals
from cod_runner.stages.sets import added_in_words


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

    @property
    def training_sets(self) -> list[TrainingSetKey]:
        """Those that cannot be drawn, one for each seed."""
        return [TrainingSetKey(self.arm, self.k, seed) for seed in self.seeds]


def find_shortages(
    context: RunContext, experiment: Experiment, found: Additions, cells: Sequence[Cell]
) -> list[Shortage]:
    """The training sets of these cells that cannot be drawn, those of several seeds together where they lack the
    same."""
    alike: dict[Shortage, list[int]] = {}
    for key in dict.fromkeys(cell.training_set for cell in cells):
        shortage = _shortage(experiment, found, key)
        if shortage is not None:
            alike.setdefault(replace(shortage, seeds=()), []).append(key.seed)
    shortages = [replace(one, seeds=tuple(seeds)) for one, seeds in alike.items()]
    return [replace(one, sentence=_Explanation(context, experiment, found, one).sentence()) for one in shortages]


def _shortage(experiment: Experiment, found: Additions, key: TrainingSetKey) -> Shortage | None:
    try:
        chosen = found.originals(key)
    except TooFewOriginals as error:
        walked = found.walked.get(found.orders.walk_name(key), [])
        part = walked[error.label or 0] if walked else Walked((), 0)
        label = None if error.label is None else experiment.corpus.labels[error.label]
        return Shortage(key.arm, key.k, (key.seed,), label, error.wanted, error.found, part.looked_at, part.gave_up)
    if chosen.originals:
        return None
    looked_at = chosen.missing  # each was left out, and none took its place
    return Shortage(key.arm, key.k, (key.seed,), None, looked_at, 0, looked_at)


class _Explanation:
    """What one shortage is, and what can be done about it, reckoned with what the search found."""

    def __init__(self, context: RunContext, experiment: Experiment, found: Additions, shortage: Shortage) -> None:
        self._recipe, self._registry = context.recipe, context.registry
        self._experiment, self._found, self._shortage = experiment, found, shortage
        self._arm = context.recipe.arms[shortage.arm]
        self._making = self._arms_that_make()
        self._drops = self._drops_unusable()

    def sentence(self) -> str:
        """All of it, for the user."""
        one = self._shortage
        seeds = f"seed{'' if len(one.seeds) == 1 else 's'} {', '.join(map(str, one.seeds))}"
        has = added_in_words(one.arm) if self._arm.add else "what the other arms add"
        if self._arm.add and len(self._making) > 1:
            has += " and what arms with the same originals add"
        have = "has" if one.found == 1 else "have"
        searched = (
            f"{one.found:,} of the {one.looked_at:,} originals{self._of_the_class} that were searched {have} {has}"
        )
        needed = f"and {one.wanted:,} {'is' if one.wanted == 1 else 'are'} needed"
        if self._drops:
            needed = "and with `counterfactuals.on_failure: drop` no other takes their place"
        if one.gave_up:
            needed += f"; that shows that fewer than 1 in {round(1 / LOWEST_YIELD)} has, so the search ended there"
        cures = list(self._cures())
        helps = f" What can help: {'; '.join(cures)}." if cures else ""
        return f"`{one.arm}` at k = {one.k} could not run ({seeds}): {searched}, {needed}.{helps}"

    def _cures(self) -> Iterator[str]:
        """What would work, or may."""
        one = self._shortage
        k = self._largest_k()
        if k is not None and k not in self._recipe.k:
            yield f"k = {k}, for which there are enough"
        if one.found and not one.gave_up and one.looked_at >= self._rows_there():
            more = math.ceil((one.wanted - one.found) * one.looked_at / one.found)
            yield f"some {more:,} more rows{self._of_the_class}"
        if not self._drops and any(self._recipe.arms[name].uses_section for name in self._making):
            left = [len(self._found.originals(key, redraw=False).originals) for key in one.training_sets]
            if min(left) > 0:
                yield (
                    f"`counterfactuals.on_failure: drop`, which leaves {_range(left)} of "
                    f"{self._arm.originals(one.k, 1)} originals to train on"
                )
        if self._drops:
            yield "`counterfactuals.on_failure: redraw`, which searches further originals"
        if self._making != [one.arm]:
            yield "`same_originals: false`, by which an arm passes over what it cannot use itself, and nothing else"
        for use in self._generators():
            advice = self._registry.options("generator", use.use, use.options).advice()
            if advice:
                yield f"for the generator `{use.use}`: {advice}"

    @property
    def _of_the_class(self) -> str:
        return "" if self._shortage.label is None else f" of `{self._shortage.label}`"

    def _arms_that_make(self) -> list[str]:
        """The arms whose additions an original of this arm must have."""
        recipe, name = self._recipe, self._shortage.arm
        if not shares_originals(recipe, name):
            return [name]
        return [other for other, arm in recipe.arms.items() if arm.add and shares_originals(recipe, other)]

    def _drops_unusable(self) -> bool:
        """Whether the recipe leaves originals out that cannot be used, instead of taking the next."""
        made = self._recipe.counterfactuals
        uses = any(self._recipe.arms[name].uses_section for name in self._making)
        return uses and made is not None and made.on_failure == "drop"

    def _largest_k(self) -> int | None:
        """The largest smaller k for which all its seeds have enough; None where there is none, or it is not known."""
        one = self._shortage
        if not self._experiment.selectors[one.arm].nested:
            return None
        step = smallest_k(len(self._experiment.corpus.labels), self._recipe.arms)
        smaller = range(one.k - step, 0, -step)
        return next((k for k in smaller if all(self._can_be_drawn(key, k) for key in one.training_sets)), None)

    def _can_be_drawn(self, key: TrainingSetKey, k: int) -> bool:
        try:
            return bool(self._found.originals(key, k=k, redraw=True).originals)
        except TooFewOriginals:
            return False

    def _rows_there(self) -> int:
        """Rows of the pool that the class has that lacks originals."""
        rows, label = self._found.examples.values(), self._shortage.label
        if label is None:
            return len(rows)
        return sum(row.label == self._found.labels.index(label) for row in rows)

    def _generators(self) -> list[Use]:
        """The generators that make what these arms add, each once."""
        recipe = self._recipe
        made: list[Use] = []
        for name in self._making:
            for each in recipe.arms[name].add:
                if isinstance(each, Use):
                    made.append(each)
                elif each == CONTROL:
                    made += [recipe.control] if recipe.control is not None else []
                elif recipe.counterfactuals is not None:
                    made += recipe.counterfactuals.generators
        return [use for place, use in enumerate(made) if use not in made[:place]]


def _range(counts: Sequence[int]) -> str:
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
