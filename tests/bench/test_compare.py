"""Only what lies beyond the spread of both reports has changed."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from lsmkv_bench.compare import FASTER, SAME, SLOWER, UNKNOWN, changes, render, warnings
from lsmkv_bench.results import Case
from tests.bench.synthetic import report_of


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ([4, 5, 6], [1, 2, 3], FASTER),
        ([1, 2, 3], [4, 5, 6], SLOWER),
        ([4, 5, 6], [1, 2, 4], SAME),
        ([1, 2, 4], [4, 5, 6], SAME),
        ([4, 5], [1], UNKNOWN),
        ([4], [1, 2], UNKNOWN),
    ],
)
def test_verdicts(old: list[float], new: list[float], verdict: str) -> None:
    (change,) = changes(report_of({"lsmkv": {"get": old}}), report_of({"lsmkv": {"get": new}}))
    assert change.verdict == verdict


def test_times_and_speedup_are_of_the_medians() -> None:
    text = render(
        report_of({"lsmkv": {"get": [5, 4, 6]}}), report_of({"lsmkv": {"get": [2, 3, 2]}})
    )
    line = next(line for line in text.splitlines() if line.startswith("get"))
    assert line.split() == ["get", "lsmkv", "faster", "5.00", "[4.00..6.00]", "2.00",
                            "[2.00..3.00]", "2.50x"]  # fmt: skip
    assert text.endswith("1 faster; if nothing had changed, chance would mark about 0.1")


def test_chance_counts_the_orders_that_part_the_reports() -> None:
    """Of the orders of as many equal times: counted one by one."""

    def chance(old_count: int, new_count: int) -> float:
        (change,) = changes(
            report_of({"lsmkv": {"get": [1] * old_count}}),
            report_of({"lsmkv": {"get": [1] * new_count}}),
        )
        return change.chance

    for old_count, new_count in ((2, 2), (3, 2), (3, 4)):
        orders = set(permutations("o" * old_count + "n" * new_count))
        parted = {"o" * old_count + "n" * new_count, "n" * new_count + "o" * old_count}
        assert chance(old_count, new_count) == pytest.approx(len(parted) / len(orders))
    assert chance(1, 5) == 0


def test_cases_are_not_mixed() -> None:
    times = {"lsmkv": {"get": [1.0, 1.0]}}
    old, new = report_of(times), report_of(times, Case(5, "binary", 1))
    assert changes(old, new) == []
    assert render(old, new).endswith("nothing in common")
    assert warnings(old, new) == ["1 time only in the old report", "1 time only in the new report"]


def test_equal_surroundings_warn_of_nothing() -> None:
    report = report_of({"lsmkv": {"get": [1, 2]}})
    assert warnings(report, report) == []
    assert "warning" not in render(report, report)


def test_other_machines_settings_and_plans_are_named() -> None:
    old = report_of({"lsmkv": {"get": [1, 2]}, "plyvel": {"get": [1, 2]}})
    new = replace(
        old,
        machine={**old.machine, "cpu": "Other"},
        settings={"lsmkv": {**old.settings["lsmkv"], "cache": "1 MiB"}},
        plan={"rounds": 2, "entries": 7},
    )
    assert warnings(old, new) == [
        "machine differs: cpu: Example 9000, 2 cores -> Other",
        "setting of lsmkv differs: cache: 256 MiB -> 1 MiB",
        "plan differs: entries: - -> 7",
    ]
    assert "warning: machine differs" in render(old, new)
