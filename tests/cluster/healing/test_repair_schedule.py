"""Each pair is compared when it should be: in its period, at once, later, or as soon as it can."""

from __future__ import annotations

import itertools
import random

import pytest

from lsmkv_cluster.healing.repair_pairs import PairPlan
from lsmkv_cluster.healing.repair_request import RepairRequest
from lsmkv_cluster.healing.repair_rounds import Outcome, RoundReport
from lsmkv_cluster.healing.repair_schedule import AntiEntropySettings, Pair, RepairSchedule

SETTINGS = AntiEntropySettings(period_ms=10_000, retry_ms=100, poll_ms=500)
PAIRS = [PairPlan(partition, peer) for partition in (0, 1) for peer in (b"a", b"z")]


def make_schedule() -> RepairSchedule:
    schedule = RepairSchedule(PAIRS, b"m", random.Random(1), SETTINGS)
    schedule.begin(0)
    return schedule


def everyone(peer: bytes) -> bool:
    return True


def due(schedule: RepairSchedule, now_ms: int, reachable=everyone) -> list[Pair]:
    """All that may run now; each is ended as equal at once."""
    found = []
    while (pair := schedule.next_pair(now_ms, reachable)) is not None:
        found.append(pair)
        schedule.ended(now_ms, pair, Outcome.EQUAL)
    return found


def played(schedule: RepairSchedule, until_ms: int) -> list[tuple[int, int, bytes]]:
    """(time, partition, peer) of every round, in steps from deadline to deadline."""
    found = []
    while (now_ms := schedule.next_deadline()) is not None and now_ms < until_ms:
        found += [(now_ms, pair.partition, pair.peer) for pair in due(schedule, now_ms)]
    return found


def test_each_pair_once_in_a_period_and_who_asks_is_the_smaller_id():
    """m asks z; a asks m, and m asks a only when a does not."""
    schedule = make_schedule()
    times: dict[tuple[int, bytes], list[int]] = {}
    while (now_ms := schedule.next_deadline()) is not None and now_ms < 100_000:
        if now_ms > 15_000:
            schedule.was_asked(now_ms, 0, b"a")
        for pair in due(schedule, now_ms):
            times.setdefault((pair.partition, pair.peer), []).append(now_ms)
    for partition in (0, 1):
        mine = times[partition, b"z"]
        gaps = [after - before for before, after in itertools.pairwise(mine)]
        assert mine[0] < 10_000
        assert all(9000 <= gap <= 11_000 for gap in gaps)
    assert (0, b"a") not in times
    assert 4 <= len(times[1, b"a"]) <= 5
    assert times[1, b"a"][0] >= 20_000


def test_first_rounds_are_spread_over_the_period():
    pairs = [PairPlan(partition, b"z") for partition in range(100)]
    schedule = RepairSchedule(pairs, b"m", random.Random(1), SETTINGS)
    schedule.begin(0)
    times = [time for time, _, _ in played(schedule, 10_000)]
    assert len(times) >= 100
    assert max(sum(start <= time < start + 1000 for time in times) for start in range(9000)) < 25


def test_partitions_that_are_not_ready_come_first_and_at_once():
    schedule = make_schedule()
    assert schedule.become_not_ready(5, [1]) == [1]
    assert schedule.become_not_ready(6, [1]) == []
    assert schedule.next_deadline() == 5
    pair = schedule.next_pair(6, everyone)
    assert pair is not None
    assert (pair.partition, pair.peer) == (1, b"a")
    assert schedule.next_pair(6, everyone) is None  # one round at a time for a partition
    pair.was_met = True
    schedule.ended(7, pair, Outcome.REPAIRED)
    other = schedule.next_pair(7, everyone)
    assert other is not None
    assert (other.partition, other.peer) == (1, b"z")
    other.was_met = True
    schedule.ended(8, other, Outcome.REPAIRED)
    assert schedule.next_pair(8, everyone) is None
    schedule.become_not_ready(9, [])
    assert schedule.become_not_ready(10, [1]) == [1]
    assert not pair.was_met
    assert schedule.next_pair(10, everyone) is not None


