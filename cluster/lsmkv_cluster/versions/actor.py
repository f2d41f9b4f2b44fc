"""Who mints: actors of a store, and when one of them must not go on.

An actor is a node, a random incarnation of its store, and an epoch from a durable counter of that
store. A dot names one event for ever, so an actor may only count on from a record that certainly
shows all that it ever wrote to that key. `choose` decides that for one key; `ActorSource` owns the
counter, and knows which epochs a loss has made worthless.

A fresh epoch is taken
- when there is no local record, or none of this store's trusted actors is in its clock;
- when the client has seen a dot of this store that the local record lacks;
- when the record was cut later than the actor's start, so that the entry may say less than was
  written (vclock.py); or when its counter is full.
All epochs so far are distrusted, and so no key counts on from them,
- when a record from elsewhere shows a dot of this store that the store lacks: the merge is refused
  (kernels/record_merge.h, the guard) until the distrust is durable, then done;
- after a start without a clean end, or with a damaged log. In the same boot of the machine nothing
  is lost by a kill; but then an old copy of the disk, put back, looks just like it, and if nobody
  heard how far that run was, nobody can tell;
- after a start on an old copy of the disk. Each start has a number, announced to the peers: one
  that has seen it before proves that this disk is not the newest. As the epoch counter is then old
  too, the store takes a new incarnation; also when no peer can be asked;
- when all epochs of an incarnation are used, one by each new key: the next one begins.

Nothing is handed out before it is durable: a fresh epoch only from a lease that was persisted, so a
crash skips the rest of the lease and never repeats a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from struct import Struct

from lsmkv_cluster.versions.context import Context
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.vclock import COUNTER_MAX, TIME_MAX_S, Actor, Clock

__all__ = ["ActorSource", "Identity", "Persist", "Reason", "choose"]

LEASE_SIZE = 1 << 16  # epochs persisted ahead, at first
LEASE_SIZE_MAX = 1 << 20  # what a store that writes many new keys comes to, lost at each end
FIRST_SERIAL = 1
SERIAL_BITS = 32
SERIAL_MAX = (1 << 32) - 1  # is never used
INCARNATIONS = 1 << 32

OWN = Struct(">II")


class Reason(Enum):
    """Why a fresh epoch is needed."""

    NO_RECORD = "no local record"
    NO_TRUSTED_ENTRY = "no trusted actor of this store in the clock"
    MISSED_DOT = "a dot of this store that the local record lacks was seen"
    CUT = "the clock was cut after this actor's start, and may say less than was written"
    FULL = "the counter is full"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a store keeps about itself. Serial numbers of epochs from `leased` on were never used;
    epochs with one before `trusted` are not to be counted on from."""

    node: int
    incarnation: int
    start_number: int = 0
    leased: int = FIRST_SERIAL
    trusted: int = FIRST_SERIAL

    @property
    def trusted_epoch(self) -> int:
        """The first epoch to be counted on from."""
        return self.trusted << SERIAL_BITS

    def own(self) -> bytes:
        """What the encoded actors of this store begin with."""
        return OWN.pack(self.node, self.incarnation)


@dataclass(frozen=True, slots=True)
class Persist:
    """Make it durable, then call `persisted` with it."""

    identity: Identity


# --- one key -------------------------------------------------------------------------------------


def choose(
    local: Record | None, seen: Context, identity: Identity, count: int = 1
) -> Actor | Reason:
    """The actor that may mint `count` dots for this key, or why there is none yet."""
    if local is None:
        return Reason.NO_RECORD
    for actor in _own(seen.clock, identity):
        if seen.clock.counter(actor) > local.clock.counter(actor):
            return Reason.MISSED_DOT
    trusted = list(_own(local.clock, identity))
    if not trusted:
        return Reason.NO_TRUSTED_ENTRY
    actor = max(trusted)
    if actor.start_s < max(local.cut_s, seen.cut_s):
        return Reason.CUT
    if local.clock.counter(actor) + count > COUNTER_MAX:
        return Reason.FULL
    return actor


def _own(clock: Clock, identity: Identity) -> Iterator[Actor]:
    """The trusted actors of this store in a clock."""
    for actor in clock.entries:
        if (actor.node, actor.incarnation) == (identity.node, identity.incarnation) and (
            actor.epoch >= identity.trusted_epoch
        ):
            yield actor


# --- the store -----------------------------------------------------------------------------------


