"""Bugs in who counts dots, and in what a new version takes the place of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lsmkv.kernel import RecordMerger
from lsmkv_cluster.boot import Boot
from lsmkv_cluster.healing.starting import Starting
from lsmkv_cluster.placement.members import actor_number
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.versions import minting
from lsmkv_cluster.versions.actor import FIRST_SERIAL, SERIAL_BITS, ActorSource
from lsmkv_cluster.versions.context import Context
from lsmkv_cluster.versions.minting import Change
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.vclock import Actor, Clock
from tests.sim.canaries import canary, replaced


@canary("one actor for ever", "dot used twice")
def one_actor() -> Iterator[None]:
    """A store counts on with one actor whatever it has lost, from 1 where it finds nothing. Riak
    #679: a replica that had lost a key began to count anew, and its writes were taken for known."""

    def choose(
        self: ActorSource, local: Record | None, seen: Context, now_ms: int, count: int = 1
    ) -> Actor | None:
        own = self.identity
        return Actor(own.node, 0, FIRST_SERIAL << SERIAL_BITS) if self.may_mint else None

    with replaced(ActorSource, "choose", choose):
        yield


@canary("every end is harmless", "dot used twice")
def every_end_is_harmless() -> Iterator[None]:
    """After a loss of power a store goes on with the epochs that it had. What was minted and not
    synced is gone, and its dots are used again (the stale counter of Riak PR #1643)."""
    with replaced(Boot, "ended_cleanly", True):
        yield


@canary("an old disk goes on", "dot used twice", "C5 incomplete copy")
def old_disk_goes_on() -> Iterator[None]:
    """A disk restored from a copy is taken for the newest, whatever peers have seen of it: dots
    that it gave out before are given out again, and what it lacks is not fetched."""

    def judge(self: Starting, peer: bytes, seen: Any) -> list[Any]:
        self._actors.peer_answered(actor_number(peer), 0, 0)
        return []

    with replaced(Starting, "_judge", judge):
        yield


@canary("lost dots go unnoticed", "dot used twice", "C2 actor outlives a loss")
def lost_dots() -> Iterator[None]:
    """Neither damage nor a record that shows lost writes of this store makes it distrust its
    epochs (riak_test kv679_dataloss_fb: the lost dot came back by a repair)."""

    def distrust(self: ActorSource) -> None:
        pass

    with (
        replaced(ActorSource, "distrust_epochs", distrust),
        replaced(Store, "_new_merger", lambda self, space: RecordMerger()),
    ):
        yield


@canary("a context is not kept", "C2 false sibling", "C5 context went back")
def context_is_not_kept() -> Iterator[None]:
    """A new version knows what its coordinator held, and not what its client had seen elsewhere:
    what it took the place of comes back beside it as a false sibling."""
    with replaced(minting, "_known_by", lambda seen, superseded, cut_s, time_s: Clock()):
        yield


@canary("a write takes the place of all", "C2 false overwrite")
def write_takes_all() -> Iterator[None]:
    """A value supersedes all that its coordinator holds, seen by the client or not: of two who
    write at the same time the second one wins (the lost update that siblings are there for)."""

    def write(local: Record | None, value: bytes, seen: Context, expiry_ms: int = 0) -> Change:
        return minting.overwrite(local, value, expiry_ms)

    with replaced(minting, "write", write):
        yield
