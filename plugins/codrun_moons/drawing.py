"""The figure of two arms side by side: data, training points, counterfactuals, both boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cod_runner.api import Example, default_figure_style
from codrun_moons.geometry import Margin, Window, grid_points
from codrun_moons.report import CellMeasures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASS_COLOURS = ("#0072b2", "#d55e00")
STUDENT_COLOUR = "#009e73"
DRAWN_GRID = 200


@dataclass(frozen=True)
class Panel:
    """One student to be drawn."""

    measures: CellMeasures
    training: Sequence[Example]
    student: Margin


@default_figure_style()
def draw(
    path: Path,
    panels: Sequence[Panel],
    teacher: Margin,
    pool: Sequence[Example],
    window: Window,
    labels: Sequence[str],
) -> None:
    """Above, the first seed with its training points; below, the boundaries of all seeds. One column per arm."""
    from matplotlib.figure import Figure

    arms = [arm for arm in ("plain", "cod") if any(panel.measures.arm == arm for panel in panels)]
    (left, right), (low, high) = window
    figure = Figure(
        figsize=(5.2 * len(arms), 2 * (5 * (high - low) / (right - left) + 0.6) + 0.6), layout="constrained"
    )
    axes = figure.subplots(2, len(arms), squeeze=False, sharex=True, sharey=True)
    for column, arm in enumerate(arms):
        of_arm = sorted((panel for panel in panels if panel.measures.arm == arm), key=lambda one: one.measures.seed)
        first = of_arm[0]
        _data(axes[0, column], pool)
        _boundary(axes[0, column], teacher, window, "black", label="teacher's boundary")
        _boundary(axes[0, column], first.student, window, STUDENT_COLOUR, label="student's boundary", linestyles="--")
        _training_points(axes[0, column], first.training, labels)
        axes[0, column].set_title(f"{_title(first)}\nseed {first.measures.seed}: {_numbers([first])}", fontsize=10)
        _data(axes[1, column], pool)
        for panel in of_arm:
            _boundary(axes[1, column], panel.student, window, STUDENT_COLOUR, linewidths=0.8, alpha=0.7)
        _boundary(axes[1, column], teacher, window, "black")
        axes[1, column].set_title(f"{len(of_arm)} seeds, mean: {_numbers(of_arm)}", fontsize=10)
    for axis in axes.flat:
        axis.set(xlim=window[0], ylim=window[1], aspect="equal")
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        handles |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _title(panel: Panel) -> str:
    pairs = sum(example.is_counterfactual for example in panel.training)
    originals = len(panel.training) - pairs
    made_of = f"{originals} originals and {pairs} CFEs" if pairs else f"{originals} originals"
    return f"{panel.measures.method}{' + CoD' if pairs else ''}: {made_of}"


def _numbers(panels: Sequence[Panel]) -> str:
    agreement = sum(panel.measures.agreement for panel in panels) / len(panels)
    distance = sum(panel.measures.hausdorff for panel in panels) / len(panels)
    mean = sum(panel.measures.mean_distance for panel in panels) / len(panels)
    return f"agreement {agreement:.3f}, H {distance:.2f}, mean distance {mean:.3f}"


def _data(axis: Axes, pool: Sequence[Example]) -> None:
    for label, colour in enumerate(CLASS_COLOURS):
        xs, ys = _coordinates([example for example in pool if example.label == label])
        axis.scatter(xs, ys, s=5, color=colour, alpha=0.15, linewidths=0)


def _boundary(axis: Axes, margin: Margin, window: Window, colour: str, label: str = "", **style: Any) -> None:
    points = grid_points(window, DRAWN_GRID)
    values = margin(points.flatten(0, 1)).reshape(DRAWN_GRID, DRAWN_GRID)
    if bool(values.min() < 0 < values.max()):
        axis.contour(points[0, :, 0], points[:, 0, 1], values, levels=[0], colors=colour, **style)
    if label:
        axis.plot([], [], color=colour, linestyle=style.get("linestyles", "-"), label=label)


def _training_points(axis: Axes, training: Sequence[Example], labels: Sequence[str]) -> None:
    by_id = {example.id: example for example in training}
    for example in training:
        if example.is_counterfactual and example.partner in by_id:
            xs, ys = _coordinates([by_id[example.partner], example])
            axis.plot(xs, ys, color="0.4", linewidth=0.7, zorder=2)
    for label, colour in enumerate(CLASS_COLOURS):
        for is_counterfactual, marker, name in ((False, "o", "originals"), (True, "*", "CFEs")):
            chosen = [one for one in training if one.label == label and one.is_counterfactual == is_counterfactual]
            if chosen:
                xs, ys = _coordinates(chosen)
                axis.scatter(
                    xs,
                    ys,
                    s=90 if is_counterfactual else 36,
                    marker=marker,
                    color=colour,
                    edgecolors="black",
                    linewidths=0.6,
                    zorder=3,
                    label=f"{name}, {labels[label]}",
                )


def _coordinates(examples: Sequence[Example]) -> tuple[list[float], list[float]]:
    points = [example.input for example in examples if isinstance(example.input, tuple)]
    return [point[0] for point in points], [point[1] for point in points]
