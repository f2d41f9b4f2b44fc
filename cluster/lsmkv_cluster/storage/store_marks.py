"""What a store notes about itself in Space.META: names and values of its marks.

    name         slot               value
    identity     0                  who mints here (below)
    note/NAME    0                  what the node wants to find again under NAME
    closed       0                  8 bytes, little-endian: the engine's sequence of this very
                                    write, the last one of a clean end
    incomplete   first of           2 bytes, little-endian: how many slots, from that one on, must
                 the partition      be filled from others before they count as complete;
                                    1 byte: 1 unsynced writes may be missing, 2 anything may

    off size  identity (little-endian)
      0    1  version: 1
      1    3  zero
      4    4  node
      8    4  incarnation
     12    4  leased: serial numbers of epochs from here on were never used
     16    4  trusted: epochs with a serial number before this are not counted on from
     20    8  start number

Example: node 1, incarnation 2, the third start, leased to 65538, trusted from 2:

    01 00 00 00  01 00 00 00  02 00 00 00  02 00 01 00  version, node, incarnation, leased
    02 00 00 00  03 00 00 00 00 00 00 00                trusted, start number

Engine keys: engine_key.py. A mark that cannot be read makes the store unusable: CorruptionError.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from struct import Struct

from lsmkv import CorruptionError, Error
from lsmkv_cluster.placement.slots import SLOT_COUNT
from lsmkv_cluster.storage.engine_key import Space, client_key, named_key, slot_in
from lsmkv_cluster.storage.storage_orders import Lack
from lsmkv_cluster.versions.actor import Identity

__all__ = [
    "CLOSED_KEY",
    "IDENTITY_KEY",
    "Marks",
    "encode_closed",
    "encode_identity",
    "encode_incomplete",
    "incomplete_key",
    "note_key",
    "read_marks",
]

VERSION = 1
IDENTITY = Struct("<B3xIIIIQ")
CLOSED = Struct("<Q")
INCOMPLETE = Struct("<HB")

NOTE_PREFIX = b"note/"
INCOMPLETE_NAME = b"incomplete"
IDENTITY_KEY = named_key(Space.META, 0, b"identity")
CLOSED_KEY = named_key(Space.META, 0, b"closed")


@dataclass(slots=True)
class Marks:
    """What was found."""

    identity: Identity | None = None
    notes: dict[bytes, bytes] = field(default_factory=dict)
    closed_at: int | None = None
    incomplete: list[tuple[range, Lack]] = field(default_factory=list)  # slots


def note_key(name: bytes) -> bytes:
    return named_key(Space.META, 0, NOTE_PREFIX + name)


def incomplete_key(slots: range) -> bytes:
    return named_key(Space.META, slots.start, INCOMPLETE_NAME)


def encode_incomplete(slots: range, lack: Lack) -> bytes:
    return INCOMPLETE.pack(len(slots), lack)


def encode_closed(sequence: int) -> bytes:
    return CLOSED.pack(sequence)


def encode_identity(identity: Identity) -> bytes:
    return IDENTITY.pack(
        VERSION,
        identity.node,
        identity.incarnation,
        identity.leased,
        identity.trusted,
        identity.start_number,
    )


def read_marks(pairs: Iterable[tuple[bytes, bytes]]) -> Marks:
    """The marks among the pairs of Space.META. Names that this version does not know are left
    alone."""
    marks = Marks()
    for key, value in pairs:
        name = client_key(key)
        if name.startswith(NOTE_PREFIX):
            marks.notes[name.removeprefix(NOTE_PREFIX)] = value
        elif name == INCOMPLETE_NAME:
            marks.incomplete.append(_decode_incomplete(slot_in(key), value))
        elif key == IDENTITY_KEY:
            marks.identity = _decode_identity(value)
        elif key == CLOSED_KEY:
            (marks.closed_at,) = _unpack(CLOSED, name, value)
    return marks


def _decode_incomplete(first_slot: int, data: bytes) -> tuple[range, Lack]:
    count, lack = _unpack(INCOMPLETE, INCOMPLETE_NAME, data)
    if not 0 < count <= SLOT_COUNT - first_slot or lack not in Lack.__members__.values():
        raise CorruptionError(f"a mark of {count} slots from {first_slot} on that lack {lack}")
    return range(first_slot, first_slot + count), Lack(lack)


def _decode_identity(data: bytes) -> Identity:
    if data[:1] != bytes([VERSION]):
        raise Error(f"the identity of the store has version {data[:1].hex()}")
    _, node, incarnation, leased, trusted, number = _unpack(IDENTITY, b"identity", data)
    return Identity(node, incarnation, number, leased, trusted)


def _unpack(layout: Struct, name: bytes, data: bytes) -> tuple[int, ...]:
    if len(data) != layout.size:
        raise CorruptionError(f"{name.decode()} of {len(data)} bytes instead of {layout.size}")
    return layout.unpack(data)
