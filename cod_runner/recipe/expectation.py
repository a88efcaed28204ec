"""An entry of ``expect:``: a number, the cells or counterfactuals that it is of, and its bound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from cod_runner.recipe.arms import COD, PLAIN
from cod_runner.recipe.sections import Section

CELL_NUMBERS = (
    "calibration_error", "calibrated_error", "held_out_accuracy", "held_out_loss", "temperature", "teacher_queries",
    "generator_calls", "embedded", "redrawn", "usd", "teacher_usd", "train_seconds", "seconds",
)  # fmt: skip
"""Numbers of a line of ``cells.jsonl`` that an expectation can be about, beside the recipe's metrics; the fields of
:class:`cod_runner.runs.records.CellRow` have the same names."""

CfeNumber = Literal[
    "yield", "flip_rate", "refused", "edits", "three_edits", "minimality", "probability_change", "certainty",
    "boundary_margin", "diversity",
]  # fmt: skip
CFE_MEASURES: dict[CfeNumber, tuple[str, Literal["all", "flipped"]]] = {
    "yield": ("yield (originals with a verified flip)", "all"),
    "flip_rate": ("flip rate of candidates the teacher read", "all"),
    "refused": ("candidates refused unread", "all"),
    "edits": ("edits", "flipped"),
    "three_edits": ("share of three edits or more", "flipped"),
    "minimality": ("minimality (edits / words)", "flipped"),
    "probability_change": ("probability change", "flipped"),
    "certainty": ("probability of the class it is read as", "flipped"),
    "boundary_margin": ("boundary margin |p1 - p2|", "flipped"),
    "diversity": ("diversity of candidates", "flipped"),
}
"""A row of the quality table of the counterfactuals, and the column that is judged."""


@dataclass(frozen=True)
class Cells:
    """The cells of one method, arm and k, over seeds."""

    method: str
    arm: str
    k: int

    @property
    def in_words(self) -> str:
        """``kd, cod, k = 16``."""
        return f"{self.method}, {self.arm}, k = {self.k}"


class Over(Section):
    """The cells that others are compared with, where more than the arm is different."""

    method: str | None = Field(None, description="absent: the same method")
    arm: str | None = Field(None, description="absent: the same arm")
    k: int | None = Field(None, ge=1, description="absent: the same k")


def _needs(value: dict[str, Any]) -> None:
    """Tell editors what pydantic's types do not: only ``cfes`` has no cells."""
    value["anyOf"] = [{"required": ["cfes"]}, {"required": ["method", "k"]}]


