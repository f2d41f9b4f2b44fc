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
    94   .  data centres, ascending by name
     .   .  members, ascending by id
     .   .  keyspaces, ascending by prefix
     .   .  owners of each partition

    data centre   text name, 1 copies
    member        16 id, 1 state, 2 weight, 1 data centre (its index), text name, text rack,
                  text host, 1 addresses, each: text face, text location
    keyspace      2 prefix_size, prefix, 1 read level, 1 read count, 1 write level, 1 write count,
                  1 mode, 1 resolution, 1 flags (1: best effort)
    owners        1 count, each: 2 member (its index)
    text          1 size, that many ASCII characters

    state 1 JOINED 2 SERVING 3 LEAVING             level 1 ONE 2 QUORUM 3 ALL 4 LOCAL_QUORUM
    mode 1 SLOPPY 2 STRICT                               5 EACH_QUORUM 6 COUNT
    resolution 1 SIBLINGS 2 LAST_WRITER 3 CRDT

Integers are little-endian. Every document has exactly one form: whatever decodes encodes to the
same bytes. A new cluster of one partition, kept by its one member, is 158 bytes:

      0: 4c534d4b 56544f50 01000000 e4297834    magic, version 1, checksum
     16: 9e000000 01000100 01000000 00000000    158 bytes, feature level 1, 1 partition, epoch 1
     32: 00010203 04050607 08090a0b 0c0d0e0f    cluster id
     48: 00000000 00000000 00000000 00000000    no parent
     64: 00000000 00000000 00000000 00000000
     80: 07000000 00000000 01000100 0100        key seed 7, 1 data centre, 1 member, 1 keyspace
     94: 04656173 7403                          data centre east, 3 copies
    100: 10111213 14151617 18191a1b 1c1d1e1f    member id
    116: 02640000 026e3102 72310268 31          SERVING, weight 100, east, n1, rack r1, host h1
    129: 01047065 65720a5b 3a3a315d 3a373130    1 address: peer [::1]:7100
    145: 30
    146: 00000200 02000101 00                   every key: QUORUM, QUORUM, SLOPPY, SIBLINGS, no flag
    155: 010000                                 1 owner: member 0
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

from crc32c import crc32c

from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.keyspaces import Consistency, Keyspace, Level, Mode, Resolution
from lsmkv_cluster.members import MEMBER_ID_SIZE, Address, Member, MemberState
from lsmkv_cluster.topology import DOCUMENT_HASH_SIZE, DataCentre, Topology

__all__ = ["TOPOLOGY_SIZE_MAX", "decode_topology", "document_hash", "encode_topology", "successor"]

MAGIC = b"LSMKVTOP"
FORMAT_VERSION = 1
TOPOLOGY_SIZE_MAX = 16 << 20  # bytes; the largest that the other limits allow is smaller

_PREFIX = struct.Struct("<8sII")  # magic, version, checksum
_HEADER = struct.Struct("<IHHQ16s32sQHHH")
_HEADER_SIZE = _PREFIX.size + _HEADER.size
_FLAG_BEST_EFFORT = 1

_Number = TypeVar("_Number", bound=IntEnum)
_Thing = TypeVar("_Thing")


def document_hash(document: bytes) -> bytes:
    """What the next document names as its parent."""
    return hashlib.blake2b(document, digest_size=DOCUMENT_HASH_SIZE).digest()


def successor(topology: Topology, **changes: Any) -> Topology:
    """The next document, with these fields changed."""
    parent = document_hash(encode_topology(topology))
    return replace(topology, epoch=topology.epoch + 1, parent=parent, **changes)


# --- to bytes


def encode_topology(topology: Topology) -> bytes:
    body = b"".join(_pieces(topology))
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
        )
        + body
    )
    return _PREFIX.pack(MAGIC, FORMAT_VERSION, _checksum(rest)) + rest


def _checksum(rest: bytes) -> int:
    """REQUIRES: what stands before the checksum is known to be right."""
    return crc32c(rest, crc32c(_PREFIX.pack(MAGIC, FORMAT_VERSION, 0)[:12]))


