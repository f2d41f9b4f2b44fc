"""What is deleted everywhere goes from all owners, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lsmkv_cluster.healing.collecting import Phase
from lsmkv_cluster.healing.tombstone_limits import TombstoneSettings, Why
from lsmkv_cluster.storage.storage_orders import Confirm, Failed, Failure
from tests.support.heal_lab import keys_of
from tests.support.tombstone_lab import GC, TombstoneLab
from tests.support.tombstone_plays import (
    GC_MS,
    KEY,
    MINUTE_MS,
    TOPOLOGY,
    changed,
    delete_everywhere,
    put_everywhere,
)


@pytest.fixture
def lab() -> Iterator[TombstoneLab]:
    with TombstoneLab() as made:
        yield made


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
    lab.adopted(without, *lab.nodes.values())
    assert lab.run(10 * MINUTE_MS, until=lambda: lab.phase(lab.a) is Phase.RESTING)
    lab.stop(lab.e)
    lab.adopted(changed(without, members=TOPOLOGY.members), *lab.nodes.values())
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
