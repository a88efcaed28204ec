"""Options that change results change the identity: of every option that an identity leaves out, the results are looked
at."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from cod_runner.api import CodrunError, Options
from cod_runner.testing.checks.subject import Subject

DECIDES = "Options.identity: what changes a result changes the identity"
CONTENT = "Options.identity: an option that names a file is known by its content, not by its path"


def check_identity(subject: Subject, results: Callable[[Options], Any]) -> None:
    """``results(options)`` is what a component with these options gives, in a form that ``==`` compares."""
    base = subject.options()
    identity = base.identity()
    first: list[Any] = []
    for name, changed in changed_options(subject, base):
        if changed.identity() != identity:
            continue
        first = first or [results(base)]
        try:
            others = results(changed)
        except (CodrunError, AssertionError):
            continue  # with this value it does something else altogether, or cannot run
        subject.must(
            others == first[0],
            f"gives other results with `{name}: {getattr(changed, name)}` than with `{name}: {getattr(base, name)}`, "
            "and the same identity",
            DECIDES,
        )
    subject.must(True, "", DECIDES)
    _check_files(subject, base)


def changed_options(subject: Subject, base: Options) -> Iterator[tuple[str, Options]]:
    """Options with one value changed, of those whose other values can be guessed."""
    for name, option in type(base).model_fields.items():
        value = getattr(base, name)
        for other in _others(option.annotation, value):
            try:
                changed = subject.component.options.model_validate(
                    {**base.model_dump(), name: other}, context={"folder": str(subject.context.folder)}
                )
                changed.identity()
            except (ValidationError, CodrunError):
                continue
            yield name, changed


def _others(annotation: Any, value: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _others(get_args(annotation)[0], value)
    if get_origin(annotation) is Literal:
        return [each for each in get_args(annotation) if each != value]
    if get_origin(annotation) in (Union, UnionType):
        kinds = [each for each in get_args(annotation) if each is not NoneType]
        return [other for kind in kinds for other in _others(kind, value)]
    if annotation is bool:
        return [not value]
    if annotation is int:
        return [1, 2] if value is None else [value + 1, value * 3, value - 1]
    if annotation is float:
        return [0.5] if value is None else [value / 2, value + 0.25, value * 3]
    return []


def _check_files(subject: Subject, base: Options) -> None:
    """Every option whose value is a file that exists, as ``PathOption`` has it."""
    for number, name in enumerate(type(base).model_fields):
        value = getattr(base, name)
        if not isinstance(value, str) or len(value) > 4096 or not Path(value).is_file():
            continue
        copy = subject.folder / "copies" / str(number) / Path(value).name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(value, copy)
        elsewhere = subject.options(**{name: str(copy)})
        subject.must(
            elsewhere.identity() == base.identity(),
            f"has another identity where the same file `{name}` lies elsewhere",
            CONTENT,
        )
        copy.write_bytes(copy.read_bytes() + b"\n")
        subject.must(
            subject.options(**{name: str(copy)}).identity() != base.identity(),
            f"has the same identity where the file `{name}` has another content",
            CONTENT,
        )
