"""In a cluster what reads and writes takes into account what others write, or says that it did not
work; and tells the three ways in which a request can end apart."""

from __future__ import annotations

import pytest

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.placement.keyspaces import Keyspace, Resolution
from lsmkv_cluster.resp.replies import ErrorReply
from tests.support.resp_lab import WALL_MS, LabClient, RespLab, make_cluster

NOT_ENOUGH = ClientAnswer(Outcome.REFUSED, Reason.NOT_ENOUGH_REPLICAS, 1, 2)
PERHAPS = ClientAnswer(Outcome.UNKNOWN, Reason.NOT_ENOUGH_REPLICAS, 1, 2)


def cluster(*keyspaces: Keyspace) -> tuple[RespLab, LabClient]:
    lab = RespLab(make_cluster(5, keyspaces=(Keyspace(), *keyspaces)))
    return lab, lab.client()


def write_elsewhere(lab: RespLab, verb: Verb, key: bytes, *values: bytes, delta: int = 0) -> None:
    """Somebody who has seen nothing of what is there now."""
    request = ClientRequest(verb, key, values, delta=delta)
    assert lab.coordinator.call(request, lab.now.wall_ms).is_done


def verbs(lab: RespLab) -> list[Verb]:
    return [request.verb for request in lab.coordinator.requests]


def text_of(reply: object) -> str:
    assert isinstance(reply, ErrorReply)
    return reply.text


def test_a_plain_set_is_one_request_and_an_append_a_read_and_a_put_with_its_context():
    lab, client = cluster()
    client.do("SET", "k", "a")
    assert verbs(lab) == [Verb.SET]
    assert client.do("APPEND", "k", "b") == 2
    read, put = lab.coordinator.requests[1:]
    assert (read.verb, put.verb, put.values) == (Verb.GET, Verb.PUT, (b"ab",))
    assert put.context
    assert client.do("GET", "k") == b"ab"


def test_what_is_appended_meanwhile_is_appended_to():
    lab, client = cluster()
    client.do("SET", "k", "a")
    context = lab.coordinator.call(ClientRequest(Verb.GET, b"k"), WALL_MS).context
    other = ClientRequest(Verb.PUT, b"k", (b"a-theirs",), context)
    lab.coordinator.before = lambda _: lab.coordinator.call(other, WALL_MS)
    assert client.do("APPEND", "k", "-mine") == len("a-theirs-mine")
    assert client.do("GET", "k") == b"a-theirs-mine"
    context, values, kind = client.do("KV.GET", "k")
    assert (values, kind) == ([b"a-theirs-mine"], b"string")


def test_what_others_write_again_and_again_stays_beside():
    lab, client = cluster()
    client.do("SET", "k", "0")
    count = 0

    def interfere(_: object) -> None:
        nonlocal count
        count += 1
        lab.coordinator.before = None
        write_elsewhere(lab, Verb.PUT, b"k", b"theirs%d" % count)
        lab.coordinator.before = interfere

    lab.coordinator.before = interfere
    client.do("APPEND", "k", "-mine")
    lab.coordinator.before = None
    assert count == 3
    _, values, _ = client.do("KV.GET", "k")
    assert len(values) == 2


def test_counting_in_a_cluster_merges_and_on_what_expires_reads_and_writes():
    lab, client = cluster()
    client.do("SET", "k", "10")
    lab.coordinator.before = lambda _: write_elsewhere(lab, Verb.INCREMENT, b"k", delta=5)
    assert client.do("INCRBY", "k", 2) == 17
    assert client.do("GET", "k") == b"17"
    assert client.do("EXPIRE", "k", 100) == 1
    assert client.do("INCR", "k") == 18
    assert verbs(lab)[-2:] == [Verb.GET, Verb.PUT]
    assert client.do("TTL", "k") == 100
    lab.advance(100_000)
    assert client.do("GET", "k") is None
    assert client.do("INCR", "k") == 1


def test_counting_on_a_text_is_refused_before_anything_is_written():
    lab, client = cluster()
    client.do("SET", "k", "text")
    for command in (["INCR", "k"], ["INCRBY", "k", 1], ["DECR", "k"]):
        assert text_of(client.do(*command)) == "ERR value is not an integer or out of range"
    assert verbs(lab)[1:] == [Verb.GET] * 3


def test_a_keyspace_of_counters_counts_without_losses_in_a_node_that_is_alone_too():
    lab = RespLab(make_cluster(keyspaces=(Keyspace(), Keyspace(b"n:", resolution=Resolution.CRDT))))
    client = lab.client()
    assert (client.do("INCR", "n:a"), client.do("INCR", "a")) == (1, 1)
    assert verbs(lab) == [Verb.GET, Verb.INCREMENT, Verb.GET, Verb.SET]


