"""The training loop. It knows contracts only: a classifier, weighted losses, a teacher's kept signals.

Loss = sum over terms of weight x mean over the batch of the term's value per example (Algorithm 1, line 12).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from cod_runner.api import Batch, Classifier, Example, Loss, Needs, Outputs, TrainSettings, VocabularyCut
from cod_runner.engine.batches import TrainingBatches
from cod_runner.engine.binding import LossData, bind_losses
from cod_runner.engine.optimisation import build_optimiser, clip_gradients, cut_is_exact, rate_factor
from cod_runner.engine.precision import autocast, resolve_precision
from cod_runner.engine.seeds import derived_seed
from cod_runner.engine.signals import TeacherSignals
from cod_runner.errors import CodrunError

STEPS_BETWEEN_LOOKS = 20
"""How often the losses are brought from the device; in between nothing waits for it."""


@dataclass(frozen=True)
class WeightedTerm:
    """One term of a method's loss."""

    name: str
    loss: Loss
    weight: float


@dataclass(frozen=True)
class TrainingResult:
    """What a training left besides the weights."""

    steps: int
    losses: dict[str, float]
    """Each term's value, unweighted, averaged over the last steps."""
    best_epoch: int | None = None
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    """(step, value of each term), every :data:`STEPS_BETWEEN_LOOKS` steps."""


def refuse_misaligned(
    name: str, loss: Loss, teacher: Classifier, student: Classifier, examples: Sequence[Example]
) -> None:
    """A loss that compares positions needs one tokenisation; raises before anything is trained."""
    if getattr(loss, "aligned", False):
        inputs = [example.input for example in examples]
        for ours, theirs in zip(student.encode(inputs), teacher.encode(inputs), strict=True):
            if ours.ids != theirs.ids:
                raise CodrunError(_misaligned(name))


def train_student(
    student: Classifier,
    examples: Sequence[Example],
    terms: Sequence[WeightedTerm],
    signals: TeacherSignals | None,
    settings: TrainSettings,
    *,
    seed: int,
    device: str,
    cache_folder: Path | None = None,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, losses: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    evaluate_epoch: Callable[[], float] | None = None,
) -> TrainingResult:
    """Train ``student`` in place and return what happened.

    ``evaluate_epoch``, called after every pass with the whole vocabulary in place, picks the weights of its best
    pass (the first among equals). Raises :class:`CodrunError` where a loss turns NaN or infinite, naming step and
    term, and where a loss that compares positions meets two tokenisations.
    """
    precision = resolve_precision(settings.precision, device)
    batches = TrainingBatches(student, examples, settings.batch_size, device)
    needs = [_needs(term, signals, student) for term in terms]
    _refuse_misaligned_signals(terms, batches, signals)
    data = LossData(student, batches, signals, needs, device)
    bind_losses(terms, data, seed=seed, device=device, cache_folder=cache_folder)
    layers = sorted({layer for need in needs for layer in need.student})
    total = settings.steps or len(batches) * (settings.epochs or 1) // settings.accumulation or 1

    with ExitStack() as stack:
        cut = student.compact(batches.encoded) if cut_is_exact(settings) else None
        if cut is not None:
            stack.enter_context(cut)
        trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
        groups = [{"params": trained}] + [
            {"params": own, "lr": getattr(term.loss, "learning_rate", None) or settings.lr}
            for term in terms
            if term.weight > 0 and (own := [each for each in term.loss.parameters() if each.requires_grad])
        ]
        optimiser = build_optimiser(groups, settings, device)
        peaks = [group["lr"] for group in optimiser.param_groups]
        scaler = torch.amp.GradScaler(torch.device(device).type, enabled=precision == "fp16")
        watch = _Watch(terms, on_step)
        best = _Best(student, evaluate_epoch, cut)
        torch.manual_seed(derived_seed(seed, "dropout"))
        student.train()

        step = 0
        for number, batch, ends_pass, accumulated in _stream(batches, seed, settings.accumulation, total):
            with autocast(precision, device):
                outputs = student(batch.inputs, hidden=layers)
            # Terms are computed in float32, outside autocast: a tempered KL loses its small values in bf16.
            teacher = data.signals(batch) if signals is not None else Outputs(outputs.logits.detach())
            values = [_value(term, _float32(outputs), teacher, batch) for term in terms]
            loss = torch.stack(
                [term.weight * value for term, value in zip(terms, values, strict=True) if term.weight]
            ).sum()
            scaler.scale(loss / accumulated.size).backward()
            watch.keep(values)
            if accumulated.steps_now:
                factor = rate_factor(settings, step, total)
                for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                    group["lr"] = peak * factor
                scaler.unscale_(optimiser)
                clip_gradients([p for group in optimiser.param_groups for p in group["params"]], settings)
                scaler.step(optimiser)
                scaler.update()
                optimiser.zero_grad(set_to_none=True)
                if cut is not None:
                    cut.decayed(1 - optimiser.param_groups[0]["lr"] * settings.weight_decay)
                step += 1
                watch.step(step, last=step == total)
                progress(step, total)
            if ends_pass or step == total:
                best.look(number)
        best.restore()
    student.eval()
    return TrainingResult(step, watch.latest, best.epoch, watch.curve)


