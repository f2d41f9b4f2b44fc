"""Deletes are collected by everybody's proof, while members are away, are removed, and partitions
move: what was deleted never comes back, and what may go goes in the end.

Here the collector runs, with the short waits of the simulator (product.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lsmkv_cluster.coordination.requests import Reason
from lsmkv_cluster.healing.tombstone_limits import Why
from lsmkv_cluster.operations import Machine as Part
from lsmkv_cluster.placement.keyspaces import Mode
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.transport.wire import Lane
from tests.sim.loop import MS
from tests.sim.moving_lab import MovingLab
from tests.sim.paths import Quality
from tests.sim.product import SETTINGS
from tests.sim.scenarios import plants
from tests.sim.scenarios.support import planted, shown

STRICT = Mode.STRICT
LONG_MS = 60_000  # many times what a collection takes
SLOW = Quality((950 * MS, 950 * MS))  # questions with hints are waited for a second


def _lab(**options: object) -> MovingLab:
    return MovingLab(settings=SETTINGS, **options)


def _is_collected(lab: MovingLab, names: str) -> bool:
    return all(lab.record(name) is None for name in names)


def _until_collected(lab: MovingLab, names: str) -> None:
    with lab.letting(None):
        lab.wait_until(lambda: _is_collected(lab, names), "for the tombstone to be collected")


def _blockers(lab: MovingLab, name: str) -> set[tuple[str, Why]]:
    """Who keeps the tombstones of a first owner, as operators are told."""
    listed = lab.node(name).parts.tombstones.report.blockers
    return {(lab.world.names[lab.world.numbers[row.member]], row.why) for row in listed}


def _nobody_reads(lab: MovingLab, names: str, *levels: int) -> None:
    for name in names:
        for level in levels:
            assert lab.get(name, r=level).values == set()


def _away_for_long(lab: MovingLab, who: str, others: str) -> None:
    """`who` is away while v is deleted, and long after that."""
    assert lab.put("A", b"v", w="ALL").is_done
    lab.stop(who)
    lab.until_down(who, seen_by=others)
    assert lab.delete("A", lab.get("A").context).is_done
    with lab.letting(None):
        lab.advance(LONG_MS)


# --- 21 ------------------------------------------------------------------------------------------


def test_an_owner_is_away_for_long():
    """Scenario 21. Two of three owners forgot the tombstone for its age; the third one, back after
    that, gave the value to all.

    Rule: an owner that does not confirm keeps the tombstone where it is, and operators are told."""
    with _lab(stand_ins=0) as lab:
        _away_for_long(lab, "C", "AB")
        assert shown(lab, "A") == shown(lab, "B") == {"T": "A2"}
        assert _blockers(lab, "A") == {("C", Why.SILENT)}
        lab.start("C")
        lab.until_up("C", seen_by="AB")
        lab.exchange()
        _nobody_reads(lab, "ABC", 1, 2)
        _until_collected(lab, "ABC")
        lab.settle()
        _nobody_reads(lab, "ABC", 3)
        assert not _blockers(lab, "A")


def test_an_owner_is_away_for_long_is_seen_when_planted():
    with planted("silent members agree"), pytest.raises(AssertionError):
        test_an_owner_is_away_for_long()


def test_a_confirmation_is_durable():
    """Scenario 21, variant. C has the tombstone and says so, loses its power, and has the value
    again: it may not have said so before a sync, and by then nothing may be forgotten."""
    with _lab(stand_ins=0) as lab:
        assert lab.put("A", b"v", w="ALL").is_done
        lab.advance(3000)
        assert lab.delete("A", lab.get("A").context, w="ALL").is_done
        for _ in range(6):
            lab.power("C")
            lab.start("C")
            lab.until_up("C", seen_by="AB")
            with lab.letting("C"):
                lab.advance(2500)
        _until_collected(lab, "ABC")
        lab.settle()
        _nobody_reads(lab, "ABC", 3)


# --- 22 ------------------------------------------------------------------------------------------


def _hint_stays_away(lab: MovingLab) -> None:
    """D keeps v for C, which has got it from A since; D is away when it is deleted."""
    lab.stop("C")
    lab.until_down("C", seen_by="ABDEF")
    assert lab.put("A", b"v").is_done
    assert lab.hints("D") == 1
    lab.stop("D")
    lab.start("C")
    lab.until_up("C", seen_by="AB")
    lab.until_down("D", seen_by="ABC")
    lab.exchange()
    assert shown(lab, "C") == {"v": "A1"}
    assert lab.delete("A", lab.get("A").context, w="ALL").is_done
    with lab.letting(None):
        lab.advance(LONG_MS)


def test_a_stand_in_is_away_for_long():
    """Scenario 22. The owners agreed on a tombstone and forgot it; a stand-in that was away brought
    its hint.

    Rule: every member is asked for its hints."""
    with _lab() as lab:
        _hint_stays_away(lab)
        assert shown(lab) == {"T": "A2"}
        assert ("D", Why.SILENT) in _blockers(lab, "A")
        lab.start("D")
        lab.until_up("ABC", seen_by="D")
        lab.replay("D")
        _nobody_reads(lab, "ABCDEF", 2)
        _until_collected(lab, "ABC")
        lab.settle()
        _nobody_reads(lab, "ABC", 3)


def test_a_stand_in_is_away_for_long_is_seen_when_planted():
    with planted("silent members agree"), pytest.raises(AssertionError):
        test_a_stand_in_is_away_for_long()


def test_a_stand_in_is_removed_and_comes_back():
    """Scenario 22, variant. D is removed while it is away: the tombstone goes, and nobody takes the
    hint of D, though the partition has not moved since."""
    with _lab() as lab:
        _hint_stays_away(lab)
        placed = lab.document.placed[lab.partition]
        assert lab.remove("D").outcome is Outcome.COMMITTED
        _until_collected(lab, "ABC")
        assert lab.document.placed[lab.partition] == placed
        lab.start("D")
        with lab.letting(None):
            lab.advance(LONG_MS)
        _nobody_reads(lab, "ABCEF", 1, 2)
        assert lab.get("D", r=1).reason is Reason.NOT_A_MEMBER
        assert lab.node("D").is_retired
        lab.settle()


def test_a_stand_in_is_removed_and_comes_back_is_seen_when_planted():
    with planted("a removed node is listened to"), pytest.raises(AssertionError):
        test_a_stand_in_is_removed_and_comes_back()


# --- 14 ------------------------------------------------------------------------------------------


def test_an_owner_is_removed_and_comes_back_with_its_data():
    """Scenario 14, with the collector. C is away, removed and replaced; the tombstone needs no
    word of C any more, and goes. C comes back with the value, and is nobody's concern."""
    with _lab() as lab:
        _away_for_long(lab, "C", "ABDEF")
        assert shown(lab) == {"T": "A2"}
        assert lab.remove("C").outcome is Outcome.COMMITTED
        with lab.letting(None):
            lab.wait_until(lambda: "C" not in lab.row() and lab.phase is None, "for a new owner")
        _until_collected(lab, lab.row())
        lab.start("C")
        with lab.letting(None):
            lab.advance(LONG_MS)
        _nobody_reads(lab, "ABDEF", 1, 2)
        for ask in (lab.get("C", r=1), lab.put("C", b"x"), lab.delete("C")):
            assert ask.reason is Reason.NOT_A_MEMBER
        lab.settle()
        assert _is_collected(lab, lab.row())


