"""The network does what its tests rely on: it loses, cuts, pauses and kills what it is told to."""

from __future__ import annotations

import pytest

from lsmkv_cluster.swim.member_status import Status
from tests.support.gossip_network import GossipNetwork


def test_the_same_seed_tells_the_same_story():
    stories = []
    for seed in (1, 1, 2):
        network = GossipNetwork(5, seed, loss=0.3)
        network.run(60_000)
        stories.append((network.datagram_count, network.byte_count, network.changes))
    assert stories[0] == stories[1]
    assert stories[0] != stories[2]


def test_loss_loses_about_as_much_as_it_says():
    network = GossipNetwork(2, loss=0.25)
    network.run(1_000_000)
    assert 0.22 < network.lost_count / network.datagram_count < 0.28


@pytest.mark.parametrize(("loss", "least_ms", "most_ms"), [(0.0, 2, 6), (0.5, 200, 10_000)])
def test_streams_lose_time_and_nothing_else(loss: float, least_ms: int, most_ms: int):
    """The tables that are asked for at the start."""
    network = GossipNetwork(2, loss=loss)
    taken_ms = network.run_until(lambda: network.stream_answer_count == 2, most_ms)
    assert taken_ms is not None
    assert taken_ms >= least_ms


def test_a_cut_works_in_one_direction():
    network = GossipNetwork(2)
    network.run(5000)
    a, b = network.ids
    network.cut([a], [b])
    network.run(5000)
    ages = [network.machine(x).report(network.now(network.nodes[x])) for x in (a, b)]
    [of_b] = [row for row in ages[0] if row.member == b]
    [of_a] = [row for row in ages[1] if row.member == a]
    assert of_b.heartbeat_age_ms is not None
    assert of_a.heartbeat_age_ms is not None
    assert of_b.heartbeat_age_ms < 2000 < of_a.heartbeat_age_ms


def test_a_paused_member_does_everything_later():
    network = GossipNetwork(2)
    network.run(5000)
    b = network.ids[1]
    network.pause(b, 3000)
    network.run(2500)
    assert network.nodes[b].inbox
    assert network.now_ms < network.nodes[b].paused_until_ms
    network.run(1000)
    assert not network.nodes[b].inbox
    network.run(5000)
    assert network.all_see(b, Status.ALIVE)


def test_the_killed_say_nothing_and_the_restarted_know_nothing():
    network = GossipNetwork(3)
    network.run(5000)
    victim = network.ids[0]
    old = network.machine(victim)
    network.kill(victim)
    assert network.running() == [network.machine(id) for id in network.ids[1:]]
    network.run(60_000)
    assert network.all_see(victim, Status.DEAD)
    network.restart(victim)
    assert network.machine(victim) is not old
    assert network.nodes[victim].start_number == 2
    network.run(1000)
    assert network.all_alive()
