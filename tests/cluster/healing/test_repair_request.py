"""What an operator wants compared is compared now, with all co-owners; how far that is, is told."""

from __future__ import annotations

import pytest

from lsmkv_cluster.healing.antientropy_messages import COMPARE
from lsmkv_cluster.healing.repair_request import FAILURES_MAX, RepairProgress, RepairRequest
from lsmkv_cluster.healing.repair_rounds import Outcome, RoundReport
from tests.cluster.healing.test_antientropy import (
    KEYS,
    TOPOLOGY,
    Watched,
    by_id,
    contents,
    machine,
    make_lab,
    put,
)
from tests.support.fake_store import some_record
from tests.support.heal_lab import LabNode, moved

SOON_MS = 5000  # far less than the period of ten minutes
A, B, C = b"a", b"b", b"c"


def everyone(peer: bytes) -> bool:
    return True


def end(
    request: RepairRequest, peer: bytes, outcome: Outcome = Outcome.EQUAL, pulled: int = 0
) -> bool:
    request.began(0, peer)
    return request.ended(RoundReport(0, peer, outcome, pulled=pulled))


# --- which pairs are left -------------------------------------------------------------------------


def test_a_partition_is_done_when_all_its_pairs_are() -> None:
    request = RepairRequest()
    request.add({0: [A, B], 1: [A], 2: []})
    assert request.progress(everyone) == RepairProgress(partitions=3, done=1)
    end(request, A)
    assert (request.wants(0, A), request.wants(0, B), request.wants(1, A)) == (False, True, True)
    end(request, B, Outcome.CUT_OFF, pulled=3)
    assert request.progress(everyone).done == 1
    end(request, B, Outcome.REPAIRED, pulled=2)
    assert request.wants(0, A)
    end(request, A)
    assert request.progress(everyone) == RepairProgress(3, 2, rounds=4, pulled=5)


def test_who_was_compared_before_something_came_is_compared_once_more_and_no_more() -> None:
    request = RepairRequest()
    request.add({0: [A, B, C]})
    assert not end(request, A, Outcome.REPAIRED, pulled=1)
    assert not end(request, B, Outcome.REPAIRED, pulled=1)
    assert end(request, C)
    assert [request.wants(0, peer) for peer in (A, B, C)] == [True, False, False]
    assert not end(request, A, Outcome.REPAIRED, pulled=1)
    assert request.progress(everyone).done == 1


def test_a_round_that_began_before_does_not_count() -> None:
    request = RepairRequest()
    request.began(0, A)
    request.add({0: [A]})
    assert not request.ended(RoundReport(0, A, Outcome.EQUAL))
    assert request.wants(0, A)
    request.began(0, A)
    request.add({0: [A]})
    assert not request.ended(RoundReport(0, A, Outcome.EQUAL))
    assert request.wants(0, A)


def test_whose_rounds_fail_too_often_is_given_up() -> None:
    request = RepairRequest()
    request.add({0: [A, B]})
    for failures in range(FAILURES_MAX):
        assert request.wants(0, A), failures
        end(request, A, Outcome.GAVE_UP)
    assert not request.wants(0, A)
    end(request, B)
    progress = request.progress(everyone)
    assert (progress.done, progress.missing) == (1, ((A, 1),))
    request.add({0: [A]})
    assert request.progress(everyone) == RepairProgress(1), "counted anew"


def test_who_cannot_be_reached_is_not_waited_for() -> None:
    request = RepairRequest()
    request.add({0: [A, B], 1: [B]})
    progress = request.progress(lambda peer: peer == A)
    assert (progress.done, progress.missing) == (1, ((B, 2),))
    assert request.progress(everyone).done == 0


