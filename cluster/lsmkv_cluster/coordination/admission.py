"""How many calls a node works on at once, and how many of them may be one client's.

Counted are calls and the bytes of their requests. Whoever is named, a client or a node that
forwards, may have as much under way as is still free: alone half of all, two that want everything a
third each. So somebody new always gets in (Choudhury and Hahne, Dynamic Queue Length Thresholds,
1998). Calls of nobody in particular share all there is.
"""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Admission"]


class _Share:
    __slots__ = ("count", "size")

    def __init__(self) -> None:
        self.count = 0
        self.size = 0


class Admission:
    def __init__(self, count_max: int, size_max_bytes: int) -> None:
        self._count_max = count_max
        self._size_max = size_max_bytes
        self.count = 0
        self.size = 0
        self._shares: dict[Hashable, _Share] = {}

    @property
    def is_full(self) -> bool:
        """For everybody."""
        return self.count >= self._count_max or self.size >= self._size_max

    def enter(self, who: Hashable, size: int) -> bool:
        """`who` is a client, a peer, or 0 for nobody in particular; `size` that of the request."""
        free, free_size = self._count_max - self.count, self._size_max - self.size
        if free <= 0 or (size > free_size and self.count):
            return False
        if who:
            share = self._shares.get(who)
            if share is None:
                share = self._shares[who] = _Share()
            elif share.count >= free or share.size + size > free_size:
                return False
            share.count += 1
            share.size += size
        self.count += 1
        self.size += size
        return True

    def leave(self, who: Hashable, size: int) -> None:
        self.count -= 1
        self.size -= size
        if who:
            share = self._shares[who]
            share.count -= 1
            share.size -= size
            if not share.count:
                del self._shares[who]
