"""Consoles that keep what they show, and a clock that a test turns."""

from __future__ import annotations

import pytest
from watched import Watched


@pytest.fixture
def in_a_file() -> Watched:
    return Watched()


@pytest.fixture
def on_a_terminal() -> Watched:
    return Watched(terminal=True)
