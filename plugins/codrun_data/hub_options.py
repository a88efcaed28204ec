"""The options of a data set on the Hugging Face hub. Imports no reader."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from cod_runner.api import Destination, Origin, hub_destination, recipe_file
from codrun_data.content import digest
from codrun_data.options import FilePattern, Split, TableOptions

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class HubOptions(TableOptions):
    """A data set on the Hugging Face hub, or a local folder laid out like one."""

    path: str = Field(min_length=1, description="`owner/name`; `./folder` and absolute paths are local folders")
    config: str | None = Field(None, description="the configuration, if there are several")
    revision: str | None = Field(None, description="branch, tag or commit; a commit pins the data")
    data_files: dict[Split, FilePattern] = Field(
        default_factory=dict,
        description="split name to a file pattern in the repository, if its layout does not define the splits",
    )
    splits: dict[Split, Split] = Field(
        default_factory=dict, description="our split name to the hub's; absent: all, under the hub's names"
    )

    @field_validator("path")
    @classmethod
    def _folder_relative_to_the_recipe(cls, value: str, info: ValidationInfo) -> str:
        if is_local(value):
            return str(Path(recipe_file(value, info)).absolute())
        if not HUB_NAME.fullmatch(value) or ".." in value:
            raise ValueError(
                f"`{value}` is not a name on the hub, such as `owner/name`; a folder's path starts with `./`"
            )
        return value

    def destinations(self) -> Sequence[Destination]:
        """The hub, unless the data is a local folder."""
        return [] if is_local(self.path) else [hub_destination(self.path, "path")]

    def origins(self) -> Sequence[Origin]:
        """The data set of the hub, or the local folder."""
        if is_local(self.path):
            return [Origin("data set", Path(self.path).name, folder=Path(self.path))]
        return [Origin("data set", self.path, on_the_hub=True)]

    def identity(self) -> dict[str, Any]:
        """The options, with the content of a local folder. A branch may move: only a commit as ``revision`` pins it."""
        decides = self.model_dump(mode="json")
        if is_local(self.path):
            folder = Path(self.path)
            decides["path"] = {
                path.relative_to(folder).as_posix(): digest(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
        return decides


def is_local(path: str) -> bool:
    """Whether a hub path means a folder on this machine."""
    return path.startswith((".", "/", "~")) or Path(path).is_absolute()
