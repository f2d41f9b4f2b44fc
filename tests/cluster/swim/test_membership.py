"""Members agree on who is there: whoever is gone is found, and whoever is there is not evicted.

Many members run on a network in memory (tests/support/gossip_network.py), which also holds every
datagram to its size. Single calls are tested at the end.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.operations import Operation, OperationStatus, encoded_size
from lsmkv_cluster.ports import (
    Alarm,
    Answered,
    Ask,
    Asked,
    Now,
    Reply,
    SendDatagram,
    StatusChanged,
    Unanswered,
)
from lsmkv_cluster.swim.gossip_messages import (
    ACK,
    EXCHANGE,
    PING,
    STATEMENT,
    Load,
    OwnState,
    Statement,
    Vitals,
    decode_exchange,
    decode_ping,
    decode_statement,
    encode_exchange,
    encode_ping,
    encode_statement,
)
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.membership import Membership
from lsmkv_cluster.swim.membership_settings import MembershipSettings
from lsmkv_cluster.transport.datagram import OPERATIONS_SIZE_MAX
from tests.support.gossip_network import GossipNetwork
from tests.support.members import member_id

SEEDS = range(3)
u32 = st.integers(0, 2**32 - 1)
A, B, C, D = (member_id(f"n{number}") for number in range(4))
ids = st.sampled_from([A, B, C, D])


def settled(count: int, seed: int = 0, **options) -> GossipNetwork:
    network = GossipNetwork(count, seed, **options)
    network.run(15_000)
    assert network.all_alive()
    network.changes.clear()
    return network


# --- whoever is gone is found --------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("count", "status", "limit_ms"),
    [
        (2, Status.UNREACHABLE, 7000),
        (3, Status.DEAD, 10_000),
        (5, Status.DEAD, 12_000),
        (16, Status.DEAD, 15_000),
        (64, Status.DEAD, 20_000),
    ],
)
def test_a_killed_member_is_found_by_all(count: int, status: Status, limit_ms: int, seed: int):
    network = settled(count, seed)
    victim = network.ids[0]
    network.kill(victim)
    taken_ms = network.run_until(lambda: network.all_see(victim, status), limit_ms)
    assert taken_ms is not None, network.statuses(victim)
    assert taken_ms >= 4000
    assert {change.member for change in network.changes} == {victim}
    assert 0 < network.largest_size <= OPERATIONS_SIZE_MAX


def test_of_several_killed_at_once_each_is_found():
    network = settled(16)
    victims = network.ids[:4]
    for victim in victims:
        network.kill(victim)
    network.run(40_000)
    assert all(network.all_see(victim, Status.DEAD) for victim in victims)
    assert {change.member for change in network.changes} == set(victims)


@pytest.mark.parametrize("count", [2, 5, 64])
def test_a_restarted_member_is_alive_at_once(count: int):
    network = settled(count)
    victim = network.ids[0]
    network.kill(victim)
    network.run(60_000)
    assert not network.all_see(victim, Status.ALIVE)
    network.restart(victim)
    assert network.run_until(network.all_alive, 3000) is not None
    network.run(10_000)
    assert network.all_alive()


def test_a_restarted_member_learns_who_is_dead_from_a_table():
    network = settled(8)
    dead, restarted = network.ids[:2]
    network.kill(dead)
    network.run(60_000)
    network.restart(restarted)
    network.run(100)
    assert network.machine(restarted).status(dead) is Status.DEAD


def test_who_leaves_is_gone_without_suspicion():
    network = settled(16)
    leaver = network.ids[0]
    network.call(leaver, lambda machine, now: machine.leave(now))
    network.run(2000)
    network.kill(leaver)
    network.run(60_000)
    assert network.all_see(leaver, Status.LEFT)
    assert {change.after for change in network.changes} == {Status.LEFT}
    network.restart(leaver)
    assert network.run_until(network.all_alive, 3000) is not None


# --- whoever is there is not evicted --------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_loss_evicts_nobody(loss: float, seed: int):
    network = settled(16, seed)
    network.loss = loss
    network.run(600_000)
    assert Status.DEAD not in {change.after for change in network.changes}
    network.loss = 0.0
    network.run(30_000)
    assert network.all_alive()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pause_ms", [700, 3000, 30_000])
def test_a_paused_member_does_not_evict_healthy_ones(pause_ms: int, seed: int):
    """C11: what it could not hear counts against nobody, and it comes back itself."""
    network = settled(8, seed)
    sleeper = network.ids[0]
    for _ in range(5):
        network.pause(sleeper, pause_ms)
        network.run(pause_ms + 20_000)
    assert {change.member for change in network.changes} <= {sleeper}
    assert network.all_alive()


def starve(network: GossipNetwork, victim: bytes, pause_ms: int) -> None:
    """For a minute it runs 2 ms at a time: its pings go out, and their answers wait for it."""
    for _ in range(60_000 // pause_ms):
        network.pause(victim, pause_ms)
        network.run(pause_ms + 2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pause_ms", [300, 1100, 1700])
def test_a_starved_member_does_not_evict_healthy_ones(pause_ms: int, seed: int):
    """C11 again."""
    network = settled(8, seed)
    victim = network.ids[0]
    starve(network, victim, pause_ms)
    assert {change.member for change in network.changes} <= {victim}
    network.run(30_000)
    assert network.all_alive()


def test_plain_swim_accuses_healthy_ones_when_it_starves():
    """So the test above can fail: it is Lifeguard that keeps what it says."""
    network = settled(8, settings=MembershipSettings(lifeguard=False))
    victim = network.ids[0]
    starve(network, victim, 1100)
    assert {change.member for change in network.changes} - {victim}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_link_that_is_cut_one_way_evicts_nobody(seed: int):
    """The others reach it."""
    network = settled(5, seed)
    network.cut(network.ids[:1], network.ids[1:2])
    network.run(300_000)
    assert Status.DEAD not in {change.after for change in network.changes}


def test_a_member_that_hears_nothing_is_found_though_it_speaks():
    network = settled(5)
    deaf = network.ids[0]
    network.cut(network.ids[1:], [deaf])
    network.run(30_000)
    assert network.all_see(deaf, Status.DEAD)


@pytest.mark.parametrize("seed", SEEDS)
def test_halves_that_are_cut_apart_find_each_other_again(seed: int):
    network = settled(7, seed)
    minority, majority = network.ids[:2], network.ids[2:]
    network.cut(minority, majority)
    network.cut(majority, minority)
    network.run(90_000)
    for lost in minority:
        assert all(network.machine(id).status(lost) is Status.DEAD for id in majority)
    for lost in majority:
        found = {network.machine(id).status(lost) for id in minority}
        assert found == {Status.UNREACHABLE}, "two members cannot declare anybody dead"
    network.heal()
    assert network.run_until(network.all_alive, 30_000) is not None


def test_two_members_call_each_other_unreachable_until_they_speak_again():
    network = settled(2)
    a, b = network.ids
    network.cut([a], [b])
    network.cut([b], [a])
    network.run(60_000)
    assert network.machine(a).status(b) is Status.UNREACHABLE
    assert not network.machine(a).is_reachable(b)
    network.heal()
    assert network.run_until(network.all_alive, 15_000) is not None


# --- what else is told ----------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "limit_ms"), [(5, 1000), (64, 2500)])
def test_another_load_gets_around(count: int, limit_ms: int):
    network = settled(count)
    busy = network.ids[0]
    network.call(
        busy,
        lambda machine, now: machine.describe(
            now, load=Load.OVERLOADED, sequence=7, oldest_hint_ms=8
        ),
    )

    def is_known() -> bool:
        return all(machine.load(busy) == Load.OVERLOADED for machine in network.running())

    assert network.run_until(is_known, limit_ms) is not None
    assert network.changes == []


def test_vitals_get_around_with_probes_and_tables():
    network = settled(5)
    one = network.ids[0]
    network.call(
        one, lambda machine, now: machine.describe(now, load=0, sequence=77, oldest_hint_ms=9)
    )
    network.run(40_000)
    for node in network.nodes.values():
        [row] = [
            row for row in network.machine(node.id).report(network.now(node)) if row.member == one
        ]
        assert row.vitals is not None
        assert (row.vitals.sequence, row.vitals.oldest_hint_ms) == (77, 9)


def test_clocks_are_compared():
    network = GossipNetwork(5)
    skewed = network.ids[0]
    network.nodes[skewed].skew_ms = 123_456
    network.run(20_000)
    for id in network.ids[1:]:
        clock = network.machine(id).clock_offset_ms(skewed)
        assert clock is not None
        assert abs(clock.offset_ms - 123_456) <= clock.error_ms <= 5


@pytest.mark.parametrize("set_ms", [3_600_000, -3_600_000])
def test_a_clock_that_is_set_is_known_to_all_within_seconds(set_ms: int):
    """Deadlines travel in wall time: as long as one is translated wrongly, requests expire on
    arrival (simulated cluster 3765). In 20 members a probe comes around after 20 s and more."""
    network = settled(20)
    network.run(60_000)
    one, *others = network.ids
    network.nodes[one].skew_ms = set_ms
    network.run(2_500)
    for id in others:
        ours = network.machine(one).clock_offset_ms(id)
        assert ours is not None
        assert abs(ours.offset_ms + set_ms) <= ours.error_ms + 50
        theirs = network.machine(id).clock_offset_ms(one)
        assert theirs is not None
        if set_ms > 0:
            assert abs(theirs.offset_ms - set_ms) <= theirs.error_ms + 50
    network.run(8_000)
    for id in others:
        theirs = network.machine(id).clock_offset_ms(one)
        assert theirs is not None
        assert abs(theirs.offset_ms - set_ms) <= theirs.error_ms


def test_an_idle_cluster_probes_and_is_silent_otherwise():
    network = settled(16)
    before = network.datagram_count
    network.run(60_000)
    assert 110 <= (network.datagram_count - before) / 16 <= 125  # a ping and an ack a second


# --- single calls ---------------------------------------------------------------------------------


def now(ms: int) -> Now:
    return Now(ms, 1_800_000_000_000 + ms)


def machine(*others: bytes, start: int = 4, settings: MembershipSettings | None = None):
    return Membership((A, *others), A, start, random.Random(5), settings)


def ping(number: int = 1, incarnation: int = 1 << 32) -> Operation:
    return Operation(PING, encode_ping(OwnState(number, incarnation, VITALS)))


VITALS = Vitals(0, 0, 1, 0, 0, 0)
ACCUSED = Statement(Status.SUSPECT, A, 4 << 32, None, (C,))


def sent(effects, code: int) -> list[tuple[bytes, bytes]]:
    return [
        (effect.to, operation.payload)
        for effect in effects
        if isinstance(effect, SendDatagram)
        for operation in effect.operations
        if operation.opcode == code
    ]


def test_a_member_alone_has_nothing_to_do():
    alone = machine()
    assert alone.next_deadline() is None
    assert alone.tick(now(0)) == []
    assert alone.next_deadline() is None
    [row] = alone.report(now(1))
    assert (row.member, row.status) == (A, Status.ALIVE)


def test_members_are_given_once_and_with_this_one():
    for wrong in ((B, C), (A, A, B)):
        with pytest.raises(ValueError):
            Membership(wrong, A, 1, random.Random(1))


def test_what_is_not_from_a_member_is_ignored():
    one = machine(B)
    one.tick(now(0))
    assert one.received(now(1), D, [ping()]) == []
    assert one.heard_from(now(1), D) == []
    about_d = Operation(STATEMENT, encode_statement(Statement(Status.DEAD, D, 9)))
    one.received(now(1), B, [about_d])
    assert [row.member for row in one.report(now(2))] == sorted([A, B])
    [reply] = one.asked(now(2), [Asked(D, PING, ping().payload, 0, 9, "r")])
    assert reply == Reply("r", OperationStatus.STALE_EPOCH)


def test_the_accused_answers_its_accuser_at_once():
    one = machine(B, C)
    one.tick(now(0))
    effects = one.received(now(10), B, [Operation(STATEMENT, encode_statement(ACCUSED))])
    told = [decode_statement(payload) for to, payload in sent(effects, STATEMENT) if to == B]
    assert [(said.status, said.incarnation) for said in told] == [(Status.ALIVE, (4 << 32) + 1)]


def test_an_ack_carries_the_refutation_of_what_came_with_its_ping():
    one = machine(B, C)
    one.tick(now(0))
    accusation = Operation(STATEMENT, encode_statement(ACCUSED))
    [(to, payload)] = sent(one.received(now(10), B, [accusation, ping(9)]), ACK)
    assert to == B
    assert decode_ping(payload).number == 9
    assert decode_ping(payload).incarnation == (4 << 32) + 1


def test_who_has_left_refutes_nothing():
    one = machine(B, C)
    one.tick(now(0))
    one.leave(now(1))
    assert one.status(A) is Status.LEFT
    left = one.report(now(1))
    accusation = Statement(Status.DEAD, A, 9 << 32)
    one.received(now(2), B, [Operation(STATEMENT, encode_statement(accusation))])
    assert one.report(now(1)) == left or one.status(A) is Status.LEFT
    [row] = [row for row in one.report(now(2)) if row.member == A]
    assert row.incarnation == (4 << 32) + 1


def test_another_run_under_this_name_is_an_alarm_once():
    one = machine(B)
    one.tick(now(0))
    alarms = []
    for incarnation in (9 << 32, 10 << 32):
        elsewhere = Statement(Status.ALIVE, A, incarnation, VITALS)
        effects = one.received(now(1), B, [Operation(STATEMENT, encode_statement(elsewhere))])
        alarms += [effect for effect in effects if isinstance(effect, Alarm)]
        [row] = [row for row in one.report(now(1)) if row.member == A]
        assert row.incarnation == incarnation + 1
    assert len(alarms) == 1


def test_a_speaker_who_is_taken_for_dead_is_told_so_once_an_interval():
    one = machine(B, C)
    one.tick(now(0))
    dead = Statement(Status.DEAD, C, 1 << 32, None, (B,))
    effects = one.received(now(1), B, [Operation(STATEMENT, encode_statement(dead))])
    assert StatusChanged(C, Status.ALIVE, Status.DEAD) in effects
    told = [sent(one.heard_from(now(ms), C), STATEMENT) for ms in (10, 500, 1010)]
    assert [[to for to, _ in found][:1] for found in told] == [[C], [], [C]]
    assert decode_statement(told[0][0][1]) == dead


def test_the_stream_answers_pings_and_tables():
    one = machine(B, C)
    one.tick(now(0))
    row = Statement(Status.ALIVE, C, 7 << 32, VITALS)
    requests = [
        Asked(B, PING, ping(3).payload, 0, 99, "ping"),
        Asked(B, EXCHANGE, encode_exchange([row]), 0, 99, "table"),
        Asked(B, EXCHANGE, b"\xff", 0, 99, "wrong"),
        Asked(B, EXCHANGE, b"", 1, 99, "flag"),
        Asked(B, STATEMENT, b"", 0, 99, "datagrams only"),
    ]
    replies = {
        effect.reply_to: effect
        for effect in one.asked(now(5), requests)
        if isinstance(effect, Reply)
    }
    assert decode_ping(replies["ping"].payload).number == 3
    rows = {said.member: said for said in decode_exchange(replies["table"].payload)}
    assert set(rows) == {A, B, C}
    assert rows[C] == row
    assert [replies[name].status for name in ("wrong", "flag", "datagrams only")] == [
        OperationStatus.MALFORMED,
        OperationStatus.UNKNOWN_FLAGS,
        OperationStatus.UNKNOWN_OPCODE,
    ]
    assert one.malformed_count == 1


def test_the_first_table_is_asked_for_until_it_comes():
    one = machine(B)
    [ask] = [effect for effect in one.tick(now(0)) if isinstance(effect, Ask)]
    assert (ask.to, ask.opcode) == (B, EXCHANGE)
    one.answered(now(10), [Unanswered(ask.token, B)])
    effects = [effect for ms in range(100, 1200, 100) for effect in one.tick(now(ms))]
    [again] = [
        effect for effect in effects if isinstance(effect, Ask) and effect.opcode == EXCHANGE
    ]
    dead = encode_exchange([Statement(Status.DEAD, A, 1)])
    one.answered(now(1150), [Answered(again.token, B, OperationStatus.DONE, dead)])
    later = [effect for ms in range(1200, 29_000, 100) for effect in one.tick(now(ms))]
    assert not [effect for effect in later if isinstance(effect, Ask) and effect.opcode == EXCHANGE]


def test_what_a_later_version_says_is_passed_over():
    one = machine(B)
    one.tick(now(0))
    effects = one.received(now(1), B, [Operation(0x02F0, b"?"), Operation(PING, b"?"), ping(2)])
    assert len(sent(effects, ACK)) == 1
    assert one.malformed_count == 1


def test_a_late_tick_resets_the_probe_and_costs_health():
    one = machine(B, C)
    one.tick(now(0))
    for ms in range(0, 1000, 50):
        one.tick(now(ms))
    assert health_of(one) == 0
    effects = one.tick(now(9000))
    assert not sent(effects, STATEMENT) or all(
        decode_statement(payload).status is Status.ALIVE for _, payload in sent(effects, STATEMENT)
    )
    assert health_of(one) == 8
    assert {one.status(B), one.status(C)} == {Status.ALIVE}


def test_a_pause_is_noticed_once_however_much_was_waiting():
    one = machine(B, C)
    one.tick(now(0))
    assert one.next_deadline() == 200  # there is news
    for number in range(3):
        one.received(now(700), B, [ping(number)])
    one.tick(now(700))
    assert health_of(one) == 1


def test_a_suspicion_does_not_end_while_this_node_is_paused():
    """The refutation may be among what waits for it."""
    one = machine(B, C, D)
    for ms in range(0, 2000, 100):
        one.tick(now(ms))
    by_all = Statement(Status.SUSPECT, B, 1 << 32, None, tuple(sorted([C, D])))
    one.received(now(2000), C, [Operation(STATEMENT, encode_statement(by_all))])
    by_me = Statement(Status.SUSPECT, B, 1 << 32, None, (A,))
    one.received(now(2001), C, [Operation(STATEMENT, encode_statement(by_me))])
    assert StatusChanged(B, Status.SUSPECT, Status.DEAD) not in one.tick(now(30_000))
    one.received(now(30_000), B, [ping(1, (1 << 32) + 1)])
    assert one.status(B) is Status.ALIVE


def health_of(one: Membership) -> int:
    [row] = [row for row in one.report(now(0)) if row.member == A]
    assert row.vitals is not None
    return row.vitals.health_score


anything = st.builds(
    Operation,
    st.integers(PING, EXCHANGE + 1),
    st.one_of(
        st.binary(max_size=70),
        st.builds(
            lambda status, member, incarnation, rest: (
                bytes([status]) + member + incarnation.to_bytes(8, "little") + rest
            ),
            st.integers(1, 5),
            st.sampled_from([A, B, C, D]),
            st.sampled_from([0, 1, 4 << 32, (4 << 32) + 1, 2**64 - 2, 2**64 - 1]),
            st.sampled_from(
                [b"\0", b"\1" + B, b"\1" + D, b"\2" + min(A, C) + max(A, C), bytes(30)]
            ),
        ),
        st.builds(lambda number, member: number.to_bytes(4, "little") + member, u32, ids),
        st.builds(lambda number: number.to_bytes(4, "little"), u32),
        st.builds(
            lambda number, incarnation: encode_ping(OwnState(number, incarnation, VITALS)),
            u32,
            st.sampled_from([0, 4 << 32, 2**64 - 2]),
        ),
    ),
)


@given(st.lists(st.tuples(st.sampled_from([B, C]), st.lists(anything, max_size=6)), max_size=12))
def test_whatever_a_member_says_the_machine_goes_on(story):
    """It answers in bounded datagrams, never says of others what is nobody's business, and its own
    incarnation only rises."""
    one = machine(B, C)
    before, ms = 0, 0
    for peer, operations in story:
        ms += 400
        effects = [*one.tick(now(ms)), *one.received(now(ms), peer, operations)]
        for effect in effects:
            if isinstance(effect, SendDatagram):
                assert effect.to in (B, C)
                assert 0 < encoded_size(effect.operations) <= OPERATIONS_SIZE_MAX
        for _, payload in sent(effects, STATEMENT):
            assert decode_statement(payload).member in (A, B, C)
        [mine] = [row for row in one.report(now(ms)) if row.member == A]
        assert mine.status is Status.ALIVE
        assert mine.incarnation >= before
        before = mine.incarnation
        due_ms = one.next_deadline()
        assert due_ms is not None


def test_nothing_is_stored():
    assert machine(B).stored(now(0), []) == []
