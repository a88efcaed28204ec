"""Boundaries and Theorem 2's quantities against cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from codrun_moons.geometry import (
    boundary_points,
    grid_points,
    hausdorff,
    mean_distance,
    nearest_distances,
    proximity,
    segment_crossing,
)

torch.set_num_threads(1)

WINDOW = ((-2.0, 2.0), (-1.0, 1.0))


def vertical(at: float):
    """The boundary x = at."""
    return lambda points: points[:, 0] - at


def circle(radius: float):
    return lambda points: points.norm(dim=1) - radius


def points(*pairs: tuple[float, float]) -> Tensor:
    return torch.tensor(pairs, dtype=torch.float64)


def test_grid_rows_share_y_and_columns_share_x() -> None:
    grid = grid_points(((0, 1), (10, 30)), 3)
    assert grid[0, :, 0].tolist() == [0, 0.5, 1]
    assert grid[:, 0, 1].tolist() == [10, 20, 30]


def test_a_vertical_line_is_found_exactly() -> None:
    found = boundary_points(vertical(0.123), WINDOW, 21)
    assert len(found) == 21, "one crossing per row of the grid"
    torch.testing.assert_close(found[:, 0], torch.full((21,), 0.123, dtype=torch.float64))
    assert sorted(found[:, 1].tolist()) == pytest.approx([-1 + row / 10 for row in range(21)])


def test_a_line_through_grid_points_is_found_once() -> None:
    assert len(boundary_points(vertical(0.0), WINDOW, 21)) == 21


def test_two_parallel_lines() -> None:
    one, other = (boundary_points(vertical(at), WINDOW, 101) for at in (-0.25, 0.5))
    assert hausdorff(one, other) == pytest.approx(0.75)
    assert mean_distance(one, other) == pytest.approx(0.75)


def test_two_circles() -> None:
    window = ((-2.0, 2.0), (-2.0, 2.0))
    one, other = (boundary_points(circle(radius), window, 401) for radius in (1.0, 1.5))
    assert hausdorff(one, other) == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(one.norm(dim=1), torch.ones(len(one), dtype=torch.float64), atol=1e-4, rtol=0)


def test_hausdorff_is_the_worst_place_and_symmetric() -> None:
    one, other = points((0, 0), (1, 0)), points((0, 0), (1, 0), (1, 3))
    assert hausdorff(one, other) == hausdorff(other, one) == 3
    assert nearest_distances(one, other).tolist() == [0, 0]
    assert mean_distance(one, other) == pytest.approx((0 + 3 / 3) / 2)


def test_empty_boundaries() -> None:
    nothing = boundary_points(lambda at: torch.ones(len(at), dtype=torch.float64), WINDOW, 20)
    some = points((0, 0))
    assert len(nothing) == 0
    assert hausdorff(nothing, some) == hausdorff(some, nothing) == math.inf
    assert mean_distance(nothing, some) == math.inf
    assert hausdorff(nothing, nothing) == mean_distance(nothing, nothing) == 0


def test_segments_cross_where_they_should() -> None:
    starts, ends = points((-1, 0), (1, 0.5), (-1, 0)), points((3, 4), (-1, 0.5), (-0.5, 0))
    at, found = segment_crossing(vertical(0.2), starts, ends)
    assert found.tolist() == [True, True, False]
    torch.testing.assert_close(at[0], points((0.2, 1.2))[0])
    torch.testing.assert_close(at[1], points((0.2, 0.5))[0])
    assert at[2].isnan().all()


def test_the_first_of_two_crossings_is_taken() -> None:
    at, found = segment_crossing(circle(1.0), points((-2, 0)), points((2, 0)))
    assert found.all()
    torch.testing.assert_close(at, points((-1, 0)))


def test_theorem_2_on_two_parallel_lines() -> None:
    """Teacher x = 0, student x = 0.3; two pairs cross both at y = -0.5 and 0.5, one crosses the teacher's only."""
    teacher, student = vertical(0.0), vertical(0.3)
    boundaries = [boundary_points(margin, WINDOW, 201) for margin in (teacher, student)]
    pairs = torch.tensor(
        [[(-0.5, -0.5), (0.5, -0.5)], [(0.9, 0.5), (-0.3, 0.5)], [(-0.1, 1.0), (0.1, 1.0)]], dtype=torch.float64
    )
    found = proximity(teacher, student, *boundaries, pairs)
    assert found.alpha == pytest.approx(1.2)
    # crossings at y = -0.5 and 0.5: the ends (y = 1, -1) and the middle (y = 0) are 0.5 away on both lines
    assert found.epsilon_teacher == pytest.approx(0.5)
    assert found.epsilon_student == pytest.approx(0.5)
    assert (found.pairs, found.matched, found.crossed) == (3, 2, 2)
    assert found.epsilon == pytest.approx(0.5)
    assert found.bound == pytest.approx(1.7)
    assert hausdorff(*boundaries) <= found.bound


def test_without_a_crossing_pair_epsilon_is_infinite() -> None:
    teacher, student = vertical(0.0), vertical(1.0)
    boundaries = [boundary_points(margin, WINDOW, 21) for margin in (teacher, student)]
    found = proximity(teacher, student, *boundaries, points((-0.1, 0), (0.1, 0))[None])
    assert found.crossed == 0
    assert found.epsilon == math.inf
