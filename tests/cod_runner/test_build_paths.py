"""Whether a component can be built is known without importing anything of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cod_runner.build_paths import unresolved

SOURCE = """
import torch_that_is_not_there
from elsewhere import Borrowed as Lent

if torch_that_is_not_there:
    class Inside: ...
else:
    try:
        other: int = 1
    except ImportError:
        (first, second) = 1, 2
with open("x") as opened:
    pass

def build(options, context): ...

class Loss:
    hidden = 1
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "paths_of_builds"
    (folder / "below").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "losses.py").write_text(SOURCE)
    (folder / "below" / "__init__.py").write_text("from somewhere import *")
    (folder / "torn.py").write_text("def build(:")
    (folder / "lazy.py").write_text("def __getattr__(name): ...")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


@pytest.mark.parametrize(
    "path",
    [
        *(f"paths_of_builds.losses:{name}" for name in ["Lent", "Inside", "other", "first", "opened", "build", "Loss"]),
        "paths_of_builds.below:Anything",
        "paths_of_builds.lazy:Anything",
        "math:sqrt",
        "json.decoder:JSONDecoder",
        "_ctypes:dlopen",
    ],
)
def test_what_is_there_is_found(path: str, package: Path) -> None:
    assert unresolved(path) is None
    assert "paths_of_builds" not in sys.modules


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("paths_of_builds.losses", "which must be written `module:attribute`"),
        ("paths_of_builds.losses:", "which must be written `module:attribute`"),
        ("paths of builds:Loss", "which must be written `module:attribute`"),
        ("paths_of_bilds.losses:Loss", "and there is no module `paths_of_bilds`"),
        (
            "paths_of_builds.loses:Loss",
            "and there is no module `paths_of_builds.loses`; did you mean `paths_of_builds.losses`?",
        ),
        ("paths_of_builds.losses.deeper:Loss", "and there is no module `paths_of_builds.losses.deeper`"),
        (
            "paths_of_builds.losses:Los",
            "and the module `paths_of_builds.losses` defines no `Los`; did you mean `Loss`?",
        ),
        ("paths_of_builds.losses:hidden", "and the module `paths_of_builds.losses` defines no `hidden`"),
        ("json:dumb", "and the module `json` defines no `dumb`; did you mean `dump`?"),
    ],
)
def test_what_leads_nowhere_is_said_with_a_near_name(path: str, reason: str, package: Path) -> None:
    assert unresolved(path) == reason


def test_a_module_that_cannot_be_read_is_named_with_its_line(package: Path) -> None:
    assert unresolved("paths_of_builds.torn:build") == f"and {package}/torn.py:1 cannot be read: invalid syntax"
