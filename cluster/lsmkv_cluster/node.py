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

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lsmkv_cluster.boot import Boot, NodeSettings, Secrets
from lsmkv_cluster.deadlines import Deadlines
from lsmkv_cluster.driver_ports import (
    AdminCall,
    AdminReply,
    AnyCall,
    DatagramIn,
    DatagramOut,
    DropConnections,
    FrameIn,
    Input,
    NodeEffect,
    PeerLost,
    RepairCall,
    RepairReply,
)
from lsmkv_cluster.errors import ProtocolError
from lsmkv_cluster.healing.antientropy import HandedOver, Met
from lsmkv_cluster.healing.damage import unreadable_partitions
from lsmkv_cluster.open_orders import OpenOrders, Passed
from lsmkv_cluster.operations import Machine
from lsmkv_cluster.parts import RECOVERY, Out, Parts, turned_away
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import (
    Alarm,
    Ask,
    Now,
    Random,
    Reply,
    SendDatagram,
    StatusChanged,
    Stored,
    StoreOrder,
)
from lsmkv_cluster.reconfiguration.adoption import Adopted, Adopting
from lsmkv_cluster.reconfiguration.paxos_messages import FETCH
from lsmkv_cluster.reconfiguration.readdressing import READDRESSING
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import Done, Order, Result
from lsmkv_cluster.storage.storage_orders import Persist as PersistOrder
from lsmkv_cluster.swim.peer_clocks import OwnClock
from lsmkv_cluster.transport.datagram import DatagramOpener, DatagramSealer
from lsmkv_cluster.transport.handshake import boot_number
from lsmkv_cluster.transport.replay_window import ReplayWindow, Verdict
from lsmkv_cluster.transport.traffic import Incoming, Traffic
from lsmkv_cluster.versions.actor import Identity

