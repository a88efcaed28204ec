"""How a page becomes one file: its templates, style and script, none of which loads anything."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from cod_runner.report.theme import colour_variables
from cod_runner.word_diff import shown_input

PLACE = "cod_runner.report.page"


def render(template: str, **values: Any) -> str:
    """A template with these values; every text of theirs is escaped, and its control characters are written out."""
    script = packaged("page.js")
    return (
        _environment()
        .get_template(template)
        .render(
            style=Markup(colour_variables() + packaged("page.css")),
            script=Markup(script),
            policy=policy(script),
            **values,
        )
    )


def policy(script: str) -> str:
    """The page's content security policy: nothing is loaded, and no script runs but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def packaged(name: str) -> str:
    """A file that lies beside this one."""
    return resources.files(PLACE).joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: packaged(f"templates/{name}")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_control,
    )


def _without_control(value: Any) -> Any:
    return shown_input(value) if type(value) is str else value  # Markup comes from the macros, not from data
