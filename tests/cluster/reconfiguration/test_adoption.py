"""From learned to worked by: the newest counts, and room is made before anything is stored."""

from __future__ import annotations

from lsmkv_cluster.placement.topology_format import successor
from lsmkv_cluster.ports import Alarm, Now, StoreOrder
from lsmkv_cluster.reconfiguration.adoption import (
    DOCUMENT_NOTE,
    Adopted,
    Adopting,
    Adoption,
    Known,
    StoreDocument,
)
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.storage.storage_orders import Remember
from tests.support.heal_lab import heal_topology

FIRST = Known.of(heal_topology())
SECOND = Known.of(successor(FIRST.document, feature_level=2))
THIRD = Known.of(successor(SECOND.document, feature_level=3))
NOW = Now(100, 1)


def adoption() -> Adoption:
    return Adoption(FIRST, KeeperSettings(persist_again_ms=1000))


def stores(known: Known) -> list[StoreOrder]:
    return [StoreOrder(StoreDocument(known.epoch), Remember(DOCUMENT_NOTE, known.data))]


def test_a_document_is_prepared_then_stored_then_worked_by() -> None:
    machine = adoption()
    machine.learn(SECOND)
    assert machine.outputs == [Adopting(SECOND.document)]
    assert (machine.current, machine.newest, machine.is_settled) == (FIRST, SECOND, False)
    assert machine.prepared() == stores(SECOND)
    assert machine.current is FIRST
    assert machine.stored(NOW, is_done=True) == []
    assert machine.outputs[1:] == [Adopted(SECOND.document)]
    assert (machine.current, machine.is_settled) == (SECOND, True)


def test_older_ones_and_the_same_are_nothing_new() -> None:
    machine = adoption()
    machine.learn(THIRD)
    machine.learn(SECOND)
    machine.learn(THIRD)
    assert machine.outputs == [Adopting(THIRD.document)]
    assert machine.newest is THIRD


def test_a_newer_one_is_prepared_for_before_anything_is_stored() -> None:
    machine = adoption()
    machine.learn(SECOND)
    machine.learn(THIRD)
    assert machine.prepared() == []
    assert machine.outputs == [Adopting(SECOND.document), Adopting(THIRD.document)]
    assert machine.prepared() == stores(THIRD)


def test_a_newer_one_comes_after_the_one_that_is_being_stored() -> None:
    machine = adoption()
    machine.learn(SECOND)
    machine.prepared()
    machine.learn(THIRD)
    assert machine.prepared() == [], "said twice"
    machine.stored(NOW, is_done=True)
    assert machine.outputs[1:] == [Adopted(SECOND.document), Adopting(THIRD.document)]
    assert not machine.is_settled


def test_what_could_not_be_stored_is_stored_again_later() -> None:
    machine = adoption()
    machine.learn(SECOND)
    machine.prepared()
    [alarm] = machine.stored(NOW, is_done=False)
    assert isinstance(alarm, Alarm)
    assert machine.next_deadline() == 1100
    assert machine.tick(Now(1099, 1)) == []
    assert machine.tick(Now(1100, 1)) == stores(SECOND)
    assert machine.next_deadline() is None
    machine.stored(NOW, is_done=True)
    assert machine.current is SECOND
