"""Every installed executor gives the same bytes as one cell after the other in the run's own process, and leaves
nothing of its own in the run's folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from executed_runs import contents, run

from cod_runner.registry import Registry


@dataclass(frozen=True)
class Chosen:
    """How an executor runs on this machine."""

    options: dict[str, Any] = field(default_factory=dict)
    needs: str = ""
    """The package without which it cannot."""
    permissions: dict[str, Any] = field(default_factory=dict)


DASK = "codrun_futures.dask:executor"
HERE = {
    "submitit": Chosen({"cluster": "local", "cells_per_job": 2}, "submitit"),
    "futures": Chosen({"factory": DASK, "options": {"workers": 2}}, "distributed", {"allow_callables": [DASK]}),
    "ray": Chosen({}, "ray"),
}
"""Of those that need more than their name."""


@pytest.fixture(scope="module")
def one_after_the_other(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODRUN_HOME", str(folder / "store"))
        return contents(run(folder, {"use": "processes"}, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", Registry.discover().names("executor"))
def test_an_executor_gives_the_same_bytes(
    one_after_the_other: dict[str, bytes], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = HERE.get(name, Chosen())
    if chosen.needs and find_spec(chosen.needs) is None:
        pytest.skip(f"{chosen.needs} is not installed")
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    folder = run(tmp_path, {"use": name, **chosen.options}, 2, **chosen.permissions)
    assert contents(folder) == one_after_the_other
    assert not (folder / name).exists()
