"""Hints, anti-entropy and readiness together: after any mishap owners become equal and ready.

Each node here does with the outputs of its machines what a node is to do: it tells readiness who
was met, discards what cannot be read, and starts as what it has become.
"""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.antientropy import AntiEntropy, Met, Quarantined
from lsmkv_cluster.hints import HintedHandoff
from lsmkv_cluster.operations import Machine
from lsmkv_cluster.readiness import Readiness, Start
from lsmkv_cluster.repair_rounds import RoundReport
from lsmkv_cluster.repair_schedule import AntiEntropySettings
from lsmkv_cluster.storage_orders import Discard, Merge, Space
from tests.support.fake_store import merged, some_record
from tests.support.heal_lab import HealLab, LabNode, heal_topology, keys_of

TOPOLOGY = heal_topology()
KEYS = keys_of(TOPOLOGY, 0, 300)
PERIOD_MS = 60_000
SETTINGS = AntiEntropySettings(period_ms=PERIOD_MS)


class Cluster:
    def __init__(self, seed: int = 1) -> None:
        self.starts: dict[bytes, Start] = {}
        self.readiness: dict[bytes, Readiness] = {}
        self.alarms: list[str] = []
        self.repairs = 0
        self.lab = HealLab(TOPOLOGY, self.build, seed)
        self.owners = self.lab.owners(0)
        self.stand_in = self.lab.nodes[TOPOLOGY.stand_ins(0)[0]]

    def build(self, node: LabNode):
        start = self.starts.get(node.id, Start.FOUNDED)
        before = self.readiness.get(node.id)
        incomplete = before.incomplete if before is not None else ()
        readiness = Readiness(TOPOLOGY, node.id, start, incomplete)
        self.readiness[node.id] = readiness
        reachable = node.lab.reachable_from(node.id)
        anti_entropy = AntiEntropy(
            TOPOLOGY,
            node.id,
            trees=node.store.tree,
            reachable=reachable,
            not_ready=lambda: readiness.not_ready,
            random=random.Random(node.id.hex()),
            settings=SETTINGS,
        )
        hints = HintedHandoff(TOPOLOGY, node.id, reachable)
        return {Machine.ANTIENTROPY: anti_entropy, Machine.HINTS: hints}

    def run(self, duration_ms: int) -> None:
        self.lab.run(duration_ms, until=self.step)

    def step(self) -> bool:
        """What a node does behind its machines."""
        for node in self.lab.nodes.values():
            if not node.is_up:
                continue
            anti_entropy, readiness = node.machines[Machine.ANTIENTROPY], self.readiness[node.id]
            assert isinstance(anti_entropy, AntiEntropy)
            for output in anti_entropy.take_outputs():
                if isinstance(output, Met):
                    readiness.met(output.partition, output.peer)
                elif isinstance(output, Quarantined):
                    readiness.quarantined(output.partition)
                    node.store.carry_out(Discard(output.partition))
                    anti_entropy.restart(self.lab.now, output.partition)
                elif isinstance(output, RoundReport):
                    self.repairs += output.pulled + output.pushed
            readied = readiness.review(self.lab.reachable_from(node.id))
            self.alarms += readied.alarms
            node.not_ready = set(readiness.not_ready)
        return False

    def start(self, node: LabNode, how: Start) -> None:
        self.starts[node.id] = how
        self.lab.start(node)
        self.step()

    def is_ready(self, node: LabNode) -> bool:
        return self.readiness[node.id].is_ready(0)

    def keep_hint(self, key: bytes, record: bytes) -> None:
        hints = self.stand_in.machines[Machine.HINTS]
        assert isinstance(hints, HintedHandoff)
        assert hints.accepts(len(key) + len(record))
        hints.keep(self.lab.now, key, len(key) + len(record))
        self.stand_in.store.carry_out(Merge(Space.HINT, ((key, record),), sync=True))

    def assert_equal_and_at_rest(self, expected: dict[bytes, bytes]) -> None:
        assert [node.store.contents() for node in self.owners] == [expected] * 3
        assert [self.is_ready(node) for node in self.owners] == [True] * 3
        assert self.stand_in.store.contents(Space.HINT) == {}
        self.repairs = 0
        self.run(3 * PERIOD_MS)
        assert self.repairs == 0


def write(nodes: list[LabNode], records: dict[bytes, bytes], *, sync: bool = True) -> None:
    for node in nodes:
        node.store.carry_out(Merge(Space.DATA, tuple(records.items()), sync))


RECORDS = {key: some_record(1) for key in KEYS[:100]}


def test_each_owner_is_wiped_in_turn_and_nothing_is_lost():
    """Not ready before both others were met, then with everything (scenario 10)."""
    cluster = Cluster()
    write(cluster.owners, RECORDS)
    for node in cluster.owners:
        other = next(owner for owner in cluster.owners if owner is not node)
        cluster.lab.stop(node)
        node.store.wipe()
        cluster.lab.stop(other)
        cluster.start(node, Start.WIPED)
        cluster.run(PERIOD_MS)
        assert node.store.contents() == RECORDS
        assert not cluster.is_ready(node)
        cluster.start(other, Start.CLEAN)
        cluster.run(PERIOD_MS)
        assert cluster.is_ready(node)
        assert node.store.contents() == RECORDS
    cluster.assert_equal_and_at_rest(RECORDS)
    assert len(cluster.alarms) == 3


