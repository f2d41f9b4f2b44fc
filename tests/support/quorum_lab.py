"""A few nodes that coordinate and serve requests, and a test that decides what happens when.

Each node has the machines of the product for client requests (coordinator, replica) over a fake
store. Nothing moves by itself: orders wait until `run`, questions until `handle` or `lose`, answers
until `hear` or `lose`; time stands until `advance`. What must always hold is checked at every step:
- each call of a client is answered once, each question has one end;
- no two different items ever have one dot (`ledger`);
- what a node ships it has in its own store;
- machines with nothing left to do have no deadline, and no deadline lies in the past.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lsmkv.kernel import RecordMerger, entry_hash
from lsmkv_cluster.coordination.coordinator import Coordinator, CoordinatorSettings
from lsmkv_cluster.coordination.latency import Latencies
from lsmkv_cluster.coordination.minter import Minter
from lsmkv_cluster.coordination.reading import Reading
from lsmkv_cluster.coordination.replica import Replica
from lsmkv_cluster.coordination.replica_messages import MERGE, decode_merge
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.coordination.write_state import WriteSettings
from lsmkv_cluster.coordination.writing import Writing
from lsmkv_cluster.driver_ports import ClientCall, ClientReply
from lsmkv_cluster.operations import Machine, OperationStatus
from lsmkv_cluster.placement.keyspaces import Keyspace
from lsmkv_cluster.placement.members import MemberId, actor_number
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.ports import (
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
from lsmkv_cluster.storage.backlog import Backlog
from lsmkv_cluster.storage.storage_orders import (
    Failed,
    Failure,
    Merge,
    Merged,
    Mint,
    Order,
    Read,
    Result,
    Space,
    Sync,
    Values,
)
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.hlc import HybridClock
from lsmkv_cluster.versions.vclock import Dot
from tests.support.fake_store import HASH_KEY, FakeStore
from tests.support.members import make_member, make_topology, member_id

__all__ = ["LabStore", "QuorumLab", "QuorumNode", "Sent", "make_lab_topology"]

WALL_MS = 1_700_000_000_000
Ledger = dict[tuple[bytes, Dot], object]
Decide = Callable[[int, bytes | None], bytes | None]


def make_lab_topology(
    members: str, owners: str, keyspaces: Sequence[Keyspace] = (Keyspace(),)
) -> Topology:
    """`members`: names, in another data centre than east as `west/d`; the same `owners` own every
    partition."""
    made = []
    for word in members.split():
        dc, _, name = word.rpartition("/")
        made.append(make_member(name, dc=dc or "east"))
    named = {member.name: member for member in made}
    row = sorted((named[name] for name in owners.split()), key=lambda member: member.dc)
    return replace(
        make_topology(),
        data_centres=tuple(DataCentre(dc, 5) for dc in sorted({member.dc for member in made})),
        members=tuple(sorted(made, key=lambda member: member.id)),
        keyspaces=tuple(keyspaces),
        owners=(tuple(member.id for member in row),) * 16,
    )


class LabStore(FakeStore):
    """Mints, too, asking twice for each key, as a store may, and enters what was minted into the
    ledger. `sync_failure` is that of syncs, which are then not done; what a merge wrote stays."""

    def __init__(self, topology: Topology, me: MemberId, ledger: Ledger) -> None:
        super().__init__(topology, me)
        self._ledger = ledger
        self.sync_failure: Failure | None = None

    def carry_out(self, order: Order) -> Result:
        match order:
            case Mint(space, keys, decide):
                self.orders.append(order)
                made = [self._mint(space, key, decide, i) for i, key in enumerate(keys)]
                return Merged(tuple(made))
            case Merge(space, records, sync=True) if self.sync_failure is not None:
                super().carry_out(Merge(space, records))
                return Merged((self.sync_failure,) * len(records))
            case Read(_, keys, durable=True) if self.sync_failure is not None:
                return Values((self.sync_failure,) * len(keys))
            case Sync() if self.sync_failure is not None:
                return Failed(self.sync_failure)
        return super().carry_out(order)

    def _mint(self, space: Space, key: bytes, decide: Decide, index: int) -> bool | Failure:
        if self.write_failure is not None:
            return self.write_failure
        if key in self.unreadable:
            return Failure.CORRUPT
        old = self.get(key, space)
        decide(index, old)
        new = decide(index, old)
        if new is None:
            return False
        self._change(self.engine_key(space, key), new)
        enter(self._ledger, key, new)
        return new != old


def enter(ledger: Ledger, key: bytes, record: bytes) -> None:
    for item in record_format.decode(record).items:
        assert ledger.setdefault((key, item.dot), item) == item, "a dot was used twice"


@dataclass(eq=False)
class Sent:
    """A question on its way; `answer` once the other side has given one."""

    sender: str
    to: str
    ask: Ask
    epoch: int
    answer: Reply | None = None
    is_handled: bool = False


class QuorumNode:
    """`orders` wait for the store. `is_ready`, `has_room` and `may_mint` are for tests to set."""

    def __init__(self, lab: QuorumLab, name: str) -> None:
        self.lab = lab
        self.name = name
        self.id = member_id(name)
        self.store = LabStore(lab.topology, self.id, lab.ledger)
        self.orders: list[tuple[object, StoreOrder]] = []
        self.is_ready = True
        self.has_room = True
        self.may_mint = True
        actors = ActorSource(Identity(actor_number(self.id), 7), ended_cleanly=True, peers_needed=0)
        actors.persisted(actors.effects[-1].identity)
        self.backlog = Backlog()
        self.view = View(
            lab.topology,
            self.id,
            self._is_reachable,
            lambda _: self.is_ready,
            lambda id: lab.loads.get(lab.names[id], 0),
            lab.crowded,
        )
        self.latencies = Latencies()
        self.minter = Minter(actors, HybridClock())
        merger = RecordMerger()
        self.reading = Reading(self.view, b"secret", digest, merger.merge, self.latencies)
        self.writing = Writing(
            self.view, self.minter, b"secret", lambda *_: self.has_room, lab.write_settings
        )
        self.coordinator = Coordinator(
            self.view,
            self.reading,
            self.writing,
            b"secret",
            lambda: self.may_mint,
            self.backlog,
            lab.settings,
        )
        self.replica = Replica(self.view, digest, lambda *_: self.has_room, self.backlog)

    def _is_reachable(self, id: MemberId) -> bool:
        return self.lab.names[id] not in self.lab.down

    @property
    def is_idle(self) -> bool:
        """Whether the machines hold nothing of any call."""
        coordinator, reading, writing = self.coordinator, self.reading, self.writing
        held = (
            coordinator._forwards,
            reading._reads,
            reading.write_back._jobs,
            writing._writes,
            writing._batches,
            writing._syncs,
        )
        return not any(held) and coordinator.next_deadline() is None


def digest(key: bytes, record: bytes) -> int:
    return entry_hash(HASH_KEY, key, record)


class QuorumLab:
    """`down` are those who are taken for down, by everybody; `loads` what nodes announce; `crowded`
    are those who are sent nothing more. No store has too much to do."""

    def __init__(
        self,
        members: str = "a b c d e",
        owners: str = "a b c",
        keyspaces: Sequence[Keyspace] = (Keyspace(),),
        settings: CoordinatorSettings | None = None,
        write_settings: WriteSettings | None = None,
    ) -> None:
        self.write_settings = write_settings
        self.topology = make_lab_topology(members, owners, keyspaces)
        self.settings = settings
        self.names = {member.id: member.name for member in self.topology.members}
        self.down: set[str] = set()
        self.loads: dict[str, int] = {}
        self.crowded: set[MemberId] = set()
        self.now_ms = 1000
        self.ledger: Ledger = {}
        self.nodes = {name: QuorumNode(self, name) for name in sorted(self.names.values())}
        self.sent: list[Sent] = []
        self.replies: dict[int, ClientAnswer] = {}
        self._calls: dict[int, str] = {}

    @property
    def now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms)

    def __getitem__(self, name: str) -> QuorumNode:
        return self.nodes[name]

    # --- clients

    def call(self, request: ClientRequest, to: str = "a", timeout_ms: int = 1000) -> int:
        return self.call_many([request], to, timeout_ms)[0]

    def call_many(
        self, requests: Sequence[ClientRequest], to: str = "a", timeout_ms: int = 1000
    ) -> list[int]:
        first = len(self._calls)
        ids = list(range(first, first + len(requests)))
        self._calls.update(dict.fromkeys(ids, to))
        calls = [
            ClientCall(id, request, self.now_ms + timeout_ms)
            for id, request in zip(ids, requests, strict=True)
        ]
        node = self[to]
        self._take(node, Machine.COORDINATOR, node.coordinator.called(self.now, calls))
        return ids

    # --- topology

    def adopt(self, names: str, topology: Topology) -> None:
        for name in names.split():
            node = self[name]
            node.view.follow(topology)
            self._take(node, Machine.COORDINATOR, node.coordinator.adopted(self.now))

    # --- the store

    def run(self, name: str = "a", count: int = 1 << 30) -> None:
        """Carry out orders, also those that follow from them."""
        node = self[name]
        while node.orders and count:
            count -= 1
            machine, (token, order) = node.orders.pop(0)
            result = node.store.carry_out(order)
            part = node.coordinator if machine is Machine.COORDINATOR else node.replica
            self._take(node, machine, part.stored(self.now, [Stored(token, result)]))

    # --- the network

    def open(self, to: str, sender: str = "a") -> Sent:
        """The oldest question to a node that has not been lost or heard of."""
        return next(sent for sent in self.sent if (sent.sender, sent.to) == (sender, to))

    def handle(self, to: str, sender: str = "a") -> Sent:
        """The oldest question that has not arrived does, and is worked on."""
        sent = next(
            sent
            for sent in self.sent
            if (sent.sender, sent.to) == (sender, to) and not sent.is_handled
        )
        self.arrive(sent)
        self.run(to)
        return sent

    def arrive(self, sent: Sent) -> None:
        sent.is_handled = True
        ask, node = sent.ask, self[sent.to]
        assert sent.epoch <= node.view.topology.epoch, "it would wait for the document"
        peer = member_id(sent.sender)
        asked = Asked(peer, ask.opcode, ask.payload, ask.flags, ask.deadline_ms, sent, sent.epoch)
        machine = ask.opcode >> 8
        part = node.coordinator if machine == Machine.COORDINATOR else node.replica
        self._take(node, machine, part.asked(self.now, [asked]))

    def hear(self, to: str, sender: str = "a") -> None:
        sent = self.open(to, sender)
        assert sent.answer is not None
        self.answer(sent, sent.answer.status, sent.answer.payload)

    def answer(self, sent: Sent, status: int, payload: bytes = b"") -> None:
        """Give this answer, whatever the other side says."""
        self._end(sent, Answered(sent.ask.token, sent.ask.to, status, payload))

    def deliver(self, to: str, sender: str = "a") -> None:
        self.handle(to, sender)
        self.hear(to, sender)

    def lose(self, to: str, sender: str = "a", *, never_sent: bool = False) -> None:
        """The connection goes away under the oldest open question."""
        self.drop(self.open(to, sender), never_sent=never_sent)

    def drop(self, sent: Sent, *, never_sent: bool = False) -> None:
        assert not (never_sent and sent.is_handled)
        self._end(sent, Unanswered(sent.ask.token, sent.ask.to, never_sent))

    def _end(self, sent: Sent, end: Answered | Unanswered) -> None:
        self.sent.remove(sent)
        node = self[sent.sender]
        self._take(node, Machine.COORDINATOR, node.coordinator.answered(self.now, [end]))

    def settle(self) -> None:
        """All orders, questions and answers, until nothing is under way."""
        while True:
            for name in self.nodes:
                self.run(name)
            if not self.sent:
                return
            sent = self.sent[0]
            if not sent.is_handled:
                self.arrive(sent)
                self.run(sent.to)
            if sent.answer is not None:
                self.answer(sent, sent.answer.status, sent.answer.payload)
            else:
                self.sent.append(self.sent.pop(0))

    # --- time

    def advance(self, ms: int) -> None:
        """Time goes on; whatever comes due on the way does."""
        until_ms = self.now_ms + ms
        while (due_ms := self._next_deadline()) is not None and due_ms <= until_ms:
            assert due_ms >= self.now_ms
            self.now_ms = due_ms
            self._tick()
            following_ms = self._next_deadline()
            assert following_ms is None or following_ms > due_ms, "a timer that spins"
        self.now_ms = until_ms

    def _next_deadline(self) -> int | None:
        due = [sent.ask.deadline_ms for sent in self.sent]
        due += [
            ms for n in self.nodes.values() if (ms := n.coordinator.next_deadline()) is not None
        ]
        return min(due, default=None)

    def _tick(self) -> None:
        for sent in [sent for sent in self.sent if sent.ask.deadline_ms <= self.now_ms]:
            self._end(sent, Unanswered(sent.ask.token, sent.ask.to))
        for node in self.nodes.values():
            due_ms = node.coordinator.next_deadline()
            if due_ms is not None and due_ms <= self.now_ms:
                self._take(node, Machine.COORDINATOR, node.coordinator.tick(self.now))

    # --- effects

    def _take(
        self, node: QuorumNode, machine: int, effects: Sequence[Effect | ClientReply]
    ) -> None:
        node.backlog.look(self.now_ms)
        for effect in effects:
            if isinstance(effect, Ask):
                assert effect.to != node.id
                self._check_shipped(node, effect)
                epoch = node.view.topology.epoch
                self.sent.append(Sent(node.name, self.names[effect.to], effect, epoch))
            elif isinstance(effect, StoreOrder):
                node.orders.append((Machine(machine), effect))
            elif isinstance(effect, ClientReply):
                assert self._calls[effect.call_id] == node.name
                assert effect.call_id not in self.replies, "answered twice"
                self.replies[effect.call_id] = effect.answer
            else:
                assert isinstance(effect, Reply)
                assert isinstance(effect.reply_to, Sent)
                assert effect.reply_to.answer is None, "replied twice"
                assert effect.status in OperationStatus.__members__.values() or effect.status >= 64
                effect.reply_to.answer = effect
        effects_due = node.minter.actors.effects
        for persist in effects_due:
            node.minter.actors.persisted(persist.identity)
        effects_due.clear()

    def _check_shipped(self, node: QuorumNode, ask: Ask) -> None:
        """Of a record with an item that this node wrote: its own store has it, or has had it."""
        if ask.opcode != MERGE:
            return
        key, data = decode_merge(ask.payload)
        for item in record_format.decode(data).items:
            if item.dot.actor.node == actor_number(node.id):
                assert (key, item.dot) in self.ledger, "shipped before it was stored"

    # --- what tests look at

    def shown(self, sender: str = "a") -> str:
        """The open questions of a node, as `merge b`, `read c digest`, `merge d hint sync`."""
        return ", ".join(_shown(sent) for sent in self.sent if sent.sender == sender)

    def plant(self, key: bytes, record: bytes, names: str, space: Space = Space.DATA) -> None:
        """Records that stand in stores from before, on stable storage."""
        enter(self.ledger, key, record)
        for name in names.split():
            self[name].store.carry_out(Merge(space, ((key, record),), True))

    def value(self, name: str, key: bytes, space: Space = Space.DATA) -> list[bytes] | None:
        """The values of a key in a node's store."""
        data = self[name].store.get(key, space)
        return None if data is None else values_of(data)

    def holders(self, key: bytes, value: bytes, *, durable: bool = False) -> set[str]:
        """Whose store has a value, as data or as a hint."""
        return {
            name
            for name, node in self.nodes.items()
            for space in (Space.DATA, Space.HINT)
            if value in (self.value(name, key, space) or [])
            and (not durable or node.store.is_durable(key, space))
        }


def values_of(data: bytes) -> list[bytes]:
    return [item.value or item.name for item in record_format.decode(data).items]


def _shown(sent: Sent) -> str:
    verbs = {0x0301: "merge", 0x0302: "read", 0x0401: "forward"}
    flags = [
        name for bit, name in ((2, "hint"), (4, "digest"), (1, "sync")) if sent.ask.flags & bit
    ]
    return " ".join([verbs[sent.ask.opcode], sent.to, *flags])
