"""What is under way when a deleted record is proven to be everywhere does not bring it back.

Each history is played a second time without the wait, or the sync, that saves it, and then fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lsmkv_cluster.healing.collecting import Phase, Sweep
from lsmkv_cluster.ports import Effect, Now
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import Sync
from tests.support.heal_lab import keys_of
from tests.support.tombstone_lab import GC, TombstoneLab
from tests.support.tombstone_plays import (
    GC_MS,
    KEY,
    MINUTE_MS,
    TOPOLOGY,
    delete_everywhere,
    put_everywhere,
)


@pytest.fixture
def lab() -> Iterator[TombstoneLab]:
    with TombstoneLab() as made:
        yield made


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
