"""Slowly, all trees are compared with what is on the disk: a few leaves at a time, round and round.

A tree follows every change by its difference; a bit that flipped in memory or in a checkpoint would
stay for ever and show as a difference that no repair removes. The store corrects such a leaf and
says so. What it cannot read at all makes the partition one to be filled again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from lsmkv_cluster.healing.repair_schedule import AntiEntropySettings
from lsmkv_cluster.ports import Random
from lsmkv_cluster.storage.storage_orders import Failed, Failure, Result, Scrub, Scrubbed

__all__ = ["Scrubber"]


class Scrubber:
    """One order at a time, `scrub_interval_ms` from the end of one to the next."""

    def __init__(
        self, partitions: Sequence[int], random: Random, settings: AntiEntropySettings
    ) -> None:
        self._partitions = partitions
        self._settings = settings
        self._index = random.randrange(len(partitions)) if partitions else 0
        self._leaf = 0
        self._due_ms = 0
        self._ordered: int | None = None  # the partition of the order under way
        self.corrected = 0  # leaves
        self.rounds = 0  # partitions that were compared as a whole

    def follow(self, partitions: Sequence[int]) -> None:
        """These are the partitions now, ascending. The one in work goes on where it was, or the
        next one begins."""
        current = self._partitions[self._index] if self._partitions else 0
        self._partitions = partitions
        self._index = bisect_left(partitions, current) % max(1, len(partitions))
        if not partitions or partitions[self._index] != current:
            self._leaf = 0

    def next_deadline(self) -> int | None:
        return self._due_ms if self._partitions and self._ordered is None else None

    def tick(self, now_ms: int, is_ready: Callable[[int], bool]) -> Scrub | None:
        """The next order, when it is time. Partitions that are not ready are passed over."""
        if self._ordered is not None or not self._partitions or now_ms < self._due_ms:
            return None
        for _ in self._partitions:
            if is_ready(self._partitions[self._index]):
                self._ordered = partition = self._partitions[self._index]
                return Scrub(partition, self._leaf, self._settings.scrub_leaf_count)
            self._next_partition()
        self._due_ms = now_ms + self._settings.scrub_interval_ms
        return None

    def stored(self, now_ms: int, result: Result) -> int | None:
        """The partition, when something in it cannot be read. A result for one that is not kept any
        more says nothing."""
        self._due_ms = now_ms + self._settings.scrub_interval_ms
        partition, self._ordered = self._ordered, None
        if not self._partitions or self._partitions[self._index] != partition:
            return None
        if isinstance(result, Scrubbed):
            self.corrected += result.corrected
            if result.next_leaf is not None:
                self._leaf = result.next_leaf
                return None
            self.rounds += 1
        self._next_partition()
        is_corrupt = isinstance(result, Failed) and result.failure is Failure.CORRUPT
        return partition if is_corrupt else None

    def _next_partition(self) -> None:
        self._index = (self._index + 1) % len(self._partitions)
        self._leaf = 0
