"""A copy that is not read any more goes only after those that are read have all of it, durably.

Six members run in a laboratory (tests/support/heal_lab.py). Partition 0 is read at NEW already, and
two of OLD leave. Every HandedOver is judged when it comes: the peer's disk has it all.
"""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.coordination.replica_messages import READ
from lsmkv_cluster.healing.antientropy import AntiEntropy, HandedOver, Output
from lsmkv_cluster.healing.antientropy_exchange import ExchangeLimits
from lsmkv_cluster.healing.antientropy_sync_messages import SYNC
from lsmkv_cluster.healing.repair_records import RepairSettings
from lsmkv_cluster.healing.repair_rounds import Outcome
from lsmkv_cluster.healing.repair_schedule import AntiEntropySettings
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.storage.storage_orders import Failed, Failure, Merge, Order, Result, Space, Sync
from tests.cluster.healing.test_antientropy import (
    QUIET,
    Watched,
    contents,
    machine,
    make_lab,
    put,
)
from tests.support.fake_store import merged, some_record
from tests.support.heal_lab import LabNode, heal_topology, keys_of, moved

TOPOLOGY = heal_topology(member_count=6)
OLD = TOPOLOGY.owners[0]
COMING = TOPOLOGY.stand_ins(0)[:2]
NEW = (OLD[0], *COMING)
LEAVING = OLD[1:]
FILLING = moved(TOPOLOGY, 0, Phase.FILLING, NEW)
SWITCHED = moved(FILLING, 0, Phase.SWITCHED, NEW)
KEYS = keys_of(TOPOLOGY, 0, 500)
PERIOD_MS = 600_000
ALL = {(leaving, new) for leaving in LEAVING for new in NEW}


def switched(
    records: dict[bytes, dict[bytes, bytes]],
    settings: AntiEntropySettings = QUIET,
    topology: Topology = SWITCHED,
) -> Watched:
    """A lab in which members have these records, unsynced, when it begins."""
    watched = make_lab(settings, 1, topology)
    for id, found in records.items():
        put(watched.lab.nodes[id], found)

    def look(node: LabNode, output: Output) -> None:
        if isinstance(output, HandedOver):
            assert_durable(watched.lab.nodes[output.peer], contents(node))

    watched.look = look
    return watched


def assert_durable(node: LabNode, records: dict[bytes, bytes]) -> None:
    disk = node.store._durable
    for key, record in records.items():
        have = disk.get(node.store.engine_key(Space.DATA, key))
        assert have is not None, key
        assert merged(have, record) == have


def handed_over(watched: Watched) -> set[tuple[bytes, bytes]]:
    return {(node.id, output.peer) for node, output in watched.of(HandedOver)}


def by_key(start: int, end: int, actor: int = 1) -> dict[bytes, bytes]:
    return {key: some_record(actor) for key in KEYS[start:end]}


# --- all goes well --------------------------------------------------------------------------------


def test_what_only_one_who_leaves_has_is_given_to_all_who_are_read():
    one, other = LEAVING
    watched = switched({one: by_key(0, 60), other: by_key(40, 100, 2), NEW[1]: by_key(50, 70, 3)})
    watched.run(20_000)
    assert handed_over(watched) == ALL
    assert len(watched.of(HandedOver)) == 6
    for id in NEW:
        assert set(contents(watched.lab.nodes[id])) == set(KEYS[:100])


def test_copies_that_are_equal_from_the_start_are_synced_before_they_count():
    watched = switched(dict.fromkeys((*OLD, *COMING), by_key(0, 30)))
    watched.run(20_000)
    assert handed_over(watched) == ALL
    assert {report.outcome for report in watched.rounds()} == {Outcome.EQUAL}
    assert all(watched.lab.nodes[id].store.write_count == 30 for id in NEW)


def test_afterwards_the_copy_is_compared_as_all_others_are():
    watched = switched({LEAVING[0]: by_key(0, 30)})
    watched.run(20_000)
    before = len(watched.rounds())
    watched.run(2 * PERIOD_MS)
    assert len(watched.rounds()) - before <= 2 * 10 + 10  # ten pairs
    assert len(watched.of(HandedOver)) == 6
    assert machine(watched.lab.nodes[LEAVING[0]]).report.gave_up == 0


