"""How many hints a store keeps, by partition: what their limits and their replay go by.

Counted in the step that changes them, and anew when the store is opened. The oldest stamp is a
lower bound: it is exact as long as no hint of that partition was forgotten, and begins anew when
the last of them was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lsmkv_cluster.engine_key import slot_in
from lsmkv_cluster.record_format import oldest_stamp
from lsmkv_cluster.slots import Partitioning

__all__ = ["HintChange", "HintTallies", "HintTally"]

HintChange = tuple[bytes, bytes | None, bytes | None]  # engine key, old record, new record


@dataclass(slots=True)
class HintTally:
    """Of one partition."""

    count: int = 0
    size_bytes: int = 0  # of keys and records
    oldest_stamp: int | None = None  # of the items in the records


class HintTallies:
    def __init__(self, partitioning: Partitioning) -> None:
        self._partitioning = partitioning
        self._tallies: dict[int, HintTally] = {}
        self.size_bytes = 0

    def __iter__(self) -> Iterator[int]:
        """The partitions that have hints."""
        return iter(self._tallies)

    def __getitem__(self, partition: int) -> HintTally:
        return self._tallies.get(partition) or HintTally()

    @property
    def count(self) -> int:
        return sum(tally.count for tally in self._tallies.values())

    @property
    def oldest_stamp(self) -> int | None:
        stamps = [tally.oldest_stamp for tally in self._tallies.values()]
        return min((stamp for stamp in stamps if stamp is not None), default=None)

    def apply(self, changes: Iterable[HintChange]) -> None:
        for key, old, new in changes:
            if new is not old:
                self._change(key, old, new)

    def clear(self, partition: int) -> None:
        self.size_bytes -= self[partition].size_bytes
        self._tallies.pop(partition, None)

    def _change(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        partition = self._partitioning.partition_of(slot_in(key))
        tally = self._tallies.setdefault(partition, HintTally())
        tally.count += (new is not None) - (old is not None)
        size = _size(key, new) - _size(key, old)
        tally.size_bytes += size
        self.size_bytes += size
        if tally.count == 0:
            del self._tallies[partition]
        elif new is not None:
            stamps = [tally.oldest_stamp, oldest_stamp(new)]
            tally.oldest_stamp = min((s for s in stamps if s is not None), default=None)


def _size(key: bytes, record: bytes | None) -> int:
    return 0 if record is None else len(key) + len(record)
