"""Frames between nodes: what a stream carries, as pure functions and one incremental decoder.

A frame is a header and a list of operations (operations.py). All integers are little-endian.

    off  size  frame, version 1
      0     4  "LSMF"
      4     1  version: 1
      5     1  kind: 1 request, 2 response, 3 hello, 4 refusal
      6     1  lane: 1 control, 2 data, 3 bulk
      7     1  flags: zero
      8     4  body size in bytes
     12     4  operation count, at least 1
     16    16  cluster id
     32     8  epoch of the sender's topology
     40     8  deadline in ms since 1970, 0 = none; a request has one
     48     8  request id: a response repeats that of its request
     56     4  body checksum: CRC-32C of the body
     60     4  header checksum: CRC-32C of bytes 0 to 59
     64     .  body: the operations

Worked example: request 5 of epoch 7, lane data, cluster id 00 .. 0f, one operation:

      0  4c534d46 01010200 0a000000 01000000  "LSMF", version, request, data; 10 bytes
     16  00010203 04050607 08090a0b 0c0d0e0f  cluster id
     32  07000000 00000000 00ac23fc 06000000  epoch 7; deadline 30000000000
     48  05000000 00000000 e6dafe94 1304b9df  request 5, checksums
     64  01030000 02000000 6b76               opcode 0x0301, no flags, payload "kv"

What holds:

- The header is checksummed by itself and checked first, so a damaged or hostile size is refused
  before a byte of the body is waited for, and every size before anything is allocated for it.
- The deadline is a point in time, never "time left": a request that lay unread while its receiver
  was paused has expired, however late it is read (scenario of the paused node).
- What a decoder does not know (version, kind, lane, a flag) it refuses with its own Refusal; an
  unknown *opcode* concerns its operation alone and is none of the decoder's business.
- Hello and refusal frames keep this layout in every version, so that any two nodes can at least
  tell each other that they cannot talk (handshake.py).
- Checksums find accidents. Against forgery there is TLS on the stream.

This module reads no clock and compares no deadline: that is for who carries the request out.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from crc32c import crc32c

from lsmkv_cluster.coding import U64_MAX
from lsmkv_cluster.errors import Malformed, ProtocolError
from lsmkv_cluster.operations import (
    OPERATION_HEADER_SIZE,
    Operation,
    decode_operations,
    encode_operations,
    encoded_size,
)
from lsmkv_cluster.placement.members import CLUSTER_ID_SIZE
from lsmkv_cluster.refusals import Refusal

__all__ = [
    "FRAME_HEADER_SIZE",
    "FRAME_VERSION",
    "HANDSHAKE_LIMITS",
    "LANE_LIMITS",
    "Frame",
    "FrameDecoder",
    "FrameKind",
    "Lane",
    "Limits",
    "encode_frame",
    "known_lane",
]

MAGIC = b"LSMF"
FRAME_VERSION = 1
FRAME_HEADER_SIZE = 64

_HEADER = struct.Struct("<4sBBBBII16sQQQI")  # all but the header's own checksum
_CHECKSUM = struct.Struct("<I")


class FrameKind(IntEnum):
    """Persistent."""

    REQUEST = 1
    RESPONSE = 2
    HELLO = 3  # the first frame in either direction
    REFUSAL = 4  # the last one


class Lane(IntEnum):
    """What a connection is for, so that bulk never stands in front of control. Persistent."""

    CONTROL = 1
    DATA = 2
    BULK = 3


_KINDS = {int(kind): kind for kind in FrameKind}
_LANES = {int(lane): lane for lane in Lane}


def known_lane(number: int) -> Lane:
    """The lane of a number from outside; ProtocolError when this version has none."""
    if number not in _LANES:
        raise ProtocolError(Refusal.UNKNOWN_LANE, f"lane {number}")
    return _LANES[number]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a decoder accepts, and an encoder produces, in one frame."""

    body_size_max: int  # bytes
    operation_count_max: int


