"""The handshake: the first frame in either direction says who speaks, and what it understands.

Its one operation has opcode 0x0101 and this payload:

    off  size  hello, format 1
      0     1  format: 1
      1     1  lowest protocol version the sender speaks
      2     1  highest protocol version the sender speaks
      3     1  lane that the connection is for, as in the frame
      4     4  highest feature level the sender knows
      8     4  feature level of its topology
     12    16  node id
     28    16  store incarnation: random, made with the store
     44     8  boot number: start count << 32 | random
     52     .  name for messages: varint size, then at most 64 bytes of UTF-8

Worked example: versions 1 to 2, lane data, levels 3 and 2, boot number 4 << 32 | 9, name "n1":

      0  01010202 03000000 02000000           format, versions, data; levels
     12  10111213 14151617 18191a1b 1c1d1e1f  node id
     28  20212223 24252627 28292a2b 2c2d2e2f  store incarnation
     44  09000000 04000000 026e31             start 4, random 9; "n1"

Versions rise with the layout of frames and payloads, the feature level with what nodes may write
into records and topology. A level is raised by a topology commit only, once every member knows it;
so a peer that does not know our level is refused, and one whose level we do not know too. Both
sides decide alike, from the same two hellos, with `negotiate`.

A refusal has opcode 0x0102: u16 Refusal, u8 lowest and u8 highest protocol version, then a sized
text of at most 200 bytes. It is the last frame on its connection.
"""

from __future__ import annotations

from dataclasses import dataclass

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.errors import Malformed, ProtocolError
from lsmkv_cluster.operations import Machine, Operation, opcode
from lsmkv_cluster.placement.members import MEMBER_ID_SIZE
from lsmkv_cluster.refusals import Refusal
from lsmkv_cluster.transport.wire import (
    HANDSHAKE_LIMITS,
    Frame,
    FrameKind,
    Lane,
    encode_frame,
    known_lane,
)

__all__ = [
    "HELLO",
    "INCARNATION_SIZE",
    "PROTOCOL_VERSION_MAX",
    "PROTOCOL_VERSION_MIN",
    "REFUSED",
    "Agreement",
    "Hello",
    "RefusalNotice",
    "boot_number",
    "decode_hello",
    "decode_refusal",
    "encode_hello",
    "encode_refusal",
    "hello_frame",
    "negotiate",
    "refusal_frame",
]

HELLO = opcode(Machine.CONNECTION, 1)
REFUSED = opcode(Machine.CONNECTION, 2)

PROTOCOL_VERSION_MIN = 1
PROTOCOL_VERSION_MAX = 1
HELLO_FORMAT = 1
INCARNATION_SIZE = 16  # bytes, random
NAME_SIZE_MAX = 64  # bytes of UTF-8
MESSAGE_SIZE_MAX = 200  # bytes of UTF-8


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a node is and what it understands."""

    version_min: int
    version_max: int
    lane: Lane
    feature_level_max: int
    feature_level: int
    node_id: bytes
    incarnation: bytes
    boot_number: int
    name: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides speak from here on."""

    version: int
    lane: Lane


@dataclass(frozen=True, slots=True)
class RefusalNotice:
    """What a refusal frame says."""

    refusal: int  # a Refusal, or a number of a later version
    version_min: int
    version_max: int
    message: str


def boot_number(start_count: int, random_bits: int) -> int:
    """Names one run of a node: later starts have higher numbers, copies of a disk different ones.

    `start_count` is durable before the number is used.
    """
    if not 0 < start_count < 1 << 32 or not 0 <= random_bits < 1 << 32:
        raise ValueError("a start count and random bits below 2**32 each")
    return start_count << 32 | random_bits


def encode_hello(hello: Hello) -> bytes:
    writer = Writer().u8(HELLO_FORMAT).u8(hello.version_min).u8(hello.version_max).u8(hello.lane)
    writer.u32(hello.feature_level_max).u32(hello.feature_level)
    writer.fixed(hello.node_id, MEMBER_ID_SIZE)
    writer.fixed(hello.incarnation, INCARNATION_SIZE)
    return writer.u64(hello.boot_number).text(hello.name, NAME_SIZE_MAX).finish()


