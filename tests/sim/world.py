"""One simulated cluster: machines, network, clients, and what is known about the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from lsmkv_cluster.driver_ports import AdminReply
from lsmkv_cluster.placement.members import Member
from lsmkv_cluster.placement.topology import Topology
from tests.sim.clients import Clients
from tests.sim.datagrams import Datagrams
from tests.sim.ledger import Ledger, Surroundings
from tests.sim.links import Links
from tests.sim.loop import Loop
from tests.sim.machine import Machine
from tests.sim.options import Options, make_spares, make_topology
from tests.sim.paths import Paths, Quality
from tests.sim.program import Program, StoreLike
from tests.sim.streams import StreamLimits, Streams
from tests.sim.trace import Trace

__all__ = ["Violation", "World"]

REQUEST_TIMEOUT_MS = 2000


@dataclass(frozen=True)
class Violation:
    """A broken promise: which, where, when, and the keys that it concerns."""

    promise: str
    where: str
    text: str
    time_us: int
    keys: tuple[bytes, ...] = ()

    def __str__(self) -> str:
        return f"{self.promise} ({self.where}, {self.time_us / 1e6:.3f} s): {self.text}"


class _Rows(Surroundings):
    def __init__(self, world: World) -> None:
        self._world = world

    def moved_in(self, machine: int, partition: int) -> int | None:
        process = self._world.machines[machine].process
        document = self._world.program.document(process.node) if process is not None else None
        is_coming = document is not None and document.is_filling(
            partition, self._world.ids[machine]
        )
        return document.placed[partition] if document is not None and is_coming else None

    def row(self, document: Topology, partition: int) -> dict[int, StoreLike | None]:
        found: dict[int, StoreLike | None] = {}
        for id in document.owners[partition]:
            number = self._world.numbers[id]
            process = self._world.machines[number].process
            answers = process is not None and self._world.program.answers(process.node, partition)
            found[number] = process.store if process is not None and answers else None
        return found


class World:
    """Each part draws from its own source, so that a change of one leaves the others alone.
    Machines are numbered in the order of `members`, by default n0, n1, and so on."""

    def __init__(
        self,
        options: Options,
        program: Program,
        echo: Callable[[str], None] | None = None,
        members: Sequence[Member] = (),
        topology: Topology | None = None,
        spares: Sequence[Member] = (),
    ) -> None:
        self.options = options
        self.program = program
        self.request_timeout_ms = REQUEST_TIMEOUT_MS
        self.violations: list[Violation] = []
        self.alarms: list[tuple[int, str, str]] = []
        self.admin_replies: dict[int, AdminReply] = {}
        self.is_founding = True
        self.loop = Loop()
        self.trace = Trace(self.loop, echo)
        self.topology = topology or make_topology(options)
        founders = members or sorted(self.topology.members, key=lambda m: int(m.name[1:]))
        self.members = [*founders, *(spares or make_spares(options))]
        self.ids = [member.id for member in self.members]
        self.names = [member.name for member in self.members]
        self._document = self.topology
        self.numbers = {id: number for number, id in enumerate(self.ids)}
        self.links = Links(options.machines)
        self.paths = self._make_paths()
        self.datagrams = Datagrams(self.loop, self.random("datagrams"), self.links, self.paths)
        self.streams = Streams(
            self.loop,
            self.random("streams"),
            self.links,
            self.paths,
            StreamLimits(encode_every=options.encode_every),
        )
        self.ledger = Ledger(
            options.machines,
            self.trace,
            self.fail,
            self.topology.partition_of,
            self._keepers_of,
            _Rows(self),
        )
        self.clients = Clients(self, self.random("clients"))
        self.machines = [
            Machine(self, number, self.random(f"machine {number}"))
            for number in range(options.machines)
        ]
        self.datagrams.receivers.extend(self.machines)
        self.streams.sites.extend(self.machines)

    def random(self, purpose: str) -> Random:
        return Random(f"{purpose} of {self.options.seed}")

    def fail(self, promise: str, where: str, text: str, keys: tuple[bytes, ...] = ()) -> None:
        violation = Violation(promise, where, text, self.loop.now_us, keys)
        self.violations.append(violation)
        self.trace.add(where, "violation", promise, text)

    def _make_paths(self) -> Paths:
        options = self.options
        paths = Paths(options.machines, options.quality)
        centres = [member.dc for member in self.members]
        far = Quality(options.far_delay_us)
        for source, here in enumerate(centres):
            for target, there in enumerate(centres):
                if here != there:
                    paths.set_base(source, target, options.quality.worse_of(far))
        return paths

    # --- questions of the simulator, which nodes cannot ask

    @property
    def document(self) -> Topology:
        """The newest that any running node has adopted."""
        for machine in self.machines:
            if machine.process is not None:
                found = self.program.document(machine.process.node)
                if found is not None and found.epoch > self._document.epoch:
                    self._document = found
        return self._document

    def _keepers_of(self, number: int, key: bytes) -> frozenset[int]:
        """As the document says that a machine works by."""
        process = self.machines[number].process
        known = self.program.document(process.node) if process is not None else None
        document = known or self.topology
        keepers = document.keepers(document.partition_of(key))
        return frozenset(self.numbers[id] for id in keepers)

    def in_cluster(self) -> list[Machine]:
        """The machines of the members."""
        return [self.machines[self.numbers[id]] for id in sorted(self.document.voters)]

    def owners(self, key: bytes) -> list[int]:
        document = self.document
        return [self.numbers[id] for id in document.owners[document.partition_of(key)]]

    # --- beginning and end

    def found(self) -> None:
        """All members start for the first time."""
        for machine in self.machines[: self.options.nodes]:
            machine.join(self.topology)
        self.is_founding = False

    def close(self) -> None:
        for machine in self.machines:
            machine.disk.release()
