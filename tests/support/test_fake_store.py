"""The fake store does what storage_orders.py says, as far as tests rely on it."""

from __future__ import annotations

from lsmkv.kernel import RecordMerger
from lsmkv_cluster.storage.engine_key import partition_tokens
from lsmkv_cluster.storage.storage_orders import (
    Discard,
    Done,
    Drop,
    Entries,
    Failed,
    Failure,
    ListEntries,
    Merge,
    Merged,
    Read,
    Scrub,
    Scrubbed,
    Space,
    Sync,
    Values,
)
from tests.support.fake_store import FakeStore, merged, some_record
from tests.support.members import make_topology

TOPOLOGY = make_topology()
OWNER = TOPOLOGY.owners[0][0]
MINE = [p for p, owners in enumerate(TOPOLOGY.owners) if OWNER in owners]
KEYS = [b"%d" % n for n in range(400) if OWNER in TOPOLOGY.owners[TOPOLOGY.partition_of(b"%d" % n)]]


def make_store(count: int = 0) -> FakeStore:
    store = FakeStore(TOPOLOGY, OWNER)
    records = tuple((key, some_record(1)) for key in KEYS[:count])
    store.carry_out(Merge(Space.DATA, records))
    return store


def test_records_merge_as_the_native_merge_does():
    one, other = some_record(1, 3), some_record(2)
    assert merged(one, other) == RecordMerger().merge(one, other) == merged(other, one)
    assert merged(one, some_record(1, 4)) == some_record(1, 4)


def test_a_merge_changes_the_tree_with_the_record():
    store, other = make_store(50), make_store()
    for key in reversed(KEYS[:50]):
        other.carry_out(Merge(Space.DATA, ((key, some_record(2)), (key, some_record(1)))))
        store.carry_out(Merge(Space.DATA, ((key, some_record(2)),)))
    for partition in MINE:
        assert store.tree(partition).root == other.tree(partition).root
    assert store.contents() == other.contents()
    assert make_store(49).tree(MINE[0]).root != store.tree(MINE[0]).root


def test_outcomes():
    store = make_store(1)
    key = KEYS[0]
    same, new, damaged = some_record(1), some_record(1, 2), b"x" + some_record(1)[1:]
    order = Merge(Space.DATA, ((key, same), (key, new), (key, damaged)))
    assert store.carry_out(order) == Merged((False, True, Failure.INVALID))
    assert store.carry_out(Read(Space.DATA, (key, b"other"))) == Values((new, None))
    store.unreadable.add(key)
    assert store.carry_out(Read(Space.DATA, (key,))) == Values((Failure.CORRUPT,))
    assert store.carry_out(Merge(Space.DATA, ((key, same),))) == Merged((Failure.CORRUPT,))
    store.write_failure = Failure.FULL
    assert store.carry_out(Merge(Space.DATA, ((b"k", same),))) == Merged((Failure.FULL,))


def test_pages_cover_a_partition_once():
    store = make_store(len(KEYS))
    for partition in MINE:
        tokens = partition_tokens(Space.DATA, TOPOLOGY.partitioning, partition)
        found, after = [], b""
        while True:
            page = store.carry_out(ListEntries(Space.DATA, *tokens_of(tokens), after, 3))
            assert isinstance(page, Entries)
            assert len(page.entries) <= 3
            found += [entry.key for entry in page.entries]
            if page.after is None:
                break
            after = page.after
        assert sorted(found) == sorted(k for k in KEYS if TOPOLOGY.partition_of(k) == partition)


def tokens_of(tokens):
    return tokens.first, tokens.end


def test_drop_leaves_what_has_changed():
    store = FakeStore(TOPOLOGY, OWNER)
    store.carry_out(Merge(Space.HINT, ((b"a", some_record(1)), (b"b", some_record(1)))))
    page = store.carry_out(ListEntries(Space.HINT, 2 << 56, 3 << 56))
    assert isinstance(page, Entries)
    store.carry_out(Merge(Space.HINT, ((b"a", some_record(2)),)))
    entries = tuple((entry.key, entry.digest) for entry in page.entries)
    assert store.carry_out(Drop(Space.HINT, entries)) == Done()
    assert list(store.contents(Space.HINT)) == [b"a"]


def test_power_loss_takes_what_was_not_synced():
    store = make_store(2)
    store.carry_out(Sync())
    store.carry_out(Merge(Space.DATA, ((KEYS[2], some_record(1)),)))
    assert not store.is_durable(KEYS[2])
    store.carry_out(Merge(Space.DATA, ((KEYS[3], some_record(1)),), sync=True))
    store.carry_out(Merge(Space.DATA, ((KEYS[4], some_record(1)),)))
    store.lose_power()
    assert set(store.contents()) == set(KEYS[:4])
    assert [store.tree(p).root for p in MINE] == [make_store(4).tree(p).root for p in MINE]


def test_scrub_finds_a_tree_that_lies_and_what_cannot_be_read():
    store = make_store(3)
    partition = TOPOLOGY.partition_of(KEYS[0])
    store.tree(partition).update(store.tree(partition).start, 0, 1)
    assert store.carry_out(Scrub(partition, 0, 200)) == Scrubbed(200, 1)
    assert store.carry_out(Scrub(partition, 200, 200)) == Scrubbed(None, 0)
    store.unreadable.add(KEYS[0])
    assert store.carry_out(Scrub(partition, 0, 200)) == Failed(Failure.CORRUPT)


def test_discard_takes_a_partition_with_its_damage():
    store = make_store(30)
    store.carry_out(Sync())
    partition = TOPOLOGY.partition_of(KEYS[0])
    left = {key for key in KEYS[:30] if TOPOLOGY.partition_of(key) != partition}
    store.unreadable.add(KEYS[0])
    assert store.carry_out(Discard(partition)) == Done()
    store.lose_power()
    assert set(store.contents()) == left
    assert store.tree(partition).root == 0
    assert store.carry_out(Read(Space.DATA, (KEYS[0],))) == Values((None,))
