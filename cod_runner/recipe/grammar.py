"""The grammar of a recipe, as pydantic models. A component's options are its plugin's business."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, NonNegativeInt, field_validator, model_validator

from cod_runner.api import FinetuneSettings, Kind, TrainSettings
from cod_runner.defaults import DEFAULT_EXECUTOR, DEFAULT_METRICS
from cod_runner.recipe.arms import COD, CONTROL, DEFAULT_ARMS, PLAIN, WORDS, Arm, arms_of
from cod_runner.recipe.expectation import Expectation
from cod_runner.recipe.sections import FolderName, NoRepeats, Section, Use

LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$|^multilingual$")]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


WITHOUT_CONTENT = ("N/A", "", "[MASK]")
"""What ``by: contextual`` asks a teacher about: the texts of Zhao et al. 2021 (arXiv:2102.09690), section 5."""


class Calibration(Section):
    """How the answers of a teacher that only answers are calibrated, before anything else sees them."""

    by: Literal["none", "batch", "contextual"] | None = Field(
        None,
        description="`batch` takes out the leaning that unlabelled texts show, `contextual` that of texts without "
        "content; absent: `batch`, or `none` where `skewed`",
    )
    texts: int = Field(100, ge=2, description="unlabelled texts of the pool that `batch` asks the teacher about")
    gold: int = Field(0, ge=0, description="labelled rows of the pool on which a temperature is chosen; 0: none is")
    skewed: bool = Field(
        False, description="whether some class is much rarer than another, which `batch` would take for a leaning"
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"by": value} if isinstance(value, str) else value

    @property
    def chosen(self) -> Literal["none", "batch", "contextual"]:
        """``by``, or what stands for it."""
        return self.by or ("none" if self.skewed else "batch")

    def identity(self) -> dict[str, Any]:
        """What decides the answers, for keys."""
        texts = {"texts": self.texts} if self.chosen == "batch" else {}
        return {"by": self.chosen, **texts, "gold": self.gold}

    @property
    def unlabelled(self) -> int:
        """How many texts the teacher is asked about whose labels nobody reads, at most."""
        return {"none": 0, "contextual": len(WITHOUT_CONTENT), "batch": self.texts}[self.chosen]


class Teacher(Use):
    """The teacher; without ``finetune`` the checkpoint is used as it is."""

    finetune: FinetuneSettings | None = Field(None, description="absent: the checkpoint is used as it is")
    calibration: Calibration | None = Field(
        None, description="for a teacher that only answers; absent: `batch`, on 100 unlabelled texts"
    )
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="how many processes fine-tune it together, each on a part of every batch, and answer about many "
        "texts: on GPUs one on each; changes the last bits of a fine-tuning, and so its key, and no answer",
    )


class WeightedLoss(Use):
    """One term of a method's loss."""

    weight: float = Field(1.0, ge=0, allow_inf_nan=False, description="factor of this term in the sum")


class Budget(Section):
    """What a run may spend on model calls; every bound is checked before a call is sent."""

    calls: NonNegativeInt | None = Field(None, description="model calls; absent: as many as are needed")
    tokens: NonNegativeInt | None = Field(
        None, description="tokens of prompts and answers together; absent: as many as are needed"
    )
    usd: float | None = Field(
        None, ge=0, description="US dollars, by the prices that litellm knows; absent: as many as are needed"
    )


class Counterfactuals(Section):
    """How the CFEs of the ``cod`` arm are made and judged."""

    generators: list[Use] = Field(min_length=1, description="tried in order until one yields a verified flip")
    base_label: Literal["teacher", "gold"] = Field("teacher", description="whose label of the original is flipped")
    target: Literal["runner_up", "fixed", "all"] = Field(
        "runner_up", description="which label to flip to, where there are more than two"
    )
    targets: dict[str, str] = Field(default_factory=dict, description="for `target: fixed`: label to target label")
    verify: bool = Field(True, description="a CFE counts only if the teacher's prediction flips")
    on_failure: Literal["redraw", "drop", "keep_unverified", "fail"] = Field(
        "redraw", description="what to do with an original that no candidate flips"
    )
    budget: Budget | None = Field(None, description="the recipe's `budget`, as earlier versions placed it")
    margin: float = Field(
        0.0, ge=0, lt=1, description="how far past the boundary a flip must lie: p(new class) - p(old class)"
    )
    max_edits: float = Field(0.8, gt=0, description="largest edits, as a share of the original's words")
    length_ratio: tuple[float, float] = Field(
        (0.4, 2.5), description="shortest and longest CFE, as a share of the original's length"
    )

    @field_validator("length_ratio")
    @classmethod
    def _shorter_first(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] < value[1]:
            raise ValueError("must be two shares, the smaller one first, neither below 0")
        return value


