"""Counters, sets and maps on copies that write apart and meet."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.versions import crdt
from lsmkv_cluster.versions.minting import overwrite
from lsmkv_cluster.versions.record import Kind
from tests.support.record_lab import Copy, Lab, settle

EXPIRES_LATE = 1 << 60


def increment(copy: Copy, delta: int) -> None:
    now_ms = copy.lab.now_ms
    copy.change(lambda local, actor: crdt.increment(local, actor, delta, now_ms))


def count(copy: Copy) -> int | None:
    return crdt.count(copy.record, copy.lab.now_ms)


@pytest.mark.parametrize("seed", range(8))
def test_no_increment_is_lost_or_counted_twice(seed: int):
    """Through exchanges, repeated deliveries, lost copies and unclean starts. A copy that is lost
    has handed on what it had: what nobody else holds is gone with any type."""
    choose = random.Random(seed)
    copies = Lab().copies("abcd")
    total = 0
    for _ in range(120):
        copy, other = choose.sample(copies, 2)
        action = choose.randrange(10)
        if action < 5:
            delta = choose.randrange(-9, 20)
            increment(copy, delta)
            total += delta
        elif action < 8:
            copy.take(other.data)
        elif action == 8:
            other.take(copy.data)
            copy.lose()
        else:
            copy.start(ended_cleanly=False)
    settle(copies)
    assert count(copies[0]) == total


def test_an_increment_counts_on_from_an_integer():
    a, b = Lab().copies("ab")
    a.set(b"10")
    b.take(a.data)
    increment(a, 5)
    increment(b, -2)
    settle([a, b])
    assert count(a) == 13
    a.set(b"7")
    settle([a, b])
    assert count(b) == 7


@pytest.mark.parametrize("text", [b"", b"x", b"1.5", b" 1", b"01", b"+1", b"-0", b"1" * 20])
def test_what_is_no_integer_does_not_count(text: bytes):
    [a] = Lab().copies("a")
    a.set(text)
    with pytest.raises(ValueError, match="not an integer"):
        increment(a, 1)


def test_counting_stays_within_64_bits():
    [a] = Lab().copies("a")
    assert count(a) is None
    increment(a, (1 << 63) - 1)
    with pytest.raises(ValueError, match="overflow"):
        increment(a, 1)
    increment(a, -((1 << 63) - 1))
    assert count(a) == 0


def test_a_deleted_counter_begins_anew():
    [a] = Lab().copies("a")
    increment(a, 5)
    a.delete()
    assert count(a) is None
    increment(a, 2)
    assert count(a) == 2
    assert a.record is not None
    assert [item.kind for item in a.record.items] == [Kind.COUNT]


def test_a_counter_is_never_cut():
    lab = Lab()
    copies = lab.copies("abcd")
    for turn in range(60):
        copy = copies[turn % 4]
        copy.source.distrust_epochs()
        copy.persist()
        increment(copy, 1)
        settle(copies)
    assert count(copies[0]) == 60
    assert len(copies[0].counters()) == 60
    assert lab.cut_count == 0


def add(copy: Copy, *elements: bytes) -> None:
    copy.change(lambda local, _: crdt.add_elements(local, elements))


def remove(copy: Copy, *elements: bytes) -> None:
    copy.change(lambda local, _: crdt.remove_elements(local, elements))


def members(copy: Copy) -> frozenset[bytes]:
    return crdt.members(copy.record, copy.lab.now_ms)


def test_a_concurrent_add_wins_over_a_remove():
    a, b = Lab().copies("ab")
    add(a, b"x", b"y", b"y")
    settle([a, b])
    remove(a, b"x")
    add(b, b"x")
    remove(b, b"y")
    settle([a, b])
    assert members(a) == {b"x"}
    remove(a, b"x")
    settle([a, b])
    assert members(b) == frozenset()


def test_split_brain_adds_are_all_there():
    a, c = Lab().copies("ac")
    for i in range(50):
        add(a, b"a%d" % i)
        add(c, b"c%d" % i)
    settle([a, c])
    assert len(members(a)) == 100


def test_a_remove_alone_travels():
    a, b = Lab().copies("ab")
    add(a, b"x")
    old = a.data
    b.take(old)
    remove(a, b"x")
    assert b.take(a.data)
    assert not b.take(old)
    assert members(b) == frozenset()


def test_removing_what_is_not_there_makes_no_version():
    [a] = Lab().copies("a")
    for change in (crdt.remove_elements(None, [b"x"]), crdt.remove_fields(None, [b"x"])):
        assert change.is_empty
    with pytest.raises(ValueError, match="empty"):
        remove(a, b"x")
    assert a.data is None


def put_fields(copy: Copy, **values: bytes) -> None:
    named = {name.encode(): value for name, value in values.items()}
    copy.change(lambda local, _: crdt.put_fields(local, named))


def fields(copy: Copy) -> dict[bytes, bytes]:
    return crdt.fields(copy.record, copy.lab.now_ms)


def test_fields_of_a_map_are_apart():
    a, b = Lab().copies("ab")
    put_fields(a, x=b"1", y=b"1")
    settle([a, b])
    put_fields(a, x=b"a")
    put_fields(b, x=b"b", z=b"b")
    b.change(lambda local, _: crdt.remove_fields(local, [b"y"]))
    settle([a, b])
    assert fields(a) == fields(b) == {b"x": b"b", b"z": b"b"}
    put_fields(a, x=b"both seen")
    settle([a, b])
    assert b.record is not None
    assert len([item for item in b.record.items if item.name == b"x"]) == 1


def test_adding_replaces_a_tombstone_and_expiry_hides():
    lab = Lab()
    [a] = lab.copies("a")
    add(a, b"x")
    a.delete()
    assert members(a) == frozenset()
    expiry_ms = lab.now_ms + 5000
    a.change(lambda local, _: crdt.add_elements(local, [b"y"], expiry_ms))
    a.change(lambda local, _: crdt.put_fields(local, {b"f": b"v"}, expiry_ms))
    assert a.record is not None
    assert Kind.TOMBSTONE not in {item.kind for item in a.record.items}
    assert (members(a), fields(a)) == ({b"y"}, {b"f": b"v"})
    lab.now_ms = expiry_ms
    assert (members(a), fields(a)) == (frozenset(), {})


def test_a_set_and_a_concurrent_increment_both_survive():
    """What the sum then is, is not promised; that neither is dropped, is."""
    a, b = Lab().copies("ab")
    increment(a, 3)
    settle([a, b])
    increment(a, 1)
    b.change(lambda local, _: overwrite(local, b"100", EXPIRES_LATE))
    settle([a, b])
    assert a.record is not None
    assert {item.kind for item in a.record.items} == {Kind.COUNT, Kind.VALUE}
    assert count(a) == count(b)
