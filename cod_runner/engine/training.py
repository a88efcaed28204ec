"""The training loop. It knows contracts only: a classifier, weighted losses, a teacher's stored signals.

Loss = sum over terms of weight x mean over the step's examples of the term's value (Algorithm 1, line 12); for a term
that needs labels, over those that have one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cod_runner.api import (
    Classifier,
    Example,
    GradientCheckpointing,
    LabelScorer,
    Loss,
    Teacher,
    TrainSettings,
)
from cod_runner.engine.batches import TrainingBatches
from cod_runner.engine.best_pass import BestPass
from cod_runner.engine.checkpoints import Resumption, TrainingState
from cod_runner.engine.data_parallel import Alone, Share
from cod_runner.engine.device import deterministic, resolve_precision
from cod_runner.engine.losses import (
    TrainingData,
    WeightedTerm,
    bind_losses,
    divisor,
    mean_over_step,
    needs_labels,
    summed,
)
from cod_runner.engine.optimisation import build_optimiser, rate_factor
from cod_runner.engine.seeds import random_stream
from cod_runner.engine.steps import cut_is_exact, planned_steps
from cod_runner.engine.teacher_signals import TeacherSignals
from cod_runner.engine.training_log import TrainingLog
from cod_runner.errors import CodrunError, SettingError
from cod_runner.loss_terms import term_names


@dataclass(frozen=True)
class TrainingResult:
    """What a training left besides the weights."""

    steps: int
    losses: dict[str, float]
    """Each term's value in the last step, unweighted, averaged over its examples."""
    mean_losses: dict[str, float]
    """Each term's value averaged over all steps."""
    curve: list[tuple[int, dict[str, float]]]
    """(step, value of each term) of every step."""
    precision: str
    trained_parameters: int
    """Numbers that an optimiser step touched, the losses' own included."""
    best_epoch: int | None = None
    """The pass, from 1, whose weights the student has; None where it has those of the last step."""


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
    resuming: Resumption | None = None,
    share: Share | None = None,
) -> TrainingResult:
    """Train ``student`` in place and return what happened.

    ``signals`` may be None where no loss asks for a teacher. ``cache_folder`` holds what losses fit in ``bind``; it
    must belong to this cell alone. ``on_step(step, losses)`` is called for every step, some steps late;
    ``progress(done, total)`` at once. ``evaluate_epoch()``, called after every pass with the whole vocabulary in
    place, returns a score, and the weights of the best pass (the first among equals) are the result. ``resuming``
    writes checkpoints and continues at the last one; it does not go with ``evaluate_epoch``. ``share`` is
    this process's part of the training, where several train the student together: with losses that look at each example
    by itself, and have nothing to train.

    The caller fixes the number of threads: it decides the last bits. Raises :class:`CodrunError` where a term turns
    NaN or infinite, naming step and term, and, before any step, where a loss that compares positions meets two
    tokenisations, where a trained parameter is not float32, and where every weight is 0.
    """
    share = share or Alone()
    precision = resolve_precision(settings.precision, device)
    student.to(device)
    if settings.gradient_checkpointing:
        _checkpoint_gradients(student)
    weighted = [term for term in terms if term.weight > 0]
    if all(needs_labels(term) for term in weighted):  # a row without a label would teach nothing and fill a step
        examples = [example for example in examples if example.label is not None]
    batches = TrainingBatches(student, examples, settings.batch_size, device)
    names = term_names((term.name, term.weight) for term in terms)
    if not weighted:
        raise CodrunError(f"every loss ({', '.join(names)}) has weight 0, so there is nothing to train on")
    needs = [term.needs(student.shape if signals is None else signals.shape, student.shape) for term in terms]
    teacher_layers = sorted({layer for need in needs for layer in need.teacher})
    student_layers = sorted({layer for need in needs for layer in need.student})
    data = TrainingData(student, batches, signals, teacher_layers, precision)
    data.aligned = _positions_match(terms, batches, signals)

    with deterministic(device):
        bind_losses(terms, names, data, seed=seed, cache_folder=cache_folder)
        cut = student.compact(batches.encoded) if cut_is_exact(settings) else None
        # Initialisation, each loss's bind, shuffling and dropout draw from streams of their own, so that none of
        # them can shift another.
        with random_stream(seed, "dropout"), cut or nullcontext(), ExitStack() as at_the_end:
            groups = _parameter_groups(student, terms, settings)
            trained: list[nn.Parameter] = [each for group in groups for each in group["params"]]
            optimiser = build_optimiser(groups, settings, device)
            peaks = [group["lr"] for group in optimiser.param_groups]
            scaler = torch.amp.GradScaler(torch.device(device).type, enabled=precision == "fp16")
            log = TrainingLog(names, device, on_step)
            best = BestPass(student, evaluate_epoch, cut)
            total = planned_steps(settings, lambda number: len(batches.of_pass(number, seed, "order")))
            state = TrainingState(student, trained, optimiser, scaler, log, cut, device)
            steps = _steps(batches, settings.accumulation, total, seed)
            if resuming is not None:
                steps = resuming.steps(steps, state, total)
            student.train()
            data.forward = share.forward_of(student)

            for step in at_the_end.enter_context(closing(steps)):
                for optimiser_group, peak in zip(optimiser.param_groups, peaks, strict=True):
                    optimiser_group["lr"] = peak * rate_factor(settings, step.taken, total)

                share.begin(step.taken, seed)
                labelled = sum(map(batches.labelled, step.batches))
                for number, rows in enumerate(step.batches, start=1):
                    with share.part_of(rows, last=number == len(step.batches)) as mine:
                        batch = batches.batch(mine)
                        ours = data.student_outputs(batch, student_layers)
                        theirs = data.matched(data.signals(mine, teacher_layers), ours)
                        values = [summed(term, ours, theirs, batch) for term in terms]
                        # Divided by the examples of the whole step, so that short batches weigh what they hold.
                        loss = mean_over_step(terms, values, step.examples, labelled)
                        share.backward(scaler.scale(loss))
                    log.add(share.summed(torch.stack([value.detach() for value in values])))

                if settings.clip is not None:
                    scaler.unscale_(optimiser)
                    nn.utils.clip_grad_norm_(trained, settings.clip)
                scale = scaler.get_scale() if precision == "fp16" else None
                scaler.step(optimiser)
                scaler.update()
                optimiser.zero_grad(set_to_none=True)
                if cut is not None and (scale is None or scaler.get_scale() >= scale):
                    # A step that fp16 skipped, after an overflow, decayed nothing.
                    state.decayed(1 - optimiser.param_groups[0]["lr"] * settings.weight_decay)
                log.step([divisor(term, step.examples, labelled) for term in terms])
                progress(step.taken + 1, total)
                if step.ends_pass or step.taken + 1 == total:
                    best.look(step.number)
            log.look()
            _refuse_broken_weights(trained, log)
    best.restore()
    student.eval()
    return TrainingResult(
        steps=total,
        losses=log.last,
        mean_losses=log.mean,
        curve=log.curve,
        precision=precision,
        trained_parameters=sum(parameter.numel() for parameter in trained),
        best_epoch=best.number,
    )


