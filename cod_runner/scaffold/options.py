"""What the author of a new recipe says of the file, where a guess would be wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NewRecipeOptions:
    """Everything that is not said is guessed."""

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
