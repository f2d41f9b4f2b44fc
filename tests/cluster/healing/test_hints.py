"""Hints reach every owner of their partition, in the owners' pace, and a sole copy is never lost.

Stand-ins and owners run in a laboratory (tests/support/heal_lab.py) with stores and a network.
"""

from __future__ import annotations

import pytest

from lsmkv_cluster.coordination.replica_messages import MERGE, ReplicaFlags
from lsmkv_cluster.healing.hint_budget import HintReport, HintSettings
from lsmkv_cluster.healing.hints import HintedHandoff
from lsmkv_cluster.operations import Machine, OperationStatus
from lsmkv_cluster.ports import Alarm, Asked, Now, Reply, Stored, StoreOrder
from lsmkv_cluster.storage.storage_orders import Entries, Failed, Failure, Merge, Space
from lsmkv_cluster.transport.wire import Lane
from tests.support.fake_store import merged, some_record
from tests.support.heal_lab import WALL_MS, HealLab, LabNode, heal_topology, keys_of, moved

TOPOLOGY = heal_topology()
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
SMALL = HintSettings(size_max_bytes=4000, reserve_bytes=1000)


def make_lab(settings: HintSettings | None = None, seed: int = 1) -> HealLab:
    def build(node: LabNode):
        reachable = node.lab.reachable_from(node.id)
        return {Machine.HINTS: HintedHandoff(node.topology, node.id, reachable, settings)}

    lab = HealLab(TOPOLOGY, build, seed)
    lab.run(10)
    return lab


def handoff(node: LabNode) -> HintedHandoff:
    machine = node.machines[Machine.HINTS]
    assert isinstance(machine, HintedHandoff)
    return machine


def report(node: LabNode) -> HintReport:
    return handoff(node).report


def stand_in(lab: HealLab, partition: int = 0, number: int = 0) -> LabNode:
    return lab.nodes[TOPOLOGY.stand_ins(partition)[number]]


def keep(node: LabNode, key: bytes, record: bytes) -> bool:
    """What the replica machine does with a record for somebody who is away."""
    size = len(key) + len(record)
    if not handoff(node).accepts(size):
        return False
    handoff(node).keep(node.lab.now, key, size)
    node.store.carry_out(Merge(Space.HINT, ((key, record),), sync=True))
    return True


def hint_count(node: LabNode) -> int:
    return len(node.store.contents(Space.HINT))


def have_all(nodes: list[LabNode], records: dict[bytes, bytes]) -> bool:
    return all(node.store.get(key) == record for node in nodes for key, record in records.items())


# --- replay --------------------------------------------------------------------------------------


def test_all_owners_get_the_hints_then_they_are_dropped():
    lab = make_lab()
    node, owners = stand_in(lab), lab.owners(0)
    lab.stop(owners[2])
    records = {key: some_record(1) for key in keys_of(TOPOLOGY, 0, 600)}
    for key, record in records.items():
        assert keep(node, key, record)
    lab.run(MINUTE_MS)
    assert have_all(owners[:2], records)
    assert hint_count(node) == 600
    assert report(node).partly_confirmed == 600
    lab.start(owners[2])
    lab.run(MINUTE_MS)
    assert have_all(owners, records)
    assert all(owner.store.is_durable(key) for owner in owners for key in records)
    assert hint_count(node) == 0
    found = report(node)
    assert (found.count, found.size, found.oldest_ms) == (0, 0, None)
    assert (found.confirmed, found.dropped, found.failed) == (1800, 600, 0)
    asks = [ask for sender, ask in lab.asks if sender == node.id]
    assert len(asks) == 1800
    assert {(ask.opcode, ask.flags, ask.lane) for ask in asks} == {
        (MERGE, ReplicaFlags.SYNC, Lane.BULK)
    }
    assert handoff(node).next_deadline() is None


def test_a_hint_is_merged_into_what_the_owner_has():
    lab = make_lab()
    node, owners, [key] = stand_in(lab), lab.owners(0), keys_of(TOPOLOGY, 0, 1)
    owners[0].store.carry_out(Merge(Space.DATA, ((key, some_record(1, 5)),)))
    keep(node, key, some_record(2))
    lab.run(MINUTE_MS)
    assert owners[0].store.get(key) == merged(some_record(1, 5), some_record(2))
    assert hint_count(node) == 0


def test_a_hint_that_changes_on_its_way_stays_for_another_pass():
    """The state that was sent is confirmed, the newer one is sent by itself."""
    lab = make_lab()
    node, owners, [key] = stand_in(lab), lab.owners(0), keys_of(TOPOLOGY, 0, 1)
    keep(node, key, some_record(1))
    assert lab.run(MINUTE_MS, until=lambda: report(node).unanswered == 3 and bool(lab.asks))
    keep(node, key, some_record(2))
    assert lab.run(MINUTE_MS, until=lambda: report(node).dropped == 1)
    assert hint_count(node) == 1
    lab.run(MINUTE_MS)
    assert hint_count(node) == 0
    assert have_all(owners, {key: merged(some_record(1), some_record(2))})
    assert (report(node).count, report(node).oldest_ms) == (0, None)


