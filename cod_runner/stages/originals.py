"""Stage 3a: in which order each arm draws its originals: D_k of Algorithm 1, line 1, by seed and selector."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from cod_runner.api import Example, Input, Selection, Teacher
from cod_runner.component_results import check_ranking
from cod_runner.context import RunContext
from cod_runner.counterfactuals import RecordingView
from cod_runner.data.content import by_class
from cod_runner.data.fewshot import in_random_order
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_view import CachedTeacher
from cod_runner.errors import standing_at
from cod_runner.recipe.grammar import Recipe
from cod_runner.runs.cells import TrainingSetKey
from cod_runner.runs.identity import component_identity
from cod_runner.stages.load import Experiment
from cod_runner.store import content_key


@dataclass(frozen=True)
class Order:
    """The originals in the order of drawing: ``[classes][rows]``, or ``[1][rows]`` where classes are not balanced."""

    parts: Sequence[Sequence[Example]]
    read: frozenset[Input]
    """What the selector asked the teacher about."""
    embedded: int
    """Texts that its encoder embedded."""


def shares_originals(recipe: Recipe, arm: str) -> bool:
    """Whether an arm passes over what other arms cannot use."""
    return bool(recipe.arms[arm].add) if recipe.same_originals is None else recipe.same_originals


class Orders:
    """Every order that the cells of a run draw by; each is made when it is first asked for."""

    def __init__(self, context: RunContext, experiment: Experiment, teacher: Teacher) -> None:
        self._context, self._experiment, self.teacher = context, experiment, teacher
        self.view = CachedTeacher(teacher, SignalStore(context.store.signals), context.device)
        """The teacher as selectors, generators and choosers see it."""
        self._made: dict[Hashable, Order] = {}
        self._classes = len(experiment.corpus.labels)

    def of(self, key: TrainingSetKey) -> Order:
        """The order that the originals of a training set are drawn by."""
        name = self._name(key)
        if name not in self._made:
            with standing_at("arms", key.arm, "select"):
                self._made[name] = self._order(key)
        return self._made[name]

    def walk_name(self, key: TrainingSetKey) -> str:
        """Names the walk along an order that the originals of a training set come from: arms that share their originals
        walk together."""
        alone = not shares_originals(self._context.recipe, key.arm)
        return content_key([self._name(key), key.arm if alone else "", key.seed])

    def _name(self, key: TrainingSetKey) -> str:
        """What decides the order of a training set; equal for arms that draw from the same order."""
        arm = self._context.recipe.arms[key.arm]
        select = component_identity(self._context.registry, "selector", arm.select)
        nested = self._experiment.selectors[key.arm].nested
        wanted = None if nested else arm.originals(key.k, self._classes)
        return content_key([select, arm.balanced, key.seed, wanted])

    def _order(self, key: TrainingSetKey) -> Order:
        arm, selector = self._context.recipe.arms[key.arm], self._experiment.selectors[key.arm]
        pool = self._experiment.corpus.pool
        view = RecordingView(self.view)
        embedded: list[int] = []
        parts = []
        with self._context.progress.bar(f"ordering originals by `{arm.select.use}`, seed {key.seed}") as step:
            for rows in by_class(pool, self._classes) if arm.balanced else [list(pool)]:
                ordered = in_random_order(rows, key.seed)
                wanted = min(len(ordered), arm.originals(key.k, self._classes))
                inputs = [row.input for row in ordered]
                ranked = selector.rank(Selection(inputs, wanted, key.seed, view, embedded.append, step))
                named = self._context.registry.named("selector", arm.select.use)
                parts.append([ordered[place] for place in check_ranking(named, ranked, len(ordered))])
        return Order(parts, frozenset(view.shared), sum(embedded))
