"""What the first owner of a partition asks about deleted records: of the other owners whether they
have the same, of all members whether they keep hints, and then of the owners to forget it.

Payloads, in terms of coding.py:

    confirm, opcode 0x0901                      answer, the same opcode
    u16    partition                            DONE: for each entry, in their order,
    u64    epoch in which it was placed                u8  0 = another record is here, or none
    varint count, then for each                            1 = this record is here, and synced
           sized key, u64 entry hash            FAILED: u8 why, as in replica_messages.py

    collect, opcode 0x0902                      answer, the same opcode
    u16    partition                            DONE: for each entry, in their order,
    u64    epoch in which it was placed                u8  0 = another record is here, or none
    varint count, then for each                            1 = it was here, and is dropped
           sized key, u64 entry hash            FAILED: u8 why, as in replica_messages.py

    hints, opcode 0x0903                        answer, the same opcode
    nothing                                     DONE:
                                                u8     0 = no hint is here
                                                       1 = some are: u64 age of the oldest, ms
                                                FAILED: u8 why, as in replica_messages.py

The entry hash is that of the Merkle tree, keyed alike in the whole cluster: equal hashes are equal
records. All keys lie in the partition, and who knows another place of it refuses (STALE_EPOCH).
Hints that are not there were gone durably; who has not counted them yet is NOT_READY.

Example: of partition 2, placed in epoch 3, the key "k" with the entry hash 0x1122334455667788; and
the answer that it is here:

    02000300 00000000 00000101 6b887766
    55443322 11
    01
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.coordination.replica_messages import KEY_SIZE_MAX
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import Machine, opcode

__all__ = [
    "COLLECT",
    "CONFIRM",
    "ENTRIES_MAX",
    "HINTS",
    "Question",
    "decode_hint_age",
    "decode_question",
    "decode_same",
    "encode_hint_age",
    "encode_question",
    "encode_same",
]

CONFIRM = opcode(Machine.TOMBSTONES, 1)
COLLECT = opcode(Machine.TOMBSTONES, 2)
HINTS = opcode(Machine.TOMBSTONES, 3)
ENTRIES_MAX = 1024  # of one question


@dataclass(frozen=True, slots=True)
class Question:
    """`placed`: the partition's, as the asker knows it; `entries`: keys and digests."""

    partition: int
    placed: int
    entries: tuple[tuple[bytes, int], ...]


def encode_question(question: Question) -> bytes:
    """REQUIRES: 1 to ENTRIES_MAX entries."""
    writer = Writer().u16(question.partition).u64(question.placed).varint(len(question.entries))
    for key, digest in question.entries:
        writer.sized(key, KEY_SIZE_MAX).u64(digest)
    return writer.finish()


def decode_question(payload: bytes) -> Question:
    reader = Reader(payload)
    partition, placed = reader.u16(), reader.u64()
    entries = tuple(
        (reader.sized(KEY_SIZE_MAX), reader.u64()) for _ in range(reader.varint(ENTRIES_MAX))
    )
    reader.end()
    if not entries:
        raise Malformed("a question about nothing")
    return Question(partition, placed, entries)


def encode_same(same: Sequence[bool]) -> bytes:
    return bytes(same)


def decode_same(payload: bytes, count: int) -> tuple[bool, ...]:
    """Malformed also for what is no answer about `count` entries."""
    if len(payload) != count or any(flag > 1 for flag in payload):
        raise Malformed(f"{len(payload)} bytes as an answer about {count} entries")
    return tuple(flag == 1 for flag in payload)


def encode_hint_age(age_ms: int | None) -> bytes:
    """None: there are no hints."""
    return Writer().u8(0).finish() if age_ms is None else Writer().u8(1).u64(age_ms).finish()


def decode_hint_age(payload: bytes) -> int | None:
    reader = Reader(payload)
    kind = reader.u8()
    if kind > 1:
        raise Malformed(f"an answer of kind {kind}")
    age_ms = reader.u64() if kind else None
    reader.end()
    return age_ms
