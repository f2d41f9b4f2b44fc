"""The small surface the cluster is built on; also useful for counters, shipping and comparison.

    merge_batch    read-merge-write of many keys in one atomic batch, through a native or Python
                   function; gives back what it read, or what changed in a Merkle tree
    export_range   the pairs of a range in bounded chunks, as of one moment
    drop_range     forget a key range in one atomic manifest edit, without per-key deletes
    digest_range   an order-independent digest of a range's live pairs, to compare two stores
    is_braking     whether a write may have to wait
    sequences      how far a store is, and how far that is durable
    MerkleTree     where two stores differ; entry_hash and key_token place an entry in it
    siphash        a keyed hash of 64 bits, for keys that strangers choose
    RecordMerger   merges records with vector clocks; its `hook` is a native function of merge_batch
    Registers      serves plain GETs and SETs of such records, from a parser to a writer;
                   overwrite_register makes one record
    RequestParser  commands of Redis clients, from bytes; ReplyWriter writes what they are answered,
                   ReplyParser reads that

The functions work on an open lsmkv.DB; the classes stand by themselves. Nothing else in the engine
is meant for other packages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsmkv._native.merkle import MerkleTree, entry_hash, key_token, siphash
from lsmkv._native.record import RecordMerger
from lsmkv._native.registers import Registers, overwrite_register
from lsmkv._native.resp import RequestParser
from lsmkv._native.resp_reply import ReplyParser
from lsmkv._native.resp_writer import OutputFull, ReplyWriter
from lsmkv._native.upsert import merge_batch
from lsmkv.keys import key_range

if TYPE_CHECKING:
    from lsmkv._native.types import Buffer
    from lsmkv.db import DB

__all__ = [
    "merge_batch",
    "export_range",
    "drop_range",
    "digest_range",
    "RangeDigest",
    "is_braking",
    "sequences",
    "Sequences",
    "MerkleTree",
    "entry_hash",
    "key_token",
    "siphash",
    "RecordMerger",
    "Registers",
    "overwrite_register",
    "RequestParser",
    "ReplyWriter",
    "OutputFull",
    "ReplyParser",
]

CHUNK_SIZE = 1 << 20  # bytes of keys and values


@dataclass(frozen=True)
class RangeDigest:
    """How many live pairs a range has, and the sum of their 128-bit hashes modulo 2**128.

    Equal pairs give equal digests whatever the order of writes, flushes and compactions. Not secret
    and not safe against somebody who chooses the data.
    """

    entry_count: int
    digest: int


@dataclass(frozen=True)
class Sequences:
    """Of the newest operation that was applied, and of the newest one that is certain to be durable
    (0 until the first sync after opening)."""

    applied: int
    durable: int


def export_range(
    db: DB,
    start: Buffer | None = None,
    stop: Buffer | None = None,
    *,
    chunk_size_bytes: int = CHUNK_SIZE,
) -> Iterator[list[tuple[bytes, bytes]]]:
    """The pairs in [start, stop) in key order, in lists of about `chunk_size_bytes`, as of the
    first call.

    A chunk is handed out once it has reached that size, so one large value may exceed it. The
    moment stays pinned until the iterator ends or is closed.
    """
    if chunk_size_bytes < 1:
        raise ValueError("chunk_size_bytes must be positive")
    chunk: list[tuple[bytes, bytes]] = []
    size = 0
    with db.scan(start, stop) as scan:
        for key, value in scan:
            chunk.append((key, value))
            size += len(key) + len(value)
            if size >= chunk_size_bytes:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def drop_range(db: DB, start: Buffer | None = None, stop: Buffer | None = None) -> None:
    """Forget every key in [start, stop) that was written before this call, durably and at once.

    One manifest edit; tables inside the range are deleted, tables that reach out of it are trimmed.
    Costs a flush, not a scan. Open snapshots and iterators still see what they saw. Writes made
    while it runs may stay.
    """
    db._drop_range(key_range(start, stop))


def digest_range(db: DB, start: Buffer | None = None, stop: Buffer | None = None) -> RangeDigest:
    """The digest of the live pairs in [start, stop), as of now. Reads the whole range."""
    with db.keys(start, stop) as scan:
        entry_count, digest = scan.digest()
    return RangeDigest(entry_count, digest)


def is_braking(db: DB) -> bool:
    """Whether a write may have to wait, as writers are ahead of the background."""
    return db._is_braking


def sequences(db: DB) -> Sequences:
    """Costs next to nothing, unlike stats()."""
    db._refuse_read()
    return Sequences(db._sequence, db._durable_sequence())
