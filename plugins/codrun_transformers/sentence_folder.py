"""A folder of sentence-transformers, read without that library: which pooling it has, and whether it is a classifier.

Such a folder is a checkpoint of transformers beside a ``modules.json`` that lists what follows the transformer, each
module with a folder of its own. Standard library only, because ``codrun plan`` calls it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cod_runner.api import CodrunError, SettingError

MODULES, CONFIG, WEIGHTS = "modules.json", "config.json", "model.safetensors"
FILES = (MODULES, "*/config.json", "*_Dense/model.safetensors")
"""What such a model has on the hub beside a checkpoint of transformers."""
Pooling = Literal["mean", "cls", "last"]
Asked = Literal["mean", "cls", "last", "auto"]
MODES: dict[Pooling, str] = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "last": "pooling_mode_lasttoken",
}
"""Our names to those of ``1_Pooling/config.json``; newer versions write ``pooling_mode`` with their own short names."""
OTHER_MODES = ("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens")
_SHORT = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
IDENTITY = "torch.nn.modules.linear.Identity"


@dataclass(frozen=True)
class Layers:
    """What stands on an encoder."""

    pooling: Pooling
    normalises: bool
    width: int
    classes: int


@dataclass(frozen=True)
class SentenceFolder:
    """What a folder's ``modules.json`` and its modules say."""

    pooling: Pooling
    place: str
    """The file that says so, in the folder."""
    head: Path | None
    """The folder of the linear layer that makes it a classifier; None for an encoder."""
    normalises: bool = False
    """Whether vectors are brought to length 1 before the linear layer, or at the end where there is none."""
    left_out: tuple[str, ...] = ()
    """The modules that codrun does not apply, by the names of their classes."""


def read_sentence_folder(folder: Path, name: str) -> SentenceFolder | None:
    """None for a folder without ``modules.json``. Raises :class:`CodrunError` where files are damaged, and
    :class:`SettingError` at ``pooling`` where the pooling is one that codrun does not have."""
    if not (folder / MODULES).is_file():
        return None
    modules = list(_modules(folder, name))
    pools = [(kind, path) for kind, path in modules if kind == "Pooling"]
    if len(pools) != 1:
        raise SettingError(
            f"the {MODULES} of `{name}` lists {len(pools)} poolings, not one; say `pooling: mean`, `cls` or `last`",
            "pooling",
        )
    place = pools[0][1] / CONFIG
    pooling = _pooling(_object(place, name), name)
    head = next((path for kind, path in modules if kind == "Dense" and _is_head(path, folder, name)), None)
    if head is not None and not (head / WEIGHTS).is_file():
        raise CodrunError(
            f"`{name}` has no {head.name}/{WEIGHTS}; other formats can run code, so save it again as that"
        )
    others = [kind for kind, path in modules if kind not in ("Transformer", "Pooling") and path != head]
    if head is not None and set(others) - {"Normalize"}:
        raise CodrunError(f"`{name}` has a {others[0]} beside its pooling and its linear layer, which codrun has not")
    normalises = "Normalize" in others
    left_out = () if head is not None else tuple(others)
    return SentenceFolder(pooling, place.relative_to(folder).as_posix(), head, normalises, left_out)


def pooling_of(folder: Path, name: str, asked: Asked) -> tuple[Pooling, SentenceFolder | None]:
    """The pooling of a checkpoint's folder, and what its modules say, where it has that pooling.

    Raises what :func:`read_sentence_folder` does, and :class:`SettingError` where the folder was to say it and does
    not.
    """
    try:
        found = read_sentence_folder(folder, name)
    except SettingError:
        if asked == "auto":
            raise
        found = None  # another pooling than its own was asked for
    if asked != "auto":
        return asked, found if found is not None and found.pooling == asked else None
    if found is None:
        raise SettingError(
            f"`{name}` does not say how it pools: it has no {MODULES}, which sentence-transformers writes; say "
            "`pooling: mean`, `cls` or `last`",
            "pooling",
        )
    return found.pooling, found


