"""How a check is called: a component, its options, and what codrun would tell it, if the toy run does not do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from cod_runner.api import BuildContext, Classifier, Component, Kind
from cod_runner.engine.device import threads
from cod_runner.testing.checks.declaration import check_declaration
from cod_runner.testing.checks.subject import Subject, toy_context


class Check(Protocol):
    """A check of one kind's contract."""

    kinds: tuple[Kind, ...]

    def __call__(
        self,
        component: Component,
        options: Mapping[str, Any] | None = None,
        *,
        context: BuildContext | None = None,
        student: Classifier | None = None,
    ) -> list[str]:
        """As :func:`cod_runner.testing.checks.check_component`, of these kinds alone."""
        ...


def check_of(*kinds: Kind) -> Callable[[Callable[[Subject], None]], Check]:
    """Make a check out of what looks at a :class:`Subject` of these kinds."""

    def made(look: Callable[[Subject], None]) -> Check:
        def check(
            component: Component,
            options: Mapping[str, Any] | None = None,
            *,
            context: BuildContext | None = None,
            student: Classifier | None = None,
        ) -> list[str]:
            if component.kind not in kinds:
                raise AssertionError(
                    f"`{component.name}` is a {component.kind}, and this checks a {' or '.join(kinds)}"
                )
            with tempfile.TemporaryDirectory() as name, threads(1):
                toys = toy_context(Path(name))
                told = toys if context is None else replace(context, store=context.store or toys.store, run=toys.run)
                subject = Subject(component, dict(options or {}), told, Path(name), student)
                check_declaration(subject)
                look(subject)
            return subject.said

        check.__name__, check.__doc__ = look.__name__, look.__doc__
        check.__module__ = look.__module__
        check.kinds = kinds  # type: ignore[attr-defined]
        return check  # type: ignore[return-value]

    return made
