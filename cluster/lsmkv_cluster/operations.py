"""Lists of operations: what frames and datagrams carry. This module knows no opcode's meaning.

An opcode is `machine << 8 | number`: the high byte names the machine that understands it, so that
ranges are given out here and everything below them by the machine. A list, byte by byte:

    off  size  operation
      0     2  opcode
      2     1  flags: their meaning belongs to the opcode
      3     1  status: 0 in a request, an OperationStatus in a response
      4     4  payload size in bytes
      8     .  payload; the next operation follows at once

A list is exactly as long as what carries it says. Example: opcode 0x0301, no flags, payload "kv":

    01030000 02000000 6b76

What a receiver does not know is no error of the frame: `sort_out` answers such operations one by
one with a typed status and leaves the others to their machines.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from lsmkv_cluster.errors import Malformed

__all__ = [
    "OPERATION_HEADER_SIZE",
    "Machine",
    "Operation",
    "OperationStatus",
    "SortedOperations",
    "encode_operations",
    "decode_operations",
    "encoded_size",
    "opcode",
    "refused",
    "sort_out",
]

OPERATION_HEADER_SIZE = 8
PAYLOAD_SIZE_MAX = (1 << 32) - 1

_HEADER = struct.Struct("<HBBI")


class Machine(IntEnum):
    """The high byte of an opcode. Persistent; 0 is none, 0x40 to 0x7F are free, from 0x80 on they
    are for experiments and never in a release."""

    CONNECTION = 0x01  # handshake and refusals
    MEMBERSHIP = 0x02
    REPLICA = 0x03  # reads, writes, digests of records
    COORDINATOR = 0x04  # forwarded requests of clients
    HINTS = 0x05
    ANTIENTROPY = 0x06
    TOPOLOGY = 0x07
    TRANSFER = 0x08
    TOMBSTONES = 0x09
    SCAN = 0x0A
    ADMIN = 0x0B


class OperationStatus(IntEnum):
    """What became of one operation. 0 stands in requests; from 64 on a machine's own."""

    DONE = 1
    UNKNOWN_OPCODE = 2  # nothing was done
    UNKNOWN_FLAGS = 3  # nothing was done
    MALFORMED = 4  # the payload is not one of this opcode; nothing was done
    EXPIRED = 5  # the deadline had passed on arrival; nothing was done
    STALE_EPOCH = 6  # the receiver's epoch is another one; nothing was done
    OVERLOADED = 7  # nothing was done
    NOT_READY = 8  # the partition is being filled, which is not "not found"


class Operation(NamedTuple):
    """One operation, or the answer to one.

    A named tuple because a node makes hundreds of thousands a second: less than half the cost of a
    frozen dataclass.
    """

    opcode: int
    payload: bytes = b""
    flags: int = 0
    status: int = 0


def opcode(machine: Machine, number: int) -> int:
    """The opcode of a machine's `number`, 1 to 255."""
    if not 1 <= number <= 255:
        raise ValueError(f"an opcode's number is 1 to 255, not {number}")
    return machine << 8 | number


def encoded_size(operations: Sequence[Operation]) -> int:
    """How many bytes the list takes."""
    size = OPERATION_HEADER_SIZE * len(operations)
    for operation in operations:
        size += len(operation.payload)
    return size


def encode_operations(operations: Sequence[Operation]) -> bytes:
    """The list as bytes. ValueError when a field does not fit."""
    parts: list[bytes] = []
    pack = _HEADER.pack
    try:
        for code, payload, flags, status in operations:
            parts.append(pack(code, flags, status, len(payload)))
            parts.append(payload)
    except struct.error as error:
        raise ValueError(f"an operation that does not fit: {error}") from error
    return b"".join(parts)


def decode_operations(body: bytes, count: int) -> tuple[Operation, ...]:
    """Exactly `count` operations that fill `body`; Malformed otherwise.

    REQUIRES: `count` was checked against a limit. Payloads are copies.
    """
    found: list[Operation] = []
    position, end = 0, len(body)
    if count * OPERATION_HEADER_SIZE > end:
        raise Malformed(f"{count} operations in {end} bytes")
    unpack, make = _HEADER.unpack_from, Operation._make
    for _ in range(count):
        start = position + OPERATION_HEADER_SIZE
        if start > end:
            raise Malformed(f"an operation's header at {position} of {end} bytes")
        code, flags, status, size = unpack(body, position)
        position = start + size
        if position > end:
            raise Malformed(f"a payload of {size} bytes at {start} of {end} bytes")
        found.append(make((code, body[start:position], flags, status)))
    if position != end:
        raise Malformed(f"{end - position} bytes after the last operation")
    return tuple(found)


def refused(operation: Operation, status: OperationStatus) -> Operation:
    """The answer that refuses `operation`: the same opcode and nothing else of it."""
    return Operation(operation.opcode, b"", 0, status)


@dataclass(frozen=True, slots=True)
class SortedOperations:
    """The operations of a request by their index in it: to be carried out, or answered already."""

    known: tuple[tuple[int, Operation], ...]
    refused: tuple[tuple[int, Operation], ...]


def sort_out(operations: Sequence[Operation], flags_known: Mapping[int, int]) -> SortedOperations:
    """Separate what the receiver knows from what it must refuse.

    `flags_known` maps every opcode the receiver carries out to the mask of flags it understands.
    """
    known: list[tuple[int, Operation]] = []
    answers: list[tuple[int, Operation]] = []
    for index, operation in enumerate(operations):
        mask = flags_known.get(operation.opcode)
        if mask is None:
            answers.append((index, refused(operation, OperationStatus.UNKNOWN_OPCODE)))
        elif operation.flags & ~mask:
            answers.append((index, refused(operation, OperationStatus.UNKNOWN_FLAGS)))
        else:
            known.append((index, operation))
    return SortedOperations(tuple(known), tuple(answers))
