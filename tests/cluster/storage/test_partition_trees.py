"""Trees of partitions of any number of slots say what the entries say: told of changes, rebuilt,
or restored; and scrubbing notices where they do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import lsmkv
from lsmkv.kernel import entry_hash, key_token
from lsmkv_cluster.placement.slots import SLOT_COUNT, Partitioning, slot_of
from lsmkv_cluster.storage.engine_key import KeyScheme, Space
from lsmkv_cluster.storage.partition_trees import PartitionTrees
from lsmkv_cluster.storage.storage_orders import Scrubbed
from tests.support.store_lab import same_trees

SCHEME = KeyScheme(5)
KEYS = [b"key%d" % i for i in range(300)]
ENTRIES = {SCHEME.engine_key(Space.DATA, key): b"record of " + key for key in KEYS}


@pytest.fixture
def db() -> Iterator[lsmkv.DB]:
    with lsmkv.open(":memory:") as database:
        database.update(ENTRIES)
        yield database


def told(partitioning: Partitioning, owned: range) -> PartitionTrees:
    trees = PartitionTrees(SCHEME, partitioning, owned)
    trees.apply(
        (key_token(key), 0, entry_hash(SCHEME.tree_key, key, record))
        for key, record in ENTRIES.items()
    )
    return trees


@pytest.mark.parametrize("count", [1, 3, 16, 1000, SLOT_COUNT])
def test_told_rebuilt_and_restored_trees_are_the_same(db: lsmkv.DB, count: int) -> None:
    partitioning = Partitioning(count)
    owned = range(min(count, 40))
    trees = told(partitioning, owned)
    rebuilt, restored = (PartitionTrees(SCHEME, partitioning, owned) for _ in range(2))
    db.put_many(trees.checkpoints())
    for partition in owned:
        rebuilt.rebuild(db, partition)
        assert restored.restore(db, partition)
        slots = partitioning.slots_of(partition)
        inside = [key for key in KEYS if slot_of(key) in slots]
        assert trees[partition].entry_count == len(inside)
        assert same_trees(trees[partition], rebuilt[partition])
        assert same_trees(trees[partition], restored[partition])
    assert list(trees) == list(owned)


def test_what_is_not_owned_has_no_tree_and_may_change() -> None:
    trees = PartitionTrees(SCHEME, Partitioning(16), [3])
    assert 3 in trees
    assert 4 not in trees
    trees.apply([(trees.tokens(4).first, 0, 7), None, (trees.tokens(3).first, 0, 9)])
    assert trees[3].root == 9


def test_a_checkpoint_that_is_damaged_or_of_other_slots_is_none(db: lsmkv.DB) -> None:
    trees = told(Partitioning(16), range(16))
    [(key, data), *_] = trees.checkpoints()
    assert not trees.restore(db, 0)
    db.put(key, data[:-1] + bytes([data[-1] ^ 1]))
    assert not trees.restore(db, 0)
    db.put(key, data)
    assert trees.restore(db, 0)
    assert not PartitionTrees(SCHEME, Partitioning(8), [0]).restore(db, 0)


# --- scrubbing -----------------------------------------------------------------------------------


def scrub_all(trees: PartitionTrees, db: lsmkv.DB, partition: int, leaf_count: int) -> int:
    """How many leaves were corrected."""
    corrected, leaf = 0, 0
    while True:
        scrubbed = trees.scrub(db, partition, leaf, leaf_count)
        corrected += scrubbed.corrected
        if scrubbed.next_leaf is None:
            return corrected
        assert scrubbed.next_leaf == leaf + leaf_count
        leaf = scrubbed.next_leaf


@pytest.mark.parametrize("count", [1, 3, 16])
@pytest.mark.parametrize("leaf_count", [7, 64, 10_000])
def test_a_tree_that_is_right_stays(db: lsmkv.DB, count: int, leaf_count: int) -> None:
    trees = told(Partitioning(count), range(count))
    for partition in range(count):
        before = trees[partition]
        assert scrub_all(trees, db, partition, leaf_count) == 0
        assert trees[partition] is before


@pytest.mark.parametrize("harm", ["a change it was not told of", "a flipped bit", "an entry gone"])
def test_what_differs_is_corrected(db: lsmkv.DB, harm: str) -> None:
    trees = told(Partitioning(3), range(3))
    key = next(key for key in ENTRIES if trees.tokens(1).first <= key_token(key))
    partition = 1 if key_token(key) < trees.tokens(1).end else 2
    if harm == "a flipped bit":
        trees[partition].update(key_token(key), 1 << 40, 2 << 40)
    elif harm == "an entry gone":
        db.delete(key)
    else:
        db.put(key, b"another record")
    assert scrub_all(trees, db, partition, 16) == 1
    assert scrub_all(trees, db, partition, 16) == 0
    expected = PartitionTrees(SCHEME, Partitioning(3), [partition])
    expected.rebuild(db, partition)
    assert same_trees(trees[partition], expected[partition])


def test_leaves_that_there_are_not(db: lsmkv.DB) -> None:
    trees = told(Partitioning(16), range(16))
    leaf_count = 16 ** trees[0].depth
    assert trees.scrub(db, 0, leaf_count - 1, 5) == Scrubbed(None, 0)
    assert trees.scrub(db, 0, leaf_count + 7, 5) == Scrubbed(None, 0)


def test_a_tree_that_has_grown_too_full_gets_deeper(db: lsmkv.DB) -> None:
    trees = told(Partitioning(1), range(1))
    assert not trees.is_crowded(0)
    db.update({SCHEME.engine_key(Space.DATA, b"more%d" % i): b"record" for i in range(9000)})
    before = trees[0].depth
    trees.rebuild(db, 0)
    assert trees[0].depth == before
    assert trees.is_crowded(0)
    assert trees.scrub(db, 0, 5, 1).corrected == 0
    assert trees[0].depth == before, "only where a round begins"
    assert trees.scrub(db, 0, 0, 1).corrected == 0
    assert trees[0].depth == before + 1
    assert trees[0].entry_count == len(ENTRIES) + 9000
    assert not trees.is_crowded(0)
