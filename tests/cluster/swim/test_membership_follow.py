"""Members follow the topology: who is added is watched like all, who is removed is forgotten.

Many members run on a network in memory; single calls are tested at the end.
"""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.operations import Operation, OperationStatus
from lsmkv_cluster.ports import Answered, Ask, Asked, Now, Reply, SendDatagram, Unanswered
from lsmkv_cluster.swim.gossip_messages import (
    INDIRECT_PING,
    PING,
    STATEMENT,
    IndirectPing,
    OwnState,
    Statement,
    Vitals,
    decode_exchange,
    decode_statement,
    encode_indirect_ping,
    encode_ping,
    encode_statement,
)
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.membership import Membership
from lsmkv_cluster.swim.prober import PingToken
from tests.support.gossip_network import GossipNetwork
from tests.support.members import member_id

SEEDS = range(3)
A, B, C, D, E = (member_id(f"n{number}") for number in range(5))
VITALS = Vitals(0, 0, 1, 0, 0, 0)


def settled(count: int, seed: int = 0) -> GossipNetwork:
    network = GossipNetwork(count, seed)
    network.run(15_000)
    assert network.all_alive()
    network.changes.clear()
    return network


def new_ids(count: int) -> list[bytes]:
    return [member_id(f"new{number}") for number in range(count)]


# --- added ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("count", "limit_ms"), [(2, 12_000), (5, 15_000), (16, 20_000)])
def test_a_member_that_is_added_and_dies_is_found_by_all(count: int, limit_ms: int, seed: int):
    network = settled(count, seed)
    [new] = new_ids(1)
    network.adopt([*network.ids, new], within_ms=2000)
    network.run(10_000)
    assert network.all_alive()
    assert network.changes == []
    network.kill(new)
    assert network.run_until(lambda: network.all_see(new, Status.DEAD), limit_ms) is not None
    assert {change.member for change in network.changes} == {new}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_member_that_dies_while_it_is_added_is_found_also_by_those_who_hear_of_it_last(seed: int):
    """What they were told of it before they knew it was nobody's business."""
    network = settled(5, seed)
    late, [new] = network.ids[0], new_ids(1)
    network.ids.append(new)
    network.add(new)
    for id in network.ids[1:5]:
        network.tell(id)
    network.run(5000)
    network.kill(new)
    network.run(20_000)
    network.tell(late)
    assert network.machine(late).status(new) is Status.ALIVE
    assert network.run_until(lambda: network.all_see(new, Status.DEAD), 15_000) is not None


def test_one_that_never_starts_is_found():
    network = settled(5)
    [new] = new_ids(1)
    network.adopt([*network.ids, new])
    network.kill(new)
    network.run(1)
    assert network.run_until(lambda: network.all_see(new, Status.DEAD), 20_000) is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_from_five_to_fifty_at_once(seed: int):
    """Nobody is accused, and soon each is known by what it said itself; suspicions last as long as
    among fifty."""
    network = settled(5, seed)
    network.adopt([*network.ids, *new_ids(45)], within_ms=3000)

    def is_known() -> bool:
        return all(
            row.incarnation > 0
            for node in network.nodes.values()
            for row in network.machine(node.id).report(network.now(node))
        )

    assert network.run_until(is_known, 60_000) is not None
    network.run(60_000)
    assert network.changes == []
    victim = network.ids[7]
    network.kill(victim)
    taken_ms = network.run_until(lambda: network.all_see(victim, Status.DEAD), 20_000)
    assert taken_ms is not None
    assert taken_ms >= 6000  # 4 log10(50) intervals


def test_one_that_was_alone_for_long_finds_its_first_peer():
    network = GossipNetwork(1)
    network.run(600_000)
    network.adopt([*network.ids, *new_ids(1)])
    network.run(30_000)
    assert network.all_alive()
    assert network.stream_answer_count >= 2
    [row] = [r for r in network.machine(network.ids[0]).report(Now(0, 0)) if r.member == A]
    assert row.vitals is not None
    assert row.vitals.health_score == 0
    assert network.changes == []


