"""The further measures that ``codrun cfes --measure NAME=VALUE`` names, built before anything is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from cod_runner.api import BuildContext, CfeMeasure, Options
from cod_runner.errors import RecipeError
from cod_runner.registry import Registry


def build_measures(named: Sequence[str], registry: Registry, context: BuildContext) -> list[CfeMeasure]:
    """One measure for each ``NAME``, ``NAME=VALUE`` or ``NAME={option: value, ...}``.

    A bare value is the one option that the measure requires. Raises :class:`RecipeError` where the options are wrong,
    and what a model that cannot be loaded raises.
    """
    return [_built(each, registry, context) for each in named]


def _built(named: str, registry: Registry, context: BuildContext) -> CfeMeasure:
    name, _, text = (part.strip() for part in named.partition("="))
    options = registry.find("cfe_measure", name).options
    try:
        measure: CfeMeasure = registry.build("cfe_measure", name, _values(named, text, options), context)
    except ValidationError as error:
        wrong = "; ".join(
            f"`{'.'.join(map(str, each['loc'])) or name}`: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        )
        raise RecipeError(f"--measure {named}: {wrong}; {_usage(options)}") from error
    return measure


def _values(named: str, text: str, options: type[Options]) -> Mapping[str, Any]:
    if not text:
        return {}
    if not text.startswith("{"):
        required = [name for name, field in options.model_fields.items() if field.is_required()]
        if len(required) != 1:
            raise RecipeError(
                f"--measure {named}: a bare value needs a measure that requires one option, and this one requires "
                f"{len(required) or 'none'}; write `NAME={{option: value}}`; {_usage(options)}"
            )
        return {required[0]: text}
    try:
        loaded: Mapping[str, Any] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--measure {named}: what follows `=` is not YAML") from error
    return loaded


def _usage(options: type[Options]) -> str:
    return f"its options are {', '.join(options.model_fields) or 'none'}"
