"""Calibration of a teacher that only answers: what it says of any text at all is taken out of what it says of one.

A language model has a leaning of its own for some of the label words. *Batch calibration* (Zhou et al. 2023,
arXiv:2309.17249) estimates it from unlabelled texts, *contextual calibration* (Zhao et al. 2021, arXiv:2102.09690) from
texts without content; both divide by the mean probability of each class. The median of the log-odds instead is a little
better where a model is unsure of everything, and far worse where it is sure: of two clusters it takes the larger one
for the middle.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cod_runner.api import HiddenStateScorer, Input, LabelScorer
from cod_runner.engine.signals import SignalStore

TEMPERATURES = torch.logspace(math.log10(0.1), math.log10(10), 201, dtype=torch.float64)
"""From which a temperature is chosen."""
NO_PROGRESS: Callable[[int, int], None] = lambda done, total: None  # noqa: E731


@dataclass(frozen=True)
class Calibration:
    """``log_softmax((log p - bias) / temperature)``."""

    bias: tuple[float, ...]
    """``[classes]``: the leaning that is taken out, in nats; its mean is 0."""
    temperature: float = 1.0

    def __call__(self, log_probabilities: Tensor) -> Tensor:
        """``[inputs, classes]`` to ``[inputs, classes]``, float32."""
        bias = torch.tensor(self.bias, dtype=torch.float64)
        return torch.log_softmax((log_probabilities.double() - bias) / self.temperature, dim=-1).float()


def leaning(log_probabilities: Tensor) -> tuple[float, ...]:
    """``[classes]`` from ``[texts, classes]``: the logarithm of the mean probability over the texts (Zhou et al. 2023,
    equation 5; Zhao et al. 2021, section 5), with mean 0."""
    return _centred(torch.softmax(log_probabilities.double(), dim=1).mean(dim=0).log())


def fitted_temperature(log_probabilities: Tensor, labels: Sequence[int], among: Tensor = TEMPERATURES) -> float:
    """The temperature ``among`` these with the smallest cross-entropy on gold labels (Guo et al. 2017,
    arXiv:1706.04599, section 4.2); of equal ones the nearest to 1."""
    gold = torch.tensor(labels)
    losses = [float(functional.cross_entropy(log_probabilities.double() / temperature, gold)) for temperature in among]
    smallest = min(losses)
    nearest = min(
        (abs(math.log(value)), value)
        for value, loss in zip(among.tolist(), losses, strict=True)
        if loss <= smallest + 1e-12
    )
    return round(nearest[1], 6)


def _centred(values: Tensor) -> tuple[float, ...]:
    # Rounded, so that the fingerprint does not hang on the last bit of a sum.
    return tuple(round(value, 9) for value in (values - values.mean()).tolist())


class CalibratedScorer:
    """A label scorer whose raw answers are stored, so that another calibration asks nothing again."""

    def __init__(self, scorer: LabelScorer, calibration: Calibration, store: SignalStore, device: str) -> None:
        self.labels, self.at_once = scorer.labels, scorer.at_once
        self.calibration, self.raw = calibration, scorer
        self._store, self._device = store, device
        spelled = json.dumps([scorer.fingerprint, asdict(calibration)])
        self._fingerprint = hashlib.sha256(spelled.encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """The raw scorer's, with the calibration."""
        return self._fingerprint

    def score(self, inputs: Sequence[Input], progress: Callable[[int, int], None] = NO_PROGRESS) -> Tensor:
        """As :meth:`LabelScorer.score`."""
        return self.calibration(raw_answers(self.raw, inputs, self._store, self._device, progress))

    def price(self, inputs: Sequence[Input]) -> float | None:
        """As :meth:`LabelScorer.price`."""
        return self.raw.price(inputs)


class CalibratedStates(CalibratedScorer):
    """The same around a scorer that offers hidden states, which calibration leaves as they are."""

    def __init__(self, scorer: HiddenStateScorer, calibration: Calibration, store: SignalStore, device: str) -> None:
        super().__init__(scorer, calibration, store, device)
        self.shape = scorer.shape
        self._with_states = scorer

    def states(
        self, inputs: Sequence[Input], layers: Sequence[int], progress: Callable[[int, int], None] = NO_PROGRESS
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """As :meth:`HiddenStateScorer.states`."""
        self._store.add(self._with_states, inputs, layers, device=self._device, progress=progress)
        rows = self._store.reader(self._with_states.fingerprint, self._device).rows(inputs, layers)
        said = torch.stack([row.logits for row in rows])
        return self.calibration(said), {layer: torch.cat([row.hidden[layer] for row in rows]) for layer in layers}


def calibrated(scorer: LabelScorer, calibration: Calibration, store: SignalStore, device: str) -> CalibratedScorer:
    """The scorer, calibrated; with hidden states where it offers them."""
    if isinstance(scorer, HiddenStateScorer):
        return CalibratedStates(scorer, calibration, store, device)
    return CalibratedScorer(scorer, calibration, store, device)


def raw_answers(
    scorer: LabelScorer,
    inputs: Sequence[Input],
    store: SignalStore,
    device: str,
    progress: Callable[[int, int], None] = NO_PROGRESS,
) -> Tensor:
    """``[inputs, classes]``: what the scorer says, asked once about each input and stored."""
    store.add(scorer, inputs, device=device, progress=progress)
    return store.reader(scorer.fingerprint, device).logits(inputs)
