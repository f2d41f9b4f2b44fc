"""Numbers have three digits and no exponent; workloads fall into their families."""

from __future__ import annotations

import pytest

from lsmkv_bench.ratios import Spread
from lsmkv_bench.wording import (
    FAMILIES,
    family,
    joined,
    number,
    plain,
    ratio,
    ratio_with_spread,
    short_count,
    short_size,
)
from tests.bench.synthetic import READS, SCANS, WRITES, YCSB


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.0005, "0.000500"), (0.0123, "0.0123"), (0.09999, "0.100"), (0.643, "0.643"),
        (0.99999, "1.00"), (6.1, "6.10"), (9.999, "10.0"), (26.04, "26.0"), (99.97, "100"),
        (1234.5, "1,234"),
    ],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_ratios() -> None:
    assert [ratio(0.874), ratio(1.5), ratio(13.71)] == ["0.87", "1.50", "13.7"]
    assert ratio_with_spread(Spread(2, 1, 3, 5)) == "2.00x [1.00..3.00]"
    assert ratio_with_spread(Spread(2, 2, 2, 1)) == "2.00x"


def test_counts_and_sizes() -> None:
    assert [short_count(each) for each in (0.3, 20, 1500, 1e6, 5e7)] == [
        "0.3", "20", "1.5k", "1M", "50M",
    ]  # fmt: skip
    assert [short_size(each) for each in (100, 1000, 1024, 4096)] == [
        "100 B", "1000 B", "1 KiB", "4 KiB",
    ]  # fmt: skip


def test_words() -> None:
    assert [joined([]), joined(["a"]), joined(["a", "b", "c"])] == ["", "a", "a, b and c"]
    assert plain({"a": [1000, True, None], "b": "x"}) == "a 1,000, yes, -, b x"


@pytest.mark.parametrize(
    ("name", "workloads"),
    [("Writes", WRITES), ("Point reads", READS), ("YCSB", YCSB)],
)
def test_families(name: str, workloads: dict[str, object]) -> None:
    assert {family(workload) for workload in workloads} == {name}


def test_scans_are_not_point_reads_and_strangers_have_a_place() -> None:
    assert {family(workload) for workload in SCANS} == {"Scans"}
    assert family("something") == "Other"
    assert "Other" in FAMILIES
