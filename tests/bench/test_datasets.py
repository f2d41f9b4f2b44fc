"""Data sets: distinct keys, absent keys between them, sizes kept, the same again from one seed."""

from __future__ import annotations

import itertools
import zlib

import pytest

from lsmkv_bench.datasets import (
    CASE_SIZE_MAX,
    KEY_KINDS,
    KEY_SIZE,
    VALUE_SIZES,
    capped,
    make_dataset,
    make_values,
)
from lsmkv_bench.results import Case


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_keys_ascend_and_each_absent_key_lies_between_two_of_them(kind: str) -> None:
    data = make_dataset(Case(5000, kind, 16))
    assert len(data.keys) == 5000
    assert len(data.absent) == 4999
    mixed = [key for pair in zip(data.keys, data.absent, strict=False) for key in pair]
    mixed.append(data.keys[-1])
    assert all(low < high for low, high in itertools.pairwise(mixed))


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_the_same_seed_gives_the_same_keys(kind: str) -> None:
    case = Case(300, kind, 16)
    assert make_dataset(case) == make_dataset(case)


def test_realistic_keys_stay_distinct_when_the_names_run_out(monkeypatch: pytest.MonkeyPatch):
    names = [b"lib/a.py", b"lib/a.py:f"]
    monkeypatch.setattr("lsmkv_bench.datasets._library_names", lambda root, count: iter(names))
    data = make_dataset(Case(4, "realistic", 16))
    found = {*data.keys, *data.absent}
    assert found == {name + end for name in names for end in (b"", b".2", b".3", b".4")} - {
        b"lib/a.py:f.4"
    }


@pytest.mark.parametrize("size", VALUE_SIZES)
def test_values_have_their_size_and_half_compresses(size: int) -> None:
    values = make_values(size, 100)
    assert {len(value) for value in values} == {size}
    assert len(set(values)) == len(values)
    if size >= 1000:
        assert 0.45 < len(zlib.compress(values[0], 1)) / size < 0.6


@pytest.mark.parametrize("size", VALUE_SIZES)
def test_a_case_is_capped_by_its_bytes(size: int) -> None:
    case = capped(Case(1_000_000, "decimal", size))
    entry = KEY_SIZE + size
    assert case.entries * entry <= CASE_SIZE_MAX
    assert case.entries == 1_000_000 or (case.entries + 1) * entry > CASE_SIZE_MAX
    assert capped(Case(10, "decimal", size)).entries == 10
