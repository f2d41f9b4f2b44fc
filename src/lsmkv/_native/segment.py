"""What stands in a log segment, as plain values: header and records (format: kernels/log.h).

Produced by `lsmkv._native.log`; used by recovery, the dump tool and tests. Nothing here reads or
writes.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BATCH", "SYNC_MARK", "CLOSE", "Operation", "LogRecord", "LogSegment"]

# Record types (persistent numbers; 4 to 6 are reserved).
BATCH = 1
SYNC_MARK = 2
CLOSE = 3

# (kind, key, value): kind 1 puts, kind 2 deletes and has None for a value.
Operation = tuple[int, bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class LogSegment:
    """The header of a segment. `previous_*` describe the segment before it; number 0 means none."""

    number: int
    nonce: int
    previous_number: int
    previous_length: int
    previous_sequence: int
    manifest_edit: int


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One intact record. Operation i of a batch has the sequence `base_sequence` + i.

    `synced_to` is the record's claim: so many bytes of the segment were durable when it was
    written.
    """

    type: int
    count: int
    base_sequence: int
    synced_to: int
    offset: int
    operations: tuple[Operation, ...]