__all__ = ["Node"]


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
        self.settings = settings or NodeSettings()
        self.me = me
        self.is_retired = False  # removed from the cluster, for good
        self.parts = parts = Parts(boot, topology, me, secrets, rng, self.settings)
        self._secrets = secrets
        self._rng = rng
        self._opener = DatagramOpener(secrets.datagrams, topology.cluster_id)
        self._window = ReplayWindow()
        self._seal_as(parts.actors.identity.start_number)
        self._orders = OpenOrders(parts.actors, parts.backlog)
        self._backlog = parts.backlog
        self._was_overloaded = False  # as others were told
        self._own_clock = OwnClock()
        self._boot = boot
        self._traffic = Traffic(
            topology.cluster_id,
            topology.epoch,
            parts.machines,
            parts.clock_offset_ms,
            rng.getrandbits(48) << 15,
            self.settings.request_lifetime_max_ms,
            parts.flights,
        )
        self._durable_sequence = boot.durable_sequence
        self._persist_again_ms: int | None = None
        self._adopting: Topology | None = None
        self._describe_ms = 0
        self._due_ms = 0  # at the start
        self._deadlines = Deadlines(parts.machines)
        self._out: list[NodeEffect] = []

    def _seal_as(self, start_number: int) -> None:
        """Datagrams are of this run from now on."""
        boot = boot_number(start_number, self._rng.getrandbits(32))
        key, cluster_id = self._secrets.datagrams[0], self.topology.cluster_id
        self._sealer = DatagramSealer(key, cluster_id, self.me, boot)
        self._announced = start_number

    @property
    def topology(self) -> Topology:
        """The document that this node has adopted."""
        return self.parts.topology

    # --- the driver's side

    def start(self, now: Now) -> list[NodeEffect]:
        boot = self._boot
        self._backlog.look(now.ms)
        damaged, damaged_hints = boot.damaged, boot.damaged_hints
        recovery = self.parts.recovery
        effects = recovery.start(now, boot.lack, boot.incomplete, damaged, damaged_hints)
        self._give(RECOVERY, effects + recovery.release())
        if boot.identity is not None and not boot.is_log_sound:
            self._give(Machine.TOPOLOGY, self.parts.keeper.distrust(now))
        self._retire_if_removed()
        return self.step(now, ())

    def step(self, now: Now, inputs: Sequence[Input]) -> list[NodeEffect]:
        incoming = Incoming({}, {})
        self._backlog.look(now.ms)
        if self._was_asleep(now):
            inputs = self._wake(now, inputs, incoming)
        if self._own_clock.moved_ms(now):  # before anybody compares it with others
            self._give(Machine.MEMBERSHIP, self.parts.membership.tick(now))
        results: dict[int, list[Stored]] = {}
        calls: list[AnyCall] = []
        for event in inputs:
            if isinstance(event, FrameIn):
                self._take_frame(now, event, incoming)
            elif isinstance(event, Stored):
                self._take_result(now, event, results)
            elif isinstance(event, AnyCall):
                calls.append(event)
            elif isinstance(event, DatagramIn):
                self._take_datagram(now, event.data)
            elif isinstance(event, AdminCall):
                self._take_change(now, event)
            elif isinstance(event, RepairCall):
                self._take_repair(now, event)
            else:
                self._traffic.lost(event.peer, incoming)
        self._traffic.expire(now, incoming)
        self._dispatch(now, incoming)
        for machine, stored in results.items():
            self._give(machine, self.parts.machines[machine].stored(now, stored))
        for partition in self.parts.to_compare_anew():
            self.parts.antientropy.restart(now, partition)
            self._deadlines.changed(Machine.ANTIENTROPY)
        if calls:
            self._call(now, calls)
        if now.ms >= self._describe_ms or self._backlog.is_overloaded is not self._was_overloaded:
            self._describe(now)
        for number in self._deadlines.due(self._active(), now.ms):
            self._give(number, self.parts.machines[number].tick(now))
        self._take_outputs(now)
        self._persist_identity(now)
        self._out += self._traffic.flush(now)
        due = (self._deadlines.earliest(self._active()), self._traffic.next_deadline())
        self._due_ms = min([ms for ms in due if ms is not None] + [self._describe_ms])
        out, self._out = self._out, []
        return out

    def _dispatch(self, now: Now, incoming: Incoming) -> None:
        machines = self.parts.machines
        for machine, requests in incoming.requests.items():
            self._give(machine, machines[machine].asked(now, requests))
        for machine, answers in incoming.answers.items():
            self._give(machine, machines[machine].answered(now, answers))

    def _call(self, now: Now, calls: Sequence[AnyCall]) -> None:
        if self.is_retired:
            self._out += [turned_away(call) for call in calls]
            return
        for machine, effects in self.parts.called(now, calls):
            self._give(machine, effects)

    def _take_change(self, now: Now, call: AdminCall) -> None:
        keeper = self.parts.keeper
        ask = keeper.force if call.is_forced else keeper.change
        self._give(Machine.TOPOLOGY, ask(now, call.call_id, call.change))

    def _take_repair(self, now: Now, call: RepairCall) -> None:
        if not self.is_retired:
            self.parts.antientropy.compare_now(now, call.partition)
            self._deadlines.changed(Machine.ANTIENTROPY)
        self._out.append(RepairReply(call.call_id))

    def _active(self) -> Iterable[int]:
        """The machines that do something of their own accord. Of who has retired, what was begun
        ends."""
        if self.is_retired:
            return (Machine.COORDINATOR, Machine.SCAN, Machine.ADMIN)
        return self.parts.machines

    def _take_outputs(self, now: Now) -> None:
        parts = self.parts
        for found in parts.antientropy.take_outputs():
            if isinstance(found, Met):
                self._give(RECOVERY, parts.recovery.met(now, found.partition, found.peer))
                if found.is_whole:
                    parts.confirming.met(found.partition, found.peer)
            elif isinstance(found, HandedOver):
                parts.handover.given(found.partition, found.peer)
        newer = self._traffic.take_newer()
        if newer is not None:
            self._give(Machine.TOPOLOGY, parts.keeper.heard_epoch(now, *newer))
        for output in parts.keeper.take_outputs():
            if isinstance(output, Adopting):
                self._adopting = output.document
                self._give(RECOVERY, parts.prepare(now, output.document))
            elif isinstance(output, Adopted):
                self._adopt(now, output.document)
            elif output.token == READDRESSING:
                self._give(Machine.TOPOLOGY, parts.readdressing.ended(now, output))
            else:
                assert isinstance(output.token, int)
                reply = AdminReply(output.token, output.outcome, output.epoch, output.text)
                self._out.append(reply)
        if self._adopting is not None and parts.recovery.is_prepared:
            self._adopting = None
            self._give(Machine.TOPOLOGY, parts.keeper.prepared(now))

    # --- documents

    def _adopt(self, now: Now, document: Topology) -> None:
        """It is durable here."""
        if self.me not in document.voters:
            self.parts.topology = document
            self._retire_if_removed()
            return
        refused: dict[int, list[Stored]] = {}
        for passed in self._orders.refuse():
            self._pass_on(now, passed, refused)
        for machine, results in refused.items():
            self._give(machine, self.parts.machines[machine].stored(now, results))
        for machine, effects in self.parts.follow(now, document):
            self._give(machine, effects)
        self._deadlines.all_changed()
        early = Incoming({}, {})
        for peer in self.parts.gone:
            self._traffic.lost(peer, early)
        self._traffic.adopt(document.epoch, early)
        self._dispatch(now, early)

    def _retire_if_removed(self) -> None:
        """Nobody listens to this node any more, and it serves nobody. Its data stays where it is,
        and never comes back into a cluster."""
        if self.me not in self.topology.voters and not self.is_retired:
            self.is_retired = True
            self._out.append(Alarm("this node has been removed from the cluster"))

    def next_deadline(self) -> int:
        """When the next step is due, even if nothing happens."""
        return self._due_ms

    def _describe(self, now: Now) -> None:
        self._describe_ms = now.ms + self.settings.describe_interval_ms
        self._was_overloaded = self._backlog.is_overloaded
        self._give(Machine.MEMBERSHIP, self.parts.describe(now, self._durable_sequence()))
        wish = self.parts.readdressing.wish(now, self.topology)
        if wish is not None:
            self._give(Machine.TOPOLOGY, self.parts.keeper.change(now, READDRESSING, wish))

    # --- sleep

    def _was_asleep(self, now: Now) -> bool:
        """0 is before the first step, when nothing was due."""
        return self._due_ms > 0 and now.ms - self._due_ms > self.settings.asleep_after_ms

    def _wake(self, now: Now, inputs: Sequence[Input], incoming: Incoming) -> list[Input]:
        """What is left of the inputs: results of the store, wishes of operators, and calls to be
        refused."""
        self.parts.coordinator.woke()
        self._backlog.woke()
        for peer in self.parts.peers:
            self._traffic.lost(peer, incoming)
        self._out.append(DropConnections())
        kept: list[Input] = []
        for event in inputs:
            if isinstance(event, Stored | PeerLost | AdminCall | RepairCall):
                kept.append(event)
            elif isinstance(event, AnyCall):
                kept.append(event._replace(deadline_ms=min(event.deadline_ms, now.ms)))
        return kept

    # --- inputs

    def _take_frame(self, now: Now, event: FrameIn, incoming: Incoming) -> None:
        """Of one who is not a member only the question for the document is taken."""
        if event.peer in self.topology.voters and not self.is_retired:
            effects = self.parts.membership.heard_from(now, event.peer)
            self._give(Machine.MEMBERSHIP, effects)
        elif any(operation.opcode != FETCH for operation in event.frame.operations):
            return
        self._traffic.receive(now, event.peer, event.frame, incoming)

    def _take_datagram(self, now: Now, data: bytes) -> None:
        try:
            datagram = self._opener.open(data)
        except ProtocolError:
            return
        sender = datagram.node_id
        if sender not in self.topology.voters or sender == self.me or self.is_retired:
            return
        verdict = self._window.judge(sender, datagram.boot_number, datagram.sequence)
        if verdict is Verdict.FRESH:
            effects = self.parts.membership.received(now, sender, datagram.operations)
            self._give(Machine.MEMBERSHIP, effects)

    def _take_result(self, now: Now, event: Stored, results: dict[int, list[Stored]]) -> None:
        if isinstance(event.token, _Persisting):
            self._persisted(now, event.token, event.result)
            return
        passed = self._orders.take(event)
        if passed is not None:
            self._pass_on(now, passed, results)

    def _pass_on(self, now: Now, passed: Passed, results: dict[int, list[Stored]]) -> None:
        results.setdefault(passed.machine, []).append(passed.stored)
        self._look_for_damage(now, passed.order, passed.stored.result)

    def _look_for_damage(self, now: Now, order: Order, result: Result) -> None:
        for space, partition in unreadable_partitions(self.topology.partitioning, order, result):
            if space is Space.DATA:
                effects = self.parts.recovery.unreadable(now, partition)
            else:
                effects = self.parts.recovery.unreadable_hints(partition)
            self._give(RECOVERY, effects)

    def _persisted(self, now: Now, token: _Persisting, result: object) -> None:
        if not isinstance(result, Done):
            self._persist_again_ms = now.ms + self.settings.describe_interval_ms
            self._out.append(Alarm("the identity of the store could not be written"))
            return
        actors = self.parts.actors
        actors.persisted(token.identity)
        if actors.is_distrust_durable:
            self._out += self._orders.persisted()

    # --- effects

    def _give(self, machine: int, effects: Sequence[Out]) -> None:
        self._deadlines.changed(machine)
        for effect in effects:
            if isinstance(effect, Ask):
                self._traffic.ask(machine, effect)
            elif isinstance(effect, Reply):
                self._traffic.reply(effect)
            elif isinstance(effect, StoreOrder):
                self._out.append(self._orders.give(machine, effect.token, effect.order))
            elif isinstance(effect, SendDatagram):
                self._out.append(DatagramOut(effect.to, self._sealer.seal(effect.operations)))
            elif not isinstance(effect, StatusChanged):
                self._out.append(effect)

    def _persist_identity(self, now: Now) -> None:
        parts, actors = self.parts, self.parts.actors
        if self._orders.take_run_twice():
            self._give(Machine.CONNECTION, parts.starting.run_twice())
        if parts.starting.take_stale():  # neither its copies are whole, nor are its votes known
            self._give(RECOVERY, parts.recovery.lost_everything())
            self._give(Machine.TOPOLOGY, parts.keeper.distrust(now))
        if actors.effects or (self._persist_again_ms or now.ms + 1) <= now.ms:
            actors.effects.clear()
            self._persist_again_ms = None
            identity = actors.identity
            self._out.append(StoreOrder(_Persisting(identity), PersistOrder(identity)))
        if actors.identity.start_number != self._announced:
            self._seal_as(actors.identity.start_number)
            parts.announced_again(self._announced)
            self._deadlines.changed(Machine.MEMBERSHIP)
