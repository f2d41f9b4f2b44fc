"""Histories in which other stores brought deleted values back.

Each is played a second time with the rule that saves it switched off, and then fails. Nodes run in
tests/support/tombstone_lab.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lsmkv_cluster.healing.collecting import Phase
from lsmkv_cluster.healing.tombstone_limits import Why
from lsmkv_cluster.healing.tombstones import TombstoneCollector
from lsmkv_cluster.placement.members import MemberState
from lsmkv_cluster.placement.owners import Phase as Moving
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import Discard
from tests.support.heal_lab import LabNode, moved
from tests.support.tombstone_lab import GC, TombstoneLab
from tests.support.tombstone_plays import (
    DAY_MS,
    GC_MS,
    KEY,
    MINUTE_MS,
    SLOW,
    TOPOLOGY,
    ask_owners_for_nothing,
    ask_who_can_be_reached,
    believe_that_there_are_no_hints,
    changed,
    delete_everywhere,
    put_everywhere,
)


@pytest.fixture
def lab() -> Iterator[TombstoneLab]:
    with TombstoneLab() as made:
        yield made


@pytest.fixture
def slow() -> Iterator[TombstoneLab]:
    with TombstoneLab(settings=SLOW) as made:
        yield made


# --- 21: gc_grace_resurrection -------------------------------------------------------------------


def play_gc_grace_resurrection(lab: TombstoneLab) -> None:
    put_everywhere(lab)
    lab.cut_off(lab.c)
    lab.delete(lab.a, KEY)
    lab.ship(KEY, lab.a, lab.b)
    lab.run(11 * DAY_MS)


def test_gc_grace_resurrection(slow):
    play_gc_grace_resurrection(slow)
    assert not slow.is_gone(KEY, slow.a)
    assert not slow.is_gone(KEY, slow.b)
    report = slow.report(slow.a)
    assert (report.collected, report.waiting) == (0, 1)
    assert slow.c.id in {each.member for each in report.blockers if each.why is Why.SILENT}
    assert max(slow.now_ms - each.since_ms for each in report.blockers) > 10 * DAY_MS
    slow.heal()
    slow.meet(*slow.owners3)
    assert slow.shown(KEY, *slow.owners3) == set()
    slow.run(DAY_MS)
    assert slow.is_gone(KEY, *slow.owners3)
    assert slow.report(slow.a).blockers == ()
    assert slow.meet(*slow.owners3) == 0


def test_collected_by_age_it_comes_back(slow, monkeypatch):
    ask_owners_for_nothing(monkeypatch)
    believe_that_there_are_no_hints(monkeypatch)
    play_gc_grace_resurrection(slow)
    assert slow.is_gone(KEY, slow.a, slow.b)
    slow.heal()
    slow.meet(*slow.owners3)
    assert slow.shown(KEY, *slow.owners3) == {b"v"}


def play_unsynced_confirmation(lab: TombstoneLab) -> None:
    put_everywhere(lab)
    lab.delete(lab.a, KEY)
    lab.ship(KEY, lab.a, lab.b)
    lab.ship(KEY, lab.a, lab.c, sync=False)
    assert lab.run(10 * MINUTE_MS, until=lambda: lab.phase(lab.a) is Phase.AGING)
    lab.stop(lab.c, power=True)
    lab.start(lab.c)
    lab.run(GC_MS)
    lab.meet(*lab.owners3)


def test_what_was_confirmed_survives_a_loss_of_power(lab):
    play_unsynced_confirmation(lab)
    assert lab.is_gone(KEY, *lab.owners3)


def test_confirmed_before_it_is_synced_it_comes_back(lab):
    lab.c.store.confirms_synced = False
    play_unsynced_confirmation(lab)
    assert lab.shown(KEY, *lab.owners3) == {b"v"}


# --- 22: hint_after_tombstone_gc -----------------------------------------------------------------


def play_hint_of_a_member_that_is_away(lab: TombstoneLab) -> None:
    lab.stop(lab.c)
    lab.put(lab.a, KEY, b"v")
    lab.ship(KEY, lab.a, lab.b)
    lab.keep_hint(KEY, lab.a, lab.d)
    lab.stop(lab.d)
    lab.start(lab.c)
    lab.meet(*lab.owners3)
    delete_everywhere(lab)
    lab.run(DAY_MS)


def test_hint_after_tombstone_gc(slow):
    play_hint_of_a_member_that_is_away(slow)
    assert slow.report(slow.a).collected == 0
    assert slow.blockers(slow.a) == {slow.d.id}
    slow.start(slow.d)
    slow.run(MINUTE_MS)
    assert not slow.d.store.contents(Space.HINT)
    assert slow.shown(KEY, *slow.owners3) == set()
    slow.run(DAY_MS)
    assert slow.is_gone(KEY, *slow.owners3)
    assert slow.report(slow.a).blockers == ()


def test_without_those_who_are_away_the_hint_puts_it_back(slow, monkeypatch):
    ask_who_can_be_reached(monkeypatch, slow)
    play_hint_of_a_member_that_is_away(slow)
    assert slow.is_gone(KEY, *slow.owners3)
    slow.start(slow.d)
    slow.run(MINUTE_MS)
    assert slow.shown(KEY, *slow.owners3) == {b"v"}


def remove_d(lab: TombstoneLab) -> None:
    members = tuple(
        replace(member, state=MemberState.REMOVED) if member.id == lab.d.id else member
        for member in TOPOLOGY.members
    )
    nodes = [node for node in lab.nodes.values() if node is not lab.d]
    lab.adopted(changed(TOPOLOGY, members=members), *nodes)
    lab.run(DAY_MS)
    lab.start(lab.d)
    lab.run(MINUTE_MS)


def test_whoever_is_removed_blocks_nobody_and_its_hints_are_refused(slow):
    play_hint_of_a_member_that_is_away(slow)
    assert not slow.is_gone(KEY, slow.a)
    remove_d(slow)
    assert slow.is_gone(KEY, *slow.owners3)
    assert slow.d.store.contents(Space.HINT)
    assert slow.d.id not in slow.blockers(slow.a)


def test_from_a_removed_member_that_is_listened_to_it_comes_back(slow):
    slow.refuses_removed = False
    play_hint_of_a_member_that_is_away(slow)
    remove_d(slow)
    assert slow.shown(KEY, *slow.owners3) == {b"v"}


def test_a_sole_copy_in_hints_outlives_hours_of_collecting(slow):
    """Of a newer write than the tombstone; its holders block until it is with the owners."""
    put_everywhere(slow)
    delete_everywhere(slow)
    slow.put(slow.a, KEY, b"v9", slow.context(slow.a, KEY))
    for holder in (slow.d, slow.e):
        slow.keep_hint(KEY, slow.a, holder)
    for owner in slow.owners3:  # v9 is on nobody's disk
        owner.store.carry_out(Discard(0))
        slow.stop(owner)
    slow.run(DAY_MS // 4)
    for owner in slow.owners3:
        slow.start(owner)
    slow.run(MINUTE_MS)
    assert [slow.shown(KEY, owner) for owner in slow.owners3] == [{b"v9"}] * 3


# --- 23: tombstone_gc_during_move ----------------------------------------------------------------


def play_move(lab: TombstoneLab) -> Topology:
    """D has taken the place of C, which was cut off; not settled yet. The document that settles."""
    put_everywhere(lab)
    lab.cut_off(lab.c)
    lab.delete(lab.a, KEY)
    lab.ship(KEY, lab.a, lab.b)
    row = (lab.a.id, lab.b.id, lab.d.id)
    switched = moved(TOPOLOGY, 0, Moving.SWITCHED, row)
    lab.adopted(switched, lab.a, lab.b, lab.d, lab.e)
    lab.ship(KEY, lab.a, lab.d)
    lab.d.not_ready.clear()
    lab.run(GC_MS)
    return moved(switched, 0, None, row)


def test_nothing_is_collected_while_the_partition_moves(lab):
    settled = play_move(lab)
    assert not lab.is_gone(KEY, lab.a)
    assert lab.report(lab.a).held_up == 1
    assert lab.report(lab.a).collected == 0
    lab.heal()  # C hands over what it has, and drops it
    lab.ship(KEY, lab.c, lab.a, lab.b, lab.d)
    assert lab.shown(KEY, lab.a, lab.b, lab.d) == set()
    lab.adopted(settled, *lab.nodes.values())
    lab.run(GC_MS)
    assert lab.is_gone(KEY, lab.a, lab.b, lab.c, lab.d)


def test_collected_during_the_move_it_comes_back(lab, monkeypatch):
    """Two rules overlap: C, whom nobody asks as an owner, has not told of its hints either."""
    monkeypatch.setattr(Topology, "transitions_by_partition", {})
    monkeypatch.setattr(TombstoneCollector, "_members", lambda _: ())
    play_move(lab)
    assert lab.is_gone(KEY, lab.a, lab.b, lab.d)
    lab.heal()
    lab.ship(KEY, lab.c, lab.a, lab.b, lab.d)
    assert lab.shown(KEY, lab.a, lab.b, lab.d) == {b"v"}


def play_filling_copy(lab: TombstoneLab, filling: LabNode) -> None:
    put_everywhere(lab)
    delete_everywhere(lab)
    filling.not_ready.add(0)
    lab.run(GC_MS)


def test_a_copy_that_is_being_filled_confirms_nothing(lab):
    play_filling_copy(lab, lab.c)
    assert not lab.is_gone(KEY, lab.a)
    assert [(each.member, each.why) for each in lab.report(lab.a).blockers] == [
        (lab.c.id, Why.NOT_READY)
    ]
    lab.c.not_ready.clear()
    lab.run(GC_MS)
    assert lab.is_gone(KEY, *lab.owners3)
    assert lab.report(lab.a).blockers == ()


def test_a_copy_that_is_being_filled_never_collects(lab):
    play_filling_copy(lab, lab.a)
    assert not lab.is_gone(KEY, lab.a)
    assert lab.report(lab.a).held_up == 1
    assert lab.report(lab.a).waiting == 0


def test_a_copy_that_has_become_one_forgets_nothing_of_what_was_proven(lab):
    put_everywhere(lab)
    delete_everywhere(lab)
    assert lab.run(10 * MINUTE_MS, until=lambda: lab.phase(lab.a) is Phase.RESTING)
    lab.c.not_ready.add(0)
    lab.run(GC.lifetime_ms + 1000)
    assert [lab.is_gone(KEY, node) for node in lab.owners3] == [True, True, False]


def test_a_sweep_whose_partition_has_moved_begins_anew(lab):
    put_everywhere(lab)
    delete_everywhere(lab)
    assert lab.run(10 * MINUTE_MS, until=lambda: lab.phase(lab.a) is Phase.RESTING)
    moved = changed(TOPOLOGY, placed=(2, *TOPOLOGY.placed[1:]))
    lab.adopted(moved, lab.a, lab.b)
    lab.run(GC.lifetime_ms + 1000)
    assert not lab.is_gone(KEY, lab.a)
    lab.run(GC_MS)  # C learns of it from what it is asked
    assert lab.is_gone(KEY, *lab.owners3)


def test_who_knows_a_newer_place_refuses(lab):
    put_everywhere(lab)
    delete_everywhere(lab)
    moved = changed(TOPOLOGY, placed=(2, *TOPOLOGY.placed[1:]))
    lab.adopted(moved, lab.c)
    lab.run(GC_MS)
    assert not lab.is_gone(KEY, lab.a)
    assert {each.why for each in lab.report(lab.a).blockers} == {Why.MOVED}


# --- 4 and 5: doomstones -------------------------------------------------------------------------


def play_doomstone_fallback(lab: TombstoneLab, *, restarts_counter: bool) -> None:
    for value in (b"bob", b"phil", b"pete"):
        lab.put(lab.a, KEY, value, lab.context(lab.a, KEY))
    lab.ship(KEY, lab.a, lab.b, lab.c)
    [dot] = lab.dots(lab.a, KEY)
    seen = lab.context(lab.b, KEY)
    lab.stop(lab.a)
    lab.delete(lab.b, KEY, seen)
    lab.ship(KEY, lab.b, lab.c)
    lab.keep_hint(KEY, lab.b, lab.d)
    lab.stop(lab.d)
    lab.start(lab.a)
    lab.ship(KEY, lab.b, lab.a)
    lab.run(GC_MS)
    assert lab.shown(KEY, *lab.owners3) == set()
    is_gone = lab.is_gone(KEY, lab.a)
    lab.put(lab.a, KEY, b"jon", actor=dot.actor if restarts_counter and is_gone else None)
    lab.ship(KEY, lab.a, lab.b, lab.c)
    lab.start(lab.d)
    lab.run(MINUTE_MS)


def test_doomstone_fallback(lab):
    play_doomstone_fallback(lab, restarts_counter=True)
    assert not lab.is_gone(KEY, *lab.owners3)
    for node in lab.owners3:
        assert lab.shown(KEY, node) == {b"jon"}


@pytest.mark.parametrize(("restarts_counter", "left"), [(False, {b"jon"}), (True, set())])
def test_doomstone_fallback_with_a_rule_off_and_with_both(lab, monkeypatch, restarts_counter, left):
    """Fresh epochs save what a tombstone collected too early would have cost."""
    ask_who_can_be_reached(monkeypatch, lab)
    play_doomstone_fallback(lab, restarts_counter=restarts_counter)
    assert [lab.shown(KEY, node) for node in lab.owners3] == [left] * 3


def play_doomstone_primary(lab: TombstoneLab, *, restarts_counter: bool) -> None:
    for value in (b"bob", b"phil", b"pete"):
        lab.put(lab.a, KEY, value, lab.context(lab.a, KEY))
    [dot] = lab.dots(lab.a, KEY)
    delete_everywhere(lab)
    lab.stop(lab.c)
    lab.run(GC_MS)
    is_gone = lab.is_gone(KEY, lab.a)
    lab.put(lab.a, KEY, b"jon", actor=dot.actor if restarts_counter and is_gone else None)
    lab.ship(KEY, lab.a, lab.b)
    lab.start(lab.c)
    lab.meet(*lab.owners3)


def test_doomstone_primary(lab):
    play_doomstone_primary(lab, restarts_counter=True)
    assert lab.report(lab.a).collected == 0
    assert [lab.shown(KEY, node) for node in lab.owners3] == [{b"jon"}] * 3


@pytest.mark.parametrize(("restarts_counter", "left"), [(False, {b"jon"}), (True, set())])
def test_doomstone_primary_with_a_rule_off_and_with_both(lab, monkeypatch, restarts_counter, left):
    ask_owners_for_nothing(monkeypatch)
    ask_who_can_be_reached(monkeypatch, lab)
    play_doomstone_primary(lab, restarts_counter=restarts_counter)
    assert [lab.shown(KEY, node) for node in lab.owners3] == [left] * 3
