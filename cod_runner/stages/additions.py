"""Stage 3b: what each arm adds to its originals, stored or searched anew: D_cf of Algorithm 1, lines 2 to 5.

Near misses come from the same search as flips; copies from a search turned round, in which the teacher must read them
as before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cod_runner.api import Example, Input
from cod_runner.context import RunContext
from cod_runner.counterfactuals import Addition, PairOutcome, Quality, Walked, quality_table, walk
from cod_runner.data.fewshot import Group, TrainingSet, drawn, originals_looked_at
from cod_runner.data.near_duplicates import NearDuplicates
from cod_runner.recipe.arms import Arm
from cod_runner.runs.cells import Cell, TrainingSetKey
from cod_runner.stages.load import Experiment
from cod_runner.stages.originals import Orders
from cod_runner.stages.searches import FLIPS, Searched, Searches


@dataclass
class ArmAdditions:
    """What one arm adds: a search for each entry of its ``add``, and one for its unlabelled texts where a generator
    makes them."""

    arm: Arm
    additions: list[Addition]
    unlabelled: Addition | None = None
    groups: dict[str, Group | None] = field(default_factory=dict)
    """By the original's id: what is added to it; None where that could not be made."""

    def look_at(self, originals: Sequence[Example]) -> None:
        """Search what is to be added to these originals."""
        searched = {addition.search: addition.search.search(originals) for addition in self.searches}
        for place, original in enumerate(originals):
            parts = [addition.of(original, searched[addition.search][place]) for addition in self.additions]
            added = tuple(example for part in parts if part is not None for example in part)
            self.groups[original.id] = Group(original, added) if None not in parts else None

    @property
    def searches(self) -> list[Addition]:
        """Its additions, one of each search: flips and misses have the same."""
        return list({addition.search: addition for addition in self.additions}.values())

    def outcomes(self, original: Example) -> Iterator[PairOutcome]:
        """What was searched about an original."""
        for addition in self.searches:
            if original.id in addition.search.outcomes:
                yield addition.search.outcomes[original.id]


@dataclass
class Additions:
    """Everything that the arms of a run add, and what was searched on the way."""

    arms: Mapping[str, Arm]
    """The recipe's."""
    orders: Orders
    by_arm: dict[str, ArmAdditions] = field(default_factory=dict)
    searches: list[Searched] = field(default_factory=list)
    usable: dict[str, set[str]] = field(default_factory=dict)
    """Ids of the originals that can be used, by the name of the walk."""
    walked: dict[str, list[Walked]] = field(default_factory=dict)
    """How far each walk came, by its name: a part of the order each."""
    short: set[str] = field(default_factory=set)
    """Names of the walks that end short where an original cannot be used, instead of taking the next."""
    examples: Mapping[str, Example] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    fold: int | None = None
    """Of a cross-validation: the one that none of it comes from."""
    evaluation_texts: NearDuplicates | None = None
    """The rows that no addition may be like; None where nothing is added."""

    @property
    def counterfactuals(self) -> dict[str, PairOutcome]:
        """The outcomes of the section ``counterfactuals``, by the original's id, failures included."""
        return next((one.search.outcomes for one in self.searches if one.name == FLIPS), {})

    @property
    def counterfactual_lines(self) -> list[dict[str, Any]]:
        """The lines of ``counterfactuals.jsonl``."""
        return next((self.lines(one) for one in self.searches if one.name == FLIPS), [])

    @property
    def quality(self) -> list[Quality]:
        """The field's measures of all counterfactuals; none where nothing was searched."""
        found = self.counterfactuals
        return quality_table(list(found.values()), [self.examples[name] for name in found]) if found else []

    def originals(self, key: TrainingSetKey, *, k: int | None = None, redraw: bool | None = None) -> TrainingSet:
        """The originals of a training set, as a set without what is added to them.

        ``k`` draws another number of them from the same order; ``redraw`` says otherwise than the recipe whether one
        that cannot be used is replaced by the next. Raises :class:`TooFewOriginals`.
        """
        walk = self.orders.walk_name(key)
        usable = self.usable.get(walk)  # None where nothing was searched: each can be used
        return drawn(
            self.arms[key.arm],
            key.k if k is None else k,
            self.orders.of(key).parts,
            lambda original: usable is None or original.id in usable,
            redraw=walk not in self.short if redraw is None else redraw,
        )

    def lines(self, searched: Searched) -> list[dict[str, Any]]:
        """The lines of a search's file."""
        lines = searched.lines(self.examples, self.labels)
        return lines if self.fold is None else [{**line, "fold": self.fold} for line in lines]


