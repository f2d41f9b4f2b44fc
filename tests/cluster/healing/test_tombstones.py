"""Deletes are collected when every owner and every hint has been heard, and nothing comes back.

The first tests are scenarios that other stores have failed; each is played a second time with the
rule that saves it switched off, and then fails. Nodes run in tests/support/tombstone_lab.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lsmkv_cluster.healing import expiring
from lsmkv_cluster.healing.collecting import Phase, Sweep
from lsmkv_cluster.healing.tombstone_limits import TombstoneSettings, Why
from lsmkv_cluster.healing.tombstones import TombstoneCollector
from lsmkv_cluster.placement.members import MemberState
from lsmkv_cluster.placement.owners import Phase as Moving
from lsmkv_cluster.placement.owners import Transition
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Effect, Now
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import Confirm, Discard, Failed, Failure, Sync
from lsmkv_cluster.versions.minting import delete
from lsmkv_cluster.versions.record import Kind
from tests.support.heal_lab import LabNode, heal_topology, keys_of
from tests.support.tombstone_lab import GC, TombstoneLab

TOPOLOGY = heal_topology()
[KEY] = keys_of(TOPOLOGY, 0, 1)
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
SLOW = replace(GC, interval_ms=60 * MINUTE_MS)
GC_MS = 5 * MINUTE_MS  # in which a sweep of every partition ends
Patch = pytest.MonkeyPatch


@pytest.fixture
def lab() -> Iterator[TombstoneLab]:
    with TombstoneLab() as made:
        yield made


@pytest.fixture
def slow() -> Iterator[TombstoneLab]:
    with TombstoneLab(settings=SLOW) as made:
        yield made


def put_everywhere(lab: TombstoneLab, value: bytes = b"v") -> None:
    lab.put(lab.a, KEY, value)
    lab.ship(KEY, lab.a, lab.b, lab.c)


def delete_everywhere(lab: TombstoneLab) -> None:
    lab.delete(lab.a, KEY)
    lab.ship(KEY, lab.a, lab.b, lab.c)


def changed(topology: Topology, **changes: object) -> Topology:
    """The next document."""
    epoch = topology.epoch + 1
    return replace(topology, epoch=epoch, parent=b"p" * 32, **changes)


# --- the rules that can be switched off ----------------------------------------------------------


def ask_owners_for_nothing(patch: Patch) -> None:
    patch.setattr(Sweep, "_owner_told", lambda *_: None)


def ask_who_can_be_reached(patch: Patch, lab: TombstoneLab) -> None:
    """Of hints only."""

    def reachable(self: TombstoneCollector) -> list[bytes]:
        return [id for id in lab.nodes if lab.reachable_from(self._me)(id)]

    patch.setattr(TombstoneCollector, "_members", reachable)


def believe_that_there_are_no_hints(patch: Patch) -> None:
    patch.setattr(TombstoneCollector, "_members", lambda _: ())


# --- the plain case ------------------------------------------------------------------------------


def test_what_is_deleted_everywhere_goes_from_all_owners(lab):
    put_everywhere(lab)
    delete_everywhere(lab)
    lab.run(GC.age_min_ms + GC_MS)
    assert lab.is_gone(KEY, *lab.owners3)
    assert lab.report(lab.a).collected == 1
    assert [lab.report(node).collected for node in (lab.b, lab.c)] == [0, 0]
    assert lab.report(lab.a).waiting == 0
    assert lab.report(lab.a).blockers == ()
    assert lab.meet(*lab.owners3) == 0
    assert len({node.store.tree(0).root for node in lab.owners3}) == 1


def test_what_lives_is_not_touched(lab):
    keys = keys_of(TOPOLOGY, 0, 30)
    for number, key in enumerate(keys):
        lab.put(lab.a, key, b"v")
        if number % 3 == 0:
            lab.delete(lab.a, key)
        if number % 3 == 1:
            lab.delete(lab.b, key)  # beside the value, which it has not seen
    lab.meet(*lab.owners3)
    lab.run(GC.age_min_ms + GC_MS)
    for number, key in enumerate(keys):
        assert lab.is_gone(key, *lab.owners3) == (number % 3 == 0)
    assert lab.shown(keys[1], *lab.owners3) == {b"v"}


def test_a_write_that_comes_in_time_keeps_the_record(lab):
    """Known to one owner only when the others forget."""
    put_everywhere(lab)
    delete_everywhere(lab)
    assert lab.run(10 * MINUTE_MS, until=lambda: lab.phase(lab.a) is Phase.RESTING)
    lab.put(lab.b, KEY, b"w")
    lab.run(GC_MS)
    assert lab.shown(KEY, lab.b) == {b"w"}
    lab.meet(*lab.owners3)
    assert lab.shown(KEY, *lab.owners3) == {b"w"}
    lab.run(GC_MS)
    assert [lab.shown(KEY, node) for node in lab.owners3] == [{b"w"}] * 3


def test_who_misses_the_end_gives_the_tombstone_back_and_the_next_sweep_finds_it(lab):
    put_everywhere(lab)
    delete_everywhere(lab)
    assert lab.run(10 * MINUTE_MS, until=lambda: lab.phase(lab.a) is Phase.RESTING)
    lab.cut_off(lab.c)
    lab.run(GC.lifetime_ms + 1000)
    assert lab.is_gone(KEY, lab.a, lab.b)
    assert not lab.is_gone(KEY, lab.c)
    lab.heal()
    assert lab.meet(*lab.owners3) == 2
    assert lab.shown(KEY, *lab.owners3) == set()
    lab.run(GC_MS)
    assert lab.is_gone(KEY, *lab.owners3)
    assert lab.meet(*lab.owners3) == 0


def test_a_collection_that_the_power_takes_back_is_done_again(lab):
    put_everywhere(lab)
    delete_everywhere(lab)
    lab.run(10 * MINUTE_MS, until=lambda: lab.is_gone(KEY, *lab.owners3))
    lab.stop(lab.a, power=True)
    lab.start(lab.a)
    assert lab.shown(KEY, lab.a) == set()
    assert not lab.is_gone(KEY, lab.a)
    lab.meet(*lab.owners3)
    lab.run(GC_MS)
    assert lab.is_gone(KEY, *lab.owners3)


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
    lab.adopt(changed(TOPOLOGY, members=members), *nodes)
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


def play_move(lab: TombstoneLab) -> tuple[Topology, Topology]:
    """The documents in which D has taken the place of C, which was cut off: not settled, settled.
    Up to the first."""
    put_everywhere(lab)
    lab.cut_off(lab.c)
    lab.delete(lab.a, KEY)
    lab.ship(KEY, lab.a, lab.b)
    a, b, c, d = (node.id for node in (lab.a, lab.b, lab.c, lab.d))
    owners = ((a, b, d), *TOPOLOGY.owners[1:])
    placed = (2, *TOPOLOGY.placed[1:])
    moving = (Transition(0, Moving.SWITCHED, (a, b, c)),)
    switched = changed(TOPOLOGY, owners=owners, placed=placed, transitions=moving)
    placed = (3, *TOPOLOGY.placed[1:])
    settled = changed(switched, transitions=(), placed=placed)
    lab.adopt(switched, lab.a, lab.b, lab.d, lab.e)
    lab.ship(KEY, lab.a, lab.d)
    lab.run(GC_MS)
    return switched, settled


def test_nothing_is_collected_while_the_partition_moves(lab):
    switched, settled = play_move(lab)
    assert not lab.is_gone(KEY, lab.a)
    assert lab.report(lab.a).held_up == 1
    assert lab.report(lab.a).collected == 0
    lab.heal()  # C hands over what it has, and drops it
    lab.ship(KEY, lab.c, lab.a, lab.b, lab.d)
    assert lab.shown(KEY, lab.a, lab.b, lab.d) == set()
    lab.c.store.carry_out(Discard(0))
    lab.adopt(settled, *lab.nodes.values())
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
    lab.adopt(moved, lab.a, lab.b)
    lab.run(GC.lifetime_ms + 1000)
    assert not lab.is_gone(KEY, lab.a)
    lab.run(GC_MS)  # C learns of it from what it is asked
    assert lab.is_gone(KEY, *lab.owners3)


def test_who_knows_a_newer_place_refuses(lab):
    put_everywhere(lab)
    delete_everywhere(lab)
    moved = changed(TOPOLOGY, placed=(2, *TOPOLOGY.placed[1:]))
    lab.adopt(moved, lab.c)
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


# --- 25: expired_key_revived ---------------------------------------------------------------------


def play_expired_key(lab: TombstoneLab) -> int:
    """Its expiry. C was cut off meanwhile and has heard of nothing."""
    expiry_ms = lab.now.wall_ms + 60_000
    lab.put(lab.a, KEY, b"v", expiry_ms=expiry_ms)
    lab.ship(KEY, lab.a, lab.b, lab.c)
    lab.cut_off(lab.c)
    lab.run(60_000)
    return expiry_ms


def test_expired_key_revived(lab):
    expiry_ms = play_expired_key(lab)
    assert lab.shown(KEY, *lab.owners3) == set()
    assert lab.shown(KEY, lab.b, skew_ms=-5000) == {b"v"}
    for _ in range(6):
        lab.run(10_000)
        assert lab.shown(KEY, *lab.owners3, skew_ms=-5000) == set()
        for node in lab.owners3:
            record = lab.record(node, KEY)
            assert record is not None
            assert {item.expiry_ms for item in record.items} <= {0, expiry_ms}
    record = lab.record(lab.a, KEY)
    assert record is not None
    assert [item.kind for item in record.items] == [Kind.TOMBSTONE]
    assert lab.report(lab.a).expired == 1
    lab.heal()
    lab.meet(*lab.owners3)
    lab.run(GC_MS)
    assert lab.is_gone(KEY, *lab.owners3)
    assert lab.meet(*lab.owners3) == 0


def test_dropped_when_it_expires_it_is_brought_back_again_and_again(lab, monkeypatch):
    """What had expired would count as deleted, and go from one disk without a tombstone."""
    monkeypatch.setattr("lsmkv_cluster.storage.deletions.is_deleted", lambda record: True)
    ask_owners_for_nothing(monkeypatch)
    believe_that_there_are_no_hints(monkeypatch)
    play_expired_key(lab)
    lab.run(GC_MS)
    assert lab.is_gone(KEY, lab.a, lab.b)
    lab.heal()
    assert lab.meet(*lab.owners3) > 0
    assert not lab.is_gone(KEY, lab.a)


def play_newer_value(lab: TombstoneLab, *, is_known_here: bool) -> None:
    """v expires; B has v2, which A has not heard of, or holds beside v."""
    expiry_ms = lab.now.wall_ms + 60_000
    lab.put(lab.a, KEY, b"v", expiry_ms=expiry_ms)
    lab.ship(KEY, lab.a, lab.b, lab.c)
    lab.run(59_000)
    if is_known_here:
        lab.put(lab.b, KEY, b"v2")
        lab.ship(KEY, lab.b, lab.a)
    else:
        lab.put(lab.b, KEY, b"v2", lab.context(lab.b, KEY))
    lab.run(MINUTE_MS)
    assert lab.report(lab.a).expired == 1
    lab.meet(*lab.owners3)
    lab.run(GC_MS)


@pytest.mark.parametrize("is_known_here", [False, True])
def test_a_newer_value_survives_the_expiry_of_another(lab, is_known_here):
    play_newer_value(lab, is_known_here=is_known_here)
    assert [lab.shown(KEY, node) for node in lab.owners3] == [{b"v2"}] * 3


def test_with_all_that_is_known_as_its_context_the_expiry_takes_it_along(lab, monkeypatch):
    monkeypatch.setattr(expiring, "expire", lambda local, now_ms: delete(local))
    play_newer_value(lab, is_known_here=True)
    assert lab.shown(KEY, *lab.owners3) == set()


def test_a_value_that_comes_between_the_look_and_the_tombstone_survives(lab):
    lab.put(lab.a, KEY, b"v", expiry_ms=lab.now.wall_ms + 1)
    lab.run(6000)
    minter, wall_ms = lab.a.store.minter, lab.now.wall_ms
    order = expiring.expiry_order(minter, (KEY,), wall_ms, wall_ms - 5000)
    lab.put(lab.a, KEY, b"v2", lab.context(lab.a, KEY))
    before = lab.record(lab.a, KEY)
    lab.a.store.carry_out(order)
    assert lab.record(lab.a, KEY) == before


def test_expiries_minted_by_several_owners_are_collected_as_one(lab):
    lab.put(lab.a, KEY, b"v", expiry_ms=lab.now.wall_ms + 1)
    lab.ship(KEY, lab.a, lab.b, lab.c)
    lab.run(6000)
    for node in (lab.b, lab.c):
        wall_ms = lab.now.wall_ms
        minter = node.store.minter
        node.store.carry_out(expiring.expiry_order(minter, (KEY,), wall_ms, wall_ms - 5000))
    lab.meet(*lab.owners3)
    lab.meet(*lab.owners3)
    assert lab.meet(*lab.owners3) == 0
    lab.run(GC_MS)
    lab.meet(*lab.owners3)
    lab.run(GC_MS)
    assert lab.is_gone(KEY, *lab.owners3)


def test_nothing_expires_by_a_clock_that_nobody_shares(lab):
    lab.clock_agrees = False
    lab.put(lab.a, KEY, b"v", expiry_ms=lab.now.wall_ms + 1)
    lab.run(GC_MS)
    assert lab.report(lab.a).expired == 0
    lab.clock_agrees = True
    lab.run(MINUTE_MS)
    assert lab.report(lab.a).expired == 1


# --- what is under way ---------------------------------------------------------------------------


def play_late_message(lab: TombstoneLab) -> None:
    """C lacks the tombstone and has sent what it has to A; then it gets it, and confirms."""
    put_everywhere(lab)
    lab.delete(lab.a, KEY)
    lab.ship(KEY, lab.a, lab.b)
    lab.run(2 * GC.age_min_ms)
    lab.ship(KEY, lab.c, lab.a, after_ms=29_000)
    lab.ship(KEY, lab.a, lab.c)
    lab.run(GC_MS)
    lab.meet(*lab.owners3)


def test_what_was_sent_before_the_proof_comes_too_early_to_harm(lab):
    play_late_message(lab)
    lab.run(GC_MS)
    assert lab.is_gone(KEY, *lab.owners3)


def test_without_waiting_for_what_is_under_way_it_comes_back():
    """The age of the tombstone alone is no help: it was deleted two minutes before."""
    with TombstoneLab(settings=replace(GC, lifetime_ms=1)) as lab:
        play_late_message(lab)
        assert lab.shown(KEY, *lab.owners3) == {b"v"}


def play_late_hint(lab: TombstoneLab) -> None:
    """The hint is on its way when its holder says that it has none; then that is cut off."""
    put_everywhere(lab)
    lab.delete(lab.a, KEY)
    lab.ship(KEY, lab.a, lab.b)
    lab.run(2 * GC.age_min_ms)
    lab.keep_hint(KEY, lab.c, lab.d, after_ms=29_000)
    lab.ship(KEY, lab.a, lab.c)
    assert lab.run(GC_MS, until=lambda: lab.phase(lab.a) in (Phase.AGING, Phase.RESTING))
    lab.run(2_000)
    lab.cut_off(lab.d)
    lab.run(GC_MS)
    lab.heal()
    lab.run(MINUTE_MS)


def test_a_hint_that_was_under_way_is_waited_for(lab):
    play_late_hint(lab)
    assert lab.shown(KEY, *lab.owners3) == set()
    lab.run(GC_MS)
    assert lab.is_gone(KEY, *lab.owners3)


def test_who_tells_of_its_hints_too_early_has_said_nothing(lab, monkeypatch):
    def go_on(self: Sweep, now: Now) -> list[Effect]:
        effects = proven(self, now)
        if self.phase is Phase.AGING:
            self._old_ms, self._due_ms = 0, now.ms + 1
        return effects

    proven = Sweep._go_on
    monkeypatch.setattr(Sweep, "_go_on", go_on)
    play_late_hint(lab)
    assert lab.shown(KEY, *lab.owners3) == {b"v"}


def play_hint_that_is_sent_twice(lab: TombstoneLab) -> None:
    """D delivers its hint and drops it, while the same lies in some queue on its way to A."""
    put_everywhere(lab)
    lab.keep_hint(KEY, lab.a, lab.d)
    lab.cut_off(lab.d)
    v = lab.a.store.get(KEY)
    assert v is not None
    delete_everywhere(lab)
    assert lab.run(10 * MINUTE_MS, until=lambda: lab.phase(lab.a) is Phase.HEARING)
    lab.heal()
    lab.carry(KEY, v, lab.a, after_ms=29_000)
    assert lab.run(MINUTE_MS, until=lambda: not lab.d.store.contents(Space.HINT))
    lab.run(GC_MS)


def test_a_hint_that_was_sent_twice_is_waited_for(lab):
    play_hint_that_is_sent_twice(lab)
    assert lab.is_gone(KEY, *lab.owners3)


def test_without_rest_after_the_last_hint_it_comes_back(lab, monkeypatch):
    def go_on_at_once(self: Sweep, now: Now) -> list[Effect]:
        effects = heard(self, now)
        if self.phase is Phase.RESTING:
            self._due_ms = now.ms + 1
        return effects

    heard = Sweep._heard_from_all
    monkeypatch.setattr(Sweep, "_heard_from_all", go_on_at_once)
    play_hint_that_is_sent_twice(lab)
    assert lab.shown(KEY, lab.a) == {b"v"}


def play_dropped_hint_that_is_back(lab: TombstoneLab) -> None:
    """D has delivered and dropped its hint, and says so; then it loses its power."""
    put_everywhere(lab)
    lab.keep_hint(KEY, lab.a, lab.d)
    delete_everywhere(lab)
    lab.run(10 * MINUTE_MS, until=lambda: lab.is_gone(KEY, *lab.owners3))
    lab.stop(lab.d, power=True)
    lab.start(lab.d)
    lab.run(MINUTE_MS)


def test_a_hint_that_was_dropped_stays_so(lab):
    play_dropped_hint_that_is_back(lab)
    assert lab.is_gone(KEY, *lab.owners3)


def test_hints_told_before_they_are_durably_dropped_come_back(lab, monkeypatch):
    monkeypatch.setattr(lab.d.store, "ignored", Sync)
    play_dropped_hint_that_is_back(lab)
    assert lab.shown(KEY, *lab.owners3) == {b"v"}


def test_hints_that_are_younger_are_no_hindrance(lab):
    put_everywhere(lab)
    delete_everywhere(lab)
    assert lab.run(10 * MINUTE_MS, until=lambda: lab.phase(lab.a) is Phase.AGING)
    lab.cut.add(frozenset((lab.d.id, lab.c.id)))  # so that D keeps it
    [other] = keys_of(TOPOLOGY, 0, 2)[1:]
    lab.put(lab.a, other, b"w")
    lab.keep_hint(other, lab.a, lab.d, after_ms=GC.lifetime_ms + 20)
    lab.run(2 * GC.lifetime_ms + 5_000)
    assert lab.d.store.contents(Space.HINT)
    assert lab.is_gone(KEY, *lab.owners3)


# --- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits",
    [
        {"page_count_max": 7},
        {"page_max_bytes": 1},
        {"candidate_count_max": 10},
        {"candidate_max_bytes": 20},
        {"question_count_max": 3},
        {"question_max_bytes": 1},
    ],
    ids=lambda limits: next(iter(limits)),
)
def test_with_narrow_limits_everything_is_collected_all_the_same(limits):
    settings: TombstoneSettings = replace(GC, lifetime_ms=500, **limits)
    keys = keys_of(TOPOLOGY, 0, 60)
    with TombstoneLab(settings=settings) as lab:
        for number, key in enumerate(keys):
            lab.put(lab.a, key, b"v")
            if number % 2:
                lab.delete(lab.a, key)
        lab.meet(*lab.owners3)
        lab.run(20 * MINUTE_MS)
        for number, key in enumerate(keys):
            assert lab.is_gone(key, *lab.owners3) == bool(number % 2)
        assert lab.report(lab.a).collected == 30
        assert lab.report(lab.a).waiting == 0


def test_a_member_that_joins_at_the_end_must_have_told_of_its_hints_too(lab):
    put_everywhere(lab)
    delete_everywhere(lab)
    members = tuple(member for member in TOPOLOGY.members if member.id != lab.e.id)
    owners = tuple(tuple(id for id in row if id != lab.e.id) or row for row in TOPOLOGY.owners)
    without = changed(TOPOLOGY, members=members, owners=owners)
    lab.adopt(without, *lab.nodes.values())
    assert lab.run(10 * MINUTE_MS, until=lambda: lab.phase(lab.a) is Phase.RESTING)
    lab.stop(lab.e)
    lab.adopt(changed(without, members=TOPOLOGY.members), *lab.nodes.values())
    lab.run(GC_MS)
    assert not lab.is_gone(KEY, lab.a)
    assert lab.blockers(lab.a) == {lab.e.id}
    lab.start(lab.e)
    lab.run(GC_MS)
    assert lab.is_gone(KEY, *lab.owners3)


def test_a_store_that_fails_says_so_and_nothing_goes(lab, monkeypatch):
    put_everywhere(lab)
    delete_everywhere(lab)
    carry_out = lab.b.store.carry_out

    def failing(order):
        return Failed(Failure.BROKEN) if isinstance(order, Confirm) else carry_out(order)

    monkeypatch.setattr(lab.b.store, "carry_out", failing)
    lab.run(GC_MS)
    assert [(each.member, each.why) for each in lab.report(lab.a).blockers] == [
        (lab.b.id, Why.FAILED)
    ]
    assert not lab.is_gone(KEY, lab.a)