def test_a_restart_while_it_is_filled_does_not_make_it_ready():
    cluster = Cluster()
    write(cluster.owners, RECORDS)
    wiped, _, other = cluster.owners
    cluster.lab.stop(wiped)
    wiped.store.wipe()
    cluster.lab.stop(other)
    cluster.start(wiped, Start.WIPED)
    cluster.run(PERIOD_MS)
    cluster.lab.stop(wiped)
    cluster.start(wiped, Start.CLEAN)
    cluster.run(PERIOD_MS)
    assert not cluster.is_ready(wiped)
    cluster.start(other, Start.CLEAN)
    cluster.run(PERIOD_MS)
    assert cluster.is_ready(wiped)


def test_all_owners_are_wiped_and_become_ready_only_together():
    cluster = Cluster()
    for node in cluster.owners:
        cluster.lab.stop(node)
        node.store.wipe()
    for node in cluster.owners[:2]:
        cluster.start(node, Start.WIPED)
    cluster.run(2 * PERIOD_MS)
    assert not any(cluster.is_ready(node) for node in cluster.owners[:2])
    cluster.start(cluster.owners[2], Start.WIPED)
    cluster.run(2 * PERIOD_MS)
    assert all(cluster.is_ready(node) for node in cluster.owners)
    assert len(cluster.alarms) == 3


def test_after_a_power_loss_of_all_what_any_of_them_had_synced_is_everywhere():
    """Each had other writes on its disk; they become ready by meeting each other."""
    cluster = Cluster()
    for node, part in zip(cluster.owners, (KEYS[:50], KEYS[50:70], KEYS[70:100]), strict=True):
        write([node], {key: RECORDS[key] for key in part})
    write(cluster.owners, {KEYS[200]: some_record(1)}, sync=False)
    for node in cluster.owners:
        cluster.lab.stop(node, power=True)
    for node in cluster.owners:
        cluster.start(node, Start.UNCLEAN)
        assert not cluster.is_ready(node)
    cluster.run(PERIOD_MS)
    cluster.assert_equal_and_at_rest(RECORDS)


def test_what_cannot_be_read_is_discarded_and_filled_again():
    cluster = Cluster()
    write(cluster.owners, RECORDS)
    node = cluster.owners[1]
    node.store.unreadable.add(KEYS[5])
    cluster.run(PERIOD_MS)  # the scrub finds it
    assert any(isinstance(order, Discard) for order in node.store.orders)
    cluster.run(PERIOD_MS)
    cluster.assert_equal_and_at_rest(RECORDS)


def test_a_sole_copy_outlives_all_owners():
    """Only the stand-in has the write; the owners come back empty (scenario 22)."""
    cluster = Cluster()
    cluster.run(1000)
    for node in cluster.owners:
        cluster.lab.stop(node)
        node.store.wipe()
    cluster.keep_hint(KEYS[0], some_record(9))
    cluster.lab.now_ms += 30 * 24 * 3600 * 1000
    for node in cluster.owners:
        cluster.start(node, Start.WIPED)
    cluster.run(2 * PERIOD_MS)
    cluster.assert_equal_and_at_rest({KEYS[0]: some_record(9)})


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_what_was_durable_somewhere_ends_up_everywhere(seed):
    """Random writes to some owners, or to hints, between stops, power losses and lost messages;
    a disk is wiped only while everybody else has everything."""
    cluster = Cluster(seed)
    lab, choose = cluster.lab, random.Random(seed)
    lab.loss = 0.02
    cluster.run(1000)
    expected: dict[bytes, bytes] = {}
    for step in range(30):
        key = choose.choice(KEYS)
        record = some_record(choose.randrange(1, 4), step + 1)
        up = [node for node in cluster.owners if node.is_up]
        if choose.random() < 0.5 and cluster.stand_in.is_up:
            cluster.keep_hint(key, record)
            expected[key] = merged(expected.get(key), record)
        elif up:
            write(choose.sample(up, choose.randrange(1, len(up) + 1)), {key: record})
            expected[key] = merged(expected.get(key), record)
        node = choose.choice([*cluster.owners, cluster.stand_in])
        if not node.is_up:
            cluster.start(node, Start.UNCLEAN)
        elif choose.random() < 0.3:
            lab.stop(node, power=True)
        cluster.run(choose.randrange(10_000))
    lab.loss = 0.0
    for node in lab.nodes.values():
        if not node.is_up:
            cluster.start(node, Start.UNCLEAN)
    cluster.run(10 * PERIOD_MS)
    wiped = choose.choice(cluster.owners)
    lab.stop(wiped)
    wiped.store.wipe()
    cluster.start(wiped, Start.WIPED)
    cluster.run(3 * PERIOD_MS)
    cluster.assert_equal_and_at_rest(expected)
