"""What really happened to records, seen at the stores: which no client knows, and no node.

Every order of every store passes `Ledger.carried_out`. It writes down
    mints      each version that was made: its dots, what it superseded, where and when
    holdings   which machine came to hold which record, and from when on durably
    losses     what a machine lost, and from when on
    drops      which hints were dropped, as they were
    lookups    what stores answered to strict readers
    changes    which machine was changed by records from elsewhere
    fills      what a copy that comes to a machine had when it was said to be whole
    switches   what the new owners of a partition had when they became the ones that are read
and finds at once what must never happen: a dot for two events, an item that nobody minted. All of
it is ordered by one number, because much happens at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lsmkv_cluster.coordination.quorum import need, total
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import decode_topology
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Complete,
    Discard,
    Done,
    Drop,
    Failed,
    Failure,
    MakeRoom,
    Merge,
    Merged,
    Mint,
    Order,
    Persist,
    Read,
    Release,
    Remember,
    Result,
    Space,
    Sync,
    Values,
)
from lsmkv_cluster.storage.store_opening import TOPOLOGY_NOTE
from lsmkv_cluster.versions.record import Item, Record
from lsmkv_cluster.versions.record_format import decode
from lsmkv_cluster.versions.vclock import Dot
from tests.sim.trace import Trace

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.program import StoreLike

__all__ = [
    "FAILED",
    "Collected",
    "Dropped",
    "Fill",
    "Holding",
    "Ledger",
    "Lookup",
    "Loss",
    "MintEvent",
    "Surroundings",
    "Switch",
    "is_broken",
]


@dataclass(frozen=True, slots=True)
class MintEvent:
    """`before` and `after` are the records; `dots` of new items, `superseded` of those that
    went."""

    number: int
    time_us: int
    machine: int
    key: bytes
    space: Space
    before: Record | None
    after: Record
    dots: tuple[Dot, ...]
    superseded: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Holding:
    number: int
    key: bytes
    space: Space
    record: Record


@dataclass(frozen=True, slots=True)
class Loss:
    """`since`: what the machine came to hold before this number it did not lose. `partition` and
    `space` None: of all."""

    number: int
    since: int
    kind: str
    partition: int | None = None
    space: Space | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A hint as it was when it was dropped, and who was to keep its key, as the machine knew."""

    number: int
    machine: int
    key: bytes
    record: Record
    keepers: frozenset[int]


@dataclass(frozen=True, slots=True)
class Collected:
    """A deleted record as it was when a machine collected it."""

    number: int
    machine: int
    key: bytes
    record: Record


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a store answered to a read that asked for what is on stable storage, as strict readers
    do and nobody else. `record` None: there is nothing."""

    number: int
    machine: int
    key: bytes
    record: Record | None


FAILED = "store failed"


@dataclass(frozen=True, slots=True)
class Fill:
    """`since`: the number from which on the partition was being moved."""

    number: int
    machine: int
    key: bytes
    record: Record | None
    since: int


@dataclass(frozen=True, slots=True)
class Switch:
    """`records`: of those of the new owners that would have answered a reader then; so many of the
    row as `spare` may lack a write that was promised to be read."""

    number: int
    key: bytes
    spare: int
    records: dict[int, Record | None]


class Surroundings:
    """What a ledger asks of the world. This one knows nothing that moves."""

    def moved_in(self, machine: int, partition: int) -> int | None:
        """The epoch of the move by which a machine's copy is coming; None if it is not."""
        return None

    def row(self, document: Topology, partition: int) -> dict[int, StoreLike | None]:
        """The machines of the owners, and the stores of those that answer readers."""
        return {}


