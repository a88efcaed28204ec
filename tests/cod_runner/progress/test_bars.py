"""What a person sees beside a bar: a few words that change, on a terminal and in a file, and what is left of them."""

from __future__ import annotations

import io
import re
import threading

import pytest

from cod_runner.progress import Progress, lines
from cod_runner.terminal import Terminal

MOVE = re.compile(r"\x1b\[(\?25[lh]|\d*[A-Z]|[\d;]*m)|(\n)|(\r)|([^\x1b\n\r]+)")
WIDTH = 70


class Screen(io.StringIO):
    """What a terminal shows of what was written so far."""

    @property
    def lines(self) -> list[str]:
        lines, row, column = [""], 0, 0
        for code, end, start, text in MOVE.findall(self.getvalue()):
            if end:
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif start:
                column = 0
            elif text:
                lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
                column += len(text)
            elif code.endswith("A"):
                row -= int(code[:-1] or 1)
            elif code == "2K":
                lines[row] = ""
        return [line.rstrip() for line in lines if line.strip()]


def on_a_terminal() -> tuple[Screen, Progress]:
    screen = Screen()
    return screen, Progress(Terminal(file=screen, force_terminal=True, color_system=None, width=WIDTH))


def in_a_file(monkeypatch: pytest.MonkeyPatch, every: float = 0.0) -> tuple[io.StringIO, Progress]:
    monkeypatch.setattr(lines, "FIRST_INTERVAL", every)
    monkeypatch.setattr(lines, "LONGEST_INTERVAL", every)
    out = io.StringIO()
    return out, Progress(Terminal(file=out, force_terminal=False, width=400))


def refreshed(told: Progress) -> None:
    """Draw now, where a bar would draw within a tenth of a second."""
    live = told.console._live_stack[-1] if hasattr(told.console, "_live_stack") else told.console._live
    assert live is not None
    live.refresh()


def test_words_stand_beside_the_bar_and_go_with_it() -> None:
    screen, told = on_a_terminal()
    with told.bar("asking the teacher") as step:
        step(3, 10)
        told.tell("2 waiting")
        refreshed(told)
        (line,) = screen.lines
        assert "asking the teacher" in line and "3/10" in line and line.endswith("2 waiting")
        told.tell("1 waiting")
        refreshed(told)
        assert [line.endswith("1 waiting") for line in screen.lines] == [True], "drawn over, not below"
        told.tell("")
        refreshed(told)
        assert "waiting" not in screen.lines[0] and "3/10" in screen.lines[0]
        told.tell("3 waiting")
        step(10, 10)
    assert screen.lines == [], "the last words vanish with the bar"


def test_a_sentence_said_meanwhile_stays_above_the_bar() -> None:
    screen, told = on_a_terminal()
    with told.bar("asking") as step:
        step(1, 2)
        told.tell("1 waiting")
        refreshed(told)
        told.say("a server is slow")
        refreshed(told)
        first, second = screen.lines
        assert first == "a server is slow" and second.endswith("1 waiting")
    assert screen.lines == ["a server is slow"]


def test_many_words_do_not_leave_pieces_behind() -> None:
    screen, told = on_a_terminal()
    with told.bar("asking the teacher about the training examples") as step:
        step(1, 1000)
        for number in range(5):
            told.tell(f"{'many words about calls that failed ' * (number % 3)}{number}")
            refreshed(told)
            assert all(len(line) <= WIDTH for line in screen.lines)
            assert len(screen.lines) == 1, "one line, whatever is told"
    assert screen.lines == []


@pytest.mark.parametrize("words", ["[red]markup[/red]", "two\nlines", "\x1b[2Jcontrol", "50% :smile:"])
def test_words_of_strangers_are_text(words: str) -> None:
    screen, told = on_a_terminal()
    with told.bar("asking"):
        told.tell(words)
        refreshed(told)
        assert len(screen.lines) == 1
        assert "\x1b[2J" not in screen.getvalue()
        assert words.replace("\n", " ").replace("\x1b", "\\x1b") in screen.lines[0]


def test_the_innermost_bar_takes_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    out, told = in_a_file(monkeypatch)
    with told.bar("outer") as outer:
        outer(1, 2)
        with told.bar("inner") as inner:
            inner(3, 4)
            told.tell("waiting")
        told.tell("done")
    assert out.getvalue().splitlines() == [
        "outer: 1 of 2", "inner: 3 of 4", "inner: 3 of 4, waiting", "outer: 1 of 2, done"
    ]  # fmt: skip


def test_words_without_a_bar_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    out, told = in_a_file(monkeypatch)
    told.tell("before")
    with told.bar("asking"):
        pass
    told.tell("after")
    assert out.getvalue() == ""
    screen, drawn = on_a_terminal()
    drawn.tell("before")
    assert screen.getvalue() == ""


def test_nothing_is_shown_where_quiet_was_asked_for() -> None:
    screen = Screen()
    told = Progress(Terminal(file=screen, force_terminal=True, width=WIDTH), quiet=True)
    with told.bar("asking") as step:
        told.tell("2 waiting")
        step(1, 2)
    assert screen.getvalue() == ""


def test_a_bar_that_ends_in_an_error_takes_its_words_along(monkeypatch: pytest.MonkeyPatch) -> None:
    out, told = in_a_file(monkeypatch)
    with pytest.raises(KeyboardInterrupt), told.bar("asking"):
        raise KeyboardInterrupt
    told.tell("late words")
    assert out.getvalue() == ""


def test_words_from_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, told = on_a_terminal()
    with told.bar("asking") as step:
        threads = [threading.Thread(target=lambda n=n: [told.tell(f"{n}") for _ in range(50)]) for n in range(4)]
        for thread in threads:
            thread.start()
        step(1, 2)
        for thread in threads:
            thread.join()
        refreshed(told)
        assert len(screen.lines) == 1 and screen.lines[0][-1] in "0123"
    assert screen.lines == []
