"""Bugs in when a copy that may lack something counts as whole again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lsmkv_cluster.boot import Boot
from lsmkv_cluster.healing.recovery import Recovery
from lsmkv_cluster.ports import StoreOrder
from lsmkv_cluster.storage import store_opening
from lsmkv_cluster.storage.storage_orders import Discard
from tests.sim.canaries import canary, replaced


@canary("an empty disk is whole", "C5 stale strict read")
def empty_disk_is_whole() -> Iterator[None]:
    """A store that begins on an empty, an unsound or an old disk answers "nothing here" at once,
    for keys that were acknowledged with its voice (a replaced node that joins without its data)."""
    with (
        replaced(Boot, "lack", None),
        replaced(Recovery, "lost_everything", lambda self: []),
    ):
        yield


@canary("whole before its exchange", "C5 stale strict read")
def whole_before_its_exchange() -> Iterator[None]:
    """A copy that lacks something is called whole as soon as it is looked at, before any co-owner
    has told what it has."""
    with replaced(Recovery, "_is_whole", lambda self, partition, filling: True):
        yield


@canary("whole after one exchange", "C5 stale strict read", "C5 incomplete copy")
def whole_after_one_exchange() -> Iterator[None]:
    """A copy that was lost is whole after an exchange with any co-owner, which may have been the
    one that lacked the write."""
    with replaced(Recovery, "_is_whole", lambda self, partition, filling: bool(filling.met)):
        yield


@canary("what was dropped is whole", "C5 stale strict read", "C5 incomplete copy")
def what_was_dropped_is_whole() -> Iterator[None]:
    """A partition that cannot be read is dropped and not marked: emptiness in the place of a
    corrupt copy, and an answer to readers (CORDS, FAST 2017)."""

    def unreadable(self: Recovery, now: Any, partition: int) -> list[Any]:
        self._actors.distrust_epochs()
        return [StoreOrder(None, Discard(partition))]

    before = Recovery.stored

    def stored(self: Recovery, now: Any, results: Any) -> list[Any]:
        return before(self, now, [result for result in results if result.token is not None])

    with replaced(Recovery, "unreadable", unreadable), replaced(Recovery, "stored", stored):
        yield


@canary("a restart forgets what is lacking", "C5 stale strict read", "C5 incomplete copy")
def restart_forgets() -> Iterator[None]:
    """The mark of a partition that is being filled is not read at the start: a restart in the
    middle makes a half-filled copy whole."""
    with replaced(store_opening, "_incomplete", lambda marks, partitioning: {}):
        yield
