"""The progress bar: what it says, how often it is drawn, and that a pipe gets none of it."""

from __future__ import annotations

import io

from lsmkv.cli.progress import ERASE_LINE, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_text_with_a_total() -> None:
    clock = Clock()
    progress = Progress("loading", 200, stream=Terminal(), clock=clock)
    clock.now = 2.0
    progress.update(50, 3000)
    assert progress.text(50) == f"loading  [{'#' * 7:<30}]  25%  3,000 entries  1,500/s"
    assert progress.text(900) == f"loading  [{'#' * 30}] 100%  3,000 entries  1,500/s"


def test_text_without_a_total() -> None:
    clock = Clock()
    progress = Progress("dumping", stream=Terminal(), clock=clock)
    clock.now = 1.0
    progress.update(0, 10)
    assert progress.text(0) == "dumping  10 entries  10/s"


def test_drawn_ten_times_a_second_at_most_and_wiped_at_the_end() -> None:
    stream, clock = Terminal(), Clock()
    with Progress("loading", 1000, stream=stream, clock=clock) as progress:
        for step in range(1000):
            clock.now = step / 1000
            progress.update(step, step)
    drawn = stream.getvalue().split(ERASE_LINE)
    assert 8 <= len(drawn) - 2 <= 10
    assert drawn[-1] == ""


def test_silent_unless_on_a_terminal() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress("loading", 10, stream=stream, clock=clock) as progress:
        clock.now = 5.0
        progress.update(5, 50)
        assert progress.rate == 10
    assert stream.getvalue() == ""
