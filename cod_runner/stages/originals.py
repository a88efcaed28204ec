"""Stage 3a: in which order each arm draws its originals: D_k of Algorithm 1, line 1, by seed and selector."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from cod_runner.api import Example, Input, Selection, Selector, Teacher
from cod_runner.component_results import check_ranking
from cod_runner.context import RunContext
from cod_runner.counterfactuals import RecordingView
from cod_runner.data.fewshot import in_random_order, parts_of
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_view import CachedTeacher
from cod_runner.errors import standing_at
from cod_runner.recipe.arms import Arm
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


class Orders:
    """Every order that the cells of a run draw by; each is made when it is first asked for."""

    def __init__(self, context: RunContext, experiment: Experiment, teacher: Teacher) -> None:
        self._context, self._experiment, self.teacher = context, experiment, teacher
        self.view = CachedTeacher(teacher, SignalStore(context.store.signals), context.device)
        """The teacher as selectors, generators and choosers see it."""
        self._made: dict[Hashable, Order] = {}
        self._classes = len(experiment.corpus.labels)

    def name(self, arm: str, k: int, seed: int) -> str:
        """What decides the order of an arm at ``k`` and ``seed``; equal for arms that draw from the same order."""
        definition = self._context.recipe.arms[arm]
        select = component_identity(self._context.registry, "selector", definition.select)
        nested = self._experiment.selectors[arm].nested
        wanted = None if nested else definition.originals(k, self._classes)
        return content_key([select, definition.balanced, seed, wanted])

    def of(self, arm: str, k: int, seed: int) -> Order:
        """The order of an arm at ``k`` and ``seed``."""
        name = self.name(arm, k, seed)
        if name not in self._made:
            with standing_at("arms", arm, "select"):
                self._made[name] = self._order(self._context.recipe.arms[arm], self._experiment.selectors[arm], k, seed)
        return self._made[name]

    def _order(self, arm: Arm, selector: Selector, k: int, seed: int) -> Order:
        pool = self._experiment.corpus.pool
        view = RecordingView(self.view)
        embedded: list[int] = []
        parts = []
        with self._context.progress.bar(f"ordering originals by `{arm.select.use}`, seed {seed}") as step:
            for rows in parts_of(pool, self._classes) if arm.balanced else [list(pool)]:
                ordered = in_random_order(rows, seed)
                wanted = min(len(ordered), arm.originals(k, self._classes))
                inputs = [row.input for row in ordered]
                ranked = selector.rank(Selection(inputs, wanted, seed, view, embedded.append, step))
                named = self._context.registry.named("selector", arm.select.use)
                parts.append([ordered[place] for place in check_ranking(named, ranked, len(ordered))])
        return Order(parts, frozenset(view.shared), sum(embedded))
