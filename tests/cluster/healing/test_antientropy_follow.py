"""Partitions move: coming copies are filled from those that are read; what moved begins anew.

Six members run in a laboratory (tests/support/heal_lab.py); partition 0 goes from OLD to NEW.
"""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.coordination.replica_messages import READ
from lsmkv_cluster.healing.antientropy import AntiEntropy, Met, Output
from lsmkv_cluster.healing.antientropy_messages import (
    COMPARE,
    Question,
    decode_question,
    encode_question,
)
from lsmkv_cluster.healing.repair_records import RepairSettings
from lsmkv_cluster.healing.repair_rounds import Outcome
from lsmkv_cluster.healing.repair_schedule import AntiEntropySettings
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.ports import Answered, Ask, Asked, Now, Reply, Stored, StoreOrder
from lsmkv_cluster.storage.storage_orders import Done, Failed, Failure, Merge, Scrub, Space, Sync
from tests.cluster.healing.test_antientropy import QUIET, Watched, contents, machine, make_lab, put
from tests.support.fake_store import FakeStore, merged, some_record
from tests.support.heal_lab import LabNode, heal_topology, keys_of, moved

TOPOLOGY = heal_topology(member_count=6)
OLD = TOPOLOGY.owners[0]
COMING = TOPOLOGY.stand_ins(0)[:2]
NEW = (OLD[0], *COMING)
FILLING = moved(TOPOLOGY, 0, Phase.FILLING, NEW)
SWITCHED = moved(FILLING, 0, Phase.SWITCHED, NEW)
SETTLED = moved(SWITCHED, 0, None, NEW)
KEYS = keys_of(TOPOLOGY, 0, 500)
PERIOD_MS = 600_000


def lab_of(settings: AntiEntropySettings = QUIET, seed: int = 1) -> Watched:
    return make_lab(settings, seed, TOPOLOGY)


def nodes(watched: Watched, ids: tuple[bytes, ...]) -> list[LabNode]:
    return [watched.lab.nodes[id] for id in ids]


def diverge(watched: Watched, seed: int) -> dict[bytes, bytes]:
    """Old owners each have some of the writes; what all of them together have."""
    choose = random.Random(seed)
    expected: dict[bytes, bytes] = {}
    for key in KEYS[:300]:
        for node in nodes(watched, OLD):
            if choose.random() < 0.5:
                record = some_record(choose.randrange(1, 4))
                put(node, {key: record})
                expected[key] = merged(expected.get(key), record)
    return expected


def met(watched: Watched) -> set[tuple[bytes, bytes]]:
    return {(node.id, output.peer) for node, output in watched.of(Met)}


# --- filling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_coming_copies_are_filled_from_all_old_owners_who_have_adopted_the_move_first(seed: int):
    """Nobody but the two that come is told; the others learn of it from their questions."""
    watched = lab_of(seed=seed)
    expected = diverge(watched, seed)
    watched.lab.publish(FILLING)
    coming = nodes(watched, COMING)

    def look(node: LabNode, output: Output) -> None:
        if isinstance(output, Met):
            assert watched.lab.nodes[output.peer].topology.epoch == FILLING.epoch

    watched.look = look
    for node in coming:
        watched.lab.adopt(node)
    watched.run(30_000)
    assert met(watched) == {(new, old) for new in COMING for old in OLD}
    for node in coming:
        assert contents(node) == expected
        assert all(node.store.is_durable(key) for key in expected)
    asked = {(sender, ask.to) for sender, ask in watched.lab.asks}
    assert not asked & {COMING, COMING[::-1]}


def test_what_the_old_owners_lack_of_each_other_they_get_in_their_time():
    watched = lab_of()
    expected = diverge(watched, 1)
    watched.lab.adopt_all(FILLING)
    watched.run(4 * PERIOD_MS)
    assert [contents(node) for node in nodes(watched, (*OLD, *COMING))] == [expected] * 5


def test_an_old_owner_that_is_away_is_met_when_it_returns():
    watched = lab_of()
    expected = diverge(watched, 1)
    away = nodes(watched, OLD)[1]
    watched.lab.stop(away)
    watched.lab.adopt_all(FILLING)
    watched.run(PERIOD_MS)
    assert met(watched) == {(new, old) for new in COMING for old in (OLD[0], OLD[2])}
    watched.lab.start(away)
    watched.run(10_000)
    assert met(watched) == {(new, old) for new in COMING for old in OLD}
    assert [contents(node) for node in nodes(watched, COMING)] == [expected] * 2


def test_a_node_that_starts_while_a_partition_moves_fills_its_copy():
    watched = lab_of()
    expected = diverge(watched, 1)
    new = nodes(watched, COMING)[0]
    watched.lab.adopt_all(FILLING)
    watched.lab.stop(new)
    watched.lab.start(new)
    watched.run(30_000)
    assert {old for id, old in met(watched) if id == new.id} == set(OLD)
    assert contents(new) == expected


