"""What members tell each other about who is there.

    opcode  operation        over                payload
    0x0201  ping             datagram, stream    u32 number, own state
    0x0202  ack              datagram            u32 number of the ping, own state
    0x0203  indirect ping    datagram            u32 number, 16 id of the member to be pinged
    0x0204  reached          datagram            u32 number of the indirect ping
    0x0205  not reached      datagram            u32 number of the indirect ping
    0x0206  statement        datagram            a statement
    0x0207  exchange         stream              varint count, statements by ascending id

Over the stream a ping is answered with the payload of an ack, an exchange with another. Payloads,
in terms of coding.py:

    statement                                   own state
    u8     1 alive, 2 suspect, 3 dead, 4 left   u64    incarnation
    16     member id                            vitals
    u64    incarnation
    alive, left: vitals                         vitals
    suspect, dead: accusers                     u8     load: 1 draining, 2 overloaded, 4 filling,
                                                       8 read-only
    accusers                                    u8     local health: 0 is good
    u8     count: suspect 1 to 3, dead 0 to 3   u32    start number
    16     member ids, ascending                u64    last sequence of the store
                                                u64    oldest hint, ms since 1970; 0 = none
                                                u64    wall clock when this was said

Worked example: member 10 .. 1f, in incarnation 4 << 32 | 1, is suspected by two members:

      0  02101112 13141516 1718191a 1b1c1d1e  suspect; member id
     16  1f010000 00040000 00022021 22232425  incarnation; two accusers
     32  26272829 2a2b2c2d 2e2f3031 32333435
     48  36373839 3a3b3c3d 3e3f

An incarnation rises with every start and whenever its member has something to say that overrules
what others say about it: it is the start number << 32 when a run begins. Accusers are members whose
own probes failed, never those who only pass it on; three are as good as more (suspicion.py). The
load that a member announces changes with its incarnation only; the other vitals are carried by
pings, acks and exchanges, and no news of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag
from itertools import pairwise
from operator import attrgetter

from lsmkv_cluster.coding import U64_MAX, Reader, Writer
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import Machine, opcode
from lsmkv_cluster.placement.members import MEMBER_ID_SIZE, MEMBERS_MAX, MemberId
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.suspicion import CONFIRMATIONS_MAX

__all__ = [
    "ACCUSERS_MAX",
    "ACK",
    "EXCHANGE",
    "INCARNATION_MAX",
    "INDIRECT_PING",
    "NOT_REACHED",
    "PING",
    "REACHED",
    "STATEMENT",
    "IndirectPing",
    "Load",
    "OwnState",
    "Statement",
    "Vitals",
    "decode_exchange",
    "decode_indirect_ping",
    "decode_number",
    "decode_ping",
    "decode_statement",
    "encode_exchange",
    "encode_indirect_ping",
    "encode_number",
    "encode_ping",
    "encode_statement",
    "member_of_statement",
]

PING = opcode(Machine.MEMBERSHIP, 1)
ACK = opcode(Machine.MEMBERSHIP, 2)
INDIRECT_PING = opcode(Machine.MEMBERSHIP, 3)
REACHED = opcode(Machine.MEMBERSHIP, 4)
NOT_REACHED = opcode(Machine.MEMBERSHIP, 5)
STATEMENT = opcode(Machine.MEMBERSHIP, 6)
EXCHANGE = opcode(Machine.MEMBERSHIP, 7)

ACCUSERS_MAX = CONFIRMATIONS_MAX + 1
INCARNATION_MAX = U64_MAX - 1  # so that every one that is read can be raised


class Load(IntFlag):
    """What others should know before they send work. Persistent; unknown bits are kept."""

    DRAINING = 1
    OVERLOADED = 2
    FILLING = 4
    READ_ONLY = 8


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a member says of itself beside being alive."""

    load: int  # of Load
    health_score: int
    start_number: int
    sequence: int
    oldest_hint_ms: int  # since 1970; 0: it keeps no hint
    wall_ms: int


@dataclass(frozen=True, slots=True)
class OwnState:
    """A ping and an ack carry it."""

    number: int
    incarnation: int
    vitals: Vitals


@dataclass(frozen=True, slots=True)
class IndirectPing:
    number: int
    target: MemberId


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody holds of a member; never UNREACHABLE, which is nobody else's business."""

    status: Status
    member: MemberId
    incarnation: int
    vitals: Vitals | None = None  # of the alive and of those who left
    accusers: tuple[MemberId, ...] = ()  # of the suspect and the dead


