"""What nodes ask of a replica: merge this record, what do you have for this key.

Whole merged records travel (record_format.py), never deltas, so an operation that arrives twice or
out of turn changes nothing. Payloads, in terms of coding.py:

    merge, opcode 0x0301                        answer, the same opcode
    sized  key, perhaps empty                   DONE: nothing
    rest   record                               FAILED: u8 why

    read, opcode 0x0302                         answer, the same opcode
    rest   key                                  DONE:
                                                u8     0 = nothing here
                                                       1 = a record is here: rest, the record
                                                       2 = its hash is here: u64 entry hash
                                                FAILED: u8 why

    flag  meaning
       1  sync: what is merged or read is on stable storage before the answer
       2  as hint: in the hints of the receiver, who stands in for an owner, not in its data
       4  digest: of a read, the entry's hash instead of the record
       8  repair: of a read, what is here even while the partition is not ready

    status  meaning
        64  failed: nothing was done, the payload says why
        65  hints full: nothing was done, and no hint of this size is taken now
        66  not owner: nothing was done, the receiver does not own the key and this is no hint

    why  failure
      1  corrupt: what is stored here cannot be read
      2  invalid: the record that was to be merged is damaged
      3  full: no space left
      4  broken: an I/O error
      5  lost dot: the record shows a write of this store that the store lacks

Example: merge of key "k" with the bytes "rec": `01 6b 726563`. The entry hash is that of the Merkle
tree, keyed alike in the whole cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import Machine, opcode
from lsmkv_cluster.storage.engine_key import CLIENT_KEY_SIZE_MAX
from lsmkv_cluster.storage.storage_orders import Failure
from lsmkv_cluster.versions.record_format import RECORD_SIZE_MAX

__all__ = [
    "KEY_SIZE_MAX",
    "MERGE",
    "READ",
    "Found",
    "ReplicaFlags",
    "ReplicaStatus",
    "decode_failure",
    "decode_found",
    "decode_merge",
    "decode_read",
    "encode_failure",
    "encode_found",
    "encode_merge",
    "encode_read",
]

MERGE = opcode(Machine.REPLICA, 1)
READ = opcode(Machine.REPLICA, 2)
KEY_SIZE_MAX = CLIENT_KEY_SIZE_MAX  # bytes; a key may be empty

_NOTHING, _RECORD, _DIGEST = range(3)


class ReplicaFlags(IntFlag):
    """Persistent. MERGE knows the first two, READ all."""

    NONE = 0
    SYNC = 1
    AS_HINT = 2
    DIGEST = 4
    REPAIR = 8  # else two owners that lost their copies could never fill each other


class ReplicaStatus(IntEnum):
    """How MERGE and READ end besides OperationStatus. Persistent."""

    FAILED = 64  # the payload is encode_failure's
    HINTS_FULL = 65
    NOT_OWNER = 66


_NUMBERS = {
    Failure.CORRUPT: 1,
    Failure.INVALID: 2,
    Failure.FULL: 3,
    Failure.BROKEN: 4,
    Failure.LOST_DOT: 5,
}
_FAILURES = {number: failure for failure, number in _NUMBERS.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a READ: a record, its digest, or neither where nothing is stored."""

    record: bytes | None = None
    digest: int | None = None


def encode_merge(key: bytes, record: bytes) -> bytes:
    """ValueError when key or record are over their limits."""
    _check_key(key)
    if not 1 <= len(record) <= RECORD_SIZE_MAX:
        raise ValueError(f"a record of {len(record)} bytes")
    return Writer().sized(key, KEY_SIZE_MAX).raw(record).finish()


def decode_merge(payload: bytes) -> tuple[bytes, bytes]:
    """Key and record; the record is checked by whoever merges it."""
    reader = Reader(payload)
    key = reader.sized(KEY_SIZE_MAX)
    return key, _rest_as_record(reader)


def encode_read(key: bytes) -> bytes:
    _check_key(key)
    return key


def decode_read(payload: bytes) -> bytes:
    if len(payload) > KEY_SIZE_MAX:
        raise Malformed(f"a key of {len(payload)} bytes")
    return payload


def encode_found(found: Found) -> bytes:
    if found.record is not None:
        return Writer().u8(_RECORD).raw(found.record).finish()
    if found.digest is not None:
        return Writer().u8(_DIGEST).u64(found.digest).finish()
    return Writer().u8(_NOTHING).finish()


def decode_found(payload: bytes) -> Found:
    reader = Reader(payload)
    kind = reader.u8()
    if kind == _RECORD:
        return Found(record=_rest_as_record(reader))
    if kind > _DIGEST:
        raise Malformed(f"an answer of kind {kind}")
    found = Found(digest=reader.u64()) if kind == _DIGEST else Found()
    reader.end()
    return found


def encode_failure(failure: Failure) -> bytes:
    return Writer().u8(_NUMBERS[failure]).finish()


def decode_failure(payload: bytes) -> Failure:
    reader = Reader(payload)
    number = reader.u8()
    reader.end()
    if number not in _FAILURES:
        raise Malformed(f"unknown failure {number}")
    return _FAILURES[number]


def _check_key(key: bytes) -> None:
    if len(key) > KEY_SIZE_MAX:
        raise ValueError(f"a key of {len(key)} bytes")


def _rest_as_record(reader: Reader) -> bytes:
    if not 1 <= reader.left <= RECORD_SIZE_MAX:
        raise Malformed(f"a record of {reader.left} bytes")
    return reader.fixed(reader.left)
