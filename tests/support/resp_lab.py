"""Clients of one executor, over a fake coordinator: commands in, replies out, nothing in between.

`do` carries a command out to its end. With `is_slow` queries wait until `answer` lets one of them
go: so tests decide what overtakes what.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.coordination.requests import ClientRequest
from lsmkv_cluster.coordination.telling import Told
from lsmkv_cluster.placement.keyspaces import Keyspace
from lsmkv_cluster.placement.members import CLUSTER_FACE, PLAIN_FACE, Address, MemberId
from lsmkv_cluster.placement.owners import no_owners
from lsmkv_cluster.placement.planner import plan
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.ports import Now
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.reconfiguration.topology_changes import Following, Refused, follow
from lsmkv_cluster.resp.executor import Executor
from lsmkv_cluster.resp.host import Fact, Json
from lsmkv_cluster.resp.queries import (
    AdminAnswer,
    AdminChange,
    AdminReport,
    Answer,
    Asking,
    Explain,
    Explained,
    LoggedIn,
    Login,
    Query,
    Repair,
    Report,
    ScanPage,
)
from lsmkv_cluster.resp.replies import Reply
from lsmkv_cluster.resp.session import Session
from lsmkv_cluster.storage.engine_key import KeyScheme
from tests.support.fake_coordinator import FakeCoordinator
from tests.support.members import make_member, member_id

__all__ = ["WALL_MS", "FakeHost", "LabClient", "RespLab", "make_cluster"]

WALL_MS = 1_790_000_000_000


def make_cluster(
    count: int = 1, *, copies: int = 3, keyspaces: tuple[Keyspace, ...] = (Keyspace(),)
) -> Topology:
    """So many members n1, n2 ... in one data centre, 16 partitions."""
    members = [
        replace(
            make_member(f"n{n}"),
            addresses=(
                Address(CLUSTER_FACE, f"127.0.0.1:{7400 + n}"),
                Address(PLAIN_FACE, f"127.0.0.1:{7300 + n}"),
            ),
        )
        for n in range(1, count + 1)
    ]
    return Topology(
        cluster_id=member_id("cluster"),
        epoch=1,
        parent=bytes(32),
        feature_level=1,
        key_seed=0x1122334455667788,
        data_centres=(DataCentre("east", min(copies, count)),),
        members=tuple(sorted(members, key=lambda member: member.id)),
        keyspaces=tuple(sorted(keyspaces, key=lambda keyspace: keyspace.prefix)),
        owners=plan(no_owners(16), members, {"east": min(copies, count)}).owners,
    )


@dataclass
class FakeHost:
    """`users` by name: (password, role); nobody has to log in while there are none."""

    topology: Topology
    me: MemberId
    users: dict[str, tuple[bytes, Role]] = field(default_factory=dict)
    unreachable: set[MemberId] = field(default_factory=set)
    timeout_ms: int = 5000
    keys: int = 0
    is_shut_down: bool = False

    @property
    def is_alone(self) -> bool:
        return len(self.topology.voters) == 1

    @property
    def has_users(self) -> bool:
        return bool(self.users)

    def check_user(self, name: str, password: bytes) -> Role | None:
        known = self.users.get(name)
        return known[1] if known and known[0] == password else None

    def is_reachable(self, member: MemberId) -> bool:
        return member not in self.unreachable

    def key_estimate(self) -> int:
        return self.keys

    def partition_size(self) -> int:
        return 1000

    def secrets(self) -> Mapping[str, Json]:
        return {"contexts": "00"}

    def info(self) -> Mapping[str, Mapping[str, Fact]]:
        return {"Server": {"process_id": 42, "uptime_in_seconds": 7}, "Memory": {"used_memory": 9}}

    def config(self) -> Mapping[str, str]:
        return {"lsmkv-durability": "everysec"}

    def shut_down(self) -> None:
        self.is_shut_down = True


@dataclass(eq=False)
class LabClient:
    lab: RespLab
    session: Session
    replies: list[Reply] = field(default_factory=list)
    protocols: list[int] = field(default_factory=list)  # of each reply
    is_closed: bool = False

    def send(self, *args: bytes | str | int) -> None:
        parts = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
        self.lab.executor.submit(self.session, parts, self.lab.now)
        self.lab.collect()

    def do(self, *args: bytes | str | int) -> Reply:
        """The reply of this command, those before it having been taken."""
        assert not self.replies
        self.send(*args)
        self.lab.run()
        (reply,) = self.replies
        self.replies.clear()
        return reply

    def take(self) -> list[Reply]:
        taken, self.replies = self.replies, []
        return taken


class RespLab:
    def __init__(self, topology: Topology | None = None, me: str = "n1", seed: int = 1) -> None:
        topology = topology or make_cluster()
        self.host = FakeHost(topology, member_id(me))
        self.coordinator = FakeCoordinator(KeyScheme(topology.key_seed))
        self.executor = Executor(self.host, random.Random(seed))
        self.now = Now(1000, WALL_MS)
        self.is_slow = False
        self.open: list[Asking] = []
        self.reports: dict[str, Report] = {}
        self._clients: dict[int, LabClient] = {}

    def client(self, *, on_cluster_port: bool = False) -> LabClient:
        id = len(self._clients) + 1
        session = Session(id, self.now.wall_ms, f"127.0.0.1:{50000 + id}", "127.0.0.1:7379")
        session.is_cluster_port = on_cluster_port
        self._clients[id] = LabClient(self, session)
        self.executor.opened(session)
        return self._clients[id]

    def advance(self, duration_ms: int) -> None:
        self.now = Now(self.now.ms + duration_ms, self.now.wall_ms + duration_ms)

    # --- what waits

    def collect(self) -> None:
        self.open += self.executor.take_asks()
        for ready in self.executor.take_replies():
            client = self._clients[ready.session.id]
            assert not client.is_closed
            client.replies += ready.replies
            client.protocols += [ready.protocol] * len(ready.replies)
            client.is_closed = ready.closes
        while self.open and not self.is_slow:
            self.answer(0)

    def answer(self, index: int = 0) -> None:
        """One of the queries that wait."""
        asking = self.open.pop(index)
        self.executor.answered(asking.token, self._answer(asking.query), self.now)
        self.collect()

    def run(self) -> None:
        while self.open:
            self.answer()

    def _answer(self, query: Query) -> Answer:
        match query:
            case ClientRequest():
                return self.coordinator.call(query, self.now.wall_ms)
            case ScanPage():
                return self.coordinator.page(query)
            case AdminChange():
                return self._change(query)
            case Explain(key):
                record = self.coordinator.records.get(key)
                word = "record" if record is not None else "nothing"
                return Explained((Told(self.host.me, self.host.me, word, record, 3),))
            case AdminReport(subject):
                return self.reports[subject]
            case Repair(partition):
                return Report({"repairs": partition})
            case Login(user, password):
                return LoggedIn(self.host.check_user(user, password))

    def _change(self, query: AdminChange) -> AdminAnswer:
        epoch = self.host.topology.epoch
        match follow(self.host.topology, query.change, is_forced=query.is_forced):
            case Following(document, text):
                self.host.topology = document
                return AdminAnswer(Outcome.COMMITTED, document.epoch, text)
            case Refused(why):
                return AdminAnswer(Outcome.REFUSED, epoch, why)
            case unchanged:
                return AdminAnswer(Outcome.COMMITTED, epoch, unchanged.text)
