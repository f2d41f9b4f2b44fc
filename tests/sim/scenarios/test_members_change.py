"""Members come, go and come back; operators decide at the same time; majorities are missing."""

from __future__ import annotations

import pytest

from lsmkv_cluster.coordination.requests import Reason
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.reconfiguration.topology_changes import AddMember, CommitStaged, Remove
from lsmkv_cluster.versions.vclock import Actor
from tests.sim.history import Ending
from tests.sim.moving_lab import MovingLab
from tests.sim.planted import CANARIES
from tests.sim.scenarios.support import collect_by_force, shown

STRICT = Mode.STRICT


def planted(name: str):
    return CANARIES[name].patch()


def _keys(count: int) -> list[bytes]:
    return [b"key %d" % number for number in range(count)]


def _write(lab: MovingLab, via: str, keys: list[bytes], **how: object) -> None:
    told = [lab.put(via, b"of " + key, key=key, wait=False, **how) for key in keys]
    lab.wait_until(lambda: all(one.call.ending is not None for one in told))
    assert all(lab.told(one.call).is_done for one in told)


def _all_are_there(lab: MovingLab, names: str, keys: list[bytes], **how: object) -> None:
    for name in names:
        for key in keys:
            told = lab.get(name, key=key, **how)
            assert told.values == {b"of " + key} or not told.is_done


# --- 12 ------------------------------------------------------------------------------------------


def test_bootstrap_before_gossip():
    """Scenario 12. A node that joined built the ring from whom it had heard of, and took over
    ranges from the wrong replicas, while one of the right ones was down.

    Rule: owners are in the document, whoever is up; a copy that cannot meet enough of its old
    owners is not whole, and the partition stays where it is."""
    keys = _keys(40)
    with MovingLab(2, 1, partitions=8, spares="E", mode=STRICT, read=1, write="ALL") as lab:
        _write(lab, "A", keys)
        lab.stop("ABD")
        lab.start("AB")
        lab.until_up("AB", seen_by="AB")
        lab.join("E")
        with lab.letting(None):
            for _ in range(6):
                lab.advance(2000)
                _all_are_there(lab, "ABE", keys, r=1)
            moving = {move.partition for move in lab.document.transitions}
            assert moving.intersection(lab.document.kept_by(lab.id("D")))
        lab.start("D")
        lab.settle()
        for key in keys:
            assert lab.get("E", key=key).values == {b"of " + key}
        assert lab.document.kept_by(lab.id("E"))


def test_bootstrap_before_gossip_is_seen_when_planted():
    with (
        planted("filled by nobody"),
        pytest.raises(AssertionError, match="of key"),
    ):
        test_bootstrap_before_gossip()


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


# --- 14 ------------------------------------------------------------------------------------------


def test_removed_node_returns():
    """Scenario 14. A node that was removed while it was away came back by gossip, and its old rows
    with it.

    Rule: nobody listens to who is no member, and a node that hears of it answers nobody."""
    with MovingLab() as lab:
        lab.put("A", b"v")
        lab.stop("C")
        lab.until_down("C", seen_by="ABDEF")
        assert lab.remove("C").outcome is Outcome.COMMITTED
        with lab.letting(None):
            lab.wait_until(lambda: "C" not in lab.row() and lab.phase is None, "for a new owner")
        assert lab.delete("A", lab.get("A").context, w="ALL").is_done
        collect_by_force(lab, lab.row())
        lab.start("C")
        with lab.letting(None):
            lab.advance(15_000)
        assert lab.get("C", r=1).reason is Reason.NOT_A_MEMBER
        assert lab.put("C", b"x").ending is Ending.REFUSED
        for name in "ABDEF":
            for level in (1, 2):
                assert lab.get(name, r=level).values == set()
        assert lab.node("C").is_retired
        assert "C" in {name for _, name, text in lab.world.alarms if "removed" in text}


# --- members come and go -------------------------------------------------------------------------


def test_several_join_in_one_plan():
    """Staged members get their shares in one plan: each partition moves once."""
    keys = _keys(30)
    with MovingLab(stand_ins=0, partitions=8, spares="DE") as lab:
        _write(lab, "A", keys)
        for name in "DE":
            staged = AddMember(lab.member(name), is_staged=True)
            assert lab.change("A", staged).outcome is Outcome.COMMITTED
            lab.start_new(name)
        lab.advance(5000)
        assert not lab.document.transitions
        lab.change("A", CommitStaged())
        moving = {move.partition for move in lab.document.transitions}
        assert moving
        lab.settle()
        assert all(lab.document.kept_by(lab.id(name)) for name in "DE")
        _all_are_there(lab, "ABCDE", keys, r="ALL")


def test_who_leaves_hands_over_its_hints():
    """D keeps a hint for B, which is away, and is to leave: it stays until B has it."""
    with MovingLab() as lab:
        lab.kill("B")
        lab.until_down("B", seen_by="ACDEF")
        assert lab.put("A", b"v").is_done
        assert lab.hints("D") == 1
        lab.leave("D")
        lab.advance(10_000)
        assert "D" in lab.voters()
        lab.start("B")
        lab.settle()
        assert "D" not in lab.voters()
        assert shown(lab, "B") == {"v": "A1"}


