"""Imports what ``MODULES_TO_IMPORT`` in the environment names, a file with a module a line, as far as it can be."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from pathlib import Path

for name in Path(os.environ["MODULES_TO_IMPORT"]).read_text().splitlines():
    with suppress(Exception):  # some modules can only be imported by others
        importlib.import_module(name)
