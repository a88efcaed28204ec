"""Every test on one thread; drawn examples are the same in every run; tests marked ``long`` run only when asked for,
those marked ``gpu`` only where torch finds one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

# No deadlines: a shared machine is slow at times. Examples are derived from the test, so that a failure comes again.
settings.register_profile(
    "default", deadline=None, derandomize=True, max_examples=60, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
settings.register_profile("long", parent=settings.get_profile("default"), derandomize=False, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def finalisers_may_run_out_of_stack() -> Iterator[None]:
    """Let pass a finaliser that is called while a text is read that is nested too deeply.

    Python may collect garbage at the bottom of such a text, where no finaliser has the stack to run. That says nothing
    of the test that happens to be running, and pytest's own hook would fail it.
    """
    report = sys.unraisablehook

    def report_the_others(fault: sys.UnraisableHookArgs) -> None:
        if fault.exc_type is not RecursionError:
            report(fault)

    sys.unraisablehook = report_the_others
    yield
    sys.unraisablehook = report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu") is not None:
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))
    if "long" in config.option.markexpr:
        return
    chosen = [item for item in items if item.get_closest_marker("long") is None]
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long") is not None])
    items[:] = chosen
