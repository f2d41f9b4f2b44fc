"""Bugs in how partitions move from owners to owners."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from lsmkv_cluster import parts
from lsmkv_cluster.coordination.coordinator import Coordinator
from lsmkv_cluster.coordination.replica import Replica
from lsmkv_cluster.healing import confirming
from lsmkv_cluster.healing.antientropy import AntiEntropy
from lsmkv_cluster.healing.antientropy_answers import Answers
from lsmkv_cluster.healing.hints import HintedHandoff
from lsmkv_cluster.healing.recovery import Recovery
from lsmkv_cluster.node import Node
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.reconfiguration import transition_rules
from lsmkv_cluster.reconfiguration.paxos_messages import MemberReport
from lsmkv_cluster.storage.copies import Copies
from lsmkv_cluster.transport.traffic import Traffic
from tests.sim.canaries import canary, replaced

LATE = 1 << 62  # an epoch later than all

NOTHING_IS_LOST = (
    "C1 lost write",
    "C5 stale strict read",
    "C5 incomplete copy",
    "C14 coming copy incomplete",
    "C14 switched too early",
)
Row = tuple[MemberId, ...]


# --- epochs --------------------------------------------------------------------------------------


@canary("epochs are ignored", *NOTHING_IS_LOST)
def epochs_are_ignored() -> Iterator[None]:
    """A replica carries out what was sent in an epoch before its partition was placed where it is:
    a coordinator that has not heard of a move goes on writing to, and reading from, the old owners
    alone (Garage before it tracked both layouts)."""
    before = Replica.asked

    def asked(self: Replica, now: Any, requests: Any) -> list[Any]:
        return before(self, now, [request._replace(epoch=LATE) for request in requests])

    with replaced(Replica, "asked", asked):
        yield


@canary("newer epochs are not waited for", *NOTHING_IS_LOST)
def newer_epochs_are_not_waited_for() -> Iterator[None]:
    """An old owner tells a coming one what it has before it has adopted the document of the move,
    and goes on taking writes of who does not know of it: there is no fence."""
    before = Traffic._take_request

    def take(
        self: Traffic, peer: Any, frame: Any, operation: Any, deadline_ms: int, into: Any
    ) -> None:
        epoch, self._epoch = self._epoch, LATE
        before(self, peer, frame, operation, deadline_ms, into)
        self._epoch = epoch

    with replaced(Traffic, "_take_request", take):
        yield


@canary("calls end where they began", *NOTHING_IS_LOST)
def calls_end_where_they_began() -> Iterator[None]:
    """What is under way when a document is adopted is answered for the place that its partition had
    before: a write for enough of the old owners, of which the new need not have one."""
    with replaced(Coordinator, "_moved", lambda self, call: call):
        yield


@canary("the settle order is skipped", *NOTHING_IS_LOST)
def settle_order_is_skipped() -> Iterator[None]:
    """Copies are compared as soon as a document is adopted, while the store still has writes to
    carry out that were taken under the one before."""
    before = AntiEntropy.follow

    def follow(self: AntiEntropy, now: Any, topology: Topology) -> Any:
        effects = before(self, now, topology)
        self._is_settled = True
        self._answers.settle()
        return effects

    with replaced(AntiEntropy, "follow", follow):
        yield


@canary("a removed node is listened to", "C4 resurrected", "C15 a removed node was listened to")
def removed_node_is_listened_to() -> Iterator[None]:
    """Frames are taken from whoever was a member once, and who was removed goes on as before: what
    it kept for others, or has of its own, comes back with it (ScyllaDB 11217)."""

    def take_frame(self: Node, now: Any, event: Any, incoming: Any) -> None:
        self._traffic.receive(now, event.peer, event.frame, incoming)

    def is_reachable(self: parts.Parts, member: MemberId) -> bool:
        return self.membership.is_reachable(member)

    with (
        replaced(Node, "_take_frame", take_frame),
        replaced(Node, "_retire_if_removed", lambda self: None),
        replaced(parts.Parts, "is_reachable", is_reachable),
    ):
        yield


# --- filling -------------------------------------------------------------------------------------


@canary("filled from one owner", *NOTHING_IS_LOST)
def filled_from_one_owner() -> Iterator[None]:
    """A coming copy is whole when it has met one old owner, which may have been the one that lacked
    the write (Cassandra's bootstrap from one replica of each range)."""

    def is_filled(document: Any, partition: Any, met: Collection[Any], is_reachable: Any) -> bool:
        return bool(met)

    with replaced(parts, "is_filled", is_filled):
        yield


@canary("filled from anybody", *NOTHING_IS_LOST)
def filled_from_anybody() -> Iterator[None]:
    """An owner that has lost its disk, and is not whole again, counts among those that a coming
    copy has met: with it two of three have nothing of what the third was told to keep."""
    before = Answers._compare

    def compare(self: Answers, asked: Any) -> Any:
        return before(self, asked._replace(flags=0))

    with (
        replaced(Answers, "_compare", compare),
        replaced(AntiEntropy, "_counts_for_a_move", lambda self, partition: True),
        replaced(parts.Parts, "_report", _report_of_anybody),
    ):
        yield


def _report_of_anybody(self: parts.Parts) -> MemberReport:
    topology = self.topology
    coming = [
        m.partition for m in topology.transitions if topology.is_filling(m.partition, self.me)
    ]
    filled = [p for p in coming if self.recovery.is_ready(p)] + self.confirming.confirmed()
    handed_over = tuple(sorted(self.handover.handed_over()))
    return MemberReport(topology.epoch, tuple(sorted(filled)), handed_over)


@canary("filled by nobody", *NOTHING_IS_LOST)
def filled_by_nobody() -> Iterator[None]:
    """A coming copy is whole as soon as somebody looks at it."""
    with replaced(parts, "is_filled", lambda document, partition, met, is_reachable: True):
        yield


@canary("reads move at the commit", *NOTHING_IS_LOST)
def reads_move_at_the_commit() -> Iterator[None]:
    """Partitions are switched without waiting for those who come: they answer readers from empty
    copies (the set test that failed ten of ten runs in Garage)."""
    with (
        replaced(transition_rules, "_may_switch", lambda document, move, reports: True),
        replaced(Recovery, "is_ready", lambda self, partition: partition in self._co_owners),
    ):
        yield


@canary("who stays does not confirm", *NOTHING_IS_LOST)
def who_stays_does_not_confirm() -> Iterator[None]:
    """With fewer copies than before, those who stay do not meet the others first: a write that was
    with enough of three owners need not be with enough of two of them."""

    def who_comes(document: Topology, partition: int) -> tuple[MemberId, ...]:
        move = document.transitions_by_partition.get(partition)
        if move is None or move.phase is not Phase.FILLING:
            return ()
        return tuple(id for id in move.row if id not in document.owners[partition])

    with (
        replaced(transition_rules, "confirming", who_comes),
        replaced(confirming, "confirming", who_comes),
    ):
        yield


# --- both rows -----------------------------------------------------------------------------------


@canary("writes need the new owners alone", *NOTHING_IS_LOST)
def writes_need_the_new_owners() -> Iterator[None]:
    """While copies are being filled, a write is done when enough of those who come have it: readers
    ask those who are."""

    def written_rows(self: Topology, partition: int) -> tuple[Row, ...]:
        move = self.transitions_by_partition.get(partition)
        is_filling = move is not None and move.phase is Phase.FILLING
        return (move.row if move is not None and is_filling else self.owners[partition],)

    with replaced(Topology, "written_rows", written_rows):
        yield


@canary("writes need the old owners alone", *NOTHING_IS_LOST)
def writes_need_the_old_owners() -> Iterator[None]:
    """While a partition moves, a write is done when enough of those who go have it: those who come
    may have been filled before, and are read without it."""

    def written_rows(self: Topology, partition: int) -> tuple[Row, ...]:
        move = self.transitions_by_partition.get(partition)
        is_switched = move is not None and move.phase is Phase.SWITCHED
        return (move.row if move is not None and is_switched else self.owners[partition],)

    with replaced(Topology, "written_rows", written_rows):
        yield


# --- going ---------------------------------------------------------------------------------------


@canary("old owners need not know", *NOTHING_IS_LOST)
def old_owners_need_not_know() -> Iterator[None]:
    """A switch is closed while the old owners still answer readers of the epoch before: they do not
    have what is written to the new ones from then on."""
    with replaced(transition_rules, "is_blocked", lambda document, partition, adopted_by: True):
        yield


@canary("dropped before it is handed over", *NOTHING_IS_LOST)
def dropped_before_it_is_handed_over() -> Iterator[None]:
    """Old owners drop their copies as soon as the new ones are read: what only they had goes."""
    with replaced(transition_rules, "_may_settle", lambda document, move, reports: True):
        yield


@canary("nothing is dropped", "C12 left behind")
def nothing_is_dropped() -> Iterator[None]:
    """A copy that is not kept any more stays where it is, and what is regained begins with it: what
    was deleted meanwhile is back (ScyllaDB 14823)."""

    with replaced(Copies, "_drop", lambda self, tokens: None):
        yield


@canary("drops are reported before they are durable", "C12 left behind")
def drops_are_not_durable() -> Iterator[None]:
    """What is not kept any more is deleted like anything else, and a loss of power before the next
    sync brings it back to a node that has reported that it is gone."""
    start = Node.start

    def drop(self: Copies, tokens: Any) -> None:
        keys = tokens.keys
        with self._db.scan(keys.start, keys.stop) as scan:
            found = [key for key, _ in scan]
        for key in found:
            self._db.delete(key)

    def start_without_a_look(self: Node, now: Any) -> Any:
        with replaced(Recovery, "release", lambda self: []):
            return start(self, now)

    with replaced(Copies, "_drop", drop), replaced(Node, "start", start_without_a_look):
        yield


@canary("hints do not follow", "C1 hint dropped early", "C1 lost write")
def hints_do_not_follow() -> Iterator[None]:
    """What the owners of before have confirmed counts for those of today: a hint is dropped that a
    new owner lacks."""

    def follow(self: HintedHandoff, now: Any, topology: Topology) -> None:
        self._topology = topology

    with replaced(HintedHandoff, "follow", follow):
        yield


@canary("hints go with who leaves", "C1 lost write")
def hints_go_with_who_leaves() -> Iterator[None]:
    """A member that leaves is let go when no row names it, with the hints that it keeps for
    others."""
    before = parts.Parts._report

    def report(self: Any) -> Any:
        return replace(before(self), has_hints=False)

    with replaced(parts.Parts, "_report", report):
        yield
