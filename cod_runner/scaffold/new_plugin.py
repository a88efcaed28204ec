"""A plugin package to start from: installable, with one working component and a test that passes."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path

from cod_runner.api import API_VERSION, KINDS, Kind
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.files import folder_written_whole

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z](?:[a-z0-9_]{0,48}[a-z0-9])?")
"""A plugin's name without the prefix ``codrun_`` and with ``_`` for ``-``."""


def new_plugin(name: str, kind: Kind, folder: Path) -> list[Path]:
    """Write the package into ``folder/name``, which must not exist yet; returns its files, relative to ``folder``.

    ``my-plugin`` is a distribution's name: its module is ``my_plugin``. Any other name gets the module
    ``codrun_<name>``, so that it shadows no library of that name. The component is called ``name`` with ``_`` for
    ``-``. Raises :class:`RecipeError` for an invalid or taken name, an unknown kind, or a folder that exists.
    """
    component = name.replace("-", "_")
    bare = component.removeprefix("codrun_")
    if not NAME.fullmatch(bare) or keyword.iskeyword(component):
        raise RecipeError(
            f"`{name}` cannot be a plugin's name: use lower-case letters, digits, `-` and `_`, starting with a letter, "
            "ending with a letter or digit, and not a Python keyword"
        )
    if kind not in KINDS:
        raise RecipeError(f"there is no kind `{kind}`; a component is one of {', '.join(KINDS)}")
    package = folder / name
    try:
        taken = package.exists()
    except OSError as error:
        raise CodrunError(f"{package} cannot be written: {error.strerror}") from error
    if taken:
        raise RecipeError(f"{package} already exists and is not overwritten; choose another name or folder")
    module = component if "-" in name else f"codrun_{bare}"
    _refuse_installed(module, name)
    replacements = {
        "@name@": component,
        "@plugin@": name,
        "@kind@": kind,
        "@module@": module,
        "@distribution@": module.replace("_", "-"),
        "@api@": ".".join(map(str, API_VERSION)),
        "@Class@": "".join(part.capitalize() for part in bare.split("_")),
    }
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}/__init__.py": "__init__.py",
        f"{module}/plugin.py": f"{kind}/plugin.py",
        f"{module}/{kind}.py": f"{kind}/{kind}.py",
        f"tests/test_{module}.py": f"{kind}/test_{kind}.py",
    }
    with folder_written_whole(package) as building:
        for path, template in files.items():
            content = _template(template)
            for placeholder, value in replacements.items():
                content = content.replace(placeholder, value)
            (building / path).parent.mkdir(parents=True, exist_ok=True)
            (building / path).write_text(content, encoding="utf-8")
    return [Path(name, path) for path in files]


def _refuse_installed(module: str, name: str) -> None:
    """A second module of this name would hide the first, or be hidden by it."""
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.origin is not None:  # a plain folder of this name has no origin
        raise RecipeError(
            f"the plugin `{name}` would be the module `{module}`, which is already installed ({spec.origin}); choose "
            "another name"
        )


def _template(path: str) -> str:
    """A template's text. Teacher and student have the same contract, so they share templates."""
    shared = path.replace("teacher", "classifier").replace("student", "classifier")
    return (TEMPLATES / f"{shared}.in").read_text(encoding="utf-8")
