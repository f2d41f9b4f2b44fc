"""What is on its way to a peer is bounded on each lane by itself, and given back to the byte."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.transport.flights import FlightLimits, Flights, FlightSettings
from lsmkv_cluster.transport.wire import Lane

A, B = b"a", b"b"
SMALL = FlightSettings(
    control=FlightLimits(2, 100), data=FlightLimits(3, 100), bulk=FlightLimits(1, 100)
)


def test_so_many_and_no_more():
    flight = Flights(SMALL).of(A, Lane.DATA)
    assert [flight.take(1) for _ in range(5)] == [True, True, True, False, False]
    flight.give_back(1)
    assert [flight.take(1), flight.take(1)] == [True, False]
    assert (flight.count, flight.size) == (3, 3)


def test_so_many_bytes_and_no_more():
    flight = Flights(SMALL).of(A, Lane.DATA)
    assert [flight.take(60), flight.take(41), flight.take(40)] == [True, False, True]
    assert flight.size == 100


def test_one_alone_may_be_larger_than_all_that_is_allowed():
    flight = Flights(SMALL).of(A, Lane.DATA)
    assert flight.take(1000)
    assert not flight.take(0)
    flight.give_back(1000)
    assert flight.take(0)


@pytest.mark.parametrize("full", Lane)
def test_a_full_lane_leaves_other_lanes_and_peers_alone(full):
    flights = Flights(SMALL)
    while flights.of(A, full).take(1):
        pass
    for lane in Lane:
        assert flights.of(B, lane).take(1)
        assert flights.of(A, lane).take(1) == (lane is not full)


def test_who_has_refused_a_request_is_crowded_until_one_is_over():
    flights = Flights(SMALL)
    for peer in (A, B):
        while flights.of(peer, Lane.DATA).take(1):
            pass
    while flights.of(A, Lane.BULK).take(1):
        pass
    assert flights.crowded == {A, B}
    flights.of(A, Lane.BULK).give_back(1)
    assert flights.crowded == {A, B}
    flights.of(A, Lane.DATA).give_back(1)
    assert flights.crowded == {B}


def test_all_that_was_taken_can_be_given_back():
    choose = random.Random(1)
    flight = Flights(SMALL).of(A, Lane.DATA)
    held: list[int] = []
    for _ in range(2000):
        if held and choose.random() < 0.5:
            flight.give_back(held.pop(choose.randrange(len(held))))
        elif flight.take(size := choose.randrange(80)):
            held.append(size)
        assert (flight.count, flight.size) == (len(held), sum(held))
        assert flight.count <= 3
        assert flight.size <= 100


@pytest.mark.parametrize("bad", [(0, 1), (1, 0)])
def test_limits_of_nothing_are_refused(bad):
    with pytest.raises(ValueError, match="positive"):
        FlightLimits(*bad)
