"""Outcomes that outlive the process."""

from __future__ import annotations

import json
import multiprocessing
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cod_runner.api import Attempt, CodrunError, Mixture
from cod_runner.counterfactuals import OutcomeStore, PairOutcome
from cod_runner.counterfactuals.outcomes import outcome_key
from cod_runner.files import open_database


def outcome(text: str = "a bad film") -> PairOutcome:
    return PairOutcome(
        original='a "good" film \u202e{0} \ud83d',
        counterfactual=text,
        from_label=1,
        target=0,
        label=0,
        teacher_before=(0.1, 0.9),
        teacher_after=(1 / 3, 2 / 3),
        verified=True,
        edits=1.0,
        minimality=0.25,
        generator="lexicon",
        attempts=(
            Attempt("", "llm", 1, "empty", None, None, 0, None),
            Attempt(text, "lexicon", 2, None, (1 / 3, 2 / 3), 1.0, 3),
        ),
    )


def test_what_is_stored_comes_back_equal(tmp_path: Path) -> None:
    OutcomeStore(tmp_path / "pairs.sqlite").add({"k": outcome()})
    assert OutcomeStore(tmp_path / "pairs.sqlite").find(["k", "other"]) == {"k": outcome()}


def test_a_mixture_of_a_text_comes_back_equal_and_a_vector_of_one_does_not(tmp_path: Path) -> None:
    mixture = Mixture('a "good" film', "a bad one", 0.1 + 0.2)
    mixed = replace(outcome(), counterfactual=mixture, attempts=(Attempt(mixture, "mixup", 1, None, (0.5, 0.5), 1.0),))
    vector = replace(outcome(), counterfactual=(1.0, 2.0))
    store = OutcomeStore(tmp_path / "pairs.sqlite")
    store.add({"mixed": mixed, "vector": vector})
    assert store.find(["mixed"]) == {"mixed": mixed}
    with pytest.raises(CodrunError, match=r"a stored counterfactual .* is damaged"):
        store.find(["vector"])


def test_the_first_outcome_of_a_key_stays(tmp_path: Path) -> None:
    store = OutcomeStore(tmp_path / "pairs.sqlite")
    store.add({"k": outcome()})
    store.add({"k": outcome("another")})
    assert store.find(["k"]) == {"k": outcome()}


def write_many(path: Path, name: str) -> None:
    store = OutcomeStore(path)
    for number in range(50):
        store.add({f"{name}{number}": outcome(), "shared": outcome(name)})


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pairs.sqlite"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write_many, args=(path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = OutcomeStore(path).find([f"{name}{number}" for name in "ab" for number in range(50)])
    assert len(found) == 100


def test_a_file_that_is_not_a_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "pairs.sqlite").write_bytes(b"not a database, but long enough to be read as one" * 50)
    with pytest.raises(CodrunError, match=r"pairs\.sqlite cannot be used .*delete"):
        OutcomeStore(tmp_path / "pairs.sqlite")


def damaged_line(**changes: object) -> str:
    return json.dumps({**asdict(outcome()), **changes})


@pytest.mark.parametrize(
    "line",
    [
        "{", "[]", "null", "[" * 100_000, '{"original": "x"}', "9" * 5000, damaged_line()[:-9],
        damaged_line(label=9), damaged_line(label=None), damaged_line(target=-1), damaged_line(from_label=True),
        damaged_line(teacher_before=3), damaged_line(teacher_before="ab"), damaged_line(teacher_after=[1.0]),
        damaged_line(edits="many"), damaged_line(attempts={"a": 1}), damaged_line(attempts=[{"input": "x"}]),
        damaged_line(counterfactual=[1.0]), damaged_line(verified=1), damaged_line(generator=None),
        damaged_line(original=None), damaged_line(colour="red"),
    ],
    ids=lambda line: line[:20],
)  # fmt: skip
def test_a_damaged_row_of_an_earlier_version_is_a_sentence(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pairs.sqlite"
    store = OutcomeStore(path)
    with closing(open_database(path)) as connection, connection:
        connection.execute("insert into outcomes values ('k', ?)", (line,))
        connection.execute("insert into outcomes values ('sound', ?)", (damaged_line(),))
    assert store.find(["sound"]) == {"sound": outcome()}
    with pytest.raises(CodrunError, match=rf"in {path} is damaged .*`codrun store prune pairs`"):
        store.find(["k"])


def test_one_changed_letter_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "pairs.sqlite"
    OutcomeStore(path).add({"k": outcome()})
    with closing(open_database(path)) as connection, connection:
        connection.execute("update outcomes set line = replace(line, 'a bad film', 'a bed film')")
    with pytest.raises(CodrunError, match=rf"in {path} is damaged"):
        OutcomeStore(path).find(["k"])


def test_the_key_tells_apart_what_decides() -> None:
    base = ("teacher", {"use": "lexicon"}, "a text", 1, 0)
    others = [
        ("other", {"use": "lexicon"}, "a text", 1, 0),
        ("teacher", {"use": "litellm"}, "a text", 1, 0),
        ("teacher", {"use": "lexicon"}, "A text", 1, 0),
        ("teacher", {"use": "lexicon"}, "a text", 0, 1),
        ("teacher", {"use": "lexicon"}, (1.0,), 1, 0),
    ]
    keys = {outcome_key(*parts) for parts in [base, *others]}  # type: ignore[arg-type]
    assert len(keys) == 1 + len(others)
    assert outcome_key(*base) == outcome_key(*base)