def decode_hello(payload: bytes) -> Hello:
    """ProtocolError for another format or what cannot be a hello."""
    try:
        reader = Reader(payload)
        hello_format = reader.u8()
        if hello_format != HELLO_FORMAT:
            raise ProtocolError(Refusal.UNKNOWN_VERSION, f"hello format {hello_format}")
        version_min, version_max = reader.u8(), reader.u8()
        if not 1 <= version_min <= version_max:
            raise Malformed(f"versions {version_min} to {version_max}")
        lane = known_lane(reader.u8())
        feature_level_max, feature_level = reader.u32(), reader.u32()
        if feature_level > feature_level_max:
            raise Malformed(f"feature level {feature_level} of at most {feature_level_max}")
        hello = Hello(
            version_min,
            version_max,
            lane,
            feature_level_max,
            feature_level,
            node_id=reader.fixed(MEMBER_ID_SIZE),
            incarnation=reader.fixed(INCARNATION_SIZE),
            boot_number=reader.u64(),
            name=reader.text(NAME_SIZE_MAX),
        )
        reader.end()
    except Malformed as error:
        raise ProtocolError(Refusal.MALFORMED, f"hello: {error}") from error
    return hello


def hello_frame(hello: Hello, cluster_id: bytes, epoch: int) -> bytes:
    """The first frame of a connection."""
    operation = Operation(HELLO, encode_hello(hello))
    frame = Frame(FrameKind.HELLO, hello.lane, cluster_id, (operation,), epoch)
    return encode_frame(frame, HANDSHAKE_LIMITS)


def negotiate(ours: Hello, theirs: Hello) -> Agreement:
    """What two nodes will speak; ProtocolError with the reason when they must not talk."""
    if theirs.node_id == ours.node_id:
        other = "in another run" if theirs.boot_number != ours.boot_number else "of this very run"
        raise ProtocolError(Refusal.CLONED_NODE, f"{theirs.name} is this node, {other}")
    if theirs.lane is not ours.lane:
        raise ProtocolError(Refusal.WRONG_LANE, f"{theirs.lane.name} met {ours.lane.name}")
    version = min(ours.version_max, theirs.version_max)
    if version < max(ours.version_min, theirs.version_min):
        raise ProtocolError(
            Refusal.NO_COMMON_VERSION,
            f"{ours.version_min} to {ours.version_max} here, "
            f"{theirs.version_min} to {theirs.version_max} there",
        )
    for old, new in ((ours, theirs), (theirs, ours)):
        if new.feature_level > old.feature_level_max:
            raise ProtocolError(
                Refusal.FEATURE_LEVEL,
                f"{old.name} knows level {old.feature_level_max}, "
                f"{new.name} uses level {new.feature_level}",
            )
    return Agreement(version, ours.lane)


def encode_refusal(notice: RefusalNotice) -> bytes:
    writer = Writer().u16(notice.refusal).u8(notice.version_min).u8(notice.version_max)
    return writer.text(notice.message, MESSAGE_SIZE_MAX).finish()


def decode_refusal(payload: bytes) -> RefusalNotice:
    """ProtocolError for what cannot be one."""
    try:
        reader = Reader(payload)
        notice = RefusalNotice(
            reader.u16(), reader.u8(), reader.u8(), reader.text(MESSAGE_SIZE_MAX)
        )
        reader.end()
    except Malformed as error:
        raise ProtocolError(Refusal.MALFORMED, f"refusal: {error}") from error
    return notice


def refusal_frame(error: ProtocolError, lane: Lane, cluster_id: bytes) -> bytes:
    """The last frame of a connection: why it ends."""
    message = error.message.encode()[:MESSAGE_SIZE_MAX].decode("utf-8", "ignore")
    notice = RefusalNotice(error.refusal, PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX, message)
    operation = Operation(REFUSED, encode_refusal(notice))
    frame = Frame(FrameKind.REFUSAL, lane, cluster_id, (operation,))
    return encode_frame(frame, HANDSHAKE_LIMITS)
