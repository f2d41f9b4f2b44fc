"""Whom to ask for a key, and in which order."""

from __future__ import annotations

import json

import pytest

from lsmkv_cluster.client.routes import Routes, Suspects, moved_to, routes_of, turns
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.placement.slots import slot_of
from tests.cluster.client.scripted_node import ring
from tests.cluster.resp.test_admin_commands import ask
from tests.support.resp_lab import RespLab, make_cluster

NODES = {name: Endpoint("h", port) for port, name in enumerate("abx", 1)}
A, B, X = NODES.values()


def names(routes: Routes, key: bytes) -> list[str]:
    return [station.name for station in routes.owners(key)]


def test_owners_are_those_of_the_partition_and_near_ones_come_first() -> None:
    text = ring(NODES, [("x", "a"), ("b", "x")])
    low, high = b"bar", b"foo"
    assert slot_of(low) * 2 // 16384 == 0
    assert slot_of(high) * 2 // 16384 == 1
    far = routes_of(text)
    assert (names(far, low), names(far, high)) == (["x", "a"], ["b", "x"])
    near = routes_of(text, "dc1")
    assert (names(near, low), names(near, high)) == (["a", "x"], ["b", "x"])


def test_it_reads_what_nodes_answer() -> None:
    lab = RespLab(make_cluster(5))
    everything = ask(lab.client(), "RING")
    routes = routes_of(json.dumps(everything).encode())
    topology = lab.host.topology
    for number in range(50):
        key = b"key%d" % number
        row = topology.owners[topology.partition_of(key)]
        assert names(routes, key) == [topology.members_by_id[id].name for id in row]


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"members": 1}', ring({}, []), b"\xff"])
def test_what_is_no_ring_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        routes_of(text)


def test_later_documents_and_those_of_other_clusters_replace_earlier_ones() -> None:
    one, two = (routes_of(ring(NODES, [("a",)], epoch)) for epoch in (1, 2))
    assert two.replaces(one)
    assert not one.replaces(two)
    assert one.replaces(None)
    other = Routes("another", (0, 1), one.stations, one.rows)
    assert other.replaces(two)


def test_who_could_not_be_reached_is_asked_last_for_a_while() -> None:
    suspects = Suspects()
    assert turns([A, B], [A, B, X], suspects, 10.0) == [A, B, X]
    suspects.failed(A, 10.0)
    assert turns([A, B], [A, B, X], suspects, 10.5) == [B, X, A]
    assert turns([A, B], [X], suspects, 11.5) == [A, B, X]
    suspects.failed(A, 11.5)
    assert suspects.rests(A, 13.0), "twice as long the second time"
    suspects.worked(A)
    assert turns([A, B], [], suspects, 13.0) == [A, B]


def test_what_fails_together_counts_once() -> None:
    suspects = Suspects()
    for _ in range(100):
        suspects.failed(A, 10.0)
    assert not suspects.rests(A, 11.5)


def test_where_moved_leads_to() -> None:
    assert moved_to("MOVED 12182 127.0.0.1:7380") == Endpoint("127.0.0.1", 7380)
    assert moved_to("MOVED 1 :0") is None
    assert moved_to("MOVED") is None