class Expectation(Section):
    """What a regression run must show: a number of some cells, a gain or a ratio of cells over others, or a measure of
    the counterfactuals; and bounds for it, or how near it must be to another run's."""

    model_config = ConfigDict(json_schema_extra=_needs)

    metric: str | None = Field(
        None,
        description="with `method`, `arm` and `k`: the mean over seeds of a metric, or of another number of a cell: "
        + ", ".join(CELL_NUMBERS),
    )
    gain: str | None = Field(
        None, description="instead of `metric`: by how much it is larger than in the cells of `over`, mean over seeds"
    )
    ratio: str | None = Field(
        None,
        description="instead of `metric`: it over that of the cells of `over`, seed by seed; the median over seeds, so "
        "that one cell that had to wait for its machine does not decide (`ratio: train_seconds`)",
    )
    cfes: CfeNumber | None = Field(
        None,
        description="instead of `metric`, and without cells: a measure of all counterfactuals that the run searched; "
        "`yield`, `flip_rate` and `refused` are of all originals and candidates, the others of verified flips",
    )
    method: str | None = Field(None, description="the method of the cells, by its name under `methods`")
    arm: str | None = Field(None, description=f"the arm of the cells; absent for `gain` and `ratio`: `{COD}`")
    over: str | Over | None = Field(
        None,
        description=f"for `gain` and `ratio`: the arm that is compared with, `{PLAIN}` if absent; or what is different "
        "in those cells, such as `{method: hard}`",
    )
    k: int | None = Field(None, ge=1, description="the number of training examples of the cells")
    at_least: float | None = Field(None, description="the smallest value that passes")
    at_most: float | None = Field(None, description="the largest value that passes")
    within: float | None = Field(
        None, ge=0, description="instead of bounds: the largest difference, up or down, from the number of the run `of`"
    )
    of: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="a run's folder, relative to the recipe's: the same number over the seeds that both runs have",
    )

    @model_validator(mode="after")
    def _complete(self) -> Expectation:
        if sum(each is not None for each in (self.metric, self.gain, self.ratio, self.cfes)) != 1:
            raise ValueError("give one of `metric` (with `arm`), `gain`, `ratio` and `cfes`")
        if self.cfes is None:
            self._check_cells()
        else:
            for key in ("method", "arm", "over", "k"):
                if getattr(self, key) is not None:
                    raise ValueError(f"`cfes` is about all counterfactuals of a run, not about cells; remove `{key}`")
        self._check_bounds()
        return self

    def _check_cells(self) -> None:
        for key in ("method", "k"):
            if getattr(self, key) is None:
                raise ValueError(f"`{key}` is missing; `{self.kind}` is about cells, of a `method` and a `k`")
        if self.metric is not None and (self.arm is None or self.over is not None):
            raise ValueError(
                "`metric` goes with `arm` alone; `gain` and `ratio` compare with the cells that `over` names"
            )
        if self.metric is None and len(set(self.cells)) == 1:
            both = f"the arm `{self.cells[0].arm}`" if isinstance(self.over, str) else "the cells"
            raise ValueError(f"`{self.kind}` compares {both} with {'itself' if 'arm' in both else 'themselves'}")

    def _check_bounds(self) -> None:
        if (self.within is None) != (self.of is None):
            raise ValueError("`within` and `of` go together: how near it must be to the number of another run's folder")
        bounded = self.at_least is not None or self.at_most is not None
        if bounded == (self.within is not None):
            raise ValueError("give `at_least`, `at_most` or both, or else `within` and `of`")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"nothing is at least {self.at_least} and at most {self.at_most}")

    @property
    def kind(self) -> Literal["metric", "gain", "ratio", "cfes"]:
        """The key that says what it is about."""
        named: tuple[Literal["metric", "gain", "ratio"], ...] = ("metric", "gain", "ratio")
        return next((key for key in named if getattr(self, key) is not None), "cfes")

    @property
    def number(self) -> str:
        """The name of what is measured."""
        return str(getattr(self, self.kind))

    @property
    def cells(self) -> tuple[Cells, ...]:
        """The cells that it is about, and for a gain or a ratio those that they are compared with; none for
        ``cfes``."""
        if self.method is None or self.k is None:
            return ()
        ours = Cells(self.method, self.arm or COD, self.k)
        if self.metric is not None:
            return (ours,)
        over = self.over if isinstance(self.over, Over) else Over(arm=self.over or PLAIN)
        return ours, Cells(over.method or ours.method, over.arm or ours.arm, over.k or ours.k)

    @property
    def what(self) -> str:
        """``accuracy, kd, cod, k = 16``, or ``gain of accuracy (cod - plain), kd, k = 16``."""
        if self.cfes is not None:
            return f"{self.cfes} of the counterfactuals"
        first, *others = self.cells
        if not others:
            return f"{self.number}, {first.in_words}"
        sides = [(one.method, one.arm, f"k = {one.k}") for one in self.cells]
        ours, over = (" ".join(part for part, other in zip(*pair, strict=True) if part != other)
                      for pair in (sides, reversed(sides)))  # fmt: skip
        same = [part for part, other in zip(*sides, strict=True) if part == other]
        sign = "-" if self.gain is not None else "/"
        return ", ".join([f"{self.kind} of {self.number} ({ours} {sign} {over})", *same])

    @property
    def bound(self) -> str:
        """``at least 0.75``, or ``within 0.02 of the run baseline``."""
        if self.within is not None and self.of is not None:
            return f"within {self.within:g} of the run {PurePath(self.of).name}"
        bounds = [("at least", self.at_least), ("at most", self.at_most)]
        return ", ".join(f"{words} {value:g}" for words, value in bounds if value is not None)
