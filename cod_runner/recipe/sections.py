"""What every mapping of a recipe is made of: sections whose keys are known, and components whose options are not."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def _folder_name(value: str) -> str:
    if not NAME.fullmatch(value) or ".." in value:
        raise ValueError("cannot name a folder; use letters, digits, `.`, `_`, `-` and `+`, no `..`, 100 at most")
    return value


def _no_repeats(value: list[Any]) -> list[Any]:
    seen: set[Any] = set()
    for each in value:
        if each in seen:
            raise ValueError(f"lists `{each}` twice")
        seen.add(each)
    return value


FolderName = Annotated[str, AfterValidator(_folder_name)]
NoRepeats = AfterValidator(_no_repeats)


class Section(BaseModel):
    """A mapping of the recipe whose keys are all known."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        serialize_by_alias=True,
        defer_build=True,  # parts of a recipe are built with the whole
    )


class Use(BaseModel):
    """A component: ``use`` names it, everything else is an option of its plugin. ``use: X`` may be just ``X``."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=(), defer_build=True)

    use: str = Field(min_length=1, description="the component's name; `codrun plugins` lists them all")

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """Every key but ``use`` and the others that belong to the core."""
        return dict(self.model_extra or {})
