"""The command: what it prints, what it returns, what it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lsmkv_cluster.node import Node
from tests.sim import run
from tests.sim.canaries import CANARIES, Canary, replaced


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A canary that the first seed finds: no node takes any input."""

    @contextmanager
    def plant() -> Iterator[None]:
        step = Node.step
        with replaced(Node, "step", lambda self, now, inputs: step(self, now, ())):
            yield

    monkeypatch.setitem(CANARIES, "deaf", Canary("deaf", "A node hears.", plant))


def test_seeds_are_run_tallied_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "results"
    command = ["--jobs", "1", "--resume", str(path), "--first", "8"]
    assert run.main([*command, "--seeds", "1"]) == 0
    out, err = capsys.readouterr()
    assert "1/1 seeds" in err
    assert "seeds             1, 0 failed" in out
    assert run.main([*command, "--seeds", "2"]) == 0
    out, err = capsys.readouterr()
    assert "1/1 seeds" in err  # the other one was there
    assert "seeds             2, 0 failed" in out
    path.write_text(path.read_text().replace('"sources": "', '"sources": "x'))
    assert run.main([*command, "--seeds", "2"]) == 2
    assert "other sources" in capsys.readouterr().err


def test_one_seed_aloud(capsys: pytest.CaptureFixture[str]):
    assert run.main(["--seed", "8", "--verbose"]) == 0
    out = capsys.readouterr().out
    assert "keyspaces" in out
    assert "phase quiet" in out
    assert "no promise was broken" in out


def test_a_failed_seed_tells_its_story(deaf: None, capsys: pytest.CaptureFixture[str]):
    assert run.main(["--seed", "8", "--canary", "deaf"]) == 1
    out = capsys.readouterr().out
    assert "seed 8 failed" in out
    assert "again: python -m tests.sim.run --seed 8 --verbose" in out


def test_a_canary_is_found(deaf: None, capsys: pytest.CaptureFixture[str]):
    command = ["--canary", "deaf", "--first", "8", "--seeds", "2", "--jobs", "1"]
    assert run.main(command) == 0
    assert "deaf: found by seed 8, run 1" in capsys.readouterr().out


def test_a_canary_that_harms_nobody_is_not_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    @contextmanager
    def plant() -> Iterator[None]:
        yield

    monkeypatch.setitem(CANARIES, "tame", Canary("tame", "Nothing.", plant))
    assert run.main(["--canary", "tame", "--first", "8", "--seeds", "1", "--jobs", "1"]) == 1
    assert "tame: not found in 1 seeds" in capsys.readouterr().out


def test_processes_share_the_work():
    verdicts = sorted(verdict.seed for verdict, _ in run.run_seeds([8, 9], jobs=2))
    assert verdicts == [8, 9]
