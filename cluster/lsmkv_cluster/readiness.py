"""Which owned partitions may say "not found", and what the others wait for.

A partition is ready when nothing can be missing that a client was told is stored. How a node
started says what may be missing; what co-owners have is learned by anti-entropy, and `met` says
that all that one of them had is merged and durable here.

    FOUNDED      the store began with its cluster     ready
    CLEAN        nothing was lost                     ready
    UNCLEAN      writes that were not synced may be   ready after every co-owner that can be
                 lost                                 reached was met, and at least one
    WIPED        the store has no identity            ready after every co-owner was met
    DAMAGED      the log is damaged                   ready after every co-owner was met

- A partition that cannot be read is quarantined at any time: as WIPED. So is one that was not
  complete when the node stopped (`incomplete`), whatever the start: the node keeps the note
  (`encode_note`), before it says so to anybody and before a new store gets its identity.
- Co-owners that are not ready themselves count: else owners that all lost their copies would wait
  for each other for ever. What none of them has is lost, so a copy that is gone is always alarmed.
- Where nobody else owns the partition, nobody can be met: it is ready at once, with an alarm.
- An operator may waive a co-owner that never comes back.

The note, in terms of coding.py: varint count, then for each partition, ascending, a varint: the
partition - (the partition before + 1), the first as it is. Example, the partitions 3, 4 and 200:

    03 03 00 c301
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.members import MemberId
from lsmkv_cluster.slots import SLOT_COUNT
from lsmkv_cluster.topology import Topology

__all__ = ["NotReady", "Readied", "Readiness", "Start", "decode_note", "encode_note"]


class Start(Enum):
    """How a node has started."""

    FOUNDED = "a store that began with its cluster"
    CLEAN = "nothing was lost"
    UNCLEAN = "what was not synced may be lost"
    WIPED = "no identity was found"
    DAMAGED = "the log is damaged"


class NotReady(Enum):
    """Why a partition is not ready."""

    UNCLEAN = "writes that were not synced may be missing"
    INCOMPLETE = "anything may be missing"


_REASONS = {
    Start.UNCLEAN: NotReady.UNCLEAN,
    Start.WIPED: NotReady.INCOMPLETE,
    Start.DAMAGED: NotReady.INCOMPLETE,
}


@dataclass(frozen=True, slots=True)
class Readied:
    """Partitions that have just become ready, and what is to be said about it."""

    partitions: tuple[int, ...] = ()
    alarms: tuple[str, ...] = ()


@dataclass(slots=True)
class _Waiting:
    reason: NotReady
    met: set[MemberId] = field(default_factory=set)


class Readiness:
    """Of all partitions that a node owns. `review` after everything else: it alone makes ready."""

    def __init__(
        self, topology: Topology, me: MemberId, start: Start, incomplete: Collection[int] = ()
    ) -> None:
        self._co_owners = {
            partition: frozenset(owners) - {me}
            for partition, owners in enumerate(topology.owners)
            if me in owners
        }
        self._alarms: list[str] = []  # for the next review
        self._waived: set[MemberId] = set()
        self._waiting: dict[int, _Waiting] = {}
        for partition in self._co_owners:
            reason = NotReady.INCOMPLETE if partition in incomplete else _REASONS.get(start)
            if reason is not None:
                self._waiting[partition] = _Waiting(reason)
        if start in (Start.WIPED, Start.DAMAGED) and self._waiting:
            self._alarms.append(f"{start.value}: all partitions are filled from other owners")

    # --- questions

    @property
    def not_ready(self) -> Collection[int]:
        """The partitions that have priority in anti-entropy."""
        return self._waiting.keys()

    def is_ready(self, partition: int) -> bool:
        """REQUIRES: the node owns it."""
        return partition not in self._waiting

    def why_not(self, partition: int) -> NotReady | None:
        waiting = self._waiting.get(partition)
        return None if waiting is None else waiting.reason

    def missing(self, partition: int) -> frozenset[MemberId]:
        """The co-owners that were not met, nor waived."""
        waiting = self._waiting.get(partition)
        if waiting is None:
            return frozenset()
        return self._co_owners[partition] - waiting.met - self._waived

    @property
    def incomplete(self) -> tuple[int, ...]:
        """What the note must say, ascending."""
        found = self._waiting.items()
        return tuple(sorted(p for p, waiting in found if waiting.reason is NotReady.INCOMPLETE))

    # --- what happens

    def met(self, partition: int, peer: MemberId) -> None:
        """All that the peer had, by a round that began after the partition became not ready, is
        durable here."""
        if (waiting := self._waiting.get(partition)) is not None:
            waiting.met.add(peer)

    def quarantined(self, partition: int) -> None:
        """It cannot be read: what was learned so far may be gone."""
        if partition in self._co_owners:
            self._waiting[partition] = _Waiting(NotReady.INCOMPLETE)
            self._alarms.append(f"partition {partition} cannot be read, and is filled again")

    def waive(self, peer: MemberId) -> None:
        """An operator says that nothing is to be expected from this one."""
        self._waived.add(peer)

    def review(self, reachable: Callable[[MemberId], bool]) -> Readied:
        """Makes ready what may be, from now on."""
        if not self._waiting:
            return Readied()
        ready = [p for p in sorted(self._waiting) if self._may_be_ready(p, reachable)]
        alone = [p for p in ready if not self._waiting[p].met]
        for partition in ready:
            del self._waiting[partition]
        if alone:
            self._alarms.append(
                f"{len(alone)} partitions, {alone[0]} the first, may have lost writes, and no "
                "other owner could be asked"
            )
        alarms, self._alarms = tuple(self._alarms), []
        return Readied(tuple(ready), alarms)

    def _may_be_ready(self, partition: int, reachable: Callable[[MemberId], bool]) -> bool:
        missing = self.missing(partition)
        waiting = self._waiting[partition]
        if not missing:
            return True
        if waiting.reason is NotReady.INCOMPLETE:
            return False
        return bool(waiting.met) and not any(reachable(peer) for peer in missing)


# --- the note ------------------------------------------------------------------------------------


def encode_note(partitions: Sequence[int]) -> bytes:
    """REQUIRES: they ascend."""
    writer = Writer().varint(len(partitions))
    expected = 0
    for partition in partitions:
        writer.varint(partition - expected)
        expected = partition + 1
    return writer.finish()


def decode_note(note: bytes) -> tuple[int, ...]:
    reader = Reader(note)
    found: list[int] = []
    expected = 0
    for _ in range(reader.varint(SLOT_COUNT)):
        partition = expected + reader.varint(SLOT_COUNT)
        if partition >= SLOT_COUNT:
            raise Malformed(f"partition {partition}")
        found.append(partition)
        expected = partition + 1
    reader.end()
    return tuple(found)