def _write_vitals(writer: Writer, vitals: Vitals) -> None:
    writer.u8(vitals.load).u8(vitals.health_score).u32(vitals.start_number)
    writer.u64(vitals.sequence).u64(vitals.oldest_hint_ms).u64(vitals.wall_ms)


def _read_vitals(reader: Reader) -> Vitals:
    return Vitals(reader.u8(), reader.u8(), reader.u32(), reader.u64(), reader.u64(), reader.u64())


def _read_incarnation(reader: Reader) -> int:
    incarnation = reader.u64()
    if incarnation > INCARNATION_MAX:
        raise Malformed(f"incarnation {incarnation}")
    return incarnation


def _is_count(status: Status, accuser_count: int) -> bool:
    return (status is Status.SUSPECT) <= accuser_count <= ACCUSERS_MAX


def _write_statement(writer: Writer, statement: Statement) -> None:
    status = statement.status
    if status is Status.UNREACHABLE:
        raise ValueError("that a member is unreachable is not told")
    writer.u8(status).fixed(statement.member, MEMBER_ID_SIZE).u64(statement.incarnation)
    if status in (Status.ALIVE, Status.LEFT):
        if statement.vitals is None or statement.accusers:
            raise ValueError(f"{status.name} goes with vitals and without accusers")
        _write_vitals(writer, statement.vitals)
        return
    count = len(statement.accusers)
    if statement.vitals is not None or not _is_count(status, count):
        raise ValueError(f"{status.name} with {count} accusers, or with vitals")
    writer.u8(count)
    for accuser in statement.accusers:
        writer.fixed(accuser, MEMBER_ID_SIZE)


def _read_statement(reader: Reader) -> Statement:
    status = reader.one_of(Status)
    if status is Status.UNREACHABLE:
        raise Malformed("a member that is unreachable for somebody else")
    member, incarnation = reader.fixed(MEMBER_ID_SIZE), _read_incarnation(reader)
    if status in (Status.ALIVE, Status.LEFT):
        return Statement(status, member, incarnation, _read_vitals(reader))
    count = reader.u8()
    if not _is_count(status, count):
        raise Malformed(f"{count} accusers")
    accusers = tuple([reader.fixed(MEMBER_ID_SIZE) for _ in range(count)])
    if any(left >= right for left, right in pairwise(accusers)):
        raise Malformed("accusers out of order")
    return Statement(status, member, incarnation, None, accusers)


def encode_ping(state: OwnState) -> bytes:
    """Of a ping and of an ack."""
    writer = Writer().u32(state.number).u64(state.incarnation)
    _write_vitals(writer, state.vitals)
    return writer.finish()


def decode_ping(payload: bytes) -> OwnState:
    reader = Reader(payload)
    state = OwnState(reader.u32(), _read_incarnation(reader), _read_vitals(reader))
    reader.end()
    return state


def encode_indirect_ping(asked: IndirectPing) -> bytes:
    return Writer().u32(asked.number).fixed(asked.target, MEMBER_ID_SIZE).finish()


def decode_indirect_ping(payload: bytes) -> IndirectPing:
    reader = Reader(payload)
    asked = IndirectPing(reader.u32(), reader.fixed(MEMBER_ID_SIZE))
    reader.end()
    return asked


def encode_number(number: int) -> bytes:
    """Of reached and not reached."""
    return Writer().u32(number).finish()


def decode_number(payload: bytes) -> int:
    reader = Reader(payload)
    number = reader.u32()
    reader.end()
    return number


def encode_statement(statement: Statement) -> bytes:
    writer = Writer()
    _write_statement(writer, statement)
    return writer.finish()


def decode_statement(payload: bytes) -> Statement:
    """Malformed for what cannot be one."""
    reader = Reader(payload)
    statement = _read_statement(reader)
    reader.end()
    return statement


def member_of_statement(payload: bytes) -> MemberId:
    """The member that it is about, or anything when it is no statement."""
    return payload[1 : 1 + MEMBER_ID_SIZE]


def encode_exchange(statements: Iterable[Statement]) -> bytes:
    """At most one statement about each member."""
    rows = sorted(statements, key=attrgetter("member"))
    writer = Writer().varint(len(rows))
    for statement in rows:
        _write_statement(writer, statement)
    return writer.finish()


def decode_exchange(payload: bytes) -> tuple[Statement, ...]:
    """Malformed for what cannot be a table."""
    reader = Reader(payload)
    rows: list[Statement] = []
    before = b""
    for _ in range(reader.varint(MEMBERS_MAX)):
        statement = _read_statement(reader)
        if statement.member <= before:
            raise Malformed("members out of order")
        before = statement.member
        rows.append(statement)
    reader.end()
    return tuple(rows)
