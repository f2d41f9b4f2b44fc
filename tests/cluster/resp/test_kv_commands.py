"""What Redis has no words for: siblings, contexts, levels, keyspaces."""

from __future__ import annotations

import pytest

from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode, Resolution
from lsmkv_cluster.resp.replies import ErrorReply
from lsmkv_cluster.resp.session import Role
from tests.support.resp_lab import LabClient, RespLab, make_cluster

SYNTAX = ErrorReply("ERR syntax error")


def cluster() -> tuple[RespLab, LabClient]:
    lab = RespLab(make_cluster(5))
    return lab, lab.client()


def test_writes_that_have_not_seen_each_other_stay_until_one_has_seen_them():
    _, client = cluster()
    client.do("KV.PUT", "k", "one")
    client.do("KV.PUT", "k", "two")
    context, values, kind = client.do("KV.GET", "k")
    assert (values, kind) == ([b"two", b"one"], b"string")
    assert client.do("GET", "k") == b"two"
    client.do("KV.PUT", "k", "both", "CONTEXT", context)
    assert client.do("KV.GET", "k")[1] == [b"both"]


def test_a_write_that_overwrites_takes_the_place_of_all_that_is_there():
    lab, client = cluster()
    client.do("KV.PUT", "k", "one")
    client.do("KV.PUT", "k", "two")
    context = client.do("KV.PUT", "k", "all", "OVERWRITE", "W", "ONE")
    assert client.do("KV.GET", "k") == [context, [b"all"], b"string"]
    assert lab.coordinator.requests[2].write == Consistency(Level.ONE)
    assert client.do("KV.PUT", "k", "v", "OVERWRITE", "CONTEXT", context) == SYNTAX


def test_a_context_comes_back_with_every_write():
    _, client = cluster()
    context = client.do("KV.PUT", "k", "one")
    context = client.do("KV.PUT", "k", "two", "CONTEXT", context)
    assert client.do("KV.GET", "k")[1] == [b"two"]
    context = client.do("KV.DEL", "k", "CONTEXT", context)
    assert client.do("KV.GET", "k") == [context, [], b"none"]
    assert client.do("KV.GET", "never") == [b"", [], b"none"]


def test_a_delete_with_a_context_leaves_what_it_has_not_seen():
    _, client = cluster()
    context = client.do("KV.PUT", "k", "one")
    client.do("KV.PUT", "k", "two")
    client.do("KV.DEL", "k", "CONTEXT", context)
    assert client.do("KV.GET", "k")[1] == [b"two"]
    client.do("KV.DEL", "k")
    assert client.do("KV.GET", "k")[1] == []


def test_a_context_of_another_key_is_refused():
    _, client = cluster()
    context = client.do("KV.PUT", "k", "one")
    reply = client.do("KV.PUT", "other", "v", "CONTEXT", context)
    assert isinstance(reply, ErrorReply)
    assert reply.text.startswith("ERR the context is damaged, or of another key")


def test_levels_of_one_request():
    lab, client = cluster()
    client.do("KV.PUT", "k", "v", "W", "all", "STRICT")
    client.do("KV.GET", "k", "R", "2")
    client.do("KV.DEL", "k", "W", "LOCAL_QUORUM", "sloppy")
    put, get, delete = lab.coordinator.requests
    assert (put.write, put.mode) == (Consistency(Level.ALL), Mode.STRICT)
    assert get.read == Consistency(Level.COUNT, 2)
    assert (delete.write, delete.mode) == (Consistency(Level.LOCAL_QUORUM), Mode.SLOPPY)


