"""Three real nodes in one process, on a network without time: what is sent arrives at once.

Everything that happens is a step of a node; the caller moves time. Frames can be passed as objects
or as bytes. `cut` loses what one sends to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import lsmkv
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv_cluster.boot import Boot, Secrets
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest
from lsmkv_cluster.driver_ports import (
    ClientCall,
    ClientReply,
    DatagramIn,
    DatagramOut,
    DropConnections,
    FrameIn,
    FrameOut,
    Input,
    NodeEffect,
)
from lsmkv_cluster.node import Node
from lsmkv_cluster.placement.keyspaces import Keyspace, Mode
from lsmkv_cluster.placement.members import Member, MemberId
from lsmkv_cluster.placement.owners import no_owners
from lsmkv_cluster.placement.planner import plan
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.ports import Now, Stored, StoreOrder
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.storage.store_opening import open_store
from lsmkv_cluster.transport.wire import Frame, FrameDecoder, encode_frame

__all__ = ["SECRETS", "Trio", "make_trio_topology"]

WALL_MS = 1_700_000_000_000
SECRETS = Secrets(contexts=b"trio", datagrams=(b"k" * 32,))


def make_trio_topology() -> Topology:
    """All three own everything; keys that begin with `s:` are strict."""
    members = tuple(
        Member(bytes([n]) * 16, f"n{n}", "here", "rack", f"host{n}") for n in range(1, 4)
    )
    return Topology(
        cluster_id=b"cluster of three",
        epoch=1,
        parent=bytes(32),
        feature_level=1,
        key_seed=1,
        data_centres=(DataCentre("here", 3),),
        members=members,
        keyspaces=(Keyspace(), Keyspace(b"s:", mode=Mode.STRICT)),
        owners=plan(no_owners(16), members, {"here": 3}).owners,
    )


class Trio:
    def __init__(self, *, as_bytes: bool = False) -> None:
        self.topology = make_trio_topology()
        self.ids = [member.id for member in self.topology.members]
        self.as_bytes = as_bytes
        self.now_ms = 1000
        self.answers: dict[int, ClientAnswer] = {}
        self.others: list[tuple[MemberId, NodeEffect]] = []  # alarms and dropped connections
        self.cut: set[tuple[MemberId, MemberId]] = set()
        self.nodes: dict[MemberId, Node] = {}
        self.stores: dict[MemberId, Store] = {}
        self._next_call = 0
        self._databases: list[lsmkv.DB] = []
        for id in self.ids:
            self._open(id)
        for node in self.nodes.values():
            self._deliver(node.me, node.start(self.now()))
        self.run(2000)

    def __enter__(self) -> Trio:
        return self

    def __exit__(self, *exception: object) -> None:
        for database in self._databases:
            database.close()

    def _open(self, me: MemberId) -> None:
        database = lsmkv.open("/node", filesystem=MemoryFileSystem(), background="inline")
        self._databases.append(database)
        opened = open_store(database, self.topology, me)
        self.stores[me] = opened.store
        boot = Boot.of(opened, is_log_sound=True, is_founding=True)
        self.nodes[me] = Node(boot, self.topology, me, SECRETS, Random(me.hex()))

    def now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms)

    def run(self, duration_ms: int, pace_ms: int = 100) -> None:
        """All nodes step in time."""
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.now_ms += pace_ms
            for id in self.ids:
                self.step(id, ())

    def step(self, me: MemberId, inputs: Sequence[Input]) -> None:
        """One node takes its inputs, and everybody what follows from them."""
        self._deliver(me, self.nodes[me].step(self.now(), inputs))

    def call(self, me: MemberId, request: ClientRequest, timeout_ms: int = 2000) -> ClientAnswer:
        """The answer, which may take until the timeout."""
        self._next_call += 1
        call_id = self._next_call
        self.step(me, [ClientCall(call_id, request, self.now_ms + timeout_ms)])
        if call_id not in self.answers:
            self.run(timeout_ms + 100)
        return self.answers[call_id]

    def _deliver(self, me: MemberId, effects: Sequence[NodeEffect]) -> None:
        waiting: dict[MemberId, list[Input]] = {}
        self._sort(me, effects, waiting)
        while waiting:
            me = next(iter(waiting))
            inputs = waiting.pop(me)
            self._sort(me, self.nodes[me].step(self.now(), inputs), waiting)

    def _sort(
        self, me: MemberId, effects: Sequence[NodeEffect], waiting: dict[MemberId, list[Input]]
    ) -> None:
        for effect in effects:
            if isinstance(effect, StoreOrder):
                result = self.stores[me].carry_out(effect.order)
                waiting.setdefault(me, []).append(Stored(effect.token, result))
            elif isinstance(effect, FrameOut | DatagramOut):
                if (me, effect.to) not in self.cut:
                    waiting.setdefault(effect.to, []).append(self._arrived(me, effect))
            elif isinstance(effect, ClientReply):
                assert effect.call_id not in self.answers, "answered twice"
                self.answers[effect.call_id] = effect.answer
            else:
                self.others.append((me, effect))

    def _arrived(self, me: MemberId, effect: FrameOut | DatagramOut) -> Input:
        if isinstance(effect, DatagramOut):
            return DatagramIn(effect.data)
        return FrameIn(me, _as_bytes(effect.frame) if self.as_bytes else effect.frame)

    @property
    def dropped(self) -> list[MemberId]:
        """Who has dropped its connections."""
        return [me for me, effect in self.others if isinstance(effect, DropConnections)]


def _as_bytes(frame: Frame) -> Frame:
    decoder = FrameDecoder(frame.cluster_id)
    decoder.admit(frame.lane)
    decoder.feed(encode_frame(frame))
    received = decoder.next_frame()
    assert received is not None
    return received