class Ledger:
    def __init__(
        self,
        machine_count: int,
        trace: Trace,
        fail: Callable[[str, str, str], None],
        partition_of: Callable[[bytes], int],
        keepers_of: Callable[[int, bytes], frozenset[int]],
        surroundings: Surroundings | None = None,
    ) -> None:
        self.number = 0
        self.mints: list[MintEvent] = []
        self.items: dict[tuple[bytes, Dot], Item] = {}  # by key and dot
        self.doubtful: dict[tuple[bytes, Dot], Item] = {}  # the store failed while writing them
        self.holdings: list[list[Holding]] = [[] for _ in range(machine_count)]
        self.losses: list[list[Loss]] = [[] for _ in range(machine_count)]
        self.drops: list[Dropped] = []
        self.collected: list[Collected] = []
        self.lookups: list[Lookup] = []
        self.changes: list[tuple[int, int, bytes]] = []  # (time, machine, key), by merges
        self.syncs: list[list[int]] = [[] for _ in range(machine_count)]  # when, ascending
        self.documents: dict[int, bytes] = {}  # by epoch
        self.fills: list[Fill] = []
        self.switches: list[Switch] = []
        self.moved = 0  # partitions to other owners, all in all
        self._adopted_documents: set[bytes] = set()
        self._adopted_at: dict[int, int] = {}  # by epoch: by the first
        self._written: dict[int, set[bytes]] = {}  # keys, by partition
        self._synced = [0] * machine_count
        self._trace = trace
        self._fail = fail
        self._partition_of = partition_of
        self._keepers_of = keepers_of
        self._surroundings = surroundings or Surroundings()
        self._decoded: dict[bytes, Record] = {}
        self._known: set[tuple[bytes, bytes]] = set()  # pairs that `checked` has passed

    def record(self, data: bytes) -> Record:
        found = self._decoded.get(data)
        if found is None:
            found = self._decoded[data] = decode(data)
        return found

    def carried_out(self, machine: Machine, store: StoreLike, order: Order) -> Result:
        self.number += 1
        if isinstance(order, Mint):
            result = self._mint(machine, store, order)
        elif isinstance(order, Drop | Collect):
            result = self._drop(machine, store, order)
        else:
            result = store.carry_out(order)
            if isinstance(order, Merge):
                self._merged(machine, order, result)
            elif isinstance(order, Read) and order.durable and order.space is Space.DATA:
                self._looked_up(machine, order, result)
        if isinstance(order, Remember) and order.name == TOPOLOGY_NOTE:
            self._adopted(machine, order.value)
        if _makes_durable(order) and _was_done(result):
            self.synced(machine.number)
        if isinstance(order, Release):
            self._released(machine.number, order)
        elif isinstance(order, Complete) and isinstance(result, Done):
            self._completed(machine.number, store, order.partition)
        elif isinstance(order, Discard):
            loss = Loss(self.number, 0, "discarded", order.partition, order.space)
            self.losses[machine.number].append(loss)
        elif isinstance(order, MakeRoom):
            for partition in order.partitions:
                loss = Loss(self.number, 0, "discarded", partition, Space.DATA)
                self.losses[machine.number].append(loss)
        keys = getattr(order, "keys", None) or [key for key, _ in getattr(order, "records", ())]
        self._trace.add(machine.name, type(order).__name__, tuple(keys), repr(result))
        return result

    def _released(self, machine: int, order: Release) -> None:
        """What is not kept there any more; checks/loss.py looks who has it."""
        partitions = {self._partition_of(held.key) for held in self.holdings[machine]}
        for partition in sorted(partitions - order.kept):
            loss = Loss(self.number, 0, "released", partition, Space.DATA)
            self.losses[machine].append(loss)

    def _adopted(self, machine: Machine, document: bytes) -> None:
        if document in self._adopted_documents:
            return
        self._adopted_documents.add(document)
        topology = decode_topology(document)
        is_first = topology.epoch not in self.documents
        known = self.documents.setdefault(topology.epoch, document)
        if known != document:
            text = f"two documents of epoch {topology.epoch}"
            self._fail("C13 documents differ", machine.name, text)
        if is_first:
            self._adopted_at[topology.epoch] = self.number
            for move in topology.transitions:
                is_new = topology.placed[move.partition] == topology.epoch
                if move.phase is Phase.SWITCHED and is_new:
                    self.moved += 1
                    self._switched(topology, move.partition)

    def _switched(self, topology: Topology, partition: int) -> None:
        row = self._surroundings.row(topology, partition)
        answering = {machine: store for machine, store in row.items() if store is not None}
        for key in sorted(self._written.get(partition, ())):
            keyspace = topology.keyspace_of(key)
            if keyspace.mode is not Mode.STRICT:
                continue
            spare = len(row) - total(need(keyspace.write, _centres(topology, partition), ""))
            records = {machine: self._read(store, key) for machine, store in answering.items()}
            self.switches.append(Switch(self.number, key, spare, records))

    def _completed(self, machine: int, store: StoreLike, partition: int) -> None:
        epoch = self._surroundings.moved_in(machine, partition)
        if epoch is not None:
            since = self._adopted_at.get(epoch, 0)
            for key in sorted(self._written.get(partition, ())):
                record = self._read(store, key)
                self.fills.append(Fill(self.number, machine, key, record, since))

    def _read(self, store: StoreLike, key: bytes) -> Record | None:
        result = store.carry_out(Read(Space.DATA, (key,)))
        value = result.values[0] if isinstance(result, Values) else None
        return self.record(value) if isinstance(value, bytes) else None

    def synced(self, machine: int) -> None:
        self._synced[machine] = self.number
        self.syncs[machine].append(self.number)

    def lost(self, machine: int, kind: str, since: int) -> None:
        self.number += 1
        self.losses[machine].append(Loss(self.number, since, kind))

    def lost_power(self, machine: int) -> None:
        """All that it came to hold since its last sync."""
        self.lost(machine, "power", self._synced[machine])
        self._synced[machine] = self.number

    def store_failed(self, machine: int) -> None:
        """The same may be gone, if it was the log that could not be synced: excuse enough, and no
        proof that anything was lost."""
        self.lost(machine, FAILED, self._synced[machine])
        self._synced[machine] = self.number

    # --- what was asked of stores

    def _mint(self, machine: Machine, store: StoreLike, order: Mint) -> Result:
        decided: dict[int, tuple[bytes | None, bytes | None]] = {}

        def decide(index: int, stored: bytes | None) -> bytes | None:
            made = order.decide(index, stored)
            decided[index] = (stored, made)
            return made

        result = store.carry_out(replace(order, decide=decide))
        outcomes: tuple[bool | Failure, ...] = ()
        if isinstance(result, Merged):
            outcomes = result.outcomes
        elif isinstance(result, Failed):
            outcomes = (result.failure,) * len(order.keys)
        for index, outcome in enumerate(outcomes):
            before, after = decided.get(index, (None, None))
            if after is None:
                if before is not None:  # what it holds is what the call gets
                    held = Holding(self.number, order.keys[index], order.space, self.record(before))
                    self.holdings[machine.number].append(held)
                continue
            if outcome is True:
                self._minted(machine, order, order.keys[index], before, after)
            elif isinstance(outcome, Failure):
                for item in self.record(after).items:
                    if (order.keys[index], item.dot) not in self.items:
                        self.doubtful[order.keys[index], item.dot] = item
        return result

    def _minted(
        self, machine: Machine, order: Mint, key: bytes, before: bytes | None, after: bytes
    ) -> None:
        self.number += 1  # a batch has several
        old = self.record(before) if before is not None else None
        new = self.record(after)
        old_items = {item.dot: item for item in old.items} if old else {}
        new_items = {item.dot: item for item in new.items}
        dots = tuple([dot for dot in new_items if dot not in old_items])
        superseded = tuple([dot for dot in old_items if dot not in new_items])
        for dot in dots:
            if (key, dot) in self.items:
                self._fail("dot used twice", machine.name, f"{dot} for {key!r}")
            self.items[key, dot] = new_items[dot]
        self.mints.append(
            MintEvent(
                self.number,
                machine.world.loop.now_us,
                machine.number,
                key,
                order.space,
                old,
                new,
                dots,
                superseded,
            )
        )
        self.holdings[machine.number].append(Holding(self.number, key, order.space, new))
        self._written.setdefault(self._partition_of(key), set()).add(key)

    def _merged(self, machine: Machine, order: Merge, result: Result) -> None:
        if not isinstance(result, Merged):
            return
        for (key, data), outcome in zip(order.records, result.outcomes, strict=True):
            if isinstance(outcome, Failure):
                continue
            record = self.checked(data, machine.name, key)
            if record is None:
                continue
            held = Holding(self.number, key, order.space, record)
            self.holdings[machine.number].append(held)
            if outcome and order.space is Space.DATA:
                self.changes.append((machine.world.loop.now_us, machine.number, key))

    def _drop(self, machine: Machine, store: StoreLike, order: Drop | Collect) -> Result:
        space = order.space if isinstance(order, Drop) else Space.DATA
        read = Read(space, tuple([key for key, _ in order.entries]))
        before = store.carry_out(read)
        result = store.carry_out(order)
        after = store.carry_out(read)
        if isinstance(before, Values) and isinstance(after, Values):
            for key, old, new in zip(read.keys, before.values, after.values, strict=True):
                if isinstance(old, bytes) and new is None:
                    self._dropped(machine.number, read.space, key, self.record(old))
        return result

    def _dropped(self, machine: int, space: Space, key: bytes, record: Record) -> None:
        if space is Space.HINT:
            keepers = self._keepers_of(machine, key)
            self.drops.append(Dropped(self.number, machine, key, record, keepers))
        else:
            self.collected.append(Collected(self.number, machine, key, record))

    def _looked_up(self, machine: Machine, order: Read, result: Result) -> None:
        if not isinstance(result, Values):
            return
        for key, value in zip(order.keys, result.values, strict=True):
            if not isinstance(value, Failure):
                record = self.record(value) if value is not None else None
                self.lookups.append(Lookup(self.number, machine.number, key, record))

    def checked(self, data: bytes, where: str, key: bytes) -> Record | None:
        """The record, each of whose items is what was minted; None for none of ours."""
        if (key, data) in self._known:
            return self._decoded[data]
        try:
            record = self.record(data)
        except Exception as error:
            self._fail("a damaged record was accepted", where, f"{key!r}: {error}")
            return None
        for item in record.items:
            minted = self.items.get((key, item.dot))
            if minted is None and self.doubtful.get((key, item.dot)) == item:
                self.items[key, item.dot] = item  # it was written after all
            elif minted is None:
                self._fail("an item that nobody minted", where, f"{key!r}: {item}")
            elif minted != item:
                self._fail("a dot with two items", where, f"{key!r}: {item} was {minted}")
        self._known.add((key, data))
        return record

    # --- questions, after a run

    def loss_of(self, machine: int, holding: Holding) -> Loss | None:
        """What took from the machine that which it held."""
        return next(self.losses_of(machine, holding), None)

    def losses_of(self, machine: int, holding: Holding) -> Iterator[Loss]:
        for loss in self.losses[machine]:
            if (
                loss.number > holding.number > loss.since
                and loss.partition in (None, self._partition_of(holding.key))
                and loss.space in (None, holding.space)
            ):
                yield loss


def _centres(topology: Topology, partition: int) -> dict[str, tuple[MemberId, ...]]:
    dcs = sorted({topology.members_by_id[id].dc for id in topology.owners[partition]})
    return {dc: topology.owners_in(partition, dc) for dc in dcs}


def _was_done(result: Result) -> bool:
    """A merge or a read whose sync failed has failed for every key."""
    each: tuple[object, ...] = ()
    if isinstance(result, Merged | Values):
        each = result.outcomes if isinstance(result, Merged) else result.values
    if each:
        return not all(isinstance(one, Failure) for one in each)
    return not isinstance(result, Failed)


def _makes_durable(order: Order) -> bool:
    if isinstance(order, Sync | Persist | Remember):
        return True
    return bool(getattr(order, "sync", False) or getattr(order, "durable", False))


def is_broken(result: Result) -> bool:
    """Whether the store says that it must be opened again."""
    if isinstance(result, Merged):
        return Failure.BROKEN in result.outcomes
    if isinstance(result, Values):
        return Failure.BROKEN in result.values
    return isinstance(result, Failed) and result.failure is Failure.BROKEN