# Before a peer has said who it is.
HANDSHAKE_LIMITS = Limits(body_size_max=4096, operation_count_max=1)
# Larger values travel in pieces: a frame is what a lane may be blocked for.
LANE_LIMITS: Mapping[Lane, Limits] = MappingProxyType(
    {
        Lane.CONTROL: Limits(body_size_max=1 << 20, operation_count_max=4096),
        Lane.DATA: Limits(body_size_max=16 << 20, operation_count_max=1 << 16),
        Lane.BULK: Limits(body_size_max=16 << 20, operation_count_max=1 << 16),
    }
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; which fields count for which kind stands in the table above."""

    kind: FrameKind
    lane: Lane
    cluster_id: bytes
    operations: tuple[Operation, ...]
    epoch: int = 0
    deadline_ms: int = 0
    request_id: int = 0


def encode_frame(frame: Frame, limits: Limits | None = None) -> bytes:
    """The frame as bytes. ValueError when it breaks `limits` (those of its lane) or the table."""
    operations = frame.operations
    limits = LANE_LIMITS[frame.lane] if limits is None else limits
    size = encoded_size(operations)
    if size > limits.body_size_max or not 1 <= len(operations) <= limits.operation_count_max:
        raise ValueError(f"a frame of {len(operations)} operations and {size} bytes: {limits}")
    if len(frame.cluster_id) != CLUSTER_ID_SIZE:
        raise ValueError(f"a cluster id of {len(frame.cluster_id)} bytes")
    if frame.kind is FrameKind.REQUEST and frame.deadline_ms == 0:
        raise ValueError("a request without a deadline")
    body = encode_operations(operations)
    try:
        header = _HEADER.pack(
            MAGIC,
            FRAME_VERSION,
            frame.kind,
            frame.lane,
            0,
            size,
            len(operations),
            frame.cluster_id,
            frame.epoch,
            frame.deadline_ms,
            frame.request_id,
            crc32c(body),
        )
    except struct.error as error:
        raise ValueError(f"an epoch, deadline or request id outside 0..{U64_MAX}") from error
    return b"".join((header, _CHECKSUM.pack(crc32c(header)), body))


@dataclass(frozen=True, slots=True)
class _Header:
    """A header that has passed every check."""

    kind: FrameKind
    lane: Lane
    body_size: int
    operation_count: int
    epoch: int
    deadline_ms: int
    request_id: int
    body_checksum: int


class FrameDecoder:
    """Turns the bytes of one connection into frames, in order.

    `feed` what arrived, then take frames with `next_frame` until it returns None. A decoder begins
    with the limits of the handshake and takes hello and refusal frames only; `admit` opens it for
    one lane. It holds at most the bytes of one frame and of one feed, and looks at no byte twice
    while it waits.

    The first thing it cannot accept raises ProtocolError, drops all it holds, and every later call
    raises the same: after a wrong byte no place in a stream can be trusted.
    """

    __slots__ = ("_buffer", "_cluster_id", "_header", "_lane", "_limits", "_position", "_refused")

    def __init__(self, cluster_id: bytes) -> None:
        self._cluster_id = cluster_id
        self._lane: Lane | None = None
        self._limits = HANDSHAKE_LIMITS
        self._buffer = bytearray()
        self._position = 0  # of the first byte that was not taken
        self._header: _Header | None = None  # its body has not come in whole
        self._refused: tuple[Refusal, str] | None = None

    def admit(self, lane: Lane, limits: Limits | None = None) -> None:
        """The handshake is done: from now on frames of `lane`, within its limits, and no hello."""
        self._lane = lane
        self._limits = LANE_LIMITS[lane] if limits is None else limits

    @property
    def held_bytes(self) -> int:
        """How many bytes wait for the rest of their frame, or for next_frame."""
        return len(self._buffer) - self._position

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what the connection gave."""
        self._raise_refused()
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None when more bytes are needed."""
        self._raise_refused()
        try:
            return self._take()
        except ProtocolError as error:
            self._refused = (error.refusal, error.message)
            self._buffer = bytearray()
            self._position = 0
            self._header = None
            raise

    def end(self) -> None:
        """The stream has ended. ProtocolError when that cuts a frame off."""
        self._raise_refused()
        if self.held_bytes or self._header is not None:
            raise ProtocolError(Refusal.TRUNCATED, "the stream ended inside a frame")

    def _raise_refused(self) -> None:
        if self._refused is not None:
            raise ProtocolError(*self._refused)

    def _take(self) -> Frame | None:
        header = self._header
        if header is None:
            held = self.held_bytes
            start = self._position
            _check_beginning(bytes(self._buffer[start : start + 5]))
            if held < FRAME_HEADER_SIZE:
                return None
            header = self._read_header(bytes(self._buffer[start : start + FRAME_HEADER_SIZE]))
            self._position += FRAME_HEADER_SIZE
            self._header = header
        if self.held_bytes < header.body_size:
            return None
        with memoryview(self._buffer) as view:
            body = bytes(view[self._position : self._position + header.body_size])
        self._position += header.body_size
        self._header = None
        return self._frame(header, body)

    def _read_header(self, data: bytes) -> _Header:
        """The header's fields, each checked; `data` begins with magic and version."""
        if _CHECKSUM.unpack_from(data, FRAME_HEADER_SIZE - 4)[0] != crc32c(data[:-4]):
            raise ProtocolError(Refusal.DAMAGED, "the header's checksum is wrong")
        fields = _HEADER.unpack_from(data)
        _, _, kind, lane, flags, size, count, cluster_id, epoch, deadline, request_id, checksum = (
            fields
        )
        if flags:
            raise ProtocolError(Refusal.UNKNOWN_FLAGS, f"flags 0x{flags:02x}")
        if kind not in _KINDS:
            raise ProtocolError(Refusal.UNKNOWN_KIND, f"kind {kind}")
        header = _Header(
            _KINDS[kind], known_lane(lane), size, count, epoch, deadline, request_id, checksum
        )
        self._check_place(header, cluster_id)
        if size > self._limits.body_size_max or count > self._limits.operation_count_max:
            raise ProtocolError(Refusal.TOO_LARGE, f"{count} operations in {size} bytes")
        if count == 0 or size < count * OPERATION_HEADER_SIZE:
            raise ProtocolError(Refusal.MALFORMED, f"{count} operations in {size} bytes")
        if header.kind is FrameKind.REQUEST and deadline == 0:
            raise ProtocolError(Refusal.MALFORMED, "a request without a deadline")
        return header

    def _check_place(self, header: _Header, cluster_id: bytes) -> None:
        """Whether such a frame may come on this connection, now."""
        if cluster_id != self._cluster_id:
            raise ProtocolError(Refusal.WRONG_CLUSTER, f"cluster {cluster_id.hex()}")
        if header.kind is FrameKind.REFUSAL:
            return
        if self._lane is None:
            if header.kind is not FrameKind.HELLO:
                raise ProtocolError(Refusal.NO_HANDSHAKE, f"{header.kind.name} came first")
        elif header.kind is FrameKind.HELLO:
            raise ProtocolError(Refusal.MALFORMED, "a second hello")
        elif header.lane is not self._lane:
            raise ProtocolError(Refusal.WRONG_LANE, f"{header.lane.name} on {self._lane.name}")

    def _frame(self, header: _Header, body: bytes) -> Frame:
        if crc32c(body) != header.body_checksum:
            raise ProtocolError(Refusal.DAMAGED, "the body's checksum is wrong")
        try:
            operations = decode_operations(body, header.operation_count)
        except Malformed as error:
            raise ProtocolError(Refusal.MALFORMED, str(error)) from error
        return Frame(
            header.kind,
            header.lane,
            self._cluster_id,
            operations,
            header.epoch,
            header.deadline_ms,
            header.request_id,
        )


def _check_beginning(beginning: bytes) -> None:
    """Refuse another protocol at its first byte, and another version before its layout matters."""
    if not MAGIC.startswith(beginning[:4]):
        raise ProtocolError(Refusal.NOT_A_FRAME, f"it begins with {beginning[:4].hex()}")
    if len(beginning) == 5 and beginning[4] != FRAME_VERSION:
        raise ProtocolError(Refusal.UNKNOWN_VERSION, f"frame version {beginning[4]}")
