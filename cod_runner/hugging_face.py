"""Hugging Face's libraries as codrun uses them: where a checkpoint lies, reading it without running anything of it,
differences between versions, and messages that codrun replaces by its own. Each library is imported when it is used.

A checkpoint may come from a stranger. What is read of it is data: safetensors weights, configuration and tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cod_runner.errors import CodrunError

SECONDS_TO_ANSWER = 5.0
"""How long the hub may take to answer the first request; downloads may take longer."""
FILES = ["*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "model*.safetensors", "README.md"]
"""What is fetched of a model; its card, for the licence that it states."""
NOT_FILES = ["*/*", "*.fp16*", "*.bf16*", "*.fp32*"]
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
"""The two places where transformers looks for safetensors weights, in this order."""
CODE_FROM_THE_HUB = ("attn_implementation", "_attn_implementation", "experts_implementation")
"""Settings of a configuration whose value may be a repository of compiled code, as in ``owner/kernel``."""


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Inside, transformers reports no missing keys and shows no bars. Imports transformers only when it is called."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def no_download_bars() -> Iterator[None]:
    """Inside, huggingface_hub draws no bars, which would fall into what is drawn already, and into logs. Imports it
    only when it is called."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    drawn = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if drawn:
            enable_progress_bars()


def hub_errors() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises where the hub refuses or does not answer. Imports it only when it is called.

    The HTTP library underneath differs from version to version. The hub's own error derives from that library's base
    class of all errors, a refused connection included, and from :class:`OSError`.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__


def fetched_checkpoint(
    name: str, revision: str | None, *, offline: bool, say: Callable[[str], None], files: Sequence[str] = ()
) -> Path:
    """The folder of a hub model: fetched first, or taken from the hub's cache if the run is offline or the hub does not
    answer. ``files`` are taken instead of those of a checkpoint. Raises :class:`CodrunError` within seconds if neither
    has it."""
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    unfetched: tuple[type[Exception], ...] = (*hub_errors(), ValueError)
    unreachable = "this run is offline" if offline or huggingface_hub.constants.HF_HUB_OFFLINE else _why_unreachable()
    try:
        if unreachable is None and not _in_cache(name, revision, *files[:1]):
            say(f"fetching the model `{name}` from the hub")
        with no_download_bars():
            return Path(
                huggingface_hub.snapshot_download(
                    name,
                    revision=revision,
                    allow_patterns=list(files) or FILES,
                    ignore_patterns=None if files else NOT_FILES,
                    local_files_only=unreachable is not None,
                )
            )
    except LocalEntryNotFoundError as error:
        raise CodrunError(
            f"the model `{name}` is not available: {unreachable or 'the hub did not answer'}, and it is not in the "
            "hub's cache on this machine; name a local folder instead"
        ) from error
    except GatedRepoError as error:
        raise CodrunError(f"the model `{name}` is gated; accept its terms on the hub and set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise CodrunError(f"the hub has no model `{name}` (a private one needs HF_TOKEN)") from error
    except unfetched as error:
        raise CodrunError(f"the model `{name}` cannot be fetched: {_first_line(error)}") from error


def pretrained(
    kind: Any, folder: Path, name: str, *, whole: bool = False, dtype: str = "float32", **more: Any
) -> tuple[Any, Any, dict[str, Any]]:
    """Model (of an ``AutoModelFor...``, in ``dtype``), tokenizer, and what transformers says of missing weights.

    ``more`` goes to the model's ``from_pretrained``. Raises what :func:`only_data` does, and with ``whole``
    :class:`CodrunError` where any weight but a pooler's is missing.
    """
    import torch
    from transformers import AutoTokenizer

    with only_data(folder, name) as safely:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safely)
        model, found = kind.from_pretrained(
            folder, use_safetensors=True, dtype=getattr(torch, dtype), output_loading_info=True, **more, **safely
        )
    missing = sorted(key for key in found["missing_keys"] if ".pooler." not in f".{key}")
    if whole and missing:
        raise CodrunError(
            f"`{name}` lacks {len(missing)} weights of a {type(model).__name__}, the first is `{missing[0]}`; name a "
            "model that was trained as one"
        )
    return model, tokenizer, found


