"""A node that forgot what it had written counts anew, and what it writes then is taken for old.

Riak's kv679, five times. Each ends with the checks of `Lab.settle`: nothing acknowledged is gone,
no dot was used twice, copies are equal and stay so, what was deleted stays away, outcomes are true,
contexts grow.
"""

from __future__ import annotations

import pytest

from tests.sim.lab import Lab
from tests.sim.scenarios import plants
from tests.sim.scenarios.support import (
    clock,
    collect_by_force,
    damage,
    read_modify_write,
    shown,
)


def test_kv679_lost_clock():
    """Scenario 1. A lost its copy, minted its first dot again, and the others, who knew that dot,
    dropped the write as old; the next repair erased it at A too. The client had its OK.

    Rule: who mints without a local record takes a fresh epoch."""
    with Lab() as lab:
        lab.put("A", b"phil")
        lab.put("A", b"bob")
        lab.lose("A")
        assert lab.put("A", b"jon").is_done
        assert lab.get("A", r=3).values == {b"bob", b"jon", b"phil"}
        lab.settle()
        assert shown(lab) == {"phil": "A1", "bob": "A2", "jon": "A'1"}
        assert clock(lab) == {"A": 2, "A'": 1}


def test_kv679_lost_clock_is_seen_when_planted():
    with plants.counters_restart(), pytest.raises(AssertionError, match="dot used twice"):
        test_kv679_lost_clock()


def test_kv679_lost_clock_behind_a_read_error():
    """Scenario 1, variant. A cannot read its copy while it is to mint: an error is never a miss."""
    with Lab() as lab:
        lab.put("A", b"phil")
        lab.put("A", b"bob")
        lab.read_errors("A")
        told = lab.put("A", b"jon")
        lab.read_errors("A", on=False)
        expected = {b"bob", b"phil"} | ({b"jon"} if told.is_done else set())
        lab.settle()
        assert lab.get("A", r=3).values == expected
        assert {name[0] for name in clock(lab)} <= {"A", "B"}


def test_kv679_lost_clock_of_a_wiped_node():
    """Scenario 1, variant. A's disk is new: B mints, or A as a new incarnation."""
    with Lab() as lab:
        lab.put("A", b"phil")
        lab.put("A", b"bob")
        lab.wipe("A")
        lab.start("A")
        lab.until_up("A", seen_by="BC")
        assert lab.put("A", b"jon").is_done
        lab.settle()
        assert set(shown(lab)) == {"phil", "bob", "jon"}
        assert clock(lab) in ({"A": 2, "B": 1}, {"A": 2, "A'": 1})


def test_kv679_fallback_clock():
    """Scenario 2. What stand-ins kept repaired A with less than A had written; A counted on from
    there, and its acknowledged write was covered by what the others knew.

    Rule: a record that shows a lost dot of this store opens a fresh epoch, also when it comes by
    repair, and that is durable before the repair is."""
    with Lab() as lab:
        lab.stop("BC")
        lab.until_down("BC", seen_by="ADEF")
        read_modify_write(lab, "A", b"bob")
        jim = read_modify_write(lab, "A", b"jim")
        assert [lab.hints(name) for name in "DEF"] == [1, 1, 0]
        lab.kill("DE")
        lab.start("BC")
        lab.until_up("BC", seen_by="AF")
        lab.until_down("DE", seen_by="AF")
        read_modify_write(lab, "A", b"jon")
        read_modify_write(lab, "A", b"joe")
        lab.stop("BC")
        lab.lose("A")
        lab.start("DE")
        lab.until_down("BC", seen_by="ADEF")
        lab.until_up("DE", seen_by="AF")
        assert lab.get("A").values == {b"jim"}
        lab.wait_until(lambda: lab.record("A") is not None, "for the repair of A")
        assert lab.put("A", b"anne", jim.context).is_done
        lab.start("BC")
        lab.until_up("BC", seen_by="ADEF")
        lab.replay("DE")
        assert lab.get("A").values == {b"anne", b"joe"}
        lab.settle()
        assert shown(lab) == {"joe": "A4", "anne": "A'1"}
        assert clock(lab) == {"A": 4, "A'": 1}


