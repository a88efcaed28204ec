"""Sphinx's configuration. Pages that say what the code says are made of it, by ``making/``, before each build."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from cod_runner import __version__  # noqa: E402
from making import make_pages  # noqa: E402 - found through the line above

project = "codrun"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# The README links to its own sections; several fields are called `bytes`, as the type is.
suppress_warnings = ["myst.xref_missing", "ref.python"]
default_role = "code"  # docstrings write `names` as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": True}
html_theme = "furo"
html_title = f"codrun {__version__}"
html_copy_source = False
html_show_copyright = False


def setup(app: Any) -> None:
    """Make the pages before Sphinx looks for them."""
    app.connect("config-inited", lambda app, config: make_pages(HERE / "made"))
