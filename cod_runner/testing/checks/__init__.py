"""Contract checks: one line in a plugin's own test says whether a component keeps what its kind promises.

::

    from cod_runner.testing.checks import check_component
    from my_plugin.plugin import codrun_components

    def test_it_keeps_its_contract():
        (component,) = codrun_components()
        check_component(component)

Everything runs on toy data, without a network, in seconds. A check raises ``AssertionError`` with what is wrong and
what the contract says, and returns the clauses that it looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cod_runner.api import BuildContext, Classifier, Component, Kind
from cod_runner.testing.checks.calling import Check
from cod_runner.testing.checks.loss import check_loss
from cod_runner.testing.checks.student import check_student, check_teacher

__all__ = ["CHECKS", "check_component", "check_loss", "check_student", "check_teacher"]

CHECKS: dict[Kind, Check] = {"loss": check_loss, "student": check_student, "teacher": check_teacher}
"""The check of each kind."""


def check_component(
    component: Component,
    options: Mapping[str, Any] | None = None,
    *,
    context: BuildContext | None = None,
    student: Classifier | None = None,
) -> list[str]:
    """Check a component by its kind; see :meth:`Check.__call__`."""
    return CHECKS[component.kind](component, options, context=context, student=student)
