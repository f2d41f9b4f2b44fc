"""MULTI in a cluster is in order, and one reply; WATCH in a node that is alone misses nothing."""

from __future__ import annotations

from lsmkv_cluster.coordination.requests import ClientAnswer, Outcome, Reason
from lsmkv_cluster.placement.keyspaces import Keyspace
from lsmkv_cluster.resp.replies import NULL_ARRAY, ErrorReply
from tests.support.resp_lab import LabClient, RespLab, make_cluster


def transact(client: LabClient, *commands: list[str]) -> object:
    client.do("MULTI")
    for command in commands:
        assert client.do(*command) == "QUEUED"
    return client.do("EXEC")


def test_in_a_cluster_commands_are_carried_out_one_after_the_other():
    lab = RespLab(make_cluster(5))
    lab.is_slow = True
    client = lab.client()
    for command in (["MULTI"], ["SET", "a", "1"], ["SET", "b", "2"], ["GET", "a"], ["EXEC"]):
        client.send(*command)
    assert len(lab.open) == 1
    lab.run()
    assert client.take()[-1] == ["OK", "OK", b"1"]
    assert [request.key for request in lab.coordinator.requests] == [b"a", b"b", b"a"]


def test_an_error_is_the_reply_of_one_command_and_the_others_are_carried_out():
    lab = RespLab(make_cluster(5))
    client = lab.client()
    refused = ClientAnswer(Outcome.REFUSED, Reason.NOT_ENOUGH_REPLICAS, 1, 2)
    lab.coordinator.answers.append((b"b", refused))
    done = transact(client, ["SET", "a", "1"], ["SET", "b", "2"], ["SETNX", "c", "3"], ["GET", "a"])
    assert isinstance(done, list)
    assert [type(reply) for reply in done] == [str, ErrorReply, ErrorReply, bytes]


def test_watch_notices_what_happens_and_comes_back():
    lab = RespLab()
    client, other = lab.client(), lab.client()
    for before, between, is_noticed in (
        ([], [], False),
        ([], [["SET", "k", "v"], ["DEL", "k"]], True),
        ([["SET", "k", "v"]], [["GET", "k"], ["EXISTS", "k"]], False),
        ([["SET", "k", "v"]], [["SET", "k", "w"], ["SET", "k", "v"]], True),
        ([["SET", "k", "v"]], [["EXPIRE", "k", "100"]], True),
        ([["DEL", "k"]], [["DEL", "k"]], False),
    ):
        for command in before:
            client.do(*command)
        client.do("WATCH", "k")
        for command in between:
            other.do(*command)
        done = transact(client, ["SET", "x", "1"])
        assert (done is NULL_ARRAY) == is_noticed, between


def test_watch_notices_that_a_key_expires_and_not_that_its_tombstone_goes():
    lab = RespLab()
    client = lab.client()
    client.do("SET", "k", "v", "PX", "10")
    client.do("WATCH", "k")
    lab.advance(10)
    assert transact(client, ["SET", "x", "1"]) is NULL_ARRAY
    client.do("SET", "k", "v")
    client.do("DEL", "k")
    client.do("WATCH", "k")
    del lab.coordinator.records[b"k"]
    assert transact(client, ["SET", "x", "1"]) == ["OK"]


def test_a_watch_of_best_effort_is_served_in_a_cluster():
    lab = RespLab(make_cluster(5, keyspaces=(Keyspace(), Keyspace(b"l:", best_effort=True))))
    client, other = lab.client(), lab.client()
    assert client.do("WATCH", "l:k") == "OK"
    other.do("SET", "l:k", "v")
    assert transact(client, ["SET", "x", "1"]) is NULL_ARRAY


def test_what_expired_is_gone_between_commands_of_one_transaction_of_one_moment():
    lab = RespLab()
    client = lab.client()
    assert transact(client, ["SET", "k", "v", "PX", "1"], ["GET", "k"], ["PTTL", "k"]) == [
        "OK",
        b"v",
        1,
    ]
