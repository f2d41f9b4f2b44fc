"""Operators decide at the same time, without a majority, or by force."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lsmkv_cluster.operations import Machine as Part
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.reconfiguration.paxos_messages import ACCEPT
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.reconfiguration.topology_changes import AddMember, Remove
from lsmkv_cluster.transport.wire import Frame, FrameKind
from tests.sim.moving_lab import MovingLab
from tests.sim.scenarios import plants
from tests.sim.scenarios.support import is_news, planted

STRICT = Mode.STRICT


# --- 13 ------------------------------------------------------------------------------------------


def test_twin_epochs():
    """Scenario 13. Two operators changed the layout on two sides of a cut, both as number six, and
    nobody could tell afterwards which one was meant.

    Rule: a majority of the members decides on each document. Who has none goes on serving."""
    with MovingLab(stand_ins=2, spares="F") as lab:
        lab.cut("AB|CDE")
        lab.until_down("CDE", seen_by="AB")
        lab.until_down("AB", seen_by="CDE")
        refused = lab.remove("E", via="A")
        assert refused.outcome is Outcome.NO_MAJORITY
        joined = lab.change("C", AddMember(lab.member("F")))
        assert joined.outcome is Outcome.COMMITTED
        for number in range(20):
            for via in "AC":
                assert lab.put(via, b"%s%d" % (via.encode(), number)).is_done
        assert (lab.epoch("A"), lab.epoch("B")) == (1, 1)
        lab.start_new("F")
        lab.settle()
        assert len({lab.epoch(name) for name in "ABCDEF"}) == 1
        assert lab.voters() == "ABCDEF"


def test_twin_epochs_is_seen_when_planted():
    with planted("no majority is needed"), pytest.raises(AssertionError):
        test_twin_epochs()


def test_a_vote_outlives_its_voter():
    """Scenario 13, variant. A, B and C have decided, and nobody but A knows; of the three B alone
    is left, after a loss of power. (The ledger sees two documents of one epoch.)"""
    with MovingLab(stand_ins=2, spares="FG") as lab:
        with lab.watching(is_news):
            lab.cut("ABC|DE")
            lab.until_down("DE", seen_by="ABC")
            assert lab.change("A", AddMember(lab.member("F"))).outcome is Outcome.COMMITTED
            lab.kill("AC")
            lab.power("B")
            lab.heal()
            lab.start("B")
            lab.until_down("AC", seen_by="BDE")
            lab.change("D", AddMember(lab.member("G")), wait=False)
            lab.advance(10_000)
            lab.start("AC")
        lab.advance(10_000)
        for name in "FG":
            if name in lab.voters():
                lab.start_new(name)
        lab.settle()
        assert "F" in lab.voters()


def test_an_older_ballot_comes_late():
    """Scenario 13, variant. What A asks the others to vote for arrives when they have voted for
    what C asked after it."""
    late: list[tuple[int, int, Frame]] = []

    def is_held(source: int, target: int, frame: Frame) -> bool:
        operation = frame.operations[0]
        is_from_a = source == 0 and frame.kind is FrameKind.REQUEST
        if is_from_a and operation.opcode == ACCEPT:
            late.append((source, target, frame))
        return is_from_a and operation.opcode >> 8 == Part.TOPOLOGY and bool(late)

    with MovingLab(stand_ins=2, spares="FG") as lab:
        lab.until_up("ABCDE", seen_by="ABCDE")
        with lab.watching(is_news):
            with lab.watching(is_held):
                lab.change("A", AddMember(lab.member("F")), wait=False)
                lab.wait_until(lambda: len(late) == 4, "for A to ask for votes")
                with lab.swallow("C>A"):
                    told = lab.change("C", AddMember(lab.member("G")))
                    assert told.outcome is Outcome.COMMITTED
            for source, target, frame in late:
                if target != 2:  # who knows what was decided
                    lab.world.streams.send(source, target, frame)
            lab.advance(1000)
        lab.advance(10_000)
        for name in "FG":
            if name in lab.voters():
                lab.start_new(name)
        lab.settle()
        assert "G" in lab.voters()


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("a vote is forgotten at the restart", test_a_vote_outlives_its_voter),
        ("a promise does not tell", test_a_vote_outlives_its_voter),
        ("older ballots are accepted", test_an_older_ballot_comes_late),
    ],
)
def test_two_decisions_are_seen_when_planted(name: str, scenario: Callable[[], None]):
    with planted(name), pytest.raises(AssertionError, match="documents differ"):
        scenario()


# --- no majority ---------------------------------------------------------------------------------


def test_no_majority_freezes_the_topology_and_serves():
    """Four of six are away: nothing can be decided on, and what can be read and written is."""
    with MovingLab(spares="G") as lab:
        lab.put("A", b"v")
        lab.cut("AB|CDEF")
        lab.until_down("CDEF", seen_by="AB")
        told = lab.change("A", AddMember(lab.member("G")))
        assert told.outcome is Outcome.NO_MAJORITY
        assert lab.get("A").values == {b"v"}
        assert lab.put("B", b"w").is_done
        lab.heal()
        lab.until_up("CDEF", seen_by="AB")
        assert lab.change("A", AddMember(lab.member("G"))).outcome is Outcome.COMMITTED
        lab.start_new("G")
        lab.settle()
        assert lab.get("C").values == {b"v", b"w"}


def test_no_majority_freezes_the_topology_and_serves_is_seen_when_planted():
    with planted("no majority is needed"), pytest.raises(AssertionError, match="NO_MAJORITY"):
        test_no_majority_freezes_the_topology_and_serves()


def test_a_forced_document_says_what_it_risks():
    """The minority goes on without the others, and those follow after the cut."""
    with MovingLab(stand_ins=1) as lab:
        lab.put("A", b"v", w="ALL")
        lab.cut("A|BCD")
        lab.until_down("BCD", seen_by="A")
        forced = lab.change("A", Remove(lab.id("D")), is_forced=True)
        assert forced.outcome is Outcome.COMMITTED
        assert "may be lost" in forced.text
        assert lab.document.generation == 1
        lab.world.machines[lab.world.names.index("D")].is_out = True
        lab.settle()
        assert {lab.epoch(name) for name in "ABC"} == {lab.document.epoch}
        assert lab.voters() == "ABC"
        assert lab.get("B").values == {b"v"}


def test_a_forced_document_says_what_it_risks_is_seen_when_planted():
    with plants.forced_is_next(), pytest.raises(AssertionError, match="generation"):
        test_a_forced_document_says_what_it_risks()


def test_the_others_have_gone_on():
    """The majority has decided twice since the cut; the forced document wins all the same, and what
    they had decided is gone."""
    with MovingLab(stand_ins=2, spares="FG") as lab:
        lab.put("A", b"v", w="ALL")
        lab.cut("A|BCDEFG")
        lab.until_down("BCDE", seen_by="A")
        lab.until_down("A", seen_by="BCDE")
        for name in "FG":
            assert lab.join(name, via="B").outcome is Outcome.COMMITTED
        assert lab.change("A", Remove(lab.id("D")), is_forced=True).outcome is Outcome.COMMITTED
        lab.world.machines[lab.world.names.index("D")].is_out = True
        lab.settle()
        assert lab.document.generation == 1
        assert lab.voters() == "ABCE"
        assert lab.node("F").is_retired
        assert {lab.epoch(name) for name in lab.voters()} == {lab.document.epoch}
        assert lab.get("B").values == {b"v"}


def test_the_others_have_gone_on_is_seen_when_planted():
    with plants.forced_is_next(), plants.patience_is_short(), pytest.raises(AssertionError):
        test_the_others_have_gone_on()
