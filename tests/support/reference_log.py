"""The log format of kernels/log.h in plain Python: encoder, decoder, decision about the end, and
what is intact behind damage.

Written from the byte table and the decision table alone, as simply as possible; slow is fine. The
CRC comes from the `crc32c` package, so that not even the checksum is shared with the kernels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from crc32c import crc32c

from lsmkv._native.segment import BATCH, CLOSE, SYNC_MARK, LogRecord, LogSegment, Operation

MAGIC = b"LSMKVLOG"
VERSION = 1
HEADER_SIZE = 64
RECORD_HEADER_SIZE = 32
PUT, DELETE = 1, 2
KEY_SIZE_MAX = 64 * 1024
VALUE_SIZE_MAX = 1024**3
PAYLOAD_SIZE_MAX = 1024**3 + 128 * 1024
SEQUENCE_MAX = 2**56 - 1


class Corrupt(Exception):
    """Carries the offset of the damage."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class UnknownFormat(Exception):
    """Intact, but of a version, record type or kind that version 1 does not know."""


# --- encoding ------------------------------------------------------------------------------------


def encode_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_operation(operation: Operation) -> bytes:
    kind, key, value = operation
    if kind == DELETE:
        return bytes([kind]) + encode_varint(len(key)) + key
    assert value is not None
    return bytes([kind]) + encode_varint(len(key)) + encode_varint(len(value)) + key + value


def encode_header(segment: LogSegment, version: int = VERSION) -> bytes:
    head = MAGIC + struct.pack("<I", version)
    tail = struct.pack(
        "<6Q",
        segment.number,
        segment.nonce,
        segment.previous_number,
        segment.previous_length,
        segment.previous_sequence,
        segment.manifest_edit,
    )
    return head + struct.pack("<I", crc32c(head + tail)) + tail


def record_checksum(nonce: int, offset: int, covered: bytes) -> int:
    return crc32c(covered, crc32c(struct.pack("<QQ", nonce, offset)))


def encode_record(
    nonce: int,
    offset: int,
    type: int,
    base_sequence: int,
    synced_to: int,
    payload: bytes = b"",
    count: int = 0,
    reserved: bytes = b"\0\0\0",
) -> bytes:
    """Any record, also ones that our writer would never write."""
    covered = struct.pack("<IB3sIQQ", len(payload), type, reserved, count, base_sequence, synced_to)
    covered += payload
    padding = bytes(-(len(covered) + 4) % 8)
    return struct.pack("<I", record_checksum(nonce, offset, covered)) + covered + padding


@dataclass
class Writer:
    """Builds the bytes of a segment by the same calls as LogWriter."""

    segment: LogSegment
    data: bytearray = field(default_factory=bytearray)
    data_length: int = HEADER_SIZE
    synced_to: int = 0
    claimed_to: int = 0
    last_sequence: int = 0
    finished: bool = False

    def __post_init__(self) -> None:
        self.data += encode_header(self.segment)
        self.last_sequence = self.segment.previous_sequence

    def record(self, type: int, payload: bytes = b"", count: int = 0) -> None:
        self.data += encode_record(
            self.segment.nonce,
            len(self.data),
            type,
            self.last_sequence + 1,
            self.synced_to,
            payload,
            count,
        )
        self.last_sequence += count
        self.claimed_to = self.synced_to
        if type != SYNC_MARK:
            self.data_length = len(self.data)

    def append(self, operations: list[Operation]) -> int:
        base_sequence = self.last_sequence + 1
        self.record(BATCH, b"".join(map(encode_operation, operations)), len(operations))
        return base_sequence

    def sync(self) -> None:
        """Nothing is synced twice, so a mark alone never leads to another mark."""
        if self.synced_to < self.data_length:
            self.synced_to = len(self.data)
        if self.synced_to > self.claimed_to and not self.finished:
            self.record(SYNC_MARK)

    def finish(self) -> None:
        self.record(CLOSE)
        self.finished = True


# --- decoding ------------------------------------------------------------------------------------


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if (byte == 0 and shift) or value >= 2**64 or shift > 63:
                raise ValueError
            return value, at
        shift += 7


def decode_operations(payload: bytes, count: int) -> tuple[Operation, ...]:
    """Raises ValueError or IndexError when malformed."""
    operations: list[Operation] = []
    at = 0
    while at < len(payload):
        kind = payload[at]
        if kind not in (PUT, DELETE):
            raise UnknownFormat
        key_size, at = decode_varint(payload, at + 1)
        value_size = 0
        if kind == PUT:
            value_size, at = decode_varint(payload, at)
        end = at + key_size + value_size
        if key_size > KEY_SIZE_MAX or value_size > VALUE_SIZE_MAX or end > len(payload):
            raise ValueError
        value = payload[at + key_size : end] if kind == PUT else None
        operations.append((kind, payload[at : at + key_size], value))
        at = end
    if len(operations) != count:
        raise ValueError
    return tuple(operations)


@dataclass
class Decoded:
    """`end` is None when `error` says why reading stopped; `records` are those before that."""

    segment: LogSegment | None = None
    records: list[LogRecord] = field(default_factory=list)
    offset: int = 0
    end: str | None = None
    error: Exception | None = None


