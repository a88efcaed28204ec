"""Pages of the documentation that are made of the code: kinds of plugins, keys of a recipe, commands, recipes."""

from __future__ import annotations

import shutil
from pathlib import Path

from cod_runner.registry import Registry
from making.commands import commands_page
from making.contracts import api_page, kind_page, shown_name
from making.gallery import gallery_pages
from making.recipe import recipe_page

__all__ = ["make_pages"]


def make_pages(folder: Path) -> None:
    """Write every made page into ``folder``, which holds nothing else."""
    from cod_runner.api import KINDS

    registry = Registry.discover()
    pages = {
        **{f"kinds/{kind}": kind_page(kind, registry) for kind in KINDS},
        "kinds/index": _contents("A page per kind", [(kind, shown_name(kind)) for kind in KINDS]),
        "api": api_page(),
        "recipe": recipe_page(),
        "commands": commands_page(),
        **gallery_pages(),
    }
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in pages.items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _contents(title: str, pages: list[tuple[str, str]]) -> str:
    listed = "\n".join(f"{shown} <{name}>" for name, shown in pages)
    return f"# {title}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
