"""What a report's files were made of, so that a run in which nothing has changed does not draw and write them again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cod_runner.files import write_whole
from cod_runner.report.contents import Report

FILE = ".report.json"
"""In a run's folder: the digest of what its report was made of, and that of each file."""
CODE = Path(__file__).parents[1]
"""The package: a report of other code is another report."""
DRAWN_BY = ("matplotlib", "jinja2", "pyyaml", "huggingface-hub")
"""Packages that decide what is in the files."""
CARD = "README.md"


@dataclass(frozen=True)
class Written:
    """A report as it was last written."""

    made_of: str
    files: Mapping[str, str]
    """SHA-256 of each, by its path below the run's folder."""

    def is_there(self, folder: Path) -> bool:
        """Whether every file still is as it was written: none was removed or changed by hand."""
        return bool(self.files) and all(_digest(folder / name) == digest for name, digest in self.files.items())


def read_written(folder: Path) -> Written:
    """What :func:`remember` wrote; nothing where there is no such file, or another's."""
    with suppress(OSError, ValueError, RecursionError, LookupError, TypeError):
        found: Any = json.loads((folder / FILE).read_bytes())
        made_of, files = found["made_of"], found["files"]
        named = all(isinstance(each, str) and Path(each).parts[:1] != ("/",) for each in files)
        if isinstance(made_of, str) and named and all(".." not in Path(each).parts for each in files):
            return Written(made_of, dict(files))
    return Written("", {})


def remember(folder: Path, made_of: str, written: Iterable[Path]) -> None:
    """Note what the ``written`` files are now."""
    files = {path.relative_to(folder).as_posix(): _digest(path) for path in written}
    write_whole(folder / FILE, json.dumps({"made_of": made_of, "files": files}))


def digest_of(report: Report, folder: Path, ours: Collection[str]) -> str:
    """SHA-256 of all that decides the files: the report's own content, codrun's code, the packages that draw, and the
    files of the run's folder that pages and cards look at, by name, size and time.

    ``ours`` are the paths, below the folder, of files that the report itself wrote.
    """
    found = hashlib.sha256(repr(report).encode("utf-8", "surrogatepass"))
    for name in DRAWN_BY:
        found.update(f"{name} {_version(name)}\n".encode())
    for line in (*_states(CODE, CODE, "__pycache__"), *_looked_at(folder, ours)):
        found.update(f"{line}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _looked_at(folder: Path, ours: Collection[str]) -> Iterator[str]:
    """Images of plugins, what `codrun bench` measured, and the students' folders but for their cards."""
    for line in (*_states(folder, folder / "figures"), *_states(folder, folder / "students")):
        name = line.partition("\t")[0]
        if name not in ours and not (name.startswith("students/") and name.endswith(f"/{CARD}")):
            yield line
    with suppress(OSError):
        about = (folder / "bench.json").stat()
        yield f"bench.json\t{about.st_size}\t{about.st_mtime_ns}"


def _states(root: Path, folder: Path, less: str = "") -> Iterator[str]:
    """A line for each file below ``folder``: its path below ``root``, its bytes, its time."""
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != less)
        below = os.path.relpath(inside, root)
        for name in sorted(names):
            with suppress(OSError):
                about = os.lstat(os.path.join(inside, name))  # noqa: PTH118 - of thousands of files
                yield f"{below}/{name}\t{about.st_size}\t{about.st_mtime_ns}"


def _digest(path: Path) -> str:
    """Of the file's bytes; "" where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