@dataclass(frozen=True)
class _Step:
    """What one optimiser step is made of."""

    taken: int
    """Steps before it."""
    batches: list[list[int]]
    """Row numbers, batch by batch."""
    number: int
    """The pass it belongs to, from 1."""
    ends_pass: bool

    @property
    def examples(self) -> int:
        return sum(map(len, self.batches))


def _steps(batches: TrainingBatches, accumulation: int, total: int, seed: int) -> Generator[_Step]:
    """``total`` steps, pass after pass; a step never crosses a pass, whose last one may be of fewer batches."""
    taken = number = 0
    while True:
        number += 1
        order = batches.of_pass(number, seed, "order")
        for start in range(0, len(order), accumulation):
            yield _Step(taken, order[start : start + accumulation], number, start + accumulation >= len(order))
            taken += 1
            if taken == total:
                return


def _parameter_groups(
    student: Classifier, terms: Sequence[WeightedTerm], settings: TrainSettings
) -> list[dict[str, Any]]:
    """The student's parameters first, then those of each loss that trains, at its own learning rate if it has one."""
    ours = [parameter for parameter in student.parameters() if parameter.requires_grad]
    if not ours:
        raise CodrunError("the student has no parameter to train: everything in it is frozen")
    groups: list[dict[str, Any]] = [{"params": ours, "lr": settings.lr}]
    for term in terms:
        own = [parameter for parameter in term.loss.parameters() if parameter.requires_grad]
        if own and term.weight > 0:
            groups.append({"params": own, "lr": getattr(term.loss, "learning_rate", None) or settings.lr})
            ours = ours + own
    wrong = {str(parameter.dtype).removeprefix("torch.") for parameter in ours if parameter.dtype != torch.float32}
    if wrong:
        raise CodrunError(
            f"trained parameters must be float32, and some are {', '.join(sorted(wrong))}; load the checkpoint in "
            "float32 and set `train.precision` for speed"
        )
    return groups