def intact_record(segment: LogSegment, data: bytes, offset: int) -> tuple[LogRecord, bytes] | None:
    """The record's fields (operations not decoded) and payload, or None."""
    if len(data) - offset < RECORD_HEADER_SIZE:
        return None
    checksum, payload_size, type, _, count, base_sequence, synced_to = struct.unpack_from(
        "<IIB3sIQQ", data, offset
    )
    start = offset + RECORD_HEADER_SIZE
    end = start + payload_size
    padded_end = end + -end % 8
    if payload_size > PAYLOAD_SIZE_MAX or padded_end > len(data) or any(data[end:padded_end]):
        return None
    if record_checksum(segment.nonce, offset, data[offset + 4 : end]) != checksum:
        return None
    return LogRecord(type, count, base_sequence, synced_to, offset, ()), data[start:end]


def decode_header(data: bytes) -> LogSegment:
    version, checksum = struct.unpack_from("<II", data, 8)
    if data[:8] != MAGIC or crc32c(data[:12] + data[16:64]) != checksum:
        raise Corrupt(0)
    if version != VERSION:
        raise UnknownFormat
    segment = LogSegment(*struct.unpack_from("<6Q", data, 16))
    if segment.previous_sequence > SEQUENCE_MAX:
        raise Corrupt(0)
    return segment


def checked_record(record: LogRecord, payload: bytes, data: bytes, expected_base: int) -> LogRecord:
    if record.type not in (BATCH, SYNC_MARK, CLOSE) or any(
        data[record.offset + 9 : record.offset + 12]
    ):
        raise UnknownFormat
    if record.base_sequence != expected_base or record.synced_to > record.offset:
        raise Corrupt(record.offset)
    if record.type != BATCH:
        if payload or record.count:
            raise Corrupt(record.offset)
        return record
    if record.count == 0 or expected_base + record.count - 1 > SEQUENCE_MAX:
        raise Corrupt(record.offset)
    try:
        operations = decode_operations(payload, record.count)
    except (ValueError, IndexError):
        raise Corrupt(record.offset) from None
    return LogRecord(
        record.type, record.count, record.base_sequence, record.synced_to, record.offset, operations
    )


def proves_durable(record: LogRecord, payload: bytes, damage: int, last_sequence: int) -> bool:
    """Whether an intact record behind the damage shows that the damaged bytes were synced."""
    return (
        1 <= record.type <= 6
        and damage < record.synced_to <= record.offset
        and 0 <= record.base_sequence - (last_sequence + 1) <= (record.offset - damage) // 2
        and record.count <= len(payload) // 2
    )


def end_after_bad_record(segment: LogSegment, data: bytes, offset: int, last_sequence: int) -> str:
    for probe in range(offset + 8, len(data), 8):
        found = intact_record(segment, data, probe)
        if found is None or any(data[probe + 9 : probe + 12]):
            continue
        if proves_durable(*found, offset, last_sequence):
            raise Corrupt(offset)
    return "torn"


def decode(data: bytes) -> Decoded:
    result = Decoded()
    if len(data) < HEADER_SIZE or not any(data[:HEADER_SIZE]):
        result.end = "torn"
        return result
    closed = False
    try:
        result.segment = decode_header(data)
        result.offset = HEADER_SIZE
        last_sequence = result.segment.previous_sequence
        while any(data[result.offset :]):
            if closed:
                raise Corrupt(result.offset)
            found = intact_record(result.segment, data, result.offset)
            if found is None:
                result.end = end_after_bad_record(
                    result.segment, data, result.offset, last_sequence
                )
                return result
            record = checked_record(*found, data, last_sequence + 1)
            result.records.append(record)
            last_sequence += record.count
            closed = record.type == CLOSE
            result.offset += RECORD_HEADER_SIZE + len(found[1])
            result.offset += -result.offset % 8
        result.end = "closed" if closed else "clean"
    except (Corrupt, UnknownFormat) as error:
        result.error = error
    return result


# --- behind damage -------------------------------------------------------------------------------


def intact_records(
    data: bytes, nonce: int, offset: int = HEADER_SIZE, last_sequence: int | None = None
) -> list[LogRecord]:
    """Those of our writer at or after `offset`, whatever lies between them. `last_sequence`: before
    them, if known."""
    segment = LogSegment(0, nonce, 0, 0, 0, 0)
    records: list[LogRecord] = []
    while offset + RECORD_HEADER_SIZE <= len(data):
        found = intact_record(segment, data, offset)
        record = None if found is None else _followed(*found, data, last_sequence)
        if found is None or record is None:
            offset += 8
            continue
        records.append(record)
        last_sequence = record.base_sequence + record.count - 1
        offset += RECORD_HEADER_SIZE + len(found[1])
        offset += -offset % 8
    return records


def _followed(
    record: LogRecord, payload: bytes, data: bytes, last_sequence: int | None
) -> LogRecord | None:
    """The record with its operations, if it can follow that sequence. (What the sizes allow is not
    looked at: only a forged record is beyond it.)"""
    if record.base_sequence < (last_sequence or 0) + 1:
        return None
    try:
        return checked_record(record, payload, data, record.base_sequence)
    except Corrupt:
        return None
