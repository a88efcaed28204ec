"""Whatever is in a file of pairs: pairs or one sentence, never another exception and never a hang."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cod_runner.api import BuildContext, CodrunError, Request
from codrun_precomputed.generator import Precomputed
from codrun_precomputed.plugin import PrecomputedOptions

SECONDS = 10
CSV = (
    b'original,counterfactual,to\r\n"a fine, warm film",a cold film,neg\n"so ""good""","so\nbad",neg\n\n'
    b"dull,bright,pos\n"
)
JSONL = (
    b'{"original": "a fine film", "counterfactual": "a cold film", "to": "neg"}\n\n'
    b'{"original": "dull\\ud83d\\ude00", "counterfactual": null, "to": "pos", "more": [{"x": 1.5}]}\n'
    b'{"original": "dull", "counterfactual": "bright", "to": "pos"}\n'
)
ODD = [
    b"\0", b'"', b'""', b",", b"\n", b"\r", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xc3", b"\\", b"\\ud83d",
    b"[" * 3_000, b"[" * 900 + b"]" * 900, b"{" * 50, b"}", b"9" * 5_000, b"1e999", b"NaN", b"null", b"true",
    b"\x1b[2J", b"\xe2\x80\xa8", b"\x1c", b"a" * 140_000,
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """The good file with up to four changes; or any bytes at all."""
    data = draw(st.just(good) | st.binary(max_size=200))
    for _ in range(draw(st.integers(0, 4))):
        at, to = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        put = draw(st.sampled_from([*ODD, b"", data[at:to], data[at:to][::-1]]))
        data = data[:at] + put + draw(st.sampled_from([data[at:], data[to:], b""]))
    return data


class Teacher:
    labels = ("neg", "pos")


@pytest.mark.parametrize(
    "examples", [pytest.param(300, id="short"), pytest.param(30_000, id="long", marks=pytest.mark.long)]
)
@pytest.mark.parametrize(("name", "good"), [("pairs.csv", CSV), ("pairs.jsonl", JSONL)], ids=["csv", "jsonl"])
def test_any_file_holds_pairs_or_ends_in_one_sentence(tmp_path: Path, name: str, good: bytes, examples: int) -> None:
    path = tmp_path / name

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done in {SECONDS} seconds")

    @settings(max_examples=examples)
    @given(damaged(good), st.sampled_from([None, "to"]))
    def any_file(content: bytes, target: str | None) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        signal.alarm(SECONDS)
        try:
            generator = Precomputed(PrecomputedOptions(path=str(path), target=target), BuildContext())
        except CodrunError as error:
            assert str(error).startswith(str(path))
            assert "\n" not in str(error)
            assert len(str(error)) < 4_000
            return
        finally:
            signal.alarm(0)
        teacher: Any = Teacher()
        for proposal in generator.propose([Request("a", "dull", 0, 1)], teacher)[0]:
            str(proposal.input).encode()

    before = signal.signal(signal.SIGALRM, stop)
    try:
        any_file()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_good_files_are_good(tmp_path: Path) -> None:
    teacher: Any = Teacher()
    for name, content in (("p.csv", CSV), ("p.jsonl", JSONL)):
        (tmp_path / name).write_bytes(content)
        generator = Precomputed(PrecomputedOptions(path=str(tmp_path / name), target="to"), BuildContext())
        assert [one.input for one in generator.propose([Request("a", "Dull", 0, 1)], teacher)[0]] == ["bright"]
