"""What is intact in one log file, damaged or not (format: _native/kernels/log.h).

Up to the first damage the segment is read as recovery reads it. Damage is what recovery refuses,
and an end before what is known to have been durable. Behind it every intact record counts: its
checksum is bound to the segment's nonce and its own offset, so a hit is a record of this segment
at its place, never of another one, nor bytes inside a value. Sequences keep their order, so what
stands behind a hole still applies. That also holds when the segment's header is damaged, unless it
is the nonce.

A torn end is no damage: what may still stand behind it was promised to nobody, an open drops it
as well, and where nothing is missing it is not there.

The time is in proportion to the size of the file, whatever stands in it: every 8th byte is looked
at once, and at most 8 times the file's size is checksummed (log_reader.c). A file that asks for
more is hostile: reading stops there, and that is told as damage too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lsmkv._native.log import IntactRecords, SegmentReader
from lsmkv._native.segment import LogRecord, LogSegment
from lsmkv.errors import CorruptionError

__all__ = ["LogSalvage", "claims_durable"]

SEGMENT_HEADER_SIZE = 64
NONCE = struct.Struct("<24xQ")  # where it stands in the header


@dataclass(frozen=True)
class _Place:
    """Where damage begins, and the sequence before it if the segment's header tells."""

    nonce: int
    offset: int
    last_sequence: int | None


def claims_durable(data: bytes, path: str) -> bool:
    """Whether the segment shows that something of it was durable; then so were those before it."""
    try:
        reader = SegmentReader(data, path)
    except CorruptionError:
        return False  # its header is damaged: it shows nothing
    try:
        return any(record.synced_to for record in reader)
    except CorruptionError:
        return True  # what was promised durable is damaged


class LogSalvage:
    """Reads the segment in `data` once; the attributes count when `records` has ended.

    `durable_length` tells how many bytes of the segment are known to have been durable. It is asked
    only when the segment ends without a close record.
    """

    def __init__(self, data: bytes, path: str, durable_length: Callable[[], int]) -> None:
        self.path = path
        self.segment: LogSegment | None = None  # None as well when the header is damaged
        self.problem: str | None = None  # the damage
        self.is_torn = False  # ends with what may be an unsynced write that a crash cut short
        self.records_behind_damage = 0
        self.skipped_bytes = 0  # damaged: neither in an intact record nor zeros at the end
        self._data = data
        self._durable_length = durable_length

    def records(self) -> Iterator[LogRecord]:
        """The intact ones, in order. Raises Error for what a newer version wrote."""
        try:
            reader = SegmentReader(self._data, self.path)
        except CorruptionError as error:
            self.problem = str(error)
            [nonce] = NONCE.unpack_from(self._data)
            self.skipped_bytes += SEGMENT_HEADER_SIZE
            yield from self._behind(_Place(nonce, SEGMENT_HEADER_SIZE, None))
            return
        self.segment = reader.segment
        yield from self._undamaged(reader)
        if self.problem is not None and reader.segment is not None:
            place = _Place(reader.segment.nonce, reader.offset, reader.last_sequence)
            yield from self._behind(place)

    def _undamaged(self, reader: SegmentReader) -> Iterator[LogRecord]:
        try:
            yield from reader
        except CorruptionError as error:
            self.problem = str(error)
            return
        is_written = bool(self._data.strip(b"\0"))
        self.is_torn = reader.end == "torn" and is_written
        if reader.segment is None and is_written:
            self.problem = f"{self.path} at byte 0: no intact header of a log segment"
        elif reader.end != "closed" and reader.offset < self._durable_length():
            self.problem = f"{self.path} at byte {reader.offset}: more than this was durable"

    def _behind(self, place: _Place) -> Iterator[LogRecord]:
        found = IntactRecords(
            self._data,
            self.path,
            nonce=place.nonce,
            offset=place.offset,
            last_sequence=place.last_sequence,
        )
        end = place.offset
        try:
            for record in found:
                self.skipped_bytes += record.offset - end
                self.records_behind_damage += 1
                end = found.offset
                yield record
        except CorruptionError as error:
            self.problem = f"{self.problem}; {error}"
        self.skipped_bytes += len(self._data[end:].rstrip(b"\0"))
