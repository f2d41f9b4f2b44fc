"""Which news goes into the next datagram: what was sent least first, and each a few times only.

An epidemic reaches everybody when each member passes each news on `multiplier * ceil(log10(n + 1))`
times, whatever the network loses; more would never end. News is kept by whom it is about, so that a
newer one takes the place of an older one, and is put into words when it is sent: what is known by
then goes out.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log10

from lsmkv_cluster.operations import OPERATION_HEADER_SIZE, Operation
from lsmkv_cluster.placement.members import MemberId

__all__ = ["Dissemination", "transmission_limit"]


def transmission_limit(member_count: int, multiplier: int) -> int:
    return multiplier * ceil(log10(member_count + 1))


class Dissemination:
    """The members about whom there is news, by how often it was sent already."""

    __slots__ = ("_levels", "_sent")

    def __init__(self, limit: int) -> None:
        self._levels: list[dict[MemberId, None]] = [{} for _ in range(limit)]
        self._sent: dict[MemberId, int] = {}  # members on the levels, and on which

    def follow(self, limit: int, is_kept: Callable[[MemberId], bool]) -> None:
        """Each news is to be sent so many times now; about some members there is none any more."""
        levels = self._levels
        self._levels = [{} for _ in range(limit)]
        self._sent = {}
        for sent, level in enumerate(levels[:limit]):
            for member in filter(is_kept, level):
                self._sent[member] = sent
                self._levels[sent][member] = None

    def __len__(self) -> int:
        return len(self._sent)

    def add(self, member: MemberId) -> None:
        """There is something new about it; that counts as never sent."""
        sent = self._sent.get(member)
        if sent is not None:
            del self._levels[sent][member]
        self._sent[member] = 0
        self._levels[0][member] = None

    def take(self, room: int, news_of: Callable[[MemberId], Operation]) -> list[Operation]:
        """News of at most `room` bytes in all, each counted as sent once more."""
        found: list[Operation] = []
        chosen = self._choose(room, news_of, found) if self._sent else []
        for member in chosen:
            sent = self._sent[member]
            del self._levels[sent][member]
            if sent + 1 == len(self._levels):
                del self._sent[member]
            else:
                self._sent[member] = sent + 1
                self._levels[sent + 1][member] = None
        return found

    def _choose(
        self, room: int, news_of: Callable[[MemberId], Operation], found: list[Operation]
    ) -> list[MemberId]:
        chosen: list[MemberId] = []
        for level in self._levels:
            for member in level:
                news = news_of(member)
                room -= OPERATION_HEADER_SIZE + len(news.payload)
                if room < 0:
                    return chosen
                chosen.append(member)
                found.append(news)
        return chosen