# --- removed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("status", [Status.ALIVE, Status.SUSPECT, Status.DEAD])
def test_a_member_that_is_removed_leaves_no_trace(status: Status, seed: int):
    """Whatever it is taken for and however long it goes on speaking: nothing is sent to it, nothing
    is said of it, and nobody else comes under suspicion."""
    network = settled(6, seed)
    victim = network.ids[2]
    if status is not Status.ALIVE:
        network.kill(victim)
        seen = network.run_until(lambda: status in network.statuses(victim), 20_000)
        assert seen is not None
    network.adopt([id for id in network.ids if id != victim], within_ms=1500)
    network.run(2000)
    network.changes.clear()
    before = network.sent_counts[victim]
    network.run(60_000)
    assert network.sent_counts[victim] == before
    others = [change for change in network.changes if change.observer != victim]
    assert others == []
    assert network.alarms == []
    for id in network.ids:
        machine = network.machine(id)
        assert victim not in {row.member for row in machine.report(network.now(network.nodes[id]))}
        assert not machine.is_reachable(victim)
        assert machine.clock_offset_ms(victim) is None


def test_those_who_stay_agree_on_the_next_death_in_the_smaller_cluster():
    """Of three two are left, and nobody can confirm what the other one finds."""
    network = settled(5)
    network.adopt(network.ids[:2])
    network.kill(network.ids[1])
    network.run(20_000)
    assert network.machine(network.ids[0]).status(network.ids[1]) is Status.UNREACHABLE
    network.adopt(network.ids[:1])
    network.run(1)
    machine = network.machine(network.ids[0])
    assert machine.next_deadline() is None
    assert [row.member for row in machine.report(Now(0, 0))] == [network.ids[0]]


# --- single calls ---------------------------------------------------------------------------------


def now(ms: int) -> Now:
    return Now(ms, 1_800_000_000_000 + ms)


def machine(*others: bytes, seed: int = 5) -> Membership:
    return Membership((A, *others), A, 4, random.Random(seed))


def receivers(effects) -> set[bytes]:
    return {effect.to for effect in effects if isinstance(effect, SendDatagram | Ask)}


def health_of(one: Membership) -> int:
    [row] = [row for row in one.report(now(0)) if row.member == A]
    assert row.vitals is not None
    return row.vitals.health_score


def run(one: Membership, start_ms: int, end_ms: int) -> list:
    """In steps of the deadlines; nobody answers."""
    effects = []
    while (due_ms := one.next_deadline()) is not None and due_ms < end_ms:
        effects += one.tick(now(max(due_ms, start_ms)))
    return effects


def probe_over_the_stream(one: Membership) -> tuple[bytes, int]:
    """Whose first probe has come so far, and when it began."""
    ms = 0
    while True:
        asks = [effect for effect in one.tick(now(ms)) if isinstance(effect, Ask)]
        for ask in asks:
            if ask.opcode == PING:
                return ask.to, ask.deadline_ms - 1000
        ms += 10


def test_the_members_are_different_and_this_node_is_one_of_them():
    one = machine(B)
    for wrong in ((B, C), (A, B, B), ()):
        with pytest.raises(ValueError, match="must be different"):
            one.follow(now(1), wrong)


def test_each_new_member_is_pinged_at_once_and_a_table_is_asked_for():
    one = machine(B)
    run(one, 0, 100)
    effects = one.follow(now(100), (A, B, C, D))
    assert [
        (effect.to, effect.operations[0].opcode)
        for effect in effects
        if isinstance(effect, SendDatagram)
    ] == [(C, PING), (D, PING)]
    assert [one.status(member) for member in (C, D)] == [Status.ALIVE] * 2
    later = run(one, 100, 1200)
    assert [effect for effect in later if isinstance(effect, Ask) and effect.opcode != PING]
    assert one.follow(now(1200), (A, B, C, D)) == []


@pytest.mark.parametrize("seed", range(6))
def test_the_member_that_is_being_probed_is_removed(seed: int):
    """The probe ends without a verdict: no accusation, no doubt of ourselves, the next begins."""
    one = machine(B, C, D, E, seed=seed)
    target, began_ms = probe_over_the_stream(one)
    others = [member for member in (B, C, D, E) if member != target]
    assert one.follow(now(began_ms + 600), (A, *others)) == []
    later = run(one, began_ms + 600, began_ms + 1900)
    assert target not in receivers(later)
    assert health_of(one) == 0
    assert {one.status(member) for member in others} == {Status.ALIVE}
    with pytest.raises(KeyError):
        one.status(target)
    run(one, began_ms + 1900, began_ms + 2100)
    assert Status.SUSPECT in {one.status(member) for member in others}


