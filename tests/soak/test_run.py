"""The runner of the soak: it goes on where it stopped, adds up, and notices every way to fail."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.soak import run
from tests.soak.ledger import Entry, Ledger
from tests.soak.part import EXTRA, NAMES, Counts, Part, load


def silent(text: str) -> None:
    pass


def run_case(case: int, directory: Path) -> Counts:
    assert not list(directory.iterdir())
    if case == 3:
        raise ValueError("the third")
    if case == 5:
        os._exit(7)
    if case == 7:
        time.sleep(3600)
    print("noise between the lines")
    return {"steps": 10 + case}


PART = Part("steps", run_case)


@pytest.fixture(autouse=True)
def _this_module_is_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXTRA, "test_run")


def turn(ledger: Ledger, seconds: float = 60.0, count: int = 10_000) -> bool:
    return run.Turn(ledger, "test_run", PART, "s1", silent).run(seconds, count)


def test_a_turn_ends_when_enough_is_done_and_the_next_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert turn(Ledger(path), count=15)
    ledger = Ledger(path)
    assert (ledger.next_case("test_run", "s1"), ledger.next_case("test_run", "s2")) == (2, 0)
    assert turn(ledger, seconds=0.0)
    totals = Ledger(path).totals("test_run", "s1")
    assert (totals["cases"], totals["steps"], totals["failures"]) == (3, 33, 0)


@pytest.mark.parametrize(
    ("first", "story"), [(3, "the third"), (5, "status 7"), (7, "nothing happened")]
)
def test_what_fails_dies_or_hangs_is_told_and_not_run_again(
    first: int, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HANG_S", 2.0)
    ledger = Ledger(None)
    ledger.add(Entry("test_run", "s1", 0, first - 1, 0.0))
    told: list[str] = []
    assert not run.Turn(ledger, "test_run", PART, "s1", told.append).run(60.0, 10_000)
    assert story in (ledger.entries[-1].failure or "")
    assert f"case {first}" in told[-1]
    assert ledger.next_case("test_run", "s1") == first + 1


def test_a_line_that_was_cut_off_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    Ledger(path).add(Entry("a", "s1", 0, 4, 1.0, {"x": 5}))
    with path.open("a") as file:
        file.write('{"part": "a", "sou')
    ledger = Ledger(path)
    ledger.add(Entry("a", "s2", 0, 0, 1.0, {"x": 2}))
    assert Ledger(path).totals("a") == {"cases": 6, "seconds": 2, "failures": 0, "x": 7}


def test_every_part_is_there() -> None:
    for name in NAMES:
        assert load(name).unit
