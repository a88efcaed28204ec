"""What a run's files hold: a line of ``cells.jsonl``, and ``run.json``."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cod_runner.errors import CodrunError
from cod_runner.runs.failed import FailedCell
from cod_runner.runs.origins import OriginRecord


@dataclass(frozen=True)
class CellRow:
    """One finished student: what a line of ``cells.jsonl`` is written from and read into. Can be pickled.

    The fields are in the order of the file; one that is None is omitted from the line. No metric may have the name of
    a field, since a line is flat: :func:`cod_runner.runs.declared.metrics_of` refuses such a recipe before it runs.
    """

    key: str
    """Hash of everything that decides the cell."""
    method: str
    arm: str
    k: int
    seed: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    """By the name in the recipe, which is also the key in the line."""
    steps: int | None = None
    """Optimiser steps."""
    training_rows: int | None = None
    labelled: int | None = None
    """Rows with a person's label: the originals."""
    added: int | None = None
    """Rows that the arm adds, with a label."""
    unlabelled: int | None = None
    """Rows with the teacher's word alone, counted beside k."""
    teacher_queries: int | None = None
    """Texts that the teacher was asked about for this training set, the candidates of the search included."""
    embedded: int | None = None
    """Texts that a selector's encoder embedded."""
    generator_calls: int | None = None
    """Answers and candidates that generators gave, refused ones included."""
    usd: float | None = None
    """What they cost when they were made; None also where a price is unknown."""
    teacher_usd: float | None = None
    """What the teacher's answers about ``teacher_queries`` texts cost; None also where it only answers for nothing."""
    redrawn: int | None = None
    """Originals that had no verified counterfactual and were replaced by the next in order."""
    yield_: float | None = None
    """Pairs found over originals tried, 0 to 1; ``yield`` in the file."""
    teacher_disagrees_with_gold: int | None = None
    """Number of paired originals whose gold label the teacher does not predict; None in an arm without pairs."""
    losses: Mapping[str, float] | None = None
    """Those of the last step, by term."""
    held_out_rows: int | None = None
    """Rows of the pool that the student was not trained on, whose gold labels calibrate it and compare it with others.
    None in older lines."""
    held_out_accuracy: float | None = None
    """On these rows; None where there is none."""
    held_out_loss: float | None = None
    """Mean cross-entropy on these rows, in nats, at the temperature at which it is smallest."""
    temperature: float | None = None
    """Fitted on these rows; None where they are too few, or all right."""
    calibration_error: float | None = None
    """Expected calibration error on the evaluation split, of the student as it was trained."""
    calibrated_error: float | None = None
    """The same with its logits divided by ``temperature``."""
    select: str | None = None
    """The recipe's ``evaluate.select``; ``best_reported`` makes the metrics optimistic."""
    precision: str | None = None
    device: str | None = None
    """Its type: cpu, cuda, mps."""
    train_seconds: float | None = None
    seconds: float | None = None
    """Of the whole cell: building, training, measuring, saving."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """All other keys of the line, unchanged."""

    def __post_init__(self) -> None:
        clash = FIELDS.keys() & self.metrics.keys()
        if clash:
            raise ValueError(f"the metric `{min(clash)}` has the name of a field of cells.jsonl")

    @classmethod
    def from_json(cls, line: Mapping[str, Any], metrics: Collection[str]) -> CellRow:
        """Read a line; ``metrics`` are the names of the recipe's. A metric that is not a number was not measured.

        Raises :class:`CodrunError` if the line lacks a key that identifies a cell, or a field has the wrong type.
        """
        fields: dict[str, Any] = {}
        measured: dict[str, float] = {}
        extra: dict[str, Any] = {}
        for key, value in line.items():
            if key in FIELDS:
                fields[FIELDS[key]] = value
            elif key in metrics and isinstance(value, int | float) and not isinstance(value, bool):
                try:
                    measured[key] = float(value)
                except OverflowError as error:
                    raise CodrunError(f"a line of cells.jsonl has a `{key}` of {len(str(value))} digits") from error
            else:
                extra[key] = value
        try:
            return _row().validate_python({**fields, "metrics": measured, "extra": extra})
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0]).rstrip("_")
            where = f"a line of cells.jsonl does not identify a cell ({', '.join(NAMES_A_CELL)})"
            if key not in NAMES_A_CELL:
                where = f"a line of cells.jsonl has a `{key}` of the wrong type"
            raise CodrunError(f"{where}: {key}: {first['msg']}") from error

    def to_json(self) -> dict[str, Any]:
        """The flat line that ``from_json`` reads, its keys in the order of the file."""
        values = {key: getattr(self, name) for key, name in FIELDS.items()}
        return {
            **{key: values.pop(key) for key in NAMES_A_CELL},
            **self.metrics,
            **{key: value for key, value in values.items() if value is not None},
            **self.extra,
        }

    @property
    def name(self) -> str:
        """The name of its folder under ``students/``."""
        return cell_name(self.method, self.arm, self.k, self.seed)

    @property
    def setting(self) -> tuple[str, str, int]:
        """(method, arm, k): what its seeds share."""
        return self.method, self.arm, self.k

    @property
    def place(self) -> tuple[str, str, int, int]:
        """(method, arm, k, seed)."""
        return self.method, self.arm, self.k, self.seed


def cell_name(method: str, arm: str, k: int, seed: int) -> str:
    """The name of a cell's folder under ``students/``."""
    return f"{method}-{arm}-k{k}-s{seed}"


