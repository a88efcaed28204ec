"""Files of a finished run and of its store, damaged at many places: every command ends in a sentence, none in a
traceback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cod_runner.api import Ledger, LLMAnswer, LLMRequest
from cod_runner.cli.program import call

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons, n: 100, validation: 30}
k: [4]
seeds: [0]
teacher: {use: mlp, hidden: [4], finetune: {rows: 32, steps: 10, lr: 0.05, batch_size: 32, precision: fp32}}
student: {use: mlp, hidden: [4]}
counterfactuals: {generators: [gradient], max_edits: 1000}
methods: {kd: [hard, {use: kd, weight: 2}], lwd: [hard, {use: lwd, weight: 1}]}
train: {steps: 1, lr: 0.01, precision: fp32}
"""
Damage = Callable[[bytes], bytes]

REPORTING = (["report", "run"], ["compare", "run", "run"], ["plan", "tiny.yaml", "--out", "run"])
RESUMING = (["run", "tiny.yaml", "--out", "run", "--jobs", "1", "--quiet"],)
AFRESH = (["run", "tiny.yaml", "--out", "again", "--jobs", "1", "--quiet"], ["store", "list"])
LEDGER = (["ledger", "list"], ["ledger", "list", "--json"], ["ledger", "export", "export.jsonl"], ["store", "list"])
REPAIRED = {
    "run/run.log",
    "home/signals/hidden/1/*/*.safetensors",
    "home/teachers/*/model.safetensors",
    "home/teachers/*/mlp.json",
    "home/teachers/*/teacher.json",
}
"""Made again, or not read."""
READ_BY = {
    "run/cells.jsonl": (*REPORTING, *RESUMING),
    "run/run.json": (*REPORTING, *RESUMING),
    "run/recipe.yaml": (*REPORTING, *RESUMING),
    "run/counterfactuals.jsonl": (*REPORTING, *RESUMING),
    "run/.id": RESUMING,
    "run/run.log": RESUMING,
    "home/signals/signals.sqlite": AFRESH,
    "home/signals/hidden/1/*/*.safetensors": AFRESH,
    "home/pairs/pairs.sqlite": AFRESH,
    "home/teachers/*/model.safetensors": AFRESH,
    "home/teachers/*/mlp.json": AFRESH,
    "home/teachers/*/teacher.json": AFRESH,
    "home/llm.sqlite": LEDGER,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its finished run, and a store with a ledger."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(RECIPE)
    with inside(folder):
        assert call(RESUMING[0]) == 0
        assert call(["report", "run"]) == 0
    ledger = Ledger.of_store(folder / "home", "run")
    for number in range(60):
        request = LLMRequest(
            "openai", "openai/m", "http://h/v1", (("user", f"text {number}"),), {}, number, "generic-v1"
        )
        ledger.claim(request.key, 1, None)
        ledger.record(request, LLMAnswer(f"answer {number} " * 20, "stop", 10, 5, 0.25))
    ledger.close()
    return folder


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """In a folder, with its own store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CODRUN_HOME", str(folder / "home"))
        yield


def path_of(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def withstand(
    finished: Path, tmp_path: Path, name: str, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> list[int]:
    """Damage a copy and call every command that reads the file; the exit codes."""
    folder = tmp_path / "copy"
    codes = []
    for command in READ_BY[name]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(finished, folder)
        path = path_of(folder, name)
        damage(path)
        capsys.readouterr()
        with inside(folder):
            codes.append(call(command))
        said = capsys.readouterr().err
        assert "Traceback" not in said
        if codes[-1]:
            assert codes[-1] in (1, 2), said
            assert path.name in said.replace("\n", ""), f"{command} does not name the file: {said}"
    return codes


def flipped(content: bytes, place: float, bit: int) -> bytes:
    at = min(int(place * len(content)), len(content) - 1)
    return content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]


def smeared(content: bytes, place: float, what: bytes) -> bytes:
    at = int(place * len(content))
    return content[:at] + what + content[at + len(what) :]


places = st.floats(0, 1, exclude_max=True)
damages: st.SearchStrategy[Damage] = st.one_of(
    st.tuples(places, st.integers(0, 7)).map(lambda drawn: lambda content: flipped(content, *drawn)),
    st.tuples(places, st.binary(min_size=1, max_size=600)).map(lambda drawn: lambda content: smeared(content, *drawn)),
    places.map(lambda place: lambda content: content[: int(place * len(content))]),
    st.tuples(
        places, st.sampled_from([b"\xff", b"\n", b"\0" * 50, b"9" * 5000, b"[" * 5000, b'"', b"1e999", b"-"])
    ).map(
        lambda drawn: (
            lambda content: content[: int(drawn[0] * len(content))] + drawn[1] + content[int(drawn[0] * len(content)) :]
        )
    ),
)
thorough = settings(
    max_examples=int(os.environ.get("DAMAGES", "150")), derandomize=False, suppress_health_check=[*HealthCheck]
)


def rewritten(damage: Damage) -> Callable[[Path], None]:
    def done(path: Path) -> None:
        path.write_bytes(damage(path.read_bytes()))

    return done


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)


def test_one_damage_of_each_file_ends_in_a_sentence(
    finished: Path, room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junk = b"\xff[" * 300
    middle = rewritten(lambda content: smeared(content, 0.4, junk))
    later = rewritten(lambda content: smeared(content, 0.7, junk))
    answer = rewritten(lambda content: smeared(content, content.index(b"answer 5 ") / len(content), junk))
    # the middle of these is empty
    elsewhere = {"home/pairs/pairs.sqlite": later, "home/llm.sqlite": answer}
    told = {name: withstand(finished, room, name, elsewhere.get(name, middle), capsys) for name in READ_BY}
    assert {name for name, codes in told.items() if not any(codes)} == REPAIRED


@pytest.mark.parametrize("name", [name for name in READ_BY if "*" not in name])
def test_a_folder_in_place_of_a_file_is_a_sentence(
    finished: Path, room: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    def replaced(path: Path) -> None:
        path.unlink()
        path.mkdir()

    withstand(finished, room, name, replaced, capsys)


@pytest.mark.long
@pytest.mark.parametrize("name", READ_BY)
@thorough
@given(damage=damages)
def test_damage_anywhere_ends_in_a_sentence_at_length(
    finished: Path, room: Path, capsys: pytest.CaptureFixture[str], name: str, damage: Damage
) -> None:
    withstand(finished, room, name, rewritten(damage), capsys)
