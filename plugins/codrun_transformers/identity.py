"""Finds a checkpoint's folder and identifies the checkpoint in keys: by the folder's content, or by a hub name.

Standard library only, because ``codrun plan`` calls it.
"""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path
from typing import Any

from cod_runner.api import CodrunError, SettingError, file_digest

PACKAGE = "package:"
"""Prefix of the name of a checkpoint inside an installed package."""

DECIDING_SUFFIXES = frozenset({".json", ".safetensors", ".txt", ".model", ".tiktoken", ".jinja"})
"""Files that identify a checkpoint: configuration, weights, tokenizer; not its README or other weight formats."""


def of_checkpoint(model: str) -> dict[str, Any]:
    """A folder's file digests, or the hub name. A hub branch may move: only a commit as ``revision`` pins it."""
    folder = local_folder(model)
    return {"hub": model} if folder is None else {"files": file_digests(folder)}


def local_folder(model: str) -> Path | None:
    """The folder of a checkpoint on this machine, None for a hub name. Packages are found without importing them.

    Raises :class:`SettingError` if the folder does not exist or holds no checkpoint.
    """
    if model.startswith(PACKAGE):
        folder = _packaged_folder(model)
    elif Path(model).is_absolute():
        folder = Path(model)
    else:
        return None
    if not folder.is_dir():
        raise SettingError(f"there is no model folder {folder}{_nearest(folder)}", "model")
    if not (folder / "config.json").is_file():
        raise SettingError(f"{folder} has no config.json; name a folder that `save_pretrained` wrote", "model")
    return folder


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each identifying file by its name, hex."""
    files = sorted(path for path in folder.iterdir() if path.suffix in DECIDING_SUFFIXES and path.is_file())
    return {path.name: _digest(path) for path in files}


def _packaged_folder(model: str) -> Path:
    name, _, inside = model.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        distribution = name.replace("_", "-")
        raise SettingError(
            f"the package `{name}` of the model `{model}` is not installed; try `pip install {distribution}`",
            "model",
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
