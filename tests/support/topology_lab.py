"""Keepers of the topology document on a network that loses, delays, doubles and reorders, with
disks that are slow and nodes that crash.

Time jumps to what is next; one seed decides everything. A node that crashes loses whatever its
store had not finished, and starts again with its two notes. Everything takes as long as drawn:
questions, answers, orders, and what a node does to make room for a document. Copies are filled and
handed over as soon as a document asks for it: what is tested here is who decides on documents, and
who has them.

`chosen` has for each epoch the hashes of all documents that any node took for decided.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import (
    decode_topology,
    document_hash,
    encode_topology,
)
from lsmkv_cluster.ports import (
    Alarm,
    Answered,
    Ask,
    Asked,
    Effect,
    Now,
    Reply,
    Stored,
    StoreOrder,
    Unanswered,
)
from lsmkv_cluster.reconfiguration.adoption import DOCUMENT_NOTE, Adopted, Adopting
from lsmkv_cluster.reconfiguration.document_keeper import DocumentKeeper
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_messages import FETCH, PUBLISH, MemberReport
from lsmkv_cluster.reconfiguration.proposals import Changed, Outcome
from lsmkv_cluster.reconfiguration.topology_changes import Change
from lsmkv_cluster.reconfiguration.voter import PAXOS_NOTE
from lsmkv_cluster.storage.storage_orders import Done, Failed, Failure, Remember

__all__ = ["LabKeeper", "TopologyLab"]

WALL_MS = 1_700_000_000_000
STEPS_MAX = 200_000


@dataclass(eq=False)
class LabKeeper:
    """One node; `keeper` is that of the present run."""

    id: MemberId
    name: str
    lab: TopologyLab
    notes: dict[bytes, bytes] = field(default_factory=dict)  # what is on stable storage
    is_up: bool = True
    run: int = 0
    store_fails: bool = False
    outcomes: dict[Hashable, Changed] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)
    keeper: DocumentKeeper = field(init=False)

    @property
    def document(self) -> Topology:
        return self.keeper.document

    @property
    def epoch(self) -> int:
        return self.keeper.document.epoch

    def report(self) -> MemberReport:
        everything = tuple(range(len(self.document.owners)))
        return MemberReport(self.epoch, everything, everything)


class TopologyLab:
    """`loss`, `doubling`, `crash_rate` (after a promise or an accept) may be changed at any time,
    as may `cut`: groups of nodes that reach each other only. With `forgets`, what a voter promised
    is gone when it starts again."""

    def __init__(
        self,
        topology: Topology,
        seed: int = 1,
        *,
        extra: Collection[MemberId] = (),
        settings: KeeperSettings | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.now_ms = 1000
        self.loss = self.doubling = self.crash_rate = 0.0
        self.forgets = False
        self.has_news = True  # else nobody hears of a document but by asking for votes
        self.knows_who_is_up = True  # else everybody seems reachable
        self.cut: list[set[MemberId]] = []
        self.chosen: dict[int, set[bytes]] = {}
        self.settings = settings or KeeperSettings()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._open: dict[int, tuple[LabKeeper, int, Ask]] = {}
        self._replies: dict[Hashable, tuple[LabKeeper, int, MemberId]] = {}
        self.nodes: dict[MemberId, LabKeeper] = {}
        self._first = encode_topology(topology)
        for member in topology.members:
            self.add(member.id, member.name)
        for id in extra:
            self.add(id, id.hex()[:8])

    def add(self, id: MemberId, name: str) -> LabKeeper:
        node = self.nodes[id] = LabKeeper(id, name, self, {DOCUMENT_NOTE: self._first})
        self._start(node)
        return node

    @property
    def now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms)

    # --- what tests do

    def change(self, node: LabKeeper, token: Hashable, change: Change) -> None:
        self._carry_out(node, node.keeper.change(self.now, token, change))

    def force(self, node: LabKeeper, token: Hashable, change: Change) -> None:
        self._carry_out(node, node.keeper.force(self.now, token, change))

    def distrust(self, node: LabKeeper) -> None:
        self._carry_out(node, node.keeper.distrust(self.now))

    def crash(self, node: LabKeeper) -> None:
        node.is_up = False
        node.run += 1

    def restart(self, node: LabKeeper) -> None:
        node.is_up = True
        if self.forgets:
            node.notes.pop(PAXOS_NOTE, None)
        self._start(node)

    def heal(self) -> None:
        """All are up and hear each other."""
        self.cut = []
        self.loss = self.doubling = self.crash_rate = 0.0
        self.has_news = True
        for node in self.nodes.values():
            if not node.is_up:
                self.restart(node)

    def run(self, duration_ms: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Whether `until` became true within the time; then it stops there."""
        end_ms = self.now_ms + duration_ms
        for _ in range(STEPS_MAX):
            self._tick_all()
            if until():
                return True
            due_ms = min([*self._deadlines(), self._events[0][0] if self._events else end_ms])
            if due_ms >= end_ms:
                self.now_ms = end_ms
                return False
            self.now_ms = max(self.now_ms, due_ms)
            while self._events and self._events[0][0] <= self.now_ms:
                heapq.heappop(self._events)[2]()
        raise AssertionError("keepers that never come to rest")

    def outcome(self, node: LabKeeper, token: Hashable) -> Outcome | None:
        found = node.outcomes.get(token)
        return None if found is None else found.outcome

    def agree(self, nodes: Collection[LabKeeper] = ()) -> bool:
        """Whether all of them work by one document."""
        them = nodes or self.nodes.values()
        return len({encode_topology(node.document) for node in them}) == 1

    # --- nodes

    def reaches(self, one: MemberId, other: MemberId) -> bool:
        return self.nodes[other].is_up and not any(
            (one in part) != (other in part) for part in self.cut
        )

    def _start(self, node: LabKeeper) -> None:
        def is_reachable(other: MemberId) -> bool:
            if other not in self.nodes:
                return False
            return not self.knows_who_is_up or self.reaches(node.id, other)

        node.keeper = DocumentKeeper(
            decode_topology(node.notes[DOCUMENT_NOTE]),
            node.id,
            is_reachable,
            random.Random(self.random.getrandbits(64)),
            node.notes.get(PAXOS_NOTE),
            self.settings,
            report=node.report,
        )

    def _tick_all(self) -> None:
        for node in self.nodes.values():
            if node.is_up:
                self._carry_out(node, node.keeper.tick(self.now))
                due_ms = node.keeper.next_deadline()
                assert due_ms is None or due_ms > self.now_ms, "a tick that settles nothing"

    def _deadlines(self) -> list[int]:
        due = [node.keeper.next_deadline() for node in self.nodes.values() if node.is_up]
        return [ms for ms in due if ms is not None]

    # --- time

    def _at(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now_ms + delay_ms, self._count, action))

    def _later(self, node: LabKeeper, delay_ms: int, action: Callable[[], None]) -> None:
        """Unless the node has crashed by then."""
        run = node.run
        self._at(delay_ms, lambda: action() if node.is_up and node.run == run else None)

    # --- effects

    def _carry_out(self, node: LabKeeper, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Ask):
                self._ask(node, effect)
            elif isinstance(effect, StoreOrder):
                self._later(node, self.random.randrange(1, 15), self._order(node, effect))
            elif isinstance(effect, Reply):
                self._reply(effect)
            elif isinstance(effect, Alarm):
                node.alarms.append(effect.message)
        for output in node.keeper.take_outputs():
            self._take(node, output)

    def _take(self, node: LabKeeper, output: Adopting | Adopted | Changed) -> None:
        if isinstance(output, Changed):
            assert output.token not in node.outcomes, "an outcome is told once"
            node.outcomes[output.token] = output
            return
        hash = document_hash(encode_topology(output.document))
        self.chosen.setdefault(output.document.epoch, set()).add(hash)
        if isinstance(output, Adopted):
            assert node.document is output.document
        else:
            self._later(
                node,
                self.random.randrange(1, 60),
                lambda: self._carry_out(node, node.keeper.prepared(self.now)),
            )

    def _order(self, node: LabKeeper, effect: StoreOrder) -> Callable[[], None]:
        def finish() -> None:
            order = effect.order
            assert isinstance(order, Remember)
            crashes = order.name == PAXOS_NOTE and self.random.random() < self.crash_rate
            when = self.random.randrange(3) if crashes else None
            if when == 0:  # before it is on stable storage
                self._crash_for_a_while(node)
                return
            if not node.store_fails:
                node.notes[order.name] = order.value
            if when == 1:  # before the answer is sent
                self._crash_for_a_while(node)
                return
            result = Failed(Failure.FULL) if node.store_fails else Done()
            self._carry_out(node, node.keeper.stored(self.now, [Stored(effect.token, result)]))
            if when == 2:
                self._crash_for_a_while(node)

        return finish

    def _crash_for_a_while(self, node: LabKeeper) -> None:
        self.crash(node)
        run = node.run
        delay_ms = self.random.randrange(20, 400)
        self._at(delay_ms, lambda: self.restart(node) if node.run == run else None)

    # --- the network

    def _ask(self, node: LabKeeper, ask: Ask) -> None:
        assert ask.to != node.id
        self._count += 1
        serial, epoch = self._count, node.epoch
        self._open[serial] = (node, node.run, ask)
        self._at(ask.deadline_ms - self.now_ms, lambda: self._end(serial, None, 0))
        if ask.to not in self.nodes:
            return
        if not self.has_news and ask.opcode in (PUBLISH, FETCH):
            return
        for _ in range(2 if self.random.random() < self.doubling else 1):
            if self.random.random() >= self.loss:
                delay_ms = self.random.randrange(1, 80)
                self._at(delay_ms, lambda: self._arrive(node.id, serial, ask, epoch))

    def _arrive(self, sender: MemberId, serial: int, ask: Ask, epoch: int) -> None:
        node = self.nodes[ask.to]
        if not self.reaches(sender, node.id):
            return
        self._count += 1
        reply_to = (serial, self._count)
        self._replies[reply_to] = (node, node.run, sender)
        asked = Asked(sender, ask.opcode, ask.payload, ask.flags, ask.deadline_ms, reply_to)
        self._show_epoch(node, sender, epoch)
        self._carry_out(node, node.keeper.asked(self.now, [asked]))

    def _show_epoch(self, node: LabKeeper, peer: MemberId, epoch: int) -> None:
        if self.has_news:
            self._carry_out(node, node.keeper.heard_epoch(self.now, peer, epoch))

    def _reply(self, reply: Reply) -> None:
        node, run, sender = self._replies.pop(reply.reply_to)
        if not node.is_up or node.run != run or self.random.random() < self.loss:
            return
        assert isinstance(reply.reply_to, tuple)
        serial, epoch = reply.reply_to[0], node.epoch

        def arrive() -> None:
            if self.reaches(node.id, sender):
                self._end(serial, reply, epoch)

        self._at(self.random.randrange(1, 80), arrive)

    def _end(self, serial: int, reply: Reply | None, epoch: int) -> None:
        if (found := self._open.pop(serial, None)) is None:
            return
        node, run, ask = found
        if not node.is_up or node.run != run:
            return
        if reply is not None:
            self._show_epoch(node, ask.to, epoch)
        answer = (
            Unanswered(ask.token, ask.to)
            if reply is None
            else Answered(ask.token, ask.to, reply.status, reply.payload)
        )
        self._carry_out(node, node.keeper.answered(self.now, [answer]))
