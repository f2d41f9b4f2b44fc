"""A partition goes from owners to owners: what was acknowledged is read by everybody, all the time.

Each scenario ends with the checks of `Lab.settle`. What was open has ended by then, and who does
not keep the partition any more has nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lsmkv_cluster.operations import Machine as Part
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.transport.wire import Frame, Lane
from tests.sim.history import Ending
from tests.sim.loop import MS
from tests.sim.moving_lab import MovingLab
from tests.sim.scenarios.support import (
    collect_by_force,
    minted,
    planted,
    read_modify_write,
    shown,
)

STRICT = Mode.STRICT
FILLING, SWITCHED = Phase.FILLING, Phase.SWITCHED


KEYS = [b"key %d" % number for number in range(120)]


def _write_keys(lab: MovingLab, via: str) -> None:
    told = [lab.put(via, b"v1", key=key, wait=False) for key in KEYS]
    lab.wait_until(lambda: all(one.call.ending is not None for one in told))
    assert all(lab.told(one.call).is_done for one in told)


def _read_while_it_moves(lab: MovingLab, names: str, **how: object) -> None:
    """Each key once, because reads repair. Conductors are free from now on, but copies cannot be
    filled for the first three seconds."""
    lab.free()
    keys = iter(KEYS)
    for names_let in ("", None):
        with lab.letting(names_let):
            for _ in range(15):
                for name in names:
                    assert lab.get(name, key=next(keys), **how).values == {b"v1"}
                lab.advance(200)


# --- 6 -------------------------------------------------------------------------------------------


def _go_away_and_come_home(lab: MovingLab, meanwhile: Callable[[], None]) -> None:
    """A's copy goes to D. What happens then is up to the scenario; then A is to have one again."""
    lab.hold()
    for number in range(1, 6):
        read_modify_write(lab, "A", b"v%d" % number)
    lab.move("DBC")
    lab.until_phase(None)
    lab.advance(3000)
    meanwhile()
    lab.move("ABC", via="B")


def test_partition_comes_home():
    """Scenario 6. A partition came back to a node that had given it up. The node counted from one
    again, and what it wrote was taken for old by all others.

    Rule: who keeps a copy that comes writes nothing into it by itself; forwarded, it is minted by
    who has all of it. Nor does a copy that comes answer anybody."""
    with MovingLab() as lab:
        old = []

        def write_at_d() -> None:
            assert lab.record("A") is None
            _write_keys(lab, "D")
            old.append(lab.put("D", b"v6", lab.get("D").context))

        _go_away_and_come_home(lab, write_at_d)
        assert lab.put("A", b"x").is_done
        assert lab.phase is FILLING
        _read_while_it_moves(lab, "A", r=1)
        lab.settle()
        assert lab.row() == "ABC"
        assert set(shown(lab)) == {"v6", "x"}


def test_partition_comes_home_is_seen_when_planted():
    with planted("filled by nobody"), pytest.raises(AssertionError, match="v1"):
        test_partition_comes_home()


def test_partition_comes_home_alone():
    """Scenario 6, variant. A reaches nobody while its copy is empty: it neither writes nor reads,
    as enough of those who are read must have every write."""
    with MovingLab(stand_ins=1) as lab:
        _go_away_and_come_home(lab, lambda: None)
        lab.cut("A|BCD")
        lab.until_down("BCD", seen_by="A")
        assert lab.put("A", b"x", w=1).ending is Ending.REFUSED
        assert lab.get("A", r=1).ending is Ending.REFUSED
        lab.settle()
        assert shown(lab) == {"v5": "A5"}


def _come_home_without_power(lab: MovingLab) -> None:
    def lose_power_and_delete() -> None:
        lab.power("A")
        lab.start("A")
        lab.until_up("A", seen_by="BCD")
        assert lab.delete("D", lab.get("D").context, w="ALL").is_done
        collect_by_force(lab, "DBC")

    _go_away_and_come_home(lab, lose_power_and_delete)
    _read_nothing(lab, "ABCD")


