"""The grammar of a recipe, as pydantic models. What a component's options may be is its plugin's to say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator, model_validator

from cod_runner.api import FinetuneSettings, TrainSettings

Arm = Literal["plain", "cod"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


class Section(BaseModel):
    """A mapping of the recipe whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Use(BaseModel):
    """A component: ``use`` names it, everything else is an option of its plugin. ``use: X`` may be the string X."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    use: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """What stands beside ``use`` (and beside the keys that belong to the core)."""
        return dict(self.model_extra or {})


class Teacher(Use):
    """The teacher; without ``finetune`` the checkpoint is used as it is."""

    finetune: FinetuneSettings | None = None


class WeightedLoss(Use):
    """One term of a method's loss."""

    weight: float = Field(1.0, ge=0, allow_inf_nan=False)


class Budget(Section):
    """What a run may spend on model calls; every bound is checked before a call is sent."""

    calls: NonNegativeInt | None = None
    tokens: NonNegativeInt | None = None
    usd: float | None = Field(None, ge=0)


class Counterfactuals(Section):
    """How the CFEs of the ``cod`` arm are made and judged."""

    generators: list[Use] = Field(min_length=1, description="tried in order until one yields a verified flip")
    base_label: Literal["teacher", "gold"] = "teacher"
    target: Literal["runner_up", "fixed", "all"] = "runner_up"
    targets: dict[str, str] = Field(default_factory=dict, description="for `target: fixed`: label to target label")
    verify: bool = True
    on_failure: Literal["redraw", "drop", "keep_unverified", "fail"] = "redraw"
    budget: Budget = Budget()
    max_edits: float = Field(0.8, gt=0, description="largest edits, as a share of the original's words")
    length_ratio: tuple[float, float] = (0.4, 2.5)


class Evaluate(Section):
    """On what, when, and by which metrics a student is measured."""

    split: str = "validation"
    select: Literal["last", "best_dev", "best_reported"] = "last"
    metrics: list[Use] = Field(
        default_factory=lambda: [Use(use=name) for name in ("accuracy", "agreement", "kl", "ece", "f1")],
        min_length=1,
    )


class Expectation(Section):
    """What a regression run must show: a metric of one arm, or the gain of ``cod`` over ``plain``."""

    metric: str | None = None
    gain: str | None = None
    method: str
    arm: Arm | None = None
    k: int = Field(ge=1)
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _complete(self) -> Expectation:
        if (self.metric is None) == (self.gain is None):
            raise ValueError("give either `metric` (with `arm`) or `gain`")
        if (self.metric is not None) != (self.arm is not None):
            raise ValueError("`metric` goes with `arm`; `gain` compares both arms and takes none")
        if self.at_least is None and self.at_most is None:
            raise ValueError("give `at_least`, `at_most` or both")
        return self


class Recipe(Section):
    """A whole recipe after ``extends``, profile and overrides were merged. ``extends`` and ``profiles`` are
    resolved before this model sees it."""

    recipe: Literal[1]
    name: str
    describe: str = Field("", description="one sentence on what the task is, for generators that prompt a model")
    dataset: Use
    k: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    seeds: list[NonNegativeInt] = Field(min_length=1)
    teacher: Teacher
    student: Use
    counterfactuals: Counterfactuals | None = None
    methods: dict[str, list[WeightedLoss]] = Field(min_length=1)
    arms: list[Arm] = Field(default_factory=lambda: ["plain", "cod"], min_length=1)
    train: TrainSettings = TrainSettings()
    evaluate: Evaluate = Evaluate()
    expect: list[Expectation] = Field(default_factory=list)
    executor: Use = Use(use="processes")
    trackers: list[Use] = Field(default_factory=list)

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, value: str) -> str:
        if not NAME.fullmatch(value) or ".." in value:
            raise ValueError("a name becomes a folder: letters, digits, `.`, `_`, `-`, `+`, without `..`")
        return value

    @field_validator("methods")
    @classmethod
    def _methods_are_folders(cls, value: Mapping[str, list[WeightedLoss]]) -> Mapping[str, list[WeightedLoss]]:
        for name, losses in value.items():
            if not NAME.fullmatch(name) or ".." in name:
                raise ValueError(f"method name `{name}` becomes a folder: letters, digits, `.`, `_`, `-`, `+`")
            if not losses:
                raise ValueError(f"method `{name}` has no losses; `[hard]` is the plainest")
        return value

    @field_validator("k", "seeds", "arms")
    @classmethod
    def _no_repeats(cls, value: list[Any]) -> list[Any]:
        if len(set(value)) != len(value):
            raise ValueError("lists the same value twice")
        return value
