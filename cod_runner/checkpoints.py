"""A checkpoint as a recipe names it: what names there are, where its folder lies, and what identifies it in keys, which
is the folder's content, or a hub name.

Standard library only, because ``codrun plan`` calls it.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from pathlib import Path
from typing import Any

from cod_runner.errors import CodrunError, SettingError
from cod_runner.files import file_digest

PACKAGE = "package:"
"""Prefix of the name of a checkpoint inside an installed package."""

_PACKAGED = re.compile(r"package:[A-Za-z_]\w*(/[\w.-]+)*")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

DECIDING_SUFFIXES = frozenset({".json", ".safetensors", ".txt", ".model", ".tiktoken", ".jinja"})
"""Files that identify a checkpoint: configuration, weights, tokenizer; not its README or other weight formats."""


def checkpoint_name(value: str, folder: Path) -> str:
    """A hub name or ``package:NAME/folder`` as it is; a folder's path absolute, if relative then to ``folder``.

    Raises :class:`ValueError` for what is none of them.
    """
    if value.startswith(PACKAGE):
        if not _PACKAGED.fullmatch(value) or ".." in value.split("/"):
            raise ValueError(f"`{value}` is not a packaged model; write `package:NAME/folder/in/the/package`")
        return value
    path = folder / Path(value).expanduser()
    if value.startswith(("./", "../", "~", "/")) or value in (".", "..") or (value and path.is_dir()):
        return str(path.absolute())
    if not _HUB_NAME.fullmatch(value) or ".." in value:
        raise ValueError(
            f"`{value}` is neither an existing folder nor a hub name such as `microsoft/deberta-v3-base`; "
            "a folder's path starts with `./`, `../`, `~` or `/`"
        )
    return value


def is_on_the_hub(name: str) -> bool:
    """Whether a :func:`checkpoint_name` is a hub name."""
    return not name.startswith(PACKAGE) and not Path(name).is_absolute()


def checkpoint_identity(name: str, option: str = "model") -> dict[str, Any]:
    """A folder's file digests, or the hub name. A hub branch may move: only a commit as ``revision`` pins it.

    Raises what :func:`checkpoint_folder` does.
    """
    folder = checkpoint_folder(name, option)
    return {"hub": name} if folder is None else {"files": file_digests(folder)}


def checkpoint_folder(name: str, option: str = "model") -> Path | None:
    """The folder of a checkpoint on this machine, None for a hub name. Packages are found without importing them.

    Raises :class:`SettingError` at ``option`` if the folder does not exist or holds no checkpoint.
    """
    if name.startswith(PACKAGE):
        folder = _packaged_folder(name, option)
    elif Path(name).is_absolute():
        folder = Path(name)
    else:
        return None
    if not folder.is_dir():
        raise SettingError(f"there is no model folder {folder}{_nearest(folder)}", option)
    if not (folder / "config.json").is_file():
        raise SettingError(f"{folder} has no config.json; name a folder that `save_pretrained` wrote", option)
    return folder


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each identifying file by its name, hex."""
    files = sorted(path for path in folder.iterdir() if path.suffix in DECIDING_SUFFIXES and path.is_file())
    return {path.name: _digest(path) for path in files}


def _packaged_folder(model: str, option: str) -> Path:
    name, _, inside = model.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        distribution = name.replace("_", "-")
        raise SettingError(
            f"the package `{name}` of the model `{model}` is not installed; try `pip install {distribution}`",
            option,
        )
    return Path(next(iter(spec.submodule_search_locations)), inside)


def _nearest(folder: Path) -> str:
    siblings = [other.name for other in folder.parent.iterdir() if other.is_dir()] if folder.parent.is_dir() else []
    near = difflib.get_close_matches(folder.name, siblings, 1)
    return f"; did you mean `{folder.parent / near[0]}`?" if near else "; paths are relative to the recipe"


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise CodrunError(f"{path} cannot be read: {error.strerror}") from error
