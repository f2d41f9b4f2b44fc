"""What the cluster is there for, through real nodes: versions, quorums, hints, repair, data
centres, membership, and copies that rot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lsmkv_cluster.coordination.requests import Outcome, Reason
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.storage.engine_key import KeyScheme, Space
from tests.sim.lab import KEY, Lab
from tests.sim.product import Product
from tests.sim.scenarios import plants
from tests.sim.scenarios.support import clock, damage, minted, read_modify_write, shown
from tests.sim.scenarios.test_deleted_comes_back import UNSCRUBBED

BOTH_MODES = pytest.mark.parametrize("mode", [Mode.STRICT, Mode.SLOPPY])


# --- versions ------------------------------------------------------------------------------------


def test_d1_to_d5():
    """D1([Sx,1]) -> D2([Sx,2]) -> D3([Sx,2],[Sy,1]) and D4([Sx,2],[Sz,1])
    -> D5([Sx,3],[Sy,1],[Sz,1]); Sx, Sy, Sz are A, B, C."""
    with Lab() as lab:
        d1 = lab.put("A", b"D1", w="ALL")
        assert clock(lab) == {"A": 1}
        d2 = lab.put("A", b"D2", d1.context, w="ALL")
        assert clock(lab) == {"A": 2}
        with lab.swallow("B>C"), lab.swallow("C>B"):
            lab.put("B", b"D3", d2.context)
            assert (shown(lab, "B"), clock(lab, "B")) == ({"D3": "B1"}, {"A": 2, "B": 1})
            lab.put("C", b"D4", d2.context)
            assert (shown(lab, "C"), clock(lab, "C")) == ({"D4": "C1"}, {"A": 2, "C": 1})
        both = lab.get("A", r="ALL")
        assert both.values == {b"D3", b"D4"}
        lab.put("A", b"D5", both.context)
        lab.settle()
        for name in "ABC":
            assert shown(lab, name) == {"D5": "A3"}
            assert clock(lab, name) == {"A": 3, "B": 1, "C": 1}


def test_d1_to_d5_is_seen_when_planted():
    with plants.contexts_supersede_nothing(), pytest.raises(AssertionError, match="D1"):
        test_d1_to_d5()


# --- quorums and hints ---------------------------------------------------------------------------


@BOTH_MODES
@pytest.mark.parametrize("away", "ABC")
def test_quorum_with_one_of_three_down(away: str, mode: Mode):
    """Whichever it is, and whoever coordinates; before it is seen to be away, and after."""
    with Lab(stand_ins=0, mode=mode) as lab:
        first, second = "ABC".replace(away, "")
        lab.kill(away)
        assert lab.put(first, b"v1").is_done
        assert lab.get(second).values == {b"v1"}
        lab.until_down(away, seen_by=first + second)
        assert read_modify_write(lab, second, b"v2").is_done
        assert lab.get(first).values == {b"v2"}
        refused = lab.put(first, b"no", w="ALL")
        assert refused.reason is Reason.NOT_ENOUGH_REPLICAS
        assert len(minted(lab)) == 2
        lab.settle()
        assert set(shown(lab, away)) == {"v2"}


def test_sloppy_quorum_and_hinted_handoff():
    """W = 3 with one owner away: a stand-in keeps the record for it, and hands it over."""
    with Lab(write="ALL") as lab:
        lab.stop("C")
        lab.until_down("C", seen_by="ABDEF")
        assert lab.put("A", b"v1").is_done
        assert [lab.hints(name) for name in "DEF"] == [1, 0, 0]
        assert lab.record("D", space=Space.HINT) == lab.record("A")
        assert lab.get("A", r=3).values == {b"v1"}, "the hint counts in C's place"
        lab.start("C")
        lab.until_up("C", seen_by="ABDEF")
        assert lab.record("C") is None
        lab.replay("D")
        assert lab.record("C") == lab.record("A")
        lab.settle()


def test_sloppy_quorum_that_nobody_expected():
    """The owner stops answering in the middle of a write: a stand-in is asked in its place."""
    with Lab(write="ALL") as lab:
        lab.pause("C")
        assert lab.put("A", b"v1").is_done
        assert lab.hints("D") == 1
        lab.settle()
        assert shown(lab, "C") == {"v1": "A1"}


def test_no_quorum_strict_with_two_of_three_down():
    with Lab(mode=Mode.STRICT) as lab:
        lab.put("A", b"v1")
        lab.kill("BC")
        lab.until_down("BC", seen_by="ADEF")
        assert lab.put("A", b"v2").outcome is Outcome.REFUSED
        assert lab.get("A").outcome is Outcome.REFUSED
        assert lab.get("D").outcome is Outcome.REFUSED
        lab.settle()
        assert shown(lab) == {"v1": "A1"}


# --- repair --------------------------------------------------------------------------------------


def test_merkle_repair_after_a_long_absence():
    """What has changed while C was away is moved, and nothing else."""
    keys = [b"k%d" % number for number in range(300)]
    with Lab(stand_ins=0, program=Product(UNSCRUBBED)) as lab:
        for key in keys:
            assert lab.put("A", b"old", key=key, w="ALL").is_done
        lab.stop("C")
        lab.until_down("C", seen_by="AB")
        for key in keys[:20]:
            assert read_modify_write(lab, "B", b"new", key=key).is_done
        lab.start("C")
        lab.until_up("C", seen_by="AB")
        before = len(lab.world.ledger.changes)
        lab.exchange()
        changed = lab.world.ledger.changes[before:]
        assert sorted(key for _, _, key in changed) == sorted(keys[:20])
        assert {machine for _, machine, _ in changed} == {2}
        moved = [lab.node(name).parts.antientropy.report for name in "ABC"]
        assert sum(report.pulled + report.pushed for report in moved) <= 2 * 20
        lab.settle()


def _spoil_on_disk(lab: Lab) -> None:
    damage(lab, "C")


def _spoil_in_memory(lab: Lab) -> None:
    """The record was damaged before the engine made a checksum of it."""
    key = KeyScheme(lab.world.topology.key_seed).engine_key(Space.DATA, KEY)
    database = lab.world.machines[2].disk.database
    data = bytearray(database.get(key))
    data[-1] ^= 1
    database.put(key, bytes(data))


@pytest.mark.parametrize("spoil", [_spoil_on_disk, _spoil_in_memory])
@BOTH_MODES
def test_a_corrupt_copy_is_repaired_and_never_spreads(mode: Mode, spoil: Callable[[Lab], None]):
    """It is given up, answers nobody, and is filled from the others; these do not change."""
    with Lab(mode=mode) as lab:
        lab.put("A", b"v1", w="ALL")
        before = len(lab.world.ledger.changes)
        spoil(lab)
        for via in "CAB":
            assert lab.get(via).values == {b"v1"}
        if mode is Mode.SLOPPY:
            assert lab.get("C", r=1).values == {b"v1"}
        lab.settle()
        assert shown(lab, "C") == {"v1": "A1"}
        changed = lab.world.ledger.changes[before:]
        assert {machine for _, machine, _ in changed} == {2}
        assert any("cannot be read" in text for _, name, text in lab.world.alarms if name == "C")


def test_a_corrupt_copy_is_repaired_is_seen_when_planted():
    """A store that does not look at what it reads: others refuse what it answers."""
    with plants.records_are_not_checked(), pytest.raises(AssertionError, match="v1"):
        test_a_corrupt_copy_is_repaired_and_never_spreads(Mode.SLOPPY, _spoil_in_memory)


# --- data centres --------------------------------------------------------------------------------


def test_data_centres_cut_apart_and_healed():
    """Each side serves LOCAL_QUORUM, and nobody EACH_QUORUM; in the end both have both."""
    with Lab(stand_ins=0, west=3, read="LOCAL_QUORUM", write="LOCAL_QUORUM") as lab:
        first = lab.put("A", b"v1", w="EACH_QUORUM")
        assert lab.get("X").values == {b"v1"}
        lab.cut("ABC|XYZ")
        unknown = lab.put("B", b"each, too early", w="EACH_QUORUM")
        assert unknown.outcome is Outcome.UNKNOWN
        lab.until_down("ABC", seen_by="XYZ")
        lab.until_down("XYZ", seen_by="ABC")
        assert lab.put("A", b"east", first.context).is_done
        assert lab.put("X", b"west", first.context).is_done
        assert lab.get("C").values == {b"east", b"each, too early"}
        assert lab.get("Z").values == {b"west"}
        for told in (lab.put("C", b"no", w="EACH_QUORUM"), lab.get("Z", r="EACH_QUORUM")):
            assert (told.outcome, told.reason) == (Outcome.REFUSED, Reason.NOT_ENOUGH_REPLICAS)
        lab.heal()
        lab.until_up("ABCXYZ", seen_by="ABCXYZ")
        lab.advance(3000)
        both = {b"east", b"west", b"each, too early"}
        assert lab.get("X", r="EACH_QUORUM").values == both
        merged = lab.get("X", r="EACH_QUORUM")
        assert lab.put("Y", b"one again", merged.context, w="EACH_QUORUM").is_done
        lab.settle()
        assert set(shown(lab, "A")) == set(shown(lab, "Z")) == {"one again"}


# --- membership ----------------------------------------------------------------------------------


def test_gossip_needs_accusers_who_have_looked_themselves():
    """A alone accuses B, again and again: nobody takes B for dead, and nobody stops asking it."""
    with Lab() as lab:
        for _ in range(60):
            _accuse(lab, "A", "B")
            lab.advance(500)
            for name in "CDEF":
                assert lab.states(name)["B"] in ("alive", "suspect")
            assert lab.states("A")["B"] != "dead"
        lab.advance(5000)
        assert {lab.states(name)["B"] for name in "ACDEF"} == {"alive"}


def _accuse(lab: Lab, accuser: str, accused: str) -> None:
    membership = lab.node(accuser).parts.membership
    record = membership._table.records[lab.world.ids[lab.world.names.index(accused)]]
    now = lab.world.machines[lab.world.names.index(accuser)].now()
    if membership._table.accuse(now.ms, record):
        membership._spread(record.member)


def test_who_is_cut_off_buries_nobody():
    """B sees nobody: the others agree that it is gone, B takes them for unreachable at most."""
    with Lab() as lab:
        lab.cut("B|ACDEF")
        lab.until_down("B", seen_by="ACDEF")
        lab.until_down("ACDEF", seen_by="B")
        lab.advance(30_000)
        assert {lab.states(name)["B"] for name in "ACDEF"} == {"dead"}
        assert set(lab.states("B").values()) == {"alive", "unreachable"}
        lab.heal()
        lab.until_up("ABCDEF", seen_by="ABCDEF")
        lab.settle()


def test_who_is_cut_off_buries_nobody_is_seen_when_planted():
    with plants.one_accuser_is_enough(), pytest.raises(AssertionError, match="dead"):
        test_who_is_cut_off_buries_nobody()


def test_two_nodes_alone_bury_nobody():
    with Lab(owners=2, stand_ins=0) as lab:
        lab.cut("A|B")
        lab.until_down("A", seen_by="B")
        lab.until_down("B", seen_by="A")
        lab.advance(30_000)
        assert lab.states("A")["B"] == lab.states("B")["A"] == "unreachable"
        lab.heal()
        lab.until_up("AB", seen_by="AB")


def test_one_bad_link_takes_nobody_away():
    """Only A and B cannot reach each other: others tell A that B is there, and stand-ins help."""
    with Lab(write="ALL") as lab:
        lab.cut("A|B")
        lab.advance(60_000)
        assert {lab.states(name)["B"] for name in "ACDEF"} == {"alive"}
        assert lab.put("A", b"v1").is_done
        lab.settle()
        assert shown(lab, "B") == {"v1": "A1"}