def test_what_was_cut_off_goes_on_and_what_failed_waits_longer_and_longer():
    schedule = RepairSchedule([PairPlan(0, b"z")], b"m", random.Random(1), SETTINGS)
    schedule.begin(0)
    schedule.become_not_ready(0, [0])
    now_ms = 0
    for expected_ms in (100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000):
        pair = schedule.next_pair(now_ms, everyone)
        assert pair is not None
        schedule.ended(now_ms, pair, Outcome.GAVE_UP)
        due_ms = schedule.next_deadline()
        assert due_ms is not None
        assert 0.89 * expected_ms <= due_ms - now_ms <= 1.1 * expected_ms
        assert schedule.next_pair(due_ms - 1, everyone) is None
        now_ms = due_ms
    pair = schedule.next_pair(now_ms, everyone)
    assert pair is not None
    schedule.ended(now_ms, pair, Outcome.CUT_OFF)
    assert schedule.next_pair(now_ms, everyone) is pair
    assert pair.failures == 0


def test_who_cannot_take_part_now_is_asked_again_soon():
    schedule = RepairSchedule([PairPlan(0, b"z")], b"m", random.Random(1), SETTINGS)
    schedule.begin(0)
    schedule.become_not_ready(0, [0])
    now_ms = 0
    for expected_ms in (100, 200, 400, 400, 400):
        pair = schedule.next_pair(now_ms, everyone)
        assert pair is not None
        schedule.ended(now_ms, pair, Outcome.REFUSED)
        due_ms = schedule.next_deadline()
        assert due_ms is not None
        assert 0.89 * expected_ms <= due_ms - now_ms <= 1.1 * expected_ms
        now_ms = due_ms


def test_a_peer_with_too_much_to_do_is_left_in_peace_with_all_its_pairs():
    """One refusal in each pause instead of one for each pair, and no pair waits any longer."""
    pairs = [PairPlan(partition, peer) for partition in range(100) for peer in (b"a", b"z")]
    schedule = RepairSchedule(pairs, b"m", random.Random(1), SETTINGS)
    schedule.begin(0)
    schedule.become_not_ready(0, range(100))
    now_ms, asked = 0, 0
    while now_ms < 5000:
        while (pair := schedule.next_pair(now_ms, everyone)) is not None:
            asked += pair.peer == b"z"
            pair.was_met = pair.peer == b"a"
            refused = Outcome.OVERLOADED if pair.peer == b"z" else Outcome.EQUAL
            schedule.ended(now_ms, pair, refused)
        found = schedule.next_deadline()
        assert found is not None
        assert found > now_ms
        now_ms = found
    assert 5000 / 300 <= asked <= 5000 / 100
    ended = [pair for pair in due(schedule, now_ms) if pair.peer == b"z"]
    assert {pair.partition for pair in ended} == set(range(100))


def test_a_peer_that_is_away_is_looked_for():
    schedule = make_schedule()
    schedule.become_not_ready(0, [0])
    assert due(schedule, 0, lambda peer: False) == []
    assert schedule.next_deadline() == 500
    assert due(schedule, 500, lambda peer: False) == []
    assert schedule.next_deadline() == 1000
    found = due(schedule, 1000)
    assert {(pair.partition, pair.peer) for pair in found} >= {(0, b"a"), (0, b"z")}


def test_regular_pairs_of_a_peer_that_returns_come_spread():
    pairs = [PairPlan(partition, b"z") for partition in range(50)]
    schedule = RepairSchedule(pairs, b"m", random.Random(1), SETTINGS)
    schedule.begin(0)
    assert due(schedule, 10_000, lambda peer: False) == []
    assert len(due(schedule, 10_500)) < 10
    assert len(played(schedule, 12_000)) >= 40


def test_a_restart_forgets_what_was_learned():
    schedule = make_schedule()
    schedule.become_not_ready(0, [0])
    pair = schedule.next_pair(0, everyone)
    assert pair is not None
    pair.cursor = 77
    schedule.restart(50, 0)
    assert pair.cursor is None
    assert schedule.next_pair(49, everyone) is None
    assert schedule.next_pair(50, everyone) is not None


def test_what_is_to_be_handed_over_comes_first_until_it_was():
    plans = [PairPlan(0, b"a"), PairPlan(0, b"z", gives=True), PairPlan(1, b"a")]
    schedule = RepairSchedule(plans, b"m", random.Random(1), SETTINGS)
    schedule.begin(5)
    assert schedule.next_deadline() == 5
    pair = schedule.next_pair(5, everyone)
    assert pair is not None
    assert (pair.partition, pair.peer) == (0, b"z")
    schedule.restart(6, 0)
    schedule.become_not_ready(7, [])
    assert pair.gives
    assert schedule.next_pair(8, everyone) is pair
    pair.gives = False
    schedule.ended(9, pair, Outcome.EQUAL)
    assert schedule.next_pair(1000, everyone) is not pair


