"""Nodes with machines that heal, a network that loses and doubles, time that jumps to what is next.

Each node has a FakeStore, a stand-in for the replica machine (it merges and reads, no more) and the
machines a test gives it. One Ask ends in exactly one Answered or Unanswered, as ports.py says; what
is doubled is the request, which is then carried out twice. Who is asked by a later document than
its own adopts that first; copies that it gains are empty, and not ready.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from lsmkv_cluster.coordination.replica_messages import (
    MERGE,
    Found,
    ReplicaFlags,
    ReplicaStatus,
    decode_merge,
    decode_read,
    encode_failure,
    encode_found,
)
from lsmkv_cluster.operations import Machine as MachineNumber
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.keyspaces import Keyspace
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.owners import Phase, Transition, no_owners
from lsmkv_cluster.placement.planner import plan
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.ports import (
    Alarm,
    Answered,
    Ask,
    Asked,
    Effect,
    Machine,
    Now,
    Reply,
    Stored,
    StoreOrder,
    Unanswered,
)
from lsmkv_cluster.storage.storage_orders import Failure, Merge, Merged, Read, Space, Values
from tests.support.fake_store import FakeStore
from tests.support.members import make_member, member_id

__all__ = ["HealLab", "LabNode", "WALL_MS", "heal_topology", "keys_of", "moved"]

WALL_MS = 1_700_000_000_000
STEPS_MAX = 300_000
Build = Callable[["LabNode"], dict[MachineNumber, Machine]]


def heal_topology(member_count: int = 5, partition_count: int = 4, copies: int = 3) -> Topology:
    """One data centre, every member on a host of its own."""
    members = [make_member(f"n{number}") for number in range(1, member_count + 1)]
    return Topology(
        cluster_id=member_id("cluster"),
        epoch=1,
        parent=bytes(32),
        feature_level=1,
        key_seed=7,
        data_centres=(DataCentre("east", copies),),
        members=tuple(sorted(members, key=lambda member: member.id)),
        keyspaces=(Keyspace(),),
        owners=plan(no_owners(partition_count), members, {"east": copies}).owners,
    )


def moved(
    topology: Topology, partition: int, phase: Phase | None, row: tuple[MemberId, ...]
) -> Topology:
    """The next document: the partition begins to go to that row, is read there and leaves the one
    before (SWITCHED), or has its place there (None)."""
    epoch, owners, placed = topology.epoch + 1, list(topology.owners), list(topology.placed)
    placed[partition] = epoch
    transitions = [move for move in topology.transitions if move.partition != partition]
    if phase is Phase.FILLING:
        transitions.append(Transition(partition, phase, row))
    else:
        if phase is Phase.SWITCHED:
            transitions.append(Transition(partition, phase, owners[partition]))
        owners[partition] = row
    return replace(
        topology,
        epoch=epoch,
        parent=b"p" * 32,
        owners=tuple(owners),
        transitions=tuple(sorted(transitions, key=lambda move: move.partition)),
        placed=tuple(placed),
    )


def keys_of(topology: Topology, partition: int, count: int) -> list[bytes]:
    """The first of k0, k1 ... that lie in the partition."""
    names = (b"k%d" % number for number in itertools.count())
    mine = (key for key in names if topology.partition_of(key) == partition)
    return list(itertools.islice(mine, count))


@dataclass(eq=False)
class LabNode:
    """`machines` are those of the present run: a restart makes others."""

    id: MemberId
    topology: Topology  # the document that it has adopted
    store: FakeStore
    lab: HealLab
    machines: dict[MachineNumber, Machine] = field(default_factory=dict)
    is_up: bool = True
    run: int = 0
    overloaded_count: int = 0  # requests of replicas that are refused from now on
    is_silent: bool = False  # takes requests and never answers
    not_ready: set[int] = field(default_factory=set)
    lacking: set[int] = field(default_factory=set)  # partitions that are not whole here
    alarms: list[str] = field(default_factory=list)


class Following(Protocol):
    """A machine that takes another document."""

    def follow(self, now: Now, topology: Topology) -> list[Effect] | None: ...


class HealLab:
    """`topology` is the newest document."""

    def __init__(self, topology: Topology, build: Build, seed: int = 1) -> None:
        self.topology = topology
        self._documents = {topology.epoch: topology}
        self.now_ms = 1000
        self.loss = 0.0
        self.doubling = 0.0
        self.random = random.Random(seed)
        self.cut: set[frozenset[MemberId]] = set()
        self.asks: list[tuple[MemberId, Ask]] = []  # all that were sent, with the sender
        self._build = build
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._open: dict[int, tuple[LabNode, int, MachineNumber, Ask]] = {}
        self.order_delay_ms = 1  # of the store
        self._replies: dict[Hashable, tuple[LabNode, int, MemberId]] = {}
        self.nodes = {
            member.id: LabNode(member.id, topology, FakeStore(topology, member.id), self)
            for member in topology.members
        }
        for node in self.nodes.values():
            node.machines = build(node)

    @property
    def now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms)

    # --- what tests do

    def owners(self, partition: int) -> list[LabNode]:
        return [self.nodes[id] for id in self.topology.owners[partition]]

    def reachable_from(self, me: MemberId) -> Callable[[MemberId], bool]:
        return lambda other: self.nodes[other].is_up and frozenset((me, other)) not in self.cut

    def publish(self, topology: Topology) -> None:
        """There is a new document, which nobody has adopted yet."""
        self.topology = self._documents[topology.epoch] = topology

    def adopt(self, node: LabNode, topology: Topology | None = None) -> None:
        """The newest document, or this one."""
        topology = topology or self.topology
        before, node.topology = node.topology, topology
        node.store.follow(topology)
        kept = topology.kept_by(node.id)
        node.not_ready &= set(kept)
        node.not_ready |= set(kept).difference(before.kept_by(node.id))
        for number, machine in node.machines.items():
            following = cast(Following, machine)
            self._carry_out(node, number, following.follow(self.now, topology) or [])

    def adopt_all(self, topology: Topology) -> None:
        """Everybody who runs, at once."""
        self.publish(topology)
        for node in self.nodes.values():
            if node.is_up:
                self.adopt(node)

    def open_count(self, opcode: int) -> int:
        """How many of these requests wait for their answer."""
        return sum(ask.opcode == opcode for _, _, _, ask in self._open.values())

    def stop(self, node: LabNode, *, power: bool = False) -> None:
        node.is_up = False
        node.run += 1
        if power:
            node.store.lose_power()

    def start(self, node: LabNode) -> None:
        node.is_up = True
        node.machines = self._build(node)

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
        raise AssertionError("machines that never come to rest")

    # --- time

    def _deadlines(self) -> Iterable[int]:
        for node in self.nodes.values():
            if node.is_up:
                for machine in node.machines.values():
                    if (due_ms := machine.next_deadline()) is not None:
                        yield due_ms

    def _tick_all(self) -> None:
        for node in self.nodes.values():
            if node.is_up:
                for number, machine in node.machines.items():
                    self._carry_out(node, number, machine.tick(self.now))
                    due_ms = machine.next_deadline()
                    assert due_ms is None or due_ms > self.now_ms, "a tick that settles nothing"

    def _at(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now_ms + delay_ms, self._count, action))

    def _later(self, node: LabNode, delay_ms: int, action: Callable[[], None]) -> None:
        """Unless the node has stopped by then."""
        run = node.run
        self._at(delay_ms, lambda: action() if node.is_up and node.run == run else None)

    # --- effects

    def _carry_out(self, node: LabNode, number: MachineNumber, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Ask):
                self._ask(node, number, effect)
            elif isinstance(effect, StoreOrder):
                self._order(node, number, effect)
            elif isinstance(effect, Reply):
                self._reply(effect)
            elif isinstance(effect, Alarm):
                node.alarms.append(effect.message)

    def _order(self, node: LabNode, number: MachineNumber, effect: StoreOrder) -> None:
        stored = Stored(effect.token, node.store.carry_out(effect.order))
        self._later(
            node,
            self.order_delay_ms,
            lambda: self._carry_out(node, number, node.machines[number].stored(self.now, [stored])),
        )

    def _ask(self, node: LabNode, number: MachineNumber, ask: Ask) -> None:
        assert ask.to != node.id
        self.asks.append((node.id, ask))
        self._count += 1
        serial = self._count
        self._open[serial] = (node, node.run, number, ask)
        self._at(ask.deadline_ms - self.now_ms, lambda: self._end(serial, None))
        epoch = node.topology.epoch

        def arrive() -> None:
            self._arrive(node.id, serial, ask, epoch)

        for _ in range(2 if self.random.random() < self.doubling else 1):
            if self.random.random() >= self.loss:
                self._at(self.random.randrange(1, 20), arrive)

    def _arrive(self, sender: MemberId, serial: int, ask: Ask, epoch: int) -> None:
        node = self.nodes[ask.to]
        if not self.reachable_from(sender)(ask.to):
            return
        if epoch > node.topology.epoch:
            self.adopt(node, self._documents[epoch])
        self._count += 1
        reply_to = (serial, self._count)
        self._replies[reply_to] = (node, node.run, sender)
        if ask.opcode >> 8 == MachineNumber.REPLICA:
            self._reply(self._replica(node, ask, reply_to, epoch))
            return
        machine = node.machines[MachineNumber(ask.opcode >> 8)]
        asked = Asked(sender, ask.opcode, ask.payload, ask.flags, ask.deadline_ms, reply_to, epoch)
        self._carry_out(node, MachineNumber(ask.opcode >> 8), machine.asked(self.now, [asked]))

    def _reply(self, reply: Reply) -> None:
        node, run, sender = self._replies.pop(reply.reply_to)
        if not node.is_up or node.run != run or node.is_silent or self.random.random() < self.loss:
            return
        assert isinstance(reply.reply_to, tuple)
        serial = reply.reply_to[0]

        def arrive() -> None:
            if self.reachable_from(sender)(node.id):
                self._end(serial, reply)

        self._at(self.random.randrange(1, 20), arrive)

    def _end(self, serial: int, reply: Reply | None) -> None:
        if (found := self._open.pop(serial, None)) is None:
            return
        node, run, number, ask = found
        if not node.is_up or node.run != run:
            return
        answer = (
            Unanswered(ask.token, ask.to)
            if reply is None
            else Answered(ask.token, ask.to, reply.status, reply.payload)
        )
        self._carry_out(node, number, node.machines[number].answered(self.now, [answer]))

    # --- the stand-in for the replica machine

    def _replica(self, node: LabNode, ask: Ask, reply_to: Hashable, epoch: int) -> Reply:
        if node.overloaded_count > 0:
            node.overloaded_count -= 1
            return Reply(reply_to, OperationStatus.OVERLOADED)
        key = decode_merge(ask.payload)[0] if ask.opcode == MERGE else decode_read(ask.payload)
        partition = node.topology.partition_of(key)
        if epoch < node.topology.placed[partition]:
            return Reply(reply_to, OperationStatus.STALE_EPOCH)
        if node.id not in node.topology.keepers(partition):
            return Reply(reply_to, ReplicaStatus.NOT_OWNER)
        if ask.opcode == MERGE:
            sync = bool(ask.flags & ReplicaFlags.SYNC)
            order = Merge(Space.DATA, (decode_merge(ask.payload),), sync)
            merged = node.store.carry_out(order)
            assert isinstance(merged, Merged)
            found: object = merged.outcomes[0]
        else:
            if partition in node.not_ready and not ask.flags & ReplicaFlags.REPAIR:
                return Reply(reply_to, OperationStatus.NOT_READY)
            values = node.store.carry_out(Read(Space.DATA, (key,)))
            assert isinstance(values, Values)
            found = values.values[0]
        if isinstance(found, Failure):
            return Reply(reply_to, ReplicaStatus.FAILED, encode_failure(found))
        if ask.opcode == MERGE:
            return Reply(reply_to, OperationStatus.DONE)
        assert found is None or isinstance(found, bytes)
        return Reply(reply_to, OperationStatus.DONE, encode_found(Found(found)))
