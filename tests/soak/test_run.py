"""The runner of the soak: it goes on where it stopped, adds up, and notices every way to fail."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from tests.soak import run
from tests.soak.ledger import Entry, Ledger
from tests.soak.part import EXTRA, NAMES, Counts, Part, load

LASTING = "LSMKV_SOAK_LASTING"  # makes this module a lasting part, in the process of its cases


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


def run_lasting(case: int, directory: Path, seconds: float) -> Counts:
    assert seconds > 0
    with (directory / "cases").open("a") as file:
        file.write(f"{case} ")
    return {"steps": 11}


PART = Part("steps", run_case, run_lasting if os.environ.get(LASTING) else None)


@pytest.fixture(autouse=True)
def _this_module_is_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXTRA, "test_run")


def soak(ledger: Ledger, directory: Path, say: run.Say = silent) -> run.Soak:
    return run.Soak(ledger, "s1", directory, say)


def turn(ledger: Ledger, directory: Path, seconds: float = 60.0, count: int = 10_000) -> bool:
    return run.Turn(soak(ledger, directory), "test_run").run(seconds, count)


def test_a_turn_ends_when_enough_is_done_and_the_next_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert turn(Ledger(path), tmp_path, count=15)
    ledger = Ledger(path)
    assert (ledger.next_case("test_run", "s1"), ledger.next_case("test_run", "s2")) == (2, 0)
    assert turn(ledger, tmp_path, seconds=0.0)
    totals = Ledger(path).totals("test_run", "s1")
    assert (totals["cases"], totals["steps"], totals["failures"]) == (3, 33, 0)


@pytest.mark.parametrize(
    ("first", "story"), [(3, "the third"), (5, "status 7"), (7, "nothing happened")]
)
def test_what_fails_dies_or_hangs_is_told_and_not_run_again(
    first: int, story: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "HANG_S", 2.0)
    ledger = Ledger(None)
    ledger.add(Entry("test_run", "s1", 0, first - 1, 0.0))
    told: list[str] = []
    assert not run.Turn(soak(ledger, tmp_path, told.append), "test_run").run(60.0, 10_000)
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


def test_a_failure_stays_until_the_sources_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "LEDGER", tmp_path / "soak" / "log")
    monkeypatch.setattr(run, "NAMES", ("test_run",))
    monkeypatch.setattr(run, "sources_digest", lambda folders: "s1")
    Ledger(run.LEDGER).add(Entry("test_run", "s1", 0, 2, 0.0))
    assert run.main(["--count", "100"]) == 1
    assert "test_run, case 3 failed" in capsys.readouterr().out
    Ledger(run.LEDGER).add(Entry("test_run", "s1", 4, 8, 0.0, {"steps": 100}))
    assert run.main(["--count", "100"]) == 1  # nothing is left to do, and it is not forgotten
    assert "test_run, case 3 failed" in capsys.readouterr().out
    assert run.main(["--totals"]) == 1
    monkeypatch.setattr(run, "sources_digest", lambda folders: "s2")
    assert run.main(["--totals"]) == 0


def test_what_decides_a_case_is_among_the_sources() -> None:
    for name in run.FOLDERS:
        assert (run.ROOT / name).exists()
    parts = [run.ROOT / "tests/soak" / f"{name}.py" for name in NAMES]
    imports = set().union(
        *(set(re.findall(r"^from (tests\.\S+)", p.read_text(), re.M)) for p in parts)
    )
    for module in imports:
        path = module.replace(".", "/") + ".py"
        assert any(path.startswith(name) for name in run.FOLDERS), path


def test_a_part_that_is_lasting_finds_what_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LASTING, "1")
    ledger = Ledger(None)
    assert turn(ledger, tmp_path, count=11)
    assert turn(ledger, tmp_path, count=22)
    assert (tmp_path / "test_run" / "cases").read_text() == "0 1 2 "


def test_every_part_is_there() -> None:
    for name in NAMES:
        assert load(name).unit
