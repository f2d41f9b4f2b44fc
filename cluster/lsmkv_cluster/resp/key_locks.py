"""Who may touch which keys now: shared by those who read, held alone by those who write.

A claim names all its keys at once and stands in their queues from then on, first come, first
served. So whoever came before never waits for whoever came later, and nobody waits for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, KeysView

__all__ = ["Claim", "KeyLocks"]


class Claim:
    """`owner` is whatever the claimant wants to get back when it is its turn."""

    __slots__ = ("is_exclusive", "keys", "missing", "owner")

    def __init__(self, owner: object, keys: Iterable[Hashable], is_exclusive: bool) -> None:
        self.owner = owner
        self.keys = tuple(dict.fromkeys(keys))
        self.is_exclusive = is_exclusive
        self.missing = 0  # keys that others have


class _Lock:
    __slots__ = ("holders", "is_exclusive", "waiting")

    def __init__(self, is_exclusive: bool) -> None:
        self.holders = 1
        self.is_exclusive = is_exclusive
        self.waiting: deque[Claim] | None = None


class KeyLocks:
    def __init__(self) -> None:
        self._locks: dict[Hashable, _Lock] = {}

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._locks)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._locks

    @property
    def held(self) -> KeysView[Hashable]:
        """The keys that are held, whenever it is looked at."""
        return self._locks.keys()

    def take(self, claim: Claim) -> bool:
        """Whether it has all its keys; else it is among those that some `release` returns."""
        locks = self._locks
        for key in claim.keys:
            lock = locks.get(key)
            if lock is None:
                locks[key] = _Lock(claim.is_exclusive)
            elif claim.is_exclusive or lock.is_exclusive or lock.waiting:
                if lock.waiting is None:
                    lock.waiting = deque()
                lock.waiting.append(claim)
                claim.missing += 1
            else:
                lock.holders += 1
        return not claim.missing

    def release(self, claim: Claim) -> list[Claim]:
        """Of a claim that has all its keys; those that now have theirs, in the order in which they
        came."""
        complete: list[Claim] = []
        for key in claim.keys:
            lock = self._locks[key]
            lock.holders -= 1
            if lock.holders:
                continue
            if not lock.waiting:
                del self._locks[key]
                continue
            self._grant(lock, lock.waiting, complete)
        return complete

    def _grant(self, lock: _Lock, waiting: deque[Claim], complete: list[Claim]) -> None:
        lock.is_exclusive = waiting[0].is_exclusive
        while waiting and (not lock.holders or not (lock.is_exclusive or waiting[0].is_exclusive)):
            next = waiting.popleft()
            lock.holders += 1
            next.missing -= 1
            if not next.missing:
                complete.append(next)