NAMES_A_CELL = ("key", "method", "arm", "k", "seed")
"""The keys with which every line of ``cells.jsonl`` begins."""
FIELDS: Mapping[str, str] = {
    name.rstrip("_"): name for name in CellRow.__dataclass_fields__ if name not in ("metrics", "extra")
}
"""The core's own keys of a line, in the order of the file, to the field that each fills; no metric may use one."""


@functools.cache
def _row() -> TypeAdapter[CellRow]:
    """The check of a line's types, built with the first line that is read."""
    return TypeAdapter(CellRow)


HELD_OUT_LABELS = "held-out gold labels"
"""In the data of ``run.json``: how many gold labels of the pool are read beside k, all cells together."""


class QualityRow(BaseModel):
    """One measure of the counterfactuals: over all of them and over those that flipped. None: not measured."""

    model_config = ConfigDict(extra="ignore", frozen=True, from_attributes=True, defer_build=True)

    name: str
    all: float | str | None = None
    flipped: float | str | None = None


class MetricRecord(BaseModel):
    """What a report must know of a metric, as its plugin declares it, so that a report needs no plugin."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    name: str
    """As in the recipe and in ``cells.jsonl``."""
    title: str
    higher_is_better: bool

    @classmethod
    def unknown(cls, name: str) -> MetricRecord:
        """A metric of which nothing is known: higher counts as better."""
        return cls(name=name, title=name, higher_is_better=True)

    @property
    def heading(self) -> str:
        """The title, with the direction if lower is better."""
        return self.title if self.higher_is_better else f"{self.title} (lower is better)"


class LeftOut(BaseModel):
    """Cells of an arm that could not run, since their training set cannot be drawn."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    arm: str
    k: int
    seeds: list[int]
    cells: int
    sentence: str
    """Why, and what can be done."""


class VerdictRecord(BaseModel):
    """One entry of the recipe's ``expect:``, and what was measured."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    what: str
    """``accuracy, kd, cod, k = 16``."""
    bound: str
    """``at least 0.75``."""
    found: str
    """``0.7312 over 5 seeds``, or ``nothing``."""
    verdict: Literal["pass", "miss", "not run"]
    measured: float | None = None
    seeds: list[int] = Field(default_factory=list)
    sentence: str
    """All of it, as the command line says it."""


class StageRecord(BaseModel):
    """What one stage of a run took, all calls of the run together."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    name: str
    """``data``, ``teacher``, ``counterfactuals``, ``signals``, ``students`` or ``report``."""
    seconds: float = 0.0
    calls: int = 0
    """Model calls."""
    tokens: int = 0
    usd: float | None = 0.0
    """None where the price of a call is unknown."""


class FoldRecord(BaseModel):
    """What is known of one fold of a cross-validation; the run's own fields hold them together."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    teacher: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    shared_queries: int = 0


class ComponentCode(BaseModel):
    """The code that made a run's cells, of one component."""

    version: int
    """As its plugin declares it."""
    digests: list[str]
    """Of every code with this version that ran, the last one's at the end; see
    :func:`cod_runner.code_digests.code_digest`."""


