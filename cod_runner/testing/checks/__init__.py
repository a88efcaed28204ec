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
from cod_runner.testing.checks.cfe_measure import check_cfe_measure
from cod_runner.testing.checks.chooser import check_chooser
from cod_runner.testing.checks.dataset import check_dataset
from cod_runner.testing.checks.executor import check_executor
from cod_runner.testing.checks.exporter import check_exporter
from cod_runner.testing.checks.generator import check_generator
from cod_runner.testing.checks.loss import check_loss
from cod_runner.testing.checks.metric import check_metric
from cod_runner.testing.checks.selector import check_selector
from cod_runner.testing.checks.student import check_student, check_teacher
from cod_runner.testing.checks.tracker import check_tracker

__all__ = [
    "CHECKS",
    "check_cfe_measure",
    "check_chooser",
    "check_component",
    "check_dataset",
    "check_executor",
    "check_exporter",
    "check_generator",
    "check_loss",
    "check_metric",
    "check_selector",
    "check_student",
    "check_teacher",
    "check_tracker",
]

CHECKS: dict[Kind, Check] = {
    "dataset": check_dataset,
    "teacher": check_teacher,
    "student": check_student,
    "selector": check_selector,
    "generator": check_generator,
    "chooser": check_chooser,
    "loss": check_loss,
    "metric": check_metric,
    "cfe_measure": check_cfe_measure,
    "executor": check_executor,
    "tracker": check_tracker,
    "exporter": check_exporter,
}
"""The check of each kind."""


def check_component(
    component: Component,
    options: Mapping[str, Any] | None = None,
    *,
    context: BuildContext | None = None,
    student: Classifier | None = None,
) -> list[str]:
    """Build a component on toy data and see that it keeps its kind's contract; returns the clauses that were checked.

    ``options`` are as a recipe would say them. ``context`` is what it is built with, where the toy run does not do:
    other labels, a teacher to cut a student from. ``student`` is what an exporter is tried on, where it exports none
    of the toys.

    Raises ``AssertionError`` with what is wrong and what the contract says; :class:`CodrunError` where the component
    cannot be built with these options, so that nothing can be said of it.
    """
    return CHECKS[component.kind](component, options, context=context, student=student)