def test_kv679_fallback_clock_is_seen_when_planted():
    with plants.dots_are_not_guarded(), pytest.raises(AssertionError, match="dot used twice"):
        test_kv679_fallback_clock()


def _amnesia_begins(lab: Lab) -> None:
    """A has charlie, E keeps it for B; B has dave, F keeps it for A; D keeps alice for B."""
    lab.cut("ADE|BF")
    lab.until_down("BF", seen_by="ADE")
    lab.until_down("ADE", seen_by="BF")
    read_modify_write(lab, "A", b"alice")
    lab.kill("D")
    lab.until_down("D", seen_by="AE")
    read_modify_write(lab, "A", b"bob")
    read_modify_write(lab, "A", b"charlie")
    lab.kill("E")
    lab.put("B", b"dave")
    assert [lab.hints("F"), shown(lab)] == [1, {"charlie": "A3"}]


def _amnesia_ends(lab: Lab, expected: set[bytes]) -> None:
    """D hands alice to B alone, A learns what B has; emma is written; E hands charlie over."""
    with lab.letting("F"):
        lab.wait_until(lambda: lab.hints("F") == 0, "for F's hint")
    lab.start("D")
    lab.until_up("D", seen_by="AB")
    lab.cut("D|A")
    with lab.letting("D"):
        lab.wait_until(lambda: "alice" in shown(lab, "B"), "for D's hint")
    lab.heal()
    lab.exchange()
    before = lab.get("A", r=2)
    assert before.values == expected
    assert lab.put("A", b"emma", before.context).is_done
    lab.start("E")
    lab.until_up("ABE", seen_by="ABE")
    lab.replay("E")


def test_kv679_handoff_amnesia():
    """Scenario 3. A took an error for a miss while a stand-in handed over, so it kept only what it
    was handed; later it minted a dot again, and an old value, handed over by another stand-in,
    covered the new one. Epochs were checked on client writes only.

    Rule: an error is never a miss; a copy that cannot be read is given up and filled again."""
    with Lab(owners=2) as lab:
        _amnesia_begins(lab)
        damage(lab, "A")
        lab.heal()
        lab.until_up("AB", seen_by="ABF")
        _amnesia_ends(lab, {b"alice", b"dave"})
        assert lab.get("A").values == {b"charlie", b"emma"}
        lab.settle()
        assert shown(lab) == {"charlie": "A3", "emma": "A'1"}
        assert clock(lab) == {"A": 3, "B": 1, "A'": 1}


def test_kv679_handoff_amnesia_of_a_disk_that_recovers():
    """Scenario 3, the other way out: nothing can be given up on a disk that reads nothing. A takes
    no hint until it can, and then it has what it had."""
    with Lab(owners=2) as lab:
        _amnesia_begins(lab)
        lab.read_errors("A")
        lab.heal()
        with lab.letting("F"):
            lab.advance(500)
        assert lab.hints("F") == 1
        lab.read_errors("A", on=False)
        lab.until_up("AB", seen_by="ABF")
        _amnesia_ends(lab, {b"charlie", b"dave"})
        assert lab.get("A").values == {b"emma"}
        lab.settle()
        assert shown(lab) == {"emma": "A'1"}


def test_kv679_handoff_amnesia_is_seen_when_planted():
    """Either rule alone is enough: misses for errors open a fresh epoch all the same."""
    with plants.errors_are_misses():
        test_kv679_handoff_amnesia()
        with (
            plants.dots_are_not_guarded(),
            pytest.raises(AssertionError, match="dot used twice"),
        ):
            test_kv679_handoff_amnesia()