def test_an_owner_is_removed_and_comes_back_with_its_data_is_seen_when_planted():
    with planted("a removed node is listened to"), pytest.raises(AssertionError):
        test_an_owner_is_removed_and_comes_back_with_its_data()


# --- 23 ------------------------------------------------------------------------------------------


def _delete_without_c(lab: MovingLab) -> None:
    """v is with all, the tombstone with A and B."""
    assert lab.put("A", b"v", w="ALL").is_done
    lab.cut("C|ABD")
    lab.until_down("C", seen_by="ABD")
    assert lab.delete("A", lab.get("A").context).is_done


def test_collected_during_a_move():
    """Scenario 23a. Collection asked the owners of today alone; the one that was to hand over and
    go had not been asked, and handed over what had been deleted.

    Rule: nothing of a partition is collected while it moves."""
    with _lab(stand_ins=1, mode=STRICT) as lab:
        _delete_without_c(lab)
        lab.hold()
        lab.move("ABD")
        lab.until_phase(Phase.SWITCHED)
        lab.heal()
        lab.until_up("C", seen_by="ABD")
        with lab.letting("ABD"), lab.swallow("ABD>C", part=Part.ANTIENTROPY):
            lab.advance(LONG_MS)
        assert shown(lab, "C") == {"v": "A1"}
        is_held_up = lab.node("A").parts.tombstones.report.held_up == 1
        lab.settle()
        assert is_held_up
        assert lab.row() == "ABD"
        _until_collected(lab, "ABD")
        _nobody_reads(lab, "ABCD", 2)


def test_collected_during_a_move_is_seen_when_planted():
    with planted("collected while it moves"), pytest.raises(AssertionError):
        test_collected_during_a_move()


