"""How many rounds of other nodes this node takes part in at once, over all of them together.

A node bounds the rounds that it begins itself (`exchange_count_max`); how many others begin with it
is for it to bound, too: one that comes back is met by all co-owners of all its partitions. A round
is known by its exchange. It counts until the deadline of its last question about trees; what it
asks for afterwards is bounded by the store (backlog.py). Who is refused comes again later.
"""

from __future__ import annotations

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Asked

__all__ = ["RoundsServed"]

EXCHANGE_SIZE = 8  # bytes; a question begins with it


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
        self._until_ms[served] = question.deadline_ms
        return True

    def _is_full(self, now_ms: int) -> bool:
        if len(self._until_ms) < self._count_max:
            return False
        self._until_ms = {s: ms for s, ms in self._until_ms.items() if ms > now_ms}
        return len(self._until_ms) >= self._count_max
