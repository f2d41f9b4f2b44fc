"""Bugs in what stand-ins keep, and when they let go of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lsmkv_cluster.coordination.replica import AS_HINT, Replica
from lsmkv_cluster.healing.hint_budget import Confirmations
from lsmkv_cluster.healing.hints import HintedHandoff
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Reply
from lsmkv_cluster.storage.storage_orders import Done, Drop, Failed, Failure
from lsmkv_cluster.storage.store import Store
from tests.sim.canaries import canary, replaced


@canary("a stand-in keeps nothing", "C1 acknowledged by too few")
def stand_in_keeps_nothing() -> Iterator[None]:
    """A stand-in answers that it has the write and forgets it: what was acknowledged with its voice
    has a copy less than it was told."""
    before = Replica._take_merge

    def take(self: Replica, now: Any, request: Any, merges: Any, effects: list[Any]) -> None:
        if request.flags & AS_HINT:
            effects.append(Reply(request.reply_to, OperationStatus.DONE))
        else:
            before(self, now, request, merges, effects)

    with replaced(Replica, "_take_merge", take):
        yield


@canary("hints are sent once", "C1 lost write")
def hints_are_sent_once() -> Iterator[None]:
    """A hint counts as delivered once it has been sent, whatever the owner answers (handoff that
    deletes what it could not hand over)."""
    before = HintedHandoff._ended

    def ended(self: HintedHandoff, now: Any, sent: Any, is_done: bool) -> None:
        before(self, now, sent, True)

    with replaced(HintedHandoff, "_ended", ended):
        yield


@canary("hints are for one owner", "C1 lost write")
def hints_are_for_one() -> Iterator[None]:
    """A hint is dropped when the first of its owners has it: the others never get it, if nothing
    else brings it to them."""

    class Everybody(frozenset[MemberId]):
        def issuperset(self, owners: Any) -> bool:
            return bool(self)

    before = Confirmations.owners_of

    def owners_of(self: Confirmations, key: bytes, digest: int) -> frozenset[MemberId]:
        return Everybody(before(self, key, digest))

    with replaced(Confirmations, "owners_of", owners_of):
        yield


@canary("a hint that has changed is dropped", "C1 lost write", "C1 hint dropped early")
def changed_hint_is_dropped() -> Iterator[None]:
    """What came to a hint while it was handed over goes with it: the store drops the key, not the
    state that the owners have confirmed."""

    def drop(self: Store, order: Drop) -> Done | Failed:
        for key, _ in order.entries:
            pair = (self._scheme.engine_key(order.space, key), b"")
            outcome = self._one(order.space, pair, lambda key, old, operand: None)
            if isinstance(outcome, Failure):
                return Failed(outcome)
        return Done()

    with replaced(Store, "_drop", drop):
        yield
