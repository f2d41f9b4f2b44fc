"""Charts show the numbers of the report, at the places where their scales put them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_bench.charts import (
    bar_chart,
    highest_of_families,
    metric_values,
    ratio_chart,
    series_of,
    time_chart,
)
from lsmkv_bench.curves import (
    growth_chart,
    latency_chart,
    latency_points,
    nines,
    percentile_points,
    value_size_chart,
)
from lsmkv_bench.ratios import BETTER, cases_of, collect, rows_of, series_of_cases
from lsmkv_bench.results import Case, Latency
from lsmkv_bench.scene import Box, Curve, Dot, Label, Scene
from lsmkv_bench.tables import DISK
from tests.bench.synthetic import CASE, TYPICAL, large_report, outcome, report_of

TIMES = {
    "lsmkv": {"fillseq": [1, 1], "get": [1, 1]},
    "plyvel": {"fillseq": [4, 2], "get": [0.5, 0.5]},
    "rocksdict": {"fillseq": [3, 3]},
}


def texts(scene: Scene | None) -> list[str]:
    assert scene is not None
    return [mark.text for mark in scene.marks if isinstance(mark, Label)]


def dots(scene: Scene | None) -> dict[str, Dot]:
    """By the beginning of their notes: "workload, engine"."""
    assert scene is not None
    found = [mark for mark in scene.marks if isinstance(mark, Dot) and mark.note]
    return {dot.note.split(":")[0]: dot for dot in found}


def test_engines_differ_in_tone_and_shape() -> None:
    series = series_of(large_report())
    assert series[0].name == "lsmkv"
    assert len({each.tone for each in series}) == len({each.shape for each in series}) == 5


def test_the_ratio_chart_has_every_ratio_in_place() -> None:
    report = report_of(TIMES)
    scene = ratio_chart(report, rows_of(report))
    marks = dots(scene)
    assert set(marks) == {"fillseq, plyvel", "fillseq, rocksdict", "get, plyvel"}
    assert marks["fillseq, plyvel"].note.endswith("2.00 to 4.00 in 2 rounds")
    assert marks["fillseq, plyvel"].x == pytest.approx(marks["fillseq, rocksdict"].x)
    assert marks["get, plyvel"].x < marks["fillseq, plyvel"].x
    for row in rows_of(report):
        for found in row.ratios.values():
            assert any(text.startswith(f"{found.median:.2f}") for text in texts(scene))
    for word in BETTER.split(" ", 1):
        assert word in texts(scene)


def test_one_line_marks_where_both_are_equal() -> None:
    report = report_of({"lsmkv": {"a": [1], "b": [1]}, "plyvel": {"a": [1], "b": [4]}})
    scene = ratio_chart(report, rows_of(report))
    assert scene is not None
    (even,) = [mark for mark in scene.marks if getattr(mark, "width", 0) == 1.5]
    assert dots(scene)["a, plyvel"].x == pytest.approx(even.x1)  # type: ignore[union-attr]


def test_without_peers_there_are_times_but_no_ratios() -> None:
    report = report_of({"lsmkv": {"get": [1]}})
    assert ratio_chart(report, rows_of(report)) is None
    assert set(dots(time_chart(report, rows_of(report)))) == {"get, lsmkv"}
    assert time_chart(report, []) is None


def test_a_hollow_mark_is_the_time_with_the_drain() -> None:
    report = report_of({"lsmkv": {"fill": [1]}}, drains={"lsmkv": 3})
    scene = time_chart(report, rows_of(report))
    assert scene is not None
    hollow, full = sorted(
        (mark for mark in scene.marks if isinstance(mark, Dot) and mark.note),
        key=lambda dot: not dot.hollow,
    )
    assert "4.00" in hollow.note
    assert hollow.x > full.x


def test_bars_are_in_proportion() -> None:
    scene = bar_chart(report_of(TIMES), "Disk", {"fill": {"lsmkv": 2.0, "plyvel": 8.0}})
    assert scene is not None
    bars = [mark.width for mark in scene.marks if isinstance(mark, Box)]
    assert bars[1] == pytest.approx(4 * bars[0])
    assert bar_chart(report_of(TIMES), "Disk", {}) is None


def test_values_of_metrics_and_their_families() -> None:
    report = report_of({"lsmkv": {"get": [1]}})
    outcomes = [
        outcome("fillseq", 1, disk_bytes=1 << 20),
        outcome("fillsync", 1, disk_bytes=3 << 20),
    ]
    (run,) = report.runs
    report = replace(report, runs=[replace(run, outcomes=[*run.outcomes, *outcomes])])
    found = {workload: engines for (_, workload), engines in collect(report).items()}
    values = metric_values(DISK, found)
    assert values == {"fillseq": {"lsmkv": 1.0}, "fillsync": {"lsmkv": 3.0}}
    assert highest_of_families(values) == {"Writes": {"lsmkv": 3.0}}


def test_percentiles_stand_at_their_nines() -> None:
    assert [nines(part) for part in (0.9, 0.99)] == pytest.approx([1, 2])
    points = percentile_points([[1, 90], [2, 0], [5, 9], [7, 1]])
    assert [value for _, value in points] == [1, 5, 7]
    assert [x for x, _ in points][:2] == pytest.approx([1, 2])
    assert points[2][0] > 2


def test_histograms_of_rounds_are_added_up() -> None:
    rounds = {
        number: outcome("get", 1, latency=Latency(1, 1, 1, 1, 1, counts))
        for number, counts in ((1, [[1, 90], [8, 10]]), (2, [[1, 50], [4, 50]]))
    }
    points = latency_points(rounds)
    assert [value for _, value in points] == [1, 4, 8]
    assert points[0][0] == pytest.approx(nines(0.7))


def test_without_histograms_the_percentiles_are_the_curve() -> None:
    points = latency_points({1: outcome("get", 1, latency=Latency(1, 2, 3, 4, 5))})
    assert points == tuple((nines(part), value) for part, value in
                           ((0.5, 1), (0.99, 2), (0.999, 3), (0.9999, 4)))  # fmt: skip
    assert latency_points({1: outcome("get", 1)}) == ()


def test_growth_has_a_line_for_each_engine_that_ends_in_its_name() -> None:
    small = report_of({"lsmkv": {"get": [1]}, "plyvel": {"get": [2]}}, Case(10, "decimal", 100))
    large = report_of({"lsmkv": {"get": [3]}, "plyvel": {"get": [4]}}, Case(1000, "decimal", 100))
    both = replace(small, runs=small.runs + large.runs)
    (group,) = series_of_cases(cases_of(both), "entries")
    scene = growth_chart(both, group)
    assert {"get", "lsmkv", "plyvel", "10", "1k"} <= set(texts(scene))
    assert scene is not None
    assert len([mark for mark in scene.marks if isinstance(mark, Curve)]) == 2
    assert growth_chart(small, cases_of(small)) is None
    assert value_size_chart(small, cases_of(small)) is None


def test_a_large_report_stays_inside_its_charts() -> None:
    report = large_report()
    case = cases_of(report)[0]
    rows = [row for row in rows_of(report) if row.case == case]
    scenes = [
        ratio_chart(report, rows),
        time_chart(report, rows),
        latency_chart(report, case),
        *(growth_chart(report, group) for group in series_of_cases(cases_of(report), "entries")),
        *(value_size_chart(report, g) for g in series_of_cases(cases_of(report), "value_size")),
    ]
    for scene in scenes:
        assert scene is not None
        for mark in scene.marks:
            if isinstance(mark, Dot | Label):
                assert 0 <= mark.x <= scene.width, mark
                assert 0 <= mark.y <= scene.height, mark
    assert set(TYPICAL) <= set(texts(scenes[0]))
    assert latency_chart(report_of(TIMES), CASE) is None
