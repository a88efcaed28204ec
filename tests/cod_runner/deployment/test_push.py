"""`codrun push`: what is shown, what is sent, and that nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import TOKEN, FakeHub, fake_hub
from huggingface_hub import constants

from cod_runner.cli.program import call
from cod_runner.runs.student_record import HeldOut, SavedComponent, StudentRecord, write_student_record

HEADER = b'{"__metadata__": {}}'
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def student(tmp_path: Path) -> Path:
    folder = tmp_path / "kd-cod-k8-s0"
    folder.mkdir()
    record = StudentRecord(
        student=SavedComponent(use="transformers", options={"model": "/home/me/secret/model", "layers": [1]}),
        labels=("bad", "good"), recipe="films", method="kd", arm="cod", k=8, seed=0,
        held_out=HeldOut(labels=[0, 1], logits=[[0.5, 0.25], [0.0, 1.0]]),
    )  # fmt: skip
    write_student_record(folder, record)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "config.json").write_text('{"_name_or_path": "/home/me/secret/model", "hidden_size": 4}')
    (folder / "tokenizer.json").write_text('{"vocab": ["/home/in/a/vocabulary"]}')
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# films\n")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    return folder


def test_without_yes_nobody_is_asked_and_nothing_is_sent(
    hub: FakeHub, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["push", str(student), "me/films"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"from {student} to me/films at {hub.address}, private:"
    assert [line.split()[-1] for line in lines[1:7]] == [
        "1_Pooling/config.json", "README.md", "config.json", "model.safetensors", "student.json", "tokenizer.json",
    ]  # fmt: skip
    assert lines[7].split() == ["0.5", "kB", "in", "6", "files"]
    assert lines[8:] == [
        "not sent: what student.json holds of its held-out rows",
        "a token is set; whose it is, is asked with --yes alone",
        "nothing was sent; --yes sends it",
    ]
    assert hub.requests == []


def test_with_yes_exactly_what_was_shown_goes(hub: FakeHub, student: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["push", str(student), "films", "--yes"]) == 0
    assert hub.repositories == {"me/films": True}
    assert hub.commits == ["films: kd-cod-k8-s0"]
    assert sorted(hub.files) == [
        f"me/films/{name}"
        for name in (
            "1_Pooling/config.json", "README.md", "config.json", "model.safetensors", "student.json", "tokenizer.json",
        )
    ]  # fmt: skip
    for name in ("README.md", "model.safetensors", "tokenizer.json"):
        assert hub.files[f"me/films/{name}"] == (student / name).read_bytes()
    sent = json.loads(hub.files["me/films/student.json"])
    assert "held_out" not in sent
    assert sent["student"] == {"use": "transformers", "options": {"model": "model", "layers": [1]}}
    assert json.loads(hub.files["me/films/config.json"]) == {"_name_or_path": "model", "hidden_size": 4}
    out = capsys.readouterr()
    assert f"sent: {hub.address}/me/films" in out.out
    assert TOKEN not in out.out + out.err


def test_a_public_repository_is_filled_only_when_that_is_said(
    hub: FakeHub, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["me/films"] = False
    assert call(["push", str(student), "me/films", "--yes"]) == 1
    assert "me/films is there already and everybody can read it, so nothing was sent" in capsys.readouterr().err
    assert hub.files == {}
    assert call(["push", str(student), "me/films", "--yes", "--public"]) == 0
    assert len(hub.files) == 6
    assert call(["push", str(student), "me/new", "--yes", "--public"]) == 0
    assert hub.repositories["me/new"] is False


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/whoami-v2", 401, "the hub does not accept the token"),
        ("/repos/create", 403, "the token may not write there"),
        ("/api/models/me/films", 404, "the hub has no such account"),
        ("/commit/main", 409, "somebody changed the repository at the same time"),
        ("/commit/main", 413, "the hub takes no files as large"),
        ("/repos/create", 400, "was not pushed: the hub failed ("),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_without_the_token(
    hub: FakeHub, student: Path, capsys: pytest.CaptureFixture[str], path: str, status: int, said: str
) -> None:
    hub.failing[path] = status
    assert call(["push", str(student), "me/films", "--yes"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert TOKEN not in error
    assert hub.files == {}


def test_a_card_that_the_hub_does_not_take_is_named(
    hub: FakeHub, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (student / "README.md").write_text("---\nlicense: a licence of mine\n---\n# films\n")
    assert call(["push", str(student), "me/films", "--yes"]) == 1
    assert "the hub does not take README.md as it is: " in capsys.readouterr().err
    assert hub.files == {}


def test_no_token_no_network_no_offline(
    hub: FakeHub, student: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(["push", str(student), "me/films", "--yes", "--offline"]) == 2
    assert "--offline sends nothing" in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert call(["push", str(student), "me/films", "--yes"]) == 1
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(student / "no token"))
    assert call(["push", str(student), "me/films", "--yes"]) == 1
    assert "no token for the hub is set" in capsys.readouterr().err
    assert hub.requests == []
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    assert call(["push", str(student), "me/films", "--yes"]) == 1
    assert "me/films was not pushed: the hub could not be reached" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a/b/c", "../films", "films!", "-films"])
def test_a_name_that_cannot_be_is_refused(student: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert call(["push", str(student), "--", name]) == 2
    assert f"`{name}` cannot be a repository of the hub" in capsys.readouterr().err
