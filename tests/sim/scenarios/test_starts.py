"""What a member may go on with that starts: after any end, wiped, cloned, all at once."""

from __future__ import annotations

import pytest

from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.reconfiguration.topology_changes import AddMember
from lsmkv_cluster.versions.vclock import Actor
from tests.sim.moving_lab import MovingLab
from tests.sim.scenarios import plants
from tests.sim.scenarios.support import cloned, is_news, planted, plug

STRICT = Mode.STRICT


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


def test_total_loss_of_power_is_seen_when_planted():
    with (
        plants.whole_copies_alone_fill(),
        plants.patience_is_short(),
        pytest.raises(AssertionError),
    ):
        test_total_loss_of_power_does_not_end_in_waiting_for_each_other()


def test_all_are_wiped():
    """Nothing is left, and that is what all of them agree on: they fill each other with it, say so,
    and go on; nobody waits for somebody who has more."""
    with MovingLab(stand_ins=0) as lab:
        lab.put("A", b"v", w="ALL")
        for name in "ABC":
            lab.wipe(name)
        lab.start("ABC")
        with lab.letting(None):
            lab.wait_until(lab.all_ready, "for all to be ready")
        assert lab.put("A", b"w").is_done
        assert lab.get("B").values == {b"w"}


def test_all_are_wiped_is_seen_when_planted():
    with (
        plants.whole_copies_alone_fill(),
        plants.patience_is_short(),
        pytest.raises(AssertionError),
    ):
        test_all_are_wiped()


def _vote_twice(lab: MovingLab) -> None:
    """A document is chosen by A and B, and known to A alone, when A ends and B is wiped: what C
    asks B to vote for then must not be another document of the same epoch."""
    lab.until_up("ABC", seen_by="ABC")
    lab.cut("C|AB")
    lab.until_down("C", seen_by="AB")

    with lab.watching(is_news):
        told = lab.change("A", AddMember(lab.member("F")))
        assert told.outcome is Outcome.COMMITTED
        lab.kill("A")
        lab.wipe("B")
        lab.heal()
        lab.start("B")
        lab.until_down("A", seen_by="BC")
        lab.advance(5000)
        assert not lab.node("B").parts.keeper.has_vote
        rival = lab.change("C", AddMember(lab.member("G")))
        assert rival.outcome is Outcome.NO_MAJORITY
    lab.start("A")
    lab.until_up("ABC", seen_by="ABC")
    with lab.letting(None):
        lab.wait_until(lambda: lab.epoch("C") == lab.epoch("A"), "for C to learn the document")
    lab.start_new("F")
    assert lab.change("C", AddMember(lab.member("G"))).outcome is Outcome.COMMITTED
    lab.start_new("G")
    lab.settle()


def test_a_member_wiped_under_the_same_name():
    """A member has lost its disk, goes on under the same name, and has forgotten what it voted for.

    Rule: it has no vote until a majority of others has told how far they are, and does not answer
    readers until it is filled."""
    with MovingLab(stand_ins=0, spares="FG", mode=STRICT) as lab:
        assert lab.put("A", b"v").is_done
        _vote_twice(lab)
        for name in "ABC":
            assert lab.get(name).values == {b"v"}


def test_a_member_wiped_under_the_same_name_is_seen_when_planted():
    with plants.the_wiped_vote(), pytest.raises(AssertionError, match="has_vote"):
        test_a_member_wiped_under_the_same_name()


def _run_twice(lab: MovingLab, *, is_running: bool) -> None:
    """A's disk is copied, while A runs or is stopped, and both are started: under one name, now the
    one is heard, now the other."""
    assert lab.put("A", b"before", w="ALL").is_done
    lab.advance(3000)
    first = lab.world.machines[0]
    if not is_running:
        lab.stop("A")
    with cloned(lab, "A") as second:
        if not is_running:
            lab.start("A")
            lab.until_up("A", seen_by="BCDEF")
        values = {b"before"}
        for number, machine in enumerate((second, first, second, first)):
            plug(lab, "A", machine)
            lab.advance(10_000)
            lab.until_up("A", seen_by="BCDEF")
            with lab.letting(None):
                lab.wait_until(lab.all_ready)
            values.add(b"%d" % number)
            assert lab.put("A", b"%d" % number).is_done
            lab.exchange()
        assert lab.get("B", r="ALL").values == values
    alarms = [text for _, name, text in lab.world.alarms if name == "A"]
    assert any("a new incarnation" in text for text in alarms)
    lab.settle()
    assert len({mint.dots[0].actor for mint in lab.world.ledger.mints if mint.machine == 0}) > 1


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "stopped"])
def test_a_member_cloned_under_the_same_name(is_running: bool):
    """One disk was copied and two processes run on it, as one member: both counted on with the same
    actor, and each took the writes of the other for its own.

    Rule: no start counts on with the epochs of a run that has not ended cleanly; and of two starts
    with one number the peers know the later one, which begins as a new incarnation."""
    with MovingLab() as lab:
        _run_twice(lab, is_running=is_running)


@pytest.mark.parametrize(
    ("name", "is_running"), [("every end is harmless", True), ("an old disk goes on", False)]
)
def test_a_member_cloned_under_the_same_name_is_seen_when_planted(name: str, is_running: bool):
    with planted(name), pytest.raises(AssertionError, match="dot used twice"):
        test_a_member_cloned_under_the_same_name(is_running)


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
