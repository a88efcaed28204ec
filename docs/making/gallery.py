"""The gallery: every recipe of the repository, with its table where one has been kept."""

from __future__ import annotations

import re
from pathlib import Path

from making.text import code

RECIPES = Path(__file__).parents[2] / "recipes"


def gallery_pages() -> dict[str, str]:
    """A page for each folder of recipes, and one that lists them."""
    folders = [RECIPES, *sorted(path for path in RECIPES.iterdir() if path.is_dir())]
    pages = {f"gallery/{_title(folder)}": _page(folder) for folder in folders if any(_recipes(folder))}
    listed = "\n".join(name.removeprefix("gallery/") for name in pages)
    head = "Every recipe of the repository. A table stands beside those whose run was kept with its protocol."
    pages["gallery/index"] = f"# Gallery of recipes\n\n{head}\n\n```{{toctree}}\n:maxdepth: 2\n\n{listed}\n```\n"
    return pages


def _title(folder: Path) -> str:
    return "start" if folder == RECIPES else folder.name


def _recipes(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.yaml")) if not path.name.startswith("_")]


def _page(folder: Path) -> str:
    parts = [f"# {_title(folder)}\n"]
    kept = sorted(folder.glob("results/*.md"))
    for recipe in _recipes(folder):
        parts += [f"## {recipe.stem}\n", _what_it_says(recipe), code(_body(recipe), "yaml", _place(recipe))]
        parts += [_result(path) for path in kept if path.stem == recipe.stem or path.stem.startswith(f"{recipe.stem}_")]
    return "\n".join(parts)


def _place(path: Path) -> str:
    return str(path.relative_to(RECIPES.parent))


def _comment(text: str) -> list[str]:
    """The lines of the comment that a recipe begins with."""
    lines = text.splitlines()
    length = next((place for place, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:length]


def _what_it_says(recipe: Path) -> str:
    return "\n".join(line.removeprefix("#").strip() for line in _comment(recipe.read_text(encoding="utf-8"))) + "\n"


def _body(recipe: Path) -> str:
    text = recipe.read_text(encoding="utf-8")
    return "\n".join(text.splitlines()[len(_comment(text)) :]).strip("\n")


def _result(path: Path) -> str:
    """A kept table, its headings below the recipe's."""
    lines = [re.sub(r"^(#+)", r"##\1", line) for line in path.read_text(encoding="utf-8").splitlines()]
    return "\n".join(lines) + "\n"