def test_who_stays_confirms_when_it_is_whole_itself_and_by_whole_copies():
    """Fewer copies. A lacks something, and is filled by whatever there is; C does until later."""
    watched = lab_of()
    a, _, c = nodes(watched, OLD)
    fewer = moved(TOPOLOGY, 0, Phase.FILLING, OLD[:2])
    a.lacking, c.lacking = {0}, {0}
    watched.lab.adopt_all(fewer)
    a.not_ready = {0}  # until it has confirmed

    def met_by_a() -> list[tuple[bytes, bool]]:
        found = [(o.peer, o.is_whole) for node, o in watched.of(Met) if node is a]
        watched.outputs.clear()
        return found

    watched.run(20_000)
    first = met_by_a()
    assert set(first) == {(OLD[1], False), (OLD[2], False)}
    assert len(first) > 2, "as long as it is not whole it looks again soon"
    a.lacking = set()
    machine(a).restart(watched.lab.now, 0)
    watched.run(20_000)
    assert set(met_by_a()) == {(OLD[1], True)}
    c.lacking = set()
    watched.run(20_000)
    assert (OLD[2], True) in met_by_a()


# --- what has moved begins anew, the rest goes on -------------------------------------------------


def test_a_move_that_is_given_up_and_begun_again_starts_from_nothing():
    """Whenever it happens within the first filling: late answers and results are ignored, and what
    was met before, or half known, is asked for again."""
    repair = RepairSettings(count_max=40)
    for pause_ms in range(5, 200, 15):
        watched = lab_of(AntiEntropySettings(repair=repair, scrub_interval_ms=10**9))
        expected = diverge(watched, 1)
        watched.lab.adopt_all(FILLING)
        watched.run(pause_ms)
        given_up = moved(FILLING, 0, None, OLD)
        watched.lab.adopt_all(given_up)
        watched.outputs.clear()
        watched.lab.adopt_all(moved(given_up, 0, Phase.FILLING, NEW))
        assert contents(nodes(watched, COMING)[0]) == {}
        watched.run(60_000)
        assert met(watched) == {(new, old) for new in COMING for old in OLD}
        for node in nodes(watched, COMING):
            assert contents(node) == expected


def test_a_meeting_that_was_not_yet_told_does_not_count_after_a_move():
    watched = lab_of()
    diverge(watched, 1)
    new = nodes(watched, COMING)[0]
    watched.lab.adopt_all(FILLING)
    assert watched.lab.run(30_000, until=lambda: Met in map(type, machine(new)._outputs))
    watched.lab.adopt_all(SWITCHED)
    assert Met not in map(type, machine(new).take_outputs())


def test_partitions_that_have_not_moved_keep_what_they_have():
    """A copy that has met all is not filled again, and a round that is running ends."""
    watched = lab_of()
    node = nodes(watched, OLD)[0]
    other = next(p for p in TOPOLOGY.kept_by(node.id) if p != 0)
    keys = keys_of(TOPOLOGY, other, 300)
    holders = nodes(watched, TOPOLOGY.owners[other])
    for holder in holders:
        if holder is not node:
            put(holder, {key: some_record(1) for key in keys})
    node.not_ready = {other}
    assert watched.lab.run(30_000, until=lambda: watched.lab.open_count(READ) > 0)
    running = machine(node).report.running
    watched.lab.adopt_all(FILLING)
    assert machine(node).report.running == running
    watched.run(20_000)
    assert set(contents(node)) >= set(keys)
    own = {peer.id for peer in holders if peer is not node}
    assert {output.peer for who, output in watched.of(Met) if who is node} == own
    count = len(watched.rounds(other))
    watched.lab.adopt_all(SWITCHED)
    watched.run(20_000)
    assert len(watched.rounds(other)) == count


def test_who_keeps_a_partition_no_more_neither_asks_nor_answers_about_it():
    watched = lab_of()
    leaving = nodes(watched, OLD)[1]
    watched.lab.adopt_all(SETTLED)
    before = len(watched.lab.asks)
    watched.run(3 * PERIOD_MS)
    assert len(watched.rounds(0)) > 0
    start = watched.lab.nodes[NEW[0]].store.tree(0).start
    about_it = [
        (sender, ask.to)
        for sender, ask in watched.lab.asks[before:]
        if ask.opcode == COMPARE and decode_question(ask.payload).start == start
    ]
    assert about_it
    assert leaving.id not in {id for pair in about_it for id in pair}


def test_the_scrub_goes_over_what_is_kept_now():
    settings = AntiEntropySettings(scrub_interval_ms=100, scrub_leaf_count=256)
    watched = lab_of(settings)
    watched.lab.adopt_all(SETTLED)
    for id in (OLD[1], COMING[0]):
        node = watched.lab.nodes[id]
        node.not_ready.clear()
        node.store.orders.clear()
    watched.run(5000)
    for id in (OLD[1], COMING[0]):
        orders = watched.lab.nodes[id].store.orders
        scrubbed = {order.partition for order in orders if isinstance(order, Scrub)}
        assert scrubbed == set(SETTLED.kept_by(id))


