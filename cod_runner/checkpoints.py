"""A checkpoint as a recipe names it: what names there are, where its folder lies, and what identifies it in keys, which
is the folder's content, or a hub name.

Standard library only, because ``codrun plan`` calls it.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from cod_runner.errors import CodrunError, SettingError
from cod_runner.files import file_digest

PACKAGE = "package:"
"""Prefix of the name of a checkpoint inside an installed package."""
ONE_FILE = ".gguf"
"""How a model's name ends that is a file with all of it, rather than a folder."""

_PACKAGED = re.compile(r"package:[A-Za-z_]\w*(/[\w.-]+)*")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

DECIDING_SUFFIXES = frozenset({".json", ".safetensors", ".txt", ".model", ".tiktoken", ".jinja"})
"""Files that identify a checkpoint: configuration, weights, tokenizer; not its README or other weight formats."""


def checkpoint_name(value: str, folder: Path) -> str:
    """A hub name or ``package:NAME/folder`` as it is; the path of a folder, or of a file that ends in
    :data:`ONE_FILE`, absolute, if relative then to ``folder``.

    Raises :class:`ValueError` for what is none of them.
    """
    if value.startswith(PACKAGE):
        if not _PACKAGED.fullmatch(value) or ".." in value.split("/"):
            raise ValueError(f"`{value}` is not a packaged model; write `package:NAME/folder/in/the/package`")
        return value
    path = folder / Path(value).expanduser()
    written_as_a_path = value.startswith(("./", "../", "~", "/")) or value in (".", "..") or value.endswith(ONE_FILE)
    if written_as_a_path or (value and path.is_dir()):
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
        folder = packaged_folder(name, option)
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


class CheckpointSizes(NamedTuple):
    """What a ``config.json`` says of a model's size."""

    layers: int
    width: int
    positions: int | None
    """Tokens that it reads at most; None where that is not said."""


_WIDTH = ("hidden_size", "dim", "d_model", "n_embd")
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
_POSITIONS = ("max_position_embeddings", "n_positions")
"""Names that architectures use for the same setting."""


def checkpoint_sizes(name: str, revision: str | None = None, option: str = "model") -> CheckpointSizes | None:
    """The size of a checkpoint without loading it; None for a hub model that was never fetched, and where its
    ``config.json`` does not say. Raises what :func:`checkpoint_folder` does."""
    config = _config(name, revision, option)
    text = config.get("text_config")  # of a model that reads pictures as well
    config = {**config, **text} if isinstance(text, dict) else config
    width, layers = _number(config, _WIDTH), _number(config, _LAYERS)
    return None if width is None or layers is None else CheckpointSizes(layers, width, _number(config, _POSITIONS))


def _config(name: str, revision: str | None, option: str) -> dict[str, Any]:
    """The checkpoint's configuration; empty if it is not on this machine or cannot be read."""
    folder = checkpoint_folder(name, option)
    path = folder / "config.json" if folder is not None else _in_the_cache(name, revision)
    if path is None:
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _in_the_cache(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # takes 0.2 s, needed only for hub names

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found) if isinstance(found, str) else None


def _number(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)


def packaged_folder(model: str, option: str) -> Path:
    """The folder that ``package:NAME/folder`` names, there or not; the package is found without importing it.

    Raises :class:`SettingError` at ``option`` if the package is not installed.
    """
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
