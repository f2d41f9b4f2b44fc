"""One node: its machines, and the way of everything between them and the driver.

    driver inputs -> [ asleep? ] -> machines -> effects -> frames, datagrams, orders, replies

Sans IO: `step` is given the moment and all that has happened, and returns all that is to be done.
Which machine an operation, an answer or a result belongs to is decided here, and nothing else, but
for what concerns all of them:
- a node that finds itself late was asleep: what it has received and not begun is from before, so it
  is dropped with the connections, and what was to be minted is not;
- a partition that cannot be read is given up and filled again from the others (recovery.py);
- a merge that shows a lost write of this store waits until the distrust is durable (merging.py).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from lsmkv.kernel import RecordMerger, entry_hash
from lsmkv_cluster.boot import Boot, NodeSettings, Secrets
from lsmkv_cluster.coordination.coordinator import Coordinator
from lsmkv_cluster.coordination.latency import Latencies
from lsmkv_cluster.coordination.minter import Minter
from lsmkv_cluster.coordination.reading import Reading
from lsmkv_cluster.coordination.replica import Replica
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.coordination.writing import Writing
from lsmkv_cluster.driver_ports import (
    ClientCall,
    ClientReply,
    DatagramIn,
    DatagramOut,
    DropConnections,
    FrameIn,
    Input,
    NodeEffect,
    PeerLost,
)
from lsmkv_cluster.errors import ProtocolError
from lsmkv_cluster.healing.antientropy import AntiEntropy, Met
from lsmkv_cluster.healing.damage import unreadable_partitions
from lsmkv_cluster.healing.hints import HintedHandoff
from lsmkv_cluster.healing.merging import LostDots
from lsmkv_cluster.healing.recovery import Recovery
from lsmkv_cluster.healing.starting import Starting
from lsmkv_cluster.operations import Machine
from lsmkv_cluster.placement.members import MemberId, actor_number
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import (
    Alarm,
    Ask,
    Effect,
    Now,
    Random,
    Reply,
    SendDatagram,
    StatusChanged,
    Stored,
    StoreOrder,
)
from lsmkv_cluster.ports import Machine as MachinePort
from lsmkv_cluster.storage.engine_key import KeyScheme, Space
from lsmkv_cluster.storage.storage_orders import Done, Order, Result
from lsmkv_cluster.storage.storage_orders import Persist as PersistOrder
from lsmkv_cluster.swim.clock_watch import ClockWatch
from lsmkv_cluster.swim.gossip_messages import Load
from lsmkv_cluster.swim.membership import Membership
from lsmkv_cluster.transport.datagram import DatagramOpener, DatagramSealer
from lsmkv_cluster.transport.handshake import boot_number
from lsmkv_cluster.transport.replay_window import ReplayWindow, Verdict
from lsmkv_cluster.transport.traffic import Incoming, Traffic
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.hlc import HybridClock

__all__ = ["Node"]


RECOVERY = 0  # is asked nothing by others, and so has no opcodes


class _Ordered(NamedTuple):
    """Whose order it was."""

    machine: int
    token: Hashable
    order: Order


class _Persisting(NamedTuple):
    """Of an identity on its way to stable storage."""

    identity: Identity


class Node:
    """`start` once, then `step` with what has happened or when `next_deadline` has come."""

    def __init__(
        self,
        boot: Boot,
        topology: Topology,
        me: MemberId,
        secrets: Secrets,
        rng: Random,
        settings: NodeSettings | None = None,
    ) -> None:
        self.settings = settings = settings or NodeSettings()
        self.me = me
        self.topology = topology
        self._secrets = secrets
        self._rng = rng
        self._peers = tuple(member.id for member in topology.members if member.id != me)
        stored = boot.identity or Identity(actor_number(me), rng.getrandbits(32))
        self.actors = ActorSource(
            stored, ended_cleanly=boot.ended_cleanly, peers_needed=len(self._peers)
        )
        self._announce(self.actors.identity.start_number)
        self._opener = DatagramOpener(secrets.datagrams, topology.cluster_id)
        self._window = ReplayWindow()

        self.hints = HintedHandoff(topology, me, self.is_reachable, settings.hints)
        self.starting = Starting(
            self.actors, self._peers, boot.sequence, boot.notes, rng, settings.starting
        )
        self.recovery = Recovery(self._co_owners(), self.is_reachable, self.actors)
        self.antientropy = AntiEntropy(
            topology,
            me,
            trees=boot.tree,
            reachable=self.is_reachable,
            not_ready=self.recovery.wanting,
            random=rng,
            settings=settings.antientropy,
        )
        self._make_coordinator()
        self._lost_dots = LostDots(self.actors)
        self._was_stale = False
        self._boot = boot
        self._orders: dict[int, _Ordered] = {}
        self._next_order = 0
        self._machines: dict[int, MachinePort] = {
            Machine.CONNECTION: self.starting,
            Machine.MEMBERSHIP: self.membership,
            Machine.REPLICA: self.replica,
            Machine.HINTS: self.hints,
            Machine.ANTIENTROPY: self.antientropy,
            RECOVERY: self.recovery,
            Machine.COORDINATOR: self.coordinator,  # type: ignore[dict-item]
        }
        self._traffic = Traffic(
            topology.cluster_id,
            topology.epoch,
            self._machines,
            self._clock_offset_ms,
            rng.getrandbits(48) << 15,
        )
        self._durable_sequence = boot.durable_sequence
        self._persist_again_ms: int | None = None
        self._clocks = ClockWatch()
        self._describe_ms = 0
        self._due_ms = 0  # at the start
        self._out: list[NodeEffect] = []

    def _make_coordinator(self) -> None:
        """What serves clients and replicas."""
        settings, secret = self.settings, self._secrets.contexts
        tree_key = KeyScheme(self.topology.key_seed).tree_key

        def digest(key: bytes, record: bytes) -> int:
            return entry_hash(tree_key, key, record)

        self.view = View(self.topology, self.me, self.is_reachable, self.is_ready)
        self.minter = Minter(self.actors, HybridClock())
        self.latencies = Latencies()
        join = RecordMerger().merge
        self.reading = Reading(self.view, secret, digest, join, self.latencies, settings.reading)
        self.writing = Writing(self.view, self.minter, secret, self._take_hint, settings.writing)
        self.coordinator = Coordinator(
            self.view,
            self.reading,
            self.writing,
            secret,
            lambda: self.actors.may_mint,
            settings.coordinator,
        )
        self.replica = Replica(self.view, digest, self._take_hint)

    def _announce(self, start_number: int) -> None:
        """Begin to speak as this run: to the others a new one, if there was another number."""
        sealing_key = self._secrets.datagrams[0]
        boot = boot_number(start_number, self._rng.getrandbits(32))
        self._sealer = DatagramSealer(sealing_key, self.topology.cluster_id, self.me, boot)
        members = tuple(member.id for member in self.topology.members)
        self.membership = Membership(
            members, self.me, start_number, self._rng, self.settings.membership
        )
        self._announced = start_number

    # --- what others ask

    def is_reachable(self, member: MemberId) -> bool:
        return self.membership.is_reachable(member)

    def is_ready(self, partition: int) -> bool:
        return self.starting.is_settled and self.recovery.is_ready(partition)

    def _co_owners(self) -> dict[int, frozenset[MemberId]]:
        """Of each partition that this node owns, the other owners."""
        owners = self.topology.owners
        return {p: frozenset(row) - {self.me} for p, row in enumerate(owners) if self.me in row}

    def _take_hint(self, now: Now, key: bytes, size: int) -> bool:
        if not self.hints.accepts(size):
            return False
        self.hints.keep(now, key, size)
        return True

    def _clock_offset_ms(self, member: MemberId) -> int:
        offset = self.membership.clock_offset_ms(member)
        return offset.offset_ms if offset is not None else 0

    # --- the driver's side

    def start(self, now: Now) -> list[NodeEffect]:
        boot = self._boot
        damaged, damaged_hints = boot.damaged, boot.damaged_hints
        effects = self.recovery.start(now, boot.lack, boot.incomplete, damaged, damaged_hints)
        self._give(RECOVERY, effects)
        return self.step(now, ())

    def step(self, now: Now, inputs: Sequence[Input]) -> list[NodeEffect]:
        incoming = Incoming({}, {})
        if self._was_asleep(now):
            inputs = self._wake(now, inputs, incoming)
        results: dict[int, list[Stored]] = {}
        calls: list[ClientCall] = []
        for event in inputs:
            if isinstance(event, FrameIn):
                self._give(Machine.MEMBERSHIP, self.membership.heard_from(now, event.peer))
                self._traffic.receive(now, event.peer, event.frame, incoming)
            elif isinstance(event, Stored):
                self._take_result(now, event, results)
            elif isinstance(event, ClientCall):
                calls.append(event)
            elif isinstance(event, DatagramIn):
                self._take_datagram(now, event.data)
            else:
                self._traffic.lost(event.peer, incoming)
        self._traffic.expire(now, incoming)
        for machine, requests in incoming.requests.items():
            self._give(machine, self._machines[machine].asked(now, requests))
        for machine, answers in incoming.answers.items():
            self._give(machine, self._machines[machine].answered(now, answers))
        for machine, stored in results.items():
            self._give(machine, self._machines[machine].stored(now, stored))
        for partition in self.recovery.take_begun():
            self.antientropy.restart(now, partition)
        if calls:
            self._give(Machine.COORDINATOR, self.coordinator.called(now, calls))
        if now.ms >= self._describe_ms:
            self._describe(now)
        for number, part in self._machines.items():
            due_ms = part.next_deadline()
            if due_ms is not None and due_ms <= now.ms:
                self._give(number, part.tick(now))
        for output in self.antientropy.take_outputs():
            if isinstance(output, Met):
                self._give(RECOVERY, self.recovery.met(now, output.partition, output.peer))
        self._persist_identity(now)
        self._out += self._traffic.flush(now)
        self._due_ms = self._next_deadline()
        out, self._out = self._out, []
        return out

    def next_deadline(self) -> int:
        """When the next step is due, even if nothing happens."""
        return self._due_ms

    def _next_deadline(self) -> int:  # once a step, as it takes a while
        due = [part.next_deadline() for part in self._machines.values()]
        due.append(self._traffic.next_deadline())
        return min([ms for ms in due if ms is not None] + [self._describe_ms])

    def _describe(self, now: Now) -> None:
        """Tell others how far this store is, and note how far theirs are."""
        self._describe_ms = now.ms + self.settings.describe_interval_ms
        oldest_ms = self.hints.report.oldest_ms  # 0 while nobody knows, None where there are none
        effects = self.membership.describe(
            now,
            load=Load.FILLING if self.recovery.is_filling else 0,
            sequence=self._durable_sequence(),
            oldest_hint_ms=1 if oldest_ms == 0 else oldest_ms or 0,
        )
        self._give(Machine.MEMBERSHIP, effects)
        for row in self.membership.report(now):
            if row.vitals is not None and row.member != self.me:
                vitals = row.vitals
                self.starting.heard_sequence(row.member, vitals.start_number, vitals.sequence)
                if (told := self._clocks.look(row.member, row.clock)) is not None:
                    name = self.topology.members_by_id[row.member].name
                    self._out.append(Alarm(f"{name}: {told}"))

    # --- sleep

    def _was_asleep(self, now: Now) -> bool:
        """0 is before the first step, when nothing was due."""
        return self._due_ms > 0 and now.ms - self._due_ms > self.settings.asleep_after_ms

    def _wake(self, now: Now, inputs: Sequence[Input], incoming: Incoming) -> list[Input]:
        """What is left of the inputs: results of the store, and calls to be refused."""
        self.coordinator.woke()
        for peer in self._peers:
            self._traffic.lost(peer, incoming)
        self._out.append(DropConnections())
        kept: list[Input] = []
        for event in inputs:
            if isinstance(event, Stored | PeerLost):
                kept.append(event)
            elif isinstance(event, ClientCall):
                kept.append(event._replace(deadline_ms=min(event.deadline_ms, now.ms)))
        return kept

    # --- inputs

    def _take_datagram(self, now: Now, data: bytes) -> None:
        try:
            datagram = self._opener.open(data)
        except ProtocolError:
            return
        sender = datagram.node_id
        if sender not in self.topology.members_by_id or sender == self.me:
            return
        verdict = self._window.judge(sender, datagram.boot_number, datagram.sequence)
        if verdict is Verdict.FRESH:
            effects = self.membership.received(now, sender, datagram.operations)
            self._give(Machine.MEMBERSHIP, effects)

    def _take_result(self, now: Now, event: Stored, results: dict[int, list[Stored]]) -> None:
        if isinstance(event.token, _Persisting):
            self._persisted(now, event.token, event.result)
            return
        passed = self._lost_dots.stored(event)
        if passed is not None:
            assert isinstance(passed.token, int)
            machine, token, order = self._orders.pop(passed.token)
            results.setdefault(machine, []).append(Stored(token, passed.result))
            self._look_for_damage(now, order, passed.result)

    def _look_for_damage(self, now: Now, order: Order, result: Result) -> None:
        for space, partition in unreadable_partitions(self.topology.partitioning, order, result):
            if space is Space.DATA:
                effects = self.recovery.unreadable(now, partition)
            else:
                effects = self.recovery.unreadable_hints(partition)
            self._give(RECOVERY, effects)

    def _persisted(self, now: Now, token: _Persisting, result: object) -> None:
        if not isinstance(result, Done):
            self._persist_again_ms = now.ms + self.settings.describe_interval_ms
            self._out.append(Alarm("the identity of the store could not be written"))
            return
        self.actors.persisted(token.identity)
        if self.actors.durable_trusted_epoch == self.actors.identity.trusted_epoch:
            self._out += self._lost_dots.persisted()

    # --- effects

    def _give(self, machine: int, effects: Sequence[Effect | ClientReply]) -> None:
        for effect in effects:
            if isinstance(effect, Ask):
                self._traffic.ask(machine, effect)
            elif isinstance(effect, Reply):
                self._traffic.reply(effect)
            elif isinstance(effect, StoreOrder):
                self._next_order += 1
                self._orders[self._next_order] = _Ordered(machine, effect.token, effect.order)
                order = StoreOrder(self._next_order, effect.order)
                self._lost_dots.ordered(order)
                self._out.append(order)
            elif isinstance(effect, SendDatagram):
                self._out.append(DatagramOut(effect.to, self._sealer.seal(effect.operations)))
            elif not isinstance(effect, StatusChanged):
                self._out.append(effect)

    def _persist_identity(self, now: Now) -> None:
        if self.starting.is_stale and not self._was_stale:
            self._was_stale = True
            self._give(RECOVERY, self.recovery.lost_everything())
        if self.actors.effects or (self._persist_again_ms or now.ms + 1) <= now.ms:
            self.actors.effects.clear()
            self._persist_again_ms = None
            identity = self.actors.identity
            self._out.append(StoreOrder(_Persisting(identity), PersistOrder(identity)))
        if self.actors.identity.start_number != self._announced:
            self._announce(self.actors.identity.start_number)
            self._machines[Machine.MEMBERSHIP] = self.membership
