"""A plugin that is one Python file beside a recipe, named under the recipe's ``plugins:``; run only where the user says
so, since it is code."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cod_runner.errors import CodrunError

OURS = "__codrun_local__"
"""Marks a module that was made of such a file."""


@dataclass(frozen=True)
class LocalFile:
    """The file as it was when it was loaded; another process loads the same or none."""

    path: Path
    digest: str
    """SHA-256, hex."""

    @property
    def module(self) -> str:
        """The name under which its ``build`` is found."""
        return self.path.stem


def read_local(path: Path, digest: str | None = None) -> tuple[LocalFile, Callable[[], ModuleType]]:
    """The file, and what runs it: its bytes are read once, here.

    Raises :class:`CodrunError` where it cannot be read, is another than that of ``digest``, or has the name of
    something else that can be imported.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise CodrunError(f"{path} cannot be read ({error.strerror})") from error
    file = LocalFile(path, hashlib.sha256(source).hexdigest())
    if digest not in (None, file.digest):
        raise CodrunError(f"{path} has changed since the run began; run it again, finished cells are not repeated")
    if not file.module.isidentifier():
        raise CodrunError(
            f"the name of {path.name} cannot be imported: use letters, digits and `_`, as in `my_loss.py`"
        )
    if _is_taken(file):
        raise CodrunError(f"{path.name} has the name of another module, `{file.module}`; rename it")
    return file, lambda: _module(file, source)


def _is_taken(file: LocalFile) -> bool:
    """Whether importing the name leads to another file."""
    there = sys.modules.get(file.module)
    if there is not None:
        return not hasattr(there, OURS)
    try:
        spec = importlib.util.find_spec(file.module)
    except (ImportError, ValueError):
        return False
    return spec is not None and (spec.origin is None or Path(spec.origin).resolve() != file.path.resolve())


def _module(file: LocalFile, source: bytes) -> ModuleType:
    """Run the bytes that were read, so that what runs is what the digest names; leaves no ``__pycache__``."""
    module = ModuleType(file.module)
    module.__file__ = str(file.path)
    setattr(module, OURS, file.digest)
    former = sys.modules.get(file.module)
    sys.modules[file.module] = module
    try:
        exec(compile(source, str(file.path), "exec"), module.__dict__)
    except BaseException:
        if former is None:
            del sys.modules[file.module]
        else:
            sys.modules[file.module] = former
        raise
    return module
