"""Averages follow each member, the percentile follows all answers and forgets, and hedges stay
within their share of reads."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.coordination.latency import BURST, DECAY_AT, HEDGE_SHARE, HedgeBudget, Latencies

A, B, C = b"a", b"b", b"c"


def test_the_fastest_come_first_and_those_who_were_never_asked_before_slow_ones():
    latencies = Latencies()
    for member, elapsed_ms in ((A, 50), (B, 5), (A, 50)):
        latencies.note(member, elapsed_ms)
    assert latencies.fastest_first([A, B, C]) == [C, B, A]
    assert latencies.fastest_first([b"x", C, b"y"]) == [b"x", C, b"y"]


def test_an_average_moves_towards_what_is_noted():
    latencies = Latencies()
    latencies.note(A, 100)
    assert latencies.average_ms(A) == 100
    before = 100.0
    for _ in range(60):
        latencies.note(A, 10)
        assert 10 < latencies.average_ms(A) < before
        before = latencies.average_ms(A)
    assert before < 11


def test_without_answers_the_percentile_is_nothing():
    assert Latencies().percentile_ms() == 0


@given(st.lists(st.integers(0, 1 << 30), min_size=1, max_size=200))
def test_the_percentile_is_the_upper_end_of_the_right_bucket(answers):
    """At least 95 % are below it, and it is no more than twice what it need be."""
    latencies = Latencies()
    for elapsed_ms in answers:
        latencies.note(A, elapsed_ms)
    found = latencies.percentile_ms()
    answers = [min(elapsed_ms, (1 << 23) - 1) for elapsed_ms in answers]
    assert sum(elapsed_ms < found for elapsed_ms in answers) > 0.95 * len(answers) - 1e-6
    assert sum(elapsed_ms < found // 2 for elapsed_ms in answers) <= 0.95 * len(answers) + 1e-6


def test_the_percentile_forgets():
    """A slow hour is over some thousand answers later."""
    latencies = Latencies()
    for _ in range(10 * DECAY_AT):
        latencies.note(A, 500)
    assert latencies.percentile_ms() == 512
    for _ in range(8 * DECAY_AT):
        latencies.note(A, 3)
    assert latencies.percentile_ms() == 4


# --- hedges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_hedges_are_at_most_their_share_of_reads(seed):
    """Counted from any moment on, but for what may be saved up."""
    choose = random.Random(seed)
    budget = HedgeBudget()
    least = 0.0  # the lowest that spent - share * reads has been
    reads = 0
    for _ in range(2000):
        count = choose.randrange(40)
        budget.earn(count)
        reads += count
        for _ in range(choose.randrange(4)):
            budget.spend()
        balance = budget.spent - HEDGE_SHARE * reads
        assert balance <= 1 + 1e-6
        assert balance - least <= BURST + 1e-6
        least = min(least, balance)
    assert budget.spent > 0.9 * HEDGE_SHARE * reads - BURST


def test_an_empty_budget_gives_nothing():
    budget = HedgeBudget()
    assert budget.spend()
    assert not budget.spend()
    budget.earn(19)
    assert not budget.spend()
    budget.earn(2)
    assert budget.spend()
    assert budget.spent == 2
