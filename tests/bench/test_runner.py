"""The runner: saves after each step, resumes, goes on after a failure, and tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsmkv_bench import runner
from lsmkv_bench.plans import CONTROL, Plan, Request, make_plan, make_scale_plan
from lsmkv_bench.results import Latency, Outcome, Report
from lsmkv_bench.runner import Finished, StepError
from lsmkv_bench.worker import Job, Result

PLAN = make_plan(Request(entries=9, workloads=("readseq",), rounds=2), ["lsmkv", "lmdb"])


class Bench:
    """Jobs that take no time; `broken` engines fail, `wrong` ones have other results."""

    def __init__(self, folder: Path, broken: str = "", wrong: str = "") -> None:
        self.folder, self.broken, self.wrong = folder, broken, wrong
        self.jobs: list[Job] = []
        self.saved: list[Report] = []
        self.told: list[str] = []

    def run_job(self, job: Job) -> Result:
        self.jobs.append(job)
        assert list(Path(job.folder).iterdir()) == []
        if job.engine == self.broken:
            raise StepError("it broke")
        check = "2" if job.engine == self.wrong else "1"
        outcomes = [
            Outcome(name, 10, 2.0, 0.0, user_bytes=50, check=check) for name in job.workloads
        ]
        return Result(outcomes, {"version": "1"})

    def run(self, plan: Plan = PLAN, report: Report | None = None) -> Finished:
        return runner.run_plan(
            plan,
            report or Report("now", {}, plan.as_json(), {}, []),
            run_job=self.run_job,
            folder=self.folder,
            save=self.saved.append,
            tell=self.told.append,
            clock=lambda: 0.0,
        )


def test_every_step_is_run_and_saved(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    finished = bench.run()
    assert finished.complaints == []
    assert [job.engine for job in bench.jobs] == ["lsmkv", "lmdb"] * 2
    assert [len(report.runs) for report in bench.saved] == [1, 2, 3, 4]
    assert finished.report == bench.saved[-1]
    assert finished.report.settings == {"lsmkv": {"version": "1"}, "lmdb": {"version": "1"}}
    assert bench.told[0].startswith("[1/4] lsmkv 9-decimal-100, round 1")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_plan_goes_on_where_it_was(tmp_path: Path) -> None:
    first, second = Bench(tmp_path), Bench(tmp_path)
    first.run()
    second.run(report=first.saved[1])
    assert [(job.engine) for job in second.jobs] == ["lsmkv", "lmdb"]
    assert len(second.saved[-1].runs) == 4
    assert second.told[0].startswith("[3/4] ")


def test_a_failed_step_is_left_out_and_told(tmp_path: Path) -> None:
    finished = Bench(tmp_path, broken="lmdb").run()
    assert {run.engine for run in finished.report.runs} == {"lsmkv"}
    assert finished.complaints == [
        f"lmdb, 9-decimal-100, round {number}: it broke" for number in (1, 2)
    ]


def test_different_results_are_told(tmp_path: Path) -> None:
    [complaint] = Bench(tmp_path, wrong="lmdb").run().complaints
    assert complaint.startswith("results differ: readseq (9-decimal-100): ")


def test_the_control_gets_its_pace_or_fails(tmp_path: Path) -> None:
    plan = make_scale_plan([9], ["lsmkv"], ["sustainedfill"], 1)
    bench = Bench(tmp_path)
    bench.run(plan)
    assert [(job.engine, job.pace) for job in bench.jobs] == [("lsmkv", 0), (CONTROL, 25)]
    broken = Bench(tmp_path, broken="lsmkv").run(plan)
    assert "whose pace" in broken.complaints[1]


@pytest.mark.parametrize(
    ("seconds", "end"), [(None, "round 1"), (59.6, "60 s left"), (600, "10 min left")]
)
def test_progress_says_what_is_left(seconds: float | None, end: str) -> None:
    from lsmkv_bench.plans import steps

    assert runner.progress_line(steps(PLAN)[0], 0, 4, seconds).endswith(end)


def test_a_job_crosses_to_its_process_and_back(tmp_path: Path) -> None:
    from lsmkv_bench.laboratory import Effort

    effort = Effort(reads=50, latencies=20)
    job = Job("lsmkv", PLAN.cases[0].case, ["fillrandom", "readseq"], effort, str(tmp_path))
    result = runner.spawn(job)
    assert [outcome.workload for outcome in result.outcomes] == job.workloads
    assert isinstance(result.outcomes[0].latency, Latency)
    with pytest.raises(StepError, match="nosuch"):
        runner.spawn(Job("nosuch", job.case, [], effort, str(tmp_path)))
