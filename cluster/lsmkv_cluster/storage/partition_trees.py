"""The Merkle trees of a store: one for each partition that it keeps.

A tree says at any moment what the entries in the engine say: it is told of every change in the step
that makes it, and built anew from the entries after an end that was not clean. At a clean end the
trees are kept as checkpoints (kernels/merkle.h) in Space.TREE, under the first slot of their
partition; a checkpoint that is damaged, or of other slots, is none.

A tree begins at the first token of its partition in Space.DATA and covers a power of two of slots,
which may reach beyond the partition: there it is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import ne

from lsmkv import DB, Error
from lsmkv.kernel import MerkleTree, export_range
from lsmkv_cluster.placement.slots import SLOT_COUNT, Partitioning
from lsmkv_cluster.storage.engine_key import (
    HASH_BITS,
    KeyScheme,
    Space,
    TokenRange,
    named_key,
    partition_tokens,
)
from lsmkv_cluster.storage.storage_orders import Scrubbed

__all__ = ["Change", "PartitionTrees"]

SLOT_MASK = (1 << 16) - 1
LEAF_ENTRIES_MAX = 32  # as merkle.h: beyond it on average a tree wants another level
ENTRIES_LEAST = 8192  # a partition is expected to have: 256 leaves

Change = tuple[int, int, int]  # token, old hash, new hash


class PartitionTrees:
    """`kept` partitions of `partitioning`; trees are empty until they are restored or rebuilt."""

    def __init__(self, scheme: KeyScheme, partitioning: Partitioning, kept: Iterable[int]) -> None:
        self._scheme = scheme
        self._partitioning = partitioning
        self._trees: dict[int, MerkleTree] = {}
        self._by_slot: list[MerkleTree | None] = [None] * SLOT_COUNT
        for partition in kept:
            self.clear(partition)

    def __getitem__(self, partition: int) -> MerkleTree:
        return self._trees[partition]

    def __contains__(self, partition: int) -> bool:
        return partition in self._trees

    def __iter__(self) -> Iterator[int]:
        return iter(self._trees)

    @property
    def by_slot(self) -> list[MerkleTree | None]:
        """The same list for ever: what is in it changes."""
        return self._by_slot

    def tokens(self, partition: int) -> TokenRange:
        """Where the entries of a partition stand."""
        return partition_tokens(Space.DATA, self._partitioning, partition)

    def apply(self, changes: Iterable[Change | None]) -> None:
        """What merge_batch gave back for entries in Space.DATA; what is not owned has no tree."""
        by_slot = self._by_slot
        for change in changes:
            if change is not None:
                token, old_hash, new_hash = change
                tree = by_slot[token >> HASH_BITS & SLOT_MASK]
                if tree is not None:
                    tree.update(token, old_hash, new_hash)

    # --- building

    def remove(self, partition: int) -> None:
        """It is not kept any more, if it was."""
        if self._trees.pop(partition, None) is not None:
            slots = self._partitioning.slots_of(partition)
            self._by_slot[slots.start : slots.stop] = [None] * len(slots)

    def clear(self, partition: int, expected_entries: int = ENTRIES_LEAST) -> None:
        self._put(partition, self._empty(partition, expected_entries))

    def rebuild(self, db: DB, partition: int, expected_entries: int = ENTRIES_LEAST) -> None:
        """From the entries. If those cannot be read, CorruptionError, and the tree stays."""
        tree = self._empty(partition, expected_entries)
        keys = self.tokens(partition).keys
        for chunk in export_range(db, keys.start, keys.stop):
            tree.add_entries(self._scheme.tree_key, chunk)
        self._put(partition, tree)

    def is_crowded(self, partition: int) -> bool:
        """Whether the tree is to be rebuilt with more leaves."""
        tree = self._trees[partition]
        wanted = self._empty(partition, tree.entry_count).depth
        return tree.entry_count > LEAF_ENTRIES_MAX << 4 * tree.depth and wanted > tree.depth

    def _empty(self, partition: int, expected_entries: int) -> MerkleTree:
        return MerkleTree(
            self.tokens(partition).first,
            self._span_bits(partition),
            expected_entries=max(expected_entries, ENTRIES_LEAST),
        )

    def _span_bits(self, partition: int) -> int:
        return HASH_BITS + (len(self._partitioning.slots_of(partition)) - 1).bit_length()

    def _put(self, partition: int, tree: MerkleTree) -> None:
        self._trees[partition] = tree
        slots = self._partitioning.slots_of(partition)
        self._by_slot[slots.start : slots.stop] = [tree] * len(slots)

    # --- comparing with the entries

    def scrub(self, db: DB, partition: int, leaf: int, leaf_count: int) -> Scrubbed:
        """Compare leaves with the entries that belong there; if one differs, rebuild the tree.
        Errors of the engine come out."""
        tree = self._trees[partition]
        stop = min(leaf + leaf_count, len(tree.level(tree.depth)))
        corrected = 0
        if leaf < stop:
            corrected = self._count_differing(db, partition, range(leaf, stop))
        if corrected or (leaf == 0 and self.is_crowded(partition)):
            self.rebuild(db, partition, tree.entry_count)
        return Scrubbed(stop if stop < len(tree.level(tree.depth)) else None, corrected)

    def _count_differing(self, db: DB, partition: int, leaves: range) -> int:
        tree = self._trees[partition]
        first, _ = tree.token_range(tree.depth, leaves.start)
        _, end = tree.token_range(tree.depth, leaves[-1])
        keys = TokenRange(first, end).clipped(self.tokens(partition)).keys
        found = MerkleTree(tree.start, tree.span_bits, depth=tree.depth)
        for chunk in export_range(db, keys.start, keys.stop):
            found.add_entries(self._scheme.tree_key, chunk)
        place = slice(leaves.start, leaves.stop)
        ours, theirs = tree.level(tree.depth)[place], found.level(tree.depth)[place]
        return 0 if ours == theirs else sum(map(ne, ours, theirs))

    # --- checkpoints

    def checkpoints(self) -> Iterator[tuple[bytes, bytes]]:
        """Engine keys and values."""
        for partition, tree in self._trees.items():
            yield self._checkpoint_key(partition), tree.checkpoint()

    def restore(self, db: DB, partition: int) -> bool:
        """Whether there is a checkpoint, and it is sound."""
        try:
            data = db.get(self._checkpoint_key(partition))
            tree = None if data is None else MerkleTree.from_checkpoint(data)
        except Error:
            return False
        place = (self.tokens(partition).first, self._span_bits(partition))
        if tree is None or (tree.start, tree.span_bits) != place:
            return False
        self._put(partition, tree)
        return True

    def _checkpoint_key(self, partition: int) -> bytes:
        return named_key(Space.TREE, self._partitioning.slots_of(partition).start)
