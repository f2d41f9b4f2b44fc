"""Opening the store of a node.

Opening reads the marks, and gives every partition that is kept its tree. After a clean end that is
a checkpoint; otherwise, and where a checkpoint is missing or damaged, the entries are read.
`was_closed` is true once only: the mark of a clean end is gone, synced, before anything else is
done. It names the engine's sequence, so it does not count if somebody wrote after it; nor does it
after a repair, which leaves out what was damaged.

Partitions and hints that cannot be read do not keep the store from opening: they are in `damaged`
and `damaged_hints`, and the tree of such a partition is empty until it was dropped (Discard) and
filled again. Hints are read at every opening; entries behind a checkpoint are not, so damage to
them is met later, by whoever reads them. Marks that cannot be read are fatal: CorruptionError;
errors of the system come out as they are, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lsmkv import DB, CorruptionError, StorageError
from lsmkv.kernel import digest_range, sequences
from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.slots import Partitioning
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import decode_topology
from lsmkv_cluster.storage.engine_key import Space, TokenRange, partition_tokens, space_tokens
from lsmkv_cluster.storage.storage_orders import Lack
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.storage.store_failures import is_damage
from lsmkv_cluster.storage.store_marks import CLOSED_KEY, Marks, note_key, read_marks
from lsmkv_cluster.versions.actor import Identity

__all__ = ["TOPOLOGY_NOTE", "Opened", "open_store", "stored_topology"]

TOPOLOGY_NOTE = b"topology"


@dataclass(frozen=True, slots=True)
class Opened:
    """The store and what was found in it."""

    store: Store
    identity: Identity | None  # None: a new store
    notes: Mapping[bytes, bytes]  # what Remember left
    was_closed: bool
    sequence: int  # of the engine; at least that of everything that was durable
    damaged: frozenset[int]  # partitions whose entries cannot be read
    damaged_hints: frozenset[int]  # partitions whose hints cannot be read


def open_store(db: DB, topology: Topology, me: MemberId, *, is_log_sound: bool = True) -> Opened:
    """`is_log_sound`: the database had to be repaired neither now nor since its last clean end."""
    sequence = sequences(db).applied
    keys = space_tokens(Space.META).keys
    with db.scan(keys.start, keys.stop) as scan:
        marks = read_marks(scan)
    was_closed = marks.closed_at == sequence and is_log_sound
    if marks.closed_at is not None:
        db.delete(CLOSED_KEY, sync=True)
    store = Store(db, topology, me, marks.identity)
    partitioning = topology.partitioning
    store.incomplete.update(_incomplete(marks, partitioning))
    return Opened(
        store=store,
        identity=marks.identity,
        notes=marks.notes,
        was_closed=was_closed,
        sequence=sequence,
        damaged=_fill_trees(store, db, trust_checkpoints=was_closed),
        damaged_hints=_damaged_hints(db, partitioning),
    )


def stored_topology(db: DB) -> Topology | None:
    """The document that the node adopted last; None in a new store. CorruptionError when it cannot
    be read: the node does not know whom it may listen to."""
    data = db.get(note_key(TOPOLOGY_NOTE))
    if data is None:
        return None
    try:
        return decode_topology(data)
    except TopologyError as error:
        raise CorruptionError(f"the topology that the store keeps: {error}") from error


def _incomplete(marks: Marks, partitioning: Partitioning) -> dict[int, Lack]:
    """By partition, the worst that was said; there may have been more or fewer partitions then."""
    found: dict[int, Lack] = {}
    for slots, lack in marks.incomplete:
        first, last = partitioning.partition_of(slots[0]), partitioning.partition_of(slots[-1])
        for partition in range(first, last + 1):
            found[partition] = max(lack, found.get(partition, lack))
    return found


def _fill_trees(store: Store, db: DB, *, trust_checkpoints: bool) -> frozenset[int]:
    """The partitions that cannot be read."""
    trees = store.trees
    owned = list(trees)
    expected = db.approximate_len() // max(1, len(owned))
    damaged: set[int] = set()
    for partition in owned:
        if trust_checkpoints and trees.restore(db, partition):
            continue
        try:
            trees.rebuild(db, partition, expected)
        except (CorruptionError, StorageError) as error:
            if not is_damage(error):
                raise
            damaged.add(partition)
    return frozenset(damaged)


def _damaged_hints(db: DB, partitioning: Partitioning) -> frozenset[int]:
    """The partitions whose hints cannot be read."""
    everywhere = space_tokens(Space.HINT)
    if _can_read(db, everywhere):
        return frozenset()
    return frozenset(
        partition
        for partition in range(partitioning.count)
        if not _can_read(db, partition_tokens(Space.HINT, partitioning, partition))
    )


def _can_read(db: DB, tokens: TokenRange) -> bool:
    keys = tokens.keys
    try:
        digest_range(db, keys.start, keys.stop)
    except (CorruptionError, StorageError) as error:
        if not is_damage(error):
            raise
        return False
    return True