# --- what the store has not done yet --------------------------------------------------------------


def lonely(topology=TOPOLOGY, me: bytes = OLD[0]) -> tuple[AntiEntropy, FakeStore]:
    store = FakeStore(topology, me)
    one = AntiEntropy(
        topology,
        me,
        trees=store.tree,
        reachable=lambda peer: True,
        not_ready=lambda: (),
        random=random.Random(1),
        settings=QUIET,
    )
    one.tick(Now(0, 0))
    return one, store


def compare(one: AntiEntropy, store: FakeStore, epoch: int, partition: int = 0) -> int:
    tree = store.tree(partition)
    question = Question(1, 0, tree.start, tree.span_bits, tree.depth, tree.start, 77, 64)
    asked = Asked(COMING[0], COMPARE, encode_question(question), 0, 10**9, "r", epoch)
    [reply] = one.asked(Now(1, 1), [asked])
    assert isinstance(reply, Reply)
    return reply.status


@pytest.mark.parametrize("result", [Done(), Failed(Failure.BROKEN)])
def test_no_tree_of_a_moved_partition_is_compared_before_older_merges_are_in_it(result):
    """The store carries out orders one after the other: what comes back behind them says so."""
    one, store = lonely()
    other = next(p for p in TOPOLOGY.kept_by(OLD[0]) if p != 0)
    assert compare(one, store, 1) == OperationStatus.DONE
    [first] = one.follow(Now(1, 1), FILLING)
    [second] = one.follow(Now(1, 1), SWITCHED)
    assert isinstance(first, StoreOrder)
    assert isinstance(second, StoreOrder)
    assert first.order == second.order == Sync()
    assert compare(one, store, SWITCHED.epoch) == OperationStatus.NOT_READY
    assert compare(one, store, 1, other) == OperationStatus.DONE
    one.stored(Now(2, 2), [Stored(first.token, result)])
    assert compare(one, store, SWITCHED.epoch) == OperationStatus.NOT_READY
    one.stored(Now(2, 2), [Stored(second.token, result)])
    assert compare(one, store, SWITCHED.epoch) == OperationStatus.DONE


def test_no_round_begins_before_older_merges_are_in_the_tree():
    one, _ = lonely(FILLING, OLD[1])
    [order] = one.follow(Now(1, 1), SWITCHED)
    assert isinstance(order, StoreOrder)
    assert one.tick(Now(2, 2)) == []
    assert (one.next_deadline() or 3) > 2
    one.stored(Now(3, 3), [Stored(order.token, Done())])
    effects = one.tick(Now(3, 3))
    assert [type(effect) for effect in effects] == [Ask]


def test_a_document_that_moves_nothing_costs_nothing():
    one, _ = lonely()
    assert one.follow(Now(1, 1), moved(TOPOLOGY, 3, None, TOPOLOGY.owners[3])) != []
    one, _ = lonely(FILLING)
    assert one.follow(Now(1, 1), FILLING) == []


def test_late_results_and_answers_of_dropped_rounds_are_ignored():
    watched = lab_of()
    put(nodes(watched, OLD)[0], {KEYS[0]: some_record(1)})
    new = nodes(watched, COMING)[0]
    watched.lab.adopt_all(FILLING)
    watched.run(3)
    sent = [ask for sender, ask in watched.lab.asks if sender == new.id]
    assert sent
    watched.lab.adopt_all(SWITCHED)
    before = machine(new).report
    answers = [Answered(ask.token, ask.to, OperationStatus.DONE, b"?") for ask in sent]
    assert machine(new).answered(watched.lab.now, answers) == []
    results = [Stored(sent[0].token, Done())]
    assert machine(new).stored(watched.lab.now, results) == []
    assert machine(new).report == before


def test_old_epochs_are_refused_while_the_round_of_a_new_one_waits_its_turn():
    """An old owner that has not heard of the move asks one that has: nothing is compared."""
    watched = lab_of()
    early, late = nodes(watched, (min(OLD[1:]), max(OLD[1:])))
    put(early, {KEYS[0]: some_record(1)})
    watched.lab.publish(FILLING)
    watched.lab.adopt(late)
    early.not_ready = {0}
    watched.run(500)
    refused = [report for report in watched.rounds(0) if report.peer == late.id]
    assert {report.outcome for report in refused} == {Outcome.GAVE_UP}
    assert contents(late) == {}


def test_merges_reach_a_copy_that_is_to_be_filled_while_it_is():
    """What is written meanwhile is there in the end, whatever else is filled in."""
    watched = lab_of()
    expected = diverge(watched, 2)
    watched.lab.adopt_all(FILLING)
    new = nodes(watched, COMING)[0]
    for key in KEYS[300:400]:
        watched.run(7)
        for node in nodes(watched, (*OLD, *COMING)):
            node.store.carry_out(Merge(Space.DATA, ((key, some_record(1)),)))
        expected[key] = some_record(1)
    watched.run(30_000)
    assert contents(new) == expected
