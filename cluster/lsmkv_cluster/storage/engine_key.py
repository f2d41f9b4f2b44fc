"""Keys of the engine: where the records of clients, hints, trees and marks stand in one database.

    off size  engine key
      0    1  space
      1    2  slot, big-endian
      3    5  hash: the upper 40 bits of SipHash-2-4 of the client key, big-endian
      8    .  client key, 0 bytes to 64 KiB - 8

The first 8 bytes, read as one number, are the token: its order is that of the keys. So the entries
of a partition, as of any range of tokens, are one range of the engine, and a node of a Merkle tree
is one, too. The hash spreads the keys of a slot evenly, and makes the first 8 bytes of nearly every
key another, which is what the engine compares first. It is keyed, so that clients cannot choose
keys that fall together.

The hash key has 16 bytes: BLAKE2b of the topology's key seed (8 bytes, little-endian) with person
"lsmkv engine key"; the key of the hashes in Merkle trees is the same with person
"lsmkv merkle key". Both are the same on all nodes, for ever.

Trees and marks (partition_trees.py, store_marks.py) have a name instead of hash and client key: the
hash is 0.

Example: key "k" in Space.DATA under the key seed 1122334455667788; its slot is 7629:

    01 1d cd 37 eb 7b bb 71 6b                          space, slot, hash, "k"
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b

from lsmkv.kernel import siphash
from lsmkv_cluster.placement.slots import SLOT_COUNT, Partitioning, slot_of

__all__ = [
    "CLIENT_KEY_SIZE_MAX",
    "HASH_BITS",
    "HEAD_SIZE",
    "KeyRange",
    "KeyScheme",
    "Space",
    "TokenRange",
    "client_key",
    "named_key",
    "partition_of_token",
    "partition_runs",
    "partition_tokens",
    "slot_in",
    "space_tokens",
]

HEAD_SIZE = 8  # bytes: the token
HASH_BITS = 40
SLOT_BITS = 16
SPACE_SHIFT = HASH_BITS + SLOT_BITS
TOKEN_END = 1 << 64
CLIENT_KEY_SIZE_MAX = (64 << 10) - HEAD_SIZE  # bytes; the engine's limit less the head


class Space(IntEnum):
    """The first byte of an engine key. Persistent."""

    DATA = 1  # records of the partitions that this node owns
    HINT = 2  # records kept for owners that were away
    TREE = 3  # checkpoints of Merkle trees
    META = 4  # identity, notes, marks


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Engine keys in [start, stop)."""

    start: bytes
    stop: bytes | None  # None: to the end


@dataclass(frozen=True, slots=True)
class TokenRange:
    """Tokens in [first, end); both may be 2**64."""

    first: int
    end: int

    @property
    def keys(self) -> KeyRange:
        if self.first >= TOKEN_END:
            return KeyRange(b"", b"")
        stop = self.end.to_bytes(HEAD_SIZE, "big") if self.end < TOKEN_END else None
        return KeyRange(self.first.to_bytes(HEAD_SIZE, "big"), stop)

    def clipped(self, other: TokenRange) -> TokenRange:
        """What both have, perhaps nothing."""
        first = max(self.first, other.first)
        return TokenRange(first, max(first, min(self.end, other.end)))


class KeyScheme:
    """Makes engine keys of the keys of one cluster."""

    def __init__(self, key_seed: int) -> None:
        seed = key_seed.to_bytes(8, "little")
        self.hash_key = blake2b(seed, digest_size=16, person=b"lsmkv engine key").digest()
        self.tree_key = blake2b(seed, digest_size=16, person=b"lsmkv merkle key").digest()

    def engine_key(self, space: Space, key: bytes) -> bytes:
        # Once for every record that is read or written: the usual key has no hash tag.
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) % SLOT_COUNT
        hashed = siphash(self.hash_key, key) >> 64 - HASH_BITS
        return (space << SPACE_SHIFT | slot << HASH_BITS | hashed).to_bytes(8, "big") + key


def client_key(engine_key: bytes) -> bytes:
    return engine_key[HEAD_SIZE:]


def slot_in(engine_key: bytes) -> int:
    return int.from_bytes(engine_key[1:3], "big")


def named_key(space: Space, slot: int, name: bytes = b"") -> bytes:
    """The key of a tree or mark."""
    return _first_token(space, slot).to_bytes(HEAD_SIZE, "big") + name


def partition_tokens(space: Space, partitioning: Partitioning, partition: int) -> TokenRange:
    slots = partitioning.slots_of(partition)
    return TokenRange(_first_token(space, slots.start), _first_token(space, slots.stop))


def partition_runs(
    space: Space, partitioning: Partitioning, partitions: Iterable[int]
) -> list[TokenRange]:
    """The tokens of ascending partitions, those that touch as one range."""
    runs: list[TokenRange] = []
    for partition in partitions:
        tokens = partition_tokens(space, partitioning, partition)
        if runs and runs[-1].end == tokens.first:
            tokens = TokenRange(runs.pop().first, tokens.end)
        runs.append(tokens)
    return runs


def partition_of_token(partitioning: Partitioning, token: int) -> int:
    """In any space. A slot beyond the last one gives a partition that there is not."""
    return partitioning.partition_of(token >> HASH_BITS & (1 << SLOT_BITS) - 1)


def space_tokens(space: Space) -> TokenRange:
    return TokenRange(_first_token(space, 0), _first_token(space, 1 << SLOT_BITS))


def _first_token(space: Space, slot: int) -> int:
    return (space << SPACE_SHIFT) + (slot << HASH_BITS)