def test_it_begins_with_the_document_that_says_so():
    """Filling first; a meeting before is no handing over."""
    watched = switched({id: by_key(0, 50) for id in OLD}, topology=TOPOLOGY)
    watched.lab.adopt_all(FILLING)
    watched.run(20_000)
    assert handed_over(watched) == set()
    put(watched.lab.nodes[LEAVING[1]], by_key(50, 60))
    watched.lab.adopt_all(SWITCHED)
    watched.run(20_000)
    assert handed_over(watched) == ALL
    watched.outputs.clear()
    watched.lab.adopt_all(moved(SWITCHED, 0, None, NEW))
    watched.run(PERIOD_MS)
    assert handed_over(watched) == set()
    assert contents(watched.lab.nodes[LEAVING[1]]) == {}
    assert set(contents(watched.lab.nodes[NEW[2]])) == set(KEYS[:60])


def test_rounds_that_are_cut_off_go_on_until_all_is_given():
    repair = RepairSettings(exchange=ExchangeLimits(range_count_max=20), count_max=40)
    settings = AntiEntropySettings(repair=repair, scrub_interval_ms=10**9)
    watched = switched({LEAVING[0]: by_key(0, 400)}, settings)
    watched.run(60_000)
    assert handed_over(watched) == ALL
    assert Outcome.CUT_OFF in {report.outcome for report in watched.rounds()}
    assert set(contents(watched.lab.nodes[NEW[1]])) == set(KEYS[:400])


def test_who_starts_again_gives_again():
    watched = switched({LEAVING[0]: by_key(0, 30)})
    watched.run(20_000)
    watched.outputs.clear()
    leaving = watched.lab.nodes[LEAVING[0]]
    watched.lab.stop(leaving)
    watched.lab.start(leaving)
    watched.run(20_000)
    assert handed_over(watched) == {(leaving.id, new) for new in NEW}


# --- peers that do not do their part --------------------------------------------------------------


def test_a_peer_that_refuses_is_asked_until_it_takes_all():
    watched = switched({LEAVING[0]: by_key(0, 30)})
    refuses = watched.lab.nodes[COMING[0]]
    refuses.overloaded_count = 10**9
    watched.run(60_000)
    assert handed_over(watched) == ALL - {(LEAVING[0], refuses.id)}
    refuses.overloaded_count = 0
    watched.run(120_000)
    assert handed_over(watched) == ALL


@pytest.mark.parametrize("failing", [1, 2])
def test_a_peer_that_cannot_sync_has_nothing(failing: int):
    """Neither when it cannot at first nor when it cannot in the end."""
    watched = switched(dict.fromkeys((*OLD, *COMING), by_key(0, 30)))
    giving, broken = watched.lab.nodes[LEAVING[0]], watched.lab.nodes[COMING[0]]
    watched.lab.stop(watched.lab.nodes[LEAVING[1]])
    carry_out = broken.store.carry_out
    syncs = 0

    def fail(order: Order) -> Result:
        nonlocal syncs
        syncs += isinstance(order, Sync)
        return Failed(Failure.BROKEN) if syncs >= failing else carry_out(order)

    broken.store.carry_out = fail
    watched.run(60_000)
    assert syncs > failing
    assert handed_over(watched) == {(giving.id, new) for new in NEW if new != broken.id}
    broken.store.carry_out = carry_out
    watched.run(120_000)
    assert handed_over(watched) == {(giving.id, new) for new in NEW}


def test_a_peer_that_is_away_for_long_gets_all_when_it_returns():
    watched = switched({LEAVING[0]: by_key(0, 30), LEAVING[1]: by_key(20, 60)})
    away = watched.lab.nodes[COMING[1]]
    watched.lab.stop(away)
    watched.run(20 * PERIOD_MS)
    assert handed_over(watched) == {pair for pair in ALL if pair[1] != away.id}
    watched.lab.start(away)
    watched.run(10_000)
    assert handed_over(watched) == ALL
    assert set(contents(away)) == set(KEYS[:60])


def test_a_silent_peer_is_given_up_and_asked_again():
    watched = switched({LEAVING[0]: by_key(0, 30)})
    silent = watched.lab.nodes[NEW[0]]
    silent.is_silent = True
    watched.run(60_000)
    assert handed_over(watched) == {pair for pair in ALL if pair[1] != silent.id}
    silent.is_silent = False
    watched.run(120_000)
    assert handed_over(watched) == ALL


@pytest.mark.parametrize("which", [1, 2])
def test_a_peer_that_loses_what_it_had_not_synced_gets_it_again(which: int):
    """It goes down when it is asked to sync, at first or after the trees were found equal, and
    answers in another run: what is left has been synced then."""
    watched = switched(dict.fromkeys((*OLD, *COMING), by_key(0, 30)))
    giving, loses = watched.lab.nodes[LEAVING[0]], watched.lab.nodes[COMING[0]]
    watched.lab.stop(watched.lab.nodes[LEAVING[1]])

    def is_asked() -> bool:
        asks = [ask for _, ask in watched.lab.asks if ask.to == loses.id]
        return sum(ask.opcode == SYNC for ask in asks) == which

    assert watched.lab.run(20_000, until=is_asked)
    loses.store._durable.clear()  # as if all had come after the first sync
    watched.lab.stop(loses, power=True)
    watched.lab.start(loses)
    assert contents(loses) == {}
    watched.run(60_000)
    assert (giving.id, loses.id) in handed_over(watched)
    assert contents(loses) == by_key(0, 30)