def _pieces(topology: Topology) -> Iterator[bytes]:
    centre_numbers = {centre.name: n for n, centre in enumerate(topology.data_centres)}
    member_numbers = {
        member.id: number.to_bytes(2, "little") for number, member in enumerate(topology.members)
    }
    for centre in topology.data_centres:
        yield _text(centre.name) + bytes([centre.replicas])
    for member in topology.members:
        yield member.id + struct.pack(
            "<BHB", member.state, member.weight, centre_numbers[member.dc]
        )
        yield _text(member.name) + _text(member.rack) + _text(member.host)
        yield bytes([len(member.addresses)])
        for address in member.addresses:
            yield _text(address.face) + _text(address.location)
    for keyspace in topology.keyspaces:
        yield struct.pack("<H", len(keyspace.prefix)) + keyspace.prefix
        for consistency in (keyspace.read, keyspace.write):
            yield bytes([consistency.level, consistency.count])
        flags = _FLAG_BEST_EFFORT if keyspace.best_effort else 0
        yield bytes([keyspace.mode, keyspace.resolution, flags])
    for row in topology.owners:
        yield bytes([len(row)]) + b"".join(member_numbers[id] for id in row)


def _text(text: str) -> bytes:
    data = text.encode("ascii")
    return bytes([len(data)]) + data


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
    rest = data[_PREFIX.size :]
    if _checksum(rest) != checksum:
        raise TopologyError("a topology with a wrong checksum")
    size, feature_level, partitions, epoch, cluster_id, parent, key_seed, *counts = _HEADER.unpack(
        rest[: _HEADER.size]
    )
    if size != len(data):
        raise TopologyError(f"a topology of {len(data)} bytes that claims {size}")
    reader = _Reader(data, _HEADER_SIZE)
    centre_count, member_count, keyspace_count = counts
    centres = tuple(reader.data_centre() for _ in reader.items(centre_count, 2))
    members = tuple(reader.member(centres) for _ in reader.items(member_count, 24))
    keyspaces = tuple(reader.keyspace() for _ in reader.items(keyspace_count, 9))
    ids = [member.id for member in members]
    owners = tuple(
        tuple(reader.pick(ids, reader.number("<H")) for _ in range(reader.number("<B")))
        for _ in reader.items(partitions, 1)
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
    )


class _Reader:
    """Takes one thing after the other; nothing is taken that is not there."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._offset = offset

    def take(self, size: int) -> bytes:
        end = self._offset + size
        if end > len(self._data):
            self._refuse("a topology that ends too early")
        taken = self._data[self._offset : end]
        self._offset = end
        return taken

    def items(self, count: int, size_min: int) -> range:
        """A number of things, each of at least so many bytes, for which there must be room."""
        if count * size_min > len(self._data) - self._offset:
            self._refuse(f"{count} things claimed that cannot be there")
        return range(count)

    def number(self, form: str) -> int:
        [number] = struct.unpack(form, self.take(struct.calcsize(form)))
        return int(number)

    def text(self) -> str:
        data = self.take(self.number("<B"))
        if not data.isascii():
            self._refuse("text that is not ASCII")
        return data.decode("ascii")

    def one_of(self, numbers: type[_Number]) -> _Number:
        number = self.number("<B")
        try:
            return numbers(number)
        except ValueError:
            self._refuse(f"unknown {numbers.__name__.lower()} {number}")

    def pick(self, things: Sequence[_Thing], index: int) -> _Thing:
        if index >= len(things):
            self._refuse(f"number {index} of {len(things)}")
        return things[index]

    def data_centre(self) -> DataCentre:
        return DataCentre(self.text(), self.number("<B"))

    def member(self, centres: Sequence[DataCentre]) -> Member:
        id = self.take(MEMBER_ID_SIZE)
        state = self.one_of(MemberState)
        weight = self.number("<H")
        dc = self.pick(centres, self.number("<B")).name
        name, rack, host = self.text(), self.text(), self.text()
        addresses = tuple(
            Address(self.text(), self.text()) for _ in self.items(self.number("<B"), 2)
        )
        return Member(id, name, dc, rack, host, weight, state, addresses)

    def keyspace(self) -> Keyspace:
        prefix = self.take(self.number("<H"))
        read = Consistency(self.one_of(Level), self.number("<B"))
        write = Consistency(self.one_of(Level), self.number("<B"))
        mode, resolution, flags = self.one_of(Mode), self.one_of(Resolution), self.number("<B")
        if flags & ~_FLAG_BEST_EFFORT:
            self._refuse(f"unknown flags {flags:#x}")
        return Keyspace(prefix, read, write, mode, resolution, bool(flags & _FLAG_BEST_EFFORT))

    def end(self) -> None:
        if self._offset != len(self._data):
            self._refuse("more bytes than a topology has")

    def _refuse(self, message: str) -> NoReturn:
        raise TopologyError(f"at byte {self._offset}: {message}")
