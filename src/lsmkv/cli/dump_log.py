"""The pieces of a log segment (format: _native/kernels/log.h)."""

from __future__ import annotations

from collections.abc import Iterator

from lsmkv._native.log import SegmentReader
from lsmkv._native.segment import BATCH, CLOSE, SYNC_MARK, LogRecord, LogSegment
from lsmkv.cli.piece import Piece, show_key, show_value
from lsmkv.errors import Error

__all__ = ["LOG_MAGIC", "log_pieces"]

LOG_MAGIC = b"LSMKVLOG"
SEGMENT_HEADER_SIZE = 64
RECORD_HEADER_SIZE = 32
PUT = 1

_RECORD_NAMES = {BATCH: "batch", SYNC_MARK: "sync mark", CLOSE: "close"}


def log_pieces(data: bytes, path: str) -> Iterator[Piece]:
    """Header, records with their operations, and how the segment ends. `path` is for messages."""
    try:
        reader = SegmentReader(data, path)
    except Error as error:
        yield Piece(0, len(data), str(error), damaged=True)
        return
    if reader.segment is None:
        yield Piece(0, len(data), "the header never reached the disk: nothing was logged here")
        return
    yield Piece(0, SEGMENT_HEADER_SIZE, _describe_segment(reader.segment))
    while True:
        try:
            record = next(reader, None)
        except Error as error:
            yield Piece(reader.offset, len(data) - reader.offset, str(error), damaged=True)
            return
        if record is None:
            break
        yield Piece(record.offset, reader.offset - record.offset, _describe_record(record))
        yield from _operations(record)
    rest = len(data) - reader.offset
    if reader.end == "torn":
        yield Piece(reader.offset, rest, "torn end: an unsynced write that a crash cut short")
    elif rest:
        yield Piece(reader.offset, rest, "zeros allocated ahead")


def _describe_segment(segment: LogSegment) -> str:
    if segment.previous_number:
        previous = (
            f"follows segment {segment.previous_number} of {segment.previous_length} bytes, "
            f"last sequence {segment.previous_sequence}"
        )
    else:
        previous = f"follows no segment, last sequence {segment.previous_sequence}"
    return (
        f"segment header: number {segment.number}, nonce {segment.nonce:016x}, {previous}, "
        f"manifest edit {segment.manifest_edit}"
    )


def _describe_record(record: LogRecord) -> str:
    name = _RECORD_NAMES.get(record.type, f"type {record.type}")
    known = f"{record.synced_to} bytes known durable"
    if record.type != BATCH:
        return f"{name}: {known}"
    first, last = record.base_sequence, record.base_sequence + record.count - 1
    return f"{name}: {record.count} operations, sequences {first}..{last}, {known}"


def _operations(record: LogRecord) -> Iterator[Piece]:
    offset = record.offset + RECORD_HEADER_SIZE
    for index, (kind, key, value) in enumerate(record.operations):
        size = 1 + _varint_size(len(key)) + len(key)
        sequence = record.base_sequence + index
        if value is None:
            meaning = f"delete {show_key(key)} @{sequence}"
        else:
            size += _varint_size(len(value)) + len(value)
            verb = "put" if kind == PUT else f"kind {kind}"
            meaning = f"{verb} {show_key(key)} = {show_value(value)} @{sequence}"
        yield Piece(offset, size, meaning, depth=1)
        offset += size


def _varint_size(number: int) -> int:
    """Bytes of `number` at seven bits each."""
    return max(1, (number.bit_length() + 6) // 7)
