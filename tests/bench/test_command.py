"""`lsmkv bench` from the command line to the files it writes, with real processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lsmkv.cli.main import main
from lsmkv_bench import plans, runner
from lsmkv_bench.results import Outcome, read_report
from lsmkv_bench.worker import Job, Result


def bench(folder: Path, *words: str) -> int:
    return main(["bench", *words, "--path", str(folder)])


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs are noted instead of run."""
    found: list[Job] = []

    def note(job: Job) -> Result:
        found.append(job)
        outcomes = [Outcome(name, 10, 1.0, 1.0, user_bytes=1) for name in job.workloads]
        return Result(outcomes, {})

    monkeypatch.setattr(runner, "spawn", note)
    return found


@pytest.mark.slow
def test_a_small_benchmark_ends_with_a_table_and_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    words = ["--entries", "2000", "--rounds", "1", "--engines", "lsmkv,sqlite3"]
    assert bench(tmp_path, *words, "--json", str(file), "--markdown") == 0
    captured = capsys.readouterr()
    report = read_report(file)
    assert [run.engine for run in report.runs] == ["lsmkv", "sqlite3"]
    for run in report.runs:
        assert [each.workload for each in run.outcomes] == list(plans.DEFAULT_WORKLOADS)
        assert run.case.entries == 2000
    assert set(report.settings) == {"lsmkv", "sqlite3"}
    assert "| fillrandom |" in captured.out
    assert "[2/2] sqlite3" in captured.err
    assert list(tmp_path.iterdir()) == [file]


def test_a_finished_file_is_shown_again_and_another_plan_refused(
    tmp_path: Path, jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "results.json")
    words = ["--entries", "9", "--engines", "lsmkv,sqlite3", "--workloads", "readseq"]
    assert bench(tmp_path, *words, "--rounds", "2", "--json", file) == 0
    assert len(jobs) == 4
    assert bench(tmp_path, *words, "--rounds", "2", "--resume", file) == 0
    assert len(jobs) == 4
    assert bench(tmp_path, *words, "--rounds", "3", "--json", file) == 1
    assert "is of another plan" in capsys.readouterr().err
    values: dict[str, Any] = json.loads(Path(file).read_text())
    values["machine"]["cores"] = "many"
    Path(file).write_text(json.dumps(values))
    assert bench(tmp_path, *words, "--rounds", "2", "--json", file) == 1
    assert "is of another machine" in capsys.readouterr().err
    assert bench(tmp_path, *words, "--resume", file + ".none") == 1
    assert len(jobs) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engines", "lsmkv,nosuch"], "no such engine: nosuch"),
        (["--workloads", "nosuch"], "no such workload: nosuch"),
        (["--keys", "nosuch"], "no such kind of keys: nosuch"),
        (["--value-size", "x"], "no list of numbers"),
        (["--value-size", "0"], "at least 1"),
    ],
)
def test_what_does_not_exist_is_refused(
    tmp_path: Path,
    jobs: list[Job],
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    message: str,
) -> None:
    assert bench(tmp_path, *words) in (1, 2)
    assert message in capsys.readouterr().err
    assert jobs == []


def test_engines_that_are_missing_are_left_out_with_a_note(
    tmp_path: Path,
    jobs: list[Job],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lsmkv_bench import engines

    absent = engines.EngineEntry("no_such_module")
    monkeypatch.setitem(engines.ENGINES, "plyvel", absent)
    words = ["--entries", "9", "--rounds", "1", "--engines", "lsmkv,plyvel"]
    assert bench(tmp_path, *words) == 0
    assert [job.engine for job in jobs] == ["lsmkv"]
    assert "plyvel is not installed and left out: pip install" in capsys.readouterr().err


def test_scale_plans_the_control_after_lsmkv(tmp_path: Path, jobs: list[Job]) -> None:
    words = ["bench", "scale", "--entries", "20,30", "--engines", "lsmkv,sqlite3", "--rounds", "1"]
    assert main([*words, "--path", str(tmp_path)]) == 0
    assert [(job.engine, job.case.entries, job.kind) for job in jobs] == [
        (engine, entries, "scale")
        for entries in (20, 30)
        for engine in ("lsmkv", plans.CONTROL, "sqlite3")
    ]


def test_two_files_are_compared(
    tmp_path: Path, jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(tmp_path / name) for name in ("old.json", "new.json")]
    for file in files:
        assert bench(tmp_path, "--entries", "9", "--engines", "lsmkv", "--json", file) == 0
    capsys.readouterr()
    assert main(["bench", "compare", *files]) == 0
    assert "readseq" in capsys.readouterr().out
