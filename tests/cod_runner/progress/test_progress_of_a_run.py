"""A whole run as one display: drawn on a terminal, line by line elsewhere, and nothing of it under --quiet."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from watched import Watched

from cod_runner.progress import Progress
from cod_runner.terminal import Terminal

STAGES = ("data", "teacher", "students")


def test_a_terminal_shows_what_is_done_what_runs_and_what_waits(on_a_terminal: Watched) -> None:
    progress = on_a_terminal.progress
    with progress.run(STAGES, lambda: ["2 of 9 cells; 3 model calls"]):
        with progress.stage("data"):
            on_a_terminal.now += 1.5
        with progress.stage("teacher") as shown, progress.bar("fine-tuning") as step:
            step(0, 40)
            on_a_terminal.now += 10
            step(10, 40)
            assert [line.rstrip() for line in on_a_terminal.drawn] == [
                "✓ data          1.5 s",
                f"{on_a_terminal.drawn[1][0]} teacher        10 s  fine-tuning ━━━━━━{'─' * 18} 10/40 about 30 s left",
                "  students",
                "  2 of 9 cells; 3 model calls",
            ]
            progress.tell("2 in flight")
            assert on_a_terminal.drawn[1].endswith("about 30 s left")
            assert on_a_terminal.drawn[2:4] == ["    2 in flight", "  students"]
            progress.tell("")
            assert on_a_terminal.drawn[2:4] == ["", "  students"], "nothing jumps"
            shown.spent("3 model calls, 120 tokens, $0.0100")
        assert on_a_terminal.drawn[1] == "✓ teacher        10 s  3 model calls, 120 tokens, $0.0100"


def test_the_end_leaves_one_line_for_each_stage_that_ran(on_a_terminal: Watched) -> None:
    progress = on_a_terminal.progress
    with pytest.raises(KeyboardInterrupt), progress.run(STAGES):
        for name in ("data", "teacher"):
            with progress.stage(name):
                on_a_terminal.now += 65
                if name == "teacher":
                    raise KeyboardInterrupt
    shown = on_a_terminal.out.getvalue()
    assert shown.rpartition("\x1b[?25h")[0], "the cursor is shown again"
    assert "\x1b[?25l" not in shown.rpartition("\x1b[?25h")[2]
    assert shown.rpartition("\x1b[2K")[2].splitlines()[-2:] == ["✓ data     1 min 05 s", "✗ teacher  1 min 05 s"]


@pytest.mark.parametrize("width", [20, 40, 71, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    watched = Watched(terminal=True, width=width)
    with (
        watched.progress.run(STAGES, lambda: ["a line of many words, " * 12]),
        watched.progress.stage("teacher"),
        watched.progress.bar("asking the teacher about the training examples") as step,
    ):
        step(1, 1000)
        watched.progress.tell("many words about calls that failed " * 5)
        assert len(watched.drawn) == 5
        assert max(map(len, watched.drawn)) == width
        assert ("─" in watched.drawn[1]) == (width > 100)


def test_a_narrow_terminal_keeps_the_time_left() -> None:
    watched = Watched(terminal=True, width=58)
    with (
        watched.progress.run(STAGES),
        watched.progress.stage("teacher"),
        watched.progress.bar("asking the teacher about the training examples") as step,
    ):
        step(0, 100)
        watched.now += 10
        step(50, 100)
        assert watched.drawn[1][1:] == " teacher        10 s  asking the … 50/100 about 10 s left"


def test_a_fold_after_the_first_adds_to_its_stages(in_a_file: Watched) -> None:
    with in_a_file.progress.run(STAGES):
        for _ in range(3):
            for name in ("data", "teacher"):
                with in_a_file.progress.stage(name):
                    in_a_file.now += 0.4 if name == "data" else 2
    assert in_a_file.said == [
        "data ...", "teacher ...", "teacher: done in 2.0 s", "teacher: done in 2.0 s", "teacher: done in 2.0 s",
        "stages: data 1.2 s, teacher 6.0 s",
    ]  # fmt: skip


def test_a_pipe_gets_a_line_now_and_then_at_growing_intervals(in_a_file: Watched) -> None:
    progress = in_a_file.progress
    with (
        progress.run(STAGES, lambda: ["12 model calls"]),
        progress.stage("students"),
        progress.bar("training 3600 students, 2 at once", at_once=2) as step,
    ):
        for second in range(3600):
            in_a_file.now = 1000.0 + second
            step(second, 3600)
    lines = [line for line in in_a_file.said if line.startswith("training")]
    assert lines[:5] == [
        "training 3600 students, 2 at once: 10 of 3,600, about 1 h 00 min left; 12 model calls",
        "training 3600 students, 2 at once: 30 of 3,600, about 1 h 00 min left; 12 model calls",
        "training 3600 students, 2 at once: 70 of 3,600, about 1 h 00 min left; 12 model calls",
        "training 3600 students, 2 at once: 150 of 3,600, about 1 h 00 min left; 12 model calls",
        "training 3600 students, 2 at once: 310 of 3,600, about 55 min left; 12 model calls",
    ]
    assert len(lines) == 15, "one in five minutes in the end"


def test_a_stage_that_waits_says_for_what(in_a_file: Watched, on_a_terminal: Watched) -> None:
    for watched in (in_a_file, on_a_terminal):
        with watched.progress.run(STAGES), watched.progress.stage("data"):
            watched.now += 20
            watched.progress.tell("another run converts the model")
            if watched.terminal:
                assert watched.drawn[0].endswith("20 s  another run converts the model")
    assert in_a_file.said[1] == "data: another run converts the model"


def test_quiet_shows_warnings_alone_and_each_once() -> None:
    for terminal in (True, False):
        watched = Watched(terminal=terminal, quiet=True)
        with watched.progress.run(STAGES), watched.progress.stage("teacher"), watched.progress.bar("asking") as step:
            for second in range(100):
                watched.now += second
                step(second, 100)
            watched.progress.say("a sentence")
            watched.progress.warn("a warning")
            watched.progress.warn("a warning")
            watched.progress.pass_on("UserWarning: of a library in a worker")
            watched.progress.pass_on("UserWarning: of a library in a worker")
        assert watched.said == ["note: a warning", "UserWarning: of a library in a worker"]
        assert watched.progress.notes == ["a warning"]


def test_what_a_pipe_reads_is_not_folded(in_a_file: Watched) -> None:
    in_a_file.progress.say("a sentence of many words " * 20)
    in_a_file.progress.warn("a warning of many words " * 20)
    assert len(in_a_file.said) == 2


def test_a_beat_is_heard_now_and_then_while_a_stage_moves(in_a_file: Watched) -> None:
    beats = []
    with (
        in_a_file.progress.stage("students", beat=lambda: beats.append(in_a_file.now)),
        in_a_file.progress.bar("training") as step,
    ):
        for second in range(35):
            in_a_file.now = 1000.0 + second
            step(second, 35)
    with in_a_file.progress.bar("another") as step:
        in_a_file.now += 100
        step(1, 2)
    assert beats == [1010.0, 1020.0, 1030.0]


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_log_that_wants_colour_is_no_terminal(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(variable, "1")
    with (tmp_path / "log").open("w") as file:
        progress = Progress(Terminal(file=file))
        assert progress.console.is_terminal
        with progress.run(STAGES), progress.stage("data"):
            pass
    assert "\x1b[?25l" not in (tmp_path / "log").read_text()


def test_a_dumb_terminal_is_not_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = io.StringIO()
    with Progress(Terminal(file=out, force_terminal=True)).stage("data"):
        pass
    assert out.getvalue().splitlines()[0] == "data ..."


def test_an_older_encoding_has_letters_for_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(terminal=True)
    monkeypatch.setattr(type(watched.console), "encoding", property(lambda console: "latin-1"))
    with watched.progress.run(STAGES):
        with watched.progress.stage("data"):
            pass
        with watched.progress.stage("teacher"), watched.progress.bar("asking") as step:
            step(12, 24)
            drawn = watched.drawn
    assert drawn[0].startswith("+ data") and "############------------ 12/24" in drawn[1]
    assert all(line.isascii() for line in drawn)
