"""What a client gets with every read and gives back with its write: what it has seen, opaquely.

    off size
     0   4  CRC-32C of bytes 4.., continued from the CRC-32C of the key
     4   1  version (1)
     5   1  zero
     6   2  clock entries
     8   4  cut time, seconds
    12   8  the newest stamp seen
    20      clock entries, 24 bytes each, as in a record (kernels/record_format.h), but with time 0
              where the reader saw an item of that actor

The key takes part in the checksum: a context given back with another key is refused. A context says
nothing about values; giving a forged one back harms nobody but the data of that client's own key.

Example: of key "k", after reading the record in the example of record_format.h, 44 bytes:

    2b 0e 2c 49  01 00  01 00  00 00 00 00               checksum, 1 entry, never cut
    00 00 00 68 e5 cf 8b 01                              stamp
    00 00 00 01  00 00 00 02  00 00 00 00 00 00 00 03    actor
    01 00 00 00  00 00 00 00                             counter 1, an item was seen
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from crc32c import crc32c

from lsmkv import CorruptionError
from lsmkv_cluster.record import Record
from lsmkv_cluster.record_format import CLOCK_MAX, ENTRY_SIZE, decode_clock, encode_entry
from lsmkv_cluster.vclock import Clock, Entry

__all__ = ["CONTEXT_SIZE_MAX", "NOTHING", "Context", "ContextError", "decode", "encode", "seen_in"]

VERSION = 1
HEADER = Struct("<IBBHIQ")
CONTEXT_SIZE_MAX = HEADER.size + CLOCK_MAX * ENTRY_SIZE  # bytes


class ContextError(ValueError):
    """A context that we did not make, or not for this key."""


@dataclass(frozen=True, slots=True)
class Context:
    clock: Clock = field(default_factory=Clock)
    cut_s: int = 0
    stamp: int = 0


NOTHING = Context()


def seen_in(record: Record | None) -> Context:
    """What somebody has seen who has read this record."""
    if record is None:
        return NOTHING
    alive = record.live()
    entries = {
        actor: Entry(entry.counter, 0 if actor in alive else entry.time_s)
        for actor, entry in record.clock
    }
    return Context(Clock(entries), record.cut_s, record.newest_stamp())


def encode(context: Context, key: bytes) -> bytes:
    count = len(context.clock)
    if count > CLOCK_MAX:
        raise ValueError(f"a context of {count} clock entries")
    head = HEADER.pack(0, VERSION, 0, count, context.cut_s, context.stamp)
    body = head[4:] + b"".join(encode_entry(actor, entry) for actor, entry in context.clock)
    return crc32c(body, crc32c(key)).to_bytes(4, "little") + body


def decode(data: bytes, key: bytes) -> Context:
    """ContextError for anything but what `encode` gave for this key."""
    if not HEADER.size <= len(data) <= CONTEXT_SIZE_MAX:
        raise ContextError(f"a context of {len(data)} bytes")
    checksum, version, zero, count, cut_s, stamp = HEADER.unpack_from(data)
    if checksum != crc32c(memoryview(data)[4:], crc32c(key)):
        raise ContextError("a context that is damaged, or of another key")
    if version != VERSION or zero:
        raise ContextError(f"a context of version {version}")
    if len(data) != HEADER.size + count * ENTRY_SIZE:
        raise ContextError("a context whose count does not fit its size")
    try:
        clock = decode_clock(data, HEADER.size, count, cut_s, may_have_zero=True)
    except CorruptionError as error:
        raise ContextError(str(error)) from None
    return Context(clock, cut_s, stamp)
