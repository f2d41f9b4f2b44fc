"""The README's table has the numbers of the report, and says where they are from."""

from __future__ import annotations

from dataclasses import replace

from lsmkv_bench.markdown import COMMAND, render
from lsmkv_bench.results import Case, Report
from tests.bench.synthetic import large_report, report_of

TIMES = {
    "lsmkv": {"fillseq": [0.64, 0.64], "get": [0.7, 0.7]},
    "plyvel": {"fillseq": [2.56, 2.56], "get": [1.4, 1.4]},
    "rocksdict": {"fillseq": [3.2, 3.2]},
}


def test_the_table_has_times_and_ratios() -> None:
    lines = render(report_of(TIMES)).splitlines()
    assert lines[:4] == [
        "| us per operation | lsmkv | plyvel | rocksdict | better of two |",
        "|---|---:|---:|---:|---:|",
        "| fillseq | 0.640 | 2.56 (4.00x) | 3.20 (5.00x) | 4.00x |",
        "| get | 0.700 | 1.40 (2.00x) | - | - |",
    ]


def test_one_sentence_says_machine_sizes_rounds_and_settings() -> None:
    text = render(report_of(TIMES))
    sentence = text.split("\n\n")[1]
    for said in ("2 rounds", "cpu Example 9000, 2 cores", "1,000 entries", "decimal keys",
                 "100-byte values", "2025-01-02T03:04:05", "plyvel: cache 256 MiB"):  # fmt: skip
        assert said in sentence
    assert "\n" not in sentence


def test_the_command_is_the_one_that_was_given() -> None:
    report = report_of(TIMES)
    assert render(report).endswith(f"```sh\n{COMMAND}\n```")
    given = replace(report, plan={"command": "make bench BENCH=x"})
    assert render(given).endswith("```sh\nmake bench BENCH=x\n```")


def test_other_cases_are_one_line_each() -> None:
    report = report_of(TIMES)
    other = report_of({"lsmkv": {"get": [1]}, "plyvel": {"get": [3]}}, Case(50, "binary", 8))
    text = render(replace(report, runs=report.runs + other.runs))
    assert "| 50 entries, binary keys, 8-byte values | 1 | 3.00x | - |" in text


def test_every_table_is_rectangular() -> None:
    tables = [part for part in render(large_report()).split("\n\n") if part.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_nothing_measured_is_nothing_to_show() -> None:
    assert render(Report("now", {}, {}, {}, [])) == ""
