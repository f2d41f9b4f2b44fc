"""Work that a node gives to its store: orders and their results, as plain values.

Machines make orders, the store (store.py) carries them out one after the other, in the order in
which they were given; the driver decides when and on which thread. Keys are those of clients; the
store makes engine keys of them (engine_key.py).

    order        result       what it does
    Read         Values       stored records, checked
    Merge        Merged       join records into what is stored, atomically for each key
    Mint         Merged       read, decide, write, atomically for each key
    Sync         Done         everything merged before this order is on stable storage
    ListEntries  Entries      keys and hashes of a range of tokens, for repair
    Drop         Done         forget hints that are still what they were
    ListDeleted  DeletedEntries  records of a range that say nothing any more, or have expired
    Confirm      Confirmed    which records are still what they were; those are on stable storage
    Collect      Merged       forget records that are still what they were
    Persist      Done         the identity of the store (actor.py), synced
    Remember     Done         a note of the node, synced; Recall reads it at the start
    Scrub        Scrubbed     compare a part of a partition's tree with what is on disk
    Discard      Done         drop a partition, marked incomplete first: it cannot be read, or its
                              copy begins anew
    MakeRoom     Done         drop what there may be of partitions whose copies come, all marked
                              incomplete first
    Release      Done         drop what there is of partitions that are not kept here
    Suspect      Done         mark partitions incomplete and keep what is there, synced; what they
                              lack takes the place of what they were said to lack before
    Complete     Done         take that mark away, synced

An order fails as a whole (Failed) only where its result has no place for a failure of one key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum

from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.versions.actor import Identity

__all__ = [
    "Collect",
    "Complete",
    "Confirm",
    "Confirmed",
    "DeletedEntries",
    "DeletedEntry",
    "Discard",
    "Done",
    "Drop",
    "Entries",
    "Entry",
    "Failed",
    "Failure",
    "Lack",
    "ListDeleted",
    "ListEntries",
    "MakeRoom",
    "Merge",
    "Merged",
    "Mint",
    "Order",
    "Persist",
    "Read",
    "Release",
    "Remember",
    "Result",
    "Scrub",
    "Scrubbed",
    "Space",
    "Suspect",
    "Sync",
    "Values",
]


class Failure(Enum):
    """Why the store did not do something for a key. Nothing was written for it, but in the case of
    BROKEN, where what was written may get lost."""

    CORRUPT = "what is stored here cannot be read"
    INVALID = "the record that was to be merged is damaged, or not one of ours"
    FULL = "no space left"
    BROKEN = "an I/O error; the store refuses writes until it is opened again"
    LOST_DOT = "the record shows a write of this store that the store lacks"


class Lack(IntEnum):
    """What a copy may lack; the larger is the worse. The numbers are stored (store_marks.py)."""

    UNSYNCED = 1  # writes that were not synced when it ended
    LOST = 2  # anything


# --- orders --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """`durable`: what is returned must be on stable storage first."""

    space: Space
    keys: tuple[bytes, ...]
    durable: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """`records`: (key, record). A key may come twice."""

    space: Space
    records: tuple[tuple[bytes, bytes], ...]
    sync: bool = False


@dataclass(frozen=True, slots=True)
class Mint:
    """`decide(index, stored record or None)` gives the record that takes its place, or None to
    leave it. It may be called more than once for an index: the last call counts, what an earlier
    one gave was not written. What it raises comes out of the store, and nothing was written for
    that index."""

    space: Space
    keys: tuple[bytes, ...]
    decide: Callable[[int, bytes | None], bytes | None]
    sync: bool = False


@dataclass(frozen=True, slots=True)
class Sync:
    pass


@dataclass(frozen=True, slots=True)
class ListEntries:
    """At most `count_max` entries with tokens in [first, end), behind the engine key `after`."""

    space: Space
    first: int
    end: int
    after: bytes = b""
    count_max: int = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """`digest` is the entry's hash in the Merkle tree (entry_hash)."""

    key: bytes
    digest: int
    size: int  # bytes of the record


@dataclass(frozen=True, slots=True)
class Drop:
    """`entries`: (key, digest); one that has changed since stays."""

    space: Space
    entries: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class ListDeleted:
    """Of Space.DATA, the records with tokens in [first, end) behind the engine key `after`; looks
    at so many of them, or so many bytes, as said, at one at least."""

    first: int
    end: int
    after: bytes
    count_max: int
    size_max_bytes: int
    expired_by_ms: int  # what expires until then counts as expired


@dataclass(frozen=True, slots=True)
class DeletedEntry:
    """A record that says nothing any more (deletion.py)."""

    key: bytes
    digest: int  # as in Entry
    newest_ms: int  # no write that it has seen is newer


@dataclass(frozen=True, slots=True)
class Confirm:
    """`entries` of Space.DATA: (key, digest)."""

    entries: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Collect:
    """`entries` of Space.DATA: (key, digest); one that has changed since stays."""

    entries: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Persist:
    identity: Identity


@dataclass(frozen=True, slots=True)
class Remember:
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Scrub:
    """The leaves from `leaf` on, `leaf_count` of them, of an owned partition."""

    partition: int
    leaf: int
    leaf_count: int


@dataclass(frozen=True, slots=True)
class Discard:
    """Of Space.HINT the hints of a partition, which leaves no mark."""

    partition: int
    space: Space = Space.DATA


@dataclass(frozen=True, slots=True)
class MakeRoom:
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """All others are dropped, durably."""

    kept: frozenset[int]


@dataclass(frozen=True, slots=True)
class Suspect:
    """Something may be missing from them."""

    partitions: tuple[int, ...]
    lack: Lack


@dataclass(frozen=True, slots=True)
class Complete:
    """The partition has been filled from others. Without sync the mark may be there again after a
    power loss, which does no harm."""

    partition: int
    sync: bool = True


Order = (
    Read
    | Merge
    | Mint
    | Sync
    | ListEntries
    | Drop
    | ListDeleted
    | Confirm
    | Collect
    | Persist
    | Remember
    | Scrub
    | Discard
    | MakeRoom
    | Release
    | Suspect
    | Complete
)


# --- results -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Values:
    """One for each key: the record, None where there is none, or why it cannot be read."""

    values: tuple[bytes | Failure | None, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """One for each record or key: whether it changed what is stored, or why it failed."""

    outcomes: tuple[bool | Failure, ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """`after` is where to go on; None at the end of the range."""

    entries: tuple[Entry, ...]
    after: bytes | None


@dataclass(frozen=True, slots=True)
class DeletedEntries:
    """`expired`: keys of records with items that have expired. `after` is where to go on; None at
    the end of the range."""

    entries: tuple[DeletedEntry, ...]
    expired: tuple[bytes, ...]
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """One for each entry."""

    same: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """`corrected`: leaves whose digest in memory was not that of the entries."""

    next_leaf: int | None
    corrected: int


@dataclass(frozen=True, slots=True)
class Done:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    failure: Failure


Result = Values | Merged | Entries | DeletedEntries | Confirmed | Scrubbed | Done | Failed
