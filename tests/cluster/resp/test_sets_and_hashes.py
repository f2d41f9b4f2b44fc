"""Sets and hashes in a cluster keep what others change meanwhile; what they cannot do is told.

That a node which is alone answers as Redis is for test_as_redis.py.
"""

from __future__ import annotations

import pytest

from lsmkv_cluster.coordination.requests import (
    VALUES_MAX,
    ClientAnswer,
    ClientRequest,
    Outcome,
    Reason,
    Verb,
)
from lsmkv_cluster.resp.replies import ErrorReply
from tests.support.resp_lab import WALL_MS, LabClient, RespLab, make_cluster


def make(count: int = 3) -> tuple[RespLab, LabClient]:
    lab = RespLab(make_cluster(count))
    return lab, lab.client()


def meanwhile(lab: RespLab, verb: Verb, *values: bytes) -> None:
    """Somebody else does this to `k`, ahead of the next write."""

    def write(request: ClientRequest) -> None:
        lab.coordinator.call(ClientRequest(verb, b"k", values), WALL_MS)

    lab.coordinator.before = write


def writes(lab: RespLab) -> list[tuple[Verb, tuple[bytes, ...]]]:
    return [(each.verb, each.values) for each in lab.coordinator.requests if each.is_write]


@pytest.mark.parametrize("count", [1, 3])
def test_a_set(count: int):
    _, client = make(count)
    assert client.do("SADD", "k", "a", "b", "a") == 2
    assert client.do("SADD", "k", "b", "c") == 1
    assert client.do("SMEMBERS", "k") == frozenset({b"a", b"b", b"c"})
    assert client.do("SREM", "k", "a", "z") == 1
    assert client.do("SMISMEMBER", "k", "a", "b") == [0, 1]
    assert (client.do("SCARD", "k"), client.do("TYPE", "k")) == (2, "set")


@pytest.mark.parametrize("count", [1, 3])
def test_a_hash(count: int):
    _, client = make(count)
    assert client.do("HSET", "k", "f", "1", "g", "2", "f", "3") == 2
    assert client.do("HSET", "k", "f", "4", "h", "5") == 1
    assert client.do("HGETALL", "k") == {b"f": b"4", b"g": b"2", b"h": b"5"}
    assert client.do("HDEL", "k", "f", "z") == 1
    assert client.do("HMGET", "k", "f", "g") == [None, b"2"]
    assert (client.do("HLEN", "k"), client.do("TYPE", "k")) == (2, "hash")


def test_what_others_add_meanwhile_stays():
    lab, client = make()
    client.do("SADD", "k", "a")
    meanwhile(lab, Verb.ADD_ELEMENTS, b"b")
    assert client.do("SREM", "k", "a") == 1
    assert client.do("SMEMBERS", "k") == frozenset({b"b"})
    meanwhile(lab, Verb.ADD_ELEMENTS, b"d")
    assert client.do("SADD", "k", "c") == 1
    assert client.do("SMEMBERS", "k") == frozenset({b"b", b"c", b"d"})


def test_fields_that_others_set_meanwhile_stay():
    lab, client = make()
    client.do("HSET", "k", "f", "1")
    meanwhile(lab, Verb.PUT_FIELDS, b"g", b"2")
    assert client.do("HSET", "k", "f", "3") == 0
    meanwhile(lab, Verb.PUT_FIELDS, b"h", b"4")
    assert client.do("HDEL", "k", "f") == 1
    assert client.do("HGETALL", "k") == {b"g": b"2", b"h": b"4"}


def test_in_a_cluster_what_is_there_is_added_anew():
    """Somebody may be removing it at this moment."""
    lab, client = make()
    client.do("SADD", "k", "a")
    meanwhile(lab, Verb.REMOVE_ELEMENTS, b"a")
    assert client.do("SADD", "k", "a") == 0
    assert client.do("SMEMBERS", "k") == frozenset({b"a"})


def test_what_changes_nothing_writes_nothing():
    alone, client = make(1)
    client.do("SADD", "k", "a")
    assert client.do("SADD", "k", "a") == 0
    assert client.do("SREM", "k", "z") == client.do("HDEL", "none", "z") == 0
    assert writes(alone) == [(Verb.ADD_ELEMENTS, (b"a",))]
    lab, client = make(3)
    assert client.do("SREM", "k", "z") == client.do("HDEL", "none", "z") == 0
    assert writes(lab) == []


def test_how_many_at_a_time():
    lab, client = make()
    names = [b"%d" % number for number in range(VALUES_MAX + 1)]
    too_many = ErrorReply("ERR more than 4096 elements, fields and values in one command")
    assert client.do("SADD", "k", *names) == too_many
    assert (
        client.do("HSET", "h", *(each for name in names[::2] for each in (name, b""))) == too_many
    )
    assert writes(lab) == []
    assert client.do("SADD", "k", *names[1:]) == VALUES_MAX
    assert client.do("SCARD", "k") == VALUES_MAX


def test_what_they_cannot_do_is_told():
    _, client = make(1)
    client.do("SADD", "s", "a")
    client.do("HSET", "h", "f", "v")
    for key in "sh":
        for command in (("EXPIRE", key, 100), ("PEXPIREAT", key, WALL_MS + 1000)):
            assert client.do(*command) == ErrorReply("ERR sets and hashes do not expire")
        for command in (("COPY", key, "t"), ("RENAME", key, "t"), ("RENAMENX", key, "t")):
            assert client.do(*command) == ErrorReply("ERR sets and hashes cannot be copied")
        assert (client.do("TTL", key), client.do("PERSIST", key)) == (-1, 0)
    assert client.do("EXISTS", "s", "h", "t") == 2
    assert client.do("EXPIRE", "s", -1) == 1
    assert client.do("EXISTS", "s") == 0


def test_a_write_that_was_not_done_is_told():
    lab, client = make()
    unknown = ClientAnswer(Outcome.UNKNOWN, Reason.NOT_ENOUGH_REPLICAS, 1, 2)
    there = lab.coordinator.call(ClientRequest(Verb.GET, b"k"), WALL_MS)
    lab.coordinator.answers = [(b"k", there), (b"k", unknown)]
    told = client.do("SADD", "k", "a")
    assert told == ErrorReply("UNKNOWN the write may exist: 1 of 2 replicas have confirmed it")


def test_reads_are_counted_as_hits_and_misses():
    lab, client = make()
    client.do("SADD", "k", "a")
    client.do("SCARD", "k")
    client.do("HGET", "none", "f")
    statistics = lab.executor.statistics
    assert (statistics.hits, statistics.misses) == (1, 1)
