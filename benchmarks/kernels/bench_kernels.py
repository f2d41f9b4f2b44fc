"""Every case under pytest-benchmark: rounds of many operations, figures per operation."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.kernels.case import FULL, OperationClock, Unavailable
from benchmarks.kernels.cases import all_cases
from benchmarks.kernels.native import Native

CASES = {case.name: case for case in all_cases(FULL)}
CLOCK = OperationClock()
WARMUP_ROUNDS = 1


@pytest.mark.benchmark(timer=CLOCK, disable_gc=True)
@pytest.mark.parametrize("name", CASES)
def bench(name: str, native: Native, benchmark: Any, measured_ns: dict[str, float]) -> None:
    case = CASES[name]
    try:
        work = case.create(native)
    except Unavailable as reason:
        pytest.skip(str(reason))

    def one_round() -> int:
        run = work.run(case.operations)
        CLOCK.add(run, case.operations)
        return run.checksum

    benchmark.group = case.kernel
    benchmark.extra_info.update(operations_per_round=case.operations, floors=list(case.floors))
    try:
        checksum = benchmark.pedantic(one_round, rounds=case.rounds, warmup_rounds=WARMUP_ROUNDS)
    finally:
        work.close()
    assert checksum == case.expected(case.operations)
    measured_ns[name] = benchmark.stats["min"] * 1e9
