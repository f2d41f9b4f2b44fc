"""The micro-benchmarks of kernels compile, do their work, and are reported beside their floors."""

from __future__ import annotations

import re

import pytest
from benchmarks.kernels.case import Case, OperationClock, Run, Scale, Unavailable, wrapping_sum
from benchmarks.kernels.cases import all_cases
from benchmarks.kernels.native import LIBRARY_FLAGS, Native, build
from benchmarks.kernels.report import make_rows, render

from tests.support import c_program

SMALL = Scale(far_size_bytes=1 << 18, entries_few=200, entries_many=300)
CASES = all_cases(SMALL)
OPERATIONS = 160  # a multiple of every run of blocks; more than some inputs have items


@pytest.fixture(scope="module")
def native(tmp_path_factory) -> Native:
    return build(tmp_path_factory.mktemp("kernels"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_every_benchmark_returns_the_checksum_of_its_work(case, native):
    """Twice, because rounds follow one another; and with another number of operations."""
    try:
        work = case.create(native)
    except Unavailable as reason:
        pytest.skip(str(reason))
    try:
        for operations in (OPERATIONS, OPERATIONS, OPERATIONS // 2):
            run = work.run(operations)
            assert run.checksum == case.expected(operations)
    finally:
        work.close()


def test_work_that_is_left_out_changes_the_checksum():
    """An expectation that did not depend on the number of operations could not fail."""
    for case in CASES:
        assert case.expected(OPERATIONS) != case.expected(OPERATIONS // 2), case.name


def test_names_are_unique_and_floors_exist():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert {floor for case in CASES for floor in case.floors} <= set(names)


def test_the_kernels_are_compiled_as_in_the_product():
    setup = (c_program.ROOT / "setup.py").read_text()
    assert re.search(r'else \["-O3", "-g0", "-DNDEBUG"\]', setup)
    assert {"-O3", "-DNDEBUG", "-fvisibility=hidden"} <= set(LIBRARY_FLAGS)


def test_the_clock_counts_per_operation():
    clock = OperationClock()
    clock.add(Run(elapsed_ns=5000, checksum=0), operations=100)
    clock.add(Run(elapsed_ns=9000, checksum=0), operations=100)
    assert clock() == pytest.approx(140e-9)


def test_sums_begin_again_and_wrap():
    assert wrapping_sum([1, 2, 3], 2) == 3
    assert wrapping_sum([1, 2, 3], 7) == 13
    assert wrapping_sum([2**63], 3) == 2**63


def make_case(kernel: str, name: str, *floors: str) -> Case:
    return Case(kernel, name, 1, lambda native: pytest.fail("not run"), lambda n: n, floors)


def test_the_report_sets_each_kernel_beside_each_of_its_floors():
    cases = [
        make_case("log", "append", "copy", "write"),
        make_case("log", "left out", "copy"),
        make_case("memory", "scan"),
        make_case("floor", "copy"),
    ]
    rows = make_rows(cases, {"append": 30.0, "scan": 1234.5, "copy": 12.0})
    assert render(rows).splitlines() == [
        "kernel  ns per operation  floor    ns  ratio",
        "append              30.0  copy   12.0    2.5",
        "append              30.0  write     -      -",
        "scan               1,234  -         -      -",
    ]
