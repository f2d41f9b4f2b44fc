"""What members say to decide on the next topology document, and to learn it.

Payloads, in terms of coding.py; documents as in topology_format.py, to the end of the payload:

    prepare, opcode 0x0701                  answer, the same opcode
    u64  the epoch that is to be decided    u64  ballot of the document accepted last, 0: none
    u64  ballot                             .    that document

    accept, opcode 0x0702                   answer
    u64  the epoch that is to be decided    nothing
    u64  ballot
    .    document

    publish, opcode 0x0703                  answer
    .    document that was decided on       nothing

    fetch, opcode 0x0704                    answer
    u64  epoch of the asker's document      .    the answerer's document, nothing if it is older
    32   its hash                                or the same one

    report, opcode 0x0705                   answer
    u64  epoch of the asker's document      u64  epoch of the document that the answerer works by
                                            u8   flags 1: keeps hints, 2: no vote
                                            partitions that it has filled
                                            partitions that it has handed over

    status of an answer, if not DONE        payload
    64 OUTBID   another ballot is higher    u64  that ballot
    65 BEHIND   the answerer has to learn   u64  epoch of its document
                documents first
    66 FURTHER  that epoch is decided       .    the answerer's document
    67 NO_VOTE  its vote does not count     nothing

    partitions    varint count, then for each a varint: how many lie between it and the one before

A ballot is `round << 32 | actor number` of the member that proposes: no two members share one.
Example, the preparation of epoch 6 with the ballot of round 1 of the member 0a0b0c0d, and the
answer of a member that has accepted nothing:

    06000000 00000000 0d0c0b0a 01000000
    00000000 00000000

The report of a member that works by epoch 6, keeps no hints, has filled the partitions 3, 4 and 9
and handed over none:

    06000000 00000000 00 03030004 00
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import Machine, opcode
from lsmkv_cluster.placement.slots import SLOT_COUNT
from lsmkv_cluster.placement.topology import DOCUMENT_HASH_SIZE

__all__ = [
    "ACCEPT",
    "DOCUMENT_SIZE_MAX",
    "FETCH",
    "PREPARE",
    "PUBLISH",
    "REPORT",
    "Accept",
    "Accepted",
    "Fetch",
    "MemberReport",
    "NoVote",
    "Outbid",
    "PaxosStatus",
    "Prepare",
    "Promise",
    "decode_epoch",
    "encode_epoch",
]

PREPARE = opcode(Machine.TOPOLOGY, 1)
ACCEPT = opcode(Machine.TOPOLOGY, 2)
PUBLISH = opcode(Machine.TOPOLOGY, 3)
FETCH = opcode(Machine.TOPOLOGY, 4)
REPORT = opcode(Machine.TOPOLOGY, 5)

DOCUMENT_SIZE_MAX = (1 << 20) - 256  # bytes: what a frame of the control lane has room for


class PaxosStatus(IntEnum):
    """Of an answer, beside those of every operation."""

    OUTBID = 64
    BEHIND = 65
    FURTHER = 66
    NO_VOTE = 67


# --- questions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prepare:
    epoch: int
    ballot: int

    def encode(self) -> bytes:
        return Writer().u64(self.epoch).u64(self.ballot).finish()

    @staticmethod
    def decode(payload: bytes) -> Prepare:
        reader = Reader(payload)
        prepare = Prepare(reader.u64(), _ballot(reader))
        reader.end()
        return prepare


@dataclass(frozen=True, slots=True)
class Accept:
    epoch: int
    ballot: int
    document: bytes

    def encode(self) -> bytes:
        return Writer().u64(self.epoch).u64(self.ballot).raw(self.document).finish()

    @staticmethod
    def decode(payload: bytes) -> Accept:
        reader = Reader(payload)
        accept = Accept(reader.u64(), _ballot(reader), reader.fixed(reader.left))
        if not 0 < len(accept.document) <= DOCUMENT_SIZE_MAX:
            raise Malformed(f"a document of {len(accept.document)} bytes to accept")
        return accept


@dataclass(frozen=True, slots=True)
class Fetch:
    """What the asker has."""

    epoch: int
    hash: bytes

    def encode(self) -> bytes:
        return Writer().u64(self.epoch).fixed(self.hash, DOCUMENT_HASH_SIZE).finish()

    @staticmethod
    def decode(payload: bytes) -> Fetch:
        reader = Reader(payload)
        fetch = Fetch(reader.u64(), reader.fixed(DOCUMENT_HASH_SIZE))
        reader.end()
        return fetch


def encode_epoch(epoch: int) -> bytes:
    """The question for a report; what else is a number alone: the answer BEHIND."""
    return Writer().u64(epoch).finish()


def decode_epoch(payload: bytes) -> int:
    reader = Reader(payload)
    epoch = reader.u64()
    reader.end()
    return epoch


def _ballot(reader: Reader) -> int:
    ballot = reader.u64()
    if ballot == 0:
        raise Malformed("ballot 0 is that of nobody")
    return ballot


# --- what a voter answers ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Promise:
    """No lower ballot will be accepted; `document` was, last, at `accepted`."""

    accepted: int = 0
    document: bytes = b""

    def encode(self) -> bytes:
        return Writer().u64(self.accepted).raw(self.document).finish()

    @staticmethod
    def decode(payload: bytes) -> Promise:
        reader = Reader(payload)
        promise = Promise(reader.u64(), reader.fixed(reader.left))
        if (promise.accepted == 0) != (not promise.document):
            raise Malformed("a ballot without a document, or a document without a ballot")
        return promise


@dataclass(frozen=True, slots=True)
class Accepted:
    pass


@dataclass(frozen=True, slots=True)
class Outbid:
    """`promised` is what it has promised, to this ballot's disadvantage."""

    promised: int

    def encode(self) -> bytes:
        return encode_epoch(self.promised)

    @staticmethod
    def decode(payload: bytes) -> Outbid:
        return Outbid(decode_epoch(payload))


