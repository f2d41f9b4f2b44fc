"""Every record goes its way to the end, within the bounds of what is open and what is begun."""

from __future__ import annotations

import pytest

from lsmkv_cluster.healing.repair_records import (
    FOLLOWS,
    Came,
    RecordRepair,
    RepairSettings,
    Step,
    Work,
)
from lsmkv_cluster.storage.storage_orders import Entry, Failure


def entry(key: bytes, digest: int = 1, size: int = 10) -> Entry:
    return Entry(key, digest, size)


def test_the_table_leads_every_step_to_an_end():
    waiting = {Step.PULL, Step.MERGE, Step.READ, Step.PUSH}
    assert {step for step, _ in FOLLOWS} == waiting
    for step in waiting:
        assert FOLLOWS[step, Came.REFUSED] is Step.FAILED
        reached = {step}
        for _ in range(len(waiting)):
            reached |= {after for (before, _), after in FOLLOWS.items() if before in reached}
        assert {Step.DONE, Step.FAILED} <= reached
    assert all(before is not after for (before, _), after in FOLLOWS.items())


def test_the_ways_of_records():
    repair = RecordRepair(RepairSettings())
    repair.add(
        own=[entry(b"same"), entry(b"both", 1), entry(b"ours")],
        peer=[entry(b"same"), entry(b"both", 2), entry(b"theirs")],
    )
    assert repair.next_work() == Work(pulls=(b"both", b"theirs"), reads=(b"ours",))
    assert repair.next_work() == Work()
    repair.came(b"both", Came.RECORD, b"B")
    repair.came(b"theirs", Came.RECORD, b"T")
    repair.came(b"ours", Came.RECORD, b"O")
    assert repair.next_work() == Work(
        merges=((b"both", b"B"), (b"theirs", b"T")), pushes=((b"ours", b"O"),)
    )
    repair.merged(b"both", True)
    repair.merged(b"theirs", True)
    repair.came(b"ours", Came.TAKEN)
    assert repair.next_work() == Work(reads=(b"both",))
    repair.came(b"both", Came.RECORD, b"AB")
    assert repair.next_work() == Work(pushes=((b"both", b"AB"),))
    assert not repair.is_idle
    repair.came(b"both", Came.TAKEN)
    assert repair.is_idle
    assert (repair.pulled, repair.pushed) == (2, 2)
    assert (repair.pull_failures, repair.push_failures) == (0, 0)


def test_what_the_peer_has_already_is_not_pushed():
    repair = RecordRepair(RepairSettings())
    repair.add([entry(b"k", 1)], [entry(b"k", 2)])
    repair.next_work()
    repair.came(b"k", Came.RECORD, b"new")
    repair.next_work()
    repair.merged(b"k", False)
    repair.next_work()
    repair.came(b"k", Came.RECORD, b"new")
    assert repair.next_work() == Work()
    assert repair.is_idle


@pytest.mark.parametrize(
    ("own", "steps", "pull_failures", "push_failures"),
    [
        ([], [Came.REFUSED], 1, 0),
        ([], [Came.RECORD, Failure.INVALID], 1, 0),
        ([entry(b"k", 7)], [Came.RECORD, True, Came.REFUSED], 0, 1),
        ([entry(b"k", 7)], [Came.RECORD, True, Came.RECORD, Came.REFUSED], 0, 1),
        ([entry(b"k", 7)], [Came.RECORD, True, Came.NOTHING], 0, 0),
        ([], [Came.NOTHING], 0, 0),
    ],
)
def test_failures(own, steps, pull_failures, push_failures):
    repair = RecordRepair(RepairSettings())
    repair.add(own, [entry(b"k")])
    for number, step in enumerate(steps):
        repair.next_work()
        if isinstance(step, Came):
            repair.came(b"k", step, b"%d" % number)
        else:
            repair.merged(b"k", step)
    assert repair.is_idle
    assert repair.next_work() == Work()
    assert (repair.pull_failures, repair.push_failures) == (pull_failures, push_failures)


def test_open_records_are_bounded():
    repair = RecordRepair(RepairSettings(open_count_max=3, open_max_bytes=100))
    repair.add([], [entry(b"%d" % n, size=10) for n in range(4)] + [entry(b"large", size=500)])
    assert repair.next_work().pulls == (b"0", b"1", b"2")
    repair.came(b"0", Came.NOTHING)
    assert repair.next_work().pulls == (b"3",)
    for key in (b"1", b"2"):
        repair.came(key, Came.NOTHING)
        assert repair.next_work() == Work()
    repair.came(b"3", Came.NOTHING)
    assert repair.next_work().pulls == (b"large",)


def test_a_round_is_bounded_in_records_and_bytes():
    repair = RecordRepair(RepairSettings(count_max=10, size_max_bytes=45))
    assert repair.allowed_count == 5
    repair.add([], [entry(b"%d" % n, size=10) for n in range(4)])
    repair.next_work()
    assert repair.allowed_count == 3
    repair.add([], [entry(b"b%d" % n, size=10) for n in range(3)])
    assert repair.next_work().pulls == (b"b0",)
    assert repair.is_cut_off
    assert repair.allowed_count == 0


def test_after_a_stop_nothing_begins():
    repair = RecordRepair(RepairSettings(open_count_max=1))
    repair.add([], [entry(b"a"), entry(b"b")])
    assert repair.next_work().pulls == (b"a",)
    repair.stop()
    repair.came(b"a", Came.RECORD, b"A")
    assert repair.next_work() == Work(merges=((b"a", b"A"),))
    repair.merged(b"a", True)
    assert repair.next_work() == Work()
    assert repair.is_idle


def test_settings():
    for wrong in ({"count_max": 1}, {"count_max": 16385}, {"range_open_max": 0}):
        with pytest.raises(ValueError, match="must be"):
            RepairSettings(**wrong)


def test_records_that_are_here_and_did_not_get_there_are_counted():
    """Wherever they end early. What only the peer has keeps nothing back."""
    ends = {
        b"pull": [Came.REFUSED],
        b"gone": [Came.NOTHING],
        b"merge": [Came.RECORD, Came.REFUSED],
        b"read": [Came.RECORD, Came.JOINED, Came.REFUSED],
        b"push": [Came.RECORD, Came.JOINED, Came.RECORD, Came.REFUSED],
        b"same": [Came.RECORD, Came.JOINED, Came.NOTHING],
        b"taken": [Came.RECORD, Came.JOINED, Came.RECORD, Came.TAKEN],
    }
    repair = RecordRepair(RepairSettings())
    theirs = {b"their-pull": [Came.REFUSED], b"their-gone": [Came.NOTHING]}
    repair.add([entry(key, 1) for key in ends], [entry(key, 2) for key in (*ends, *theirs)])
    for key, story in (ends | theirs).items():
        repair.next_work()
        for number, how in enumerate(story):
            repair.came(key, how, b"%d" % number)
    assert repair.is_idle
    assert repair.kept_back == 5