class Evaluate(Section):
    """On which split, at which epoch, and by which metrics a student is measured."""

    split: str = Field("validation", min_length=1, description="the split that students are measured on")
    rows: int | None = Field(
        None, ge=2, description="at most so many of its rows, as many of each class as its share; absent: all"
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=100,
        description="cross-validation, for few rows without a split of their own: they are divided into so many folds; "
        "a student of seed s is measured on fold s modulo `folds` and made of the others",
    )
    select: Literal["last", "best_dev", "best_reported"] = Field(
        "last", description="which epoch counts; `best_reported` selects on the reported split and is optimistic"
    )
    metrics: list[Use] = Field(
        default_factory=lambda: [Use(use=name) for name in DEFAULT_METRICS],
        min_length=1,
        description="what is measured of each student; each is a column of `cells.jsonl` and a table of the report",
    )

    def fold_of(self, seed: int) -> int | None:
        """The fold that a student of this seed is measured on; None without folds."""
        return None if self.folds is None else seed % self.folds


class Card(Section):
    """What a student's model card cannot know by itself; nothing of it decides a result."""

    license: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$",
        description="of the students, as the hub spells it (apache-2.0, mit, gemma, other, ...); absent: what the card "
        "of their base checkpoint states, or else `unknown`",
    )
    language: Annotated[list[LanguageCode], Field(min_length=1), BeforeValidator(_listed)] | None = Field(
        None, description="of the texts: a code such as `en`, or a list of them"
    )
    base_model: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$",
        description="the base checkpoint's name on the hub, where the recipe names a folder or a package",
    )
    intended_use: str | None = Field(None, min_length=1, max_length=2000, description="what the students are for")


