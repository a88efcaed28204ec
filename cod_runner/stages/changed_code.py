"""Whether a component's code has changed since cells of this run were finished, though its version has not."""

from __future__ import annotations

from collections.abc import Mapping

from cod_runner.api import Kind
from cod_runner.context import RunContext
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.records import ComponentCode, RunRecord

DECIDES_NOTHING: set[Kind] = {"executor", "tracker"}


def note_code(context: RunContext, record: RunRecord, *, finished: bool) -> None:
    """Note what code the recipe's components have, and say which of them have changed; ``finished`` tells whether the
    run holds cells of these settings, which are not run again."""
    former = record.code if finished else {}
    record.code = code_of(context.recipe, context.registry, former)
    for named, code in record.code.items():
        if len(code.digests) > 1:
            context.progress.warn(
                f"{named} has changed since cells of this run were finished, and its version is still {code.version}: "
                "raise `version` in its Component, and cells, stored pairs and what losses fit are made anew; --fresh "
                "makes the cells alone"
            )


def code_of(recipe: Recipe, registry: Registry, former: Mapping[str, ComponentCode]) -> dict[str, ComponentCode]:
    """The code of each component that decides a result, after that of earlier calls with the same version and the same
    Python; by the component's name in sentences."""
    found: dict[str, ComponentCode] = {}
    for _, kind, use in recipe.used():
        digest = None if kind in DECIDES_NOTHING else registry.code(kind, use.use)
        if digest is not None:
            named, version = f"the {kind} `{use.use}`", registry.find(kind, use.use).version
            before = former.get(named)
            python = digest.partition(":")[0]
            digests = [] if before is None or before.version != version else before.digests
            same = [each for each in digests if each.partition(":")[0] == python and each != digest]
            found[named] = ComponentCode(version=version, digests=[*same, digest])
    return found