@pytest.mark.parametrize("seed", range(5))
def test_loss_doubling_restarts_and_dying_owners(seed):
    """Everything arrives in the end, whatever is lost, and nothing stays behind."""
    lab = make_lab(HintSettings(answer_timeout_ms=200, retry_max_ms=2000, page_count_max=16), seed)
    lab.loss, lab.doubling = 0.2, 0.2
    node, owners = stand_in(lab), lab.owners(0)
    records = {key: some_record(1) for key in keys_of(TOPOLOGY, 0, 100)}
    for key, record in records.items():
        keep(node, key, record)
    for step in range(12):
        lab.run(400)
        lab.stop(owners[step % 3], power=True)
        if step % 4 == 0:
            lab.stop(node, power=True)
            lab.run(100)
            lab.start(node)
        lab.run(300)
        lab.start(owners[step % 3])
    lab.loss = 0.0
    assert lab.run(10 * MINUTE_MS, until=lambda: hint_count(node) == 0)
    assert have_all(owners, records)
    lab.run(MINUTE_MS)
    assert (report(node).count, report(node).unanswered) == (0, 0)


def test_a_restart_in_the_middle_sends_again_and_loses_nothing():
    lab = make_lab()
    node, owners = stand_in(lab), lab.owners(0)
    records = {key: some_record(1) for key in keys_of(TOPOLOGY, 0, 300)}
    for key, record in records.items():
        keep(node, key, record)
    lab.run(MINUTE_MS, until=lambda: report(node).confirmed > 100)
    lab.stop(node, power=True)
    left = hint_count(node)
    assert left > 0
    lab.start(node)
    assert not handoff(node).accepts(1)  # not counted yet
    assert report(node).oldest_ms == 0
    lab.run(10)
    assert report(node).is_counted
    assert report(node).count == left
    lab.run(MINUTE_MS)
    assert have_all(owners, records)
    assert hint_count(node) == 0


def test_the_owners_are_those_at_the_time_of_the_replay():
    """One owner is replaced, and another one is now the node that holds the hint."""
    lab = make_lab()
    node, owners = stand_in(lab), lab.owners(0)
    for owner in owners:
        lab.stop(owner)
    records = {key: some_record(1) for key in keys_of(TOPOLOGY, 0, 20)}
    for key, record in records.items():
        keep(node, key, record)
    lab.run(MINUTE_MS)
    row = (owners[0].id, stand_in(lab, 0, 1).id, node.id)
    lab.adopt_all(moved(TOPOLOGY, 0, None, row))
    lab.start(owners[0])
    lab.run(MINUTE_MS)
    assert have_all([lab.nodes[id] for id in row], records)
    assert hint_count(node) == 0
    assert not any(owners[1].store.contents())
    lab.start(owners[1])
    lab.run(MINUTE_MS)
    assert owners[1].store.contents() == {}


# --- pace ----------------------------------------------------------------------------------------


def test_a_receiver_is_never_sent_more_than_its_window():
    """The window opens while all goes well, and no more than it is ever unanswered."""
    lab = make_lab(HintSettings(window_first=2, window_max=16))
    node, owners = stand_in(lab), lab.owners(0)
    for key in keys_of(TOPOLOGY, 0, 500):
        keep(node, key, some_record(1))
    largest = 0

    def watch() -> bool:
        nonlocal largest
        largest = max(largest, report(node).unanswered)
        return False

    lab.run(MINUTE_MS, until=watch)
    assert largest == 3 * 16
    assert hint_count(node) == 0
    assert have_all(owners, {key: some_record(1) for key in keys_of(TOPOLOGY, 0, 500)})


def test_large_records_go_one_at_a_time():
    lab = make_lab(HintSettings(window_record_bytes=1000, window_first=3))
    node = stand_in(lab)
    for key in keys_of(TOPOLOGY, 0, 5):
        keep(node, key, some_record(1, value=bytes(5000)))
    assert not lab.run(MINUTE_MS, until=lambda: report(node).unanswered > 3)
    assert hint_count(node) == 0


