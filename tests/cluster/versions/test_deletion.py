"""Which records say nothing any more, and since when at the latest."""

from __future__ import annotations

import pytest

from lsmkv_cluster.versions import crdt, record_format
from lsmkv_cluster.versions.context import NOTHING
from lsmkv_cluster.versions.deletion import has_expired, is_deleted, newest_ms
from lsmkv_cluster.versions.minting import Change, delete, expire, mint, overwrite, write
from lsmkv_cluster.versions.record import Record, merge
from lsmkv_cluster.versions.record_format import is_plain
from lsmkv_cluster.versions.resolve import last_writer, siblings
from lsmkv_cluster.versions.vclock import Actor

A, B = Actor(1, 1, 1 << 32), Actor(2, 1, 1 << 32)
AT_MS = 1_700_000_000_000


def minted(local: Record | None, change: Change, at_ms: int, actor: Actor = A) -> Record:
    return mint(local, change, actor, at_ms << 16).record


VALUE = minted(None, overwrite(None, b"v"), AT_MS)
SET = minted(None, crdt.add_elements(None, [b"x"]), AT_MS)
COUNTER = minted(None, crdt.increment(None, A, 0, AT_MS), AT_MS)
GONE = minted(VALUE, delete(VALUE), AT_MS + 5000)
EMPTY = minted(SET, crdt.remove_elements(SET, [b"x"]), AT_MS + 5000)
BESIDE = merge(GONE, minted(None, overwrite(None, b"w"), AT_MS, B)).record


@pytest.mark.parametrize(
    ("record", "is_gone"),
    [
        (VALUE, False),
        (SET, False),
        (COUNTER, False),
        (GONE, True),
        (EMPTY, True),
        (BESIDE, False),
        (merge(GONE, minted(None, delete(None), AT_MS, B)).record, True),
    ],
    ids=["value", "set", "counter of 0", "tombstone", "empty set", "beside a value", "two"],
)
def test_a_record_of_tombstones_alone_is_deleted(record: Record, is_gone: bool) -> None:
    assert is_deleted(record) == is_gone


@pytest.mark.parametrize("record", [GONE, EMPTY], ids=["tombstone", "empty set"])
def test_it_is_as_old_as_its_newest_write_also_one_without_item(record: Record) -> None:
    assert AT_MS + 5000 <= newest_ms(record) < AT_MS + 6000


def test_only_one_value_that_never_expires_is_plain() -> None:
    expiring = minted(None, overwrite(None, b"v", AT_MS + 1), AT_MS)
    two = minted(VALUE, write(VALUE, b"w", NOTHING), AT_MS)
    assert is_plain(record_format.encode(VALUE))
    for record in (expiring, two, SET, COUNTER, GONE, EMPTY, BESIDE):
        assert not is_plain(record_format.encode(record))
    for size in range(60):  # says something of anything
        is_plain(record_format.encode(VALUE)[:size])


def test_what_expired_makes_room_and_no_reader_sees_a_difference() -> None:
    """The last writer among all that stands beside it is the same before and after."""
    now_ms = AT_MS + 10_000
    first = minted(None, write(None, b"older", NOTHING), AT_MS)
    expiring = minted(first, write(first, b"goes", NOTHING, AT_MS + 5000), AT_MS + 1000)
    newer = minted(expiring, write(expiring, b"newer", NOTHING), AT_MS + 2000, B)
    for record, winner in ((expiring, None), (newer, b"newer")):
        assert has_expired(record, now_ms)
        change = expire(record, now_ms)
        assert change is not None
        after = minted(record, change, now_ms)
        assert last_writer(record, now_ms) == last_writer(after, now_ms) == winner
        assert siblings(record, now_ms) == siblings(after, now_ms)
        assert expire(after, now_ms) is None


def test_tombstones_of_what_expired_do_not_pile_up() -> None:
    record = None
    for turn in range(5):
        at_ms = AT_MS + 10_000 * turn
        record = minted(record, write(record, b"v", NOTHING, at_ms + 1000), at_ms)
        change = expire(record, at_ms + 5000)
        assert change is not None
        record = minted(record, change, at_ms + 5000)
        assert len(record.items) == 1
        assert is_deleted(record)


def test_of_a_set_only_what_expired_goes() -> None:
    both = minted(SET, crdt.add_elements(SET, [b"y"], AT_MS + 1000), AT_MS)
    change = expire(both, AT_MS + 5000)
    assert change is not None
    left = minted(both, change, AT_MS + 5000)
    assert [item.name for item in left.items] == [b"x"]
    assert crdt.members(left, AT_MS) == {b"x"}


def test_expiries_minted_by_two_owners_merge_to_one_deleted_record() -> None:
    value = minted(None, overwrite(None, b"v", AT_MS + 1000), AT_MS)
    change = expire(value, AT_MS + 9000)
    assert change is not None
    ours, theirs = (minted(value, change, AT_MS + 9000, actor) for actor in (A, B))
    record = merge(ours, theirs).record
    assert record == merge(theirs, ours).record == merge(merge(record, value).record, ours).record
    assert is_deleted(record)
    assert expire(record, AT_MS + 9000) is None
