"""The envelope of gossip: one datagram of at most 1200 bytes, authenticated by a shared key.

TLS covers streams only, so a datagram carries its own proof. All integers are little-endian.

    off  size  datagram, version 1
      0     4  "LSMD"
      4     1  version: 1
      5     1  flags: zero
      6     2  operation count, at least 1
      8    16  cluster id
     24    16  node id of the sender
     40     8  boot number of the sender
     48     8  sequence: 1 for the first datagram of a run
     56     .  operations, as in operations.py
    end    16  keyed BLAKE2b-128 of everything before it, person "lsmkv datagram 1"

Worked example: key "k" * 32, sequence 1, one operation of opcode 0x0201 with payload "kv":

      0  4c534d44 01000100                    "LSMD", version, 1 operation
      8  00010203 04050607 08090a0b 0c0d0e0f  cluster id
     24  10111213 14151617 18191a1b 1c1d1e1f  node id
     40  09000000 04000000 01000000 00000000  boot number 4 << 32 | 9, sequence 1
     56  01020000 02000000 6b76               the operation
     66  c9342fa8 1b279c06 afa922b8 3e48146e  MAC

`DatagramOpener` opens in this order: size, magic, version, cluster, MAC; nothing inside counts
before the MAC does. That it is new is for replay_window.py to say, afterwards. Several keys are
accepted while one replaces another; the first is used for sealing. A MAC proves that a member made
the datagram, not that what it says is so: gossip never moves data.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from lsmkv_cluster.coding import U64_MAX
from lsmkv_cluster.errors import Malformed, ProtocolError
from lsmkv_cluster.operations import Operation, decode_operations, encode_operations
from lsmkv_cluster.placement.members import CLUSTER_ID_SIZE, MEMBER_ID_SIZE
from lsmkv_cluster.refusals import Refusal

__all__ = [
    "DATAGRAM_SIZE_MAX",
    "OPERATIONS_SIZE_MAX",
    "Datagram",
    "DatagramOpener",
    "DatagramSealer",
]

MAGIC = b"LSMD"
DATAGRAM_VERSION = 1
DATAGRAM_SIZE_MAX = 1200  # fits every path of the internet without fragments, headers included
MAC_SIZE = 16
KEY_SIZE_MIN = 16
KEY_SIZE_MAX = 64
PERSON = b"lsmkv datagram 1"

_HEADER = struct.Struct("<4sBBH16s16sQQ")
OPERATIONS_SIZE_MAX = DATAGRAM_SIZE_MAX - _HEADER.size - MAC_SIZE


@dataclass(frozen=True, slots=True)
class Datagram:
    """What an authentic datagram says."""

    node_id: bytes
    boot_number: int
    sequence: int
    operations: tuple[Operation, ...]


def _mac(key: bytes, data: bytes) -> bytes:
    return blake2b(data, digest_size=MAC_SIZE, key=key, person=PERSON).digest()


def _checked_key(key: bytes) -> bytes:
    if not KEY_SIZE_MIN <= len(key) <= KEY_SIZE_MAX:
        raise ValueError(f"a key has {KEY_SIZE_MIN} to {KEY_SIZE_MAX} bytes, not {len(key)}")
    return key


class DatagramSealer:
    """Seals what one run of a node sends; numbers its datagrams."""

    __slots__ = ("_boot_number", "_cluster_id", "_key", "_node_id", "_sequence")

    def __init__(self, key: bytes, cluster_id: bytes, node_id: bytes, boot_number: int) -> None:
        if len(cluster_id) != CLUSTER_ID_SIZE or len(node_id) != MEMBER_ID_SIZE:
            raise ValueError(f"ids of {len(cluster_id)} and {len(node_id)} bytes")
        if not 0 < boot_number <= U64_MAX:
            raise ValueError(f"boot number {boot_number}")
        self._key = _checked_key(key)
        self._cluster_id = cluster_id
        self._node_id = node_id
        self._boot_number = boot_number
        self._sequence = 0

    def seal(self, operations: Sequence[Operation]) -> bytes:
        """A datagram of its own, never twice the same. ValueError when it would be too large."""
        body = encode_operations(operations)
        if not operations or len(body) > OPERATIONS_SIZE_MAX:
            raise ValueError(f"{len(operations)} operations of {len(body)} bytes in a datagram")
        self._sequence += 1
        header = _HEADER.pack(
            MAGIC,
            DATAGRAM_VERSION,
            0,
            len(operations),
            self._cluster_id,
            self._node_id,
            self._boot_number,
            self._sequence,
        )
        data = header + body
        return data + _mac(self._key, data)


class DatagramOpener:
    """Opens what other nodes sealed. Keeps nothing from one datagram to the next."""

    __slots__ = ("_cluster_id", "_keys")

    def __init__(self, keys: Sequence[bytes], cluster_id: bytes) -> None:
        if not keys:
            raise ValueError("no key")
        self._keys = tuple(_checked_key(key) for key in keys)
        self._cluster_id = cluster_id

    def open(self, data: bytes) -> Datagram:
        """What it says; ProtocolError for what no member of this cluster sealed."""
        if len(data) > DATAGRAM_SIZE_MAX:
            raise ProtocolError(Refusal.TOO_LARGE, f"a datagram of {len(data)} bytes")
        if data[:4] != MAGIC:
            raise ProtocolError(Refusal.NOT_A_FRAME, f"it begins with {data[:4].hex()}")
        if len(data) < _HEADER.size + MAC_SIZE:
            raise ProtocolError(Refusal.TRUNCATED, f"a datagram of {len(data)} bytes")
        fields = _HEADER.unpack_from(data)
        _, version, flags, count, cluster_id, node_id, boot, sequence = fields
        if version != DATAGRAM_VERSION:
            raise ProtocolError(Refusal.UNKNOWN_VERSION, f"datagram version {version}")
        if cluster_id != self._cluster_id:
            raise ProtocolError(Refusal.WRONG_CLUSTER, f"cluster {cluster_id.hex()}")
        if not self._is_authentic(data):
            raise ProtocolError(Refusal.UNAUTHENTIC, f"a wrong MAC in the name of {node_id.hex()}")
        if flags:
            raise ProtocolError(Refusal.UNKNOWN_FLAGS, f"flags 0x{flags:02x}")
        if count == 0 or boot == 0 or sequence == 0:
            raise ProtocolError(Refusal.MALFORMED, "a count, boot number or sequence of 0")
        try:
            operations = decode_operations(data[_HEADER.size : -MAC_SIZE], count)
        except Malformed as error:
            raise ProtocolError(Refusal.MALFORMED, str(error)) from error
        return Datagram(node_id, boot, sequence, operations)

    def _is_authentic(self, data: bytes) -> bool:
        signed, mac = data[:-MAC_SIZE], data[-MAC_SIZE:]
        return any(hmac.compare_digest(_mac(key, signed), mac) for key in self._keys)