def _doomstone_of_a_stand_in(lab: Lab) -> None:
    """A tombstone that B minted is known to B, C and A, and to the stand-in D, which is away."""
    for value in (b"bob", b"phil", b"pete"):
        read_modify_write(lab, "A", value)
    lab.stop("A")
    lab.until_down("A", seen_by="BCDEF")
    assert lab.delete("B", lab.get("B").context).is_done
    assert lab.hints("D") == 1
    lab.stop("D")
    lab.start("A")
    lab.until_up("A", seen_by="BC")
    lab.until_down("D", seen_by="ABC")
    lab.get("B", r="ALL")
    lab.wait_until(lambda: "T" in shown(lab, "A"), "for the repair of A")


def test_kv679_doomstone_fallback():
    """Scenario 4. A tombstone was collected while a stand-in that was away still had it; what A
    wrote next began at 1, and the stand-in's tombstone covered it.

    Rule: a tombstone goes only when no hint anywhere may know it. Nothing is collected yet."""
    with Lab() as lab:
        _doomstone_of_a_stand_in(lab)
        assert lab.get("A").values == set()
        assert lab.put("A", b"jon").is_done
        lab.start("D")
        lab.until_up("ABC", seen_by="D")
        lab.replay("D")
        assert [lab.get("A").values, lab.get("B").values] == [{b"jon"}] * 2
        lab.settle()
        assert shown(lab) == {"jon": "A4", "T": "B1"}


def test_kv679_doomstone_fallback_with_the_tombstone_removed_by_force():
    """Scenario 4, forced: the fresh epoch is the second line of defence, and holds alone."""
    with Lab() as lab:
        _doomstone_of_a_stand_in(lab)
        collect_by_force(lab, "ABC")
        assert lab.put("A", b"jon").is_done
        lab.start("D")
        lab.until_up("ABC", seen_by="D")
        lab.replay("D")
        assert [lab.get("A").values, lab.get("B").values] == [{b"jon"}] * 2
        lab.settle()
        assert shown(lab) == {"jon": "A'1", "T": "B1"}


def test_kv679_doomstone_fallback_is_seen_when_planted():
    with plants.counters_restart():
        test_kv679_doomstone_fallback()
        with pytest.raises(AssertionError, match="dot used twice"):
            test_kv679_doomstone_fallback_with_the_tombstone_removed_by_force()


def _doomstone_of_an_owner(lab: Lab) -> None:
    """A deleted key; C is away after it has the tombstone."""
    for value in (b"bob", b"phil", b"pete"):
        read_modify_write(lab, "A", value)
    assert lab.delete("A", lab.get("A").context, w=3).is_done
    lab.stop("C")
    lab.until_down("C", seen_by="ABDEF")


def test_kv679_doomstone_primary():
    """Scenario 5. The owners that were there collected a tombstone, an owner that was away kept
    it; what A wrote next began at 1, and C's tombstone covered it at the first repairing read.

    Rule: every owner confirms the same record before it goes. Nothing is collected yet."""
    with Lab() as lab:
        _doomstone_of_an_owner(lab)
        assert lab.put("A", b"jon").is_done
        lab.start("C")
        lab.until_up("C", seen_by="AB")
        for _ in range(5):
            assert lab.get("A", r=3).values == {b"jon"}
            lab.advance(100)
        lab.settle()
        assert shown(lab) == {"jon": "A5", "T": "A4"}


def test_kv679_doomstone_primary_with_the_tombstone_removed_by_force():
    """Scenario 5, forced."""
    with Lab() as lab:
        _doomstone_of_an_owner(lab)
        collect_by_force(lab, "AB")
        assert lab.put("A", b"jon").is_done
        lab.start("C")
        lab.until_up("C", seen_by="AB")
        for _ in range(5):
            assert lab.get("A", r=3).values == {b"jon"}
            lab.advance(100)
        lab.settle()
        assert shown(lab) == {"jon": "A'1", "T": "A4"}


def test_kv679_doomstone_primary_is_seen_when_planted():
    with plants.counters_restart():
        test_kv679_doomstone_primary()
        with pytest.raises(AssertionError, match="dot used twice"):
            test_kv679_doomstone_primary_with_the_tombstone_removed_by_force()
