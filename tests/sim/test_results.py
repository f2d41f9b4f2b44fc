"""Verdicts survive an interruption, and are never taken for those of other code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.report import Tally
from tests.sim.results import OtherSourcesError, Results
from tests.sim.simulation import Verdict


def verdict(seed: int, *violations: str) -> Verdict:
    return Verdict(
        seed,
        list(violations),
        endings={"done": 90, "unknown": 10},
        hits={"kill": 2},
        touched=30,
        excused=1,
        virtual_s=20.0,
        cpu_s=0.5,
    )


def test_what_was_added_is_there_again(tmp_path: Path):
    path = tmp_path / "folder" / "results"
    first = Results(path, "code")
    first.add(verdict(3))
    first.add(verdict(4, "broken"))
    assert Results(path, "code").known == {3: verdict(3), 4: verdict(4, "broken")}


def test_a_last_line_that_was_cut_off_is_forgotten(tmp_path: Path):
    path = tmp_path / "results"
    results = Results(path, "code")
    results.add(verdict(3))
    results.add(verdict(4))
    path.write_text(path.read_text()[:-5])
    again = Results(path, "code")
    assert set(again.known) == {3}
    again.add(verdict(5))
    assert set(Results(path, "code").known) == {3, 5}


def test_results_of_other_code_are_refused(tmp_path: Path):
    path = tmp_path / "results"
    Results(path, "code").add(verdict(3))
    with pytest.raises(OtherSourcesError):
        Results(path, "other code")


def test_without_a_file_nothing_is_kept(tmp_path: Path):
    Results(None, "code").add(verdict(1))
    assert list(tmp_path.iterdir()) == []


def test_a_tally_adds_up_and_reads_well():
    ill = verdict(9)
    ill.had_to_succeed, ill.succeeded = 1000, 998
    tally = Tally.of([verdict(3), verdict(4, "broken"), ill])
    assert (tally.seeds, tally.failed, tally.excused) == (3, [4], 3)
    assert not tally.is_available
    text = str(tally)
    assert "3, 1 failed" in text
    assert "270 done, 30 unknown; 30.0% touched" in text
    assert "998 of 1000 calls succeeded (99.800%)" in text
    assert "0.500 s of one core per seed, 40 simulated seconds in one" in text
    assert "     6 kill\n" in text
    ill.succeeded = 999
    assert Tally.of([ill]).is_available


def test_a_tally_counts_seeds_in_which_the_topology_changed():
    verdicts = [
        Verdict(0, hits={"kill": 2}),
        Verdict(1, hits={"a node joins": 2, "kill": 1}),
        Verdict(2, hits={"a node leaves": 1, "a node joins": 1}),
    ]
    text = str(Tally.of(verdicts))
    assert "topology changed  in 2 seeds (66.7%)" in text
    assert "     3 a node joins\n" in text
    assert "     3 kill\n" in text


def test_results_of_other_runs_are_refused(tmp_path: Path):
    path = tmp_path / "results"
    Results(path, "code", "deletes").add(verdict(3))
    assert Results(path, "code", "deletes").known == {3: verdict(3)}
    with pytest.raises(OtherSourcesError):
        Results(path, "code")
