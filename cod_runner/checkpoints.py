"""A checkpoint as a recipe names it: what names there are, where its folder lies, and what identifies it in keys, which
is the folder's content, or a hub name.

Standard library only, because ``codrun plan`` calls it.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from cod_runner.errors import CodrunError, SettingError
from cod_runner.files import file_digest
from cod_runner.tensor_headers import numbers_by_name

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
    try:
        path = folder / Path(value).expanduser()
    except RuntimeError as error:  # no home folder, or no such user
        raise ValueError(f"`{value}` names a home folder that does not exist") from error
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
    """What the files of a model say of its size."""

    layers: int
    width: int
    positions: int | None
    """Tokens that it reads at most; None where that is not said."""
    blocks: tuple[int, ...] | None = None
    """Numbers in each block, in their order; None where neither the weights' headers nor the configuration say it."""
    rest: int = 0
    """Numbers outside of the blocks: embeddings, norms, a pooler and a classification head where it has one."""
    tokenizer: int = 0
    """Bytes of the tokenizer's file."""
    architecture: str | None = None
    """``model_type``, as in ``deberta-v2``; None where that is not said."""


_OTHER_HEADS = frozenset(
    {"cls", "lm_head", "lm_predictions", "mask_predictions", "discriminator_predictions", "generator_predictions",
     "generator_lm_head", "vocab_transform", "vocab_layer_norm", "vocab_projector", "qa_outputs"}
)  # fmt: skip
"""How the names of weights begin that a checkpoint has for what it was pretrained on, and a classifier has not."""
_WIDTH = ("hidden_size", "dim", "d_model", "n_embd")
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
_POSITIONS = ("max_position_embeddings", "n_positions")
_INNER = ("intermediate_size", "hidden_dim", "n_inner")
"""Names that architectures use for the same setting."""


def checkpoint_sizes(name: str, revision: str | None = None, option: str = "model") -> CheckpointSizes | None:
    """The size of a checkpoint without loading it; None for a hub model that was never fetched, and where its
    ``config.json`` does not say. Raises what :func:`checkpoint_folder` does."""
    folder = checkpoint_folder(name, option) or _in_the_cache(name, revision)
    if folder is None:
        return None
    config = _config(folder)
    text = config.get("text_config")  # of a model that reads pictures as well
    config = {**config, **text} if isinstance(text, dict) else config
    width, layers = _number(config, _WIDTH), _number(config, _LAYERS)
    if width is None or layers is None:
        return None
    numbers = numbers_by_name(folder)
    blocks, rest = _counted(numbers, layers) if numbers is not None else _estimated(config, layers, width)
    kind, tokenizer = config.get("model_type"), 0
    with suppress(OSError):
        tokenizer = (folder / "tokenizer.json").stat().st_size
    architecture = kind if isinstance(kind, str) else None
    return CheckpointSizes(layers, width, _number(config, _POSITIONS), blocks, rest, tokenizer, architecture)


def _counted(numbers: Mapping[str, int], layers: int) -> tuple[tuple[int, ...] | None, int]:
    """(numbers in each block, numbers outside), by the weights' names: the first number in a name is its block's."""
    blocks, rest = [0] * layers, 0
    for name, count in numbers.items():
        parts = name.split(".")
        block = next((int(part) for part in parts if part.isdecimal()), None)
        if parts[0] in _OTHER_HEADS:
            continue
        if block is None:
            rest += count
        elif block < layers:
            blocks[block] += count
        else:
            return None, 0
    return (tuple(blocks), rest) if all(blocks) else (None, 0)


def _estimated(config: Mapping[str, Any], layers: int, width: int) -> tuple[tuple[int, ...] | None, int]:
    """The same of a transformer of the usual make, by its configuration alone."""
    inner, words = _number(config, _INNER), _number(config, ("vocab_size",))
    if inner is None or words is None:
        return None, 0
    heads = _number(config, ("num_attention_heads", "n_heads", "n_head")) or 1
    shared = (_number(config, ("num_key_value_heads",)) or heads) / heads  # of keys and values, by groups of heads
    gated = config.get("hidden_act", config.get("hidden_activation")) in ("silu", "gelu_pytorch_tanh")
    block = int(2 * width * width * (1 + shared)) + (3 if gated else 2) * width * inner
    embedded = _number(config, ("embedding_size",)) or width
    return (block,) * layers, (words + (_number(config, _POSITIONS) or 0) * (not gated)) * embedded


def _config(folder: Path) -> dict[str, Any]:
    """The checkpoint's configuration; empty if it cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _in_the_cache(name: str, revision: str | None) -> Path | None:
    """The folder of a hub model that was fetched."""
    from huggingface_hub import try_to_load_from_cache  # takes 0.2 s, needed only for hub names

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _number(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
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
