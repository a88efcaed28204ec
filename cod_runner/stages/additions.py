"""Stage 3b: what each arm adds to its originals, stored or searched anew: D_cf of Algorithm 1, lines 2 to 5.

Near misses come from the same search as flips; copies from a search turned round, in which the teacher must read them
as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cod_runner.api import Example, Input, input_as_json
from cod_runner.context import RunContext
from cod_runner.counterfactuals import Addition, OutcomeStore, PairOutcome, PairSearch, Quality, quality_table, walk
from cod_runner.counterfactuals.additions import What
from cod_runner.data.fewshot import Group, originals_looked_at
from cod_runner.data.nearness import EvaluationTexts
from cod_runner.recipe.arms import CONTROL, Arm, Keep, SearchWord
from cod_runner.recipe.grammar import Counterfactuals
from cod_runner.recipe.nodes import Place
from cod_runner.recipe.sections import Use
from cod_runner.runs.cells import Cell
from cod_runner.runs.identity import control_identity, counterfactual_identity, generator_identity
from cod_runner.stages.load import Experiment
from cod_runner.stages.originals import Orders
from cod_runner.store import content_key

TAKEN: dict[Keep, What] = {"flip": "flips", "same": "copies", "any": "texts"}


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


@dataclass(frozen=True)
class Searched:
    """A search and where its outcomes are written."""

    name: str
    """The stem of its file in the run's folder."""
    search: PairSearch
    suffix: str
    """What the ids of its pairs end in."""


@dataclass
class Additions:
    """Everything that the arms of a run add, and what was searched on the way."""

    orders: Orders
    by_arm: dict[str, ArmAdditions] = field(default_factory=dict)
    searches: list[Searched] = field(default_factory=list)
    usable: dict[str, set[str]] = field(default_factory=dict)
    """Ids of the originals that can be used, by the name of the walk."""
    examples: Mapping[str, Example] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    held_out: EvaluationTexts | None = None

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

    def usable_in(self, walk: str) -> Callable[[Example], bool]:
        """Whether an original can be used by the arms of a walk; any, where there was none."""
        usable = self.usable.get(walk)
        return lambda original: usable is None or original.id in usable

    def lines(self, searched: Searched) -> list[dict[str, Any]]:
        """The lines of a search's file."""
        return [
            _line(self.examples[source], outcome, self.labels, searched.suffix)
            for source, outcome in searched.search.outcomes.items()
        ]


FLIPS = "counterfactuals"
"""The section, and the stem of the file of its outcomes."""


def find_additions(context: RunContext, experiment: Experiment, orders: Orders, cells: Sequence[Cell]) -> Additions:
    """Search what the arms of ``cells`` add to their originals, for the largest k of each seed: that of a smaller k is
    part of it."""
    found = Additions(orders, labels=experiment.corpus.labels)
    found.examples = {example.id: example for example in experiment.corpus.pool}
    arms = {cell.arm: context.recipe.arms[cell.arm] for cell in cells}
    if any(arm.add or arm.unlabelled for arm in arms.values()):
        found.held_out = EvaluationTexts([*experiment.corpus.evaluation, *experiment.dev])
    maker = _Searches(context, experiment, found)
    for name, arm in arms.items():
        found.by_arm[name] = maker.additions(name, arm)
    for one in walks_of(context, experiment, cells, orders):
        _walk(context, one, found)
    _say(context, found)
    return found


@dataclass(frozen=True)
class ArmsTogether:
    """Arms that walk one order together and pass over the same originals."""

    name: str
    order: Sequence[Sequence[Example]]
    arms: tuple[str, ...]
    wanted: int
    """Originals of each part."""


def walk_name(context: RunContext, orders: Orders, arm: str, k: int, seed: int) -> str:
    """Names the walk that an arm's originals come from, at ``k`` and ``seed``."""
    alone = not shares_originals(context, arm)
    return content_key([orders.name(arm, k, seed), arm if alone else "", seed])


def shares_originals(context: RunContext, arm: str) -> bool:
    """Whether an arm passes over what other arms cannot use."""
    same = context.recipe.same_originals
    return bool(context.recipe.arms[arm].add) if same is None else same


def walks_of(
    context: RunContext, experiment: Experiment, cells: Sequence[Cell], orders: Orders
) -> Iterator[ArmsTogether]:
    """Every walk of a run; none for arms that add nothing and share nothing."""
    classes = len(experiment.corpus.labels)
    arms: dict[str, list[str]] = {}
    wanted: dict[str, int] = {}
    order: dict[str, Sequence[Sequence[Example]]] = {}
    for cell in cells:
        name = walk_name(context, orders, *cell.training_set)
        if cell.arm not in arms.setdefault(name, []):
            arms[name].append(cell.arm)
        looked_at = originals_looked_at(context.recipe.arms[cell.arm], cell.k, classes)
        wanted[name] = max(wanted.get(name, 0), looked_at)
        order[name] = orders.of(*cell.training_set).parts
    for name, of_walk in arms.items():
        if any(context.recipe.arms[arm].add for arm in of_walk):
            yield ArmsTogether(name, order[name], tuple(of_walk), wanted[name])


