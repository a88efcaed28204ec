"""What `codrun export` is to write, with which options, and where; what cannot be is refused beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cod_runner.errors import RecipeError
from cod_runner.registry import Registry
from cod_runner.runs.student_record import StudentRecord, read_student_record


@dataclass(frozen=True)
class Destination:
    """What is to be written, and where."""

    exporter: str
    options: Mapping[str, Any]
    folder: Path
    replace: bool = False
    """Whether an earlier export there may be replaced."""


def exporter_options(registry: Registry, name: str, settings: Sequence[str], *, int8: bool) -> dict[str, Any]:
    """The options of ``KEY=VALUE`` settings, the value in YAML; raises :class:`RecipeError` for wrong ones."""
    known = registry.find("exporter", name).options
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--set {setting}: write KEY=VALUE; {_usage(name, known.model_fields)}")
        try:
            options[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {setting}: what follows `=` is not YAML") from error
    if int8:
        if "int8" not in known.model_fields:
            raise RecipeError(f"the exporter `{name}` knows no int8; {_usage(name, known.model_fields)}")
        options["int8"] = True
    try:
        known.model_validate(options)
    except ValidationError as error:
        wrong = "; ".join(_wrong_option(each["type"], each["loc"], each["msg"]) for each in error.errors())
        raise RecipeError(f"--set: {wrong}; {_usage(name, known.model_fields)}") from error
    return options


def _wrong_option(kind: str, place: Sequence[str | int], message: str) -> str:
    option = ".".join(map(str, place))
    if kind == "extra_forbidden":
        return f"there is no option `{option}`"
    return f"`{option}`: {message.removeprefix('Value error, ')}"


def export_folder(student: Path, exporter: str, options: Mapping[str, Any]) -> Path:
    """Where an export goes that names no folder: beside its student."""
    return student.with_name(f"{student.name}-{exporter}{'-int8' if options.get('int8') else ''}")


def is_export_of(folder: Path, student: Path) -> bool:
    """Whether the folder holds an export of the student as it is now, not of one that a changed recipe replaced."""
    record = read_student_record(folder)
    return record is not None and record.exported is not None and record.key == record_to_export(student).key


def record_to_export(student: Path) -> StudentRecord:
    """What the folder says of its student; raises :class:`RecipeError` where it holds none, or an export already."""
    record = read_student_record(student)
    if record is None:
        raise RecipeError(f"{student} is not a student's folder: it has no student.json")
    if record.exported is not None:
        raise RecipeError(
            f"{student} is an export already, by `{record.exported.use}`; name the folder of the student itself"
        )
    return record


def refuse_what_is_there(folder: Path, student: Path, *, replaceable: bool) -> None:
    """Raise :class:`RecipeError` where something is in the folder's place that must not be replaced."""
    if not folder.exists():
        return
    if folder.absolute() == student.absolute() or not folder.is_dir():
        raise RecipeError(f"{folder} is not replaced: name another folder with --out")
    record = read_student_record(folder)
    if record is None or record.exported is None:
        raise RecipeError(f"{folder} exists, and it is not an earlier export: name another folder with --out")
    if not replaceable:
        raise RecipeError(f"{folder} holds an earlier export: name another folder with --out, or add --force")


def _usage(name: str, options: Mapping[str, Any]) -> str:
    return f"the options of `{name}` are {', '.join(options) or 'none'}"
