"""Finds the files of a data set and digests their content. Standard library only: it is imported for keys."""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path

from cod_runner.api import DataError, file_digest


def check_file(path: Path, *setting: str) -> None:
    """Raise :class:`DataError` about ``setting``, with the closest name in the folder, unless ``path`` is a file."""
    try:
        if path.is_file():
            return
        if path.is_dir():
            raise DataError(f"{path} is a folder; name the file in it that contains the data", *setting)
        if path.exists():
            raise DataError(f"{path} is a pipe or a device; name a file that contains the data", *setting)
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); name a file that can", *setting) from error
    near = difflib.get_close_matches(path.name, siblings, 1)
    hint = f"did you mean `{near[0]}`?" if near else "paths are relative to the recipe that names them"
    raise DataError(f"{path}: there is no such file; {hint}", *setting)


def file_in_package(package: str, file: str, distribution: str | None) -> Path:
    """The file inside the installed package, found without importing the package; :class:`DataError` if missing."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        cure = f"run `pip install {distribution}`" if distribution else "install the distribution that contains it"
        raise DataError(f"the package `{package}` is not installed; {cure}", "package")
    for folder in spec.submodule_search_locations:
        path = Path(folder, file)
        if path.is_file():
            return path
    check_file(Path(spec.submodule_search_locations[0], file), "file")
    raise AssertionError("check_file raises for a missing file")


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; raises :class:`DataError`."""
    try:
        return file_digest(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