def test_levels_of_a_connection_hold_for_what_follows():
    lab, client = cluster()
    assert client.do("KV.CONSISTENCY", "READ", "ONE", "WRITE", "3", "STRICT") == "OK"
    client.do("SET", "k", "v")
    client.do("GET", "k")
    for request in lab.coordinator.requests:
        assert request.read == Consistency(Level.ONE)
        assert request.write == Consistency(Level.COUNT, 3)
        assert request.mode is Mode.STRICT
    assert client.do("KV.CONSISTENCY") == {b"read": b"ONE", b"write": b"3", b"mode": b"STRICT"}
    assert lab.client().do("KV.CONSISTENCY") == {b"read": None, b"write": None, b"mode": None}
    assert client.do("KV.CONSISTENCY", "DEFAULT", "WRITE", "ALL") == "OK"
    assert client.do("KV.CONSISTENCY") == {b"read": None, b"write": b"ALL", b"mode": None}
    client.do("RESET")
    assert client.do("KV.CONSISTENCY") == {b"read": None, b"write": None, b"mode": None}


@pytest.mark.parametrize(
    "command",
    [
        ["KV.GET", "k", "W", "ONE"],
        ["KV.GET", "k", "R"],
        ["KV.PUT", "k", "v", "R", "ONE"],
        ["KV.PUT", "k", "v", "CONTEXT"],
        ["KV.DEL", "k", "FOO"],
        ["KV.DEL", "k", "OVERWRITE"],
        ["KV.CONSISTENCY", "READ"],
        ["KV.CONSISTENCY", "FOO"],
        ["KV.KEYSPACE", "SET", "p", "FOO"],
        ["KV.KEYSPACE", "SET", "p", "R"],
    ],
)
def test_what_cannot_be_understood_changes_nothing(command: list[str]):
    lab, client = cluster()
    assert client.do(*command) == SYNTAX
    assert lab.coordinator.requests == []


@pytest.mark.parametrize("level", ["TWO", "0", "256", "-1", "COUNT", ""])
def test_levels_that_there_are_not(level: str):
    _, client = cluster()
    reply = client.do("KV.GET", "k", "R", level)
    assert isinstance(reply, ErrorReply)
    assert "is not one of ONE, QUORUM" in reply.text


# --- keyspaces


def test_a_keyspace_is_made_changed_listed_and_dropped():
    lab, client = cluster()
    made = ["KV.KEYSPACE", "SET", "user:", "R", "ONE", "W", "ALL", "STRICT", "RESOLVE", "lww"]
    assert client.do(*made, "BESTEFFORT") == "OK"
    assert lab.host.topology.keyspaces[1] == Keyspace(
        b"user:",
        Consistency(Level.ONE),
        Consistency(Level.ALL),
        Mode.STRICT,
        Resolution.LAST_WRITER,
        True,
    )
    assert client.do("KV.KEYSPACE", "SET", "user:", "SLOPPY", "EXACT") == "OK"
    assert client.do("KV.KEYSPACE", "LIST")[1] == {
        b"prefix": b"user:",
        b"read": b"ONE",
        b"write": b"ALL",
        b"mode": b"SLOPPY",
        b"resolve": b"lww",
        b"besteffort": False,
    }
    assert client.do("KV.KEYSPACE", "DROP", "user:") == "OK"
    assert len(lab.host.topology.keyspaces) == 1


def test_keyspaces_that_cannot_be():
    _, client = cluster()
    for command in (
        ["SET", "p" * 2000],
        ["SET", "p", "RESOLVE", "guess"],
        ["DROP", ""],
        ["DROP", "nosuch"],
    ):
        reply = client.do("KV.KEYSPACE", *command)
        assert isinstance(reply, ErrorReply)
        assert reply.text.startswith("ERR ")


def test_only_who_administrates_changes_keyspaces():
    lab, client = cluster()
    lab.host.users = {"w": (b"x", Role.WRITE)}
    assert client.do("AUTH", "w", "x") == "OK"
    assert client.do("KV.KEYSPACE", "SET", "p") == ErrorReply(
        "NOPERM this user has no permissions to run the 'kv.keyspace|set' command"
    )
    assert isinstance(client.do("KV.KEYSPACE", "LIST"), list)


def test_explain_is_a_report_of_maps():
    _, client = cluster()
    client.do("SET", "k", "v")
    report = client.do("KV.EXPLAIN", "k")
    assert isinstance(report, dict)
    assert report[b"reads_as"] == {b"type": b"string", b"value": b"v", b"expiry_ms": 0}
    assert [row[b"member"] for row in report[b"owners"]] == [b"n1"]