def test_a_coming_copy_collects_nothing():
    """Scenario 23b. D got the tombstone first and forgot it at once; then came, from somebody who
    had not heard of the delete, the value.

    Rule: a copy that is being filled neither confirms nor forgets."""
    with _lab(stand_ins=1, mode=STRICT) as lab:
        _delete_without_c(lab)
        lab.hold()
        lab.move("ABD")
        with lab.letting("D"):
            lab.wait_until(lambda: lab.record("D") is not None, "for D to get the tombstone")
            lab.advance(LONG_MS)
        assert shown(lab, "D") == {"T": "A2"}
        lab.heal()
        lab.until_up("C", seen_by="ABD")
        with lab.swallow("AB>D", part=Part.ANTIENTROPY), lab.letting("D"):
            lab.advance(LONG_MS)
        assert shown(lab, "D") == {"T": "A2"}
        lab.settle()
        _until_collected(lab, "ABD")
        _nobody_reads(lab, "ABD", 3)


def test_a_coming_copy_collects_nothing_is_seen_when_planted():
    with plants.coming_copies_collect(), pytest.raises(AssertionError):
        test_a_coming_copy_collects_nothing()


@contextmanager
def _cut_off(lab: MovingLab, shape: str) -> Iterator[None]:
    lab.cut(shape)
    yield
    lab.heal()


def test_deleted_during_a_fill():
    """Scenario 23c. The delete came to the old owners alone, after the new ones had been filled.

    Rule: while a partition moves a write needs enough of those who come, too."""
    with _lab(stand_ins=2, mode=STRICT) as lab:
        assert lab.put("A", b"v", w="ALL").is_done
        context = lab.get("A").context
        lab.hold()
        lab.move("ADE")
        with lab.letting("DE"):
            lab.wait_until(lambda: lab.has_filled("DE"), "for copies to be filled")
        with lab.swallow("ABC>DE", Lane.DATA):
            is_deleted = lab.delete("A", context).is_done
        lab.until_phase(Phase.SWITCHED)
        with _cut_off(lab, "A|BCDE"):
            lab.until_down("A", seen_by="DE")
            shows = lab.get("D", r=2)
            assert shows.is_done
            assert not (is_deleted and shows.values)
        assert lab.delete("D", context).is_done
        lab.settle()
        _until_collected(lab, "ADE")
        _nobody_reads(lab, "ABCDE", 2)


def test_deleted_during_a_fill_is_seen_when_planted():
    with planted("writes need the old owners alone"), pytest.raises(AssertionError):
        test_deleted_during_a_fill()


def test_collected_without_waiting():
    """A hint is on its way from D when all owners agree on the tombstone: it comes after that.

    Rule: whatever was under way when all had confirmed is waited for, and so is the last hint."""
    with _lab() as lab:
        lab.stop("C")
        lab.until_down("C", seen_by="ABDEF")
        assert lab.put("A", b"v").is_done
        lab.start("C")
        lab.until_up("C", seen_by="ABDEF")
        with lab.letting("AB"):
            lab.wait_until(lambda: lab.record("C") is not None, "for C to be filled")
        assert lab.delete("A", lab.get("A").context, w="ALL").is_done
        assert lab.hints("D") == 1
        lab.advance(500)
        lab.world.paths.worsen(lab.world.names.index("D"), SLOW)
        with lab.letting("D"):
            lab.advance(3000)
        lab.world.paths.restore(lab.world.names.index("D"), SLOW)
        _nobody_reads(lab, "ABC", 1)
        lab.settle()
        _until_collected(lab, "ABC")


def test_collected_without_waiting_is_seen_when_planted():
    with planted("collected without waiting"), pytest.raises(AssertionError):
        test_collected_without_waiting()


def test_a_clock_that_was_just_set():
    """The first owner's clock is set ahead by more than the value has left to live. A sweep that
    came before the membership had looked at the clock replaced the value by a tombstone.

    Rule: nothing is decided by the own clock before it has been compared with that of others."""
    with _lab() as lab:
        expiry_ms = lab.world.machines[0].now().wall_ms + 18_000
        assert lab.put("A", b"v", expiry_ms=expiry_ms, w="ALL").is_done
        with lab.letting(None):
            for _ in range(40):
                lab.advance(163)
                lab.skew("A", 20_000)
                lab.advance(37)
                lab.skew("A", 0)
        assert shown(lab, "A") == shown(lab, "B") == {"v": "A1"}
        lab.settle()


def test_a_clock_that_was_just_set_is_seen_when_planted():
    with plants.nobody_looks_at_its_clock(), pytest.raises(AssertionError, match="'T': 'A2'"):
        test_a_clock_that_was_just_set()
