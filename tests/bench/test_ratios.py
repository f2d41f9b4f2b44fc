"""Ratios pair rounds, miss nothing that is there, and invent nothing that is not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lsmkv_bench.ratios import (
    BETTER,
    Row,
    Spread,
    better,
    cases_of,
    engines_of,
    main_case,
    paired,
    rows_of,
    series_of_cases,
    spread,
    standing,
)
from lsmkv_bench.results import Case, Report, Run
from tests.bench.synthetic import CASE, outcome, report_of


def only_row(report: Report) -> Row:
    (row,) = rows_of(report)
    return row


def test_a_spread_is_median_and_ends() -> None:
    assert spread([]) is None
    assert spread([5.0]) == Spread(5, 5, 5, 1)
    assert spread([9.0, 1.0, 2.0, 4.0]) == Spread(3, 1, 9, 4)


def test_ratios_are_of_the_same_round_and_not_of_the_medians() -> None:
    """Round 2 was slow for both: the ratio of medians would be 2, every round says otherwise."""
    row = only_row(report_of({"lsmkv": {"fillseq": [1, 4, 2]}, "plyvel": {"fillseq": [3, 4, 10]}}))
    assert row.times["lsmkv"].median == pytest.approx(2)
    assert row.times["plyvel"].median == pytest.approx(4)
    found = row.ratios["plyvel"]
    assert [found.median, found.low, found.high] == pytest.approx([3, 1, 5])
    assert found.rounds == 3


def test_a_round_that_one_side_lacks_is_left_out() -> None:
    row = only_row(
        report_of({"lsmkv": {"fillseq": [1, None, 2]}, "plyvel": {"fillseq": [5, 9, None]}})
    )
    assert row.ratios["plyvel"] == Spread(pytest.approx(5), pytest.approx(5), pytest.approx(5), 1)
    assert row.times["plyvel"].rounds == 2
    assert paired({1: 2.0}, {2: 1.0}) is None


def test_a_workload_that_one_side_lacks_has_no_ratio() -> None:
    rows = rows_of(report_of({"lsmkv": {"a": [1]}, "plyvel": {"b": [1]}}))
    assert [(row.workload, row.ratios) for row in rows] == [("a", {}), ("b", {})]


def test_better_takes_the_faster_of_each_round() -> None:
    assert better([{1: 4.0, 2: 2.0, 3: 9.0}, {1: 3.0, 2: 6.0}]) == {1: 3.0, 2: 2.0}
    times = {
        "lsmkv": {"get": [1, 1, 1]}, "plyvel": {"get": [4, 2, 5]}, "rocksdict": {"get": [3, 6, 7]},
    }  # fmt: skip
    found = only_row(report_of(times)).ratios[BETTER]
    assert [found.median, found.low, found.high] == pytest.approx([3, 2, 5])
    del times["plyvel"]
    assert BETTER not in only_row(report_of(times)).ratios


def test_the_drain_is_added_before_the_ratio() -> None:
    times = {"lsmkv": {"fill": [1, 1]}, "plyvel": {"fill": [2, 2]}, "lmdb": {"fill": [4, 4]}}
    row = only_row(report_of(times, drains={"lsmkv": 1, "plyvel": 6}))
    assert row.times_with_drain["lsmkv"].median == pytest.approx(2)
    assert row.ratios_with_drain["plyvel"].median == pytest.approx(4)
    assert row.ratios["plyvel"].median == pytest.approx(2)
    assert "lmdb" not in row.times_with_drain
    assert "lmdb" not in row.ratios_with_drain


def test_outcomes_without_operations_or_time_do_not_count() -> None:
    report = report_of({"lsmkv": {"a": [1]}})
    empty = [replace(outcome("a", 1), operations=0), replace(outcome("b", 1), seconds=0.0)]
    row = only_row(replace(report, runs=[*report.runs, Run("plyvel", CASE, 1, empty)]))
    assert set(row.times) == {"lsmkv"}


def test_lsmkv_comes_first_and_peers_as_they_appear() -> None:
    report = report_of({"b": {"x": [1]}, "a": {"x": [1]}, "lsmkv": {"x": [1]}})
    assert engines_of(report) == ["lsmkv", "b", "a"]


def test_a_standing_counts_only_what_every_round_says() -> None:
    times = {
        "lsmkv": {"a": [1, 1], "b": [1, 1], "c": [1, 1], "d": [1, 1]},
        "plyvel": {"a": [8, 8], "b": [0.5, 0.5], "c": [0.5, 2], "d": [2, 2]},
    }
    found = standing(rows_of(report_of(times)), "plyvel")
    assert found is not None
    assert (found.workloads, found.ahead, found.behind) == (4, 2, 1)
    assert found.mean == pytest.approx(math.prod([8, 0.5, 1.25, 2]) ** (1 / 4))
    assert (found.lowest[0], found.highest[0]) == ("b", "a")
    assert standing(rows_of(report_of(times)), "lmdb") is None


def test_the_main_case_has_the_most_workloads() -> None:
    small, large = Case(10, "decimal", 1), Case(20, "decimal", 1)
    first = report_of({"lsmkv": {"a": [1]}}, small)
    second = report_of({"lsmkv": {"a": [1], "b": [1]}}, large)
    both = replace(first, runs=first.runs + second.runs)
    assert cases_of(both) == [small, large]
    assert main_case(rows_of(both)) == large
    assert main_case([]) is None


def test_series_differ_in_one_field() -> None:
    a, b, c = Case(10, "decimal", 1), Case(20, "decimal", 1), Case(10, "decimal", 9)
    lone = Case(30, "binary", 1)
    assert series_of_cases([b, a, c, lone], "entries") == [[a, b]]
    assert series_of_cases([c, b, a, lone], "value_size") == [[a, c]]
