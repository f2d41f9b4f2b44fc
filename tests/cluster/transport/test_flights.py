"""What is on its way to a peer is bounded on each lane by itself, and given back to the byte."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.transport.flights import Flight, FlightLimits, Flights, FlightSettings
from lsmkv_cluster.transport.wire import Lane

A, B = b"a", b"b"
SMALL = FlightSettings(
    control=FlightLimits(2, 100), data=FlightLimits(3, 100), bulk=FlightLimits(1, 100)
)


def taken(flights: Flights, *sizes: int, peer: bytes = A, lane: Lane = Lane.DATA) -> list[bool]:
    return [flights.take(peer, lane, size) is not None for size in sizes]


def test_so_many_and_no_more():
    flights = Flights(SMALL)
    first = flights.take(A, Lane.DATA, 1)
    assert first is not None
    assert taken(flights, 1, 1, 1, 1) == [True, True, False, False]
    first.give_back(1)
    assert taken(flights, 1, 1) == [True, False]
    assert (first.count, first.size) == (3, 3)


def test_so_many_bytes_and_no_more():
    assert taken(Flights(SMALL), 60, 41, 40) == [True, False, True]


def test_one_alone_may_be_larger_than_all_that_is_allowed():
    flights = Flights(SMALL)
    flight = flights.take(A, Lane.DATA, 1000)
    assert flight is not None
    assert taken(flights, 0) == [False]
    flight.give_back(1000)
    assert taken(flights, 1000, 0) == [True, False]


@pytest.mark.parametrize("full", Lane)
def test_a_full_lane_leaves_other_lanes_and_peers_alone(full):
    flights = Flights(SMALL)
    assert taken(flights, *[1] * 5, lane=full)[-1] is False
    for lane in Lane:
        assert taken(flights, 1, peer=B, lane=lane) == [True]
        assert taken(flights, 1, lane=lane) == [lane is not full]


def test_who_has_no_room_for_a_request_is_crowded_until_one_is_over():
    flights = Flights(SMALL)
    held = {}
    for peer in (A, B):
        for lane in Lane:
            held[peer, lane] = flights.take(peer, lane, 1)
            taken(flights, 1, 1, peer=peer, lane=lane)
    assert flights.crowded == set()
    for peer in (A, B):
        taken(flights, 1, peer=peer)
    assert flights.crowded == {A, B}
    for lane in (Lane.BULK, Lane.DATA):
        assert flights.crowded == {A, B}
        flight = held[A, lane]
        assert flight is not None
        flight.give_back(1)
    assert flights.crowded == {B}


def test_all_that_was_taken_can_be_given_back():
    choose = random.Random(1)
    flights = Flights(SMALL)
    held: list[tuple[Flight, int]] = []
    for _ in range(2000):
        if held and choose.random() < 0.5:
            flight, size = held.pop(choose.randrange(len(held)))
            flight.give_back(size)
        elif (flight := flights.take(A, Lane.DATA, size := choose.randrange(80))) is not None:
            held.append((flight, size))
            assert flight.count <= 3
            assert flight.size <= 100
        if held:
            assert (held[0][0].count, held[0][0].size) == (len(held), sum(s for _, s in held))


@pytest.mark.parametrize("bad", [(0, 1), (1, 0)])
def test_limits_of_nothing_are_refused(bad):
    with pytest.raises(ValueError, match="positive"):
        FlightLimits(*bad)
