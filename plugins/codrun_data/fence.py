"""Keeps the library ``datasets`` to the files of the one data set that a recipe names, and offline from the network.

``datasets`` follows a data set's card, which a stranger may have written, to any address and any file of this machine;
and it takes some names for readers of such files. Its switches are variables of its modules, read at import.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cod_runner.api import DataError, no_download_bars
from codrun_data.hub_options import is_local
from codrun_data.options import is_inside

READERS = ("pandas", "generator", "spark", "sql", "cache")
"""Names that some versions of ``datasets`` take for a reader, beside those that they list."""


def check_name(path: str) -> None:
    """Refuse a hub name that ``datasets`` would take for a reader of files, or for a folder of this machine."""
    from datasets import packaged_modules

    if is_local(path):
        return
    if path in packaged_modules._PACKAGED_DATASETS_MODULES or path in READERS:
        raise DataError(
            f"`{path}` is a reader of files, not a data set on the hub; read files of your own with `use: csv`, `tsv`, "
            "`jsonl` or `parquet`",
            "path",
        )
    if Path(path).exists():
        raise DataError(
            f"`{path}` is a folder here too, which would be read in place of the hub's data set; start codrun "
            f"elsewhere, or write `./{path}` if you mean a folder beside the recipe",
            "path",
        )


@contextlib.contextmanager
def fenced(*, offline: bool) -> Iterator[None]:
    """Inside, ``datasets`` raises :class:`DataError` at a file that is not the data set's, and with ``offline`` sends
    nothing."""
    import datasets
    import huggingface_hub

    modules: tuple[Any, ...] = (huggingface_hub.constants, datasets.config)
    before = [module.HF_HUB_OFFLINE for module in modules]
    resolve = datasets.data_files.resolve_pattern

    def resolve_inside(pattern: str, base_path: str, *more: Any, **options: Any) -> list[str]:
        if not is_inside(pattern) and not (pattern.startswith("hf://datasets/") and "::" not in pattern):
            raise DataError(
                f"the data set's card names `{pattern:.100}`, which is not one of its own files; correct the card, or "
                "set `data_files`",
                "path",
            )
        found: list[str] = resolve(pattern, base_path, *more, **options)
        if "://" not in base_path:
            _refuse_links_out(found, Path(base_path))
        return found

    try:
        datasets.data_files.resolve_pattern = resolve_inside
        if offline:
            for module in modules:
                module.HF_HUB_OFFLINE = True
        yield
    finally:
        datasets.data_files.resolve_pattern = resolve
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """Inside, neither ``datasets`` nor the hub draws bars."""
    import datasets

    drawn = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with no_download_bars():
            yield
    finally:
        if drawn:
            datasets.enable_progress_bars()


def _refuse_links_out(files: list[str], folder: Path) -> None:
    """Links may lead into the hub's cache, whose folders are made of them, but nowhere else outside."""
    from huggingface_hub.constants import HF_HUB_CACHE

    homes = (folder.resolve(), Path(HF_HUB_CACHE).resolve())
    for file in files:
        real = Path(file).resolve()
        if not any(real.is_relative_to(home) for home in homes):
            raise DataError(f"{file} leads to {real}, outside the data set; put the file itself there", "path")
