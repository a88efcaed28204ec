"""The entry point of the group ``pytest11``: the hooks, where this pytest has them as they are written here."""

from __future__ import annotations

import pytest

if getattr(pytest, "version_tuple", (0,)) >= (8,):  # an older one would refuse the hooks, and end
    from pytest_codrun.hooks import pytest_addoption, pytest_collect_file

    __all__ = ["pytest_addoption", "pytest_collect_file"]
