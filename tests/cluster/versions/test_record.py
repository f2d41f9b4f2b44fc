"""Merging records: its laws, and agreement with brute-force causal histories."""

from __future__ import annotations

import random
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.minting import Limits
from lsmkv_cluster.versions.record import Record, merge
from lsmkv_cluster.versions.vclock import Actor, Clock, Dot, Entry
from tests.support.causal_history import Histories, History
from tests.support.record_cases import item_of, records
from tests.support.record_lab import Lab, settle


def joined(*inputs: Record) -> Record:
    return reduce(lambda a, b: merge(a, b).record, inputs)


@given(records(), records())
def test_commutative_and_idempotent(a: Record, b: Record):
    assert joined(a, b) == joined(b, a)
    assert joined(a, a) == a


@given(records(), records())
def test_a_merged_record_absorbs_both(a: Record, b: Record):
    """So a repaired copy stays repaired."""
    merged = joined(a, b)
    assert joined(merged, a) == merged
    assert joined(b, merged) == merged


@given(records(cuts=(10,)), records(cuts=(10,)), records(cuts=(10,)))
def test_associative_at_one_cut_time(a: Record, b: Record, c: Record):
    assert joined(joined(a, b), c) == joined(a, joined(b, c))


@given(records(cuts=(0,)), records(cuts=(0,)), records(cuts=(0,)))
def test_associative_where_nothing_was_cut(a: Record, b: Record, c: Record):
    assert len({record_format.encode(joined(*order)) for order in permutations((a, b, c))}) == 1


@given(st.lists(records(salts=(0, 1)), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_copies_that_keep_meeting_become_equal(copies: list[Record], choose: random.Random):
    """Whatever the cut times are, and even where a dot was used twice."""
    for _ in range(50):
        i, j = choose.randrange(len(copies)), choose.randrange(len(copies))
        copies[i] = joined(copies[i], copies[j])
    for _ in range(3):
        for i in range(len(copies)):
            copies[i] = joined(*copies[i:], *copies[:i])
    assert all(copy == copies[0] for copy in copies)


@given(records(), records())
def test_an_item_is_dropped_only_where_it_is_known_to_be_superseded(a: Record, b: Record):
    merged = joined(a, b)
    kept = {item.dot for item in merged.items}
    for one, other in ((a, b), (b, a)):
        for item in one.items:
            if item.dot not in kept:
                assert other.clock.covers(item.dot)
                assert item not in other.items


@given(records(), records())
def test_the_result_is_a_record(a: Record, b: Record):
    merged = joined(a, b)
    assert record_format.decode(record_format.encode(merged)) == merged


def test_a_cut_forgets_and_no_order_of_merging_can_know():
    """Why associativity is claimed for one cut time only: `b` knew that v1 was superseded."""
    x, y, z = Actor(1, 1, 1), Actor(2, 1, 1), Actor(3, 1, 1)
    v1, v2, v3 = (item_of(Dot(actor, 1)) for actor in (x, y, z))
    a = Record(Clock({x: Entry(1, 5)}), (v1,))
    b = Record(Clock({x: Entry(1, 5), y: Entry(1, 20)}), (v2,))
    c = Record(Clock({z: Entry(1, 30)}), (v3,), cut_s=10)
    assert joined(joined(a, b), c).items == (v2, v3)
    assert joined(a, joined(b, c)).items == (v1, v2, v3)
    assert joined(joined(joined(a, b), c), joined(a, joined(b, c))).items == (v1, v2, v3)


def test_a_dot_that_was_used_twice_is_reported():
    actor = Actor(1, 1, 1)
    clock = Clock({actor: Entry(1, 5)})
    items = [item_of(Dot(actor, 1), salt) for salt in (0, 1)]
    assert items[0] != items[1]
    a, b = (Record(clock, (item,)) for item in items)
    assert merge(a, b).collisions == (Dot(actor, 1),)
    assert merge(a, b).record == merge(b, a).record
    assert merge(a, a).collisions == ()


@pytest.mark.parametrize("seed", range(25))
def test_records_say_what_causal_histories_say(seed: int):
    """Random writes with random contexts, exchanges, losses and unclean starts on four copies:
    values and knowledge are those of the oracle at every step."""
    choose = random.Random(seed)
    lab = Lab()
    copies = lab.copies("abcd")
    oracle = Histories()
    known: list[History] = [frozenset()] * 4
    contexts = [(copies[0].context(), known[0])]
    dots: list[Dot] = []
    for step in range(120):
        i = choose.randrange(4)
        action = choose.randrange(10)
        if action < 4:
            seen, history = choose.choice(contexts[-6:])
            value = b"%d" % step
            [dot] = copies[i].put(value, seen).dots
            dots.append(dot)
            known[i] = oracle.write(known[i], history, value)
        elif action == 4:
            [dot] = copies[i].set(b"%d" % step).dots
            dots.append(dot)
            known[i] = oracle.write(known[i], known[i], b"%d" % step)
        elif action == 5 and choose.random() < 0.1:
            copies[i].lose()
            known[i] = frozenset()
        elif action == 6 and choose.random() < 0.2:
            copies[i].start(ended_cleanly=False)
        elif action < 9:
            j = choose.randrange(4)
            copies[i].take(copies[j].data)
            known[i] |= known[j]
        else:
            contexts.append((copies[i].context(), known[i]))
        assert copies[i].values() == oracle.live_values(known[i])
        record = copies[i].record or Record(Clock())
        assert {n for n, dot in enumerate(dots) if record.clock.covers(dot)} == known[i]


@pytest.mark.parametrize("seed", range(15))
def test_cutting_never_loses_a_write(seed: int):
    """With a threshold of 3 the oracle's live writes all show; what shows besides is resolved by
    the next write that has seen it; copies become equal; no dot is used twice."""
    choose = random.Random(seed)
    lab = Lab(Limits(clock_threshold=3))
    copies = lab.copies("abcd")
    oracle = Histories()
    known: list[History] = [frozenset()] * 4
    for step in range(150):
        i, j = choose.randrange(4), choose.randrange(4)
        if choose.random() < 0.4:
            value = b"%d" % step
            copies[i].put(value, copies[j].context())
            known[i] = oracle.write(known[i], known[j], value)
        elif choose.random() < 0.1:
            copies[i].set(b"%d" % step)
            known[i] = oracle.write(known[i], known[i], b"%d" % step)
        elif choose.random() < 0.1:
            copies[i].start(ended_cleanly=False)
        else:
            copies[i].take(copies[j].data)
            known[i] |= known[j]
        assert set(oracle.live_values(known[i])) <= set(copies[i].values())
    assert lab.cut_count > 5
    settle(copies)
    copies[0].update(b"last")
    settle(copies)
    assert all(copy.values() == [b"last"] for copy in copies)
