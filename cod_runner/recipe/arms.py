"""Arms: what a student of a cell trains on, as a recipe names it. k counts labelled originals and what is added."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from cod_runner.defaults import DEFAULT_SELECTOR
from cod_runner.recipe.sections import Section, Use

PLAIN, COD, CONTROL = "plain", "cod", "control"
"""Arms that a recipe may list by name alone; a gain compares the first two where it says nothing else."""
DEFAULT_ARMS = (PLAIN, COD)
"""Those of a recipe that names none."""

Keep = Literal["flip", "same", "any"]
"""Which candidates are taken, by the teacher's prediction: it changes, it does not, or either."""
SearchWord = Literal["flips", "misses", "control"]
"""``flips`` and ``misses`` of the section ``counterfactuals``; ``control``: copies by the section of that name."""
SourceWord = Literal["attempts", "pool"]

WORDS: dict[str, frozenset[str]] = {
    "add": frozenset({"flips", "misses", "control"}),
    "from": frozenset({"attempts", "pool"}),
}
"""By key of an arm: the words that stand where a component may stand."""


def _listed(value: Any) -> Any:
    """``add: flips`` is short for ``add: [flips]``."""
    return [value] if isinstance(value, str | dict) else value


Addition = Annotated[SearchWord | Use, Field(union_mode="left_to_right")]


class Unlabelled(Section):
    """Texts beside the k that have the teacher's word and no label."""

    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (("per_original", "rows"),)

    source: Annotated[SourceWord | Use, Field(union_mode="left_to_right")] = Field(
        alias="from",
        description="`attempts`: texts that the search asked the teacher about; `pool`: rows of the training pool, "
        "their labels unread; or a generator",
    )
    per_original: int | None = Field(None, ge=1, description="for `attempts` and generators: at most so many of each")
    rows: int | None = Field(None, ge=1, description="for `pool`: how many")

    @model_validator(mode="after")
    def _one_amount(self) -> Unlabelled:
        if self.source == "pool" and (self.rows is None or self.per_original is not None):
            raise ValueError("`from: pool` takes `rows`, the number of texts")
        if self.source != "pool" and (self.per_original is None or self.rows is not None):
            raise ValueError("takes `per_original`, the number of texts of each original")
        return self


class Arm(Section):
    """One training set: which originals, what is added to each, and what is seen without a label."""

    select: Use = Field(Use(use=DEFAULT_SELECTOR), description="which originals: a selector")
    balanced: bool = Field(True, description="as many originals of each class; false: labels decide nothing")
    add: Annotated[list[Addition], BeforeValidator(_listed)] = Field(
        default_factory=list,
        description="what is added to each original: `flips` (its counterfactuals, by the section `counterfactuals`), "
        "`misses` (of the same search, the nearest candidate that does not flip), `control` (its copy by the section "
        "`control`), a generator, or a list of these",
    )
    keep: Keep | None = Field(
        None,
        description="for generators in `add`: which candidates, by the teacher's prediction; `flip`, unless it says "
        "`same` (the label is the original's) or `any` (the label is the teacher's word)",
    )
    choose: Use | None = Field(None, description="which of an original's candidates: a chooser; absent: fewest edits")
    per_original: int = Field(1, ge=1, description="how many of each entry of `add`, on different words")
    of: Literal["own", "others"] = Field("own", description="`others`: what is added belongs to other originals")
    unlabelled: Unlabelled | None = Field(None, description="texts beside the k, with the teacher's word alone")

    @model_validator(mode="after")
    def _of_something(self) -> Arm:
        if not self.add:
            for key in ("keep", "choose", "per_original", "of"):
                if key in self.model_fields_set and getattr(self, key) != Arm.model_fields[key].default:
                    raise ValueError(f"`{key}` is about what is added, and there is no `add`")
            if self.unlabelled is not None and self.unlabelled.source == "attempts":
                raise ValueError("`from: attempts` needs a search, and there is no `add`")
        if self.keep is not None and not any(isinstance(each, Use) for each in self.add):
            raise ValueError("`keep` is about generators in `add`, and there is none")
        twice = next((each for place, each in enumerate(self.add) if each in self.add[:place]), None)
        if twice is not None:
            what = twice if isinstance(twice, str) else twice.use
            raise ValueError(f"`add` lists `{what}` twice; `per_original: 2` adds two of each entry")
        return self

    @property
    def group(self) -> int:
        """Labelled examples per original: itself and what is added to it."""
        return 1 + len(self.add) * self.per_original

    def originals(self, k: int, classes: int) -> int:
        """How many originals of each class it takes at ``k`` training examples; of all, where it is not balanced."""
        return k // (self.parts(classes) * self.group)

    def parts(self, classes: int) -> int:
        """Into how many equal parts its originals are drawn: one per class, or a single one."""
        return classes if self.balanced else 1

    @property
    def adds_flips(self) -> bool:
        """Whether something that it adds is there because the teacher's prediction flips."""
        own = self.keep in (None, "flip") and any(isinstance(each, Use) for each in self.add)
        return own or "flips" in self.add

    @property
    def uses_section(self) -> bool:
        """Whether it needs the section ``counterfactuals``."""
        return "flips" in self.add or "misses" in self.add


SPELLED_OUT: dict[str, dict[str, Any]] = {PLAIN: {}, COD: {"add": "flips"}, CONTROL: {"add": "control"}}
"""What the names of the arms mean that a recipe may list."""
STANDARD = {name: Arm.model_validate(meaning) for name, meaning in SPELLED_OUT.items()}


def arms_of(value: Any) -> Any:
    """``arms: [plain, cod]`` is short for a mapping of these names to what they mean; raises :class:`ValueError`."""
    if isinstance(value, dict) and "teacher" in value:
        raise ValueError("has an arm `teacher`, which is the name of a table's first row; choose another")
    if not isinstance(value, list | tuple):
        return value
    names: list[str] = []
    for each in value:
        if each in names:
            raise ValueError(f"lists `{each}` twice")
        if not isinstance(each, str) or each not in SPELLED_OUT:
            raise ValueError(
                f"lists `{each}`, which the recipe does not define; a list is of {', '.join(SPELLED_OUT)}, and any "
                "other arm is a mapping of its name to what it adds"
            )
        names.append(each)
    return {name: SPELLED_OUT[name] for name in names}


def is_standard(name: str, arm: Arm) -> bool:
    """Whether an arm is one of those that a name alone stands for, so that its cells are known by that name."""
    return name in STANDARD and arm == STANDARD[name]
