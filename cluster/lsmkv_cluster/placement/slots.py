"""From keys to slots to partitions.

    slot         CRC16 (XMODEM) of the key, or of its {hash tag}, modulo 16384: the rule of Redis
                 Cluster, so its clients find the right node by themselves
    partition    a range of consecutive slots, the unit of placement, transfer and repair

Keys with the same hash tag share a slot: the tag is what stands between the first `{` and the next
`}` after it. Without such a pair, or with nothing in between, the whole key is hashed:

    {user}.name    user
    a{b}{c}        b
    {{a}}          {a
    {}a            {}a
    {a             {a

The number of partitions is chosen when a cluster is made. No format of data knows it: keys are
stored by slot.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass

from lsmkv_cluster.errors import TopologyError

__all__ = ["SLOT_COUNT", "PARTITION_COUNT_DEFAULT", "Partitioning", "slot_of", "hashed_part"]

SLOT_COUNT = 16384  # Redis Cluster's; persistent
PARTITION_COUNT_DEFAULT = 1024


def hashed_part(key: bytes) -> bytes:
    """The bytes of the key that decide its slot."""
    opening = key.find(b"{")
    if opening < 0:
        return key
    closing = key.find(b"}", opening + 1)
    return key[opening + 1 : closing] if closing > opening + 1 else key


def slot_of(key: bytes) -> int:
    return crc_hqx(hashed_part(key), 0) % SLOT_COUNT


@dataclass(frozen=True)
class Partitioning:
    """The slots cut into `count` ranges whose lengths differ by one at most."""

    count: int = PARTITION_COUNT_DEFAULT

    def __post_init__(self) -> None:
        if not 1 <= self.count <= SLOT_COUNT:
            raise TopologyError(f"{self.count} partitions; it must be 1 to {SLOT_COUNT}")

    def partition_of(self, slot: int) -> int:
        return slot * self.count // SLOT_COUNT

    def slots_of(self, partition: int) -> range:
        return range(self._first_slot(partition), self._first_slot(partition + 1))

    def _first_slot(self, partition: int) -> int:
        return -(-partition * SLOT_COUNT // self.count)  # rounded up
