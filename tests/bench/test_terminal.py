"""A terminal shows every number within its width."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_bench.ratios import rows_of
from lsmkv_bench.results import Report
from lsmkv_bench.tables import Table
from lsmkv_bench.terminal import draw, render
from lsmkv_bench.wording import case_title, number, ratio_with_spread
from tests.bench.synthetic import CASE, large_report, report_of


def test_columns_are_aligned_words_left_and_numbers_right() -> None:
    table = Table("Title", "note", ("name", "n"), [("a", "1.5"), ("longer", "10.25")])
    assert draw(table).splitlines() == [
        "Title (note)",
        "",
        "name        n",
        "-------------",
        "a         1.5",
        "longer  10.25",
    ]


def test_a_wide_table_goes_on_below_with_its_names() -> None:
    table = Table("T", "", ("name", *"abcd"), [("row", *["123456"] * 4)])
    lines = draw(table, width=22).splitlines()
    assert [line.split() for line in lines if line.startswith(("name", "row"))] == [
        ["name", "a", "b"], ["row", "123456", "123456"],
        ["name", "c", "d"], ["row", "123456", "123456"],
    ]  # fmt: skip


def test_long_words_go_on_in_the_next_line_of_their_column() -> None:
    table = Table("T", "", ("what", "value"), [("cpu", "word " * 30)], text_columns=2)
    lines = draw(table, width=40).splitlines()
    assert max(map(len, lines)) <= 40
    assert sum(line.count("word") for line in lines) == 30
    assert lines[-1].startswith(" " * 6 + "word")


def test_a_large_report_fits_and_has_every_ratio() -> None:
    report = large_report()
    text = render(report)
    assert max(map(len, text.splitlines())) <= 110
    for row in rows_of(report):
        assert case_title(row.case) in text
        for found in row.times.values():
            assert number(found.median) in text
        for found in (*row.ratios.values(), *row.ratios_with_drain.values()):
            assert ratio_with_spread(found) in text
    for title in ("Latency", "Peak memory", "Disk", "Write amplification", "CPU", "Shape",
                  "Settings", "Machine"):  # fmt: skip
        assert f"\n{title}" in text


@pytest.mark.parametrize(
    "report",
    [
        Report("now", {}, {}, {}, []),
        report_of({"lsmkv": {"get": [1]}}),
        report_of({"plyvel": {"get": [1]}}),
        replace(report_of({"lsmkv": {"get": [1]}}), settings={}, machine={}),
    ],
)
def test_small_reports_are_shown_too(report: Report) -> None:
    text = render(report)
    assert report.started in text
    assert (case_title(CASE) in text) == bool(report.runs)