@pytest.mark.parametrize("seed", range(5))
def test_loss_doubling_and_dying_peers(seed: int):
    """Whatever is lost, and whoever dies with it: what is said to be handed over is there."""
    repair = RepairSettings(answer_timeout_ms=300, count_max=50, page_count_max=16)
    settings = AntiEntropySettings(repair=repair, period_ms=20_000, scrub_interval_ms=10**9)
    choose = random.Random(seed)
    watched = switched({}, settings)
    lab = watched.lab
    lab.random = choose
    given: dict[bytes, bytes] = {}
    for id in LEAVING:
        for key in KEYS[:150]:
            if choose.random() < 0.5:
                record = some_record(choose.randrange(1, 4))
                lab.nodes[id].store.carry_out(Merge(Space.DATA, ((key, record),), sync=True))
                given[key] = merged(given.get(key), record)
    lab.loss, lab.doubling = 0.05, 0.1
    for _ in range(12):
        watched.run(choose.randrange(50, 2000))
        node = lab.nodes[choose.choice((*LEAVING, *NEW))]
        lab.stop(node, power=True)
        watched.run(choose.randrange(1, 1500))
        lab.start(node)
    lab.loss = 0.0
    watched.outputs.clear()
    for id in LEAVING:
        lab.stop(lab.nodes[id])
        lab.start(lab.nodes[id])
    watched.run(200_000)
    assert handed_over(watched) == ALL
    for id in NEW:
        assert_durable(lab.nodes[id], given)


# --- what cannot be given -------------------------------------------------------------------------


def test_what_the_peer_cannot_read_is_not_given_though_nothing_was_to_be_pushed():
    """The record that is there is to be pulled and merged before it is sent back."""
    key = KEYS[0]
    watched = switched({LEAVING[0]: {key: some_record(1)}, COMING[0]: {key: some_record(2)}})
    peer = watched.lab.nodes[COMING[0]]
    peer.store.unreadable.add(key)
    watched.run(60_000)
    assert (LEAVING[0], peer.id) not in handed_over(watched)
    peer.store.unreadable.clear()
    watched.run(120_000)
    assert handed_over(watched) == ALL


def test_what_only_the_peer_has_and_cannot_read_keeps_nobody():
    watched = switched({COMING[0]: by_key(0, 20), LEAVING[0]: by_key(20, 30)})
    peer = watched.lab.nodes[COMING[0]]
    peer.store.unreadable.add(KEYS[3])
    watched.run(60_000)
    assert handed_over(watched) == ALL


def test_a_record_that_the_peer_has_dropped_since_it_was_listed_was_not_given():
    watched = switched({LEAVING[0]: by_key(0, 1), COMING[0]: by_key(0, 1, 2)})
    peer = watched.lab.nodes[COMING[0]]
    watched.lab.stop(watched.lab.nodes[LEAVING[1]])
    asks = watched.lab.asks
    assert watched.lab.run(
        20_000, until=lambda: any(ask.to == peer.id and ask.opcode == READ for _, ask in asks)
    )
    peer.store.wipe()
    watched.run(60_000)
    assert (LEAVING[0], peer.id) in handed_over(watched)
    assert KEYS[0] in contents(peer)


def test_what_cannot_be_read_here_is_not_given():
    watched = switched({LEAVING[0]: by_key(0, 30)})
    leaving = watched.lab.nodes[LEAVING[0]]
    leaving.store.unreadable.add(KEYS[5])
    watched.run(60_000)
    assert handed_over(watched) == {pair for pair in ALL if pair[0] != leaving.id}


def test_a_machine_that_does_not_know_the_operation_has_nothing(monkeypatch: pytest.MonkeyPatch):
    watched = switched(dict.fromkeys((*OLD, *COMING), by_key(0, 30)))
    old_version = machine(watched.lab.nodes[COMING[0]])
    asked = AntiEntropy.asked

    def refuse(self, now, requests):
        if self is old_version:
            requests = [request._replace(opcode=0x06F0) for request in requests]
        return asked(self, now, requests)

    monkeypatch.setattr(AntiEntropy, "asked", refuse)
    watched.run(60_000)
    assert handed_over(watched) == {pair for pair in ALL if pair[1] != COMING[0]}
