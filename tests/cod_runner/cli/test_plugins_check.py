"""`codrun plugins NAME --check`: what a plugin's author sees of a component that keeps its contract, or does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cod_runner.cli import call

LOSS = """\
from cod_runner.api import Component, Options, hookimpl


class ShareOptions(Options):
    share: float

    def uses_teacher(self):
        return False


@hookimpl
def codrun_components():
    yield Component("loss", "halves", ShareOptions, "halves_of_logits:halves", "a share of the squared logits")


def halves(options, context):
    from torch import nn

    class Halves(nn.Module):
        def bind(self, binding):
            pass

        def forward(self, student, teacher, batch):
            return options.share * student.logits.square().sum(1)

    return Halves()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    Path("halves_of_logits.py").write_text(LOSS)
    yield tmp_path
    sys.modules.pop("halves_of_logits", None)


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = call(["plugins", *arguments, "--check"])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_component_that_keeps_its_contract_is_shown_with_what_was_tried(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = checked(capsys, "halves_of_logits.py", "--set", "share=0.5")
    assert (code, err) == (0, "")
    first, *clauses = out.splitlines()
    assert first == "loss halves (halves_of_logits.py) keeps its contract on toy data:"
    assert any("value per example" in clause for clause in clauses)


def test_an_option_that_is_required_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = checked(capsys, "halves_of_logits.py")
    assert (code, out) == (1, "")
    assert err == (
        "error: the loss `halves` cannot be built for a check with the options {}: `share`: Field required; give it "
        "options with `--set KEY=VALUE`\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (".sum(1)", ".sum()", "the loss `halves` "),
        ("return options", "return 1 / 0 * options", "ZeroDivisionError"),
        (":halves", ":halvs", "defines no `halvs`; did you mean `halves`?"),
    ],
)
def test_one_that_does_not_is_said_in_a_sentence(
    old: str, new: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("halves_of_logits.py").write_text(LOSS.replace(old, new))
    code, out, err = checked(capsys, "halves_of_logits.py", "--set", "share=0.5")
    assert (code, out) == (1, "")
    assert err.startswith("error: the loss `halves`") and sentence in err and len(err.splitlines()) == 1
    if "1 / 0" in new:
        assert err.endswith(", at halves_of_logits.py:24 in forward\n")


def test_programs_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = checked(capsys, "kd", "--json")
    (told,) = json.loads(out)
    assert (told["kind"], told["name"], told["wrong"]) == ("loss", "kd", None) and len(told["kept"]) > 5


def test_a_name_is_needed_and_must_be_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(capsys)[0] == 2
    assert checked(capsys, "kdd")[0] == 2
    assert call(["plugins", "kd", "--set", "x=1"]) == 2
    assert "--set goes with --check" in capsys.readouterr().err


EXPORTER = """

@hookimpl
def codrun_components():
    nothing = f"{__name__}:Nothing"
    yield Component("exporter", "to_nothing", Options, nothing, "writes nothing", reopen=nothing)
    yield Component("loss", "halves", ShareOptions, "halves_of_logits:halves", "a share of the squared logits")
    yield Component("loss", "worse", Options, "halves_of_logits:Nothing", "raises")


class Nothing:
    def __init__(self, options, context):
        pass

    def export(self, student, request):
        from cod_runner.api import CodrunError

        raise CodrunError("it exports trees alone")
"""


def test_what_could_not_be_checked_is_counted_apart_with_a_cure_that_can_be_followed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("halves_of_logits.py").write_text(LOSS + EXPORTER)
    code, out, err = checked(capsys, "halves_of_logits.py")
    assert (code, out) == (1, "")
    assert err.startswith("error: 1 of 3 components does not keep its contract: the loss `worse` ")
    assert (
        "; 2 of 3 components could not be checked: the exporter `to_nothing` exports none of the toys, small students "
        "of texts and of vectors (it exports trees alone); give a check in Python one that it exports: "
        "`check_exporter(component, student=...)`; the loss `halves` cannot be built" in err
    )
    code, out, _ = checked(capsys, "halves_of_logits.py", "--json")
    told = {each["name"]: (each["wrong"] is None, each["unchecked"] is None) for each in json.loads(out)}
    assert code == 1 and told == {"to_nothing": (True, False), "halves": (True, False), "worse": (False, True)}