@dataclass(frozen=True, slots=True)
class NoVote:
    """Its word does not count: it is no voter, or has forgotten what it promised."""


# --- reports -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MemberReport:
    """How far a member is. `epoch` is that of the document that it works by, which it has adopted
    durably; the partitions ascend, and are told in that document's sense."""

    epoch: int
    filled: tuple[int, ...] = ()  # of those it has to fill: done, synced
    handed_over: tuple[int, ...] = ()  # of those it is to give up: others have all it has
    has_hints: bool = False
    has_vote: bool = True

    def encode(self) -> bytes:
        writer = Writer().u64(self.epoch).u8(self.has_hints | (not self.has_vote) << 1)
        _write_partitions(writer, self.filled)
        _write_partitions(writer, self.handed_over)
        return writer.finish()

    @staticmethod
    def decode(payload: bytes) -> MemberReport:
        reader = Reader(payload)
        epoch, flags = reader.u64(), reader.u8()
        if flags > 3:
            raise Malformed(f"unknown flags {flags:#x}")
        filled, handed_over = _read_partitions(reader), _read_partitions(reader)
        reader.end()
        return MemberReport(epoch, filled, handed_over, bool(flags & 1), not flags & 2)


def _write_partitions(writer: Writer, partitions: Sequence[int]) -> None:
    writer.varint(len(partitions))
    before = -1
    for partition in partitions:
        writer.varint(partition - before - 1)
        before = partition


def _read_partitions(reader: Reader) -> tuple[int, ...]:
    found: list[int] = []
    before = -1
    for _ in range(reader.varint(SLOT_COUNT)):
        before += reader.varint(SLOT_COUNT) + 1
        if before >= SLOT_COUNT:
            raise Malformed(f"partition {before}")
        found.append(before)
    return tuple(found)
