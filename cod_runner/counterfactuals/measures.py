"""The further measures that ``codrun cfes --measure NAME=MODEL`` names, built before anything is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from cod_runner.api import BuildContext, CfeMeasure
from cod_runner.errors import RecipeError
from cod_runner.registry import Registry


def build_measures(named: Sequence[str], registry: Registry, context: BuildContext) -> list[CfeMeasure]:
    """One measure for each ``NAME``, ``NAME=MODEL`` or ``NAME={option: value, ...}``.

    Raises :class:`RecipeError` where the options are wrong, and what a model that cannot be loaded raises.
    """
    return [_built(each, registry, context) for each in named]


def _built(named: str, registry: Registry, context: BuildContext) -> CfeMeasure:
    name, _, text = named.partition("=")
    try:
        options = _options(text)
        measure: CfeMeasure = registry.build("cfe_measure", name.strip(), options, context)
    except yaml.YAMLError as error:
        raise RecipeError(f"--measure {named}: what follows `=` is no YAML") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"`{'.'.join(map(str, each['loc'])) or name}`: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        )
        raise RecipeError(f"--measure {named}: {wrong}; {_usage(name, registry)}") from error
    return measure


def _options(text: str) -> Mapping[str, Any]:
    if not text.lstrip().startswith("{"):
        return {"model": text.strip()} if text.strip() else {}
    loaded: Mapping[str, Any] = yaml.safe_load(text)
    return loaded


def _usage(name: str, registry: Registry) -> str:
    options = ", ".join(registry.find("cfe_measure", name.strip()).options.model_fields) or "none"
    return f"its options are {options}"
