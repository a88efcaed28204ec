"""What of a student's folder may go to others: files that are data, and nothing that is this machine's business."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_runner.errors import CodrunError, RecipeError
from cod_runner.report.protocol import without_folder
from cod_runner.runs.student_record import FILE, StudentRecord, read_student_record

CARD = "README.md"
WEIGHTS = re.compile(r".+\.safetensors|.+\.onnx([._]data)?")
ALLOWED = re.compile(r".+\.(json|txt|model|tiktoken|jinja)|README\.md|LICENSE|NOTICE")
"""Beside the weights: configuration, tokenizer, card."""
EXAMPLE = "example.py"
"""Of an exported student: the few lines that load it, which its exporter wrote."""
PICKLES = frozenset({
    ".bin", ".ckpt", ".h5", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth",
})  # fmt: skip
PATHS_IN = {"config.json": "_name_or_path", "tokenizer_config.json": "name_or_path"}
"""Where older versions of transformers noted from which folder a checkpoint was read."""
HEADER_LENGTH = 8
"""Bytes at the beginning of a safetensors file that say how long its header is."""


@dataclass(frozen=True)
class SentFile:
    """One file as it goes."""

    name: str
    """Relative to the folder, with ``/``."""
    content: Path | bytes
    """The file itself, or what goes in its place."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Upload:
    """A student as it goes to others."""

    folder: Path
    record: StudentRecord
    files: tuple[SentFile, ...]
    left_out: tuple[str, ...]
    """What does not go, in words."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def upload_of(folder: Path) -> Upload:
    """Look through a student's folder, or an exported one's.

    Raises :class:`CodrunError` where it is not one, lacks weights or card, or holds anything that is not known to be
    harmless data: a pickle, a link, another file.
    """
    record = read_student_record(folder) if folder.is_dir() else None
    if record is None:
        raise RecipeError(
            f"{folder} is not a student's folder: it has no {FILE}; name one like runs/NAME/students/CELL, or one that "
            "`codrun export` wrote"
        )
    left_out: list[str] = []
    paths = dict(_files(folder, left_out))
    for name, path in paths.items():
        _refuse_unless_data(name, path, record)
    if not any(WEIGHTS.fullmatch(Path(name).name) for name in paths):
        raise CodrunError(f"{folder} has no weights (safetensors or ONNX), so there is nothing to hand on")
    if CARD not in paths:
        raise CodrunError(
            f"{folder} has no model card ({CARD}); `codrun report` of its run writes one for every student"
        )
    sent = [_as_sent(name, path, record) for name, path in sorted(paths.items())]
    if record.held_out is not None:
        left_out.append(f"what {FILE} holds of its held-out rows")
    return Upload(folder, record, tuple(sent), tuple(left_out))


def _files(folder: Path, left_out: list[str], inside: str = "") -> Iterator[tuple[str, Path]]:
    """(name, path) of every file at any depth, but of another student's folder that lies inside."""
    for path in sorted(folder.iterdir()):
        name = f"{inside}{path.name}"
        if path.is_symlink():
            raise CodrunError(f"{path} is a link, which could lead to anything; put the file itself there")
        if not path.is_dir():
            yield name, path
        elif (path / FILE).is_file():
            left_out.append(f"{name}/, which is a student of its own")
        else:
            yield from _files(path, left_out, f"{name}/")


def _refuse_unless_data(name: str, path: Path, record: StudentRecord) -> None:
    file = Path(name).name
    if path.suffix.lower() in PICKLES:
        raise CodrunError(f"{path} can run code where it is opened, as pickles do; hand on safetensors or ONNX alone")
    if name == EXAMPLE and record.exported is not None:
        return
    if not path.is_file() or not (WEIGHTS.fullmatch(file) or ALLOWED.fullmatch(file)):
        raise CodrunError(f"{path} is not a file that students consist of; move it elsewhere if it is yours")
    if path.suffix == ".safetensors" and not _is_safetensors(path):
        raise CodrunError(f"{path} is called safetensors and is something else; train or export the student again")


def _is_safetensors(path: Path) -> bool:
    """Whether it begins as one: the length of its header, and the header, which is JSON."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(HEADER_LENGTH), "little")
        if not 2 <= length <= path.stat().st_size - HEADER_LENGTH:
            return False
        try:
            return isinstance(json.loads(file.read(length)), dict)
        except (ValueError, RecursionError):
            return False


def _as_sent(name: str, path: Path, record: StudentRecord) -> SentFile:
    content: Path | bytes = path
    if name == FILE:
        content = _as_json(_without_folders(record.model_dump(mode="json", exclude={"held_out"})))
    elif name in PATHS_IN:
        content = _without_its_folder(path, PATHS_IN[name])
    return SentFile(name, content, len(content) if isinstance(content, bytes) else path.stat().st_size)


def _without_its_folder(path: Path, key: str) -> Path | bytes:
    """The file itself, unless it names a folder of this machine."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CodrunError(f"{path} is damaged; train or export the student again") from error
    said = config.get(key) if isinstance(config, dict) else None
    if not isinstance(said, str) or without_folder(said) == said:
        return path
    return _as_json({**config, key: without_folder(said)})


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_folders(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return without_folder(value) if isinstance(value, str) else value


def _as_json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
