"""Replies come in order, commands overlap where nobody can tell, and alone they are atomic."""

from __future__ import annotations

import random

from lsmkv_cluster.coordination.requests import ClientRequest
from lsmkv_cluster.resp.queries import Failed
from lsmkv_cluster.resp.replies import ErrorReply
from tests.support.resp_lab import RespLab, make_cluster


def slow(count: int = 1) -> RespLab:
    lab = RespLab(make_cluster(count))
    lab.is_slow = True
    return lab


def waiting_keys(lab: RespLab) -> list[bytes]:
    return [asking.query.key for asking in lab.open if isinstance(asking.query, ClientRequest)]


def test_replies_come_in_the_order_of_commands_whatever_is_answered_first():
    lab = slow()
    client = lab.client()
    client.send("SET", "a", "1")
    client.send("SET", "b", "2")
    client.send("PING")
    assert waiting_keys(lab) == [b"a", b"b"]
    lab.answer(1)
    assert client.take() == []
    lab.answer(0)
    assert client.take() == ["OK", "OK", "PONG"]


def test_a_command_sees_what_those_before_it_wrote():
    for count in (1, 5):
        lab = slow(count)
        client = lab.client()
        client.send("SET", "a", "1")
        client.send("GET", "a")
        client.send("INCR", "a")
        client.send("GET", "b")
        client.send("GET", "a")
        assert waiting_keys(lab) == [b"a", b"b"]
        lab.run()
        assert client.take() == ["OK", b"1", 2, None, b"2"]


def test_reads_of_one_key_overlap():
    lab = slow()
    client = lab.client()
    for _ in range(3):
        client.send("GET", "a")
    assert len(lab.open) == 3


def test_connections_of_a_cluster_do_not_wait_for_each_other_and_those_of_one_node_do():
    for count, asked in ((5, 2), (1, 1)):
        lab = slow(count)
        first, second = lab.client(), lab.client()
        first.send("APPEND", "a", "x")
        second.send("APPEND", "a", "y")
        assert len(lab.open) == asked
        lab.run()
        assert (first.take(), second.take()) == ([1], [2])


def test_several_keys_are_asked_for_at_once():
    lab = slow()
    client = lab.client()
    client.send("MGET", "a", "b", "c")
    assert waiting_keys(lab) == [b"a", b"b", b"c"]
    for index in (2, 0, 0):
        lab.answer(index)
    assert client.take() == [[None, None, None]]


def test_what_is_done_by_many_at_once_is_exact_in_a_node_that_is_alone():
    """Counts, appends and transfers, answered in any order: nothing is lost, and no transaction is
    seen in part."""
    for seed in range(20):
        rng = random.Random(seed)
        lab = slow()
        clients = [lab.client() for _ in range(5)]
        rounds = 12
        clients[0].send("MSET", "x", "100", "y", "0")
        lab.run()
        clients[0].take()
        for client in clients[:4]:
            for _ in range(rounds):
                client.send("INCR", "n")
                client.send("APPEND", "s", "z")
                for command in (["MULTI"], ["DECR", "x"], ["INCR", "y"], ["EXEC"]):
                    client.send(*command)
        for _ in range(rounds):
            clients[4].send("MGET", "x", "y")
        while lab.open:
            lab.answer(rng.randrange(len(lab.open)))
        done = 4 * rounds
        for x, y in clients[4].take():
            assert int(x) + int(y) == 100, seed
        clients[4].send("MGET", "n", "s", "x")
        lab.run()
        assert clients[4].take() == [[b"%d" % done, b"z" * done, b"%d" % (100 - done)]], seed
        assert lab.executor.statistics.by_command["exec"] == done


def test_what_clears_everything_begins_when_all_before_it_is_done():
    lab = slow()
    client = lab.client()
    client.send("SET", "a", "1")
    client.send("FLUSHALL")
    client.send("SET", "a", "2")
    client.send("DBSIZE")
    assert waiting_keys(lab) == [b"a"]
    lab.run()
    assert client.take() == ["OK", "OK", "OK", 1]


def test_levels_are_those_that_held_when_the_command_came():
    lab = slow()
    client, other = lab.client(), lab.client()
    other.send("INCR", "a")
    client.send("GET", "a")
    client.send("KV.CONSISTENCY", "READ", "ALL")
    client.send("GET", "b")
    lab.run()
    reads = {
        request.key: request.read
        for request in lab.coordinator.requests
        if not request.is_write and request.key == b"b"
    }
    assert str(reads[b"b"]) == "ALL"
    assert all(each.read is None for each in lab.coordinator.requests if each.key == b"a")


def test_replies_before_hello_are_of_the_protocol_before_it():
    lab = slow()
    client = lab.client()
    client.send("GET", "a")
    client.send("HELLO", "3")
    client.send("PING")
    assert client.take() == []
    lab.run()
    assert client.protocols == [2, 3, 3]


def test_a_client_that_is_gone_gets_nothing_and_what_it_began_is_finished():
    lab = slow()
    client, other = lab.client(), lab.client()
    client.send("INCR", "a")
    client.send("INCR", "a")
    client.send("FLUSHALL")
    lab.executor.closed(client.session)
    other.send("GET", "a")
    lab.run()
    assert client.take() == []
    assert other.take() == [b"2"]
    assert list(lab.executor.sessions) == [other.session.id]


def test_quit_is_answered_behind_all_else_and_then_nothing_is_carried_out():
    lab = slow()
    client = lab.client()
    client.send("SET", "a", "1")
    client.send("QUIT")
    client.send("SET", "a", "2")
    lab.run()
    assert client.take() == ["OK", "OK"]
    assert client.is_closed
    assert lab.coordinator.requests[-1].values == (b"1",)


def test_pending_tells_how_much_a_connection_waits_for():
    lab = slow()
    client = lab.client()
    assert lab.executor.is_free(client.session, b"a")
    for _ in range(3):
        client.send("INCR", "a")
    assert lab.executor.pending(client.session) == 3
    assert not lab.executor.is_free(lab.client().session, b"a")
    lab.run()
    assert lab.executor.pending(client.session) == 0
    assert lab.executor.is_free(client.session, b"a")


def test_a_query_that_fails_is_an_error_of_its_command_alone():
    lab = slow()
    client = lab.client()
    client.send("MULTI")
    client.send("KEYS", "*")
    client.send("PING")
    client.send("EXEC")
    lab.executor.answered(lab.open.pop().token, Failed("NOREPLICAS nobody lists keys"), lab.now)
    lab.collect()
    replies = client.take()
    assert replies[-1] == [ErrorReply("NOREPLICAS nobody lists keys"), "PONG"]


def test_ten_thousand_commands_of_one_key_are_carried_out_one_after_the_other():
    lab = slow()
    client = lab.client()
    for _ in range(10_000):
        client.send("SETRANGE", "a", "-1", "x")
    client.send("INCR", "a")
    for _ in range(5_000):
        client.send("GETRANGE", "a", "x", "y")
    lab.run()
    assert client.take()[10_000] == 1