def test_a_delete_in_a_cluster_takes_what_was_seen_and_leaves_what_was_not():
    lab, client = cluster()
    client.do("SET", "k", "seen")
    lab.coordinator.before = lambda _: write_elsewhere(lab, Verb.PUT, b"k", b"unseen")
    assert client.do("DEL", "k", "k", "missing") == 1
    assert client.do("GET", "k") == b"unseen"
    assert verbs(lab).count(Verb.DELETE) == 1


@pytest.mark.parametrize(
    "command",
    [
        ["SETNX", "k", "v"],
        ["SET", "k", "v", "NX"],
        ["SET", "k", "v", "NX", "GET"],
        ["MSETNX", "k", "v"],
        ["RENAMENX", "a", "k"],
        ["COPY", "a", "k"],
        ["WATCH", "k"],
    ],
)
def test_what_decides_by_the_present_value_is_refused_in_a_cluster_that_was_not_asked_for_it(
    command: list[str],
):
    lab, client = cluster(Keyspace(b"l:", best_effort=True))
    assert "BESTEFFORT" in text_of(client.do(*command))
    assert lab.coordinator.requests == []
    allowed = [part.replace("k", "l:k") if part == "k" else part for part in command]
    reply = client.do(*allowed)
    assert not isinstance(reply, ErrorReply) or "no such key" in reply.text


def test_refused_is_noreplicas_and_perhaps_is_unknown_with_how_many_of_how_many():
    lab, client = cluster()
    for answer, expected in (
        (NOT_ENOUGH, "NOREPLICAS 1 of 2 replicas could be reached; nothing was written"),
        (PERHAPS, "UNKNOWN the write may exist: 1 of 2 replicas have confirmed it"),
        (
            ClientAnswer(Outcome.REFUSED, Reason.OVERLOADED),
            "BUSY this node has too much to do; nothing was written",
        ),
        (
            ClientAnswer(Outcome.REFUSED, Reason.NOT_READY),
            "LOADING this node is not ready for this key yet; nothing was written",
        ),
        (
            ClientAnswer(Outcome.REFUSED, Reason.DEADLINE),
            "NOREPLICAS not answered in time; nothing was written",
        ),
        (
            ClientAnswer(Outcome.REFUSED, Reason.STORE_FAILED),
            "MISCONF the store cannot write: its disk is full or fails; nothing was written",
        ),
    ):
        lab.coordinator.answers.append((b"k", answer))
        assert text_of(client.do("SET", "k", "v")) == expected
    lab.coordinator.answers.append((b"k", NOT_ENOUGH))
    assert text_of(client.do("GET", "k")) == "NOREPLICAS 1 of 2 replicas have answered"
    stale = ClientAnswer(Outcome.REFUSED, Reason.STALE)
    lab.coordinator.answers.append((b"k", stale))
    assert text_of(client.do("GET", "k")).startswith("NOREPLICAS")


def test_of_several_keys_some_are_written_and_some_are_not_is_unknown():
    lab, client = cluster()
    lab.coordinator.answers.append((b"b", NOT_ENOUGH))
    text = text_of(client.do("MSET", "a", 1, "b", 2, "c", 3))
    assert text.startswith("UNKNOWN 2 of 3 keys were written")
    lab.coordinator.answers += [(key, NOT_ENOUGH) for key in (b"a", b"b")]
    assert text_of(client.do("MSET", "a", 1, "b", 2)).startswith("NOREPLICAS")
    lab.coordinator.answers.append((b"b", NOT_ENOUGH))
    assert text_of(client.do("MGET", "a", "b")).startswith("NOREPLICAS")
    lab.coordinator.answers.append((b"a", PERHAPS))
    assert text_of(client.do("MSET", "a", 1)).startswith("UNKNOWN 0 of 1")


def test_values_and_keys_that_are_too_large_are_refused():
    _, client = cluster()
    assert "too large" in text_of(client.do("SET", b"k" * 70_000, "v"))


def test_sets_and_maps_are_of_the_wrong_type():
    lab, client = cluster()
    write_elsewhere(lab, Verb.ADD_ELEMENTS, b"s", b"x")
    wrong = "WRONGTYPE Operation against a key holding the wrong kind of value"
    for command in (["GET", "s"], ["APPEND", "s", "x"], ["INCR", "s"], ["GETSET", "s", "x"]):
        assert text_of(client.do(*command)) == wrong
    assert client.do("MGET", "s") == [None]
    assert client.do("TYPE", "s") == "set"
    assert client.do("SET", "s", "v") == "OK"
    assert client.do("GET", "s") == b"v"
