"""One run of a real cluster under load and faults, from its seed to its verdict.

found     five nodes over two data centres, each behind its proxy
load      sessions call, faults come and go
heal      all faults end; moves end, hints drain, copies are whole again
compare   all nodes end, and their disks are read; where owners differ they get some more time
judge     the checkers look at every operation

The seed decides what faults and clients choose; how processes and the network fare meanwhile it
does not, so a seed is repeated in kind only. What came out of a run is a `Round`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from lsmkv_cluster.client.calling import CallError
from lsmkv_cluster.config.node_file import load_node_file
from tests.cluster.processes.disks import Disks, LimitedFiles
from tests.cluster.processes.faults import KINDS, Stage
from tests.cluster.processes.judging import findings
from tests.cluster.processes.local_cluster import LocalCluster
from tests.cluster.processes.mesh import Mesh
from tests.cluster.processes.node_process import NodeProcess
from tests.cluster.processes.operations import Recorder
from tests.cluster.processes.schedule import FaultLog, Schedule
from tests.cluster.processes.sessions import Session
from tests.cluster.processes.stored_copies import StoredCopies, read_copies
from tests.cluster.processes.waiting import poll, until
from tests.cluster.processes.workload import STRICT_PREFIX, Workload
from tests.sim.checks.evidence import Finding

__all__ = ["LAYOUT", "Options", "Round", "run_round"]

LAYOUT = {"a": "dc1", "b": "dc1", "c": "dc1", "d": "dc2", "e": "dc2"}
REPLICAS = {"dc1": 2, "dc2": 1}
HEALED_S = 240.0
COMPARISONS_MAX = 6
REST_MAX_S = 20.0  # without any fault


@dataclass(frozen=True)
class Options:
    seed: int
    load_s: float
    folder: Path
    sessions: int = 16
    calls_per_s: float = 600.0  # of all sessions together, at most
    kinds: Sequence[str] = tuple(KINDS)
    disks: Disks = field(default_factory=LimitedFiles)
    repair_interval_s: int = 10
    partitions: int = 32


@dataclass
class Round:
    seed: int
    load_s: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    rest_s: float = 0.0  # the longest
    endings: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0  # writes
    lost: int = 0
    resurrected: int = 0
    unequal: int = 0
    others: int = 0  # promises that were broken in other ways
    keys: int = 0
    healed_s: float = 0.0
    texts: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.texts


async def run_round(options: Options, tell: Callable[[str], None] = lambda text: None) -> Round:
    """Whatever broke is in the round; what could not even be done comes out, with all logs."""
    play = _Play(options, tell)
    try:
        async with play.cluster:
            await play.found()
            await play.load()
            copies = await play.heal()
    finally:
        await play.close()
    return play.judged(copies)


class _Play:
    def __init__(self, options: Options, tell: Callable[[str], None]) -> None:
        self._options = options
        self._tell = tell
        self._began = time.monotonic()
        self._names: dict[bytes, str] = {}
        options.folder.mkdir(parents=True, exist_ok=True)
        self.mesh = Mesh(self._name_of, Random(f"{options.seed} network"))
        self.cluster = LocalCluster(
            options.folder,
            REPLICAS,
            partitions=options.partitions,
            settings=[f"--repair-interval-seconds={options.repair_interval_s}"],
            announce=self.mesh.open,
            served=lambda node: self.mesh.lead(node.name, node.at.peer),
        )
        self.recorder = Recorder(options.folder / "history.jsonl")
        self._fault_file = (options.folder / "faults.jsonl").open("w", encoding="utf-8")
        self.faults = FaultLog(self._fault_file)
        self.round = Round(options.seed)

    def now_s(self) -> float:
        return time.monotonic() - self._began

    def _name_of(self, id: bytes) -> str | None:
        """From the files of the nodes, which are there before a node speaks."""
        if id not in self._names:
            for node in (*self.cluster.nodes.values(), *self.cluster.gone):
                file = load_node_file(node.data)
                if file is not None:
                    self._names[file.id] = node.name
        return self._names.get(id)

    async def close(self) -> None:
        await self.mesh.close()
        self.recorder.close()
        self._fault_file.close()

    # --- phases

    async def found(self) -> None:
        self._tell("founding")
        await self.cluster.start(LAYOUT, prepare=self._options.disks.prepare)
        node = self.cluster.nodes["a"]
        await self.cluster.ask(node, "KV.KEYSPACE", "SET", STRICT_PREFIX, "STRICT")

    async def load(self) -> None:
        options = self._options
        stage = Stage(
            self.cluster, self.mesh, options.disks, Random(f"{options.seed} faults"),
            dict(LAYOUT), self.now_s,
        )  # fmt: skip
        self._schedule = Schedule(stage, self.faults, options.kinds, self._tell)
        began_s = self.now_s()
        workload, is_over = Workload(), asyncio.Event()
        sessions = [
            Session(
                n, self._homes, self.recorder, Random(f"{options.seed} session {n}"), self.now_s
            )
            for n in range(options.sessions)
        ]
        pause_s = options.sessions / options.calls_per_s
        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(self._work(session, workload, pause_s, is_over))
            try:
                await self._schedule.run(began_s + options.load_s)
            finally:
                ended_s = self.now_s()
                is_over.set()
        self.round.load_s = ended_s - began_s
        self.round.rest_s = self.faults.longest_rest_s(began_s, ended_s)

    def _homes(self) -> list[NodeProcess]:
        return [node for node in self.cluster.nodes.values() if node.has_served]

    async def _work(
        self, session: Session, workload: Workload, pause_s: float, is_over: asyncio.Event
    ) -> None:
        due_s = self.now_s() + pause_s * session.random.random()
        while not is_over.is_set():
            await workload.step(session)
            due_s = max(due_s + pause_s, self.now_s())
            await asyncio.sleep(due_s - self.now_s())
        session.leave()

    async def heal(self) -> StoredCopies:
        self._tell("healing")
        began_s = self.now_s()
        await self._schedule.heal()
        for node in self.cluster.nodes.values():
            assert node.is_running, f"{node.name} has ended with status {node.status}"
        await self.cluster.settled(deadline_s=HEALED_S)
        await poll(self._is_healed, "hints drain and copies are whole", HEALED_S)
        copies = await self._compared()
        self.round.healed_s = self.now_s() - began_s
        return copies

    async def _is_healed(self) -> bool:
        for node in self.cluster.nodes.values():
            try:
                status = await self.cluster.status(node)
                hints = await self.cluster.admin(node, "HINTS")
            except CallError as error:
                raise OSError(str(error)) from error
            if status["incomplete"] or hints["count"] or not hints["is_counted"]:
                return False
        return True

    async def _compared(self) -> StoredCopies:
        """Copies are compared by the nodes within two periods; this looks after each."""
        nodes = list(self.cluster.nodes.values())
        for attempt in range(COMPARISONS_MAX):
            self._tell("waiting for a repair")
            await asyncio.sleep(1.2 * self._options.repair_interval_s)
            self._tell("comparing")
            for node in nodes:
                node.terminate()
            for node in nodes:
                await until(lambda node=node: not node.is_running, f"{node.name} ends")
                assert node.status == 0, f"{node.name} has ended with status {node.status}"
            copies = await asyncio.to_thread(read_copies, [node.data for node in nodes])
            if not (copies.unequal() or copies.hints) or attempt == COMPARISONS_MAX - 1:
                break
            for node in nodes:
                node.start()
            await asyncio.gather(*map(self.cluster.serving, nodes))
            await self.cluster.settled(deadline_s=HEALED_S)
        return copies

    # --- the verdict

    def judged(self, copies: StoredCopies) -> Round:
        self._tell("judging")
        round, operations = self.round, self.recorder.operations
        found = findings(operations, copies.by_key)
        unequal = copies.unequal()
        round.faults = self.faults.counts()
        round.endings = dict(Counter(each.ending.value for each in operations))
        round.acknowledged = sum(each.is_write and each.is_done for each in operations)
        round.keys = len(copies.by_key)
        round.lost = _count(found, "C1")
        round.resurrected = _count(found, "C4")
        round.others = len(found) - round.lost - round.resurrected
        round.unequal = len(unequal)
        round.texts = [f"{each.promise}: {each.text}" for each in found]
        round.texts += [f"C3 copies differ: {key!r}" for key in unequal]
        if round.rest_s > REST_MAX_S:
            round.texts.append(f"no fault for {round.rest_s:.1f} s")
        return round


def _count(found: Sequence[Finding], promise: str) -> int:
    return sum(each.promise.startswith(promise) for each in found)
