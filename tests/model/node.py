"""A node of the model: the machines of the product, wired by the product, one input at a time.

Coordinator, reading, writing, minting, replica, view, recovery, handover, confirming and the
distrust of lost dots are those that a node runs, put together by its Parts. Left out are
membership, anti-entropy's rounds, hints' replay, gossip, Paxos and the transport: what they bring
about are inputs here (world.py says which).

Orders wait in one queue, as at the driver, and are carried out in their order. Whatever a step
orders is done within it, but for two things: the sync of a strict write that was minted here, which
waits for a step of its own or for the next order behind it; and, when a step is late, everything,
until the next document has been adopted.

Numbers of calls within the machines are made of the call's, so that they do not tell by which path
a state was reached.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from types import SimpleNamespace
from typing import Any

from lsmkv_cluster.boot import NodeSettings
from lsmkv_cluster.coordination.replica_messages import READ, ReplicaFlags
from lsmkv_cluster.coordination.requests import ClientAnswer
from lsmkv_cluster.coordination.view import Place, View
from lsmkv_cluster.driver_ports import ClientCall, ClientReply
from lsmkv_cluster.healing.antientropy import AntiEntropy
from lsmkv_cluster.healing.confirming import Confirming
from lsmkv_cluster.healing.handover import Handover
from lsmkv_cluster.healing.merging import LostDots
from lsmkv_cluster.healing.recovery import Recovery
from lsmkv_cluster.operations import Machine
from lsmkv_cluster.parts import RECOVERY, Parts
from lsmkv_cluster.placement.members import MemberId, actor_number
from lsmkv_cluster.ports import (
    Alarm,
    Answered,
    Ask,
    Asked,
    Now,
    Reply,
    Stored,
    StoreOrder,
    Unanswered,
)
from lsmkv_cluster.reconfiguration.paxos_messages import MemberReport
from lsmkv_cluster.storage.storage_orders import Lack, Merge, Mint, Order, Space, Sync
from lsmkv_cluster.transport.flights import Flights
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.record_format import decode
from tests.model import messages
from tests.model.disk import PARTITION, Disk
from tests.model.messages import Minted, Output, Question
from tests.model.setting import IDS, KEY, Setting

__all__ = ["ModelNode", "ModelParts"]

NOW = Now(1_000, 1_700_000_000_000)  # time stands
NEVER_MS = 1_000_000
EXCHANGE = -1  # the machine that is left out
SYNC = int(ReplicaFlags.SYNC)
ID_BITS = 4  # of a machine's number of a call, below the call's own


class ModelParts(Parts):
    """The product's wiring of what is modelled. Who serves clients reaches everybody: whom he does
    not reach does not answer. Who is to be met counts nobody as reachable but those he has met,
    so that he goes on as early as the rules may allow."""

    def __init__(self, setting: Setting, me: MemberId, disk: Disk, *, is_first_run: bool) -> None:
        self.me = me
        self.topology = setting.documents[disk.epoch - 1]
        self.settings = NodeSettings()
        self.gone = set()
        self.serves = True
        self._broken = setting.broken
        nothing: Any = SimpleNamespace(follow=lambda *_: [], load=lambda _: 0)
        self.membership = self.antientropy = self.tombstones = nothing
        always: Any = SimpleNamespace(take=lambda *_: True, has_room=lambda *_: True)
        self.backlog, self.flights = always, Flights()
        report: Any = SimpleNamespace(count=0, is_counted=True)
        hints: Any = SimpleNamespace(follow=lambda *_: None, report=report)
        hints.keep, hints.accepts = lambda *_: None, lambda size: True
        self.hints = hints
        starting: Any = SimpleNamespace(is_settled=True)
        self.starting = starting
        trusts = is_first_run or setting.broken.keeps_epoch
        self.actors = ActorSource(disk.identity, ended_cleanly=trusts, peers_needed=0)
        self.recovery = Recovery(self._co_owners(), self.is_reachable, self._is_filled, self.actors)
        self.handover = Handover(self.topology, me, self.is_reachable)
        self.confirming = Confirming(self.topology, me, self.is_reachable)
        self._make_coordinator(b"secret")
        if setting.broken.needs_one_row:
            self.view._make_place = self._one_row  # type: ignore[method-assign]

    def is_reachable(self, member: MemberId) -> bool:
        return self.serves

    def _is_filled(self, partition: int, met: Any) -> bool | None:
        if not self.topology.is_filling(partition, self.me):
            return None
        if self._broken.is_whole_at_once or (met and self._broken.fills_from_one):
            return True
        return super()._is_filled(partition, met)

    def _one_row(self, partition: int) -> Place:
        place = View._make_place(self.view, partition)
        object.__setattr__(place, "written", (place.owners_by_dc,))
        return place


class ModelNode:
    """`open`: what was asked and not answered, by its token: of whom, for which call. `queue`:
    (machine, token, order)."""

    def __init__(self, setting: Setting, me: MemberId) -> None:
        self.setting = setting
        self.me = me
        self.run = 0
        self.disk = Disk(
            Identity(actor_number(me), 7),
            self._note_minted,
            is_lazy=setting.broken.acknowledges_unsynced,
        )
        self._start()

    def _start(self) -> None:
        self.queue: list[tuple[int, Hashable, Order]] = []
        self.open: dict[Hashable, tuple[MemberId, int]] = {}
        self.clients: set[int] = set()  # calls that are under way
        self._out = Output((), (), ())
        self._minting = 0
        is_first_run = self.run == 0
        self.parts = parts = ModelParts(self.setting, self.me, self.disk, is_first_run=is_first_run)
        self.lost_dots = LostDots(parts.actors)
        self._persist()
        marked = {} if self.disk.lack is None else {PARTITION: self.disk.lack}
        lack = None if is_first_run else Lack.UNSYNCED
        self._give(RECOVERY, parts.recovery.start(NOW, lack, marked, (), ()))
        self._drain()
        self._tick()

    @property
    def epoch(self) -> int:
        return self.parts.topology.epoch

    # --- inputs

    def take(self, event: messages.Input) -> Output:
        self._out = Output((), (), ())
        self.parts.serves = True
        match event:
            case messages.Begin():
                self._begin(event)
            case messages.Arrive(question):
                self._arrive(question)
            case messages.Hear(answer):
                if self.open.pop(answer.token, None) is not None:
                    end = Answered(answer.token, answer.by, answer.status, answer.payload)
                    self._end(answer.token, [end])
            case messages.GiveUp(op):
                self._give_up(op)
            case messages.Sync():
                self._drain(syncs=True)
            case messages.Adopt(epoch):
                self._adopt(epoch)
            case messages.Crash(loses):
                self._crash(loses)
            case messages.Pull(peer, record, is_whole):
                self._pull(peer, record, is_whole)
            case messages.Take(record):
                self._merge(record)
            case messages.Given(peer):
                self.parts.handover.given(PARTITION, peer)
        if not getattr(event, "is_late", False):
            self._drain()
        return self._out

    def _begin(self, event: messages.Begin) -> None:
        slow = {} if event.slow is None else {event.slow: 1.0}
        self.parts.latencies._average = slow
        self._name_after(event.op << ID_BITS)
        request = self.setting.request(event.op, event.context)
        self.clients.add(event.op)
        call = ClientCall(event.op, request, NEVER_MS)
        self._give(Machine.COORDINATOR, self.parts.coordinator.called(NOW, [call]))

    def _arrive(self, question: Question) -> None:
        assert question.epoch <= self.epoch
        epoch = self.epoch if self.setting.broken.takes_old_epochs else question.epoch
        asked = Asked(question.asker, question.opcode, question.payload, question.flags, NEVER_MS,
                      question, epoch)  # fmt: skip
        machine = question.opcode >> 8
        self._name_after(question.op << ID_BITS)
        self._give(machine, self._server(machine).asked(NOW, [asked]))

    def _server(self, machine: int) -> Any:
        is_replica = machine == Machine.REPLICA
        return self.parts.replica if is_replica else self.parts.coordinator

    def _give_up(self, op: int) -> None:
        ends = [Unanswered(token, to) for token, (to, its) in self.open.items() if its == op]
        for end in ends:
            del self.open[end.token]
        for end in ends:
            self._end(end.token, [end])

    def _end(self, token: Any, ends: Sequence[Answered | Unanswered]) -> None:
        self._name_after(token.id or 0)
        self._give(Machine.COORDINATOR, self.parts.coordinator.answered(NOW, ends))

    def _crash(self, loses: bool) -> None:
        if loses:
            self.disk.lose_power()
        self.disk.sync()
        self.run += 1
        self._start()

    def _adopt(self, epoch: int) -> None:
        """What waits in the queue was ordered after the document was stored, and before it was
        adopted."""
        late, self.queue = self.queue, []
        document = self.setting.documents[epoch - 1]
        self._give(RECOVERY, self.parts.prepare(NOW, document))
        self._drain()
        assert self.parts.recovery.is_prepared
        self.disk.remember(epoch)
        assert not self.lost_dots.refuse()
        self.queue = late
        if self.parts.reading._reads:
            [read] = self.parts.reading._reads
            self._name_after(read)
        for machine, effects in self.parts.follow(NOW, document):
            self._give(machine, effects)
        self._drain()
        self._tick()

    def _pull(self, peer: MemberId, record: bytes | None, is_whole: bool) -> None:
        self._merge(record)
        self.parts.serves = False
        self._give(RECOVERY, self.parts.recovery.met(NOW, PARTITION, peer))
        if is_whole:
            self.parts.confirming.met(PARTITION, peer)
        self._drain()

    def _merge(self, record: bytes | None) -> None:
        """From another copy, synced, as is all that was here."""
        records = () if record is None else ((KEY, record),)
        self.queue.append((EXCHANGE, None, Merge(Space.DATA, records, sync=True)))
        self._drain()

    def _tick(self) -> None:
        """What recovery looks at from time to time."""
        self.parts.serves = False
        self._give(RECOVERY, self.parts.recovery.tick(NOW))
        self._drain()

    def _name_after(self, number: int) -> None:
        for machine in (self.parts.coordinator, self.parts.reading, self.parts.writing):
            machine._next_id = number  # type: ignore[attr-defined]

    # --- orders

    def _drain(self, *, syncs: bool = False) -> None:
        """Carry out what is ordered, but syncs only if something comes after them."""
        while any(syncs or not isinstance(order, Sync) for _, _, order in self.queue):
            machine, token, order = self.queue.pop(0)
            if isinstance(order, Mint):
                self._minting = int(str(token)) >> ID_BITS
            result = self.disk.carry_out(order)
            key = (machine, token)
            self.lost_dots.ordered(StoreOrder(key, order))
            passed = self.lost_dots.stored(Stored(key, result))
            self._persist()
            if passed is None:
                [again] = self.lost_dots.persisted()
                merged = self.disk.carry_out(again.order)
                passed = self.lost_dots.stored(Stored(again.token, merged))
                assert passed is not None
                assert not self.lost_dots.take_run_twice()
            self._stored(machine, Stored(token, passed.result))

    def _stored(self, machine: int, stored: Stored) -> None:
        parts = self.parts
        if machine == Machine.COORDINATOR:
            if isinstance(stored.token, int):
                self._name_after(stored.token)
            self._give(machine, parts.coordinator.stored(NOW, [stored]))
        elif machine == Machine.REPLICA:
            self._give(machine, parts.replica.stored(NOW, [stored]))
        elif machine == RECOVERY:
            self._give(machine, parts.recovery.stored(NOW, [stored]))

    def _persist(self) -> None:
        actors = self.parts.actors
        if actors.effects:
            actors.effects.clear()
            self.disk.persist(actors.identity)
            actors.persisted(actors.identity)

    def _note_minted(self, before: bytes | None, after: bytes) -> None:
        old = {item.dot for item in decode(before).items} if before is not None else set()
        items = decode(after).items
        fresh = tuple(item for item in items if item.dot not in old)
        gone = tuple(sorted(old.difference(item.dot for item in items)))
        self._out = self._out._replace(
            minted=(*self._out.minted, Minted(self._minting, fresh, gone))
        )

    # --- effects

    def _give(self, machine: int, effects: Sequence[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Ask):
                self._ask(effect)
            elif isinstance(effect, StoreOrder):
                self.queue.append((machine, effect.token, effect.order))
            elif isinstance(effect, ClientReply):
                self._finish(effect.call_id, effect.answer)
            elif isinstance(effect, Reply):
                self._reply(effect)
            else:
                assert isinstance(effect, Alarm)

    def _ask(self, ask: Ask) -> None:
        token: Any = ask.token
        op = token.id >> ID_BITS if token.id is not None else -1
        self.open[token] = (ask.to, op)
        question = Question(
            ask.to, self.me, self.run, op, self.epoch, ask.opcode, ask.flags, ask.payload, token
        )
        self._out = self._out._replace(sent=(*self._out.sent, question))

    def _reply(self, reply: Reply) -> None:
        of = reply.reply_to
        assert isinstance(of, Question)
        answer = messages.Answer(
            of.asker, of.run, self.me, of.op, of.opcode, reply.status, reply.payload, of.token
        )
        self._out = self._out._replace(sent=(*self._out.sent, answer))
        if of.opcode >> 8 == Machine.COORDINATOR:
            self._forget(of.op)

    def _finish(self, op: int, answer: ClientAnswer) -> None:
        self.clients.discard(op)
        self._out = self._out._replace(finished=(*self._out.finished, (op, answer)))
        self._forget(op)

    def _forget(self, op: int) -> None:
        """Nobody waits for what was asked for this call any more."""
        self.open = {token: asked for token, asked in self.open.items() if asked[1] != op}

    # --- what others see

    @property
    def is_busy(self) -> bool:
        """Whether the store lies behind a document that is being adopted."""
        return any(not isinstance(order, Sync) for _, _, order in self.queue)

    def report(self) -> MemberReport:
        self.parts.serves = False
        return self.parts._report()

    def answers(self, epoch: int) -> bool:
        """Whether a strict reader's question of that epoch would be answered with what is here."""
        if epoch > self.epoch:
            return False
        epoch = self.epoch if self.setting.broken.takes_old_epochs else epoch
        asked = Asked(IDS[0], READ, KEY, SYNC, NEVER_MS, None, epoch)
        [effect] = self.parts.replica.asked(NOW, [asked])
        return isinstance(effect, StoreOrder)

    def wanting(self) -> frozenset[MemberId]:
        """Whom a copy that is not whole has not met yet."""
        if PARTITION not in self.parts.recovery.wanting():
            return frozenset()
        filling = self.parts.recovery._filling[PARTITION]
        return self.parts._co_owners()[PARTITION] - filling.met

    def wants_whole(self) -> bool:
        """Whether only whole copies answer its questions."""
        parts = self.parts
        sight: Any = SimpleNamespace(
            _topology=parts.topology, _me=self.me, _is_whole=parts.is_ready
        )
        return AntiEntropy._counts_for_a_move(sight, PARTITION)

    def giving(self) -> frozenset[MemberId]:
        """To whom a copy that goes has not given everything yet."""
        given = self.parts.handover._given.get(PARTITION)
        if given is None:
            return frozenset()
        return frozenset(self.parts.topology.owners[PARTITION]) - given
