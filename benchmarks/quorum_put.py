"""The CPU time of a QUORUM put through three nodes in one process: python -m benchmarks.quorum_put

Three nodes with their stores, each owner of everything, pass each other frames, datagrams and
results of the store by hand, so nothing is measured but the product: coordinating, minting, three
merges with their Merkle trees, shipping and answering. With "bytes" each frame is also encoded,
checksummed and decoded, as it is on a real connection. One batch of puts is one step of its
coordinator.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from random import Random

import lsmkv
from lsmkv_cluster.boot import Boot, Secrets
from lsmkv_cluster.driver_ports import (
    ClientCall,
    ClientReply,
    DatagramIn,
    DatagramOut,
    FrameIn,
    FrameOut,
    Input,
)
from lsmkv_cluster.keyspaces import Keyspace
from lsmkv_cluster.members import Member, MemberId
from lsmkv_cluster.node import Node
from lsmkv_cluster.owners import no_owners
from lsmkv_cluster.planner import plan
from lsmkv_cluster.ports import Now, Stored, StoreOrder
from lsmkv_cluster.requests import ClientRequest, Verb
from lsmkv_cluster.store_opening import open_store
from lsmkv_cluster.topology import DataCentre, Topology
from lsmkv_cluster.wire import Frame, FrameDecoder, encode_frame

WALL_MS = 1_700_000_000_000
SECRETS = Secrets(contexts=b"benchmark", datagrams=(b"k" * 32,))
KEY_COUNT = 10_000
VALUE = b"v" * 100


class Trio:
    """Three nodes on a network without time: what is sent arrives before the next put."""

    def __init__(self, as_bytes: bool) -> None:
        self.topology = _topology()
        self.as_bytes = as_bytes
        self.now_ms = 1000
        self.done = 0
        self.nodes: dict[MemberId, Node] = {}
        self._stores = {}
        for member in self.topology.members:
            database = lsmkv.open(":memory:")
            opened = open_store(database, self.topology, member.id)
            store = self._stores[member.id] = opened.store
            boot = Boot(
                opened.identity,
                boot_id=b"boot",
                was_closed=True,
                is_log_sound=True,
                is_founding=True,
                sequence=opened.sequence,
                notes=opened.notes,
                tree=store.tree,
                durable_sequence=lambda: 0,
            )
            self.nodes[member.id] = Node(
                boot, self.topology, member.id, SECRETS, Random(member.name)
            )
        for node in self.nodes.values():
            self._deliver(node.me, node.start(self._now()))
        for _ in range(20):
            self.advance(100)

    def _now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms)

    def advance(self, duration_ms: int) -> None:
        self.now_ms += duration_ms
        for node in self.nodes.values():
            self.step(node.me, ())

    def step(self, me: MemberId, inputs: Sequence[Input]) -> None:
        """One node takes its inputs, and everybody what follows from them."""
        self._deliver(me, self.nodes[me].step(self._now(), inputs))

    def _deliver(self, me: MemberId, effects: Sequence[object]) -> None:
        waiting: dict[MemberId, list[Input]] = {}
        self._sort(me, effects, waiting)
        while waiting:
            me = next(iter(waiting))
            inputs = waiting.pop(me)
            self._sort(me, self.nodes[me].step(self._now(), inputs), waiting)

    def _sort(
        self, me: MemberId, effects: Sequence[object], waiting: dict[MemberId, list[Input]]
    ) -> None:
        for effect in effects:
            if isinstance(effect, StoreOrder):
                result = self._stores[me].carry_out(effect.order)
                waiting.setdefault(me, []).append(Stored(effect.token, result))
            elif isinstance(effect, FrameOut):
                frame = self._passed(effect.frame)
                waiting.setdefault(effect.to, []).append(FrameIn(me, frame))
            elif isinstance(effect, DatagramOut):
                waiting.setdefault(effect.to, []).append(DatagramIn(effect.data))
            elif isinstance(effect, ClientReply):
                self.done += effect.answer.is_done

    def _passed(self, frame: Frame) -> Frame:
        if not self.as_bytes:
            return frame
        decoder = FrameDecoder(frame.cluster_id)
        decoder.admit(frame.lane)
        decoder.feed(encode_frame(frame))
        received = decoder.next_frame()
        assert received is not None
        return received


def _topology() -> Topology:
    members = tuple(
        Member(bytes([n]) * 16, f"n{n}", "here", "rack", f"host{n}") for n in range(1, 4)
    )
    owners = plan(no_owners(16), members, {"here": 3}).owners
    return Topology(
        cluster_id=b"benchmark quorum",
        epoch=1,
        parent=bytes(32),
        feature_level=1,
        key_seed=1,
        data_centres=(DataCentre("here", 3),),
        members=members,
        keyspaces=(Keyspace(),),
        owners=owners,
    )


def measure(batch_size: int, as_bytes: bool, put_count: int) -> float:
    """CPU microseconds of one put."""
    trio = Trio(as_bytes)
    coordinator = trio.topology.members[0].id
    random = Random(batch_size)
    spent = 0.0
    for start in range(0, put_count, batch_size):
        calls = [
            ClientCall(start + i, _put(random.randrange(KEY_COUNT)), trio.now_ms + 2000)
            for i in range(batch_size)
        ]
        before = time.process_time()
        trio.step(coordinator, calls)
        spent += time.process_time() - before
        trio.advance(1)
    assert trio.done == -(-put_count // batch_size) * batch_size, "a put was not done"
    return spent / trio.done * 1e6


def _put(number: int) -> ClientRequest:
    return ClientRequest(Verb.SET, b"key%08d" % number, (VALUE,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--puts", type=int, default=12_800, help="of each round")
    options = parser.parse_args()
    print("CPU time of one QUORUM put of 11 + 100 bytes through three nodes, us (median)\n")
    print(f"{'batch':>6} {'frames as objects':>18} {'as bytes':>10}")
    for batch_size in (1, 8, 64, 512):
        row = [
            statistics.median(
                measure(batch_size, as_bytes, options.puts) for _ in range(options.rounds)
            )
            for as_bytes in (False, True)
        ]
        print(f"{batch_size:>6} {row[0]:>18.1f} {row[1]:>10.1f}")


if __name__ == "__main__":
    main()
