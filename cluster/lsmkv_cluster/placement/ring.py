"""The ring: in which order the members are asked to keep a partition.

    0 ........ b ... a ...... c . a ..... b ........ 2^64
               ^ tokens: each member has many, in number proportional to its weight
         ^ a partition walks clockwise from here: b, a, c

Tokens are the first 64 bits of MurmurHash3 (x64, 128 bits, seed 0) of the member's id and the
token's index as 4 bytes, little-endian. A partition stands where its first slot does, slots being
spread evenly over the ring: so the order depends neither on the number of partitions nor on other
members. Two tokens at one place are in the order of the ids.

The ring prefers, it does not own: the planner turns preferences into a table that is balanced and
moves little, and the order says who stands in for an owner that is away. Pure and the same
everywhere: all members must agree on it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import mmh3

from lsmkv_cluster.placement.members import WEIGHT_ORDINARY, Member, MemberId
from lsmkv_cluster.placement.slots import SLOT_COUNT

__all__ = ["TOKENS_ORDINARY", "Ring", "distances", "position_of_slot", "tokens_of"]

TOKENS_ORDINARY = 128  # of a member of ordinary weight; changing it changes every order
_RING_SIZE = 1 << 64


def position_of_slot(slot: int) -> int:
    return slot * (_RING_SIZE // SLOT_COUNT)


def tokens_of(member: Member) -> list[int]:
    """Ascending; a positive weight has at least one."""
    return list(_tokens(member.id, -(-member.weight * TOKENS_ORDINARY // WEIGHT_ORDINARY)))


@lru_cache(maxsize=256)
def _tokens(id: MemberId, count: int) -> tuple[int, ...]:
    """Every new document asks for those of the same members again."""
    hashes = (mmh3.hash64(id + n.to_bytes(4, "little"), signed=False)[0] for n in range(count))
    return tuple(sorted(hashes))


def distances(tokens: Sequence[int], positions: Iterable[int]) -> array[int]:
    """For each position how far it is, clockwise, to the nearest of a member's tokens.

    Of two members the one at the smaller distance is met first: sorted by them, members stand in
    the order of a walk. REQUIRES: at least one token, ascending.
    """
    found = array("Q")
    for position in positions:
        index = bisect_left(tokens, position)
        token = tokens[index] if index < len(tokens) else tokens[0] + _RING_SIZE
        found.append(token - position)
    return found


class Ring:
    """The tokens of all members, to be walked."""

    def __init__(self, members: Iterable[Member]) -> None:
        tokens = sorted((token, member.id) for member in members for token in tokens_of(member))
        self._positions = [token for token, _ in tokens]
        self._ids = [id for _, id in tokens]

    def walk(self, position: int) -> Iterator[MemberId]:
        """Every member with a token, once, in the order in which they are met."""
        start = bisect_left(self._positions, position)
        seen: set[MemberId] = set()
        for part in (self._ids[start:], self._ids[:start]):
            for id in part:
                if id not in seen:
                    seen.add(id)
                    yield id
