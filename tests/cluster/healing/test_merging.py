"""A merge that shows a lost write of this store is done after the distrust is durable, once."""

from __future__ import annotations

from lsmkv_cluster.healing.merging import LostDots
from lsmkv_cluster.ports import Stored, StoreOrder
from lsmkv_cluster.storage.storage_orders import (
    Done,
    Failed,
    Failure,
    Merge,
    Merged,
    Read,
    Space,
    Values,
)
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.context import NOTHING

ORDER = Merge(Space.DATA, ((b"a", b"1"), (b"b", b"2"), (b"c", b"3")), sync=True)
LOST = Failure.LOST_DOT


def lost_dots() -> tuple[LostDots, ActorSource]:
    actors = ActorSource(Identity(1, 1), ended_cleanly=True, peers_needed=0)
    actors.persisted(actors.identity)
    actors.choose(None, NOTHING, now_ms=1000)  # an epoch that can be distrusted
    actors.effects.clear()
    return LostDots(actors), actors


def test_other_results_pass() -> None:
    held, actors = lost_dots()
    held.ordered(StoreOrder(1, ORDER))
    held.ordered(StoreOrder(2, Read(Space.DATA, (b"a",))))
    for stored in (
        Stored(2, Values((None,))),
        Stored(1, Merged((True, False, Failure.CORRUPT))),
        Stored(3, Done()),
    ):
        assert held.stored(stored) is stored
    assert actors.effects == []
    assert held.persisted() == []


def test_what_was_refused_is_merged_again_after_the_distrust() -> None:
    held, actors = lost_dots()
    trusted = actors.identity.trusted_epoch
    held.ordered(StoreOrder(1, ORDER))
    assert held.stored(Stored(1, Merged((True, LOST, LOST)))) is None
    assert actors.identity.trusted_epoch > trusted
    assert len(actors.effects) == 1
    [again] = held.persisted()
    assert again.order == Merge(Space.DATA, ((b"b", b"2"), (b"c", b"3")), sync=True)
    passed = held.stored(Stored(again.token, Merged((True, Failure.FULL))))
    assert passed == Stored(1, Merged((True, True, Failure.FULL)))
    assert held.persisted() == []


def test_several_wait_for_one_distrust() -> None:
    held, actors = lost_dots()
    for token in (1, 2):
        held.ordered(StoreOrder(token, ORDER))
        assert held.stored(Stored(token, Merged((LOST, True, True)))) is None
    assert len(actors.effects) == 1
    assert [
        len(order.order.records) for order in held.persisted() if isinstance(order.order, Merge)
    ] == [1, 1]
    assert held.found == 2


def test_a_repetition_that_fails_as_a_whole_keeps_the_refusal() -> None:
    held, _ = lost_dots()
    held.ordered(StoreOrder(1, ORDER))
    held.stored(Stored(1, Merged((LOST, True, True))))
    [again] = held.persisted()
    passed = held.stored(Stored(again.token, Failed(Failure.BROKEN)))
    assert passed == Stored(1, Merged((LOST, True, True)))
    assert not held.take_run_twice(), "the first time says nothing"


def test_what_is_lost_even_after_the_distrust_was_made_by_somebody_else() -> None:
    held, _ = lost_dots()
    held.ordered(StoreOrder(1, ORDER))
    held.stored(Stored(1, Merged((LOST, LOST, True))))
    [again] = held.persisted()
    assert not held.take_run_twice()
    passed = held.stored(Stored(again.token, Merged((True, LOST))))
    assert passed == Stored(1, Merged((True, LOST, True)))
    assert held.take_run_twice()
    assert not held.take_run_twice(), "it is told once"


def test_a_document_refuses_what_waits_for_the_distrust() -> None:
    held, _ = lost_dots()
    held.ordered(StoreOrder(1, ORDER))
    held.stored(Stored(1, Merged((True, LOST, Failure.FULL))))
    assert held.refuse() == [Stored(1, Merged((True, LOST, Failure.FULL)))]
    assert held.refuse() == [], "each is refused once"
    assert held.persisted() == [], "and not merged after that"


def test_a_document_refuses_what_is_being_merged_again() -> None:
    """The store has the order; what it says comes too late for who compares copies by now."""
    held, _ = lost_dots()
    held.ordered(StoreOrder(1, ORDER))
    held.stored(Stored(1, Merged((LOST, LOST, False))))
    [again] = held.persisted()
    assert held.refuse() == [], "its result is still to come"
    passed = held.stored(Stored(again.token, Merged((True, True))))
    assert passed == Stored(1, Merged((LOST, LOST, False)))
    assert not held.take_run_twice()