def test_a_relay_that_is_removed_is_not_missed():
    one = machine(B, C, D, E)
    target, began_ms = probe_over_the_stream(one)
    one.follow(now(began_ms + 600), (A, target))
    run(one, began_ms + 600, began_ms + 1100)
    assert one.status(target) is Status.SUSPECT
    assert health_of(one) == 1  # as if there had been nobody to ask


@pytest.mark.parametrize("kept", [(A, B, D), (A, C, D)])
def test_pings_for_and_of_removed_members_are_not_reported(kept: tuple[bytes, ...]):
    one = machine(B, C, D)
    one.tick(now(0))
    asked = Operation(INDIRECT_PING, encode_indirect_ping(IndirectPing(7, C)))
    assert C in receivers(one.received(now(10), B, [asked]))
    one.follow(now(20), kept)
    later = run(one, 20, 900)
    assert (set(kept) - {A}) >= receivers(later)


def test_what_is_said_of_a_removed_member_is_ignored_and_so_is_what_it_says():
    one = machine(B, C)
    one.tick(now(0))
    dead = Statement(Status.DEAD, C, 1 << 32, None, (B,))
    news = one.received(now(1), B, [Operation(STATEMENT, encode_statement(dead))])
    one.follow(now(2), (A, B))
    effects = one.received(now(3), B, [Operation(STATEMENT, encode_statement(dead))])
    effects += one.received(now(4), C, [Operation(PING, encode_ping(OwnState(1, 9 << 32, VITALS)))])
    effects += one.heard_from(now(5), C)
    effects += run(one, 5, 2000)
    assert news != []
    assert receivers(effects) == {B}
    told = [
        decode_statement(operation.payload).member
        for effect in effects
        if isinstance(effect, SendDatagram)
        for operation in effect.operations
        if operation.opcode == STATEMENT
    ]
    assert set(told) <= {A, B}
    [reply] = one.asked(now(2000), [Asked(C, PING, b"", 0, 9999, "r")])
    assert reply == Reply("r", OperationStatus.STALE_EPOCH)


def test_a_member_that_does_not_know_this_one_yet_is_not_accused():
    """It answers over the stream, though nothing but that it does not know who asks."""
    one = machine(B)
    target, began_ms = probe_over_the_stream(one)
    one.answered(
        now(began_ms + 700),
        [Answered(PingToken(number_of(one)), target, OperationStatus.STALE_EPOCH, b"")],
    )
    run(one, began_ms + 700, began_ms + 1100)
    assert one.status(B) is Status.ALIVE


def number_of(one: Membership) -> int:
    probe = one._prober._probe
    assert probe is not None
    return probe.number


def test_late_answers_of_removed_members_are_ignored():
    one = machine(B)
    [ask] = [effect for effect in one.tick(now(0)) if isinstance(effect, Ask)]
    one.follow(now(1), (A, C))
    table = one.asked(now(2), [Asked(C, ask.opcode, ask.payload, 0, 99, "r")])
    [reply] = [effect for effect in table if isinstance(effect, Reply)]
    assert {said.member for said in decode_exchange(reply.payload)} <= {A, C}
    assert one.answered(now(3), [Answered(ask.token, B, OperationStatus.DONE, reply.payload)]) == []
    assert one.answered(now(3), [Unanswered(ask.token, B)]) == []


def test_a_suspicion_by_members_who_are_gone_ends_as_own_probes_find():
    """Two confirmations were enough to bury it; of those who made them one is left."""
    one = machine(B, C, D, E)
    one.tick(now(0))
    by_all = Statement(Status.SUSPECT, B, 0, None, tuple(sorted((C, D, E))))
    one.received(now(1), C, [Operation(STATEMENT, encode_statement(by_all))])
    one.follow(now(2), (A, B, C))
    [row] = [row for row in one.report(now(3)) if row.member == B]
    assert (row.status, row.accusers) == (Status.SUSPECT, (C,))
    one.follow(now(3), (A, B))
    [row] = [row for row in one.report(now(3)) if row.member == B]
    assert (row.status, row.accusers) == (Status.SUSPECT, (C,))
    run(one, 3, 60_000)
    assert one.status(B) is Status.UNREACHABLE