def head_folder(folder: Path, normalises: bool) -> Path:
    """Where a classifier of ours has its linear layer."""
    return folder / ("3_Dense" if normalises else "2_Dense")


def write_sentence_folder(folder: Path, written: Layers, max_length: int, model_arguments: dict[str, Any]) -> None:
    """Write what makes a saved transformer a classifier of sentence-transformers, 2.x and later, whose ``encode``
    returns logits; the weights of its linear layer, in :func:`head_folder`, are the caller's.

    ``model_arguments`` are those that loading the transformer takes. Modules and options have their older names, which
    every version reads.
    """
    pool, dense = folder / "1_Pooling", head_folder(folder, written.normalises)
    places = {"Transformer": "", "Pooling": pool.name}
    if written.normalises:
        places["Normalize"] = "2_Normalize"
    places["Dense"] = dense.name
    for place in filter(None, places.values()):
        (folder / place).mkdir(exist_ok=True)
    modes = {key: key == MODES[written.pooling] for key in (*MODES.values(), *OTHER_MODES)}
    linear = {"in_features": written.width, "out_features": written.classes, "bias": True}
    files: dict[Path, Any] = {
        folder / MODULES: [
            {"idx": number, "name": str(number), "path": place, "type": f"sentence_transformers.models.{kind}"}
            for number, (kind, place) in enumerate(places.items())
        ],
        folder / "sentence_bert_config.json": {
            "max_seq_length": max_length,
            "do_lower_case": False,
            "model_args": model_arguments,
        },
        pool / CONFIG: {"word_embedding_dimension": written.width, **modes, "include_prompt": True},
        dense / CONFIG: {**linear, "activation_function": IDENTITY},
    }
    for path, content in files.items():
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _modules(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """(class, folder) of each module. Raises :class:`CodrunError`."""
    listed = _json(folder / MODULES, name)
    for module in listed if isinstance(listed, list) else [None]:
        kind, path = (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(path, str) or Path(path).name != path or path in ("..", "."):
            raise CodrunError(f"the {MODULES} of `{name}` is damaged: a module is a `type` and a `path` in the folder")
        yield kind.rpartition(".")[2], folder / path


def _pooling(config: dict[str, Any], name: str) -> Pooling:
    said = config.get("pooling_mode")
    if said is not None:
        asked = [said] if isinstance(said, str) else list(said)
    else:
        asked = [short for short, key in MODES.items() if config.get(key)]
        asked += [key.removeprefix("pooling_mode_") for key in OTHER_MODES if config.get(key)]
    asked = asked or ["mean"]  # as sentence-transformers reads it
    found = [mode for mode in MODES if [_SHORT.get(str(each), str(each)) for each in asked] == [mode]]
    if not found:
        raise SettingError(
            f"`{name}` pools by {' and '.join(map(str, asked))}, which codrun does not have; say "
            "`pooling: mean`, `cls` or `last`",
            "pooling",
        )
    return found[0]


def _is_head(path: Path, folder: Path, name: str) -> bool:
    """Whether a linear layer gives one number for each class that the checkpoint's ``config.json`` names."""
    dense = _object(path / CONFIG, name)
    classes = _object(folder / CONFIG, name).get("id2label")
    activation = str(dense.get("activation_function")).rpartition(".")[2]
    return activation == "Identity" and isinstance(classes, dict) and dense.get("out_features") == len(classes)


def _object(path: Path, name: str) -> dict[str, Any]:
    content = _json(path, name)
    if not isinstance(content, dict):
        raise CodrunError(f"the {path.name} in {path.parent.name} of `{name}` is damaged: it holds no settings")
    return content


def _json(path: Path, name: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CodrunError(f"the {path.name} in {path.parent.name} of `{name}` cannot be read: {error}") from error
