"""The topology document as bytes, and the hash that the next document names.

    off size
     0   8  magic "LSMKVTOP"
     8   4  format version (1)
    12   4  CRC-32C of all other bytes
    16   4  size of the document in bytes
    20   2  feature level
    22   2  partitions
    24   8  epoch
    32  16  cluster id
    48  32  BLAKE2b-256 of the parent document, zeros at epoch 1
    80   8  seed of the hash in stored keys
    88   2  data centres
    90   2  members
    92   2  keyspaces
    94   2  transitions
    96   .  data centres, ascending by name
     .   .  members, ascending by id
     .   .  keyspaces, ascending by prefix
     .   .  rows, one for each partition: who is read
     .   .  ages, one varint for each partition: epochs since its place changed
     .   .  transitions, ascending by partition

    data centre   text name, 1 copies
    member        16 id, 1 state, 2 weight, 1 data centre (its index), text name, text rack,
                  text host, 1 addresses, each: text face, text location
    keyspace      2 prefix_size, prefix, 1 read level, 1 read count, 1 write level, 1 write count,
                  1 mode, 1 resolution, 1 flags (1: best effort)
    row           1 count, each: 2 member (its index)
    transition    2 partition, 1 phase, the other row
    text          1 size, that many ASCII characters

    state 1 JOINED 2 SERVING 3 LEAVING 4 STAGED    level 1 ONE 2 QUORUM 3 ALL 4 LOCAL_QUORUM
          5 REMOVED                                      5 EACH_QUORUM 6 COUNT
    mode 1 SLOPPY 2 STRICT                         phase 1 FILLING 2 SWITCHED
    resolution 1 SIBLINGS 2 LAST_WRITER 3 CRDT

Integers are little-endian. Every document has exactly one form: whatever decodes encodes to the
same bytes. A new cluster of one partition, kept by its one member, is 161 bytes:

      0: 4c534d4b 56544f50 01000000 5241278f    magic, version 1, checksum
     16: a1000000 01000100 01000000 00000000    161 bytes, feature level 1, 1 partition, epoch 1
     32: 00010203 04050607 08090a0b 0c0d0e0f    cluster id
     48: 00000000 00000000 00000000 00000000    no parent
     64: 00000000 00000000 00000000 00000000
     80: 07000000 00000000 01000100 01000000    key seed 7, 1 data centre, member, keyspace
     96: 04656173 7403                          data centre east, 3 copies
    102: 10111213 14151617 18191a1b 1c1d1e1f    member id
    118: 02640000 026e3102 72310268 31          SERVING, weight 100, east, n1, rack r1, host h1
    131: 01047065 65720a5b 3a3a315d 3a373130    1 address: peer [::1]:7100
    147: 30
    148: 00000200 02000101 00                   every key: QUORUM, QUORUM, SLOPPY, SIBLINGS, no flag
    157: 010000 00                              1 owner: member 0; placed in this epoch
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from crc32c import crc32c

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.errors import Malformed, TopologyError
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode, Resolution
from lsmkv_cluster.placement.members import MEMBER_ID_SIZE, Address, Member, MemberId, MemberState
from lsmkv_cluster.placement.owners import Phase, Transition
from lsmkv_cluster.placement.topology import (
    DOCUMENT_HASH_SIZE,
    GENERATION_SHIFT,
    DataCentre,
    Topology,
)

__all__ = [
    "TOPOLOGY_SIZE_MAX",
    "decode_topology",
    "document_hash",
    "encode_topology",
    "forced",
    "successor",
]

MAGIC = b"LSMKVTOP"
FORMAT_VERSION = 1
TOPOLOGY_SIZE_MAX = 16 << 20  # bytes; the largest that the other limits allow is smaller

_PREFIX = struct.Struct("<8sII")  # magic, version, checksum
_HEADER = struct.Struct("<IHHQ16s32sQHHHH")
_HEADER_SIZE = _PREFIX.size + _HEADER.size
_FLAG_BEST_EFFORT = 1

_Thing = TypeVar("_Thing")


def document_hash(document: bytes) -> bytes:
    """What the next document names as its parent."""
    return hashlib.blake2b(document, digest_size=DOCUMENT_HASH_SIZE).digest()


def successor(topology: Topology, **changes: Any) -> Topology:
    """The next document, with these fields changed; what is placed anew follows from them."""
    return _following(topology, topology.epoch + 1, changes)


def forced(topology: Topology, **changes: Any) -> Topology:
    """The same in a new generation, which no majority of the old one can catch up with."""
    generation = (topology.generation + 1) << GENERATION_SHIFT
    number = topology.epoch % (1 << GENERATION_SHIFT) + 1
    return _following(topology, generation + number, changes)


def _following(topology: Topology, epoch: int, changes: dict[str, Any]) -> Topology:
    parent = document_hash(encode_topology(topology))
    following = replace(topology, epoch=epoch, parent=parent, **changes)
    placed = tuple(
        before if _place(topology, partition) == _place(following, partition) else epoch
        for partition, before in enumerate(topology.placed)
    )
    return replace(following, placed=placed)


def _place(topology: Topology, partition: int) -> object:
    """What a request for the partition depends on; the order of owners is not part of it."""
    transition = topology.transitions_by_partition.get(partition)
    row = frozenset(topology.owners[partition])
    return row if transition is None else (row, transition.phase, frozenset(transition.row))


# --- to bytes


def encode_topology(topology: Topology) -> bytes:
    body = _body(topology)
    rest = (
        _HEADER.pack(
            _HEADER_SIZE + len(body),
            topology.feature_level,
            len(topology.owners),
            topology.epoch,
            topology.cluster_id,
            topology.parent,
            topology.key_seed,
            len(topology.data_centres),
            len(topology.members),
            len(topology.keyspaces),
            len(topology.transitions),
        )
        + body
    )
    return _PREFIX.pack(MAGIC, FORMAT_VERSION, _checksum(rest)) + rest


def _checksum(rest: bytes) -> int:
    """REQUIRES: what stands before the checksum is known to be right."""
    return crc32c(rest, crc32c(_PREFIX.pack(MAGIC, FORMAT_VERSION, 0)[:12]))


def _body(topology: Topology) -> bytes:
    centre_numbers = {centre.name: n for n, centre in enumerate(topology.data_centres)}
    member_numbers = {
        member.id: number.to_bytes(2, "little") for number, member in enumerate(topology.members)
    }
    writer = Writer()
    for centre in topology.data_centres:
        _write_text(writer, centre.name)
        writer.u8(centre.replicas)
    for member in topology.members:
        writer.fixed(member.id, MEMBER_ID_SIZE).u8(member.state).u16(member.weight)
        writer.u8(centre_numbers[member.dc])
        for text in (member.name, member.rack, member.host):
            _write_text(writer, text)
        writer.u8(len(member.addresses))
        for address in member.addresses:
            _write_text(writer, address.face)
            _write_text(writer, address.location)
    for keyspace in topology.keyspaces:
        writer.u16(len(keyspace.prefix)).raw(keyspace.prefix)
        for consistency in (keyspace.read, keyspace.write):
            writer.u8(consistency.level).u8(consistency.count)
        flags = _FLAG_BEST_EFFORT if keyspace.best_effort else 0
        writer.u8(keyspace.mode).u8(keyspace.resolution).u8(flags)
    for row in topology.owners:
        writer.u8(len(row)).raw(b"".join([member_numbers[id] for id in row]))
    for placed in topology.placed:
        writer.varint(topology.epoch - placed)
    for transition in topology.transitions:
        writer.u16(transition.partition).u8(transition.phase)
        row = transition.row
        writer.u8(len(row)).raw(b"".join([member_numbers[id] for id in row]))
    return writer.finish()


def _write_text(writer: Writer, text: str) -> None:
    writer.u8(len(text)).raw(text.encode("ascii"))


# --- from bytes


def decode_topology(data: bytes) -> Topology:
    """TopologyError for anything but the one form of a valid document; trusts nothing."""
    if len(data) > TOPOLOGY_SIZE_MAX:
        raise TopologyError(f"a topology of more than {TOPOLOGY_SIZE_MAX} bytes")
    if len(data) < _HEADER_SIZE:
        raise TopologyError(f"a topology of {len(data)} bytes")
    magic, version, checksum = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise TopologyError("not a topology")
    if version != FORMAT_VERSION:
        raise TopologyError(f"a topology of format {version}, which this version does not know")
    if _checksum(data[_PREFIX.size :]) != checksum:
        raise TopologyError("a topology with a wrong checksum")
    size, *header = _HEADER.unpack_from(data, _PREFIX.size)
    if size != len(data):
        raise TopologyError(f"a topology of {len(data)} bytes that claims {size}")
    reader = Reader(data, _HEADER_SIZE)
    try:
        return _document(header, reader)
    except Malformed as error:
        raise TopologyError(f"a topology, at byte {reader.position}: {error}") from error


def _document(header: Sequence[Any], reader: Reader) -> Topology:
    """The document of these fields and what follows them."""
    feature_level, partitions, epoch, cluster_id, parent, key_seed, *counts = header
    centre_count, member_count, keyspace_count, transition_count = counts
    centres = tuple(_data_centre(reader) for _ in _items(reader, centre_count, 2))
    members = tuple(_member(reader, centres) for _ in _items(reader, member_count, 24))
    keyspaces = tuple(_keyspace(reader) for _ in _items(reader, keyspace_count, 9))
    ids = [member.id for member in members]
    owners = tuple(_row(reader, ids) for _ in _items(reader, partitions, 1))
    placed = tuple(epoch - reader.varint(epoch) for _ in _items(reader, partitions, 1))
    transitions = tuple(
        Transition(reader.u16(), reader.one_of(Phase), _row(reader, ids))
        for _ in _items(reader, transition_count, 4)
    )
    reader.end()
    return Topology(
        cluster_id=cluster_id,
        epoch=epoch,
        parent=parent,
        feature_level=feature_level,
        key_seed=key_seed,
        data_centres=centres,
        members=members,
        keyspaces=keyspaces,
        owners=owners,
        transitions=transitions,
        placed=placed,
    )


def _items(reader: Reader, count: int, size_min: int) -> range:
    """A number of things, each of at least so many bytes, for which there must be room."""
    if count * size_min > reader.left:
        raise Malformed(f"{count} things claimed that cannot be there")
    return range(count)


def _pick(things: Sequence[_Thing], index: int) -> _Thing:
    if index >= len(things):
        raise Malformed(f"number {index} of {len(things)}")
    return things[index]


def _row(reader: Reader, ids: Sequence[MemberId]) -> tuple[MemberId, ...]:
    return tuple([_pick(ids, reader.u16()) for _ in range(reader.u8())])


def _text(reader: Reader) -> str:
    data = reader.fixed(reader.u8())
    if not data.isascii():
        raise Malformed("text that is not ASCII")
    return data.decode("ascii")


def _data_centre(reader: Reader) -> DataCentre:
    return DataCentre(_text(reader), reader.u8())


def _member(reader: Reader, centres: Sequence[DataCentre]) -> Member:
    id = reader.fixed(MEMBER_ID_SIZE)
    state = reader.one_of(MemberState)
    weight = reader.u16()
    dc = _pick(centres, reader.u8()).name
    name, rack, host = _text(reader), _text(reader), _text(reader)
    addresses = tuple(Address(_text(reader), _text(reader)) for _ in _items(reader, reader.u8(), 2))
    return Member(id, name, dc, rack, host, weight, state, addresses)


def _keyspace(reader: Reader) -> Keyspace:
    prefix = reader.fixed(reader.u16())
    read = Consistency(reader.one_of(Level), reader.u8())
    write = Consistency(reader.one_of(Level), reader.u8())
    mode, resolution, flags = reader.one_of(Mode), reader.one_of(Resolution), reader.u8()
    if flags & ~_FLAG_BEST_EFFORT:
        raise Malformed(f"unknown flags {flags:#x}")
    return Keyspace(prefix, read, write, mode, resolution, bool(flags & _FLAG_BEST_EFFORT))
