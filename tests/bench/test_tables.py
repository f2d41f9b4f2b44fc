"""Cells of tables are the medians of what was measured, and a dash is what was not."""

from __future__ import annotations

from dataclasses import replace

from lsmkv_bench.results import Latency, Outcome, Report, Run
from lsmkv_bench.tables import Table, case_tables, setting_tables
from tests.bench.synthetic import CASE, outcome, report_of

MIB = 1 << 20


def tables(*runs: tuple[str, int, Outcome]) -> dict[str, Table]:
    made = [Run(engine, CASE, number, [each]) for engine, number, each in runs]
    return {table.title: table for table in case_tables(Report("now", {}, {}, {}, made), CASE)}


def test_ratios_stand_with_their_spread() -> None:
    report = report_of({"lsmkv": {"get": [1, 2]}, "plyvel": {"get": [3, 8]}})
    (times, _cpu) = case_tables(report, CASE)
    assert times.header == ("workload", "lsmkv", "plyvel", "plyvel / lsmkv")
    assert times.rows == [("get", "1.50", "5.50", "3.50x [3.00..4.00]")]


def test_amplifications_are_quotients_and_need_both_sides() -> None:
    full = outcome("fill", 1, disk_bytes=3 * MIB, live_bytes=2 * MIB, written_bytes=10 * MIB,
                   user_bytes=4 * MIB, memory_peak_bytes=7 * MIB)  # fmt: skip
    found = tables(("lsmkv", 1, full), ("plyvel", 1, replace(full, user_bytes=0, live_bytes=None)))
    assert found["Disk, MiB"].rows == [("fill", "3.00", "3.00")]
    assert found["Space amplification"].rows == [("fill", "1.50", "-")]
    assert found["Write amplification"].rows == [("fill", "2.50", "-")]
    assert found["Peak memory, MiB"].rows == [("fill", "7.00", "7.00")]


def test_what_nobody_measured_has_no_table() -> None:
    assert list(tables(("lsmkv", 1, outcome("get", 1)))) == [
        "Time, us per operation",
        "CPU, us per operation",
    ]


def test_latencies_are_medians_but_the_longest_is_of_all() -> None:
    rounds = [Latency(value, 2, 3, 4, 10 * value) for value in (1.0, 5.0, 2.0)]
    found = tables(
        *(("lsmkv", place + 1, outcome("get", 1, latency=each)) for place, each in
          enumerate(rounds)),
        ("plyvel", 1, outcome("get", 1)),
    )  # fmt: skip
    assert found["Latency of single operations, us"].rows == [
        ("get", "lsmkv", "2.00", "2.00", "3.00", "4.00", "50.0")
    ]


def test_shapes_are_of_the_last_round() -> None:
    found = tables(
        ("lsmkv", 2, outcome("fill", 1, tree_shape="new")),
        ("lsmkv", 1, outcome("fill", 1, tree_shape="old")),
    )
    assert found["Shape of the tree"].rows == [("fill", "lsmkv", "new")]


def test_settings_machine_and_plan_are_all_there() -> None:
    report = Report("now", {"cpu": "x"}, {"rounds": 1500, "engines": ["a", "b"]}, {"a": {"s": "1"}},
                    [])  # fmt: skip
    found = {table.title: table.rows for table in setting_tables(report)}
    assert found == {
        "Settings": [("a", "s", "1")],
        "Machine": [("cpu", "x")],
        "Plan": [("rounds", "1,500"), ("engines", "a, b")],
    }