def _read_nothing(lab: MovingLab, names: str) -> None:
    """Without the checkers, which do not know by what right it was collected."""
    lab.finish()
    for name in names:
        assert lab.get(name, r="ALL").values == set()


def test_partition_comes_home_after_a_loss_of_power():
    """Scenario 6, variant. What A had dropped came back from its log, after the others had
    collected the tombstone.

    Rule: a copy is dropped durably, and one that comes begins empty."""
    with MovingLab() as lab:
        _come_home_without_power(lab)


def test_partition_comes_home_after_a_loss_of_power_is_seen_when_planted():
    with planted("nothing is dropped"), pytest.raises(AssertionError):
        test_partition_comes_home_after_a_loss_of_power()


# --- 11 ------------------------------------------------------------------------------------------


def test_layout_read_before_fill():
    """Scenario 11a. Reads went to new owners at once: a continuous test of sets failed in ten of
    ten runs by moves alone.

    Rule: reads stay with the old owners until the new have confirmed."""
    with MovingLab(mode=STRICT) as lab:
        with lab.swallow("B>A", Lane.DATA):
            _write_keys(lab, "B")
            assert lab.put("B", b"v1").is_done
        lab.hold()
        lab.move("ADE")
        for _ in range(100):
            for name in "ADE":
                assert lab.get(name, r=2).values == {b"v1"}
        _read_while_it_moves(lab, "ADE", r=2)
        assert lab.phase is None
        lab.settle()


def test_layout_read_before_fill_is_seen_when_planted():
    with planted("reads move at the commit"), pytest.raises(AssertionError, match="v1"):
        test_layout_read_before_fill()


def _write_in_the_old_epoch(lab: MovingLab) -> None:
    """B sleeps while its partition moves, and writes before it has heard of it."""
    assert lab.put("A", b"v1").is_done
    lab.hold()
    lab.pause("B")
    lab.until_down("B", seen_by="ACDE")
    lab.move("ADE")
    lab.until_phase(SWITCHED)
    lab.power("AC")
    lab.start("AC")
    lab.until_up("AC", seen_by="ADE")
    with lab.letting(None):
        lab.wait_until(lambda: lab.epoch("A") == lab.epoch("C") == lab.document.epoch)
    with lab.swallow("ACDEF>B", part=Part.TOPOLOGY):
        lab.resume("B")
        lab.until_up("AC", seen_by="B")
        lab.advance(3000)
        assert lab.epoch("B") == 1
        told = lab.put("B", b"v2")
        assert not told.is_done
        assert len(minted(lab)) <= 2
    lab.settle()
    assert {b"v1"} <= lab.get("A").values <= {b"v1", b"v2"}


def test_layout_fence():
    """Scenario 11b. A coordinator that had not heard of the move wrote to the old owners, who took
    it, and nobody who read the new ones saw it.

    Rule: who has adopted the document of a move, durably, takes nothing any more that was sent in
    an earlier epoch, for this partition."""
    with MovingLab(mode=STRICT) as lab:
        _write_in_the_old_epoch(lab)


def test_layout_fence_is_seen_when_planted():
    with planted("epochs are ignored"), pytest.raises(AssertionError, match="is_done"):
        test_layout_fence()


def test_layout_filled_from_one_owner():
    """Scenario 11c. w is with A and C. D met B alone, and with it answers that there is no w.

    Rule: a copy that comes meets enough of the old owners to know all that they have promised."""
    with MovingLab(mode=STRICT) as lab:
        with lab.swallow("A>B", Lane.DATA):
            assert lab.put("A", b"w").is_done
        lab.hold()
        lab.move("ABD")
        lab.free()
        with lab.letting("D"), lab.swallow("AC>D", part=Part.ANTIENTROPY):
            lab.advance(8000)
            lab.stop("A")
            lab.until_down("A", seen_by="BCD")
            told = lab.get("B", r=2)
            assert told.values == {b"w"}
        lab.start("A")
        lab.settle()
        assert lab.row() == "ABD"


