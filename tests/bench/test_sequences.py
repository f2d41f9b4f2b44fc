"""Sequences: permutations are complete, distributions have the shares they should have."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from lsmkv_bench import sequences
from lsmkv_bench.sequences import ZIPF_CONSTANT, Zipfian


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 65, 1000, 4097])
def test_permuted_gives_every_number_once(count: int) -> None:
    found = list(sequences.permuted(count, seed=1))
    assert sorted(found) == list(range(count))
    if count > 100:
        neighbours = sum(abs(a - b) == 1 for a, b in itertools.pairwise(found))
        assert neighbours < count / 20
        assert found != list(sequences.permuted(count, seed=2))


def test_zipfian_ranks_have_the_probabilities_of_the_law() -> None:
    population, draws = 1000, 100_000
    ranks = Zipfian(population, seed=1)
    counts = Counter(ranks.next_rank() for _ in range(draws))
    zeta = sum(1 / rank**ZIPF_CONSTANT for rank in range(1, population + 1))
    assert set(counts) <= set(range(population))
    for rank in (0, 1):
        assert counts[rank] / draws == pytest.approx(
            1 / (rank + 1) ** ZIPF_CONSTANT / zeta, rel=0.05
        )
    upper_half = sum(count for rank, count in counts.items() if rank >= population // 2)
    expected = sum(1 / rank**ZIPF_CONSTANT for rank in range(501, 1001)) / zeta
    assert upper_half / draws == pytest.approx(expected, rel=0.1)


def test_zipfian_grows_with_its_population() -> None:
    grown, fresh = Zipfian(10, seed=1), Zipfian(500, seed=1)
    assert [grown.next_rank(500) for _ in range(100)] == [fresh.next_rank() for _ in range(100)]


def test_scrambling_spreads_the_popular_ranks() -> None:
    places = [sequences.scrambled(rank, 1_000_000) for rank in range(1000)]
    assert len(set(places)) > 990
    assert min(places) < 10_000
    assert max(places) > 990_000


def test_hot_touches_one_percent() -> None:
    found = sequences.hot(10_000, 5000, seed=1)
    assert len(found) == 5000
    assert 90 <= len(set(found)) <= 100
