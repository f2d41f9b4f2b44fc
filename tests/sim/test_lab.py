"""The laboratory plays what scenarios are written in, and ends with every checker."""

from __future__ import annotations

import pytest

from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.transport.wire import Lane
from tests.sim.history import Ending
from tests.sim.lab import Lab


def test_machines_are_named_by_their_part():
    with Lab(owners=3, stand_ins=2) as lab:
        assert lab.world.names == ["A", "B", "C", "D", "E"]
        topology = lab.world.topology
        names = {member.id: member.name for member in topology.members}
        assert [names[id] for id in topology.owners[0]] == ["A", "B", "C"]
        assert [names[id] for id in topology.stand_ins(0)] == ["D", "E"]


def test_a_second_data_centre():
    with Lab(owners=2, stand_ins=1, west=2) as lab:
        assert lab.world.names == ["A", "B", "X", "Y", "D"]
        lab.put("A", b"v")
        lab.cut("ABD|XY")
        lab.put("X", b"w", w="LOCAL_QUORUM")
        lab.settle()
        assert lab.get("A").values == {b"v", b"w"}


def test_values_contexts_and_siblings():
    with Lab() as lab:
        first = lab.put("A", b"phil")
        assert first.is_done
        assert first.values == {b"phil"}
        lab.put("B", b"bob")
        both = lab.get("C")
        assert both.values == {b"phil", b"bob"}
        lab.put("C", b"jon", both.context)
        lab.settle()
        assert lab.get("A").values == {b"jon"}
        assert [item.value for item in lab.record("B").items] == [b"jon"]


def test_hints_wait_until_they_are_asked_for():
    with Lab() as lab:
        lab.kill("B")
        lab.until_down("B", "ACDEF")
        lab.put("A", b"v")
        assert [lab.hints(name) for name in "DEF"] == [1, 0, 0]
        lab.start("B")
        lab.wait_until(lambda: lab.states("D")["B"] == "alive")
        lab.advance(10_000)
        assert lab.record("B") is None
        lab.replay("D")
        assert [item.value for item in lab.record("B").items] == [b"v"]
        lab.settle()


def test_exchange_waits_until_it_is_asked_for():
    with Lab(stand_ins=0) as lab:
        lab.stop("C")
        lab.until_down("C", "AB")
        lab.put("A", b"v")
        lab.start("C")
        lab.wait_until(lambda: lab.states("A")["C"] == "alive")
        lab.advance(10_000)
        assert lab.record("C") is None
        lab.exchange()
        assert lab.record("C") is not None
        lab.settle()


def test_what_is_swallowed_does_not_arrive_and_nobody_knows():
    with Lab(mode=Mode.STRICT) as lab:
        with lab.swallow("B>A"), lab.swallow("C>A", Lane.DATA):
            told = lab.put("A", b"v")
        assert told.ending is Ending.UNKNOWN
        lab.settle()
        assert lab.get("B").values == {b"v"}


def test_cuts_and_pauses():
    with Lab(mode=Mode.STRICT, stand_ins=0) as lab:
        lab.cut("A>BC")
        lab.cut("BC|A")
        assert not lab.put("A", b"alone").is_done
        lab.heal()
        lab.wait_until(lambda: set(lab.states("A").values()) == {"alive"})
        lab.pause("C")
        told = lab.put("C", b"asleep", wait=False)
        lab.advance(60_000)
        assert lab.told(told.call).ending is Ending.UNKNOWN
        lab.resume("C")
        lab.settle()


def test_lost_disks_and_copies_are_filled_again():
    with Lab() as lab:
        lab.put("A", b"v", w="ALL")
        lab.wipe("A")
        lab.lose("B")
        assert lab.record("B") is None
        lab.start("A")
        lab.settle()
        assert lab.record("A") == lab.record("B") == lab.record("C")
        assert lab.get("A").values == {b"v"}


def test_power_takes_what_was_not_synced():
    with Lab() as lab:
        lab.advance(5_000)
        lab.put("A", b"v", w="ALL")
        lab.power("ABC")
        lab.start("ABC")
        lab.settle()  # the checkers excuse it
        assert lab.get("A").values == set()


def test_read_errors_come_and_go():
    with Lab() as lab:
        lab.put("A", b"v", w="ALL")
        lab.read_errors("A")
        assert not isinstance(lab.record("A"), type(lab.record("B")))
        assert lab.get("B").values == {b"v"}
        lab.read_errors("A", on=False)
        lab.settle()
        assert lab.get("A").values == {b"v"}


def test_a_skewed_clock():
    with Lab() as lab:
        lab.skew("B", 3_600_000)
        lab.put("B", b"v")
        lab.settle()


def test_a_broken_promise_fails_the_test_and_tells_the_story():
    with Lab() as lab:
        lab.put("A", b"v", w="ALL")
        for name in "ABC":
            lab.lose(name)
        for losses in lab.world.ledger.losses:
            losses.clear()  # nobody knows of it
        with pytest.raises(AssertionError, match="C1 lost write"):
            lab.settle()