def test_an_overloaded_owner_is_left_in_peace_and_the_others_are_served():
    lab = make_lab()
    node, owners = stand_in(lab), lab.owners(0)
    owners[1].overloaded_count = 10**9
    records = {key: some_record(1) for key in keys_of(TOPOLOGY, 0, 200)}
    for key, record in records.items():
        keep(node, key, record)
    lab.run(MINUTE_MS)
    assert have_all([owners[0], owners[2]], records)
    tries = sum(ask.to == owners[1].id for sender, ask in lab.asks if sender == node.id)
    assert 3 <= tries <= 20  # pauses of 2, 4, 8 ... seconds
    owners[1].overloaded_count = 0
    lab.run(5 * MINUTE_MS)
    assert have_all(owners, records)
    assert hint_count(node) == 0


def test_a_silent_owner_costs_few_records():
    lab = make_lab()
    node, owners = stand_in(lab), lab.owners(0)
    owners[0].is_silent = True
    records = {key: some_record(1) for key in keys_of(TOPOLOGY, 0, 200)}
    for key, record in records.items():
        keep(node, key, record)
    lab.run(5 * MINUTE_MS)
    assert have_all(owners[1:], records)
    assert hint_count(node) == 200
    tries = sum(ask.to == owners[0].id for sender, ask in lab.asks if sender == node.id)
    assert tries < 30


def test_nothing_is_sent_while_nobody_can_be_reached():
    lab = make_lab()
    node = stand_in(lab)
    for owner in lab.owners(0):
        lab.stop(owner)
    keep(node, keys_of(TOPOLOGY, 0, 1)[0], some_record(1))
    lab.run(10 * MINUTE_MS)
    assert lab.asks == []
    # The count of each partition at the start, the hint.
    assert len(node.store.orders) == TOPOLOGY.partitioning.count + 1


# --- bounds --------------------------------------------------------------------------------------


def fill(node: LabNode, partition: int = 0) -> dict[bytes, bytes]:
    kept = {}
    for key in keys_of(TOPOLOGY, partition, 1000):
        if not keep(node, key, some_record(1)):
            return kept
        kept[key] = some_record(1)
    raise AssertionError("the store is never full")