class Recipe(Section):
    """A whole recipe after ``extends``, profile and overrides are merged. ``extends`` and ``profiles`` are resolved
    before this model sees it."""

    recipe: Literal[1] = Field(description="version of the grammar")
    name: FolderName = Field(description="names the run's folder")
    describe: str = Field("", description="the task in one sentence, for generators that prompt a model")
    dataset: Use = Field(description="the labelled examples")
    k: Annotated[list[Annotated[int, Field(ge=2)]], NoRepeats] = Field(
        min_length=1, description="numbers of training examples, all classes and counterfactuals counted"
    )
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], NoRepeats] = Field(
        min_length=1, description="one student per seed"
    )
    teacher: Teacher = Field(description="the model whose decisions the students learn")
    student: Use = Field(description="the model that is trained")
    budget: Budget | None = Field(
        None, description="what all model calls of a run together may cost, teacher's and generators'"
    )
    counterfactuals: Counterfactuals | None = Field(None, description="needed for the arm `cod`")
    methods: dict[FolderName, Annotated[list[WeightedLoss], Field(min_length=1)]] = Field(
        min_length=1, description="name to losses, which are added up"
    )
    arms: Annotated[dict[FolderName, Arm], Field(min_length=1), BeforeValidator(arms_of)] = Field(
        default_factory=lambda: arms_of(list(DEFAULT_ARMS)),
        validate_default=True,
        description=f"training sets by name; a list of `{PLAIN}` (k originals), `{COD}` (k/2 originals and their k/2 "
        f"counterfactuals) and `{CONTROL}` (k/2 originals and a perturbed copy of each that the teacher reads as "
        "before) is short for what they mean",
    )
    same_originals: bool | None = Field(
        None,
        description="true: every arm drops an original that any of them cannot use; false: each drops its own; absent: "
        "arms that add something drop the same, unless `arms` is a list",
    )
    train: TrainSettings = Field(TrainSettings(), description="how every student is trained")
    evaluate: Evaluate = Field(Evaluate(), description="on what, when and by which metrics students are measured")
    expect: list[Expectation] = Field(
        default_factory=list, description="what a regression run must show; a miss ends with exit code 3"
    )
    control: Use | None = Field(None, description="needed for the arm `control`: the generator of its copies")
    executor: Use = Field(Use(use=DEFAULT_EXECUTOR), description="where cells run")
    students: Literal["all", "best", "none"] = Field(
        "all",
        description="which students stay in the run's folder: `best` is the one that `codrun pick` takes; decides no "
        "result",
    )
    trackers: list[Use] = Field(default_factory=list, description="observers of the run")
    plugins: Annotated[list[str], NoRepeats] = Field(
        default_factory=list,
        description="Python files beside the recipe that declare components as a plugin's module does; refused without "
        "`--allow-local-plugins`",
    )
    card: Card | None = Field(None, description="for the model card of every student; decides no result")

    @model_validator(mode="before")
    @classmethod
    def _arms_by_name(cls, value: Any) -> Any:
        """A list of arms draws each of them by itself, as it did before arms could be told in full."""
        unsaid = isinstance(value, dict) and value.get("same_originals") is None
        return {**value, "same_originals": False} if unsaid and not isinstance(value.get("arms"), dict) else value

    def used(self) -> Iterator[tuple[tuple[str | int, ...], Kind, Use]]:
        """Every component that a run builds, with its place and kind; no generator of an arm that does not run."""
        yield ("dataset",), "dataset", self.dataset
        yield ("teacher",), "teacher", self.teacher
        yield ("student",), "student", self.student
        yield from self.generators()
        for name, arm in self.arms.items():
            yield ("arms", name, "select"), "selector", arm.select
            if arm.choose is not None:
                yield ("arms", name, "choose"), "chooser", arm.choose
        for name, terms in self.methods.items():
            for index, term in enumerate(terms):
                yield ("methods", name, index), "loss", term
        for index, metric in enumerate(self.evaluate.metrics):
            yield ("evaluate", "metrics", index), "metric", metric
        yield ("executor",), "executor", self.executor
        for index, tracker in enumerate(self.trackers):
            yield ("trackers", index), "tracker", tracker

    def generators(self) -> Iterator[tuple[tuple[str | int, ...], Kind, Use]]:
        """The generators that some arm needs: of the sections, and those that arms name themselves."""
        if self.counterfactuals is not None and any(arm.uses_section for arm in self.arms.values()):
            for index, generator in enumerate(self.counterfactuals.generators):
                yield ("counterfactuals", "generators", index), "generator", generator
        if self.control is not None and any("control" in arm.add for arm in self.arms.values()):
            yield ("control",), "generator", self.control
        for name, arm in self.arms.items():
            for index, addition in enumerate(arm.add):
                if isinstance(addition, Use):
                    yield ("arms", name, "add", index), "generator", addition
            if arm.unlabelled is not None and isinstance(arm.unlabelled.source, Use):
                yield ("arms", name, "unlabelled", "from"), "generator", arm.unlabelled.source

    @property
    def bounds(self) -> Budget:
        """What a run may spend; unbounded where the recipe sets no bound."""
        return self.budget or (self.counterfactuals.budget if self.counterfactuals else None) or Budget()

    @property
    def budget_key(self) -> str:
        """Where the recipe says it, for messages."""
        here = self.counterfactuals is not None and self.counterfactuals.budget is not None
        return "counterfactuals.budget" if here and self.budget is None else "budget"


Pattern: TypeAlias = tuple[str, ...]

COMPONENTS: dict[Pattern, Kind] = {
    ("dataset",): "dataset",
    ("teacher",): "teacher",
    ("student",): "student",
    ("counterfactuals", "generators", "*"): "generator",
    ("control",): "generator",
    ("arms", "*", "select"): "selector",
    ("arms", "*", "choose"): "chooser",
    ("arms", "*", "add"): "generator",
    ("arms", "*", "add", "#"): "generator",
    ("arms", "*", "unlabelled", "from"): "generator",
    ("methods", "*", "*"): "loss",
    ("evaluate", "metrics", "*"): "metric",
    ("executor",): "executor",
    ("trackers", "*"): "tracker",
}
"""Where a recipe names components, and of which kind; ``*`` is any key or index, ``#`` an index alone."""


def kind_at(place: tuple[str | int, ...]) -> Kind | None:
    """The kind of the component at ``place``; None where the grammar has none there."""
    for pattern, kind in COMPONENTS.items():
        if len(pattern) == len(place) and all(map(_fits, pattern, place)):
            return kind
    return None


def _fits(part: str, step: str | int) -> bool:
    return part in ("*", step) or (part == "#" and isinstance(step, int))


def words_at(place: tuple[str | int, ...]) -> frozenset[str]:
    """The words that may stand at ``place`` instead of a component's name."""
    keys = [step for step in place if isinstance(step, str)]
    return WORDS.get(keys[-1], frozenset()) if place[:1] == ("arms",) and keys else frozenset()


def core_keys(kind: Kind) -> set[str]:
    """The keys of a component that belong to the core, not to its plugin."""
    models: dict[Kind, type[Use]] = {"teacher": Teacher, "loss": WeightedLoss}
    return set(models.get(kind, Use).model_fields)