def test_a_partition_that_moves_is_compared_with_others() -> None:
    request = RepairRequest()
    request.add({0: [A], 1: [A]})
    assert request.moved(0, [B])
    assert not request.moved(1, []), "it is not kept any more"
    assert not request.moved(2, [B]), "nobody wanted it"
    assert (request.wants(0, A), request.wants(0, B)) == (False, True)
    assert request.progress(everyone) == RepairProgress(partitions=2, done=1)


# --- the machine ----------------------------------------------------------------------------------


def scattered(watched: Watched) -> dict[bytes, bytes]:
    """Each of three owners has something that the others lack."""
    expected = {}
    for number, node in enumerate(by_id(watched)):
        records = {key: some_record(number + 1) for key in KEYS[10 * number :][:10]}
        put(node, records)
        expected.update(records)
    return expected


@pytest.mark.parametrize("asked", [0, 1, 2])
@pytest.mark.parametrize("partition", [None, 0])
def test_a_damaged_copy_is_whole_without_waiting_for_the_period(
    asked: int, partition: int | None
) -> None:
    """Whichever owner is asked: also the one whose turn it never is."""
    watched = make_lab()
    watched.run(100)
    expected = scattered(watched)
    watched.run(SOON_MS)
    assert len({len(contents(node)) for node in by_id(watched)}) == 1, "nothing happens by itself"
    node = by_id(watched)[asked]
    machine(node).compare_now(watched.lab.now, partition)
    kept = len(TOPOLOGY.kept_by(node.id)) if partition is None else 1
    assert (machine(node).progress.partitions, machine(node).progress.done) == (kept, 0)
    watched.run(SOON_MS)
    assert [contents(each) for each in by_id(watched)] == [expected] * 3
    progress = machine(node).progress
    assert (progress.done, progress.missing) == (kept, ())
    assert (progress.pulled, progress.pushed) == (20, 40)
    assert progress.rounds >= 2 * kept + 1


def test_before_the_first_tick() -> None:
    watched = make_lab()
    expected = scattered(watched)
    node = by_id(watched)[2]
    machine(node).compare_now(watched.lab.now)
    watched.run(SOON_MS)
    assert [contents(each) for each in by_id(watched)] == [expected] * 3


def test_an_owner_that_is_away_is_missing_and_is_compared_when_it_returns() -> None:
    watched = make_lab()
    watched.run(100)
    expected = scattered(watched)
    one, other, third = by_id(watched)
    watched.lab.stop(third)
    machine(one).compare_now(watched.lab.now, 0)
    watched.run(SOON_MS)
    progress = machine(one).progress
    assert (progress.partitions, progress.done) == (1, 1)
    assert progress.missing == ((third.id, 1),)
    assert len(contents(one)) == len(contents(other)) == 20
    watched.lab.start(third)
    watched.run(100_000)  # spread over an eighth of the period
    assert [contents(node) for node in by_id(watched)] == [expected] * 3
    assert machine(one).progress.missing == ()


def test_a_partition_that_moves_meanwhile() -> None:
    watched = make_lab()
    watched.run(100)
    one, _other, third = by_id(watched)
    put(third, {key: some_record(1) for key in KEYS[:10]})
    machine(one).compare_now(watched.lab.now, 0)
    watched.lab.adopt_all(moved(TOPOLOGY, 0, None, (one.id, third.id)))
    assert machine(one).progress.done == 0
    watched.run(SOON_MS)
    assert machine(one).progress.done == 1
    assert contents(one) == contents(third)


def test_what_was_wanted_is_not_compared_again_after_it() -> None:
    watched = make_lab()
    watched.run(100)
    node = by_id(watched)[2]
    machine(node).compare_now(watched.lab.now)
    watched.run(SOON_MS)
    asks = len(asked_by(watched, node))
    watched.run(SOON_MS)
    assert asks == 8
    assert len(asked_by(watched, node)) == asks


def asked_by(watched: Watched, node: LabNode) -> list[int]:
    return [
        ask.opcode
        for sender, ask in watched.lab.asks
        if sender == node.id and ask.opcode == COMPARE
    ]
