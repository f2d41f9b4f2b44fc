"""What a client gets with every read and gives back with its write: what it has seen, opaquely.

    off size
     0   8  BLAKE2b of key size (4 bytes), key and bytes 8.., to 8 bytes, keyed with the secret
     8   1  version (1)
     9   1  zero
    10   2  clock entries
    12   4  cut time, seconds
    16   8  the newest stamp seen
    24      clock entries, 24 bytes each, as in a record (kernels/record_format.h), but with time 0
              where the reader saw an item of that actor

The checksum is keyed with a secret of the cluster, because a context that claims to have seen what
is yet to be written would hide it; and it takes in the key, because one of another key would, too.
Either is refused.

Example: of key "k" and secret "s", after reading the record in the example of record_format.h, 48
bytes:

    77 1b 62 42 99 25 fb c2                              checksum
    01 00  01 00  00 00 00 00                            version, 1 entry, never cut
    00 00 00 68 e5 cf 8b 01                              stamp
    00 00 00 01  00 00 00 02  00 00 00 00 00 00 00 03    actor
    01 00 00 00  00 00 00 00                             counter 1, an item was seen
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from struct import Struct

from lsmkv import CorruptionError
from lsmkv_cluster.errors import ContextError
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.record_format import CLOCK_MAX, ENTRY_SIZE, decode_clock, encode_entry
from lsmkv_cluster.versions.vclock import Clock, Entry

__all__ = ["CONTEXT_SIZE_MAX", "NOTHING", "Context", "decode", "encode", "seen_in"]

VERSION = 1
TAG_SIZE = 8  # bytes
HEADER = Struct("<8sBBHIQ")
CONTEXT_SIZE_MAX = HEADER.size + CLOCK_MAX * ENTRY_SIZE  # bytes


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


def encode(context: Context, key: bytes, secret: bytes) -> bytes:
    """`secret` has at most 64 bytes and is the same on all nodes."""
    count = len(context.clock)
    if count > CLOCK_MAX:
        raise ValueError(f"a context of {count} clock entries")
    head = HEADER.pack(b"", VERSION, 0, count, context.cut_s, context.stamp)
    entries = b"".join(encode_entry(actor, entry) for actor, entry in context.clock)
    body = head[TAG_SIZE:] + entries
    return _tag(body, key, secret) + body


def decode(data: bytes, key: bytes, secret: bytes) -> Context:
    """ContextError for anything but what `encode` gave for this key and secret."""
    if not HEADER.size <= len(data) <= CONTEXT_SIZE_MAX:
        raise ContextError(f"a context of {len(data)} bytes")
    tag, version, zero, count, cut_s, stamp = HEADER.unpack_from(data)
    if not compare_digest(tag, _tag(data[TAG_SIZE:], key, secret)):
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


def _tag(body: bytes, key: bytes, secret: bytes) -> bytes:
    parts = len(key).to_bytes(4, "little") + key + body
    return blake2b(parts, digest_size=TAG_SIZE, key=secret).digest()
