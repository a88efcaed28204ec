"""What a run is estimated to ask of paid models, before anything is read or spent, and whether its budget allows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cod_runner.api import CallEstimate
from cod_runner.data.corpus import DEV_ROWS
from cod_runner.errors import standing_at
from cod_runner.recipe.answering import answering_of
from cod_runner.recipe.grammar import Calibration, Recipe
from cod_runner.recipe.nodes import Place
from cod_runner.registry import Registry
from cod_runner.runs.folds import folds_of
from cod_runner.sizes import training_texts

CHARACTERS_A_TEXT = 200.0
"""Assumed where the data has not been read: calls are priced before anything is downloaded."""


@dataclass(frozen=True)
class TeacherQueries:
    """How many texts a teacher that only answers is asked about, at most: every text new, nothing stored."""

    purpose: str
    texts: int | None
    """None where it is not known before the run."""
    calls: CallEstimate | None
    """What they cost, where the teacher is paid."""
    unknown: str = ""
    """In words, where it is not known."""

    def __str__(self) -> str:
        texts = self.unknown if self.texts is None else f"at most {self.texts:,}"
        return f"for {self.purpose} {texts}" + (f" ({told(self.calls)})" if self.calls is not None else "")


def told(estimate: CallEstimate) -> str:
    """An estimate in words."""
    calls = f"{estimate.calls_low:,} to {estimate.calls_high:,} calls"
    tokens = f"{estimate.tokens_low:,} to {estimate.tokens_high:,} tokens"
    if estimate.usd_low is None or estimate.usd_high is None:
        price = "price unknown"
    else:
        price = f"${estimate.usd_low:,.2f} to ${estimate.usd_high:,.2f}"
    return f"{estimate.model}: {calls}, {tokens}, {price} (answers already in the ledger cost nothing)"


def generator_calls(recipe: Recipe, registry: Registry) -> list[CallEstimate]:
    """What each generator that calls a paid model needs."""
    calls = []
    for place, kind, use in recipe.generators():
        with standing_at(*place), registry.asked(kind, use.use, use.options) as options:
            estimate = options.estimate(originals_searched(recipe, place), CHARACTERS_A_TEXT)
        if estimate is not None:
            calls.append(estimate)
    return calls


def all_calls(generators: Sequence[CallEstimate], queries: Sequence[TeacherQueries]) -> list[CallEstimate]:
    """Those of generators and of the teacher, where it is paid."""
    return [*generators, *(query.calls for query in queries if query.calls is not None)]


def budget_warnings(recipe: Recipe, calls: Sequence[CallEstimate]) -> Iterator[str]:
    """One sentence for each bound of the budget that the estimated calls exceed, or may exceed."""
    bounds, key = recipe.bounds, recipe.budget_key
    usd = [(each.usd_low, each.usd_high) for each in calls if each.usd_low is not None and each.usd_high is not None]
    for what, bound, low, high in (
        ("{:,} calls", bounds.calls, sum(each.calls_low for each in calls), sum(each.calls_high for each in calls)),
        ("{:,} tokens", bounds.tokens, sum(each.tokens_low for each in calls), sum(each.tokens_high for each in calls)),
        ("${:,.2f}", bounds.usd, sum(low for low, _ in usd), sum(high for _, high in usd)),
    ):
        if bound is None or bound >= high:
            continue
        less = "less what the ledger has"
        if bound < low:
            yield (
                f"{key} allows {what.format(bound)}, and the run needs about {what.format(low)} at the least, {less}; "
                "it would end there, and go on with a larger budget"
            )
        else:
            yield (
                f"{key} allows {what.format(bound)}, and the run may need up to about {what.format(high)}, {less}; it "
                "would then end there, and go on with a larger budget"
            )


def teacher_queries(recipe: Recipe, registry: Registry) -> list[TeacherQueries]:
    """What a teacher that only answers is asked about, by purpose; nothing for a network."""
    answering = answering_of(recipe, registry)
    if answering is None:
        return []
    calibration = recipe.teacher.calibration or Calibration()
    dev = DEV_ROWS if recipe.evaluate.select == "best_dev" else 0
    split = f"every row of `{recipe.evaluate.split}`, unless `evaluate.rows` says how many"
    if recipe.evaluate.folds is not None:
        split = "every labelled row"
    calibrating = (calibration.unlabelled + calibration.gold) * max(1, len(folds_of(recipe)))  # anew for each fold
    wanted: list[tuple[str, int | None, str]] = [
        ("training texts and calibration", training_texts(recipe) + calibrating, ""),
        ("the choice of originals", _selecting(recipe, registry), "a number that its selectors cannot say"),
        ("the search", _searching(recipe, registry), "a number that its generators cannot say"),
        ("the evaluation", None if recipe.evaluate.rows is None else recipe.evaluate.rows + dev, split),
    ]
    with standing_at("teacher"), registry.asked("teacher", recipe.teacher.use, recipe.teacher.options) as options:
        return [
            TeacherQueries(
                purpose,
                texts,
                options.estimate(texts, CHARACTERS_A_TEXT) if texts else None,
                unknown if texts is None else "",
            )
            for purpose, texts, unknown in wanted
            if texts != 0
        ]


def _selecting(recipe: Recipe, registry: Registry) -> int | None:
    """Texts that selectors ask the teacher about; arms with equal selectors ask once."""
    wanted: dict[str, int | None] = {}
    for name, arm in recipe.arms.items():
        use = arm.select
        with standing_at("arms", name, "select"), registry.asked("selector", use.use, use.options) as options:
            wanted[repr((use.use, use.options))] = options.questions(max(recipe.k))
    counts = list(wanted.values())
    return None if None in counts else len(recipe.seeds) * sum(each or 0 for each in counts)


def _searching(recipe: Recipe, registry: Registry) -> int | None:
    """Texts that generators and choosers ask the teacher about, and their candidates."""
    asking = [*recipe.generators()]
    asking += [(("arms", name, "choose"), "chooser", arm.choose) for name, arm in recipe.arms.items() if arm.choose]
    counts = []
    for place, kind, use in asking:
        with standing_at(*place), registry.asked(kind, use.use, use.options) as options:
            counts.append(options.questions(originals_searched(recipe, place)))
    return None if None in counts else sum(each or 0 for each in counts)


def originals_searched(recipe: Recipe, place: Place) -> int:
    """How many originals a generator is asked about at least: those of the largest k, all seeds, and the arm of the
    smallest groups among those that need it."""
    needing = list(recipe.arms.values())
    if place[0] == "arms":
        needing = [recipe.arms[str(place[1])]]
    elif place[0] == "counterfactuals":
        needing = [arm for arm in recipe.arms.values() if arm.uses_section]
    looked_at = [
        max(recipe.k) // arm.group * (1 if arm.of == "own" else 2) for arm in needing if arm.add or arm.unlabelled
    ]
    return len(recipe.seeds) * max(looked_at, default=0)
