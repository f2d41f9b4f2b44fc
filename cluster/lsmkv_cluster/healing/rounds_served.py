"""How many rounds of other nodes this node takes part in at once, over all of them together.

A node bounds the rounds that it begins itself (`exchange_count_max`); how many others begin with it
is for it to bound, too: one that comes back is met by all co-owners of all its partitions. A round
is known by its exchange. It counts until an answer ends it, or nothing was asked for a while: what
it asks for after its trees were compared is bounded by the store (backlog.py). Who is refused comes
again later.
"""

from __future__ import annotations

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Asked

__all__ = ["RoundsServed"]

EXCHANGE_SIZE = 8  # bytes; a question begins with it
IDLE_MAX_MS = 500  # between two questions of a round that goes on


class RoundsServed:
    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._until_ms: dict[tuple[MemberId, bytes], int] = {}

    def takes(self, now_ms: int, question: Asked, *, is_busy: bool) -> bool:
        """Whether a question about trees belongs to a round that goes on, or may begin here. None
        begins while the node `is_busy`."""
        served = question.peer, question.payload[:EXCHANGE_SIZE]
        if served not in self._until_ms and (is_busy or self._is_full(now_ms)):
            return False
        self._until_ms[served] = min(question.deadline_ms, now_ms + IDLE_MAX_MS)
        return True

    def over(self, question: Asked) -> None:
        """It was answered so that nothing follows."""
        self._until_ms.pop((question.peer, question.payload[:EXCHANGE_SIZE]), None)

    def _is_full(self, now_ms: int) -> bool:
        if len(self._until_ms) < self._count_max:
            return False
        self._until_ms = {s: ms for s, ms in self._until_ms.items() if ms > now_ms}
        return len(self._until_ms) >= self._count_max
