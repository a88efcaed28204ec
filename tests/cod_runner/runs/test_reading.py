"""A run's folder is read back: whole lines only, the recipe's cells only, and older records completed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cod_runner.api import Component, Options
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.registry import Registry
from cod_runner.runs.reading import current_rows, read_rows, read_run
from cod_runner.runs.records import CellRow

LINE = {"key": "a", "method": "kd", "arm": "cod", "k": 8, "seed": 1, "accuracy": 0.5, "why": "a word"}


def row(**changes: object) -> CellRow:
    return CellRow.from_json({**LINE, **changes}, ["accuracy"])


def test_a_torn_last_line_is_ignored_and_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    again = {**LINE, "accuracy": 0.75}
    path = tmp_path / "cells.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + json.dumps(again) + "\n" + json.dumps({**LINE, "key": "b"})[:40])
    assert read_rows(path, ["accuracy"]) == [row(accuracy=0.75)]


def test_a_text_with_a_line_separator_stays_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    path.write_text(json.dumps({**LINE, "why": "one\u2028two"}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_rows(path, ["accuracy"]) == [row(why="one\u2028two")]


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "cells.jsonl", []) == []


def test_rows_of_other_keys_are_counted_and_omitted() -> None:
    rows = [row(key=key, seed=seed) for seed, key in enumerate("abc")]
    current, others = current_rows(rows, ["a", "c", "not yet run"])
    assert ([row.key for row in current], others) == (["a", "c"], 1)


def test_without_keys_the_last_row_of_a_place_counts() -> None:
    current, others = current_rows([row(key="old"), row(key="new")], None)
    assert ([row.key for row in current], others) == (["new"], 1)


def test_a_run_is_read_from_its_folder(run_folder: Path, rows: list[CellRow], no_plugins: Registry) -> None:
    run = read_run(run_folder, no_plugins)
    assert (run.recipe.name, run.record.teacher_accuracy, run.other_lines) == ("small", 0.815, 0)
    assert list(run.rows) == rows
    assert [line["pair_id"] for line in run.outcomes] == ["0", "1"]


def test_an_interrupted_run_is_read_too_and_says_so(run_folder: Path, no_plugins: Registry) -> None:
    (run_folder / "run.json").unlink()
    assert "has not ended" in read_run(run_folder, no_plugins).record.notes[0]


def test_a_folder_that_is_not_a_run_is_a_wrong_call(tmp_path: Path, no_plugins: Registry) -> None:
    with pytest.raises(RecipeError, match="not a run's folder"):
        read_run(tmp_path, no_plugins)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("recipe.yaml", "k: [", "cannot be read as YAML"), ("recipe.yaml", "k: 1", "not a resolved recipe"),
     ("run.json", "{}", "not a run's record")],
)  # fmt: skip
def test_a_broken_file_is_named(run_folder: Path, no_plugins: Registry, name: str, text: str, said: str) -> None:
    (run_folder / name).write_text(text)
    with pytest.raises(CodrunError, match=said) as caught:
        read_run(run_folder, no_plugins)
    assert name in str(caught.value)


def test_a_cell_of_another_learning_rate_is_omitted(
    make_run: Callable[..., Path], rows: list[CellRow], no_plugins: Registry
) -> None:
    folder = make_run("other", rows)
    record = json.loads((folder / "run.json").read_text())
    record["cell_keys"] = [row.key for row in rows[1:]]
    (folder / "run.json").write_text(json.dumps(record))
    run = read_run(folder, no_plugins)
    assert (len(run.rows), run.other_lines) == (len(rows) - 1, 1)


class HardOptions(Options):
    smoothing: float = 0.0

    def uses_teacher(self) -> bool:
        return False


class KDOptions(Options):
    temperature: float = 2.0


def older(folder: Path) -> Path:
    """The folder as written by a version of codrun that recorded neither metrics nor methods without a teacher."""
    record = json.loads((folder / "run.json").read_text())
    del record["metrics"], record["without_teacher"]
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_what_an_older_record_lacks_comes_from_the_plugins(
    run_folder: Path, registry_of: Callable[..., Registry]
) -> None:
    registry = registry_of(
        Component("metric", "kl", Options, "m:KL", "", title="KL divergence", higher_is_better=False),
        Component("metric", "accuracy", Options, "m:Accuracy", ""),
        Component("loss", "hard", HardOptions, "m:Hard", ""),
        Component("loss", "kd", KDOptions, "m:KD", ""),
    )
    record = read_run(older(run_folder), registry).record
    assert [(metric.name, metric.title, metric.higher_is_better) for metric in record.metrics] == [
        ("accuracy", "accuracy", True),
        ("agreement", "agreement", True),  # no plugin has it
        ("kl", "KL divergence", False),
    ]
    assert record.without_teacher == ["hard"]


def test_without_any_plugin_an_older_run_has_no_floor_and_higher_is_better(
    run_folder: Path, no_plugins: Registry
) -> None:
    record = read_run(older(run_folder), no_plugins).record
    assert [metric.higher_is_better for metric in record.metrics] == [True, True, True]
    assert record.without_teacher == []


def test_a_loss_whose_options_have_changed_counts_as_one_with_a_teacher(
    run_folder: Path, registry_of: Callable[..., Registry]
) -> None:
    class OtherOptions(HardOptions):
        needed: int

    registry = registry_of(Component("loss", "hard", OtherOptions, "m:Hard", ""))
    assert read_run(older(run_folder), registry).record.without_teacher == []


def test_the_record_outranks_the_plugin_installed_today(run_folder: Path, registry_of: Callable[..., Registry]) -> None:
    registry = registry_of(Component("metric", "kl", Options, "m:KL", "", title="otherwise"))
    assert not read_run(run_folder, registry).record.metric("kl").higher_is_better


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"key": "b" "method"}', "Expecting"),
        (b'{"key": "\xff\xfe"}', "is not UTF-8"),
        (b"[" * 100_000, "nested too"),
        (b'{"k": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b"[1]", "not a mapping"),
        (b"\0\0\0", "Expecting value"),
    ],
    ids=lambda value: str(value[:20]),
)  # fmt: skip
def test_a_damaged_inner_line_is_named_with_its_cure(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "cells.jsonl"
    path.write_bytes(
        json.dumps(LINE).encode() + b"\n" + line + b"\n" + json.dumps({**LINE, "key": "c"}).encode() + b"\n"
    )
    with pytest.raises(CodrunError, match=rf"{path}:2: the line is damaged \(.*{said}.*\); delete it") as caught:
        read_rows(path, ["accuracy"])
    assert len(str(caught.value)) < 400 + len(str(path))
    path.write_bytes(json.dumps(LINE).encode() + b"\n" + line)
    assert len(read_rows(path, ["accuracy"])) == 1, "the same at the end is what a kill cut off"


@pytest.mark.parametrize("end", [10, 25, 40, 60, 75])
def test_a_line_that_a_kill_cut_off_before_others_were_written_is_skipped(tmp_path: Path, end: int) -> None:
    path = tmp_path / "cells.jsonl"
    path.write_text(json.dumps({**LINE, "key": "b"})[:end] + "\n" + json.dumps(LINE) + "\n")
    assert read_rows(path, ["accuracy"]) == [row()]


@pytest.mark.parametrize(
    "changes",
    [{"key": 3}, {"k": "many"}, {"accuracy": 10**400}, {"arm": []}, {"steps": "x"}, {"losses": 1}],
)
def test_a_line_of_a_wrong_type_is_named_with_its_cure(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "cells.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + json.dumps({**LINE, **changes}) + "\n")
    with pytest.raises(
        CodrunError, match=rf"{path}:2: a line of cells.jsonl .*; delete the line: its cell is then run"
    ):
        read_rows(path, ["accuracy"])


def test_a_folder_or_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cells.jsonl"
    path.mkdir()
    with pytest.raises(CodrunError, match=rf"{path} cannot be read \(Is a directory\); mend its permissions, or move"):
        read_rows(path, [])

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(CodrunError, match=rf"{path} cannot be read \(Permission denied\)"):
        read_rows(path, [])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff", b"[]", b"[" * 100_000, b'{"seconds": ' + b"9" * 5000 + b"}", b'{"recipe": 1}',
        b'{"recipe": "a", "notes": 3}',
    ],
    ids=lambda content: str(content[:20]),
)  # fmt: skip
def test_a_damaged_record_is_named_with_its_cure(run_folder: Path, no_plugins: Registry, content: bytes) -> None:
    (run_folder / "run.json").write_bytes(content)
    with pytest.raises(
        CodrunError, match=r"run.json is (damaged|not a run's record).*; delete it and run the recipe again"
    ):
        read_run(run_folder, no_plugins)


@pytest.mark.parametrize("content", [b"[" * 5_000, b"k: " + b"9" * 5000, b"\xff", b"a: 2024-99-99", b"? [a]\n: 1"])
def test_a_damaged_recipe_is_named_with_its_cure(run_folder: Path, no_plugins: Registry, content: bytes) -> None:
    (run_folder / "recipe.yaml").write_bytes(content)
    with pytest.raises(
        CodrunError, match=r"recipe.yaml (cannot be read as YAML|is not a resolved recipe).*; run the recipe"
    ):
        read_run(run_folder, no_plugins)
