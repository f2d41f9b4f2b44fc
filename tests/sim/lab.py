"""A laboratory for named scenarios: a few machines, one key's partition, every fault by hand.

`A`, `B`, `C` own the partition in that order, `X`, `Y`, `Z` do in a second data centre if there is
one; `D`, `E`, `F` are the stand-ins, in the ring's order. The network delivers every frame in a
millisecond. What runs by itself in the background (hints, anti-entropy) is held back until a
scenario asks for it: `replay("D")`, `exchange()`, `settle()`. Reads repair at any time.

    with Lab() as lab:
        first = lab.put("A", b"phil")
        lab.kill("C")
        lab.put("B", b"bob", first.context)
        lab.settle()                # all faults end, copies become equal, every checker looks
        assert lab.get("A").values == {b"bob"}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lsmkv.kernel import drop_range
from lsmkv_cluster.coordination.replica_messages import ReplicaFlags
from lsmkv_cluster.coordination.requests import ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.operations import Machine as Part
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode, Resolution
from lsmkv_cluster.placement.members import Member
from lsmkv_cluster.placement.owners import Owners, no_owners
from lsmkv_cluster.placement.planner import plan
from lsmkv_cluster.placement.ring import Ring, position_of_slot
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.reconfiguration.transition_rules import is_open
from lsmkv_cluster.storage.engine_key import Space, partition_tokens
from lsmkv_cluster.transport.wire import Frame, FrameKind, Lane
from lsmkv_cluster.versions.record import Kind, Record
from tests.sim import links
from tests.sim.checks.evidence import Evidence
from tests.sim.history import Call, Ending
from tests.sim.host import MERGE
from tests.sim.loop import MS, SECOND
from tests.sim.options import Centre, Options
from tests.sim.paths import Quality
from tests.sim.product import WITHOUT_COLLECTION, Product
from tests.sim.program import Program
from tests.sim.simulation import CHECKERS
from tests.sim.views import copies, disagreements, hint_count, stored, strays
from tests.sim.workload import Session
from tests.sim.world import World
from tests.support.members import make_member, member_id

__all__ = ["KEY", "Lab", "Told"]

KEY = b"key"
QUORUM = Consistency(Level.QUORUM)
LIMIT_US = 900 * SECOND  # of virtual time, for whatever is waited for
STEP_US = 50 * MS
EVENTS_MAX = 200


Numbers = set[int]  # of machines


@dataclass(frozen=True)
class Told:
    """What a client was told."""

    call: Call
    record: Record | None

    @property
    def is_done(self) -> bool:
        return self.call.ending is Ending.DONE

    @property
    def ending(self) -> Ending | None:
        return self.call.ending

    @property
    def outcome(self) -> Outcome | None:
        return self.call.answer.outcome if self.call.answer else None

    @property
    def reason(self) -> Reason | None:
        return self.call.answer.reason if self.call.answer else None

    @property
    def context(self) -> bytes:
        return self.call.answer.context if self.call.answer else b""

    @property
    def values(self) -> set[bytes]:
        """The live siblings."""
        items = self.record.items if self.record else ()
        return {item.value for item in items if item.kind is Kind.VALUE}


def level(value: int | str) -> Consistency:
    """2, or "ALL"."""
    if isinstance(value, int):
        return Consistency(Level.COUNT, value)
    return Consistency(Level[value])


class Lab:
    """`strict` keyspaces: `mode=Mode.STRICT`. `key` is that of every call that names none."""

    def __init__(
        self,
        owners: int = 3,
        stand_ins: int = 3,
        *,
        west: int = 0,
        mode: Mode = Mode.SLOPPY,
        read: int | str = "QUORUM",
        write: int | str = "QUORUM",
        resolution: Resolution = Resolution.SIBLINGS,
        program: Program | None = None,
        echo: Callable[[str], None] | None = None,
        key: bytes = KEY,
        spares: str = "",
        partitions: int = 1,
    ) -> None:
        self.key = key
        keyspace = Keyspace(b"", level(read), level(write), mode, resolution)
        labels = "ABC"[:owners] + "XYZ"[:west] + "DEFGHI"[:stand_ins]
        members = _members(labels + spares)
        founders, others = members[: len(labels)], members[len(labels) :]
        topology = _placed(founders, owners, west, partitions, keyspace)
        options = _options(founders, others, partitions, keyspace, key)
        self.world = World(
            options, program or Product(WITHOUT_COLLECTION), echo, founders, topology, others
        )
        self._session = Session(0, 0, gives_context=False)
        self._cuts: list[links.Pairs] = []
        self._let_through: Numbers | None = set()  # whose background work is; None: everybody's
        self._swallowed: list[Callable[[int, int, Frame], bool]] = []
        self.world.streams.passes = self._passes
        self.world.found()
        self.wait_until(self.all_ready)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *exception: object) -> None:
        self.world.close()

    # --- clients

    def call(self, via: str, request: ClientRequest, *, wait: bool = True) -> Told:
        """`wait=False`: what became of it is asked later, with `told`."""
        call = self.world.clients.call(self._session, request, self._number(via))
        if wait:
            self.wait_until(lambda: call.ending is not None)
        return self.told(call)

    def told(self, call: Call) -> Told:
        answer = call.answer
        data = answer.record if answer else None
        return Told(call, self.world.ledger.record(data) if data else None)

    def put(self, via: str, value: bytes, context: bytes = b"", **how: Any) -> Told:
        return self._write(Verb.PUT, via, (value,), context, **how)

    def set(self, via: str, value: bytes, **how: Any) -> Told:
        return self._write(Verb.SET, via, (value,), b"", **how)

    def delete(self, via: str, context: bytes = b"", **how: Any) -> Told:
        return self._write(Verb.DELETE, via, (), context, **how)

    def get(
        self, via: str, context: bytes = b"", *, r: int | str | None = None, **how: Any
    ) -> Told:
        key, wait = how.pop("key", self.key), how.pop("wait", True)
        request = ClientRequest(Verb.GET, key, context=context, read=level(r) if r else None, **how)
        return self.call(via, request, wait=wait)

    def _write(
        self,
        verb: Verb,
        via: str,
        values: tuple[bytes, ...],
        context: bytes,
        *,
        w: int | str | None = None,
        key: bytes | None = None,
        wait: bool = True,
        **how: Any,
    ) -> Told:
        request = ClientRequest(
            verb, key or self.key, values, context, write=level(w) if w else None, **how
        )
        return self.call(via, request, wait=wait)

    # --- faults

    def cut(self, shape: str) -> None:
        """ "A|BC": nothing between the groups. "A>B": nothing from A to B."""
        if ">" in shape:
            sources, targets = shape.split(">")
            pairs = links.one_way(self._numbers(sources), self._numbers(targets))
        else:
            one, other = shape.split("|")
            pairs = links.cut_between(self._numbers(one), self._numbers(other))
        self.world.links.block(pairs)
        self._cuts.append(pairs)

    def heal(self) -> None:
        for pairs in self._cuts:
            self.world.links.unblock(pairs)
        self._cuts.clear()

    def kill(self, names: str) -> None:
        """The log survives."""
        for number in self._numbers(names):
            self.world.machines[number].kill()

    def stop(self, names: str) -> None:
        for number in self._numbers(names):
            self.world.machines[number].stop()

    def power(self, names: str, survival: float = 0.0) -> None:
        """Unsynced bytes go."""
        for number in self._numbers(names):
            self.world.machines[number].lose_power(survival)

    def start(self, names: str) -> None:
        for number in self._numbers(names):
            self.world.machines[number].recover()

    def pause(self, name: str) -> None:
        self.world.machines[self._number(name)].pause(LIMIT_US)

    def resume(self, name: str) -> None:
        self.world.machines[self._number(name)].recover()

    def skew(self, name: str, milliseconds: int) -> None:
        self.world.machines[self._number(name)].wall_offset_ms = milliseconds

    def wipe(self, name: str) -> None:
        """An empty store under the same name. It does not run."""
        machine = self.world.machines[self._number(name)]
        machine.kill()
        machine.wipe()

    def lose(self, name: str) -> None:
        """The machine's copy of the key's partition vanishes, and nobody is told."""
        number = self._number(name)
        topology = self.world.topology
        partition = topology.partition_of(self.key)
        keys = partition_tokens(Space.DATA, topology.partitioning, partition).keys
        drop_range(self.world.machines[number].disk.database, keys.start, keys.stop)
        self.world.ledger.lost(number, "vanished", 0)

    def read_errors(self, name: str, *, on: bool = True) -> None:
        """Whatever the machine reads from its files fails."""
        self.world.machines[self._number(name)].disk.fail_reads(on)

    @contextmanager
    def swallow(
        self, path: str, lane: Lane | None = None, part: Part | None = None
    ) -> Iterator[None]:
        """Frames from A to B ("A>B") get lost, one by one and unnoticed; those of one part of the
        node alone."""
        sources, targets = (set(self._numbers(names)) for names in path.split(">"))

        def is_swallowed(source: int, target: int, frame: Frame) -> bool:
            if source not in sources or target not in targets or lane not in (None, frame.lane):
                return False
            return part is None or frame.operations[0].opcode >> 8 == part

        with self.watching(is_swallowed):
            yield

    @contextmanager
    def watching(self, is_swallowed: Callable[[int, int, Frame], bool]) -> Iterator[None]:
        """Asked of every frame that leaves, with its source and target: whether it gets lost."""
        self._swallowed.append(is_swallowed)
        try:
            yield
        finally:
            self._swallowed.remove(is_swallowed)

    # --- time, and what runs in the background

    def advance(self, milliseconds: int) -> None:
        self.world.loop.run_until(self.world.loop.now_us + milliseconds * MS)
        self._assert_sound()

    def wait_until(self, condition: Callable[[], bool], what: str = "") -> None:
        loop = self.world.loop
        limit_us = loop.now_us + LIMIT_US
        if not loop.run_while(
            lambda: not condition() and not self.world.violations, limit_us, STEP_US
        ):
            raise AssertionError(self._story(f"waited in vain {what}"))
        self._assert_sound()

    def until_down(self, names: str, seen_by: str) -> None:
        """Until these machines are taken for unreachable or dead."""
        self.wait_until(
            lambda: not any(self._is_up(name, seer) for name in names for seer in seen_by),
            f"for {names} to be seen down by {seen_by}",
        )

    def until_up(self, names: str, seen_by: str) -> None:
        """Until these machines run, mint, and are taken for alive or suspect."""
        self.wait_until(
            lambda: all(
                self._is_up(name, seer) and self._mints(name)
                for name in names
                for seer in seen_by
                if name != seer
            ),
            f"for {names} to be seen up by {seen_by}",
        )

    def _is_up(self, name: str, seer: str) -> bool:
        return self.states(seer)[name] in ("alive", "suspect")

    def _mints(self, name: str) -> bool:
        process = self.world.machines[self._number(name)].process
        if process is None:
            return False
        node: Any = process.node
        return bool(node.parts.actors.may_mint)

    def states(self, name: str) -> dict[str, str]:
        """How a machine sees the others."""
        machine = self.world.machines[self._number(name)]
        assert machine.process is not None
        seen = self.world.program.states_seen(machine.process.node, machine.now())
        return {self.world.names[self.world.numbers[id]]: state for id, state in seen.items()}

    def replay(self, names: str) -> None:
        """These machines hand over their hints, as far as they can."""
        numbers = self._numbers(names)
        with self.letting(names):
            self.wait_until(
                lambda: not any(self.hints(self.world.names[n]) for n in numbers), "for hints"
            )

    def exchange(self) -> None:
        """Every two owners compare and repair."""
        with self.letting(None):
            self.advance(2 * self.world.program.settle_period_ms)

    @contextmanager
    def letting(self, names: str | None) -> Iterator[None]:
        """What these machines do in the background goes on; None: that of all."""
        machines: Numbers | None = None if names is None else set(self._numbers(names))
        before, self._let_through = self._let_through, machines
        try:
            yield
        finally:
            self._let_through = before

    def _passes(self, source: int, target: int, frame: Frame) -> bool:
        if any(is_swallowed(source, target, frame) for is_swallowed in self._swallowed):
            return False
        if self._let_through is None or frame.kind is not FrameKind.REQUEST:
            return True
        is_background = any(
            operation.opcode >> 8 == Part.ANTIENTROPY
            or (
                operation.opcode == MERGE
                and frame.lane is Lane.BULK
                and operation.flags & ReplicaFlags.SYNC  # repair by a read is not synced
            )
            for operation in frame.operations
        )
        return not is_background or source in self._let_through

    # --- what is stored, and by whom

    def node(self, name: str) -> Any:
        process = self.world.machines[self._number(name)].process
        assert process is not None, f"{name} does not run"
        return process.node

    def record(self, name: str, key: bytes | None = None, space: Space = Space.DATA) -> Any:
        """The record on a machine: None for nothing, a Failure where it cannot be read."""
        values = stored(self.world, self._number(name), (key or self.key,), space)
        assert values is not None, f"{name} does not run"
        value = values.values[0]
        return self.world.ledger.record(value) if isinstance(value, bytes) else value

    def hints(self, name: str) -> int:
        return hint_count(self.world, self._number(name))

    # --- the end

    def settle(self) -> None:
        """All faults end, everything runs until nothing moves; then every checker looks (U1 to
        U6)."""
        self.heal()
        world = self.world
        for machine in world.machines:
            machine.wall_offset_ms = 0
            machine.disk.fail_reads(False)
            machine.recover()
        self._let_through = None
        keys = {call.key for call in world.clients.history.calls} | {self.key}
        self.wait_until(
            lambda: self._is_settled(keys),
            "for copies to become equal",
        )
        self.advance(world.program.settle_period_ms // 2)
        before = len(world.ledger.changes)
        self.advance(world.program.settle_period_ms)
        assert world.ledger.changes[before:] == [], self._story("repairs do not end")
        by_key = {key: copies(world, key) for key in sorted(keys)}
        evidence = Evidence(world.clients.history.calls, world.ledger, by_key)
        for checker in CHECKERS:
            for finding in checker(evidence):
                if finding.excuse is None:
                    world.fail(finding.promise, "", finding.text, (finding.key,))
        self._assert_sound()

    def all_ready(self) -> bool:
        return all(
            machine.process is not None and self.world.program.is_ready(machine.process.node)
            for machine in self.world.in_cluster()
        )

    def _is_settled(self, keys: set[bytes]) -> bool:
        world = self.world
        if not self.all_ready() or hint_count(world) or disagreements(world, keys):
            return False
        return not (is_open(world.document) or strays(world, keys))

    def _assert_sound(self) -> None:
        if self.world.violations:
            raise AssertionError(self._story("a promise was broken"))

    def _story(self, what: str) -> str:
        violations = "\n".join(str(violation) for violation in self.world.violations)
        events = "\n".join(self.world.trace.around([self.key], EVENTS_MAX))
        return f"{what}\n{violations}\n{events}"

    def _number(self, name: str) -> int:
        return self.world.names.index(name)

    def _numbers(self, names: str) -> list[int]:
        return [self._number(name) for name in names.replace(",", "")]


def _members(labels: str) -> list[Member]:
    """Named in the ring's order, so that stand-ins come as their names do."""
    ids = [member_id(f"laboratory {number}") for number in range(len(labels))]
    strangers = [make_member(id.hex()) for id in ids]
    walk = Ring(strangers).walk(position_of_slot(0))
    members = []
    for label, id in zip(labels, walk, strict=True):
        dc = "west" if label in "XYZ" else "east"
        members.append(Member(id, label, dc, f"{dc}-rack", label))
    return members


