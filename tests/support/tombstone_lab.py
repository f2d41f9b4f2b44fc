"""A HealLab of the product's stores, in which tombstones are collected and hints handed over.

Disks are in memory and forget what was not synced when the power goes. Clients mint where a test
says, records travel when it says, and arrive later if it says so; `meet` is anti-entropy. Nodes
know the documents that they have adopted. Rules of the product can be switched off by patching it,
and those of its surroundings here.
"""

from __future__ import annotations

from typing import Any

import lsmkv
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.kernel import MerkleTree, entry_hash
from lsmkv_cluster.coordination.minter import Minter
from lsmkv_cluster.healing.collecting import Phase
from lsmkv_cluster.healing.hint_budget import HintSettings
from lsmkv_cluster.healing.hints import HintedHandoff
from lsmkv_cluster.healing.tombstone_limits import TombstoneReport, TombstoneSettings
from lsmkv_cluster.healing.tombstones import TombstoneCollector
from lsmkv_cluster.operations import Machine
from lsmkv_cluster.placement.members import MemberId, actor_number
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Ask
from lsmkv_cluster.storage.engine_key import KeyScheme, Space, client_key, space_tokens
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Confirm,
    Confirmed,
    Discard,
    Done,
    Failure,
    Merge,
    Merged,
    Mint,
    Order,
    Persist,
    Release,
    Result,
)
from lsmkv_cluster.storage.store_opening import open_store
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.context import NOTHING, Context, seen_in
from lsmkv_cluster.versions.hlc import HybridClock
from lsmkv_cluster.versions.minting import Change, delete, mint, write
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.resolve import siblings
from lsmkv_cluster.versions.vclock import Actor, Dot
from tests.support.heal_lab import HealLab, LabNode, heal_topology

__all__ = ["GC", "DiskStore", "TombstoneLab"]

PATH = "/store"
OPTIONS: dict[str, Any] = {"background": "inline", "block_cache_size": 0, "compression": None}
GC = TombstoneSettings(interval_ms=5_000)


class DiskStore:
    """What a LabNode has in the place of a FakeStore. Orders of the type `ignored` are answered and
    not carried out."""

    confirms_synced = True
    ignored: type[Order] | None = None

    def __init__(self, topology: Topology, me: MemberId, incarnation: int) -> None:
        self._topology = topology
        self._scheme = KeyScheme(topology.key_seed)
        self._me = me
        self._disk = MemoryFileSystem()
        self._identity = Identity(actor_number(me), incarnation)
        self.collected = 0  # records, also before a restart
        self._open(was_clean=True)

    def _open(self, *, was_clean: bool) -> None:
        self._db = lsmkv.open(PATH, filesystem=self._disk, **OPTIONS)
        self._store = open_store(self._db, self._topology, self._me).store
        self.actors = ActorSource(
            self._identity, ended_cleanly=was_clean, peers_needed=0, lease_size=1 << 10
        )
        self._persist()
        self.minter = Minter(self.actors, HybridClock())

    def _persist(self) -> None:
        for effect in self.actors.effects:
            self._identity = effect.identity
            self._store.carry_out(Persist(effect.identity))
            self.actors.persisted(effect.identity)
        self.actors.effects.clear()

    def carry_out(self, order: Order) -> Result:
        """As a node does it: what shows a lost write is merged once that is written down."""
        if isinstance(order, Confirm) and not self.confirms_synced:
            return Confirmed(tuple(self._digest(key) == digest for key, digest in order.entries))
        if self.ignored is not None and isinstance(order, self.ignored):
            return Done()
        result = self._store.carry_out(order)
        if isinstance(result, Merged) and Failure.LOST_DOT in result.outcomes:
            self.actors.distrust_epochs()
            self._persist()
            result = self._store.carry_out(order)
        if isinstance(order, Collect):
            assert isinstance(result, Merged)
            self.collected += sum(outcome is True for outcome in result.outcomes)
        self._persist()
        return result

    def _digest(self, key: bytes) -> int | None:
        record = self.get(key)
        name = self._scheme.engine_key(Space.DATA, key)
        return None if record is None else entry_hash(self._scheme.tree_key, name, record)

    def follow(self, topology: Topology) -> None:
        """A copy that is gained begins empty; what is not kept any more is dropped."""
        gained = set(topology.kept_by(self._me)).difference(self._topology.kept_by(self._me))
        for partition in sorted(gained):
            self._store.carry_out(Discard(partition))
        self._topology = topology
        self._store.carry_out(Release(frozenset(topology.kept_by(self._me))))

    def lose_power(self) -> None:
        image = self._disk.crash()
        self._db.close()
        self._disk = image
        self._open(was_clean=False)

    def close(self) -> None:
        self._db.close()

    def contents(self, space: Space = Space.DATA) -> dict[bytes, bytes]:
        keys = space_tokens(space).keys
        with self._db.scan(keys.start, keys.stop) as scan:
            return {client_key(key): record for key, record in scan}

    def get(self, key: bytes, space: Space = Space.DATA) -> bytes | None:
        return self._db.get(self._scheme.engine_key(space, key))

    def tree(self, partition: int) -> MerkleTree:
        return self._store.tree(partition)