@contextmanager
def only_data(folder: Path, name: str, *, gguf: str | None = None) -> Iterator[dict[str, Any]]:
    """Yields the arguments with which every ``from_pretrained`` in the block reads ``folder``, so that none asks
    whether to run the checkpoint's code, and none fetches anything. A model whose configuration names code of its own
    (``auto_map``) is read with transformers' class, if there is one. ``gguf`` names a file of the folder that holds all
    of the model, and beside which there is nothing.

    Raises :class:`CodrunError`, one sentence that calls the model ``name``: before the block if the weights are not
    safetensors alone, and instead of whatever transformers raises inside, which over a stranger's files is anything.
    """
    more: dict[str, Any] = {}
    if gguf is None:
        _refuse_all_but_safetensors(folder, name)
    else:
        more = {"gguf_file": gguf}
    try:
        with quiet_transformers():
            yield {"local_files_only": True, "trust_remote_code": False, **more}
    except CodrunError:
        raise
    except Exception as error:  # KeyError to UnpicklingError: whatever the files lead to
        raise CodrunError(_why_not(error, folder, name)) from error


def _why_not(error: Exception, folder: Path, name: str) -> str:
    named = [file for file in ("config.json", "tokenizer_config.json") if "auto_map" in _json(folder / file)]
    if named and "trust_remote_code" in str(error):
        return (
            f"the model `{name}` needs code of its own, which its {' and '.join(named)} names (`auto_map`), and codrun "
            "runs no code from a model; choose a model whose class transformers has"
        )
    return f"the model `{name}` cannot be loaded: {_first_line(error)}"


def _refuse_all_but_safetensors(folder: Path, name: str) -> None:
    """Refuse a checkpoint unless all weights that transformers would load are safetensors files in its folder."""
    config = _json(folder / "config.json")
    if (folder / "adapter_config.json").exists():
        raise CodrunError(
            f"`{name}` holds a peft adapter, which codrun does not load; merge it into its base model "
            "(`merge_and_unload`) and save the whole model"
        )
    for other in _settings(config, ("transformers_weights",)):
        raise CodrunError(
            f"the config.json of `{name}` names its weights itself (`transformers_weights: {other}`), which codrun "
            f"does not follow; choose a model that has `{WEIGHTS}`"
        )
    for kernel in _settings(config, CODE_FROM_THE_HUB):
        if "/" in str(kernel):
            raise CodrunError(
                f"the config.json of `{name}` names code on the hub (`{kernel}`), and codrun runs no code from a "
                "model; choose a model whose attention transformers has"
            )
    if (folder / WEIGHTS).is_file():
        return
    if not (folder / INDEX).is_file():
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".h5"))
        found = f"only {', '.join(pickles)}, which can run code" if pickles else f"neither `{WEIGHTS}` nor its index"
        raise CodrunError(
            f"`{name}` has no safetensors weights ({found}); choose a model or revision that has `{WEIGHTS}`"
        )
    places = _json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CodrunError(f"the {INDEX} of `{name}` does not say where its weights are; fetch or copy the model again")
    for place in dict.fromkeys(map(str, places.values())):
        if not place.endswith(".safetensors") or Path(place).name != place or "\\" in place:
            raise CodrunError(
                f"the {INDEX} of `{name}` names {place!r}, which is not a safetensors file in its folder and could run "
                "code; choose a model or revision whose weights are safetensors alone"
            )
        if not (folder / place).is_file():
            raise CodrunError(f"`{name}` lacks {place!r}, which its {INDEX} names; fetch or copy the model again")


def _settings(config: Any, names: tuple[str, ...]) -> Iterator[Any]:
    """The values, but no null, of all settings of these names, at any depth."""
    if isinstance(config, list):
        for each in config:
            yield from _settings(each, names)
    elif isinstance(config, dict):
        for key, value in config.items():
            if key in names:
                yield from (each for each in (value.values() if isinstance(value, dict) else [value]) if each)
            else:
                yield from _settings(value, names)


def _json(path: Path) -> dict[str, Any]:
    """A file's mapping; empty for a file that is not there or cannot be read, of which transformers complains."""
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}


def _why_unreachable() -> str | None:
    """Why the hub cannot be reached, after one request without retries; None if it answers, even with an error."""
    import huggingface_hub

    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=SECONDS_TO_ANSWER)
    except hub_errors() as error:
        return f"the hub cannot be reached ({_first_line(error)})"
    return None


def _in_cache(name: str, revision: str | None, file: str = "config.json") -> bool:
    import huggingface_hub

    return isinstance(huggingface_hub.try_to_load_from_cache(name, file, revision=revision), str)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
