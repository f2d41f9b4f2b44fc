"""What tests of collecting have in common: one key, who writes it, and rules to be switched off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.healing.collecting import Sweep
from lsmkv_cluster.healing.tombstones import TombstoneCollector
from lsmkv_cluster.placement.topology import Topology
from tests.support.heal_lab import heal_topology, keys_of
from tests.support.tombstone_lab import GC, TombstoneLab

__all__ = [
    "DAY_MS",
    "GC_MS",
    "KEY",
    "MINUTE_MS",
    "SLOW",
    "TOPOLOGY",
    "ask_owners_for_nothing",
    "ask_who_can_be_reached",
    "believe_that_there_are_no_hints",
    "changed",
    "delete_everywhere",
    "put_everywhere",
]

TOPOLOGY = heal_topology()
[KEY] = keys_of(TOPOLOGY, 0, 1)
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
SLOW = replace(GC, interval_ms=60 * MINUTE_MS)
GC_MS = 5 * MINUTE_MS  # in which a sweep of every partition ends


def put_everywhere(lab: TombstoneLab, value: bytes = b"v") -> None:
    lab.put(lab.a, KEY, value)
    lab.ship(KEY, lab.a, lab.b, lab.c)


def delete_everywhere(lab: TombstoneLab) -> None:
    lab.delete(lab.a, KEY)
    lab.ship(KEY, lab.a, lab.b, lab.c)


def changed(topology: Topology, **changes: object) -> Topology:
    """The next document."""
    epoch = topology.epoch + 1
    return replace(topology, epoch=epoch, parent=b"p" * 32, **changes)


# --- the rules that can be switched off ----------------------------------------------------------


def ask_owners_for_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sweep, "_owner_told", lambda *_: None)


def ask_who_can_be_reached(patch: pytest.MonkeyPatch, lab: TombstoneLab) -> None:
    """Of hints only."""

    def reachable(self: TombstoneCollector) -> list[bytes]:
        return [id for id in lab.nodes if lab.reachable_from(self._me)(id)]

    patch.setattr(TombstoneCollector, "_members", reachable)


def believe_that_there_are_no_hints(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TombstoneCollector, "_members", lambda _: ())
