"""Actors: when a fresh epoch is needed, that it is durable before it is used, and starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.versions.actor import SERIAL_MAX, ActorSource, Identity, Reason, choose
from lsmkv_cluster.versions.context import NOTHING, Context
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.vclock import COUNTER_MAX, Actor, Clock, Entry
from tests.support.record_lab import START_MS

ME = Identity(node=1, incarnation=70)
START_S = START_MS // 1000


def mine(serial: int, start_s: int = 5) -> Actor:
    return Actor(1, 70, serial << 32 | start_s)


def record(*entries: tuple[Actor, int], cut_s: int = 0) -> Record:
    return Record(Clock({actor: Entry(n, 99) for actor, n in entries}), (), cut_s)


def seen(*entries: tuple[Actor, int], cut_s: int = 0) -> Context:
    return Context(Clock({actor: Entry(n, 99) for actor, n in entries}), cut_s)


OTHER = Actor(2, 70, 1 << 32)
OTHER_STORE = Actor(1, 71, 1 << 32)


@pytest.mark.parametrize(
    ("local", "context", "trusted", "expected"),
    [
        (record((mine(1), 3)), NOTHING, 1, mine(1)),
        (record((mine(1), 3), (mine(4), 1)), NOTHING, 1, mine(4)),
        (record((mine(1), 3)), seen((mine(1), 3), (OTHER, 9)), 1, mine(1)),
        (None, NOTHING, 1, Reason.NO_RECORD),
        (None, seen((mine(1), 1)), 1, Reason.NO_RECORD),
        (record((OTHER, 3), (OTHER_STORE, 3)), NOTHING, 1, Reason.NO_TRUSTED_ENTRY),
        (record((mine(1), 3)), NOTHING, 2, Reason.NO_TRUSTED_ENTRY),
        (record((mine(1), 3)), seen((mine(1), 4)), 1, Reason.MISSED_DOT),
        (record((mine(1), 3)), seen((mine(2), 1)), 1, Reason.MISSED_DOT),
        (record((mine(1), 3), (mine(2), 1)), seen((mine(1), 4)), 1, Reason.MISSED_DOT),
        (record((mine(1), 3), (mine(2), 1)), seen((mine(1), 4)), 2, mine(2)),
        (record((mine(1), 3), cut_s=5), NOTHING, 1, mine(1)),
        (record((mine(1), 3), cut_s=6), NOTHING, 1, Reason.CUT),
        (record((mine(1), 3)), seen(cut_s=6), 1, Reason.CUT),
        (record((mine(1), COUNTER_MAX)), NOTHING, 1, Reason.FULL),
        (record((mine(1), COUNTER_MAX - 1)), NOTHING, 1, mine(1)),
    ],
)
def test_who_may_mint(
    local: Record | None, context: Context, trusted: int, expected: Actor | Reason
):
    assert choose(local, context, replace(ME, trusted=trusted)) == expected


def started(
    stored: Identity = ME, *, ended_cleanly: bool = True, peers_needed: int = 0
) -> ActorSource:
    source = ActorSource(
        stored, ended_cleanly=ended_cleanly, peers_needed=peers_needed, lease_size=4
    )
    persist(source)
    return source


def persist(source: ActorSource) -> Identity:
    for effect in source.effects:
        source.persisted(effect.identity)
    source.effects.clear()
    return source.identity


def fresh(source: ActorSource) -> Actor:
    actor = source.choose(None, NOTHING, START_MS)
    assert isinstance(actor, Actor), actor
    return actor


def test_fresh_actors_are_never_the_same_over_kills_at_any_moment():
    """Each time the process dies, what was persisted last is what the next one finds."""
    used: list[Actor] = []
    stored = ME
    for lives in range(30):
        source = ActorSource(stored, ended_cleanly=True, peers_needed=0, lease_size=4)
        for step in range(lives % 9):
            if step % 3 == 0:
                stored = persist(source)
            chosen = source.choose(None, NOTHING, START_MS)
            used += [chosen] if isinstance(chosen, Actor) else []
    assert len(used) == len(set(used)) > 40
    assert all(actor.start_s == START_S for actor in used)


def test_nothing_is_handed_out_before_it_is_durable():
    source = ActorSource(ME, ended_cleanly=True, peers_needed=0, lease_size=4)
    assert source.choose(None, NOTHING, START_MS) is None
    persist(source)
    for _ in range(4):
        fresh(source)
    assert source.choose(None, NOTHING, START_MS) is Reason.NO_RECORD
    persist(source)
    fresh(source)


def test_a_lease_is_renewed_before_it_ends():
    source = started()
    for _ in range(40):
        fresh(source)
        persist(source)


def test_a_fresh_actor_starts_no_earlier_than_the_cut():
    source = started()
    late = START_S + 100
    local = record((mine(1), 3), cut_s=late)
    actor = source.choose(local, NOTHING, START_MS)
    assert isinstance(actor, Actor)
    assert actor.start_s == late
    assert choose(record((actor, 1), cut_s=late), NOTHING, source.identity) == actor


@pytest.mark.parametrize("ended_cleanly", [False, True])
def test_an_unclean_start_distrusts_what_was_before(ended_cleanly: bool):
    first = started()
    actor = fresh(first)
    second = started(first.identity, ended_cleanly=ended_cleanly)
    chosen = second.choose(record((actor, 1)), NOTHING, START_MS)
    assert (chosen == actor) == ended_cleanly
    assert isinstance(chosen, Actor)


def test_a_lost_write_distrusts_all_epochs_so_far_durably():
    source = started()
    actor = fresh(source)
    local = record((actor, 1))
    before = source.durable_trusted_epoch
    source.distrust_epochs()
    assert source.choose(local, NOTHING, START_MS) is None, "not before it is durable"
    assert source.durable_trusted_epoch == before
    stored = persist(source)
    assert source.durable_trusted_epoch > actor.epoch
    after = source.choose(local, NOTHING, START_MS)
    assert isinstance(after, Actor)
    assert after > actor
    later = started(stored)
    assert later.choose(local, NOTHING, START_MS) != actor


def test_nothing_is_minted_until_peers_have_confirmed_the_start():
    source = started(peers_needed=2)
    for node, expected in ((2, False), (2, False), (3, True)):
        source.peer_answered(node, start_number_seen=0, incarnation_if_stale=71)
        assert source.may_mint == expected
    assert fresh(source).incarnation == 70


def test_a_restored_old_disk_becomes_a_new_incarnation():
    first = started()
    copied_disk = first.identity
    second = started(copied_disk)
    lost = [fresh(second) for _ in range(3)]
    third = started(copied_disk, peers_needed=1)
    assert third.identity.start_number == second.identity.start_number
    third.peer_answered(2, second.identity.start_number, incarnation_if_stale=71)
    assert not third.may_mint, "the new incarnation is not durable yet"
    persist(third)
    assert third.identity.start_number == second.identity.start_number + 1
    local = record(*((actor, 1) for actor in lost))
    actor = third.choose(local, NOTHING, START_MS)
    assert isinstance(actor, Actor)
    assert actor.incarnation == 71


def test_where_no_peer_can_be_asked_the_disk_is_not_trusted():
    source = started(peers_needed=1)
    source.distrust_disk(71)
    persist(source)
    assert fresh(source).incarnation == 71


def test_an_unclean_start_of_a_wiped_store():
    source = started(Identity(1, 72), ended_cleanly=False)
    assert fresh(source) == Actor(1, 72, 1 << 32 | START_S)
    assert source.identity.own() == bytes([0, 0, 0, 1, 0, 0, 0, 72])


def test_what_was_under_way_before_a_new_incarnation_makes_no_distrust_durable():
    """Both trust what they have from the first epoch on, and mean other epochs."""
    source = started()
    earlier = source.identity
    source.distrust_disk(78)
    source.distrust_epochs()
    assert source.identity.trusted == earlier.trusted
    source.persisted(earlier)
    assert not source.is_distrust_durable
    persist(source)
    assert source.is_distrust_durable


def test_serials_for_somebody_else_are_nobody_elses():
    source = started()
    taken = source.take_serials(2)
    assert len(taken) == 2
    assert fresh(source).epoch >> 32 == taken.stop
    assert len(source.take_serials(9)) == 1, "no more than are durable"
    assert not source.take_serials(9)
    persist(source)
    assert source.take_serials(9)


@pytest.mark.parametrize("left", range(1, 7))
def test_the_next_incarnation_follows_the_last_epoch(left: int):
    """One epoch is used by each new key, so a busy store comes to the end within days."""
    source = started(Identity(1, (1 << 32) - 1, start_number=3, leased=SERIAL_MAX - left))
    used = []
    for _ in range(left + 2):
        persist(source)
        used.append(fresh(source))
    assert len(set(used)) == left + 2
    assert [actor.incarnation for actor in used] == [(1 << 32) - 1] * left + [0, 0]
    assert used[-1].epoch >> 32 == 2
    assert persist(source).start_number == 4


def test_a_start_finds_that_all_epochs_are_used():
    source = started(Identity(1, 70, start_number=3, leased=SERIAL_MAX), peers_needed=1)
    assert fresh(source).incarnation == 71
    assert source.identity.start_number == 4


def test_the_last_epochs_are_leased_once():
    source = started(Identity(1, 70, leased=SERIAL_MAX - 3))
    for _ in range(2):
        fresh(source)
        assert source.effects == []
    assert len(source.take_serials(9)) == 1
    assert len(source.effects) == 1
    assert source.take_serials(9) == range(0), "not durable yet"
    persist(source)
    assert source.take_serials(2) == range(1, 3)


def test_a_store_that_may_not_mint_gives_no_serials():
    assert not started(peers_needed=1).take_serials(3)
