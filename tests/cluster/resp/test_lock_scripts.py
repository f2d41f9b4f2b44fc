"""Locks of redis-py are released and extended by their holder only, as its scripts would."""

from __future__ import annotations

import hashlib

import pytest

from lsmkv_cluster.placement.keyspaces import Keyspace
from lsmkv_cluster.resp.lock_scripts import RULES
from lsmkv_cluster.resp.replies import ErrorReply
from tests.support.resp_lab import LabClient, RespLab, make_cluster

RELEASE, EXTEND, REACQUIRE = RULES
NO_SCRIPT = ErrorReply("NOSCRIPT No matching script. Please use EVAL.")


def held() -> LabClient:
    client = RespLab().client()
    assert client.do("SET", "l", "token", "NX", "PX", "10000") == "OK"
    return client


def test_the_hashes_are_those_of_redis_py():
    lock = pytest.importorskip("redis.lock", reason="redis-py is not installed").Lock
    scripts = (lock.LUA_RELEASE_SCRIPT, lock.LUA_EXTEND_SCRIPT, lock.LUA_REACQUIRE_SCRIPT)
    assert [hashlib.sha1(script.encode()).hexdigest() for script in scripts] == list(RULES)
    client = held()
    for script, digest in zip(scripts, RULES, strict=True):
        assert client.do("SCRIPT", "LOAD", script) == digest.encode()
    assert client.do("EVAL", lock.LUA_RELEASE_SCRIPT, 1, "l", "token") == 1


def test_only_who_holds_a_lock_releases_it():
    client = held()
    assert client.do("EVALSHA", RELEASE, 1, "l", "other") == 0
    assert client.do("GET", "l") == b"token"
    assert client.do("EVALSHA", RELEASE.upper(), 1, "l", "token") == 1
    assert client.do("EXISTS", "l") == 0
    assert client.do("EVALSHA", RELEASE, 1, "l", "token") == 0


def test_a_lock_is_extended_by_or_to_so_much():
    client = held()
    assert client.do("EVALSHA", EXTEND, 1, "l", "other", 5000, "0") == 0
    assert client.do("EVALSHA", EXTEND, 1, "l", "token", 5000, "0") == 1
    assert client.do("PTTL", "l") == 15000
    assert client.do("EVALSHA", EXTEND, 1, "l", "token", 5000, "1") == 1
    assert client.do("PTTL", "l") == 5000
    client.do("PERSIST", "l")
    assert client.do("EVALSHA", EXTEND, 1, "l", "token", 5000, "1") == 0
    assert client.do("EVALSHA", REACQUIRE, 1, "l", "token", 7000) == 1
    assert client.do("PTTL", "l") == 7000
    assert client.do("EVALSHA", REACQUIRE, 1, "l", "token", 0) == 1
    assert client.do("EXISTS", "l") == 0


def test_other_scripts_are_refused():
    client = held()
    assert client.do("EVALSHA", "f" * 40, 0) == NO_SCRIPT
    assert client.do("SCRIPT", "EXISTS", RELEASE, "f" * 40) == [1, 0]
    for command in (["EVAL", "return 1", "0"], ["SCRIPT", "LOAD", "return 1"]):
        reply = client.do(*command)
        assert isinstance(reply, ErrorReply)
        assert reply.text.startswith("ERR scripts are not run here")
    reply = client.do("EVALSHA", RELEASE, 2, "l", "m", "token")
    assert isinstance(reply, ErrorReply)
    assert isinstance(client.do("EVALSHA", EXTEND, 1, "l", "token"), ErrorReply)
    assert client.do("EVALSHA", EXTEND, 1, "l", "token", "soon", "0") == ErrorReply(
        "ERR value is not an integer or out of range"
    )


def test_in_a_cluster_locks_are_refused_unless_best_effort():
    lab = RespLab(make_cluster(5, keyspaces=(Keyspace(), Keyspace(b"l:", best_effort=True))))
    client = lab.client()
    reply = client.do("EVALSHA", RELEASE, 1, "k", "token")
    assert isinstance(reply, ErrorReply)
    assert "BESTEFFORT" in reply.text
    assert client.do("SET", "l:k", "token", "NX") == "OK"
    assert client.do("EVALSHA", RELEASE, 1, "l:k", "token") == 1
