"""Estimates, errors and the grid of Theorem 1, against closed forms and plain gradient descent."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from cod_runner.api import BuildContext, CodrunError, Example, SettingError
from cod_runner.registry import Registry
from codrun_logistic.data import Gaussian
from codrun_logistic.estimation import errors_of, interval, maximum_likelihood
from codrun_logistic.plugin import GaussianOptions, Theorem1Options
from codrun_logistic.simulation import counterfactuals, simulate
from codrun_logistic.tracker import Theorem1, student_weights
from codrun_moons.classifier import MLP
from codrun_moons.plugin import MLPOptions

torch.set_num_threads(1)


def drawn(sets: int, k: int, truth: list[float], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(sets, k, len(truth), generator=draw, dtype=torch.float64)
    chance = torch.rand(sets, k, generator=draw, dtype=torch.float64)
    return vectors, torch.where(chance < torch.sigmoid(vectors @ torch.tensor(truth).double()), 1.0, -1.0).double()


# --- data ----------------------------------------------------------------------------------------------------


def test_labels_follow_the_logistic_model() -> None:
    data = Gaussian(GaussianOptions(n=4000, validation=10, weights=[3.0, 0.0]), BuildContext()).load()
    rows = data.splits["train"]
    assert len(rows) == 4000 and len(data.splits["validation"]) == 10
    near = [row.label for row in rows if 0.4 < row.input[0] < 0.6]
    assert sum(near) / len(near) == pytest.approx(1 / (1 + math.exp(-1.5)), abs=0.06)
    assert rows == Gaussian(GaussianOptions(n=4000, weights=[3.0, 0.0]), BuildContext()).load().splits["train"]


# --- estimation ----------------------------------------------------------------------------------------------


def test_a_teacher_that_is_certain_of_every_point_draws_its_labels() -> None:
    rows = Gaussian(GaussianOptions(n=200, weights=[5000.0]), BuildContext()).load().splits["train"]
    assert all(row.label == int(row.input[0] > 0) for row in rows if isinstance(row.input, tuple))


def test_one_number_has_a_closed_form() -> None:
    """x = 1 in every row, 3 of 4 labels positive: sigmoid(w) = 3/4, so w = log 3."""
    weights, finite = maximum_likelihood(torch.ones(1, 4, 1).double(), torch.tensor([[1.0, 1, 1, -1]]).double())
    assert finite.all()
    assert weights.item() == pytest.approx(math.log(3))


def test_the_gradient_is_zero_at_every_estimate_and_nearby_is_worse() -> None:
    vectors, signs = drawn(20, 80, [3.0, -1.0, 0.5])
    weights, finite = maximum_likelihood(vectors, signs)
    assert finite.all()
    weights.requires_grad_()

    def value(at: torch.Tensor) -> torch.Tensor:
        return functional.logsigmoid((vectors @ at[..., None])[..., 0] * signs).sum(1)

    (slope,) = torch.autograd.grad(value(weights).sum(), weights)
    assert slope.abs().max() < 1e-6
    assert (value(weights + 0.01) < value(weights)).all()


def test_separable_sets_have_no_estimate_and_do_not_affect_others() -> None:
    vectors, signs = drawn(3, 60, [1.0, 0.0])
    signs[1] = torch.where(vectors[1, :, 0] > 0, 1.0, -1.0)
    weights, finite = maximum_likelihood(vectors, signs)
    assert finite.tolist() == [True, False, True]
    alone, _ = maximum_likelihood(vectors[2:], signs[2:])
    torch.testing.assert_close(weights[2], alone[0])


def test_errors_split_by_direction() -> None:
    errors = errors_of(torch.tensor([[5.0, 7.0]]).double(), torch.tensor([3.0, 4.0]).double())
    # off by (2, 3); along (3, 4) / 5: (6 + 12) / 5 = 3.6; total 13
    assert errors.along.item() == pytest.approx(3.6**2)
    assert errors.orthogonal.item() == pytest.approx(13 - 3.6**2)
    assert errors.total.item() == pytest.approx(13)


def test_interval_and_verdict() -> None:
    found = interval(torch.tensor([-1.0, -3.0, -2.0, -2.0]).double())
    assert found.mean == -2
    assert found.half == pytest.approx(1.96 * math.sqrt(2 / 3) / 2)
    assert found.verdict == "falls"
    assert interval(torch.tensor([1.0, -1.0]).double()).verdict == "undecided"
    assert interval(torch.tensor([3.0, 2.0]).double()).verdict == "rises"
    assert interval(torch.tensor([5.0]).double()).verdict == "undecided", "one set decides nothing"
    assert interval(torch.tensor([]).double()).verdict == "undecided"


# --- simulation ----------------------------------------------------------------------------------------------


def test_counterfactuals_move_along_w_alone() -> None:
    moved, read_as = counterfactuals(torch.tensor([[[2.0, 5.0], [-1.0, 6.0]]]).double(), 0.25)
    assert moved.tolist() == [[[-0.25, 5.0], [0.25, 6.0]]]
    assert read_as.tolist() == [[-1.0, 1.0]]


def test_what_the_theorem_leaves_out() -> None:
    """On the boundary the error along w does not fall, the orthogonal one does, and for a confident teacher in many
    dimensions the total falls too."""
    few = simulate([4], [2], [0], k=200, repeats=100, seed=0)
    many = simulate([8], [20], [0], k=200, repeats=100, seed=0)
    assert [point.label for point in few] == [point.label for point in many] == ["drawn", "teacher", "flipped"]
    for point in few:
        assert point.difference["along"].mean > 0.3
        assert point.difference["orthogonal"].verdict == "falls"
        assert point.difference["total"].mean > 0.3
    for point in many:
        assert point.difference["orthogonal"].verdict == "falls"
        assert point.difference["total"].verdict == "falls"
        assert point.infinite_plain > point.infinite_cod


def test_points_add_up() -> None:
    (point, *_) = simulate([2], [3], [0.1], k=100, repeats=20, seed=1)
    assert point.compared + point.infinite_plain + point.infinite_cod >= 20
    for arm in (point.plain, point.cod, point.difference):
        assert arm["total"].mean == pytest.approx(arm["along"].mean + arm["orthogonal"].mean)
    assert point.difference["total"].mean == pytest.approx(point.cod["total"].mean - point.plain["total"].mean)


# --- tracker -------------------------------------------------------------------------------------------------

POOL = [Example("a", (0.5, 1.0), 1), Example("b", (-2.0, 0.0), 0)]


def logistic(*weights: float) -> MLP:
    return MLP(MLPOptions(inputs=2, hidden=[], margin_weights=list(weights)), ("below", "above"))


def test_a_run_is_reported_and_simulated(tmp_path: Path) -> None:
    registry = Registry()
    options = Theorem1Options(norms=[4], dimensions=[2], overshoots=[0], k=40, repeats=10)
    registry.attach("theorem1", Theorem1(options, BuildContext()))
    registry.hook.codrun_teacher_ready(teacher=logistic(3.0, 4.0), pool=POOL)
    rows = []
    for arm, off in (("plain", 2.0), ("cod", 1.0)):
        for seed in (0, 1):
            rows.append({"key": f"{arm}{seed}", "method": "mle", "arm": arm, "k": 8, "seed": seed})
            logistic(3.0 + off, 4.0).save(tmp_path / "students" / f"mle-{arm}-k8-s{seed}")
    other = {**rows[0], "key": "older", "seed": 9}
    (tmp_path / "cells.jsonl").write_text("\n".join(json.dumps(row) for row in [*rows, other]) + '\n{"torn')
    registry.hook.codrun_run_finished(summary={"cell_keys": [row["key"] for row in rows]}, folder=tmp_path)
    told = json.loads((tmp_path / "theory.json").read_text())
    assert len(told["students"]) == 4
    assert told["students"][0]["total"] == pytest.approx(4)
    assert told["students"][0]["along"] == pytest.approx((2 * 3 / 5) ** 2)
    assert [point["label"] for point in told["grid"]] == ["drawn", "teacher", "flipped"]
    text = (tmp_path / "theory.md").read_text()
    assert "|w_t| = 5, d = 2" in text
    assert "| mle | 8 | 2 | total | 4 ± 0 | 1 ± 0 | -3 ± 0 | falls |" in text
    assert (tmp_path / "figures" / "theorem1-d2.png").read_bytes()[:4] == b"\x89PNG"


def test_a_recipe_of_other_models_is_refused_before_the_teacher_trains() -> None:
    tracker = Theorem1(Theorem1Options(), BuildContext())
    linear, curved = {"use": "mlp", "hidden": []}, {"use": "mlp", "hidden": [8]}
    tracker.codrun_run_started(recipe={"teacher": linear, "student": linear})
    with pytest.raises(SettingError, match="linear teacher"):
        tracker.codrun_run_started(recipe={"teacher": curved, "student": linear})
    for student in (curved, {"use": "transformers"}):
        with pytest.raises(SettingError, match="logistic student"):
            tracker.codrun_run_started(recipe={"teacher": linear, "student": student})


def test_only_linear_models_are_measured(tmp_path: Path) -> None:
    tracker = Theorem1(Theorem1Options(), BuildContext())
    curved = MLP(MLPOptions(inputs=2, hidden=[8], activation="tanh"), ("below", "above"))
    with pytest.raises(SettingError, match="linear teacher"):
        tracker.codrun_teacher_ready(teacher=curved, pool=POOL)
    curved.save(tmp_path)
    with pytest.raises(CodrunError, match="logistic student"):
        student_weights(tmp_path)


@pytest.mark.parametrize("options", [{"norms": [0]}, {"dimensions": [0]}, {"overshoots": [-0.1]}, {"norms": []}])
def test_a_grid_of_nothing_is_a_fault_of_the_recipe(options: dict[str, list[float]]) -> None:
    with pytest.raises(ValidationError):
        Theorem1Options.model_validate(options)
