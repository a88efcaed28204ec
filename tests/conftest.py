"""Every test on one thread and in the same surroundings; drawn examples are the same in every run; tests marked
``long`` run only when asked for, those marked ``gpu`` only where torch finds one."""

from __future__ import annotations

import base64
import os
import signal
import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings
from matplotlib.figure import Figure

from cod_runner.report import figures

# No deadlines: a shared machine is slow at times. Examples are derived from the test, so that a failure comes again.
settings.register_profile(
    "default", deadline=None, derandomize=True, max_examples=60, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
settings.register_profile("long", parent=settings.get_profile("default"), derandomize=False, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

OF_PRINTING = (
    "BUILD_NUMBER", "CI", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "PYTEST_ADDOPTS", "PYTHONUNBUFFERED",
    "PY_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
)  # fmt: skip
"""Variables by which pytest, rich or Python print otherwise; a test that is about one of them sets it."""


EMPTY_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
"""One pixel."""


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def same_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Wherever the tests run, they and the processes that they start print alike, find an empty store, and hear Ctrl-C,
    which a job in the background ignores."""
    with pytest.MonkeyPatch.context() as patch:
        for name in OF_PRINTING:
            patch.delenv(name, raising=False)
        patch.setenv("CODRUN_HOME", str(tmp_path_factory.mktemp("store")))
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def figures_are_not_rendered() -> Iterator[None]:
    """A run's figures are made of its numbers, and stand in its page and folder, but matplotlib does not render them,
    which takes most of a small run's time. Tests that are about figures ask for ``rendered_figures``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "drawing", not_rendered)
        yield


@pytest.fixture
def rendered_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are what a user sees."""
    monkeypatch.setattr(figures, "drawing", rendered)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of every wait in ``time.sleep``, which returns at once: how long a test waits says how busy the
    machine is, too."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


rendered = figures.drawing


def not_rendered(name: str, figure: Figure) -> figures.Drawing:
    """An empty figure of the same width."""
    width = 72 * float(figure.get_size_inches()[0])
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" viewBox="0 0 {width} 100"><g id="{name}"/></svg>'
    return figures.Drawing(EMPTY_PNG, svg, width)


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
