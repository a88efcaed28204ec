"""Stage 3c: the training sets, D_train of Algorithm 1, line 6: originals, what is added to them, and what is seen
without a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cod_runner.api import Example, Input
from cod_runner.context import RunContext
from cod_runner.data.content import content_rank
from cod_runner.data.fewshot import Cost, TrainingSet, with_additions
from cod_runner.recipe.arms import COD, CONTROL
from cod_runner.runs.cells import Cell, TrainingSetKey
from cod_runner.stages.additions import Additions, ArmAdditions, read_texts
from cod_runner.stages.choices import Choices
from cod_runner.stages.load import Experiment
from cod_runner.stages.originals import shares_originals

LOW_YIELD = 0.9
"""Of originals that can be used, a smaller share is warned of."""


def draw_training_sets(
    context: RunContext, experiment: Experiment, found: Additions, cells: Iterable[Cell]
) -> dict[TrainingSetKey, TrainingSet]:
    """D_train of every arm, k and seed that some cell trains on. Says where the arms of a comparison are less alike
    than they look."""
    choices = Choices(context, experiment, found.orders)
    sets: dict[TrainingSetKey, TrainingSet] = {}
    wanted = list(dict.fromkeys(cell.training_set for cell in cells))  # methods share it
    with context.progress.bar("drawing training sets") as step:
        for done, key in enumerate(wanted):
            step(done, len(wanted))
            sets[key] = _training_set(context, experiment, found, choices, key)
    _warn_of_unequal_arms(context, sets, experiment.corpus.fold)
    _warn_of_sets_that_do_not_nest(context, experiment)
    return sets


def _training_set(
    context: RunContext, experiment: Experiment, found: Additions, choices: Choices, key: TrainingSetKey
) -> TrainingSet:
    additions, order = found.by_arm[key.arm], found.orders.of(key)
    chosen = found.originals(key)
    read = set(order.read)
    if additions.arm.add:
        groups, asked = choices.groups(key.arm, key.seed, chosen, additions)
        read |= asked
        chosen = with_additions(chosen, groups)
    rows = (*chosen.rows, *_unlabelled(experiment, found, additions, key.seed, chosen))
    chosen = replace(chosen, rows=rows, teacher_disagrees=_disagreements(chosen, additions))
    return replace(chosen, cost=_cost(chosen, additions, read, order.embedded))


def added_in_words(arm: str) -> str:
    """What the originals of an arm must have."""
    return {COD: "a counterfactual", CONTROL: "a copy"}.get(arm, f"what `{arm}` adds")


def _unlabelled(
    experiment: Experiment, found: Additions, additions: ArmAdditions, seed: int, chosen: TrainingSet
) -> list[Example]:
    """Texts with the teacher's word alone, none of which is a row already or like an evaluation row."""
    more = additions.arm.unlabelled
    if more is None:
        return []
    if more.source == "pool":
        taken = {original.id for original in (*chosen.originals, *chosen.lenders)}
        rest = [row for row in experiment.corpus.pool if row.id not in taken]
        # rows that have no label first: the others can still choose and calibrate
        rows = [*_by_rank(experiment.corpus.unlabelled, seed), *_by_rank(rest, seed)]
        return [replace(row, label=None) for row in rows[: more.rows]]
    count = more.per_original or 1
    seen = {row.input for row in chosen.rows}
    rows = []
    for original in (*chosen.originals, *chosen.lenders):
        if additions.unlabelled is not None:
            (outcome,) = additions.unlabelled.search.search([original])
            offered = additions.unlabelled.unlabelled(original, outcome)
        else:
            texts = dict.fromkeys(text for outcome in additions.outcomes(original) for text in read_texts(outcome))
            offered = [Example(f"{original.id}~asked{number}", text) for number, text in enumerate(texts, start=1)]
        unseen = (row for row in offered if row.input not in seen)
        fresh = [row for row in unseen if not _is_like_an_evaluation_row(found, row, original)][:count]
        seen.update(row.input for row in fresh)
        rows += fresh
    return rows


