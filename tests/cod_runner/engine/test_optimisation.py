"""What a recipe says of its optimiser is what torch is told."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from cod_runner.api import TrainSettings
from cod_runner.engine.optimisation import build_optimiser


def stepped(settings: TrainSettings, gradients: list[float], start: float = 1.0) -> float:
    """A single parameter after one step for each gradient, by torch's optimiser as it is built for a recipe."""
    parameter = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimiser = build_optimiser([{"params": [parameter]}], settings, "cpu")
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
    return parameter.item()


def by_hand(settings: TrainSettings, gradients: list[float], start: float = 1.0) -> float:
    """Adam (Kingma and Ba, arXiv 1412.6980, Algorithm 1); decay decoupled for AdamW, part of the gradient for Adam."""
    (first_beta, second_beta), value, first, second = settings.betas, start, 0.0, 0.0
    for step, gradient in enumerate(gradients, start=1):
        if settings.optimiser == "adamw":
            value -= settings.lr * settings.weight_decay * value
        else:
            gradient += settings.weight_decay * value
        first = first_beta * first + (1 - first_beta) * gradient
        second = second_beta * second + (1 - second_beta) * gradient**2
        corrected = second / (1 - second_beta**step)
        value -= settings.lr * first / (1 - first_beta**step) / (corrected**0.5 + settings.eps)
    return value


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
@pytest.mark.parametrize(("betas", "eps"), [((0.9, 0.98), 1e-6), ((0.9, 0.999), 1e-8), ((0.5, 0.6), 0.1)])
def test_betas_eps_and_decay_reach_the_optimiser(optimiser: str, betas: tuple[float, float], eps: float) -> None:
    settings = TrainSettings.model_validate(
        {"steps": 3, "lr": 0.1, "optimiser": optimiser, "betas": betas, "eps": eps, "weight_decay": 0.05}
    )
    gradients = [0.5, -0.2, 1e-3]
    assert stepped(settings, gradients) == pytest.approx(by_hand(settings, gradients), rel=1e-9)
    others = [settings.model_copy(update={"betas": (0.8, 0.9)}), settings.model_copy(update={"eps": 0.5})]
    assert all(abs(stepped(other, gradients) - stepped(settings, gradients)) > 1e-4 for other in others)


TRAINS = """
import sys, torch
from cod_runner.api import TrainSettings
from cod_runner.engine.device import deterministic
from cod_runner.engine.optimisation import build_optimiser
with deterministic("cpu"):
    assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()
    for kind in ("adam", "adamw"):
        weights = torch.nn.Parameter(torch.ones(3))
        optimiser = build_optimiser([{"params": [weights]}], TrainSettings(steps=1, optimiser=kind), "cpu")
        weights.square().sum().backward()
        optimiser.step()
        optimiser.load_state_dict(optimiser.state_dict())
        optimiser.zero_grad()
        assert weights.requires_grad and weights.grad is None and weights.lt(1).all()
assert not torch.are_deterministic_algorithms_enabled()
sys.exit("torch._dynamo" in sys.modules)
"""


def test_training_imports_no_compiler() -> None:
    """It takes a second or more, which each worker would spend."""
    done = subprocess.run([sys.executable, "-c", TRAINS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "torch._dynamo was imported"