@dataclass(frozen=True)
class _Accumulated:
    size: int
    """Batches whose gradients make this step; the last group of a training may be short."""
    steps_now: bool


def _stream(
    batches: TrainingBatches, seed: int, accumulation: int, total: int
) -> Iterator[tuple[int, Batch, bool, _Accumulated]]:
    """Passes without end, cut after ``total`` steps; a group of accumulated batches never crosses a pass."""
    step = number = 0
    while True:
        in_pass = len(batches)
        for position, batch in enumerate(batches.of_pass(number, seed, "order")):
            group_start = position - position % accumulation
            size = min(accumulation, in_pass - group_start)
            steps_now = position - group_start == size - 1
            yield number, batch, position == in_pass - 1, _Accumulated(size, steps_now)
            step += steps_now
            if step == total:
                return
        number += 1


def _value(term: WeightedTerm, outputs: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
    """The term's mean over the batch; without gradient where its weight is 0, so that it cannot touch the student."""
    with torch.no_grad() if term.weight == 0 else nullcontext():
        value: Tensor = term.loss(outputs, teacher, batch).mean()
        return value


def _float32(outputs: Outputs) -> Outputs:
    hidden = {layer: states.float() for layer, states in outputs.hidden.items()}
    return Outputs(outputs.logits.float(), hidden, outputs.mask, outputs.pooled_at)


def _needs(term: WeightedTerm, signals: TeacherSignals | None, student: Classifier) -> Needs:
    return term.loss.needs(signals.shape if signals else student.shape, student.shape)


def _refuse_misaligned_signals(
    terms: Sequence[WeightedTerm], batches: TrainingBatches, signals: TeacherSignals | None
) -> None:
    for term in terms:
        if signals is not None and getattr(term.loss, "aligned", False):
            for example, encoded in zip(batches.examples, batches.encoded, strict=True):
                if signals.ids(example.input) != encoded.ids:
                    raise CodrunError(_misaligned(term.name))


def _misaligned(name: str) -> str:
    return (
        f"the loss `{name}` compares positions, but teacher and student cut this text into different tokens; "
        "give it `pool: mean` or `pool: cls`, which compare one vector a text"
    )


class _Watch:
    """Keeps each term's values on the device and looks at them now and then."""

    def __init__(self, terms: Sequence[WeightedTerm], on_step: Callable[[int, Mapping[str, float]], None]) -> None:
        self.latest: dict[str, float] = {}
        self.curve: list[tuple[int, dict[str, float]]] = []
        self._terms, self._on_step = terms, on_step
        self._kept: list[Tensor] = []
        self._looked_at = 0

    def keep(self, values: Sequence[Tensor]) -> None:
        self._kept.append(torch.stack([value.detach() for value in values]))

    def step(self, step: int, last: bool) -> None:
        """One transfer for many steps; raise if a term is no longer a number."""
        if not last and step - self._looked_at < STEPS_BETWEEN_LOOKS:
            return
        table = torch.stack(self._kept).cpu()  # the one place where the device is waited for
        wrong = (~torch.isfinite(table)).nonzero()
        if len(wrong):
            row, column = wrong[0].tolist()
            at = self._looked_at + 1 + row * (step - self._looked_at) // len(table)
            raise CodrunError(
                f"the loss term `{self._terms[column].name}` became {table[row, column].item()} near step {at}; "
                "try a smaller train.lr, train.clip: 1.0, or train.precision: fp32"
            )
        means = table.mean(0).tolist()
        self.latest = {}
        for position, (term, mean) in enumerate(zip(self._terms, means, strict=True)):
            name = term.name if term.name not in self.latest else f"{term.name}_{position}"
            self.latest[name] = mean
        self.curve.append((step, self.latest))
        self._on_step(step, self.latest)
        self._kept, self._looked_at = [], step


class _Best:
    """Keeps the weights of the best pass, where a recipe selects one."""

    def __init__(self, student: Classifier, evaluate: Callable[[], float] | None, cut: VocabularyCut | None) -> None:
        self.epoch: int | None = None
        self._student, self._evaluate, self._cut = student, evaluate, cut
        self._score = float("-inf")
        self._weights: dict[str, Tensor] = {}

    def look(self, number: int) -> None:
        if self._evaluate is None:
            return
        state = torch.get_rng_state()
        with self._cut.whole() if self._cut is not None else nullcontext():
            score = self._evaluate()
        torch.set_rng_state(state)
        self._student.train()
        if score > self._score:
            self._score, self.epoch = score, number
            self._weights = copy.deepcopy(_module(self._student).state_dict())

    def restore(self) -> None:
        if self._weights:
            _module(self._student).load_state_dict(self._weights)


def _module(classifier: Classifier) -> nn.Module:
    assert isinstance(classifier, nn.Module)
    return classifier
