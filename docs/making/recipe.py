"""The page of a recipe's keys, from its grammar."""

from __future__ import annotations

from cod_runner.cli.option_types import described
from cod_runner.recipe.grammar import Recipe
from making.text import table


def recipe_page() -> str:
    """Every key of a recipe, its type, default and meaning; those of components stand on the pages of their kinds."""
    rows = [(f"`{each.name}`", each.type, f"`{each.default}`", each.meaning) for each in described(Recipe)]
    return (
        "# Every key of a recipe\n\n"
        "A component is named by `use:`; its own keys stand beside `use` and are listed on the "
        "[page of its kind](kinds/index.md). `NAME` is any name, `0` any place in a list. `extends:` and `profiles:` "
        "are resolved first. `codrun schema` writes all of this for editors.\n\n"
        + table(("key", "type", "default", "meaning"), rows)
    )