def find_additions(context: RunContext, experiment: Experiment, orders: Orders, cells: Sequence[Cell]) -> Additions:
    """Search what the arms of ``cells`` add to their originals, for the largest k of each seed: that of a smaller k is
    part of it."""
    found = Additions(context.recipe.arms, orders, labels=experiment.corpus.labels, fold=experiment.corpus.fold)
    found.examples = {example.id: example for example in experiment.corpus.pool}
    arms = {cell.arm: context.recipe.arms[cell.arm] for cell in cells}
    if any(arm.add or arm.unlabelled for arm in arms.values()):
        found.evaluation_texts = NearDuplicates([*experiment.corpus.evaluation, *experiment.dev])
    searches = Searches(context, experiment, orders.view, found.evaluation_texts)
    for name, arm in arms.items():
        additions = _numbered([searches.addition(name, place) for place in range(len(arm.add))])
        found.by_arm[name] = ArmAdditions(arm, additions, searches.unlabelled(name))
    found.searches = searches.made
    walks = list(walks_of(context, experiment, cells, orders))
    for names in dict.fromkeys(one.arms for one in walks):
        _walk(context, [one for one in walks if one.arms == names], found)
    _say(context, found)
    return found


def _numbered(additions: Sequence[Addition]) -> list[Addition]:
    """The additions of one arm, so that no two add examples with one id."""
    before: Counter[str] = Counter()
    numbered = []
    for addition in additions:
        numbered.append(replace(addition, before=before[addition.what]))
        before[addition.what] += addition.count
    return numbered


@dataclass(frozen=True)
class ArmsTogether:
    """Arms that walk one order together and pass over the same originals."""

    name: str
    order: Sequence[Sequence[Example]]
    arms: tuple[str, ...]
    wanted: int
    """Originals of each part."""


def walks_of(
    context: RunContext, experiment: Experiment, cells: Sequence[Cell], orders: Orders
) -> Iterator[ArmsTogether]:
    """Every walk of a run; none for arms that add nothing and share nothing."""
    classes = len(experiment.corpus.labels)
    arms: dict[str, list[str]] = {}
    wanted: dict[str, int] = {}
    order: dict[str, Sequence[Sequence[Example]]] = {}
    for cell in cells:
        name = orders.walk_name(cell.training_set)
        if cell.arm not in arms.setdefault(name, []):
            arms[name].append(cell.arm)
        looked_at = originals_looked_at(context.recipe.arms[cell.arm], cell.k, classes)
        wanted[name] = max(wanted.get(name, 0), looked_at)
        order[name] = orders.of(cell.training_set).parts
    for name, of_walk in arms.items():
        if any(context.recipe.arms[arm].add for arm in of_walk):
            yield ArmsTogether(name, order[name], tuple(of_walk), wanted[name])


def _walk(context: RunContext, walks: Sequence[ArmsTogether], found: Additions) -> None:
    """The walks of some arms, one after the other."""
    names = walks[0].arms
    adding = [found.by_arm[name] for name in names if found.by_arm[name].additions]
    redraw = all(redraws(context, arm.arm) for arm in adding)

    def usable(originals: Sequence[Example]) -> list[bool]:
        for arm in adding:
            arm.look_at(originals)
        return [all(arm.groups[original.id] is not None for arm in adding) for original in originals]

    def tried(original: Example) -> bool:
        outcomes = [outcome for arm in adding for outcome in arm.outcomes(original)]
        return any(outcome.attempts or outcome.asked or outcome.gradients for outcome in outcomes)

    in_all = sum(one.wanted * len(one.order) for one in walks)
    before = 0
    with context.progress.bar(_title(names)) as step:
        step(0, in_all)
        for one in walks:
            walked = walk(
                one.order,
                one.wanted,
                usable,
                tried=tried,
                redraw=redraw,
                progress=lambda done, total, before=before: step(before + done, in_all),  # type: ignore[misc]
            )
            before += one.wanted * len(one.order)
            found.walked[one.name] = walked
            found.usable[one.name] = {original.id for part in walked for original in part.found}
            if not redraw:
                found.short.add(one.name)


def redraws(context: RunContext, arm: Arm) -> bool:
    """Whether an original without its addition is replaced by the next: always, but for the counterfactuals of a recipe
    that says otherwise."""
    made = context.recipe.counterfactuals
    return not arm.uses_section or made is None or made.on_failure == "redraw"


def _title(arms: Sequence[str]) -> str:
    if arms == ("cod",):
        return "finding counterfactuals"
    return f"finding what {', '.join(f'`{name}`' for name in arms)} add{'s' if len(arms) == 1 else ''}"


def _say(context: RunContext, found: Additions) -> None:
    for one in found.searches:
        outcomes = one.search.outcomes
        if not outcomes:
            continue
        if one.search.keep != "flip":
            made = sum(outcome.counterfactual is not None for outcome in outcomes.values())
            what = "copies that do not flip" if one.search.keep == "same" else "texts"
            context.progress.say(f"{one.name}: {made} {what}, of {len(outcomes)} originals")
            continue
        verified = sum(outcome.verified for outcome in outcomes.values())
        context.progress.say(f"{one.name}: {verified} verified flips of {len(outcomes)} originals")
        if not one.search.settings.verify:
            context.progress.warn(
                "counterfactuals are unverified (`verify: false`): the teacher was not asked whether they flip"
            )


def read_texts(outcome: PairOutcome) -> list[Input]:
    """What the teacher read in a search besides the original."""
    return outcome.queries[1:]
