"""What code made a run's cells: one digest for each code of a version, those of another Python apart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.records import ComponentCode
from cod_runner.stages.changed_code import code_of

RECIPE = cast(
    Recipe,
    SimpleNamespace(
        used=lambda: [((), kind, SimpleNamespace(use=f"my_{kind}")) for kind in ("loss", "tracker", "metric")]
    ),
)


def code(digest: str, former: dict[str, ComponentCode], version: int = 1) -> list[str]:
    """The digests of the loss, where its code is now ``digest``; the metric is one of codrun's own."""
    registry: Any = SimpleNamespace(
        code=lambda kind, name: None if kind == "metric" else digest,
        find=lambda kind, name: SimpleNamespace(version=version),
    )
    found = code_of(RECIPE, cast(Registry, registry), former)
    assert list(found) == ["the loss `my_loss`"], "a tracker decides nothing"
    assert found["the loss `my_loss`"].version == version
    return found["the loss `my_loss`"].digests


def before(*digests: str) -> dict[str, ComponentCode]:
    return {"the loss `my_loss`": ComponentCode(version=1, digests=list(digests))}


def test_the_same_code_has_one_digest_and_another_one_more() -> None:
    assert code("3.11:a", {}) == ["3.11:a"]
    assert code("3.11:a", before("3.11:a")) == ["3.11:a"]
    assert code("3.11:b", before("3.11:a")) == ["3.11:a", "3.11:b"]
    assert code("3.11:a", before("3.11:a", "3.11:b")) == ["3.11:b", "3.11:a"], "the last one's at the end"


def test_code_of_another_version_or_another_python_is_not_compared() -> None:
    assert code("3.11:b", before("3.11:a"), version=2) == ["3.11:b"]
    assert code("3.12:b", before("3.11:a")) == ["3.12:b"]
