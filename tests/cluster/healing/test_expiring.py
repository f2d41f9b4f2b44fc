"""What has expired leaves by way of a tombstone, once, and takes nothing else along.

A history in which another store revived expired keys is played with each rule and without it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lsmkv_cluster.healing import expiring
from lsmkv_cluster.versions.minting import delete
from lsmkv_cluster.versions.record import Kind
from tests.support.tombstone_lab import TombstoneLab
from tests.support.tombstone_plays import (
    GC_MS,
    KEY,
    MINUTE_MS,
    ask_owners_for_nothing,
    believe_that_there_are_no_hints,
)


@pytest.fixture
def lab() -> Iterator[TombstoneLab]:
    with TombstoneLab() as made:
        yield made


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
