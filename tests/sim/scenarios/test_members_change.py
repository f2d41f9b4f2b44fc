"""Members come, go and come back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv import DB
from lsmkv_cluster.coordination.requests import Reason
from lsmkv_cluster.operations import Machine as Part
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.placement.members import Address, MemberId
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.reconfiguration.topology_changes import AddMember, CommitStaged
from lsmkv_cluster.transport.wire import Frame, FrameKind, Lane
from tests.sim.history import Ending
from tests.sim.lab import Lab
from tests.sim.moving_lab import MovingLab
from tests.sim.product import WITHOUT_COLLECTION, Product
from tests.sim.program import NodeLike, Start, StoreLike
from tests.sim.scenarios import plants
from tests.sim.scenarios.support import collect_by_force, planted, shown

STRICT = Mode.STRICT


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


def test_removed_node_returns_is_seen_when_planted():
    with planted("a removed node is listened to"), pytest.raises(AssertionError):
        test_removed_node_returns()


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
        lab.advance(3000)
        _all_are_there(lab, "ABCDE", keys, r=1)
        lab.settle()
        assert all(lab.document.kept_by(lab.id(name)) for name in "DE")
        _all_are_there(lab, "ABCDE", keys, r="ALL")


def test_several_join_in_one_plan_is_seen_when_planted():
    with planted("reads move at the commit"), pytest.raises(AssertionError, match="of key"):
        test_several_join_in_one_plan()


class _Moved(Product):
    """Machines of the product that may find themselves at other addresses when they start."""

    def __init__(self) -> None:
        super().__init__(WITHOUT_COLLECTION)
        self.at: dict[MemberId, tuple[Address, ...]] = {}

    def start(self, database: DB, start: Start) -> tuple[NodeLike, StoreLike]:
        addresses = self.at.get(start.me, ())
        self._settings = replace(WITHOUT_COLLECTION, addresses=addresses)
        return super().start(database, start)


def test_who_comes_back_elsewhere_without_a_majority_is_found_later():
    """C starts at another address while nobody else runs: it says where it is until they know."""
    there = (Address("peer", "elsewhere:1"),)
    program = _Moved()
    with Lab(stand_ins=0, program=program) as lab:
        lab.stop("ABC")
        id = lab.world.ids[lab.world.names.index("C")]
        program.at[id] = there
        lab.start("C")
        lab.advance(60_000)
        assert lab.node("C").topology.epoch == 1
        told = [
            text for _, name, text in lab.world.alarms if name == "C" and "not know yet" in text
        ]
        assert len(told) == 1
        lab.start("AB")
        lab.wait_until(
            lambda: all(
                lab.node(name).topology.members_by_id[id].addresses == there for name in "ABC"
            ),
            "for C to be found",
        )
        lab.advance(60_000)
        assert [lab.node(name).topology.epoch for name in "ABC"] == [2, 2, 2]
        lab.settle()


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
    """What B and C have is enough to fill another copy; A never comes back. One of them alone is
    not enough: v is with A and B."""
    with MovingLab(stand_ins=0, mode=STRICT, spares="G") as lab:
        with lab.swallow("A>C", Lane.DATA):
            assert lab.put("A", b"v").is_done
        lab.kill("A")
        lab.until_down("A", seen_by="BC")
        lab.join("G", via="B")
        assert lab.remove("A", via="B").outcome is Outcome.COMMITTED
        with lab.swallow("B>CG", part=Part.ANTIENTROPY), lab.letting(None):
            lab.advance(20_000)
            lab.pause("B")
            seen = lab.get("C")
            assert seen.values == {b"v"} or not seen.is_done
            lab.resume("B")
        lab.finish()
        assert "A" not in lab.row() + lab.voters()
        assert len(lab.row()) == 3
        for name in "BCG":
            assert lab.get(name).values == {b"v"}


def test_a_dead_node_is_replaced_is_seen_when_planted():
    with planted("filled by nobody"), pytest.raises(AssertionError):
        test_a_dead_node_is_replaced()


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


def test_fewer_copies_are_confirmed():
    """w is with A and C. Of the two that stay one may lack it, and is not read before it has met
    the others."""
    with MovingLab(stand_ins=0, mode=STRICT) as lab:
        with lab.swallow("A>B", Lane.DATA):
            assert lab.put("A", b"w").is_done
        lab.replicas(east=2)
        lab.advance(10_000)
        assert lab.phase is Phase.FILLING
        lab.settle()
        assert len(lab.row()) == 2
        for name in "ABC":
            assert lab.get(name).values == {b"w"}


def test_fewer_copies_are_confirmed_is_seen_when_planted():
    with planted("who stays does not confirm"), pytest.raises(AssertionError):
        test_fewer_copies_are_confirmed()


def test_a_new_owner_is_removed_after_the_switch():
    """Two owners instead of three, and one of the two is lost for good before the third has handed
    over: that waits for the other one alone."""
    with MovingLab(stand_ins=1) as lab:
        assert lab.put("A", b"v", w="ALL").is_done
        lab.hold()
        lab.replicas(east=2)
        row = lab.document.transitions_by_partition[lab.partition].row
        victim, left = (lab.world.names[lab.world.numbers[id]] for id in row)

        def is_handover(source: int, target: int, frame: Frame) -> bool:
            is_asked = frame.kind is FrameKind.REQUEST and lab.world.ids[source] not in row
            is_part = frame.operations[0].opcode >> 8 == Part.ANTIENTROPY
            return is_asked and is_part and lab.world.names[target] == victim

        with lab.watching(is_handover):
            lab.until_phase(Phase.SWITCHED)
        lab.kill(victim)
        lab.until_down(victim, seen_by=left)
        assert lab.remove(victim, via=left).outcome is Outcome.COMMITTED
        lab.finish()
        assert victim not in lab.row() + lab.voters()
        assert len(lab.row()) == 2
        for name in lab.voters():
            assert lab.get(name).values == {b"v"}


def test_a_new_owner_is_removed_after_the_switch_is_seen_when_planted():
    with (
        plants.the_removed_are_waited_for(),
        plants.patience_is_short(),
        pytest.raises(AssertionError, match="for moves to end"),
    ):
        test_a_new_owner_is_removed_after_the_switch()


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


def test_a_data_centre_is_added_and_removed_is_seen_when_planted():
    with planted("filled by nobody"), pytest.raises(AssertionError):
        test_a_data_centre_is_added_and_removed()
