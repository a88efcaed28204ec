"""Whether a YAML file is a recipe, and one that expects something; other people's files are left alone."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cod_runner.errors import Fault
    from cod_runner.recipe.chain import RecipeFile

LARGEST = 1_000_000
"""Bytes; no recipe is larger."""
_KEY = re.compile(rb"""^\{?[ \t]*["']?(recipe|extends|expect)["']?[ \t]*:(?:[ \t]|\r?$)""", re.MULTILINE)
"""A key of the outermost mapping that a recipe may have."""
_VERSION = re.compile(rb"""^\{?[ \t]*["']?recipe["']?[ \t]*:[ \t]*1[ \t]*(?:[,#\r\n}]|$)""", re.MULTILINE)


@dataclass(frozen=True)
class Seen:
    """A recipe, right or wrong."""

    is_test: bool
    """Whether it has an ``expect:``, or is too damaged to tell and says the word."""


def recognised(path: Path, profile: str | None = None) -> Seen | None:
    """What ``path`` is; None for anything but a recipe: a file that says ``recipe: 1``, itself or by ``extends:``.

    One whose chain cannot be read is a recipe if it says so itself, or has both ``extends`` and ``expect``: a test
    whose parent was moved must not vanish unseen. ``profile`` may be what expects something. Never raises.
    """
    text = _text(path)
    keys = {found.group(1) for found in _KEY.finditer(text)}
    if not keys & {b"recipe", b"extends"}:
        return None

    from cod_runner.recipe.chain import read_chain

    faults: list[Fault] = []
    files = read_chain(path, faults)
    if files is None:
        says_so = _VERSION.search(text) is not None or {b"extends", b"expect"} <= keys
        return Seen(is_test=b"expect" in keys) if says_so else None
    return Seen(is_test=_expects(files, profile)) if _version(files) == 1 else None


def is_copy(path: Path) -> bool:
    """Whether it is the resolved recipe that a run wrote into its own folder."""
    return path.name == "recipe.yaml" and path.with_name("run.json").exists()


def _text(path: Path) -> bytes:
    """The file's bytes; none where it is no file of a recipe's size that can be read."""
    try:
        state = path.stat()
        return path.read_bytes() if stat.S_ISREG(state.st_mode) and state.st_size <= LARGEST else b""
    except (OSError, ValueError):
        return b""


def _version(files: list[RecipeFile]) -> object:
    """What the chain says of ``recipe:``; the farthest parent is first."""
    from cod_runner.recipe.nodes import Scalar

    said = [file.body.get("recipe") for file in files if "recipe" in file.body.entries]
    value = said[-1].value if said and isinstance(said[-1], Scalar) else None
    return value if type(value) is int else None  # `true` equals 1


def _expects(files: list[RecipeFile], profile: str | None) -> bool:
    """Whether the recipe, or the profile that runs, expects something."""
    from cod_runner.recipe.nodes import Items, is_null

    bodies = [file.body for file in files]
    bodies += [file.profiles[profile] for file in files if profile is not None and profile in file.profiles]
    said = [body.get("expect") for body in bodies if "expect" in body.entries]
    return bool(said) and not is_null(said[-1]) and not (isinstance(said[-1], Items) and not said[-1].items)
