"""Where a language model lies that a recipe names. Standard library only; no package is imported to look into it."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from cod_runner.api import (
    CodrunError,
    SettingError,
    checkpoint_folder,
    checkpoint_identity,
    file_digest,
    is_on_the_hub,
    packaged_folder,
)

ENDING = ".gguf"
PACKAGE = "package:"
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Source:
    """A model as it lies here or on the hub."""

    name: str
    """As the recipe has it."""
    folder: Path | None = None
    """That ``save_pretrained`` wrote."""
    files: tuple[Path, ...] = ()
    """A GGUF file, or its parts in their order."""
    expected: str | None = None
    """SHA-256 of the parts together, hex, as their package says; to be checked when they are joined."""
    on_the_hub: str | None = None
    """The file of a hub repository that is wanted; "" for a checkpoint in safetensors."""

    @property
    def is_gguf(self) -> bool:
        return bool(self.files or self.on_the_hub)

    @property
    def digest(self) -> str:
        """SHA-256 of the GGUF file on this machine, hex."""
        if self.expected is not None:
            return self.expected
        try:
            return file_digest(self.files[0])
        except OSError as error:
            raise CodrunError(f"{self.files[0]} cannot be read: {error.strerror}") from error

    def identity(self) -> dict[str, Any]:
        """What decides the model: its content, or its name on the hub. See :func:`checkpoint_identity`."""
        if self.files:
            return {"gguf": self.digest}
        if self.on_the_hub:
            return {"hub": self.name, "gguf": self.on_the_hub}
        return checkpoint_identity(self.name)


def located(model: str, gguf: str | None) -> Source:
    """The model of these options; raises :class:`SettingError` at one of them if it is not there."""
    if model.endswith(ENDING):
        return Source(model, files=(_there(Path(model), "model"),))
    if is_on_the_hub(model):
        return Source(model, on_the_hub=gguf or "")
    if gguf is not None:
        folder = packaged_folder(model, "model") if model.startswith(PACKAGE) else Path(model)
        return Source(model, files=(_there(folder / gguf, "gguf"),))
    package = model.removeprefix(PACKAGE)
    if model.startswith(PACKAGE) and "/" not in package:
        sums = packaged_folder(model, "model") / "data" / SUMS
        if sums.is_file():
            return _in_parts(model, package, sums)
    folder = packaged_folder(model, "model") if model.startswith(PACKAGE) else Path(model)
    found = [] if (folder / "config.json").is_file() else sorted(each.name for each in folder.glob(f"*{ENDING}"))
    if found:
        raise SettingError(f"`{model}` holds GGUF files; say which one, as in `gguf: {found[0]}`", "model")
    return Source(model, folder=checkpoint_folder(model))


def _there(path: Path, option: str) -> Path:
    if not path.is_file():
        found = sorted(each.name for each in path.parent.glob(f"*{ENDING}")) if path.parent.is_dir() else []
        hint = f"; there are {', '.join(found)}" if found else ""
        raise SettingError(f"there is no file {path}{hint}", option)
    return path


def _in_parts(model: str, package: str, sums: Path) -> Source:
    """A GGUF file that lies in pieces in the packages ``NAME_part1``, ``NAME_part2``, ...: one of each one's files
    ``data/*.partNN``. What they are together is said by the line of ``NAME/data/SHA256SUMS``."""
    try:
        lines = sums.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CodrunError(f"{sums} cannot be read: {error}") from error
    named = [found for line in lines if (found := re.fullmatch(r"([0-9a-f]{64}) [ *](\S+\.gguf)\s*", line))]
    if len(named) != 1:
        raise SettingError(
            f"{sums} does not name one {ENDING} file, so `{model}` holds no model that can be read", "model"
        )
    parts: list[Path] = []
    for number in count(1):
        spec = importlib.util.find_spec(f"{package}_part{number}")
        if spec is None or not spec.submodule_search_locations:
            break
        folder = Path(next(iter(spec.submodule_search_locations)), "data")
        parts += sorted(folder.glob(f"{named[0][2]}.part*"))
    if not parts:
        raise SettingError(
            f"the packages {package}_part1, ... of `{model}` are not installed; "
            f"`pip install --force-reinstall {package.replace('_', '-')}` brings them",
            "model",
        )
    return Source(model, files=tuple(parts), expected=named[0][1])
