"""Members on a network in memory: everything happens in the order of one clock and one seed.

Datagrams are lost, delayed and overtake each other; links are cut in one direction or both; members
are paused, killed and started again. What comes for a paused member waits; when it wakes, its
timers run first and then all of that comes at once, which is the worst order. What a stream loses
it sends again, after 200 ms, then 400 and so on; whoever is not there does not answer. Every
payload passes through its bytes, and no datagram may be larger than a real one.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from lsmkv_cluster.operations import decode_operations, encode_operations
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import (
    Alarm,
    Answered,
    Ask,
    Asked,
    Effect,
    Now,
    Reply,
    SendDatagram,
    StatusChanged,
    Unanswered,
)
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.membership import Membership
from lsmkv_cluster.swim.membership_settings import MembershipSettings
from lsmkv_cluster.transport.datagram import DATAGRAM_SIZE_MAX, OPERATIONS_SIZE_MAX
from tests.support.members import member_id

__all__ = ["Change", "GossipNetwork", "Node"]

WALL_MS = 1_800_000_000_000
UDP_OVERHEAD = DATAGRAM_SIZE_MAX - OPERATIONS_SIZE_MAX + 28  # envelope, UDP and IPv4 headers
RETRANSMISSION_MS = 200  # of a stream, doubled each time
TCP_OVERHEAD = 64 + 8 + 40  # frame, operation, TCP and IPv4 headers


@dataclass(frozen=True, slots=True)
class Change:
    """What one member has come to take another one for."""

    at_ms: int
    observer: MemberId
    member: MemberId
    before: Status
    after: Status


class Node:
    """A place for a member: its process may come and go."""

    __slots__ = ("due_ms", "id", "inbox", "machine", "paused_until_ms", "skew_ms", "start_number")

    def __init__(self, id: MemberId, start_number: int) -> None:
        self.id = id
        self.start_number = start_number
        self.machine: Membership | None = None
        self.due_ms: int | None = None  # of the tick that is on the heap
        self.paused_until_ms = 0
        self.inbox: list[Callable[[], None]] = []  # of a paused process
        self.skew_ms = 0


class GossipNetwork:
    """`count` members, all running, none of which has heard of the others."""

    def __init__(
        self,
        count: int,
        seed: int = 0,
        settings: MembershipSettings | None = None,
        *,
        start_number: int = 1,
        loss: float = 0.0,
        delay_ms: tuple[int, int] = (1, 3),
    ) -> None:
        self.now_ms = 0
        self.loss = loss
        self.delay_ms = delay_ms
        self.ids = [member_id(f"n{number}") for number in range(count)]
        self.nodes = {id: Node(id, start_number) for id in self.ids}
        self.cuts: set[tuple[MemberId, MemberId]] = set()  # from, to
        self.changes: list[Change] = []
        self.alarms: list[str] = []
        self.byte_count = 0
        self.datagram_count = 0
        self.lost_count = 0
        self.stream_answer_count = 0
        self.sent_counts: Counter[MemberId] = Counter()  # datagrams and requests, by receiver
        self.largest_size = 0
        self._start_number = start_number
        self._settings = settings
        self._random = random.Random(seed)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._event_count = 0
        for node in self.nodes.values():
            self._start(node)

    # --- what may happen to members ----------------------------------------------------------

    def kill(self, id: MemberId) -> None:
        node = self.nodes[id]
        node.machine = None
        node.inbox.clear()

    def restart(self, id: MemberId, start_number: int | None = None) -> None:
        """A new process, which has forgotten everything but how often it was started."""
        node = self.nodes[id]
        self.kill(id)
        node.start_number = node.start_number + 1 if start_number is None else start_number
        node.paused_until_ms = 0
        self._start(node)

    def pause(self, id: MemberId, time_ms: int) -> None:
        node = self.nodes[id]
        node.paused_until_ms = self.now_ms + time_ms
        self.at(node.paused_until_ms, lambda: self._resume(node))

    def cut(self, froms: Iterable[MemberId], tos: Iterable[MemberId]) -> None:
        """One direction."""
        targets = list(tos)
        self.cuts |= {(left, right) for left in froms for right in targets}

    def adopt(self, ids: Sequence[MemberId], within_ms: int = 0) -> None:
        """These are the members from now on: new ones start, and each of the others is told at some
        moment within this time. Who is no member any more is not told, and goes on."""
        olds = [id for id in self.ids if id in ids]
        self.ids = list(ids)
        for id in olds:
            late_ms = self._random.randrange(within_ms + 1)
            self.at(self.now_ms + late_ms, partial(self.tell, id))
        for id in ids:
            if id not in self.nodes:
                self.add(id)

    def add(self, id: MemberId) -> None:
        """A member that starts, of which the others know nothing yet."""
        self.nodes[id] = Node(id, self._start_number)
        self._start(self.nodes[id])

    def tell(self, id: MemberId) -> None:
        """Who the members are, if it runs."""
        if self.nodes[id].machine is not None:
            self.call(id, lambda machine, now: machine.follow(now, self.ids))

    def heal(self) -> None:
        self.cuts.clear()

    def machine(self, id: MemberId) -> Membership:
        machine = self.nodes[id].machine
        assert machine is not None
        return machine

    def call(self, id: MemberId, action: Callable[[Membership, Now], list[Effect]]) -> None:
        """Something that the member does at this moment."""
        node = self.nodes[id]
        self._take(node, action(self.machine(id), self.now(node)))

    # --- time --------------------------------------------------------------------------------

    def now(self, node: Node) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms + node.skew_ms)

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        self._event_count += 1
        heapq.heappush(self._events, (time_ms, self._event_count, action))

    def run(self, time_ms: int) -> None:
        self.run_until(lambda: False, time_ms)

    def run_until(self, is_done: Callable[[], bool], limit_ms: int) -> int | None:
        """The time that went by, or None when it was not done within the limit."""
        start_ms = self.now_ms
        end_ms = start_ms + limit_ms
        while self._events and self._events[0][0] <= end_ms:
            self.now_ms, _, action = heapq.heappop(self._events)
            action()
            if is_done():
                return self.now_ms - start_ms
        self.now_ms = end_ms
        return None

    # --- what can be seen --------------------------------------------------------------------

    def running(self) -> list[Membership]:
        return [node.machine for node in self.nodes.values() if node.machine is not None]

    def statuses(self, of: MemberId) -> set[Status]:
        """What the others that run take it for."""
        return {
            node.machine.status(of)
            for node in self.nodes.values()
            if node.machine is not None and node.id != of and node.id in self.ids
        }

    def all_see(self, of: MemberId, *status: Status) -> bool:
        return self.statuses(of) <= set(status)

    def all_alive(self) -> bool:
        return all(self.all_see(id, Status.ALIVE) for id in self.ids)

    # --- how it works ------------------------------------------------------------------------

    def _start(self, node: Node) -> None:
        rng = random.Random(self._random.getrandbits(64))
        node.machine = Membership(self.ids, node.id, node.start_number, rng, self._settings)
        node.due_ms = None
        self._schedule(node, node.machine)

    def _schedule(self, node: Node, machine: Membership) -> None:
        due_ms = machine.next_deadline()
        if due_ms is None or (node.due_ms is not None and node.due_ms <= due_ms):
            return
        node.due_ms = due_ms = max(due_ms, self.now_ms)
        self.at(due_ms, lambda: self._tick(node, machine, due_ms))

    def _tick(self, node: Node, machine: Membership, due_ms: int) -> None:
        if node.machine is not machine or node.due_ms != due_ms:
            return
        node.due_ms = None
        if self._holds(node, lambda: self._tick_now(node, machine)):
            return
        self._tick_now(node, machine)

    def _tick_now(self, node: Node, machine: Membership) -> None:
        due_ms = machine.next_deadline()
        if due_ms is not None and due_ms <= self.now_ms:
            self._take(node, machine.tick(self.now(node)))
        else:
            self._schedule(node, machine)

    def _holds(self, node: Node, action: Callable[[], None]) -> bool:
        """Whether a paused process will do it later."""
        if self.now_ms < node.paused_until_ms:
            node.inbox.append(action)
            return True
        return False

    def _resume(self, node: Node) -> None:
        if self.now_ms < node.paused_until_ms:
            return
        inbox, node.inbox = node.inbox, []
        if node.machine is not None:
            self._tick_now(node, node.machine)
        for action in inbox:
            action()

    def _take(self, node: Node, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendDatagram):
                self._send(node, effect)
            elif isinstance(effect, Ask):
                self._ask(node, effect)
            elif isinstance(effect, StatusChanged):
                self.changes.append(Change(self.now_ms, node.id, *effect))
            elif isinstance(effect, Alarm):
                self.alarms.append(effect.message)
        if node.machine is not None:
            self._schedule(node, node.machine)

    def _delayed(self, action: Callable[[], None]) -> None:
        least, most = self.delay_ms
        self.at(self.now_ms + least + self._random.randrange(most - least + 1), action)

    def _streamed(self, action: Callable[[], None]) -> None:
        late_ms, wait_ms = 0, RETRANSMISSION_MS
        while self.loss and self._random.random() < self.loss:
            late_ms, wait_ms = late_ms + wait_ms, 2 * wait_ms
        self.at(self.now_ms + late_ms, lambda: self._delayed(action))

    def _send(self, node: Node, datagram: SendDatagram) -> None:
        body = encode_operations(datagram.operations)
        assert len(body) <= OPERATIONS_SIZE_MAX, "larger than any datagram"
        count = len(datagram.operations)
        assert count > 0, "an empty datagram"
        self.datagram_count += 1
        self.sent_counts[datagram.to] += 1
        self.byte_count += len(body) + UDP_OVERHEAD
        self.largest_size = max(self.largest_size, len(body))
        if self.loss and self._random.random() < self.loss:
            self.lost_count += 1
            return
        if (node.id, datagram.to) in self.cuts:
            return
        receiver = self.nodes[datagram.to]
        self._delayed(lambda: self._deliver(receiver, node.id, body, count))

    def _deliver(self, node: Node, peer: MemberId, body: bytes, count: int) -> None:
        machine = node.machine
        if machine is None or self._holds(node, lambda: self._deliver(node, peer, body, count)):
            return
        operations = decode_operations(body, count)
        self._take(node, machine.received(self.now(node), peer, operations))

    def _ask(self, node: Node, ask: Ask) -> None:
        """Both directions must work, the receiver be there, and the answer come in time."""
        machine = node.machine
        assert machine is not None
        self.sent_counts[ask.to] += 1
        self.byte_count += len(ask.payload) + TCP_OVERHEAD
        is_open = [True]

        def end(answer: Answered | Unanswered) -> None:
            if not is_open[0] or node.machine is not machine:
                return
            if not self._holds(node, lambda: end(answer)):
                is_open[0] = False
                self.stream_answer_count += isinstance(answer, Answered)
                self._take(node, machine.answered(self.now(node), [answer]))

        def reach() -> None:
            if self._holds(receiver, reach) or self.now_ms >= ask.deadline_ms:
                return
            if receiver.machine is None or (ask.to, node.id) in self.cuts:
                return
            asked = Asked(node.id, ask.opcode, ask.payload, ask.flags, ask.deadline_ms, 0)
            effects = receiver.machine.asked(self.now(receiver), [asked])
            replies = [effect for effect in effects if isinstance(effect, Reply)]
            assert len(replies) == 1, "one reply for one request"
            self._take(receiver, [effect for effect in effects if effect is not replies[0]])
            self.byte_count += len(replies[0].payload) + TCP_OVERHEAD
            answer = Answered(ask.token, ask.to, replies[0].status, replies[0].payload)
            self._streamed(lambda: end(answer))

        receiver = self.nodes[ask.to]
        if (node.id, ask.to) not in self.cuts:
            self._streamed(reach)
        self.at(ask.deadline_ms, lambda: end(Unanswered(ask.token, ask.to)))