def test_pairs_of_what_has_moved_are_replaced_and_the_others_stay():
    """Whatever the old ones were doing: a round, waiting for it, waiting for their peer."""
    schedule = RepairSchedule([*PAIRS, PairPlan(0, b"y")], b"m", random.Random(1), SETTINGS)
    schedule.begin(0)
    schedule.become_not_ready(0, [0, 1])
    running = [schedule.next_pair(0, lambda peer: peer != b"z") for _ in range(3)]
    assert [pair and (pair.partition, pair.peer) for pair in running] == [
        (0, b"a"),
        (1, b"a"),
        None,
    ]
    stays = running[1]
    assert stays is not None
    stays.cursor = 77
    schedule.follow(100, [0], [PairPlan(0, b"b"), PairPlan(0, b"c")])
    new = schedule.next_pair(100, everyone)
    assert new is not None
    assert (new.partition, new.peer, new.was_met) == (0, b"b", False)
    assert schedule.next_pair(100, everyone) is None
    for pair in (new, stays):
        pair.was_met = True
        schedule.ended(101, pair, Outcome.EQUAL)
    found = set()
    for _ in range(2):
        pair = schedule.next_pair(600, everyone)
        assert pair is not None
        found.add((pair.partition, pair.peer))
        pair.was_met = True
        schedule.ended(600, pair, Outcome.EQUAL)
    assert found == {(0, b"c"), (1, b"z")}
    assert stays.cursor == 77
    later = {(partition, peer) for _, partition, peer in played(schedule, 100_000)}
    assert later == {(0, b"b"), (0, b"c"), (1, b"a"), (1, b"z")}


def test_new_pairs_are_spread_unless_they_are_urgent():
    schedule = RepairSchedule([], b"m", random.Random(1), SETTINGS)
    schedule.begin(0)
    schedule.follow(1000, range(100), [PairPlan(partition, b"z") for partition in range(100)])
    assert len(due(schedule, 1000)) < 3
    assert len(played(schedule, 11_000)) >= 95
    schedule.become_not_ready(20_000, [3])
    schedule.follow(20_000, [3, 4], [PairPlan(3, b"y"), PairPlan(4, b"y", gives=True)])
    found = [schedule.next_pair(20_000, everyone) for _ in range(2)]
    assert [pair and pair.partition for pair in found] == [3, 4]


def test_settings():
    for wrong in ({"retry_ms": 0}, {"retry_ms": 600_001}, {"exchange_count_max": 0}):
        with pytest.raises(ValueError, match="must be"):
            AntiEntropySettings(**wrong)


def test_what_is_wanted_comes_now_whoever_has_its_turn_and_once():
    request = RepairRequest()
    schedule = RepairSchedule(PAIRS, b"m", random.Random(1), SETTINGS, request)
    schedule.begin(0)
    request.add({0: [b"a", b"z"]})
    schedule.hurry(1, 0)
    assert schedule.next_deadline() == 1
    for peer in (b"a", b"z"):
        pair = schedule.next_pair(1, everyone)
        assert pair is not None
        assert (pair.partition, pair.peer) == (0, peer)
        request.began(0, peer)
        request.ended(RoundReport(0, peer, Outcome.EQUAL))
        schedule.ended(1, pair, Outcome.EQUAL)
    assert schedule.next_pair(500, everyone) is None


def test_what_is_wanted_while_its_round_runs_comes_behind_it():
    """A round that began before may have overlooked what is to be found now."""
    request = RepairRequest()
    schedule = RepairSchedule(PAIRS[:2], b"m", random.Random(1), SETTINGS, request)
    schedule.begin(0)
    schedule.was_asked(0, 0, b"a")
    running = schedule.next_pair(10_000, everyone)
    assert running is not None
    request.add({0: [running.peer]})
    schedule.hurry(10_001, 0)
    schedule.ended(10_002, running, Outcome.EQUAL)
    assert schedule.next_pair(10_002, everyone) is running
