"""What comes home of a task: its result, or its exception with all that it carries."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from cod_runner.answers import RemoteError, RemoteTraceback, answered, result_of
from cod_runner.errors import SettingError


class OfTwoParts(Exception):
    """Cannot be made again from its message, and cannot say what it is."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


class Unspeakable(Exception):
    """Cannot even be asked what it says."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)

    def __str__(self) -> str:
        raise RuntimeError("not telling")


def raising(error: Exception) -> Any:
    def work(task: Any) -> Any:
        raise error

    return work


def come_home(error: Exception) -> BaseException:
    with pytest.raises(Exception) as caught:
        result_of(answered(raising(error), pickle.dumps(1)))
    return caught.value


def test_a_result_comes_home() -> None:
    assert result_of(answered(lambda task: task * 2, pickle.dumps(21))) == 42


def test_an_exception_comes_home_as_itself_with_the_workers_traceback() -> None:
    error = SettingError("too few rows", "splits", "test")
    error.place = ("dataset",)
    error.add_note("a note")
    home = come_home(error)
    assert isinstance(home, SettingError) and home is not error
    assert (str(home), home.setting, home.place, home.__notes__) == (
        "too few rows", ("splits", "test"), ("dataset",), ["a note"],
    )  # fmt: skip
    assert isinstance(home.__cause__, RemoteTraceback)
    assert "test_answers.py" in str(home.__cause__) and "in work" in str(home.__cause__)


def test_one_that_pickle_cannot_make_again_comes_home_in_words_with_its_notes() -> None:
    error = OfTwoParts("one", "other")
    error.add_note("no plugin raised this")
    home = come_home(error)
    assert type(home) is RuntimeError
    assert (str(home), home.__notes__) == ("test_answers.OfTwoParts: one and other", ["no plugin raised this"])
    assert "in work" in str(home.__cause__)


def test_one_that_raises_when_it_is_asked_what_it_says_comes_home_too() -> None:
    home = come_home(Unspeakable("a", "b"))
    assert type(home) is RuntimeError
    assert str(home) == "test_answers.Unspeakable: <exception str() failed>"


def test_a_task_that_cannot_be_read_or_a_result_that_cannot_be_pickled_is_an_exception_of_the_task() -> None:
    with pytest.raises(pickle.UnpicklingError, match="invalid load key, 'n'"):
        result_of(answered(lambda task: task, b"not a pickle"))
    with pytest.raises(Exception, match="pickle"):
        result_of(answered(lambda task: lambda: task, pickle.dumps(1)))


def test_what_is_raised_to_end_a_process_does_not_become_an_answer() -> None:
    with pytest.raises(KeyboardInterrupt):
        answered(raising(KeyboardInterrupt()), pickle.dumps(1))  # type: ignore[arg-type]


def test_a_traceback_names_what_an_exception_was_raised_from() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise ValueError("second") from first
    except ValueError as error:
        told = RemoteError.of(error)
    assert "KeyError: 'first'" in told.traceback and told.traceback.endswith("ValueError: second\n")
