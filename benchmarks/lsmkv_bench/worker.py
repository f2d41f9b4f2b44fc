"""One run, in a process of its own: `python -m lsmkv_bench.worker` with a Job as JSON on standard
input, a Result as JSON on standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lsmkv_bench.datasets import make_dataset
from lsmkv_bench.engines import make_engine
from lsmkv_bench.laboratory import Effort, Laboratory
from lsmkv_bench.results import Case, Outcome
from lsmkv_bench.workloads import run_workloads


@dataclass(frozen=True)
class Job:
    """What to run, and in which empty folder. `pace`: bytes per second, where a job needs one."""

    engine: str
    case: Case
    workloads: list[str]
    effort: Effort
    folder: str
    kind: str = "standard"  # or "scale"
    pace: float = 0.0


@dataclass(frozen=True)
class Result:
    """What came of it."""

    outcomes: list[Outcome]
    settings: dict[str, str] = field(default_factory=dict)


def read_job(values: Mapping[str, Any]) -> Job:
    """From the JSON of asdict(job)."""
    return Job(**{**values, "case": Case(**values["case"]), "effort": Effort(**values["effort"])})


def run_job(job: Job) -> Result:
    """In this process."""
    folder = Path(job.folder)
    if job.engine == "db_bench":
        from lsmkv_bench.engines import db_bench

        return Result(db_bench.run(job.case, job.workloads, folder), db_bench.settings())
    if job.kind == "scale":
        from lsmkv_bench import scale_worker

        return scale_worker.run(job)
    engine = make_engine(job.engine)
    lab = Laboratory(engine, make_dataset(job.case), job.effort, folder)
    run_workloads(lab, job.workloads)
    return Result(lab.outcomes, engine.settings())


def main() -> int:
    result = run_job(read_job(json.load(sys.stdin)))
    json.dump(asdict(result), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