def _placed(
    members: list[Member], owners: int, west: int, partitions: int, keyspace: Keyspace
) -> Topology:
    """One partition belongs to the first members; several, to whom they are planned for."""
    rows: Owners = (tuple(member.id for member in members[: owners + west]),)
    replicas = {"east": owners} | ({"west": west} if west else {})
    if partitions > 1:
        rows = plan(no_owners(partitions), members, replicas).owners
    return Topology(
        cluster_id=member_id("laboratory"),
        epoch=1,
        parent=bytes(32),
        feature_level=1,
        key_seed=7,
        data_centres=tuple(DataCentre(dc, copies) for dc, copies in replicas.items()),
        members=tuple(sorted(members, key=lambda member: member.id)),
        keyspaces=(keyspace,),
        owners=rows,
    )


def _options(
    members: list[Member],
    spares: list[Member],
    partitions: int,
    keyspace: Keyspace,
    key: bytes,
) -> Options:
    return Options(
        seed=0,
        centres=(Centre("all", len(members), 1, 3),),
        partitions=partitions,
        keyspaces=(keyspace,),
        keys=(key,),
        sessions=1,
        calls=0,
        think_ms=1,
        override_share=0.0,
        write_share=0.0,
        blind_share=0.0,
        value_size=0,
        engine=(("write_buffer_size", 1 << 20), ("block_cache_size", 0)),
        quality=Quality((MS, MS)),
        far_delay_us=(MS, MS),
        kinds=(),
        fault_gap_ms=1,
        begin_ms=0,
        encode_every=1,
        spares=tuple(spare.dc for spare in spares),
    )