def _walk(context: RunContext, one: ArmsTogether, found: Additions) -> None:
    adding = [found.by_arm[name] for name in one.arms if found.by_arm[name].additions]
    redraw = all(redraws(context, arm.arm) for arm in adding)

    def usable(originals: Sequence[Example]) -> list[bool]:
        for arm in adding:
            arm.look_at(originals)
        return [all(arm.groups[original.id] is not None for arm in adding) for original in originals]

    with context.progress.bar(_title(one.arms)) as step:
        step(0, one.wanted * len(one.order))
        taken = walk(one.order, one.wanted, usable, redraw=redraw, progress=step)
    found.usable.setdefault(one.name, set()).update(original.id for original in taken)


def redraws(context: RunContext, arm: Arm) -> bool:
    """Whether an original without its addition is replaced by the next: always, but for the counterfactuals of a recipe
    that says otherwise."""
    made = context.recipe.counterfactuals
    return not arm.uses_section or made is None or made.on_failure == "redraw"


def _title(arms: Sequence[str]) -> str:
    if arms == ("cod",):
        return "finding counterfactuals"
    return f"finding what {', '.join(f'`{name}`' for name in arms)} add{'s' if len(arms) == 1 else ''}"


class _Searches:
    """Makes the searches of the arms, one for each way of asking."""

    def __init__(self, context: RunContext, experiment: Experiment, found: Additions) -> None:
        self._context, self._experiment, self._found = context, experiment, found
        self._view = found.orders.view
        self._stored = OutcomeStore(context.store.folder("pairs") / "pairs.sqlite")
        corpus = experiment.corpus
        # A generator may learn from the pool, and a candidate like an evaluation row is refused: both decide.
        held_out = [row.input for row in (*corpus.evaluation, *experiment.dev)]
        self._data = content_key([[[row.input, row.label] for row in corpus.pool], held_out])
        self._made: dict[str, PairSearch] = {}

    def additions(self, name: str, arm: Arm) -> ArmAdditions:
        """The additions of an arm."""
        made = ArmAdditions(arm, [self._addition(name, place, arm, each) for place, each in enumerate(arm.add)])
        more = arm.unlabelled
        if more is not None and isinstance(more.source, Use):
            place = ("arms", name, "unlabelled", "from")
            count = more.per_original or 1
            search = self._search([place], self._own(more.source, "any"), "any", count, f"unlabelled-{name}", "new")
            made.unlabelled = Addition(search, "texts", count)
        return made

    def _addition(self, name: str, place: int, arm: Arm, each: SearchWord | Use) -> Addition:
        recipe, registry, count = self._context.recipe, self._context.registry, arm.per_original
        if isinstance(each, Use):
            keep = arm.keep or "flip"
            at = ("arms", name, "add", place)
            file = f"added-{name}" if place == 0 else f"added-{name}-{place + 1}"
            search = self._search([at], self._own(each, keep), keep, count, file, TAKEN[keep])
            return Addition(search, TAKEN[keep], count)
        if each == CONTROL:
            assert recipe.control is not None  # the recipe was checked
            copying = Counterfactuals(generators=[recipe.control]), control_identity(recipe, registry)
            return Addition(self._search([("control",)], copying, "same", count, CONTROL, "copy"), "copies", count)
        assert recipe.counterfactuals is not None
        flipping = recipe.counterfactuals, counterfactual_identity(recipe, registry)
        places = [("counterfactuals", "generators", index) for index in range(len(recipe.counterfactuals.generators))]
        what: What = "flips" if each == "flips" else "misses"
        return Addition(self._search(places, flipping, "flip", count, FLIPS, "cf"), what, count)

    def _own(self, use: Use, keep: Keep) -> tuple[Counterfactuals, Any]:
        """(settings, identity) of a generator that an arm names itself; for flips those of the section hold."""
        recipe = self._context.recipe
        settings = Counterfactuals(generators=[use])
        if keep == "flip" and recipe.counterfactuals is not None:
            settings = recipe.counterfactuals.model_copy(update={"generators": [use]})
        return settings, generator_identity(recipe, self._context.registry, use, keep)

    def _search(
        self,
        places: Sequence[Place],
        made: tuple[Counterfactuals, Any],
        keep: Keep,
        wanted: int,
        file: str,
        suffix: str,
    ) -> PairSearch:
        settings, identity = made
        identity = [identity, self._data, *([] if wanted == 1 else [{"on different words": wanted}])]
        key = content_key([identity, keep])
        if key not in self._made:
            makers = [self._experiment.generators[place] for place in places]
            self._made[key] = PairSearch(
                makers, self._view, self._view.fingerprint, settings, identity, self._stored, keep, wanted,
                self._found.held_out,
            )  # fmt: skip
            taken = {one.name for one in self._found.searches}
            name = file if file not in taken else f"{file}-{wanted}"
            self._found.searches.append(Searched(name, self._made[key], suffix))
        return self._made[key]


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


def _line(original: Example, outcome: PairOutcome, labels: Sequence[str], suffix: str) -> dict[str, Any]:
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


def read_texts(outcome: PairOutcome) -> list[Input]:
    """What the teacher read in a search besides the original."""
    return outcome.queries[1:]
