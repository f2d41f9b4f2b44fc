"""Everything that distinguishes one run from another: one frozen object, drawn from one number.

Runs differ in size, placement, levels, keys, load, engine and network, and each has some kinds of
faults and not others: a swarm finds what one mixture of everything hides.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode, Resolution
from lsmkv_cluster.placement.members import Member
from lsmkv_cluster.placement.owners import no_owners
from lsmkv_cluster.placement.planner import plan
from lsmkv_cluster.placement.topology import DataCentre, Topology
from tests.sim.kinds import CHANGE_KINDS, FAULT_KINDS, ChangeKind, FaultKind
from tests.sim.paths import Quality
from tests.support.members import make_member, member_id

__all__ = [
    "ALL",
    "ONE",
    "QUORUM",
    "Centre",
    "Options",
    "changing",
    "draw",
    "make_spares",
    "make_topology",
]

QUORUM = Consistency(Level.QUORUM)
ONE = Consistency(Level.ONE)
ALL = Consistency(Level.ALL)

CALLS = 300
ANYWHERE = tuple(kind for kind in FAULT_KINDS if kind is not FaultKind.CENTRE_CUT)
ONE_DOWN_EVERY = 8  # seeds
KINDS_MIN = 4
KINDS_MAX = 9


@dataclass(frozen=True)
class Centre:
    name: str
    nodes: int
    racks: int
    replicas: int


@dataclass(frozen=True)
class Options:
    """Times are milliseconds of virtual time."""

    seed: int
    centres: tuple[Centre, ...]
    partitions: int
    keyspaces: tuple[Keyspace, ...]
    keys: tuple[bytes, ...]
    sessions: int
    calls: int
    think_ms: int  # on average, of a session between two calls
    override_share: float  # of calls that choose a level of their own
    write_share: float
    blind_share: float  # of writes that have not read
    value_size: int
    engine: tuple[tuple[str, Any], ...]
    quality: Quality
    far_delay_us: tuple[int, int]  # between data centres
    kinds: tuple[FaultKind, ...]
    fault_gap_ms: int  # on average, between the beginnings of two faults
    begin_ms: int  # until the first fault
    encode_every: int
    changes: tuple[ChangeKind, ...] = ()  # of the topology
    spares: tuple[str, ...] = ()  # machines that may join, by data centre
    change_gap_ms: int = 0  # on average
    expiry_share: float = 0.0  # of writes that may
    deletes_all: bool = False  # what was written is deleted next
    profile: str = "swarm"  # what draws it (profiles.py)
    is_one_down: bool = False  # one long illness of one machine instead of the swarm (one_down.py)

    @property
    def nodes(self) -> int:
        return sum(centre.nodes for centre in self.centres)

    @property
    def machines(self) -> int:
        """Those of the founders and the spare ones."""
        return self.nodes + len(self.spares)

    @property
    def replicas(self) -> int:
        return sum(centre.replicas for centre in self.centres)

    def __str__(self) -> str:
        lines = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "keyspaces":
                value = "; ".join(_keyspace_text(keyspace) for keyspace in value)
            elif field.name in ("kinds", "changes"):
                value = ", ".join(kind.value for kind in value)
            lines.append(f"  {field.name:<14} {value}")
        return "\n".join(lines)


def _keyspace_text(keyspace: Keyspace) -> str:
    return (
        f"{keyspace.prefix.decode() or 'default'} R={keyspace.read} W={keyspace.write} "
        f"{keyspace.mode.name} {keyspace.resolution.name}"
    )


def draw(seed: int) -> Options:
    options = _draw_swarm(seed)
    if seed % ONE_DOWN_EVERY == ONE_DOWN_EVERY - 1:
        return _one_down(options)
    return changing(options) if seed % 3 else options


def changing(options: Options) -> Options:
    """Nodes come and go. Drawn by itself, so that the rest of the run is what it would be."""
    random = Random(f"changes of {options.seed}")
    centres = [centre.name for centre in options.centres]
    kinds = random.sample(CHANGE_KINDS, random.randint(2, 5))
    return replace(
        options,
        changes=tuple(sorted(kinds, key=CHANGE_KINDS.index)),
        spares=tuple(random.choice(centres) for _ in range(random.randint(1, 3))),
        change_gap_ms=random.choice((2000, 4000, 8000)),
    )


def _one_down(options: Options) -> Options:
    """Three owners, majorities, and a load that lasts well beyond the detection."""
    sloppy = replace(options.keyspaces[0], read=QUORUM, write=QUORUM)
    strict = Keyspace(b"s:", QUORUM, QUORUM, Mode.STRICT)
    return replace(
        options,
        centres=(Centre("east", 5, 1, 3),),
        keyspaces=(sloppy, strict),
        keys=tuple(key for key in options.keys if key[:2] in (b"p:", b"s:")),
        sessions=8,
        think_ms=700,
        override_share=0.0,
        kinds=(),
        begin_ms=2000,
        is_one_down=True,
    )


def _draw_swarm(seed: int) -> Options:
    random = Random(f"options of {seed}")
    centres = _centres(random)
    kinds = random.sample(ANYWHERE, random.randint(KINDS_MIN, KINDS_MAX))
    if len(centres) > 1:
        kinds.append(FaultKind.CENTRE_CUT)
    return Options(
        seed=seed,
        centres=centres,
        partitions=random.choice((4, 8, 16)),
        keyspaces=_keyspaces(random),
        keys=_keys(random),
        sessions=random.randint(5, 12),
        calls=CALLS,
        think_ms=random.choice((100, 200, 400)),
        override_share=random.choice((0.0, 0.1)),
        write_share=random.choice((0.3, 0.5, 0.7)),
        blind_share=random.choice((0.1, 0.3, 0.6)),
        value_size=random.choice((8, 40, 300)),
        engine=_engine(random),
        quality=Quality(random.choice(((100, 300), (200, 800), (500, 5000)))),
        far_delay_us=random.choice(((3_000, 6_000), (15_000, 40_000))),
        kinds=tuple(sorted(kinds, key=FAULT_KINDS.index)),
        fault_gap_ms=random.choice((700, 1500, 3000)),
        begin_ms=random.choice((500, 2000)),
        encode_every=16,
        expiry_share=Random(f"expiry of {seed}").choice((0.0, 0.1, 0.3)),
    )


def _centres(random: Random) -> tuple[Centre, ...]:
    if random.random() < 0.3:
        return random.choice(
            (
                (Centre("east", 3, 1, 2), Centre("west", 2, 1, 1)),
                (Centre("east", 3, 3, 3), Centre("west", 2, 2, 2)),
                (Centre("east", 3, 1, 2), Centre("west", 3, 1, 2)),
            )
        )
    nodes = random.choice((5, 5, 5, 5, 5, 5, 3, 4, 6, 7))
    return (Centre("east", nodes, random.choice((1, 1, 3)), random.choice((3, 3, 3, 3, 2))),)


def _keyspaces(random: Random) -> tuple[Keyspace, ...]:
    sloppy = ((QUORUM, QUORUM), (QUORUM, QUORUM), (ONE, QUORUM), (ONE, ONE), (QUORUM, ALL))
    strict = ((QUORUM, QUORUM), (QUORUM, QUORUM), (ONE, ALL), (QUORUM, ALL))
    return (
        Keyspace(b"", *random.choice(sloppy)),
        Keyspace(b"c:", *random.choice(sloppy), resolution=Resolution.CRDT),
        Keyspace(b"l:", *random.choice(sloppy), resolution=Resolution.LAST_WRITER),
        Keyspace(b"s:", *random.choice(strict), mode=Mode.STRICT),
    )


def _keys(random: Random) -> tuple[bytes, ...]:
    """The first letters say how a key is used (workload.py)."""
    plain = [b"p:%d" % n for n in range(random.randint(1, 6))]
    strict = [b"s:%d" % n for n in range(random.randint(1, 6))]
    others = [b"l:0", b"c:counter:0", b"c:set:0", b"c:map:0", b"c:counter:1", b"c:set:1"]
    return tuple(plain + strict + random.sample(others, random.randint(1, 4)))


def _engine(random: Random) -> tuple[tuple[str, Any], ...]:
    return (
        ("write_buffer_size", random.choice((4096, 4096, 16384))),
        ("table_size", 4096),
        ("level0_trigger", random.choice((2, 4))),
        ("block_size", random.choice((256, 1024))),
        ("block_cache_size", 0),
        ("compression", random.choice((None, "zstd"))),
    )


def make_spares(options: Options) -> list[Member]:
    """Members that no document names at first, each in a rack of its data centre."""
    racks = {centre.name: centre.racks for centre in options.centres}
    return [
        make_member(f"n{number}", dc=dc, rack=f"{dc}-r{number % racks[dc]}")
        for number, dc in enumerate(options.spares, options.nodes)
    ]


def make_topology(options: Options) -> Topology:
    """Members n0, n1, ... in the order of data centres."""
    members: list[Member] = []
    for centre in options.centres:
        for number in range(centre.nodes):
            name = f"n{len(members)}"
            rack = f"{centre.name}-r{number % centre.racks}"
            members.append(make_member(name, dc=centre.name, rack=rack))
    centres = tuple(DataCentre(centre.name, centre.replicas) for centre in options.centres)
    replicas = {centre.name: centre.replicas for centre in centres}
    return Topology(
        cluster_id=member_id("simulated"),
        epoch=1,
        parent=bytes(32),
        feature_level=1,
        key_seed=0x5EED,
        data_centres=centres,
        members=tuple(sorted(members, key=lambda member: member.id)),
        keyspaces=options.keyspaces,
        owners=plan(no_owners(options.partitions), members, replicas).owners,
    )
