"""Files that a recipe names: relative to the folder of the recipe that says so, and declared to the core."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationInfo


def recipe_file(written: str, info: ValidationInfo, prefix: str = "") -> str:
    """A file's path as a validator of options returns it: what is relative is taken from the folder of the recipe
    that says it.

    The file is declared to the core by this, which refuses one outside the recipe's folder unless the user allows it.
    ``prefix`` stands before the path in the value that is returned, as in ``file:PATH``. Raises :class:`ValueError`.
    """
    context = info.context or {}
    folder = context.get("folder")
    try:
        path = Path(written).expanduser()
    except RuntimeError as error:  # no home folder, or no such user
        raise ValueError(f"`{written}` names a home folder that does not exist") from error
    if not path.is_absolute() and folder is not None:
        path = Path(folder, path)
    value = f"{prefix}{path}"
    context.get("files", {})[value] = path
    return value
