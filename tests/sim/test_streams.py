"""Streams keep their order, stall behind cuts, and lose a suffix that nobody knows."""

from __future__ import annotations

from random import Random

import pytest

from lsmkv_cluster.operations import Operation
from lsmkv_cluster.transport.wire import Frame, FrameKind, Lane
from tests.sim.links import Links, cut_between, one_way
from tests.sim.loop import MS, SECOND, Loop
from tests.sim.paths import Paths, Quality
from tests.sim.streams import StreamLimits, Streams

CLUSTER = bytes(16)


class Process:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.is_alive = True
        self.frames: list[int] = []  # request ids
        self.lost: list[tuple[int, int]] = []  # (time, peer)

    def receive_frame(self, source: int, frame: Frame) -> None:
        assert self.is_alive
        self.frames.append(frame.request_id)

    def peer_lost(self, peer: int) -> None:
        assert self.is_alive
        self.lost.append((self._loop.now_us, peer))


class Site:
    def __init__(self, loop: Loop) -> None:
        self.is_powered = True
        self.process: Process | None = Process(loop)


class Net:
    """Machines 0 to 2."""

    def __init__(self, quality: Quality | None = None, seed: int = 1) -> None:
        self.loop, self.links = Loop(), Links(3)
        self.paths = Paths(3, quality or Quality((100, 900)))
        limits = StreamLimits(encode_every=3)
        self.streams = Streams(self.loop, Random(seed), self.links, self.paths, limits)
        self.sites = [Site(self.loop) for _ in range(3)]
        self.streams.sites.extend(self.sites)

    def process(self, machine: int) -> Process:
        process = self.sites[machine].process
        assert process is not None
        return process

    def send(self, source: int, target: int, number: int, lane: Lane = Lane.DATA) -> None:
        operations = (Operation(0x0301, b"payload"),)
        frame = Frame(FrameKind.REQUEST, lane, CLUSTER, operations, 1, 1, number)
        self.streams.send(source, target, frame)

    def connect(self) -> None:
        self.send(0, 1, 0)
        self.send(1, 0, 0)
        self.run(100 * MS)
        assert self.process(0).frames == self.process(1).frames == [0]
        self.process(0).frames.clear()
        self.process(1).frames.clear()

    def run(self, duration_us: int) -> None:
        self.loop.run_until(self.loop.now_us + duration_us)

    def end(self, machine: int) -> None:
        """A process dies, its system closes its connections."""
        self.process(machine).is_alive = False
        self.sites[machine].process = None
        self.streams.drop_all_of(machine)


def test_frames_of_a_lane_keep_their_order():
    net = Net()
    for number in range(100):
        net.send(0, 1, number)
    net.run(SECOND)
    assert net.process(1).frames == list(range(100))


def test_lanes_overtake_each_other():
    net = Net(Quality((100, 100), bytes_per_us=0.01))
    net.send(0, 1, 1, Lane.BULK)
    net.run(0)
    for number in range(2, 50):
        net.send(0, 1, number, Lane.BULK)
    net.send(0, 1, 100, Lane.CONTROL)
    net.run(10 * SECOND)
    frames = net.process(1).frames
    assert [n for n in frames if n < 100] == list(range(1, 50))
    assert frames.index(100) < 49


def test_a_cut_stalls_and_a_healed_link_delivers_all_in_order():
    net = Net()
    net.connect()
    cut = one_way([0], [1])
    net.links.block(cut)
    for number in range(10):
        net.send(0, 1, number)
    net.send(1, 0, 77)
    net.run(SECOND)
    assert net.process(1).frames == []
    assert net.process(0).frames == [77]
    net.links.unblock(cut)
    net.send(0, 1, 10)
    net.run(SECOND)
    assert net.process(1).frames == list(range(11))
    assert net.process(0).lost == net.process(1).lost == []


def test_a_long_stall_ends_the_connection_for_both_sides_each_in_its_time():
    net = Net()
    net.connect()
    net.links.block(cut_between([0], [1]))
    net.send(0, 1, 5)
    net.run(20 * SECOND)
    assert [peer for _, peer in net.process(0).lost] == [1]
    assert [peer for _, peer in net.process(1).lost] == [0]
    assert net.process(0).lost[0][0] != net.process(1).lost[0][0]
    net.links.unblock(cut_between([0], [1]))
    net.send(0, 1, 6)
    net.run(SECOND)
    assert net.process(1).frames == [6]