class RunRecord(BaseModel):
    """``run.json``: where, with what and at what cost a run ran. Keys that are not named here are preserved."""

    model_config = ConfigDict(extra="allow", validate_assignment=True, defer_build=True)

    recipe: str
    """The recipe's name."""
    profile: str | None = None
    command: str | None = None
    """The command that repeats the run."""
    versions: dict[str, str] = Field(default_factory=dict)
    git_commit: str | None = None
    machine: dict[str, Any] = Field(default_factory=dict)
    started: str | None = None
    finished: str | None = None
    seconds: float | None = None
    calls: int = 0
    """Model calls of generators."""
    tokens: int = 0
    cost: float | None = 0.0
    """US dollars; None where the price of a call is unknown."""
    shared_queries: int = 0
    """Texts about which generators asked the teacher for no original in particular, to learn from the pool, say."""
    teacher: dict[str, Any] = Field(default_factory=dict)
    """``accuracy`` on the evaluation split, and anything else known of the teacher."""
    data: dict[str, Any] = Field(default_factory=dict)
    """Numbers of rows and the like, shown as they are."""
    notes: list[str] = Field(default_factory=list)
    """Sentences that must be shown with the numbers: warnings, deviations."""
    optimistic: bool = False
    """The checkpoint was chosen on the reported split."""
    verified: bool = True
    """False where counterfactuals that the teacher did not confirm were trained on."""
    metrics: list[MetricRecord] = Field(default_factory=list)
    """The recipe's, in its order. Older records have none: :func:`cod_runner.runs.declared.complete` adds them."""
    without_teacher: list[str] | None = None
    """Methods none of whose losses uses the teacher: the floor. None in older records."""
    terms_of_teacher: dict[str, list[str]] | None = None
    """By method, the terms of its loss that use the teacher, named as in a cell's ``losses``. None in older records."""
    student_from_teacher: bool = False
    """Whether the students start from the teacher's weights, the floor's too."""
    cell_keys: list[str] | None = None
    """The keys of the recipe's cells; tables omit lines with other keys. None: every line is current."""
    verdicts: list[VerdictRecord] = Field(default_factory=list)
    """On every expectation of the recipe, of the last call that ended."""
    stages: list[StageRecord] = Field(default_factory=list)
    """In the order in which they first ran."""
    left_out: list[LeftOut] = Field(default_factory=list)
    """Of the last call: the next one tries them again."""
    failed: list[FailedCell] = Field(default_factory=list)
    """Of the last call, too: they have no line in ``cells.jsonl``."""
    settings: str | None = None
    """Hash of what decides all cells alike; None in older records."""
    students: str | None = None
    """Which students the recipe keeps, as it was when the last call ended; None in older records."""
    not_kept: list[str] = Field(default_factory=list)
    """Keys of cells whose students are not in the folder, since a recipe kept the best of them or none."""
    quality: list[QualityRow] = Field(default_factory=list)
    origins: list[OriginRecord] | None = None
    """What of other people's the students are made of. None in older records, and until a run has ended."""
    longest_input: int | None = None
    """Positions (tokens) of a text that the students read; None where it is not known."""
    code: dict[str, ComponentCode] = Field(default_factory=dict)
    """Of plugins that are not codrun's own, by component."""
    local_plugins: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each Python file that the recipe names under ``plugins``, by its name."""
    folds: dict[int, FoldRecord] = Field(default_factory=dict)
    """By fold, from 0; empty where the data is not divided into folds."""

    def stage(self, name: str) -> StageRecord:
        """The stage of this name, added at the end if it has not run yet."""
        found = next((stage for stage in self.stages if stage.name == name), None)
        if found is None:
            found = StageRecord(name=name)
            self.stages.append(found)
        return found

    def metric(self, name: str) -> MetricRecord:
        """What is known of a metric."""
        return next((metric for metric in self.metrics if metric.name == name), MetricRecord.unknown(name))

    @property
    def metric_names(self) -> list[str]:
        return [metric.name for metric in self.metrics]

    def finished_now(self, seconds: float, ran: bool) -> None:
        """Record the end of a call; one that found everything finished leaves the run's time unchanged. It is never
        before the start, also where the clock was set back meanwhile."""
        if ran or self.finished is None:
            self.finished = max(datetime.now(UTC).isoformat(timespec="seconds"), self.started or "")
            self.seconds = (self.seconds or 0.0) + seconds

    @property
    def held_out_labels(self) -> int | None:
        """:data:`HELD_OUT_LABELS`; None in older records."""
        value = self.data.get(HELD_OUT_LABELS)
        return value if isinstance(value, int) else None

    @property
    def left_out_in_words(self) -> str:
        """``4 of 12 cells could not run: `cod` at k = 12 (seeds 0, 1)``; "" where every cell could."""
        cells = sum(each.cells for each in self.left_out)
        if not cells:
            return ""
        arms = dict.fromkeys((each.arm, each.k) for each in self.left_out)
        seeds = {place: [s for one in self.left_out if (one.arm, one.k) == place for s in one.seeds] for place in arms}
        named = ", ".join(
            f"`{arm}` at k = {k} (seed{'' if len(seeds[arm, k]) == 1 else 's'} {', '.join(map(str, seeds[arm, k]))})"
            for arm, k in arms
        )
        of = f" of {len(self.cell_keys)}" if self.cell_keys else ""
        return f"{cells}{of} cells could not run, since their training sets cannot be drawn: {named}"

    @property
    def teacher_accuracy(self) -> float | None:
        value = self.teacher.get("accuracy")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
