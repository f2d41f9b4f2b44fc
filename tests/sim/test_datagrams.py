"""Datagrams are lost, doubled, damaged and overtaken as often as asked, and never across a cut."""

from __future__ import annotations

from random import Random

import pytest

from tests.sim.datagrams import Datagrams, damaged
from tests.sim.links import Links, one_way
from tests.sim.loop import SECOND, Loop
from tests.sim.paths import Paths, Quality

COUNT = 2000


class Receiver:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.found: list[tuple[int, int, bytes]] = []

    def receive_datagram(self, source: int, data: bytes) -> None:
        self.found.append((self._loop.now_us, source, data))


class Net:
    def __init__(self, quality: Quality) -> None:
        self.loop, self.links = Loop(), Links(2)
        self.paths = Paths(2, quality)
        self.datagrams = Datagrams(self.loop, Random(1), self.links, self.paths)
        self.receivers = [Receiver(self.loop) for _ in range(2)]
        self.datagrams.receivers.extend(self.receivers)

    def send_many(self) -> list[bytes]:
        for number in range(COUNT):
            self.datagrams.send(0, 1, b"%06d" % number)
        self.loop.run_until(100 * SECOND)
        return [data for _, _, data in self.receivers[1].found]


def test_a_good_path_delivers_each_once_within_its_delays():
    net = Net(Quality((100, 200)))
    found = net.send_many()
    assert sorted(found) == [b"%06d" % number for number in range(COUNT)]
    times = [time for time, source, _ in net.receivers[1].found if source == 0]
    assert min(times) >= 100
    assert max(times) <= 200


@pytest.mark.parametrize("chance", [0.1, 0.5])
def test_losses(chance: float):
    net = Net(Quality(loss=chance))
    assert len(net.send_many()) == pytest.approx(COUNT * (1 - chance), rel=0.1)
    assert net.datagrams.hits["loss"] == pytest.approx(COUNT * chance, rel=0.2)


def test_duplicates_may_come_seconds_later():
    net = Net(Quality(duplication=0.5))
    found = net.send_many()
    assert len(found) == pytest.approx(COUNT * 1.5, rel=0.1)
    assert len(set(found)) == COUNT
    assert net.receivers[1].found[-1][0] > 3 * SECOND


def test_damage_changes_a_bit_or_cuts_the_end():
    net = Net(Quality(corruption=0.3))
    known = {b"%06d" % number for number in range(COUNT)}
    wrong = [data for data in net.send_many() if data not in known or len(data) < 6]
    # A changed bit may give another number: fewer than were damaged can be told.
    assert COUNT * 0.1 < len(wrong) <= net.datagrams.hits["corruption"]


def test_damage_is_never_none():
    random = Random(2)
    for size in (1, 2, 100):
        data = bytes(size)
        assert all(damaged(data, random) != data for _ in range(200))


def test_reordering():
    found = Net(Quality((100, 100), reordering=0.2)).send_many()
    assert found != sorted(found)
    assert sorted(found) == sorted(set(found))


def test_a_cut_swallows_what_is_sent_and_what_is_under_way():
    net = Net(Quality((100, 100)))
    net.datagrams.send(0, 1, b"under way")
    net.loop.run_until(50)
    net.links.block(one_way([0], [1]))
    net.datagrams.send(0, 1, b"sent")
    net.datagrams.send(1, 0, b"back")
    net.loop.run_until(SECOND)
    assert net.receivers[1].found == []
    assert [data for _, _, data in net.receivers[0].found] == [b"back"]


def test_a_machine_worsens_all_its_paths_for_a_while():
    net = Net(Quality((100, 100), loss=0.1))
    slow, lossy = Quality((5000, 9000)), Quality((0, 0), loss=0.5)
    net.paths.worsen(1, slow)
    net.paths.worsen(0, lossy)
    assert net.paths.quality(0, 1) == Quality((5000, 9000), loss=0.5)
    net.paths.restore(1, slow)
    net.paths.restore(0, lossy)
    assert net.paths.quality(0, 1) == Quality((100, 100), loss=0.1)
