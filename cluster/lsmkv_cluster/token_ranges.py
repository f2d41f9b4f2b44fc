"""Where a partition lies among the tokens: ranges for listing it and for comparing it.

A token is the head of an engine key, 8 bytes, big-endian: the space (1 byte), the slot (2), a hash
of the key (5). So a partition is one range in each space, whatever the number of partitions.
"""

from __future__ import annotations

from lsmkv_cluster.antientropy_exchange import TokenRange
from lsmkv_cluster.slots import Partitioning
from lsmkv_cluster.storage_orders import Space

__all__ = ["partition_of_token", "partition_tokens", "space_tokens"]

SPACE_SHIFT = 56
SLOT_SHIFT = 40
SLOT_MASK = 0xFFFF


def space_tokens(space: Space) -> TokenRange:
    return TokenRange(space << SPACE_SHIFT, (space + 1) << SPACE_SHIFT)


def partition_tokens(partitioning: Partitioning, space: Space, partition: int) -> TokenRange:
    slots = partitioning.slots_of(partition)
    head = space << SPACE_SHIFT
    return TokenRange(head | slots.start << SLOT_SHIFT, head | slots.stop << SLOT_SHIFT)


def partition_of_token(partitioning: Partitioning, token: int) -> int:
    """Of any space. A slot beyond the last one gives a partition that there is not."""
    return partitioning.partition_of(token >> SLOT_SHIFT & SLOT_MASK)