def test_layout_filled_from_one_owner_is_seen_when_planted():
    with planted("filled from one owner"), pytest.raises(AssertionError, match="w"):
        test_layout_filled_from_one_owner()


def _fill_from_who_lost_it(lab: MovingLab, move: Callable[[], object]) -> None:
    """w is with A and C. A loses its disk, and nobody can tell it what it had but C, which is
    away."""
    with lab.swallow("A>B", Lane.DATA):
        assert lab.put("A", b"w").is_done
    lab.hold()
    lab.stop("C")
    lab.until_down("C", seen_by="ABDEF")
    lab.wipe("A")
    lab.start("A")
    lab.until_up("A", seen_by="BDEF")
    move()
    lab.free()
    with lab.letting(None):
        lab.advance(10_000)
    assert lab.get("B").ending is Ending.REFUSED
    lab.start("C")
    lab.settle()
    assert lab.get("B").values == {b"w"}


def test_layout_filled_from_who_lost_it():
    """Scenario 11c, variant. Two of three owners were met, one of which had lost its disk.

    Rule: what a copy that is not whole has says nothing about what was promised."""
    with MovingLab(mode=STRICT) as lab:
        _fill_from_who_lost_it(lab, lambda: lab.move("ABD", via="B"))
        assert lab.row() == "ABD"


def test_layout_confirmed_by_who_lost_it():
    """Scenario 11c, variant. With fewer copies than before, those who stay confirm: not before
    they are whole, nor by what one has that is not."""
    with MovingLab(mode=STRICT) as lab:
        _fill_from_who_lost_it(lab, lambda: lab.replicas("B", east=2))
        assert len(lab.row()) == 2


@pytest.mark.parametrize(
    "test", [test_layout_filled_from_who_lost_it, test_layout_confirmed_by_who_lost_it]
)
def test_layout_filled_from_who_lost_it_is_seen_when_planted(test):
    with planted("filled from anybody"), pytest.raises(AssertionError, match="REFUSED"):
        test()


def _lose_at(boundary: int, victim: int, row: str) -> int:
    """The move from A, B, C to another row, with writes before and in between. When so many frames
    have left that are about documents or copies, the source of the next one is killed (`victim` 0),
    or its target. How many there were."""
    count = 0

    with MovingLab(mode=STRICT) as lab:

        def kill(source: int, target: int, frame: Frame) -> bool:
            nonlocal count
            part = frame.operations[0].opcode >> 8 if frame.operations else 0
            if part in (Part.TOPOLOGY, Part.ANTIENTROPY, Part.REPLICA):
                count += 1
                if count == boundary:
                    machine = lab.world.machines[target if victim else source]
                    lab.world.loop.after(0, machine.kill)
                    lab.world.loop.after(4_000 * MS, machine.recover)
            return False

        with lab.swallow("A>B", Lane.DATA):
            written = {b"w"} if lab.put("A", b"w").is_done else set()
        lab.hold()
        with lab.watching(kill), lab.letting(None):
            lab.move(row, via="C")
            lab.free()
            for number in range(6):
                via = lab.row()[number % 3]
                told = lab.put(via, b"v%d" % number)
                written |= {b"v%d" % number} if told.is_done else set()
                lab.advance(700)
                if lab.world.machines[lab.world.names.index("F")].process is not None:
                    seen = lab.get("F", r=2)
                    assert seen.ending is not Ending.DONE or written <= seen.values
        lab.settle()
        assert written <= lab.get(lab.row()[0]).values
        assert lab.row() == row
    return count


BOUNDARIES = 200


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1], ids=["source", "target"])
@pytest.mark.parametrize("row", ["ADE", "ABD", "DEF"])
def test_layout_deaths(row: str, victim: int):
    """Scenario 11d. Whoever dies, at the boundary of any two messages of the move, what was
    acknowledged before and during it stays readable."""
    step = 29
    for boundary in range(1 + victim * 8, BOUNDARIES, step):
        _lose_at(boundary, victim, row)
