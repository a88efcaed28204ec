"""Stage 3: the pairs that a recipe's cells need, stored or searched anew, and the training sets that they make.

The copies of the arm `control` are found by the same search, turned round: the teacher must read them as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cod_runner.api import Classifier, Example
from cod_runner.context import RunContext
from cod_runner.counterfactuals import OutcomeStore, PairOutcome, PairSearch, Quality, quality_table
from cod_runner.data.fewshot import Pair, TrainingSet, training_sets
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_view import CachedTeacher
from cod_runner.progress import Progress
from cod_runner.recipe.grammar import PAIRED, Arm, Counterfactuals
from cod_runner.runs.cells import Cell, control_identity, counterfactual_identity
from cod_runner.stages.load import Experiment
from cod_runner.store import content_key


@dataclass(frozen=True)
class FoundPairs:
    """Every pair of a run, and what was searched on the way."""

    pairs: Mapping[str, Pair] = field(default_factory=dict)
    """By the original's id."""
    outcomes: Mapping[str, PairOutcome] = field(default_factory=dict)
    """By the original's id, failures included, in the order they were searched."""
    examples: Mapping[str, Example] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    redraw: bool = True
    kind: str = "cf"
    """`cf`, or `copy` in the arm `control`."""

    @property
    def quality(self) -> list[Quality]:
        """The field's measures of all outcomes; none where nothing was searched."""
        if not self.outcomes:
            return []
        return quality_table(list(self.outcomes.values()), [self.examples[name] for name in self.outcomes])

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of ``counterfactuals.jsonl``."""
        return [self._line(source, outcome) for source, outcome in self.outcomes.items()]

    def disagreements(self, chosen: TrainingSet) -> int | None:
        """Originals that the teacher reads as another class than gold; None where it was not asked about any."""
        read = [(self.outcomes[row.id].teacher_before, row) for row in chosen.rows if row.id in self.outcomes]
        return sum(before.index(max(before)) != row.label for before, row in read) if read else None

    def _line(self, source: str, outcome: PairOutcome) -> dict[str, Any]:
        name = self.labels.__getitem__
        return {
            "pair_id": f"{source}~{self.kind}",
            "source_id": source,
            "original": outcome.original,
            "counterfactual": outcome.counterfactual,
            "gold": name(self.examples[source].label),
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
                    "text": attempt.input,
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
        }


def find_pairs(
    context: RunContext,
    experiment: Experiment,
    teacher: Classifier,
    cells: Sequence[Cell],
    originals: Mapping[int, Sequence[Sequence[Example]]],
) -> dict[Arm, FoundPairs]:
    """Counterfactuals for the cells of ``cod``, copies that do not flip for those of ``control``; ``plain`` has none,
    nor has an arm without cells."""
    found: dict[Arm, FoundPairs] = {"plain": FoundPairs(), "cod": FoundPairs(), "control": FoundPairs()}
    if PAIRED.isdisjoint(cell.arm for cell in cells):
        return found
    recipe, progress = context.recipe, context.progress
    examples = {example.id: example for order in originals.values() for rows in order for example in rows}
    labels = experiment.corpus.labels
    # A generator may learn from the pool, so the pool decides what it proposes.
    pool = content_key([[row.input, row.label] for row in experiment.corpus.pool])
    view = CachedTeacher(teacher, SignalStore(context.store.signals), context.device)
    outcomes = OutcomeStore(context.store.folder("pairs") / "pairs.sqlite")

    def search(arm: Arm, settings: Counterfactuals, identity: Any) -> PairSearch:
        makers = experiment.generators[arm]
        return PairSearch(makers, view, teacher.fingerprint, settings, [identity, pool], outcomes, arm == "cod")

    settings = recipe.counterfactuals
    if (largest := _largest_k(cells, "cod")) and settings is not None:
        flips = search("cod", settings, counterfactual_identity(recipe, context.registry))
        pairs = _walk(flips, originals, largest, "finding counterfactuals", progress)
        verified = sum(outcome.verified for outcome in flips.outcomes.values())
        progress.say(f"counterfactuals: {verified} verified flips of {len(flips.outcomes)} originals")
        if not settings.verify:
            progress.warn(
                "counterfactuals are unverified (`verify: false`): the teacher was not asked whether they flip"
            )
        found["cod"] = FoundPairs(pairs, flips.outcomes, examples, labels, settings.on_failure == "redraw")
    if (largest := _largest_k(cells, "control")) and recipe.control is not None:
        identity = control_identity(recipe, context.registry)
        copies = search("control", Counterfactuals(generators=[recipe.control]), identity)
        pairs = _walk(copies, originals, largest, "making unflipped copies", progress)
        progress.say(f"control: {len(pairs)} copies that do not flip, of {len(copies.outcomes)} originals")
        found["control"] = FoundPairs(pairs, copies.outcomes, examples, labels, kind="copy")
    return found


def draw_training_sets(
    context: RunContext,
    cells: Iterable[Cell],
    originals: Mapping[int, Sequence[Sequence[Example]]],
    found: Mapping[Arm, FoundPairs],
) -> dict[tuple[Arm, int, int], TrainingSet]:
    """D_train of every (arm, k, seed) that some cell trains on: k originals, or k/2 and the other halves of their
    pairs. Says where the arms of a comparison are less alike than they look."""
    pairs = {arm: of_arm.pairs for arm, of_arm in found.items()}
    wanted = (cell.training_set for cell in cells)  # methods share it
    sets = training_sets(wanted, originals, pairs, redraw=found["cod"].redraw)
    _warn_of_unequal_arms(sets, context.progress)
    return {
        place: replace(chosen, teacher_disagrees=found[place[0]].disagreements(chosen))
        for place, chosen in sets.items()
    }


def _warn_of_unequal_arms(sets: Mapping[tuple[Arm, int, int], TrainingSet], progress: Progress) -> None:
    for (arm, k, seed), chosen in sets.items():
        if arm in PAIRED and chosen.outside:
            progress.warn(f"k={k}, seed {seed}: {chosen.outside} originals of `{arm}` lie outside what `plain` has")
        if arm in PAIRED and chosen.pair_yield < 0.9:
            what = "a counterfactual" if arm == "cod" else "a copy"
            progress.warn(f"k={k}, seed {seed}: only {chosen.pair_yield:.0%} of the originals gave {what}")


def _largest_k(cells: Sequence[Cell], arm: Arm) -> dict[int, int]:
    """The largest k of each seed among the cells of an arm: the pairs of a smaller k are among its pairs."""
    largest: dict[int, int] = {}
    for cell in cells:
        if cell.arm == arm:
            largest[cell.seed] = max(largest.get(cell.seed, 0), cell.k)
    return largest


def _walk(
    search: PairSearch,
    originals: Mapping[int, Sequence[Sequence[Example]]],
    largest: Mapping[int, int],
    what: str,
    progress: Progress,
) -> dict[str, Pair]:
    """Walk the originals of every seed until each class has as many pairs as the largest k wants."""
    pairs: dict[str, Pair] = {}
    wanted_in_all = sum(k // 2 for k in largest.values())
    with progress.bar(what) as step:
        step(0, wanted_in_all)
        for seed, k in largest.items():
            before = len(pairs)
            pairs.update(
                search.walk(
                    originals[seed],
                    k // 2 // len(originals[seed]),
                    lambda done, total, before=before: step(min(before + done, wanted_in_all), wanted_in_all),  # type: ignore[misc]
                )
            )
    return pairs


def _rounded(probabilities: tuple[float, ...] | None) -> list[float] | None:
    return None if probabilities is None else [round(value, 6) for value in probabilities]
