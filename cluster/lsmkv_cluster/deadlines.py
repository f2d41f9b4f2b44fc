"""When the machines of a node are due: asked again only of those that may have changed their mind.

A machine changes it when it is given something, ticks or takes another document. Few depend on
others, and go with them (`FOLLOWERS`): hints are taken by who coordinates or replicates, without a
word to the machine that sends them, and a node votes once its start is settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lsmkv_cluster.operations import Machine
from lsmkv_cluster.ports import Machine as MachinePort

__all__ = ["Deadlines"]

FOLLOWERS: dict[int, int] = {
    Machine.COORDINATOR: Machine.HINTS,
    Machine.REPLICA: Machine.HINTS,
    Machine.CONNECTION: Machine.TOPOLOGY,
}


class Deadlines:
    """`machines` is looked at whenever one is asked: others may take the place of those in it."""

    def __init__(self, machines: Mapping[int, MachinePort]) -> None:
        self._machines = machines
        self._known: dict[int, int | None] = {}
        self._earliest_ms: int | None = 0  # of those that were known the last time

    def changed(self, machine: int) -> None:
        self._known.pop(machine, None)
        if machine in FOLLOWERS:
            self._known.pop(FOLLOWERS[machine], None)

    def all_changed(self) -> None:
        self._known.clear()

    def due(self, machines: Iterable[int], now_ms: int) -> Iterator[int]:
        """Which of these are, one after the other: what is done for one may make another due."""
        known, earliest_ms = self._known, self._earliest_ms
        is_early = earliest_ms is None or now_ms < earliest_ms
        for machine in machines:
            if not (is_early and machine in known):
                due_ms = self._of(machine)
                if due_ms is not None and due_ms <= now_ms:
                    yield machine

    def earliest(self, machines: Iterable[int]) -> int | None:
        """When the first of these is due, among whom are all that are asked about next."""
        earliest_ms = None
        for machine in machines:
            due_ms = self._of(machine)
            if due_ms is not None and (earliest_ms is None or due_ms < earliest_ms):
                earliest_ms = due_ms
        self._earliest_ms = earliest_ms
        return earliest_ms

    def _of(self, machine: int) -> int | None:
        known = self._known
        if machine in known:
            return known[machine]
        due_ms = known[machine] = self._machines[machine].next_deadline()
        return due_ms
