"""The search for unreachable objects is put off, once, and then is as it always is."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from cod_runner.cli.starting import OBJECTS_BEFORE_COLLECTING, put_off_collecting, start_sooner


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "")
    usual, callbacks = gc.get_threshold(), list(gc.callbacks)
    yield
    gc.set_threshold(*usual)
    gc.callbacks[:] = callbacks


def test_the_first_collection_comes_late_and_all_others_as_always() -> None:
    usual, callbacks = gc.get_threshold(), list(gc.callbacks)
    gc.collect()
    put_off_collecting()
    assert gc.get_threshold() == (OBJECTS_BEFORE_COLLECTING, *usual[1:])
    made: list[list[int]] = [[] for _ in range(20 * usual[0])]
    assert gc.get_threshold() != usual, "none yet"
    made += [[] for _ in range(OBJECTS_BEFORE_COLLECTING)]
    assert gc.get_threshold() == usual and gc.callbacks == callbacks


def test_what_the_user_says_of_pydantic_s_plugins_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "one")
    start_sooner()
    assert os.environ["PYDANTIC_DISABLE_PLUGINS"] == "one"