def test_who_leaves_hands_over_its_hints_is_seen_when_planted():
    with planted("hints go with who leaves"), pytest.raises(AssertionError, match="ABCEF"):
        test_who_leaves_hands_over_its_hints()


def test_a_dead_node_is_replaced():
    """What B and C have is enough to fill another copy; A never comes back."""
    with MovingLab(mode=STRICT, spares="G") as lab:
        assert lab.put("A", b"v").is_done
        lab.kill("A")
        lab.until_down("A", seen_by="BCDEF")
        lab.join("G", via="B")
        assert lab.remove("A", via="B").outcome is Outcome.COMMITTED
        lab.finish()
        assert "A" not in lab.row() + lab.voters()
        assert len(lab.row()) == 3
        for name in "BCG":
            assert lab.get(name).values == {b"v"}


@pytest.mark.parametrize("numbers", [(2, 3), (5, 3)], ids=str)
def test_another_number_of_copies(numbers: tuple[int, ...]):
    """From three to fewer or more, and back."""
    keys = _keys(10)
    with MovingLab(mode=STRICT) as lab:
        with lab.swallow("A>B"):
            _write(lab, "A", keys)
        for number in numbers:
            lab.replicas(east=number)
            with lab.letting(None):
                lab.wait_until(lambda n=number: len(lab.row()) == n and lab.phase is None)
            _all_are_there(lab, "ADF", keys)
        lab.settle()
        assert len(lab.row()) == numbers[-1]


def test_a_data_centre_is_added_and_removed():
    keys = _keys(10)
    with MovingLab(stand_ins=0, spares="XY", mode=STRICT) as lab:
        _write(lab, "A", keys)
        for name in "XY":
            assert lab.join(name).outcome is Outcome.COMMITTED
        lab.replicas(west=2)
        with lab.letting(None):
            lab.wait_until(lambda: len(lab.row()) == 5 and lab.phase is None)
        for key in keys:
            assert lab.get("X", key=key, r="LOCAL_QUORUM", mode=Mode.SLOPPY).values == {
                b"of " + key
            }
        lab.replicas(west=0)
        for name in "XY":
            lab.leave(name)
        lab.settle()
        assert lab.voters() == lab.row() == "ABC"
        assert lab.document.replicas == {"east": 3}


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


# --- starts --------------------------------------------------------------------------------------


def test_total_loss_of_power_does_not_end_in_waiting_for_each_other():
    """All owners have lost their power, and the topology is in the middle of a move: they fill each
    other, answer, and the move ends."""
    with MovingLab(mode=STRICT) as lab:
        assert lab.put("A", b"v").is_done
        lab.hold()
        lab.move("ADE")
        lab.power("ABCDE")
        lab.start("ABCDE")
        with lab.letting(None):
            lab.wait_until(lambda: lab.get("B").values == {b"v"}, "for somebody to answer")
        lab.settle()
        assert lab.row() == "ADE"


def _actors(lab: MovingLab, end: str) -> tuple[Actor, Actor]:
    """With which A writes before and after such an end."""
    assert lab.put("A", b"before", w="ALL").is_done
    lab.advance(3000)
    machine = lab.world.machines[0]
    if end == "clean":
        lab.stop("A")
    elif end == "killed":
        lab.kill("A")
    elif end == "power lost":
        lab.power("A")
    elif end == "wiped":
        lab.wipe("A")
    else:
        copy, number = machine.disk.copy(), lab.world.ledger.number
        assert lab.put("A", b"later", w="ALL").is_done
        lab.advance(5000)  # until others have heard how far A is
        lab.kill("A")
        machine.restore(copy, number)
    lab.start("A")
    lab.until_up("A", seen_by="BCDEF")
    with lab.letting(None):
        lab.wait_until(lab.all_ready)
    lab.put("A", b"after")
    mints = [mint for mint in lab.world.ledger.mints if mint.machine == 0]
    return mints[0].dots[0].actor, mints[-1].dots[0].actor


@pytest.mark.parametrize(
    ("end", "is_same_incarnation"),
    [
        ("clean", True),
        ("killed", True),
        ("power lost", True),
        ("wiped", False),
        ("restored", False),
    ],
)
def test_actors_after_a_start(end: str, is_same_incarnation: bool):
    """Who may have lost what it has minted never counts on with the same actor; one whose disk is
    another one, or an older one, is another incarnation."""
    with MovingLab() as lab:
        before, after = _actors(lab, end)
        assert (before.incarnation == after.incarnation) == is_same_incarnation
        assert (before == after) == (end == "clean")
        lab.settle()


def test_actors_after_a_start_is_seen_when_planted():
    with planted("one actor for ever"), pytest.raises(AssertionError):
        test_actors_after_a_start("power lost", True)