def _by_rank(rows: Iterable[Example], seed: int) -> list[Example]:
    return sorted(rows, key=lambda row: content_rank("unlabelled", seed, row))


def _is_like_an_evaluation_row(found: Additions, row: Example, original: Example) -> bool:
    if found.evaluation_texts is None or not isinstance(row.input, str) or not isinstance(original.input, str):
        return False
    return found.evaluation_texts.nearest(row.input, original.input) is not None


def _disagreements(chosen: TrainingSet, additions: ArmAdditions) -> int | None:
    """Originals that the teacher reads as another class than gold; None where it was not asked about any."""
    read = [
        (outcome.teacher_before, original)
        for original in chosen.originals
        for outcome in list(additions.outcomes(original))[:1]
    ]
    return sum(before.index(max(before)) != original.label for before, original in read) if read else None


def _cost(chosen: TrainingSet, additions: ArmAdditions, read: set[Input], embedded: int) -> Cost:
    """What the rows and the search for them asked of teacher and generators, for originals passed over too; ``read`` is
    what the teacher was asked about to select and to choose."""
    searches = [*additions.searches, *([additions.unlabelled] if additions.unlabelled is not None else [])]
    outcomes = [
        addition.search.outcomes[original.id]
        for addition in searches
        for original in (*chosen.originals, *chosen.passed, *chosen.lenders)
        if original.id in addition.search.outcomes
    ]
    read = read | {row.input for row in chosen.rows} | {text for outcome in outcomes for text in outcome.queries}
    gradients = sum(outcome.gradients for outcome in outcomes)
    prices = [attempt.usd for outcome in outcomes for attempt in outcome.attempts]
    return Cost(
        teacher_queries=len(read) + gradients,
        embedded=embedded,
        generator_calls=len(prices),
        usd=None if None in prices else sum(price or 0.0 for price in prices),
    )


def _warn_of_unequal_arms(context: RunContext, sets: Mapping[TrainingSetKey, TrainingSet], fold: int | None) -> None:
    """One sentence for each arm and for each way in which it is less alike than it looks."""
    of_fold = "" if fold is None else f" (fold {fold})"
    for arm, definition in context.recipe.arms.items():
        made = [chosen for key, chosen in sets.items() if key.arm == arm] if definition.add else []
        outside = [chosen.outside for chosen in made if chosen.outside]
        if outside:
            originals = "1 original lies" if max(outside) == 1 else f"up to {max(outside)} originals lie"
            context.progress.warn(
                f"`{arm}`{of_fold}: in {_sets_in_words(outside, made)} {originals} outside what `plain` has"
            )
        yields = [chosen.group_yield for chosen in made if chosen.group_yield < LOW_YIELD]
        if yields:
            others = " and what arms with the same originals add" if shares_originals(context.recipe, arm) else ""
            context.progress.warn(
                f"`{arm}`{of_fold}: in {_sets_in_words(yields, made)} fewer than {LOW_YIELD:.0%} of the originals gave "
                f"{added_in_words(arm)}{others} ({min(yields):.0%} at the least)"
            )


def _sets_in_words(some: Sequence[object], sets: Sequence[TrainingSet]) -> str:
    """``3 of 8 sets``: a set is of one k and seed."""
    return f"{len(some)} of {len(sets)} {'set' if len(sets) == 1 else 'sets'}"


def _warn_of_sets_that_do_not_nest(context: RunContext, experiment: Experiment) -> None:
    for arm, definition in context.recipe.arms.items() if len(context.recipe.k) > 1 else ():
        chooser = definition.choose and definition.choose.use
        by = [f"the selector `{definition.select.use}`"] if not experiment.selectors[arm].nested else []
        by += [f"the chooser `{chooser}`"] if chooser and not experiment.choosers[arm].nested else []
        if by:
            context.progress.warn(
                f"`{arm}` at a smaller k is not a part of it at a larger one: {' and '.join(by)} looks at the whole set"
            )