@pytest.mark.parametrize("seed", range(20))
def test_a_reset_loses_a_suffix_and_tells_both_sides_once(seed: int):
    net = Net(seed=seed)
    net.connect()
    for number in range(20):
        net.send(0, 1, number)
        net.run(50)
    net.streams.reset(0, 1)
    net.run(SECOND)
    frames = net.process(1).frames
    assert frames == list(range(len(frames)))
    assert len(net.process(0).lost) == len(net.process(1).lost) == 1


def test_of_many_resets_some_lose_frames_and_some_deliver_some():
    counts = set()
    for seed in range(40):
        net = Net(seed=seed)
        net.connect()
        for number in range(20):
            net.send(0, 1, number)
            net.run(50)
        net.streams.reset(0, 1)
        net.run(SECOND)
        counts.add(len(net.process(1).frames))
    assert min(counts) < 15
    assert len(counts) > 4


def test_what_is_sent_before_the_sender_knows_is_lost():
    net = Net()
    net.connect()
    net.streams.reset(1, 0)  # machine 1 knows at once
    net.send(0, 1, 1)
    net.run(SECOND)
    assert net.process(0).lost
    assert net.process(1).frames == []
    net.send(0, 1, 2)
    net.run(SECOND)
    assert net.process(1).frames == [2]


def test_the_death_of_a_process_resets_its_connections_soon():
    net = Net()
    net.connect()
    net.end(1)
    net.run(10 * MS)
    assert [peer for _, peer in net.process(0).lost] == [1]
    net.send(0, 1, 1)
    net.run(10 * MS)
    assert len(net.process(0).lost) == 2  # refused


def test_a_machine_without_power_answers_nothing():
    net = Net()
    net.connect()
    net.process(1).is_alive = False
    net.sites[1].process, net.sites[1].is_powered = None, False
    net.send(0, 1, 1)
    net.run(SECOND)
    assert net.process(0).lost == []
    net.run(10 * SECOND)
    assert len(net.process(0).lost) == 1


def test_a_machine_that_is_back_resets_what_it_does_not_know():
    net = Net()
    net.connect()
    net.process(1).is_alive = False
    net.sites[1].process, net.sites[1].is_powered = None, False
    net.send(0, 1, 1)
    net.run(100 * MS)
    net.sites[1].process, net.sites[1].is_powered = Process(net.loop), True
    net.streams.machine_started(1)
    net.run(SECOND)
    assert net.process(1).frames == []
    assert len(net.process(0).lost) == 1


def test_a_new_process_begins_a_new_connection():
    net = Net()
    net.connect()
    net.process(1).is_alive = False
    net.sites[1].process = Process(net.loop)
    net.send(1, 0, 9)
    net.run(SECOND)
    assert net.process(0).frames == [9]
    assert len(net.process(0).lost) == 1


def test_connecting_across_a_cut_fails_after_a_while():
    net = Net()
    net.links.block(one_way([1], [0]))
    net.send(0, 1, 1)
    net.run(500 * MS)
    assert net.process(0).lost == []
    net.run(5 * SECOND)
    assert len(net.process(0).lost) == 1
    assert net.process(1).frames == []


def test_a_lane_may_be_lost_without_a_word():
    net = Net(Quality((500, 500)))
    net.connect()
    net.send(0, 1, 1, Lane.BULK)
    net.send(0, 1, 2, Lane.DATA)
    net.streams.lose_lane(0, 1, Lane.BULK)
    net.send(0, 1, 3, Lane.BULK)
    net.run(SECOND)
    assert sorted(net.process(1).frames) == [2, 3]
    assert net.process(0).lost == []


def test_damage_is_noticed_and_ends_the_connection():
    net = Net()
    net.connect()
    net.paths.worsen(0, Quality(stream_corruption=1.0))
    net.send(0, 1, 1)
    net.run(SECOND)
    assert net.process(1).frames == []
    assert net.streams.hits["stream corruption"] == 1
    assert net.process(0).lost
    assert net.process(1).lost
    assert net.streams.failures == []


def test_nothing_reaches_a_process_that_is_dead():
    net = Net(Quality((500, 500)))
    net.connect()
    net.send(0, 1, 1)
    net.run(100)
    net.end(1)
    net.run(SECOND)  # Process asserts it
    assert net.process(0).lost