class ActorSource:
    """Hands out fresh epochs and keeps the distrust. `effects` is for the caller to take.

    `peers_needed` peers must say that they have not seen this start before; 0 for a store that has
    no peers. Until then, or until those who answered have to do, nothing is minted.
    """

    def __init__(
        self,
        stored: Identity,
        *,
        ended_cleanly: bool,
        peers_needed: int,
        lease_size: int = LEASE_SIZE,
    ) -> None:
        self._lease_size = lease_size
        self._next_serial = stored.leased
        self._durable = stored
        self._peers: set[int] = set()
        self._peers_needed = peers_needed
        self.effects: list[Persist] = []
        self.identity = replace(
            stored,
            start_number=stored.start_number + 1,
            trusted=stored.trusted if ended_cleanly else stored.leased,
        )
        self._lease()

    @property
    def may_mint(self) -> bool:
        """Whether this start is durable, and known not to be on an old disk."""
        return (
            len(self._peers) >= self._peers_needed
            and self._durable.start_number == self.identity.start_number
            and self.is_distrust_durable
        )

    @property
    def is_distrust_durable(self) -> bool:
        """Whether all epochs that are not to be counted on from are known to be so for ever."""
        return (
            self._durable.incarnation == self.identity.incarnation
            and self._durable.trusted == self.identity.trusted
        )

    @property
    def durable_trusted_epoch(self) -> int:
        """What the guard of merges may be told."""
        return self._durable.trusted_epoch

    def peer_answered(self, node: int, start_number_seen: int, incarnation_if_stale: int) -> None:
        """A peer's largest start number of this store, from before this start was announced."""
        if start_number_seen < self.identity.start_number:
            self._peers.add(node)
        else:
            self.distrust_disk(incarnation_if_stale, start_number_seen)

    def settle_for_those_who_answered(self) -> None:
        """One at least: who has not answered by now is not waited for."""
        self._peers_needed = min(self._peers_needed, max(1, len(self._peers)))

    def distrust_disk(self, fresh_incarnation: int, start_number_seen: int = 0) -> None:
        """The disk may be an old copy, or nobody can tell: begin as a new incarnation."""
        self._peers_needed = 0
        self._next_serial = FIRST_SERIAL
        number = max(self.identity.start_number, start_number_seen + 1)
        self.identity = Identity(self.identity.node, fresh_incarnation, number)
        self._lease()

    def distrust_epochs(self) -> None:
        """The store has lost a write of its own: no key counts on from any epoch so far."""
        self.identity = replace(self.identity, trusted=self._next_serial)
        self._lease()

    def persisted(self, identity: Identity) -> None:
        self._durable = identity

    def choose(
        self, local: Record | None, seen: Context, now_ms: int, count: int = 1
    ) -> Actor | Reason | None:
        """The actor for a write: the one at hand or a fresh one. While a fresh one is needed and
        the next lease is not durable, the Reason; while this store may not mint at all, None."""
        if not self.may_mint:
            return None
        chosen = choose(local, seen, self.identity, count)
        if isinstance(chosen, Actor):
            return chosen
        cut_s = max(local.cut_s if local else 0, seen.cut_s)
        return self._fresh(max(now_ms // 1000, cut_s)) or chosen

    def take_serials(self, count: int) -> range:
        """Serial numbers of epochs for somebody else to use, as many as there are at hand."""
        if not self.may_mint:
            return range(0)
        first = self._next_serial
        end = self._next_serial = max(first, min(first + count, self._durable.leased))
        self._lease_early()
        return range(first, end)

    def next_epoch(self, start_s: int) -> int:
        """Nobody has used it; 0 while there is none at hand. It is taken with `take_epoch`."""
        if self._next_serial >= self._durable.leased:
            return 0
        return self._next_serial << SERIAL_BITS | min(start_s, TIME_MAX_S)

    def take_epoch(self) -> None:
        self._next_serial += 1
        self._lease_early()

    def _fresh(self, start_s: int) -> Actor | None:
        epoch = self.next_epoch(start_s)
        if not epoch:
            return None
        actor = Actor(self.identity.node, self.identity.incarnation, epoch)
        self.take_epoch()
        return actor

    def _lease_early(self) -> None:
        is_last = self._next_serial < self.identity.leased == SERIAL_MAX
        if not is_last and self.identity.leased - self._next_serial < self._lease_size // 2:
            self._lease_size = min(2 * self._lease_size, max(LEASE_SIZE_MAX, self._lease_size))
            self._lease()

    def _lease(self) -> None:
        if self._next_serial >= SERIAL_MAX:
            self.distrust_disk((self.identity.incarnation + 1) % INCARNATIONS)
            return
        leased = min(self._next_serial + self._lease_size, SERIAL_MAX)
        self.identity = replace(self.identity, leased=leased)
        self.effects.append(Persist(self.identity))
