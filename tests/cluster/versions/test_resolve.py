"""What readers see: the same on every node, deletes and expiry included."""

from __future__ import annotations

import pytest

from lsmkv_cluster.versions import crdt
from lsmkv_cluster.versions.context import NOTHING
from lsmkv_cluster.versions.minting import write
from lsmkv_cluster.versions.resolve import (
    Reading,
    Resolved,
    hidden_count,
    last_writer,
    resolve,
    siblings,
    winner,
)
from tests.support.record_lab import Copy, Lab, settle


@pytest.fixture
def two() -> list[Copy]:
    """Two copies with two concurrent values each: the second is newer."""
    a, b = Lab().copies("ab")
    a.put(b"older")
    b.put(b"newer")
    settle([a, b])
    return [a, b]


def test_the_newest_value_wins_everywhere_and_nothing_is_deleted(two: list[Copy]):
    for copy in two:
        now_ms = copy.lab.now_ms
        assert siblings(copy.record, now_ms) == (b"newer", b"older")
        assert winner(copy.record, now_ms) == last_writer(copy.record, now_ms) == b"newer"
        assert hidden_count(copy.record) == 1


def test_equal_stamps_are_decided_by_the_dot():
    a, b = Lab().copies("ab")
    a.put(b"from a")
    b.lab.now_ms -= 1000
    b.put(b"from b")
    settle([a, b])
    assert a.record is not None
    assert len({item.stamp for item in a.record.items}) == 1
    assert winner(a.record, a.lab.now_ms) == winner(b.record, b.lab.now_ms) == b"from b"


def test_a_tombstone_beside_a_value_is_not_a_delete_except_to_the_last_writer(two: list[Copy]):
    a, b = two
    seen = a.context()
    b.put(b"concurrent", seen)
    a.delete(seen)
    settle(two)
    now_ms = a.lab.now_ms
    assert siblings(a.record, now_ms) == (b"concurrent",)
    assert winner(a.record, now_ms) == b"concurrent"
    assert last_writer(a.record, now_ms) is None


def test_expiry_hides_from_its_moment_on():
    lab = Lab()
    [a] = lab.copies("a")
    a.put(b"stays")
    expiry_ms = lab.now_ms + 9000
    a.change(lambda local, _: write(local, b"goes", NOTHING, expiry_ms))
    assert siblings(a.record, expiry_ms - 1) == (b"goes", b"stays")
    assert siblings(a.record, expiry_ms) == (b"stays",)
    assert winner(a.record, expiry_ms) == b"stays"
    assert last_writer(a.record, expiry_ms - 1) == b"goes"
    assert last_writer(a.record, expiry_ms) is None


@pytest.mark.parametrize(
    ("reading", "nothing", "expected"),
    [
        (Reading.SIBLINGS, (), (b"5",)),
        (Reading.LAST_WRITER, None, b"5"),
        (Reading.COUNTER, None, 7),
        (Reading.SET, frozenset(), frozenset([b"e"])),
        (Reading.MAP, {}, {b"f": b"v"}),
    ],
)
def test_each_reading_takes_its_items(reading: Reading, nothing: Resolved, expected: Resolved):
    lab = Lab()
    [a] = lab.copies("a")
    assert resolve(None, reading, lab.now_ms) == nothing
    a.set(b"5")
    a.change(lambda local, actor: crdt.increment(local, actor, 2, lab.now_ms))
    a.change(lambda local, _: crdt.add_elements(local, [b"e"]))
    a.change(lambda local, _: crdt.put_fields(local, {b"f": b"v"}))
    assert resolve(a.record, reading, lab.now_ms) == expected