class TombstoneLab(HealLab):
    """`a`, `b`, `c` own partition 0, in this order, and `d`, `e` stand in."""

    def __init__(
        self,
        topology: Topology | None = None,
        settings: TombstoneSettings = GC,
        seed: int = 1,
        hints: HintSettings | None = None,
    ) -> None:
        topology = topology or heal_topology()
        super().__init__(topology, lambda node: {}, seed)
        self._settings = settings
        self._hints = hints
        self._build = self._machines
        self.refuses_removed = True
        self.clock_agrees = True
        for number, node in enumerate(self.nodes.values()):
            node.store = DiskStore(topology, node.id, number + 1)  # type: ignore[assignment]
        for node in self.nodes.values():
            node.machines = self._machines(node)
        ids = (*topology.owners[0], *topology.stand_ins(0))
        self.a, self.b, self.c, self.d, self.e = (self.nodes[id] for id in ids[:5])

    def __enter__(self) -> TombstoneLab:
        self.run(10)
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.store.close()

    def _machines(self, node: LabNode) -> dict[Machine, Any]:
        topology = node.topology
        return {
            Machine.HINTS: HintedHandoff(
                topology, node.id, self.reachable_from(node.id), self._hints
            ),
            Machine.TOMBSTONES: TombstoneCollector(
                topology,
                node.id,
                node.store.minter,
                is_ready=lambda partition: partition not in node.not_ready,
                oldest_hint_ms=lambda: node.machines[Machine.HINTS].report.oldest_ms,
                clock_agrees=lambda: self.clock_agrees,
                random=self.random,
                settings=self._settings,
            ),
        }

    # --- who is there

    def cut_off(self, node: LabNode) -> None:
        self.cut |= {frozenset((node.id, id)) for id in self.nodes if id != node.id}

    def heal(self) -> None:
        self.cut.clear()

    def adopted(self, document: Topology, *nodes: LabNode) -> None:
        self.publish(document)
        for node in nodes:
            self.adopt(node)

    def _arrive(self, sender: MemberId, serial: int, ask: Ask, epoch: int) -> None:
        if not self.refuses_removed or sender in self.nodes[ask.to].topology.voters:
            super()._arrive(sender, serial, ask, epoch)

    # --- what clients do

    def put(
        self,
        node: LabNode,
        key: bytes,
        value: bytes,
        seen: Context = NOTHING,
        expiry_ms: int = 0,
        actor: Actor | None = None,
    ) -> Record:
        return self.mint(node, key, lambda local: write(local, value, seen, expiry_ms), seen, actor)

    def delete(self, node: LabNode, key: bytes, seen: Context | None = None) -> Record:
        return self.mint(node, key, lambda local: delete(local, seen), seen or NOTHING)

    def mint(
        self, node: LabNode, key: bytes, change: Any, seen: Context, actor: Actor | None = None
    ) -> Record:
        """Synced: a write that was acknowledged is not lost."""
        minter, wall_ms = node.store.minter, self.now.wall_ms
        made: list[Record] = []

        def decide(_: int, old: bytes | None) -> bytes:
            local = None if old is None else record_format.decode(old)
            made_change: Change = change(local)
            count = len(made_change.payloads)
            chosen = actor or minter.actors.choose(local, seen, wall_ms, count)
            assert isinstance(chosen, Actor)
            stamp = minter.clock.next(wall_ms)
            made.append(mint(local, made_change, chosen, stamp, seen=seen).record)
            return record_format.encode(made[-1])

        node.store.carry_out(Mint(Space.DATA, (key,), decide, sync=True))
        return made[-1]

    def ship(
        self, key: bytes, sender: LabNode, *receivers: LabNode, after_ms: int = 0, sync: bool = True
    ) -> None:
        """What is stored now arrives then, unless they cannot reach each other now."""
        record = sender.store.get(key)
        if record is None:
            return
        for receiver in receivers:
            if sender.is_up and frozenset((sender.id, receiver.id)) not in self.cut:
                self.carry(key, record, receiver, after_ms=after_ms, sync=sync)

    def carry(
        self, key: bytes, record: bytes, receiver: LabNode, *, after_ms: int = 0, sync: bool = True
    ) -> None:
        """What was read or sent before arrives, if somebody is there."""
        order = Merge(Space.DATA, ((key, record),), sync)

        def arrive() -> None:
            if receiver.is_up:
                receiver.store.carry_out(order)

        if after_ms == 0:
            arrive()
        else:
            self._at(after_ms, arrive)

    def keep_hint(self, key: bytes, sender: LabNode, holder: LabNode, *, after_ms: int = 0) -> None:
        """Of what `sender` has now."""
        record = sender.store.get(key)
        assert record is not None
        size = len(key) + len(record)

        def keep() -> None:
            machine = holder.machines[Machine.HINTS]
            if holder.is_up and machine.accepts(size):
                machine.keep(self.now, key, size)
                holder.store.carry_out(Merge(Space.HINT, ((key, record),), sync=True))

        if after_ms == 0:
            keep()
        else:
            self._at(after_ms, keep)

    def meet(self, *nodes: LabNode) -> int:
        """Anti-entropy between each two that reach each other; how many records changed."""
        changed = 0
        for here in nodes:
            for there in nodes:
                if here is not there and here.is_up and self.reachable_from(here.id)(there.id):
                    ours, theirs = here.store.contents(), there.store.contents()
                    records = tuple(each for each in ours.items() if theirs.get(each[0]) != each[1])
                    result = there.store.carry_out(Merge(Space.DATA, records, sync=True))
                    assert isinstance(result, Merged)
                    changed += sum(outcome is True for outcome in result.outcomes)
        return changed

    # --- what tests look at

    @property
    def owners3(self) -> tuple[LabNode, LabNode, LabNode]:
        return self.a, self.b, self.c

    def collector(self, node: LabNode) -> TombstoneCollector:
        machine = node.machines[Machine.TOMBSTONES]
        assert isinstance(machine, TombstoneCollector)
        return machine

    def report(self, node: LabNode) -> TombstoneReport:
        return self.collector(node).report

    def blockers(self, node: LabNode) -> set[MemberId]:
        return {blocker.member for blocker in self.report(node).blockers}

    def phase(self, node: LabNode) -> Phase | None:
        sweep = self.collector(node)._sweep
        return None if sweep is None else sweep.phase

    def record(self, node: LabNode, key: bytes) -> Record | None:
        data = node.store.get(key)
        return None if data is None else record_format.decode(data)

    def context(self, node: LabNode, key: bytes) -> Context:
        return seen_in(self.record(node, key))

    def shown(self, key: bytes, *nodes: LabNode, skew_ms: int = 0) -> set[bytes]:
        """All values that a reader of one of these nodes sees."""
        at_ms = self.now.wall_ms + skew_ms
        return {value for node in nodes for value in siblings(self.record(node, key), at_ms)}

    def dots(self, node: LabNode, key: bytes) -> set[Dot]:
        record = self.record(node, key)
        return set() if record is None else {item.dot for item in record.items}

    def is_gone(self, key: bytes, *nodes: LabNode) -> bool:
        return all(node.store.get(key) is None for node in nodes)
