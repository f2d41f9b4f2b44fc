"""Whom a read asks: the best copies first, no more than may be enough, and others in their place.

Nobody is asked for a digest or a record twice, but for the record behind a digest that differs.
"""

from __future__ import annotations

from collections.abc import Iterable

from lsmkv_cluster.coordination.calls import Call, Step
from lsmkv_cluster.coordination.evidence import Heard, counting
from lsmkv_cluster.coordination.latency import Latencies
from lsmkv_cluster.coordination.quorum import missing
from lsmkv_cluster.coordination.read_state import OtherToken, OwnToken, ReadState, Wait
from lsmkv_cluster.coordination.replica_messages import READ, ReplicaFlags, encode_read
from lsmkv_cluster.coordination.view import Target, View
from lsmkv_cluster.ports import Ask, Now, StoreOrder
from lsmkv_cluster.storage.storage_orders import Read, Space
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Asking"]

SYNC = int(ReplicaFlags.SYNC)
AS_HINT = int(ReplicaFlags.AS_HINT)
DIGEST = int(ReplicaFlags.DIGEST)


class Asking:
    """Questions to others go into `steps` at once, those to the own store with `take_orders`, one
    order for all reads of a kind."""

    def __init__(self, view: View, latencies: Latencies) -> None:
        self._view = view
        self._latencies = latencies
        self._own: dict[tuple[Space, bool], list[ReadState]] = {}

    def candidates(self, call: Call) -> list[Target]:
        """Whom to ask, best first: this node's own copy, then its data centre, the fastest first;
        the overloaded behind them, be it this node; stand-ins last."""
        view, place = self._view, call.place
        targets = view.readable(place, not call.is_strict)
        me_ready = view.is_ready(place.partition)
        members = view.topology.members_by_id

        def rank(target: Target) -> tuple[bool, bool, bool, bool, float]:
            return (
                target.is_hint,
                view.is_overloaded(target.member),
                target.member != view.me,
                members[target.member].dc != view.dc,
                self._latencies.average_ms(target.member),
            )

        usable = [
            target for target in targets if target.member != view.me or target.is_hint or me_ready
        ]
        return sorted(usable, key=rank)

    def ask_enough(self, now: Now, read: ReadState, steps: list[Step]) -> None:
        """Ask the best of those who have not been asked until enough may answer, or all of them
        where all are wanted."""
        while read.candidates:
            if read.wants_all:
                self._ask(now, read, read.candidates[0], steps)
                continue
            expected = counting(read.heard.values()) | {w.owner for w in read.waiting.values()}
            wanted = _first_useful(read, expected)
            if wanted is None:
                break
            self._ask(now, read, wanted, steps)

    def ask_one_more(self, now: Now, read: ReadState, steps: list[Step]) -> None:
        """Somebody in the place of those who are slow: who could help, if there is one."""
        wanted = _first_useful(read, counting(read.heard.values()))
        self._ask(now, read, wanted or read.candidates[0], steps)

    def fetch(self, now: Now, read: ReadState, digests: Iterable[Heard], steps: list[Step]) -> None:
        """Ask for the records behind digests, where that is not under way."""
        for heard in digests:
            if heard.member not in read.waiting:
                target = Target(heard.member, heard.owner)
                self._ask_other(now, read, target, steps, wants_record=True)

    def take_orders(self) -> list[Step]:
        """Reads of the own store since the last time."""
        orders: list[Step] = []
        for (space, durable), reads in self._own.items():
            keys = tuple([read.key for read in reads])
            token = OwnToken(tuple([read.id for read in reads]))
            orders.append(StoreOrder(token, Read(space, keys, durable)))
        self._own = {}
        return orders

    def _ask(self, now: Now, read: ReadState, target: Target, steps: list[Step]) -> None:
        read.candidates.remove(target)
        if target.member == self._view.me:
            read.waiting[target.member] = Wait(target.owner, now.ms)
            space = Space.HINT if target.is_hint else Space.DATA
            self._own.setdefault((space, read.call.is_strict), []).append(read)
        else:
            is_first = not read.waiting and not read.heard
            wants_record = is_first or target.is_hint
            self._ask_other(now, read, target, steps, wants_record=wants_record)

    def _ask_other(
        self, now: Now, read: ReadState, target: Target, steps: list[Step], *, wants_record: bool
    ) -> None:
        read.waiting[target.member] = Wait(target.owner, now.ms)
        flags = SYNC if read.call.is_strict else 0
        if target.is_hint:
            flags |= AS_HINT
        if not wants_record:
            flags |= DIGEST
        steps.append(
            Ask(
                target.member,
                Lane.DATA,
                READ,
                encode_read(read.key),
                read.call.deadline_ms,
                OtherToken(read.id, target.member, target.owner, now.ms, wants_record),
                flags,
            )
        )


def _first_useful(read: ReadState, answering: Iterable[bytes]) -> Target | None:
    """The best candidate of a group that these are not enough for."""
    groups = missing(read.call.read, set(answering))
    for target in read.candidates:
        if any(target.owner in group.members for group in groups):
            return target
    return None
