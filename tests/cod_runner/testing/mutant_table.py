"""How a wrong component is written down: what it is, and the sentence by which its check must know it.

Each differs in one thing from a right one, which the check lets pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cod_runner.api import Component, Kind, Options

Made = TypeVar("Made", bound=Callable[..., Any])


@dataclass(frozen=True)
class Mutant:
    """One component; ``sentence`` is a pattern of what its check says, "" where it must pass."""

    component: Component
    sentence: str
    given: Mapping[str, Any] = field(default_factory=dict)
    student: Callable[[], Any] | None = None


MUTANTS: list[Mutant] = []


def mutant(
    kind: Kind,
    sentence: str = "",
    options: type[Options] = Options,
    given: Mapping[str, Any] | None = None,
    student: Callable[[], Any] | None = None,
    **component: Any,
) -> Callable[[Made], Made]:
    """Enter what is decorated into the table; without a sentence it is a right one."""

    def entered(made: Made) -> Made:
        declared = {
            "build": f"{made.__module__}:{made.__name__}",
            "summary": "for the tests of the checks",
            **component,
        }
        MUTANTS.append(Mutant(Component(kind, made.__name__, options, **declared), sentence, given or {}, student))
        return made

    return entered
