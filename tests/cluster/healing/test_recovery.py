"""Which copies are whole: scenarios 10 and 18 of lost writes, cluster-review 15 to 17."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

import pytest

from lsmkv_cluster.healing.recovery import Recovery
from lsmkv_cluster.ports import Alarm, Effect, Now, Stored, StoreOrder
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import (
    Complete,
    Discard,
    Done,
    Failed,
    Failure,
    Lack,
    MakeRoom,
    Order,
    Release,
    Result,
    Suspect,
)
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.context import NOTHING
from tests.support.members import member_id

A, B, C = (member_id(name) for name in "abc")
NOW = Now(1000, 0)


class Lab:
    """A recovery, its store (orders are done when `store` says so), and who can be reached."""

    def __init__(self, co_owners: dict[int, frozenset[bytes]] | None = None) -> None:
        self.actors = ActorSource(Identity(1, 1), ended_cleanly=True, peers_needed=0)
        self.actors.persisted(self.actors.identity)
        self.actors.choose(None, NOTHING, now_ms=1000)  # an epoch that can be distrusted
        self.away: set[bytes] = set()
        self.orders: list[StoreOrder] = []
        self.coming: set[int] = set()
        self.alarms: list[str] = []
        both = frozenset({B, C})
        self.recovery = Recovery(
            co_owners if co_owners is not None else {0: both, 3: both},
            lambda member: member not in self.away,
            self.is_filled,
            self.actors,
        )

    def is_filled(self, partition: int, met: Collection[bytes]) -> bool | None:
        """Coming copies are filled when they have met C."""
        return C in met if partition in self.coming else None

    def take(self, effects: list[Effect]) -> list[Order]:
        for effect in effects:
            if isinstance(effect, Alarm):
                self.alarms.append(effect.message)
            else:
                assert isinstance(effect, StoreOrder)
                self.orders.append(effect)
        return [order.order for order in self.orders]

    def start(
        self,
        lack: Lack | None,
        marked: dict[int, Lack] | None = None,
        damaged: tuple[int, ...] = (),
    ) -> list[Order]:
        return self.take(self.recovery.start(NOW, lack, marked or {}, damaged, ()))

    def settle(self) -> None:
        """The store does all there is."""
        while self.orders:
            self.store()

    def store(self, result: Result = Done()) -> None:
        results = [Stored(order.token, result) for order in self.orders]
        self.orders = []
        self.take(self.recovery.stored(NOW, results))

    def met(self, partition: int, *peers: bytes) -> list[Order]:
        for peer in peers:
            self.take(self.recovery.met(NOW, partition, peer))
        return [order.order for order in self.orders]

    def tick(self, now_ms: int) -> list[Order]:
        return self.take(self.recovery.tick(Now(now_ms, 0)))


def test_a_clean_start_is_whole_at_once() -> None:
    lab = Lab()
    assert lab.start(None) == []
    assert lab.recovery.is_ready(0)
    assert not lab.recovery.is_ready(1), "owned by others"
    assert not lab.recovery.is_filling
    assert lab.recovery.next_deadline() is None


def test_what_may_be_lacking_is_marked_until_the_store_has_it() -> None:
    lab = Lab()
    assert lab.start(Lack.UNSYNCED) == [Suspect((0, 3), Lack.UNSYNCED)]
    lab.store(Failed(Failure.FULL))
    assert lab.orders == []
    assert lab.tick(2000) == [Suspect((0, 3), Lack.UNSYNCED)], "again"
    lab.store()
    assert lab.tick(3000) == []


@pytest.mark.parametrize(
    ("lack", "mark", "written", "is_lost"),
    [
        (None, Lack.UNSYNCED, [], False),
        (None, Lack.LOST, [], True),
        (Lack.UNSYNCED, Lack.UNSYNCED, [], False),
        (Lack.UNSYNCED, Lack.LOST, [], True),
        (Lack.LOST, Lack.UNSYNCED, [Suspect((0,), Lack.LOST)], True),
    ],
)
def test_the_worse_of_mark_and_start_counts(
    lack: Lack | None, mark: Lack, written: list[Order], is_lost: bool
) -> None:
    """A second kill before the copy is whole does not make it wait for those who are away."""
    lab = Lab({0: frozenset({B, C})})
    assert lab.start(lack, {0: mark}) == written
    lab.settle()
    lab.away.add(C)
    assert lab.met(0, B) == ([] if is_lost else [Complete(0)])


def test_an_old_disk_that_is_found_while_marks_are_written_is_marked_so() -> None:
    lab = Lab()
    lab.start(Lack.UNSYNCED)
    lab.take(lab.recovery.lost_everything())
    assert [order.order for order in lab.orders] == [
        Suspect((0, 3), Lack.UNSYNCED),
        Suspect((0, 3), Lack.LOST),
    ]
    lab.store(Failed(Failure.FULL))
    assert lab.tick(2000) == [Suspect((0, 3), Lack.LOST)]


@pytest.mark.parametrize(
    ("lack", "away", "met", "whole"),
    [
        (Lack.LOST, [], [], False),
        (Lack.LOST, [], [B], False),
        (Lack.LOST, [C], [B], False),
        (Lack.LOST, [C], [B, C], True),
        (Lack.UNSYNCED, [], [B], False),
        (Lack.UNSYNCED, [], [B, C], True),
        (Lack.UNSYNCED, [C], [B], True),
        (Lack.UNSYNCED, [B, C], [], False),
        (Lack.UNSYNCED, [B, C], [C], True),
    ],
)
def test_what_is_lost_decides_whom_to_meet(
    lack: Lack, away: list[bytes], met: list[bytes], whole: bool
) -> None:
    lab = Lab()
    lab.start(lack)
    lab.settle()
    lab.away.update(away)
    assert lab.met(0, *met) == ([Complete(0)] if whole else [])
    assert not lab.recovery.is_ready(0), "the mark has to go first"
    lab.store()
    assert lab.recovery.is_ready(0) == whole
    assert not lab.recovery.is_ready(3)
    assert lab.recovery.wanting() == ([3] if whole else [0, 3])


def test_who_turns_out_to_be_dead_is_not_waited_for() -> None:
    lab = Lab()
    lab.start(Lack.UNSYNCED)
    lab.settle()
    lab.met(0, B)
    assert lab.tick(1000) == []
    lab.away.add(C)
    assert lab.tick(1500) == [Complete(0)]
    assert lab.tick(2500) == [Complete(0)], "once"


def test_a_mark_of_an_earlier_start_stays_until_all_were_met() -> None:
    lab = Lab()
    assert lab.start(Lack.UNSYNCED, {3: Lack.LOST}) == [Suspect((0,), Lack.UNSYNCED)]
    lab.settle()
    lab.away.add(C)
    assert lab.met(3, B) == []
    assert lab.met(3, C) == [Complete(3)]


def test_a_mark_that_cannot_be_taken_away_is_tried_again() -> None:
    lab = Lab()
    lab.start(Lack.LOST)
    lab.settle()
    lab.met(0, B, C)
    lab.store(Failed(Failure.FULL))
    assert not lab.recovery.is_ready(0)
    assert lab.tick(5000) == [Complete(0)]
    lab.store()
    assert lab.recovery.is_ready(0)


def test_an_unreadable_partition_is_given_up_then_filled() -> None:
    lab = Lab()
    lab.start(None)
    lab.settle()
    trusted = lab.actors.identity.trusted_epoch
    assert lab.take(lab.recovery.unreadable(NOW, 0)) == [Discard(0)]
    assert lab.actors.identity.trusted_epoch > trusted, "own dots may be among what was lost"
    assert lab.take(lab.recovery.unreadable(NOW, 0)) == [Discard(0)], "once"
    assert not lab.recovery.is_ready(0)
    assert lab.recovery.wanting() == []
    assert lab.met(0, B, C) == [Discard(0)], "what was met before the drop does not count"
    lab.store()
    assert lab.recovery.wanting() == [0]
    assert lab.met(0, B, C) == [Complete(0)]
    lab.store()
    assert lab.recovery.is_ready(0)
    assert len(lab.alarms) == 1


@pytest.mark.parametrize("failure", [Failure.FULL, Failure.BROKEN])
def test_a_drop_that_fails_is_tried_again(failure: Failure) -> None:
    """A full disk, while a partition is given up: simulated cluster 1704 never became whole."""
    lab = Lab()
    lab.start(None)
    lab.settle()
    lab.take(lab.recovery.unreadable(NOW, 0))
    lab.store(Failed(failure))
    assert lab.orders == []
    assert any("nor given up" in alarm for alarm in lab.alarms)
    assert lab.recovery.wanting() == [0], "a disk that reads again has what it had"
    assert not lab.recovery.is_ready(0)
    assert lab.take(lab.recovery.unreadable(NOW, 0)) == []
    assert lab.recovery.wanting() == []
    assert lab.tick(NOW.ms + 2000) == [Discard(0)]
    lab.store()
    assert lab.recovery.wanting() == [0]


def test_what_stays_unreadable_is_given_up_later_each_time() -> None:
    """A drop that does not help must not be repeated hundreds of times a second."""
    lab = Lab()
    lab.start(None)
    lab.settle()
    delays = []
    now_ms = 1000
    for _ in range(4):
        lab.take(lab.recovery.unreadable(Now(now_ms, 0), 0))
        begun_ms = now_ms
        while not lab.orders:
            now_ms += 500
            lab.tick(now_ms)
        delays.append(now_ms - begun_ms)
        lab.store()
    assert delays == [0, 2000, 4000, 8000]
    lab.met(0, B, C)
    lab.store()
    assert lab.recovery.is_ready(0)
    assert lab.take(lab.recovery.unreadable(Now(now_ms, 0), 0)) == [Discard(0)], "begins anew"


def test_damage_while_a_mark_goes_begins_anew() -> None:
    """The order that completes belongs to the filling before."""
    lab = Lab()
    lab.start(Lack.LOST)
    lab.settle()
    lab.met(0, B, C)
    [complete] = lab.orders
    lab.take(lab.recovery.unreadable(NOW, 0))
    lab.take(lab.recovery.stored(NOW, [Stored(complete.token, Done())]))
    assert not lab.recovery.is_ready(0)


def test_damage_found_at_the_start_and_in_hints() -> None:
    lab = Lab()
    orders = lab.take(lab.recovery.start(NOW, None, {}, [0], [7]))
    assert orders == [Discard(0), Discard(7, Space.HINT)]
    lab.store()
    assert lab.recovery.wanting() == [0]
    assert lab.take(lab.recovery.unreadable(NOW, 5)) == [], "not owned"


def test_an_old_disk_has_lost_everything() -> None:
    lab = Lab()
    lab.start(None)
    lab.settle()
    assert lab.take(lab.recovery.lost_everything()) == [Suspect((0, 3), Lack.LOST)]
    assert not lab.recovery.is_ready(3)


def test_without_co_owners_a_copy_is_whole_with_an_alarm() -> None:
    lab = Lab({2: frozenset()})
    lab.start(Lack.LOST)
    lab.settle()
    assert lab.tick(1000) == [Complete(2)]
    lab.store()
    assert lab.recovery.is_ready(2)
    assert len(lab.alarms) == 1


def test_all_wiped_stores_fill_each_other() -> None:
    """Nobody waits for somebody who is ready: an exchange with one that is not counts too."""
    labs = {me: Lab({0: frozenset({A, B, C} - {me})}) for me in Random(1).sample([A, B, C], 3)}
    for lab in labs.values():
        lab.start(Lack.LOST)
        lab.settle()
    for me, lab in labs.items():
        for peer in labs:
            if peer != me:
                lab.met(0, peer)
        lab.store()
    assert all(lab.recovery.is_ready(0) for lab in labs.values())


def test_it_is_told_once_which_copies_have_become_whole() -> None:
    lab = Lab()
    lab.start(Lack.LOST)
    lab.settle()
    lab.met(0, B, C)
    assert lab.recovery.take_whole() == [], "not before it is durable"
    lab.store()
    lab.met(3, B, C)
    lab.store(Failed(Failure.FULL))
    assert lab.recovery.take_whole() == [0]
    assert lab.recovery.take_whole() == []


# --- another topology


def test_coming_copies_begin_empty_and_are_filled() -> None:
    lab = Lab({0: frozenset({B, C})})
    lab.start(None)
    lab.settle()
    recovery = lab.recovery
    assert lab.take(recovery.prepare([3, 5])) == [MakeRoom((3, 5))]
    assert not recovery.is_prepared
    lab.store()
    assert recovery.is_prepared
    lab.coming = {3, 5}
    followed = {0: frozenset({B}), 3: frozenset({B, C}), 5: frozenset({B, C})}
    assert lab.take(recovery.follow(followed)) == [Release(frozenset({0, 3, 5}))]
    lab.settle()
    assert recovery.wanting() == recovery.take_begun() == [3, 5]
    assert recovery.is_ready(0)
    assert not recovery.is_ready(3)
    assert lab.met(3, B) == []
    assert lab.met(3, C) == [Complete(3)]
    lab.store()
    assert recovery.is_ready(3)
    assert recovery.wanting() == [5]


def test_what_could_not_be_prepared_or_released_is_tried_again() -> None:
    lab = Lab({0: frozenset({B, C})})
    lab.start(None)
    lab.settle()
    lab.take(lab.recovery.prepare([3]))
    lab.store(Failed(Failure.FULL))
    assert not lab.recovery.is_prepared
    assert lab.tick(2000) == [MakeRoom((3,))]
    assert lab.tick(2500) == [MakeRoom((3,))], "once is enough"
    lab.store()
    lab.take(lab.recovery.follow({3: frozenset({B, C})}))
    lab.store(Failed(Failure.BROKEN))
    assert lab.tick(4000) == [Release(frozenset({3}))]


def test_a_newer_document_takes_the_place_of_one_that_is_prepared() -> None:
    lab = Lab({0: frozenset({B, C})})
    lab.start(None)
    lab.settle()
    lab.take(lab.recovery.prepare([3, 5]))
    lab.store()
    assert lab.take(lab.recovery.prepare([5, 6])) == [MakeRoom((6,))]
    lab.store()
    assert lab.recovery.is_prepared
    assert lab.take(lab.recovery.follow({5: frozenset({B}), 6: frozenset({B})})) == [
        Release(frozenset({5, 6}))
    ]
    assert lab.recovery.wanting() == [5, 6]


def test_a_copy_that_is_emptied_for_a_newer_document_is_not_whole_meanwhile() -> None:
    """Found by the simulator (seed 107): it was completed between the two, and empty."""
    lab = Lab({3: frozenset({B, C}), 5: frozenset({B, C})})
    lab.coming = {3, 5}
    lab.start(Lack.LOST)
    lab.settle()
    recovery = lab.recovery
    lab.met(3, B)
    assert lab.met(3, C) == [Complete(3)], "ordered before the room is made, answered after it"
    lab.take(recovery.prepare([3, 5]))
    lab.store()
    assert not recovery.is_ready(3)
    lab.met(5, B)
    assert lab.met(5, C) == [], "nor is what was met before completed now"
    assert not recovery.is_ready(5)
    lab.take(recovery.follow({3: frozenset({B, C}), 5: frozenset({B, C})}))
    lab.settle()
    assert set(recovery.wanting()) == {3, 5}


def test_what_is_not_kept_any_more_is_not_filled() -> None:
    lab = Lab({0: frozenset({B, C}), 3: frozenset({B, C})})
    lab.start(Lack.LOST)
    lab.settle()
    assert lab.take(lab.recovery.follow({3: frozenset({B})})) == [Release(frozenset({3}))]
    lab.settle()
    assert lab.recovery.wanting() == [3]
    assert lab.met(0, B, C) == []
    assert lab.met(3, B) == [Complete(3)], "C is no owner any more"
