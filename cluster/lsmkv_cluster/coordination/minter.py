"""Minting for the store: many requests in one order, each decided on what is stored at that moment.

A MintBatch is what a Mint order (storage_orders.py) calls back: for each key it gets the stored
record and gives the new one, so that no other write comes between reading and writing, and no dot
is used twice. What became of each request stands in `results` when the order has been carried out;
the store may have called twice for one of them, and the last call counts. Requests that nobody
waits for any more are made void, while the store has not come to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lsmkv.kernel import overwrite_register
from lsmkv_cluster.coordination.changes import Situation, change_of, dot_count, superseded_by
from lsmkv_cluster.coordination.requests import ClientRequest, Reason, Verb
from lsmkv_cluster.errors import TooManySiblingsError
from lsmkv_cluster.versions.actor import ActorSource
from lsmkv_cluster.versions.context import NOTHING, Context
from lsmkv_cluster.versions.hlc import HybridClock
from lsmkv_cluster.versions.minting import Limits, mint
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.record_format import decode, encode
from lsmkv_cluster.versions.vclock import Actor

__all__ = ["MINTED_SIZE_MAX", "MintBatch", "MintEntry", "MintResult", "Minter"]


MINTED_SIZE_MAX = 15 << 20  # bytes of a record; with its key it fits a frame


@dataclass(frozen=True, slots=True)
class MintEntry:
    """`is_hint`: minted into a hint. Hints come and go, so what stands there says nothing of what
    this store has written before: it takes a fresh actor."""

    request: ClientRequest
    seen: Context
    is_hint: bool = False


@dataclass(frozen=True, slots=True)
class MintResult:
    """`reason` NONE: `stored` is what the key holds now; `is_new` is False where the request had
    nothing to change. Any other reason: nothing was written."""

    reason: Reason
    stored: bytes | None = None
    is_new: bool = False

    @property
    def record(self) -> Record | None:
        return decode(self.stored) if self.stored is not None else None


@dataclass(slots=True)
class Counters:
    """What minting has met, for the metrics."""

    minted: int = 0
    clock_entries_cut: int = 0
    sibling_warnings: int = 0


class Minter:
    """Actor, clock and limits of one store."""

    def __init__(
        self, actors: ActorSource, clock: HybridClock, limits: Limits | None = None
    ) -> None:
        self.actors = actors
        self.clock = clock
        self.limits = limits or Limits()
        self.counters = Counters()

    def mint(self, entry: MintEntry, old: bytes | None, wall_ms: int) -> MintResult:
        request, seen = entry.request, entry.seen
        if request.verb is Verb.SET and seen is NOTHING and not entry.is_hint:
            stored = self._overwritten(request, old, wall_ms)
            if stored is not None:
                return MintResult(Reason.NONE, stored, True)
        local = decode(old) if old is not None else None
        known = None if entry.is_hint else local
        actor = self.actors.choose(known, seen, wall_ms, dot_count(request))
        if not isinstance(actor, Actor):
            return MintResult(Reason.NOT_READY)
        try:
            change = change_of(request, Situation(local, seen, actor, wall_ms))
        except ValueError:
            return MintResult(Reason.WRONG_TYPE)
        if change.is_empty:
            return MintResult(Reason.NONE, old)
        self._follow(local, seen, wall_ms)
        stamp = self.clock.next(wall_ms)
        superseded = superseded_by(request, seen)
        try:
            minted = mint(local, change, actor, stamp, seen=superseded, limits=self.limits)
        except TooManySiblingsError:
            return MintResult(Reason.TOO_MANY_SIBLINGS)
        stored = _encoded(minted.record)
        if stored is None:
            return MintResult(Reason.BAD_REQUEST)
        self.counters.minted += 1
        self.counters.clock_entries_cut += minted.cut_count
        self.counters.sibling_warnings += minted.has_many_siblings
        return MintResult(Reason.NONE, stored, True)

    def _overwritten(self, request: ClientRequest, old: bytes | None, wall_ms: int) -> bytes | None:
        """The usual case natively, with the same bytes; None where it is not that simple."""
        actors = self.actors
        if not actors.may_mint:
            return None
        identity = actors.identity
        made = overwrite_register(
            old,
            request.values[0],
            identity.own(),
            trusted_epoch=identity.trusted_epoch,
            fresh_epoch=actors.next_epoch(wall_ms // 1000),
            stamp=self.clock.next(wall_ms),
            expiry_ms=request.expiry_ms,
        )
        if made is None:
            return None
        stored, is_fresh = made
        if is_fresh:
            actors.take_epoch()
        self.counters.minted += 1
        return stored

    def _follow(self, local: Record | None, seen: Context, wall_ms: int) -> None:
        newest = max(local.newest_stamp() if local else 0, seen.stamp)
        if newest > self.clock.last:
            self.clock.follow(newest, wall_ms)


def _encoded(record: Record) -> bytes | None:
    """None for a record that could not travel."""
    try:
        stored = encode(record)
    except ValueError:
        return None
    return stored if len(stored) <= MINTED_SIZE_MAX else None


class MintBatch:
    """The requests of one Mint order. `decide` is what the order carries."""

    __slots__ = ("_entries", "_minter", "_void", "_wall_ms", "results")

    def __init__(self, minter: Minter, entries: Sequence[MintEntry], wall_ms: int) -> None:
        self._minter = minter
        self._entries = entries
        self._wall_ms = wall_ms
        self._void: set[int] = set()
        self.results: list[MintResult | None] = [None] * len(entries)

    def make_void(self, index: int) -> None:
        """Mint nothing for this request, if the store has not come to it yet."""
        self._void.add(index)

    def decide(self, index: int, old: bytes | None) -> bytes | None:
        result = (
            MintResult(Reason.DEADLINE)
            if index in self._void
            else self._minter.mint(self._entries[index], old, self._wall_ms)
        )
        self.results[index] = result
        return result.stored if result.is_new else None
