"""What the author of a new recipe says of the file, where a guess would be wrong."""

from __future__ import annotations

from dataclasses import dataclass

from cod_runner.errors import RecipeError


@dataclass(frozen=True)
class NewRecipeOptions:
    """Everything that is not said is guessed. Raises :class:`RecipeError` for names that no file could have."""

    text: tuple[str, ...] = ()
    """Column of the texts, or several whose texts are joined."""
    label: str | None = None
    split: str | None = None
    """Column of the splits."""
    header: bool | None = None
    """Whether the first row names the columns."""
    labels: tuple[str, ...] = ()
    """Names of the labels, in the order of their ids."""
    teacher: str | None = None
    """A language model."""

    def __post_init__(self) -> None:
        for flag, what, names in (("--text", "column", self.text), ("--labels", "label", self.labels)):
            if not all(name.strip() for name in names):
                raise RecipeError(f"{flag} has a {what} without a name")
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise RecipeError(f"{flag} names the {what} `{twice}` twice; name each once")