def _checkpoint_gradients(student: Classifier) -> None:
    if not isinstance(student, GradientCheckpointing):
        raise CodrunError("`gradient_checkpointing: true` needs a model that offers it, and this one does not; omit it")
    student.gradient_checkpointing_enable()


def _refuse_broken_weights(trained: Sequence[nn.Parameter], log: TrainingLog) -> None:
    """A gradient can overflow in the last step, after which no loss is computed any more."""
    norms = torch.stack([parameter.detach().abs().amax() for parameter in trained if parameter.numel()])
    if not torch.isfinite(norms).all():
        raise CodrunError(
            f"weights became infinite or NaN after step {len(log.curve)}; try a smaller `train.lr`, `train.clip: 1.0`, "
            "or `train.precision: fp32`"
        )


# --- alignment ------------------------------------------------------------------------------------------------


def refuse_misaligned(
    name: str, loss: Loss, teacher: Teacher, student: Classifier, examples: Sequence[Example]
) -> None:
    """Raise :class:`SettingError` if ``loss`` compares positions and the two tokenise unlike."""
    if getattr(loss, "aligned", False):
        if isinstance(teacher, LabelScorer):
            cure = getattr(loss, "alignment_hint", "omit this loss, or take a teacher that is a network")
            raise SettingError(
                f"the loss `{name}` compares positions, and this teacher offers the states of one position; {cure}"
            )
        inputs = [example.input for example in examples]
        for example, ours, theirs in zip(examples, student.encode(inputs), teacher.encode(inputs), strict=True):
            if ours.ids != theirs.ids:
                raise SettingError(_misaligned(name, loss, example))


def _positions_match(terms: Sequence[WeightedTerm], batches: TrainingBatches, signals: TeacherSignals | None) -> bool:
    """Whether some loss compares positions; raise :class:`CodrunError` if positions do not match then."""
    comparing = [term for term in terms if getattr(term.loss, "aligned", False)]
    if not comparing or signals is None:
        return False
    for example, encoded in zip(batches.examples, batches.encoded, strict=True):
        if signals.ids(example.input) != encoded.ids:
            raise CodrunError(_misaligned(comparing[0].name, comparing[0].loss, example))
    return True


def _misaligned(name: str, loss: Loss, example: Example) -> str:
    cure = getattr(loss, "alignment_hint", "take a teacher and a student with one tokenizer, or omit this loss")
    return (
        f"the loss `{name}` compares positions, but teacher and student cut example {example.id} into different "
        f"tokens; {cure}"
    )