def test_sole_copies_stay_for_ever_and_new_writes_are_refused():
    """All owners are away for thirty days, the store is full: nothing is given up."""
    lab = make_lab(SMALL)
    node, owners = stand_in(lab), lab.owners(0)
    for owner in owners:
        lab.stop(owner)
    records = fill(node)
    assert sum(len(k) + len(r) for k, r in records.items()) <= 4000
    for _ in range(30):
        lab.run(DAY_MS // 24)
        lab.now_ms += DAY_MS // 24 * 23
        assert not handoff(node).accepts(100)
    assert hint_count(node) == len(records)
    assert report(node).given_up == 0
    assert report(node).refused == 31
    assert report(node).oldest_ms == WALL_MS + 1010
    for owner in owners:
        lab.start(owner)
    lab.run(MINUTE_MS)
    assert have_all(owners, records)
    assert hint_count(node) == 0
    assert handoff(node).accepts(100)


def test_a_restarted_node_counts_what_it_has():
    lab = make_lab(SMALL)
    node = stand_in(lab)
    for owner in lab.owners(0):
        lab.stop(owner)
    records = fill(node)
    lab.stop(node)
    lab.start(node)
    lab.run(100)
    assert not handoff(node).accepts(100)
    lab.run(DAY_MS // 24)
    assert hint_count(node) == len(records)


def test_what_an_owner_has_makes_room():
    """The oldest of them go, and only as many as needed."""
    lab = make_lab(SMALL)
    node, owners = stand_in(lab), lab.owners(0)
    lab.stop(owners[2])
    records = fill(node)
    lab.run(MINUTE_MS)
    assert have_all(owners[:2], records)
    assert report(node).given_up > 0
    assert 2500 < report(node).size <= 3000
    left = node.store.contents(Space.HINT)
    assert set(left) == set(list(records)[-len(left) :]) or len(left) < len(records)
    assert handoff(node).accepts(100)


def test_what_an_owner_has_is_given_up_when_it_is_old():
    lab = make_lab(HintSettings(confirmed_age_max_ms=10 * MINUTE_MS))
    node, owners = stand_in(lab), lab.owners(0)
    lab.stop(owners[2])
    keep(node, keys_of(TOPOLOGY, 0, 1)[0], some_record(1))
    lab.run(9 * MINUTE_MS)
    assert hint_count(node) == 1
    lab.run(2 * MINUTE_MS)
    assert hint_count(node) == 0
    assert (report(node).given_up, report(node).oldest_ms) == (1, None)


def test_a_partition_that_is_being_walked_over_gives_nothing_up():
    """An answer that is still to come would be about a hint that is gone."""
    lab = make_lab(HintSettings(confirmed_age_max_ms=100, answer_timeout_ms=30_000))
    node, owners = stand_in(lab), lab.owners(0)
    owners[2].is_silent = True
    for partition in (0, 1):
        keep(node, keys_of(TOPOLOGY, partition, 1)[0], some_record(1))
    lab.run(2000)
    for _ in range(25):
        lab.run(1000)
        keep(node, keys_of(TOPOLOGY, 1, 1)[0], some_record(1))
        assert report(node).given_up == 0
        assert report(node).unanswered > 0
    lab.run(MINUTE_MS)
    assert report(node).given_up > 0


def test_the_table_of_confirmations_is_bounded():
    lab = make_lab(HintSettings(confirmed_count_max=50))
    node, owners = stand_in(lab), lab.owners(0)
    lab.stop(owners[2])
    for key in keys_of(TOPOLOGY, 0, 200):
        keep(node, key, some_record(1))
    lab.run(MINUTE_MS)
    assert report(node).partly_confirmed == 50
    assert hint_count(node) == 50


def test_one_key_written_often_is_counted_once_in_the_end():
    """Merges are counted as if they were new, until the store would refuse: then it counts."""
    lab = make_lab(SMALL)
    node, [key] = stand_in(lab), keys_of(TOPOLOGY, 0, 1)
    for owner in lab.owners(0):
        lab.stop(owner)
    counter = 0
    while keep(node, key, some_record(1, counter + 1)):
        counter += 1
    lab.run(MINUTE_MS)
    assert report(node).count == 1
    assert keep(node, key, some_record(1, counter + 1))


# --- what cannot be read or written --------------------------------------------------------------


def test_an_unreadable_hint_stays_and_is_alarmed_once():
    lab = make_lab()
    node, owners = stand_in(lab), lab.owners(0)
    keys = keys_of(TOPOLOGY, 0, 10)
    for key in keys:
        keep(node, key, some_record(1))
    node.store.unreadable.add(keys[3])
    lab.run(10 * MINUTE_MS)
    assert owners[0].store.get(keys[3]) is None
    assert have_all(owners, {key: some_record(1) for key in keys if key != keys[3]})
    assert list(node.store.contents(Space.HINT)) == [keys[3]]
    assert len(node.alarms) == 1
    assert report(node).unreadable > 1


def test_an_owner_that_cannot_write_gets_it_later():
    lab = make_lab()
    node, owners, [key] = stand_in(lab), lab.owners(0), keys_of(TOPOLOGY, 0, 1)
    owners[0].store.write_failure = Failure.BROKEN
    keep(node, key, some_record(1))
    lab.run(MINUTE_MS)
    assert hint_count(node) == 1
    owners[0].store.write_failure = None
    lab.run(2 * MINUTE_MS)
    assert hint_count(node) == 0


def test_a_store_that_cannot_count_or_list_is_asked_again():
    """Then nothing is accepted; one page at a time, and the alarm once."""
    machine = HintedHandoff(TOPOLOGY, TOPOLOGY.members[0].id, lambda other: True)
    alarms = 0
    for round_number in range(3):
        due_ms = machine.next_deadline()
        assert due_ms is not None
        now = Now(due_ms, WALL_MS)
        [effect] = machine.tick(now)
        assert isinstance(effect, StoreOrder)
        assert machine.next_deadline() is None
        failed = machine.stored(now, [Stored(effect.token, Failed(Failure.BROKEN))])
        alarms += len([effect for effect in failed if isinstance(effect, Alarm)])
        assert not machine.accepts(1), round_number
    assert alarms == 1
    due_ms = machine.next_deadline()
    assert due_ms is not None
    effects = machine.tick(Now(due_ms, WALL_MS))
    for _ in range(TOPOLOGY.partitioning.count):
        assert not machine.accepts(1)
        [effect] = effects
        assert isinstance(effect, StoreOrder)
        effects = machine.stored(Now(due_ms, WALL_MS), [Stored(effect.token, Entries((), None))])
    assert effects == []
    assert machine.accepts(1)


def test_hints_that_could_not_be_dropped_are_dropped_later():
    lab = make_lab()
    node, [key] = stand_in(lab), keys_of(TOPOLOGY, 0, 1)
    keep(node, key, some_record(1))
    carry_out = node.store.carry_out
    drops = 0

    def refuse_first_drop(order):
        nonlocal drops
        drops += type(order).__name__ == "Drop"
        if drops == 1 and type(order).__name__ == "Drop":
            return Failed(Failure.FULL)
        return carry_out(order)

    node.store.carry_out = refuse_first_drop
    lab.run(MINUTE_MS)
    assert drops == 2
    assert hint_count(node) == 0
    assert report(node).count == 0


def test_it_answers_nothing():
    machine = HintedHandoff(TOPOLOGY, TOPOLOGY.members[0].id, lambda other: True)
    asked = Asked(TOPOLOGY.members[1].id, 0x0501, b"", 0, 10, "r")
    [reply] = machine.asked(Now(1, 1), [asked])
    assert reply == Reply("r", OperationStatus.UNKNOWN_OPCODE)
