"""Where an arm has a chooser: which of each original's candidates it adds."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cod_runner.api import BuildContext, Choice, Choosing, Classifier, Example, Input, Teacher
from cod_runner.component_results import check_choices
from cod_runner.context import RunContext
from cod_runner.counterfactuals import Addition, PairOutcome, RecordingView
from cod_runner.data.fewshot import Group, TrainingSet
from cod_runner.engine.asking import network
from cod_runner.engine.device import resolve_precision, threads
from cod_runner.engine.inference import predict
from cod_runner.engine.seeds import derived_seed
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.training import train_student
from cod_runner.stages.additions import ArmAdditions
from cod_runner.stages.build import build_student, build_term
from cod_runner.stages.load import Experiment
from cod_runner.stages.originals import Orders


class Choices:
    """Makes the groups of training sets, with the arm's chooser where it has one."""

    def __init__(self, context: RunContext, experiment: Experiment, orders: Orders) -> None:
        self._context, self._experiment, self._orders = context, experiment, orders

    def groups(
        self, arm: str, seed: int, chosen: TrainingSet, additions: ArmAdditions
    ) -> tuple[dict[str, Group], set[Input]]:
        """(groups by the original's id, what the chooser asked the teacher about)."""
        originals = chosen.lenders or chosen.originals
        if additions.arm.choose is None:
            found = {original.id: additions.groups[original.id] for original in originals}
            return {name: group for name, group in found.items() if group is not None}, set()
        view = RecordingView(self._orders.view)
        student = WarmStudent(self._context, self._experiment, self._orders.teacher, chosen.originals, seed)
        choosing = Choosing(view, student, derived_seed(seed, "choosing"))
        added: dict[str, list[Example]] = {original.id: [] for original in originals}
        for addition in additions.additions:
            outcomes = addition.search.search(originals)
            orders = self._ranked(arm, addition, originals, outcomes, choosing)
            for original, outcome, order in zip(originals, outcomes, orders, strict=True):
                added[original.id] += addition.of(original, outcome, order) or []
        groups = {original.id: Group(original, tuple(added[original.id])) for original in originals}
        return groups, view.shared

    def _ranked(
        self,
        arm: str,
        addition: Addition,
        originals: Sequence[Example],
        outcomes: Sequence[PairOutcome],
        choosing: Choosing,
    ) -> Sequence[Sequence[int]]:
        choices = [
            Choice(original, tuple(addition.candidates(outcome)))
            for original, outcome in zip(originals, outcomes, strict=True)
        ]
        ranked = self._experiment.choosers[arm].rank(choices, choosing)
        use = self._context.recipe.arms[arm].choose
        assert use is not None
        named = self._context.registry.named("chooser", use.use)
        return check_choices(named, ranked, [len(choice.candidates) for choice in choices])


class WarmStudent:
    """The recipe's student, trained briefly on originals alone by the recipe's first method; once for each length."""

    def __init__(
        self,
        context: RunContext,
        experiment: Experiment,
        teacher: Teacher,
        originals: Sequence[Example],
        seed: int,
    ) -> None:
        self._context, self._experiment, self._teacher = context, experiment, teacher
        self._originals, self._seed = originals, seed
        self._trained: dict[int, Classifier] = {}

    def __call__(self, inputs: Sequence[Input], steps: int) -> list[tuple[float, ...]]:
        """Probabilities ``[inputs][classes]`` after ``steps`` steps."""
        device = self._context.device
        if steps not in self._trained:
            self._trained[steps] = self._train(steps)
        with threads(1):
            logits = predict(self._trained[steps], inputs, device=device, precision="fp32")
        return [tuple(row) for row in torch.softmax(logits.double().cpu(), 1).tolist()]

    def _train(self, steps: int) -> Classifier:
        context, labels, device = self._context, self._experiment.corpus.labels, self._context.device
        store = SignalStore(context.store.signals)
        inputs = [original.input for original in self._originals]
        store.add(self._teacher, inputs, self._experiment.teacher_layers, device=device)
        given = BuildContext(labels=labels, seed=self._seed, teacher=lambda: network(self._teacher))
        student = build_student(context.worker, context.registry, given)
        terms = [
            build_term(context.worker, context.registry, labels, term, self._seed)
            for term in next(iter(context.recipe.methods.values()))
        ]
        settings = context.recipe.train.model_copy(update={"epochs": None, "steps": steps})
        precision = resolve_precision(settings.precision, device)
        with threads(1):
            train_student(
                student,
                self._originals,
                terms,
                store.reader(self._teacher.fingerprint, device),
                settings.model_copy(update={"precision": precision}),
                seed=derived_seed(self._seed, "warm-up"),
                device=device,
            )
        return student
