"""Who a client is, what it may do, and what it calls itself."""

from __future__ import annotations

import pytest

from lsmkv_cluster.resp.replies import ErrorReply, Reply, Verbatim
from lsmkv_cluster.resp.session import Role
from tests.support.resp_lab import LabClient, RespLab

NO_AUTH = ErrorReply("NOAUTH Authentication required.")
WRONG = ErrorReply("WRONGPASS invalid username-password pair or user is disabled.")


def guarded() -> tuple[RespLab, LabClient]:
    lab = RespLab()
    lab.host.users = {
        "default": (b"secret", Role.ADMIN),
        "reader": (b"r", Role.READ),
        "writer": (b"w", Role.WRITE),
    }
    return lab, lab.client()


def kind(reply: Reply) -> str:
    return reply.text.split()[0] if isinstance(reply, ErrorReply) else "OK"


def test_a_stranger_may_say_who_it_is_and_go():
    _, client = guarded()
    for command in (["GET", "a"], ["PING"], ["CLIENT", "ID"], ["COMMAND"], ["MULTI"], ["INFO"]):
        assert client.do(*command) == NO_AUTH
    assert kind(client.do("HELLO", "3")) == "NOAUTH"
    assert client.session.protocol == 2
    assert client.do("AUTH", "wrong") == WRONG
    assert client.do("AUTH", "nobody", "secret") == WRONG
    assert client.do("GET", "a") == NO_AUTH
    assert client.do("AUTH", "secret") == "OK"
    assert client.do("GET", "a") is None
    assert client.do("RESET") == "RESET"
    assert client.do("GET", "a") == NO_AUTH
    assert client.do("QUIT") == "OK"


def test_hello_says_who_and_in_which_protocol_at_once():
    _, client = guarded()
    assert client.do("HELLO", "3", "AUTH", "reader", "wrong") == WRONG
    hello = client.do("HELLO", "3", "AUTH", "reader", "r", "SETNAME", "me")
    assert isinstance(hello, dict)
    assert (hello[b"proto"], hello[b"id"]) == (3, client.session.id)
    assert client.do("CLIENT", "GETNAME") == b"me"
    assert client.session.user == "reader"


@pytest.mark.parametrize(
    ("user", "password", "allowed"),
    [("reader", "r", 1), ("writer", "w", 2), ("default", "secret", 3)],
)
def test_each_role_may_do_what_those_before_it_may(user: str, password: str, allowed: int):
    _, client = guarded()
    client.do("AUTH", user, password)
    commands = [["GET", "a"], ["SET", "a", "1"], ["CONFIG", "GET", "save"]]
    kinds = [kind(client.do(*command)) for command in commands]
    assert kinds == ["OK"] * allowed + ["NOPERM"] * (3 - allowed)
    for command in (["SCAN", "0"], ["MULTI"], ["DISCARD"], ["KV.GET", "a"]):
        assert kind(client.do(*command)) == "OK"
    assert kind(client.do("FLUSHALL")) == ("NOPERM" if allowed == 1 else "OK")
    assert kind(client.do("KV.CLUSTER", "RING")) == "OK", "clients find their way by it"
    if allowed < 3:
        assert kind(client.do("KV.CLUSTER", "STATUS")) == "NOPERM"


def test_what_is_not_allowed_breaks_a_transaction():
    _, client = guarded()
    client.do("AUTH", "reader", "r")
    client.do("MULTI")
    assert kind(client.do("SET", "a", "1")) == "NOPERM"
    assert kind(client.do("EXEC")) == "EXECABORT"


# --- CLIENT


def lines(reply: Reply) -> list[dict[str, str]]:
    assert isinstance(reply, Verbatim)
    rows = reply.text.decode().splitlines()
    return [dict(part.split("=", 1) for part in row.split()) for row in rows]


def test_connections_are_listed_with_what_they_said_of_themselves():
    lab = RespLab()
    client, other = lab.client(), lab.client()
    client.do("CLIENT", "SETNAME", "me")
    client.do("CLIENT", "SETINFO", "LIB-NAME", "redis-py")
    client.do("CLIENT", "SETINFO", "lib-ver", "8.1.0")
    other.do("MULTI")
    other.do("GET", "a")
    lab.advance(2500)
    first, second = lines(client.do("CLIENT", "LIST"))
    assert (first["id"], first["name"], first["lib-name"]) == ("1", "me", "redis-py")
    assert (first["addr"], first["age"], first["idle"]) == ("127.0.0.1:50001", "2", "0")
    assert (second["multi"], second["idle"], second["flags"]) == ("1", "2", "x")
    (info,) = lines(client.do("CLIENT", "INFO"))
    assert [info | {"cmd": "client|list"}] == lines(client.do("CLIENT", "LIST", "ID", "1"))
    assert lines(client.do("CLIENT", "LIST", "TYPE", "pubsub")) == []
    assert kind(client.do("CLIENT", "SETINFO", "FOO", "x")) == "ERR"
    assert kind(client.do("CLIENT", "SETINFO", "LIB-NAME", "a b")) == "ERR"
    assert kind(client.do("CLIENT", "MAINT_NOTIFICATIONS", "ON")) == "ERR"


def test_connections_are_closed_by_whoever_may():
    lab = RespLab()
    client, other, third = lab.client(), lab.client(), lab.client()
    assert client.do("CLIENT", "KILL", "ID", 2) == 1
    assert other.is_closed
    assert client.do("CLIENT", "KILL", "127.0.0.1:50003") == "OK"
    assert third.is_closed
    assert client.do("CLIENT", "KILL", "TYPE", "normal") == 0
    assert client.do("CLIENT", "KILL", "USER", "nobody", "SKIPME", "no") == 0
    assert client.do("CLIENT", "KILL", "USER", "default", "SKIPME", "no") == 1
    assert client.is_closed


def test_who_is_closed_gets_the_replies_that_are_there_and_no_more():
    lab = RespLab()
    lab.is_slow = True
    victim, client = lab.client(), lab.client()
    victim.send("PING")
    victim.send("SET", "a", "1")
    victim.send("FLUSHALL")
    client.send("CLIENT", "KILL", "ID", 1)
    assert victim.take() == ["PONG"]
    assert victim.is_closed
    lab.run()
    assert victim.take() == []
    assert client.take() == [1]
