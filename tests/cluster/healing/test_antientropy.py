"""Owners become equal by themselves, in bounded rounds, whatever the network and the disks do.

Two or three owners run in a laboratory (tests/support/heal_lab.py) with stores and a network.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import pytest

from lsmkv_cluster.coordination.replica_messages import MERGE, READ, ReplicaStatus
from lsmkv_cluster.healing.antientropy import (
    AntiEntropy,
    LostDot,
    Met,
    Output,
    Quarantined,
)
from lsmkv_cluster.healing.antientropy_exchange import ExchangeLimits
from lsmkv_cluster.healing.antientropy_messages import COMPARE
from lsmkv_cluster.healing.antientropy_repair_messages import (
    LIST,
    ListQuestion,
    encode_list_question,
)
from lsmkv_cluster.healing.repair_records import RepairSettings
from lsmkv_cluster.healing.repair_rounds import Outcome, RoundReport
from lsmkv_cluster.healing.repair_schedule import AntiEntropySettings
from lsmkv_cluster.operations import Machine, OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Asked, Reply
from lsmkv_cluster.storage.engine_key import partition_tokens
from lsmkv_cluster.storage.storage_orders import Failed, Failure, Merge, Read, Scrub, Space
from lsmkv_cluster.transport.wire import Lane
from tests.support.fake_store import merged, some_record
from tests.support.heal_lab import HealLab, LabNode, heal_topology, keys_of

TOPOLOGY = heal_topology(member_count=3)
KEYS = keys_of(TOPOLOGY, 0, 2000)
PERIOD_MS = 600_000
QUIET = AntiEntropySettings(scrub_interval_ms=10**9)


@dataclass
class Watched:
    """A lab, and what its machines have told their nodes."""

    lab: HealLab
    outputs: list[tuple[LabNode, Output]] = field(default_factory=list)
    look: Callable[[LabNode, Output], None] = lambda node, output: None  # at each, when it comes

    def run(self, duration_ms: int) -> None:
        def collect() -> bool:
            for node in self.lab.nodes.values():
                if node.is_up:
                    for output in machine(node).take_outputs():
                        self.outputs.append((node, output))
                        self.look(node, output)
            return False

        self.lab.run(duration_ms, until=collect)
        collect()

    def rounds(self, partition: int = 0) -> list[RoundReport]:
        found = [output for _, output in self.outputs if isinstance(output, RoundReport)]
        return [report for report in found if report.partition == partition]

    def of(self, kind: type[Output]) -> list[tuple[LabNode, Output]]:
        return [(node, output) for node, output in self.outputs if isinstance(output, kind)]


def make_lab(
    settings: AntiEntropySettings = QUIET,
    seed: int = 1,
    topology: Topology = TOPOLOGY,
    busy: Collection[MemberId] = (),
) -> Watched:
    def build(node: LabNode):
        return {
            Machine.ANTIENTROPY: AntiEntropy(
                node.topology,
                node.id,
                trees=node.store.tree,
                reachable=node.lab.reachable_from(node.id),
                not_ready=lambda: node.not_ready,
                is_whole=lambda partition: partition not in node.lacking,
                random=random.Random(f"{node.id.hex()} {seed}{f' {node.run}' * (node.run > 0)}"),
                settings=settings,
                is_busy=lambda: node.id in busy,
            )
        }

    return Watched(HealLab(topology, build, seed))


def machine(node: LabNode) -> AntiEntropy:
    found = node.machines[Machine.ANTIENTROPY]
    assert isinstance(found, AntiEntropy)
    return found


def put(node: LabNode, records: dict[bytes, bytes]) -> None:
    node.store.carry_out(Merge(Space.DATA, tuple(records.items())))


def by_id(watched: Watched) -> list[LabNode]:
    """The owners of partition 0; the first asks both others, the second the third."""
    return sorted(watched.lab.owners(0), key=lambda node: node.id)


def contents(node: LabNode) -> dict[bytes, bytes]:
    return node.store.contents()


def diverge(nodes: list[LabNode], seed: int, count: int) -> dict[bytes, bytes]:
    """Records that some have and others lack, or have in other states; what all should have."""
    choose = random.Random(seed)
    expected: dict[bytes, bytes] = {}
    for key in KEYS[:count]:
        for node in nodes:
            for _ in range(choose.randrange(3)):
                record = some_record(choose.randrange(1, 4), choose.randrange(1, 5))
                put(node, {key: record})
                expected[key] = merged(expected.get(key), record)
    return expected


# --- equal, different -----------------------------------------------------------------------------


def test_equal_trees_cost_one_small_message_for_each_pair_and_period():
    watched = make_lab()
    for node in by_id(watched):
        put(node, {key: some_record(1) for key in KEYS[:50]})
    watched.run(PERIOD_MS)
    asks = watched.lab.asks
    assert len(asks) == 4 * 3
    assert {ask.opcode for _, ask in asks} == {COMPARE}
    assert {ask.lane for _, ask in asks} == {Lane.BULK}
    assert max(len(ask.payload) for _, ask in asks) == 40
    assert all(sender < ask.to for sender, ask in asks)
    assert [report.outcome for report in watched.rounds()] == [Outcome.EQUAL] * 3
    watched.run(4 * PERIOD_MS)
    assert 4 * 3 * 4 <= len(watched.lab.asks) <= 4 * 3 * 6


def test_silent_divergence_is_healed_within_two_periods():
    """One owner was away, nobody reads, there are no hints (scenario 24)."""
    watched = make_lab()
    nodes = by_id(watched)
    records = {key: some_record(1) for key in KEYS[:1000]}
    put(nodes[0], records)
    put(nodes[2], records)
    watched.run(2 * PERIOD_MS)
    assert contents(nodes[1]) == records
    assert all(nodes[1].store.is_durable(key) for key in records)
    assert machine(nodes[1]).report.pulled + machine(nodes[0]).report.pushed == 1000
    before = [node.store.write_count for node in nodes]
    watched.outputs.clear()
    watched.run(2 * PERIOD_MS)
    assert {report.outcome for report in watched.rounds()} == {Outcome.EQUAL}
    assert [node.store.write_count for node in nodes] == before


@pytest.mark.parametrize("seed", range(6))
def test_diverged_owners_converge_and_then_repair_nothing(seed):
    watched = make_lab(seed=seed)
    nodes = by_id(watched)
    expected = diverge(nodes, seed, 400)
    watched.run(3 * PERIOD_MS)
    assert [contents(node) for node in nodes] == [expected] * 3
    reports = watched.rounds()
    repairing = [report for report in reports if report.outcome is not Outcome.EQUAL]
    assert len(repairing) <= 3 * 5  # 256 leaves, 64 ranges in a round, three pairs
    watched.outputs.clear()
    watched.run(2 * PERIOD_MS)
    assert sum(report.pulled + report.pushed for report in watched.rounds()) == 0


def test_a_conflict_is_merged_here_and_the_result_is_pushed():
    """Nothing that only one of them has is sent twice, nothing that is equal is sent."""
    watched = make_lab()
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    both, mine, theirs, same = KEYS[:4]
    put(one, {both: some_record(1), mine: some_record(1), same: some_record(3)})
    put(other, {both: some_record(2), theirs: some_record(2), same: some_record(3)})
    watched.run(PERIOD_MS)
    joined = merged(some_record(1), some_record(2))
    expected = {both: joined, mine: some_record(1), theirs: some_record(2), same: some_record(3)}
    assert contents(one) == contents(other) == expected
    [report] = watched.rounds()
    assert (report.outcome, report.pulled, report.pushed) == (Outcome.REPAIRED, 2, 2)
    opcodes = [ask.opcode for _, ask in watched.lab.asks]
    assert (opcodes.count(READ), opcodes.count(MERGE)) == (2, 2)
    assert all(other.store.is_durable(key) for key in (both, mine))


def test_what_the_peer_supersedes_is_not_sent_back():
    watched = make_lab()
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(one, {KEYS[0]: some_record(1, 1)})
    put(other, {KEYS[0]: some_record(1, 2)})
    watched.run(PERIOD_MS)
    [report] = watched.rounds()
    assert (report.pulled, report.pushed) == (1, 0)
    assert contents(one) == {KEYS[0]: some_record(1, 2)}


# --- bounds ---------------------------------------------------------------------------------------


def test_a_round_does_so_much_and_the_next_goes_on_at_once():
    repair = RepairSettings(
        exchange=ExchangeLimits(range_count_max=300), count_max=100, page_count_max=20
    )
    watched = make_lab(AntiEntropySettings(repair=repair, scrub_interval_ms=10**9))
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(other, {key: some_record(1) for key in KEYS[:1000]})
    watched.run(2 * PERIOD_MS)
    assert contents(one) == contents(other)
    assert len(contents(one)) == 1000
    reports = watched.rounds()
    assert max(report.pulled for report in reports) <= 100
    assert 10 <= len(reports) <= 40
    cut_off = [report for report in reports if report.outcome is Outcome.CUT_OFF]
    assert cut_off == reports[: len(cut_off)]
    assert {report.outcome for report in reports[len(cut_off) :]} <= {
        Outcome.REPAIRED,
        Outcome.EQUAL,
    }


def test_a_round_moves_so_many_bytes():
    repair = RepairSettings(size_max_bytes=20_000, open_max_bytes=5000)
    watched = make_lab(AntiEntropySettings(repair=repair, scrub_interval_ms=10**9))
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(other, {key: some_record(1, value=bytes(1000)) for key in KEYS[:100]})
    one.not_ready = {0}
    largest = 0
    for _ in range(1000):
        watched.run(10)
        largest = max(largest, watched.lab.open_count(READ))
    assert len(contents(one)) == 100
    assert 0 < largest <= 5
    assert max(report.pulled for report in watched.rounds()) <= 20
    assert len(watched.rounds()) >= 5


def test_only_so_many_rounds_at_a_time():
    settings = AntiEntropySettings(exchange_count_max=2, scrub_interval_ms=10**9)
    watched = make_lab(settings)
    nodes = by_id(watched)
    nodes[0].not_ready = {0, 1, 2, 3}
    watched.lab.run(1)
    assert len(watched.lab.asks) == 2
    assert len({ask.payload for _, ask in watched.lab.asks}) == 2
    assert machine(nodes[0]).report.running == 2


# --- a bad network --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_loss_doubling_and_dying_peers(seed):
    settings = AntiEntropySettings(
        repair=RepairSettings(answer_timeout_ms=300, page_count_max=32),
        period_ms=20_000,
        scrub_interval_ms=10**9,
    )
    watched = make_lab(settings, seed)
    lab, nodes = watched.lab, by_id(watched)
    expected = diverge(nodes, seed, 150)
    for node in nodes:
        node.store.carry_out(Read(Space.DATA, (), durable=True))
    lab.loss, lab.doubling = 0.05, 0.1
    for step in range(9):
        watched.run(4000)
        node = nodes[step % 3]
        lab.stop(node, power=True)
        watched.run(3000)
        lab.start(node)
    lab.loss = 0.0
    watched.run(200_000)
    assert [contents(node) for node in nodes] == [expected] * 3


def test_a_silent_peer_is_given_up_and_asked_again_later_and_later():
    watched = make_lab()
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    other.is_silent = True
    put(other, {KEYS[0]: some_record(1)})
    watched.run(4 * PERIOD_MS)
    reports = watched.rounds()
    assert {report.outcome for report in reports} == {Outcome.GAVE_UP}
    assert 8 <= len(reports) <= 30
    other.is_silent = False
    watched.run(2 * PERIOD_MS)
    assert contents(one) == contents(other)


def test_an_overloaded_peer_ends_the_round():
    watched = make_lab()
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(other, {key: some_record(1) for key in KEYS[:200]})
    other.overloaded_count = 40
    watched.run(2 * PERIOD_MS)
    assert watched.rounds()[0].outcome is Outcome.OVERLOADED
    assert watched.rounds()[0].pulled == 0
    assert contents(one) == contents(other)


def test_the_larger_id_asks_when_the_smaller_does_not():
    watched = make_lab()
    lab = watched.lab
    one, other, third = by_id(watched)
    lab.stop(third)
    put(other, {KEYS[0]: some_record(1)})
    one.machines = {Machine.ANTIENTROPY: AntiEntropyThatNeverAsks(one)}
    watched.run(2 * PERIOD_MS)
    assert lab.asks == []
    watched.run(2 * PERIOD_MS)
    assert contents(one) == contents(other)
    assert {sender for sender, _ in lab.asks} == {other.id}


class AntiEntropyThatNeverAsks(AntiEntropy):
    def __init__(self, node: LabNode) -> None:
        super().__init__(
            TOPOLOGY,
            node.id,
            trees=node.store.tree,
            reachable=lambda peer: False,
            not_ready=lambda: (),
            random=random.Random(1),
            settings=QUIET,
        )


# --- what cannot be read --------------------------------------------------------------------------


def test_a_corrupt_record_here_is_never_sent_and_the_partition_is_quarantined():
    watched = make_lab()
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(one, {key: some_record(1) for key in KEYS[:5]})
    one.store.unreadable.add(KEYS[2])
    watched.run(PERIOD_MS)
    assert KEYS[2] not in contents(other)
    assert (one, Quarantined(0)) in watched.outputs
    assert watched.rounds()[0].outcome is Outcome.GAVE_UP


def test_a_corrupt_record_of_the_peer_stops_no_other():
    watched = make_lab()
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(other, {key: some_record(1) for key in KEYS[:50]})
    other.store.unreadable.add(KEYS[7])
    watched.run(PERIOD_MS)
    assert set(contents(one)) == set(KEYS[:50]) - {KEYS[7]}
    assert watched.rounds()[0].outcome is Outcome.INCOMPLETE
    assert watched.rounds()[0].pull_failures == 1


def test_a_damaged_record_is_counted_and_not_merged():
    watched = make_lab()
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(other, {key: some_record(1) for key in KEYS[:3]})
    name = other.store.engine_key(Space.DATA, KEYS[1])
    other.store._change(name, b"damaged")
    watched.run(PERIOD_MS)
    assert set(contents(one)) == {KEYS[0], KEYS[2]}
    assert watched.rounds()[0].invalid == 1
    assert machine(one).report.invalid >= 1
    assert not watched.of(Quarantined)


def test_a_lost_dot_is_told_and_the_record_asked_for_again():
    watched = make_lab()
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(other, {KEYS[0]: some_record(1)})
    one.store.write_failure = Failure.LOST_DOT
    watched.run(PERIOD_MS)
    assert (one, LostDot(0)) in watched.outputs
    one.store.write_failure = None
    watched.run(PERIOD_MS)
    assert contents(one) == contents(other)


def test_what_can_never_be_repaired_stops_nothing_else():
    """More records than a round may have, the first of the partition, cannot be pulled."""
    repair = RepairSettings(count_max=20)
    watched = make_lab(AntiEntropySettings(repair=repair, period_ms=10_000))
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(other, {key: some_record(1) for key in KEYS[:200]})
    first = sorted(KEYS[:200], key=lambda key: other.store.engine_key(Space.DATA, key))[:40]
    other.store.unreadable.update(first)
    watched.run(300_000)
    assert set(contents(one)) == set(KEYS[:200]) - set(first)


# --- partitions that are not ready ----------------------------------------------------------------


def test_a_wiped_owner_meets_all_at_once_and_knows_everything_durably():
    watched = make_lab()
    nodes = by_id(watched)
    wiped = nodes[2]  # whose turn it never is
    put(nodes[0], {key: some_record(1) for key in KEYS[:100]})
    put(nodes[1], {key: some_record(2) for key in KEYS[50:150]})
    wiped.not_ready = {0}
    nodes[0].is_silent = True
    watched.run(20_000)
    assert watched.of(Met) == [(wiped, Met(0, nodes[1].id))]
    assert contents(wiped).items() >= contents(nodes[1]).items()
    nodes[0].is_silent = False
    watched.run(60_000)
    assert watched.of(Met)[1:] == [(wiped, Met(0, nodes[0].id))]
    wiped.store.lose_power()
    for key in KEYS[:150]:
        have = contents(wiped)[key]
        for other in nodes[:2]:
            assert other.store.get(key) is None or merged(have, other.store.get(key)) == have


def test_all_owners_lost_everything_and_meet_each_other():
    """Each says that it is not ready, and still is asked and answers."""
    watched = make_lab()
    nodes = by_id(watched)
    put(nodes[1], {KEYS[0]: some_record(1)})
    for node in nodes:
        node.not_ready = {0}
    watched.run(20_000)
    assert len(watched.of(Met)) == 6
    assert {node.id for node, _ in watched.of(Met)} == {node.id for node in nodes}
    assert contents(nodes[0]) == contents(nodes[2]) == {KEYS[0]: some_record(1)}


def test_a_peer_that_is_not_ready_and_does_not_ask_is_read_all_the_same():
    watched = make_lab()
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    other.machines = {Machine.ANTIENTROPY: AntiEntropyThatNeverAsks(other)}
    put(other, {KEYS[0]: some_record(1)})
    one.not_ready = other.not_ready = {0}
    watched.run(5000)
    assert watched.of(Met) == [(one, Met(0, other.id))]
    assert contents(one) == contents(other)


def test_equal_trees_are_made_durable_before_they_count():
    """A write that was never synced here is synced before the peer counts as met."""
    watched = make_lab()
    nodes = by_id(watched)
    for node in nodes:
        put(node, {KEYS[0]: some_record(1)})
    nodes[0].not_ready = {0}
    watched.run(5000)
    assert len(watched.of(Met)) == 2
    assert nodes[0].store.is_durable(KEYS[0])
    assert not nodes[1].store.is_durable(KEYS[0])


def test_a_round_from_before_the_quarantine_does_not_count():
    watched = make_lab()
    nodes = by_id(watched)
    one = nodes[0]
    put(nodes[1], {key: some_record(1) for key in KEYS[:300]})
    put(nodes[2], {key: some_record(1) for key in KEYS[:300]})
    one.not_ready = {0}
    watched.lab.run(5000, until=lambda: len(contents(one)) > 50)
    one.store.wipe()
    machine(one).restart(watched.lab.now, 0)
    watched.run(60_000)
    assert len(watched.of(Met)) == 2
    assert len(contents(one)) == 300


def test_a_complete_round_only_is_a_meeting():
    """While a bound cuts rounds off, or a record cannot be pulled, nothing is met."""
    repair = RepairSettings(count_max=20)
    watched = make_lab(AntiEntropySettings(repair=repair, scrub_interval_ms=10**9))
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(other, {key: some_record(1) for key in KEYS[:200]})
    other.store.unreadable.add(KEYS[3])
    one.not_ready = {0}
    watched.run(60_000)
    assert len(contents(one)) == 199
    assert not watched.of(Met)
    other.store.unreadable.clear()
    watched.run(PERIOD_MS)
    assert len(watched.of(Met)) == 1


# --- scrub ----------------------------------------------------------------------------------------


def test_scrub_goes_round_slowly_and_corrects_a_flipped_bit():
    watched = make_lab(AntiEntropySettings(scrub_interval_ms=100, scrub_leaf_count=64))
    nodes = by_id(watched)
    put(nodes[0], {KEYS[0]: some_record(1)})
    watched.run(1)
    tree = nodes[0].store.tree(0)
    tree.update(tree.start, 0, 1 << 40)
    watched.run(4 * 4 * 101 + 50)
    scrubs = [order for order in nodes[0].store.orders if isinstance(order, Scrub)]
    assert 16 <= len(scrubs) <= 17
    assert len(set(scrubs[:16])) == 16
    assert machine(nodes[0]).report.scrubbed == 4
    assert machine(nodes[0]).report.corrected == 1
    assert len(nodes[0].alarms) == 1


def test_scrub_quarantines_what_it_cannot_read_and_leaves_what_is_not_ready():
    watched = make_lab(AntiEntropySettings(scrub_interval_ms=100, scrub_leaf_count=256))
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    watched.lab.cut.add(frozenset((one.id, other.id)))
    for node in (one, other):
        put(node, {KEYS[0]: some_record(1)})
        node.store.unreadable.add(KEYS[0])
    other.not_ready = {0}
    watched.run(1000)
    assert (one, Quarantined(0)) in watched.outputs
    assert (other, Quarantined(0)) not in watched.outputs
    assert {order.partition for order in other.store.orders if isinstance(order, Scrub)} == {
        1,
        2,
        3,
    }


# --- the asked side -------------------------------------------------------------------------------


def ask(node: LabNode, opcode: int, payload: bytes = b"", flags: int = 0):
    asked = Asked(b"peer", opcode, payload, flags, 10**9, "r")
    return machine(node).asked(node.lab.now, [asked])


def test_questions_that_are_refused():
    watched = make_lab(AntiEntropySettings(list_open_max=2))
    node = by_id(watched)[0]
    tokens = partition_tokens(Space.DATA, TOPOLOGY.partitioning, 0)
    hints = partition_tokens(Space.HINT, TOPOLOGY.partitioning, 0)
    good = encode_list_question(ListQuestion(tokens.first, tokens.end, 10))
    too_far = encode_list_question(ListQuestion(tokens.first, tokens.end + 1, 10))
    elsewhere = encode_list_question(ListQuestion(hints.first, hints.end, 10))
    assert ask(node, 0x0604) == [Reply("r", OperationStatus.UNKNOWN_OPCODE)]
    assert ask(node, LIST, good, 1) == [Reply("r", OperationStatus.UNKNOWN_FLAGS)]
    assert ask(node, LIST, good + b"x") == [Reply("r", OperationStatus.MALFORMED)]
    assert ask(node, COMPARE, b"x") == [Reply("r", OperationStatus.MALFORMED)]
    assert ask(node, LIST, too_far) == [Reply("r", ReplicaStatus.NOT_OWNER)]
    assert ask(node, LIST, elsewhere) == [Reply("r", ReplicaStatus.NOT_OWNER)]
    assert len(ask(node, LIST, good) + ask(node, LIST, good)) == 2
    assert ask(node, LIST, good) == [Reply("r", OperationStatus.OVERLOADED)]


def test_a_list_that_the_store_refuses():
    watched = make_lab()
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    put(one, {KEYS[0]: some_record(1)})
    carry_out = other.store.carry_out
    other.store.carry_out = lambda order: (
        Failed(Failure.CORRUPT) if type(order).__name__ == "ListEntries" else carry_out(order)
    )
    watched.run(PERIOD_MS)
    assert watched.rounds()[0].outcome is Outcome.GAVE_UP
    assert (other, Quarantined(0)) in watched.outputs
