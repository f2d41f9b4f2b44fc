"""Going through keys sees what stays once, however the pages fall, and on the cluster port the own
slots only."""

from __future__ import annotations

import random

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.resp.cluster_map import slot_runs
from lsmkv_cluster.resp.replies import Reply
from tests.support.members import member_id
from tests.support.resp_lab import LabClient, RespLab, make_cluster

KEYS = {b"key:%d" % n for n in range(120)}


def filled(count: int = 1) -> tuple[RespLab, LabClient]:
    lab = RespLab(make_cluster(count))
    client = lab.client()
    for key in sorted(KEYS):
        client.do("SET", key, b"v")
    for n in range(0, 40, 2):
        client.do("SET", f"gone:{n}", "v")
        client.do("DEL", f"gone:{n}")
    return lab, client


def scanned(client: LabClient, *options: str | int) -> list[bytes]:
    found: list[bytes] = []
    cursor: Reply = b"0"
    for _ in range(10_000):
        reply = client.do("SCAN", cursor, *options)  # type: ignore[arg-type]
        assert isinstance(reply, list)
        cursor, keys = reply
        assert isinstance(cursor, bytes)
        assert int(cursor) < 1 << 53
        found += keys
        if cursor == b"0":
            return found
    raise AssertionError("a scan without end")


def test_a_scan_sees_every_key_once_with_pages_of_any_size():
    _, client = filled()
    for count in (1, 3, 10, 1000):
        assert sorted(scanned(client, "COUNT", count)) == sorted(KEYS)


def test_a_scan_goes_on_where_it_was_whatever_comes_and_goes():
    lab, client = filled()
    rng = random.Random(1)
    found: list[bytes] = []
    cursor: Reply = b"0"
    staying = {key for key in KEYS if not key.endswith(b"7")}
    while True:
        cursor, keys = client.do("SCAN", cursor, "COUNT", 5)  # type: ignore[arg-type, misc]
        found += keys
        client.do("SET", b"new:%d" % rng.randrange(1000), "v")
        client.do("DEL", b"key:%d7" % rng.randrange(12))
        if cursor == b"0":
            break
        other = lab.client()
        client = other
    assert [key for key in sorted(found) if key in staying] == sorted(staying)


def test_patterns_and_types_choose_among_what_is_seen():
    lab, client = filled()
    request = ClientRequest(Verb.ADD_ELEMENTS, b"key:set", (b"x",))
    lab.coordinator.call(request, lab.now.wall_ms)
    assert sorted(scanned(client, "MATCH", "key:?")) == sorted(key for key in KEYS if len(key) == 5)
    assert scanned(client, "TYPE", "set") == [b"key:set"]
    assert sorted(scanned(client, "TYPE", "STRING", "COUNT", 50)) == sorted(KEYS)
    assert client.do("SCAN", 1 << 53) == [b"0", []]
    assert client.do("SCAN", (1 << 64) - 1) == [b"0", []]


def test_on_the_cluster_port_all_nodes_together_list_every_key_once():
    lab, _ = filled(5)
    found: list[bytes] = []
    counted = 0
    for name in ("n1", "n2", "n3", "n4", "n5"):
        lab.host.me = member_id(name)
        lab.host.keys = 1000
        client = lab.client(on_cluster_port=True)
        own = scanned(client, "COUNT", 7)
        assert sorted(client.do("KEYS", "*")) == sorted(own)  # type: ignore[arg-type, type-var]
        assert client.do("RANDOMKEY") in own
        found += own
        assert any(run.master == lab.host.me for run in slot_runs(lab.host))
        size = client.do("DBSIZE")
        assert isinstance(size, int)
        counted += size
    assert sorted(found) == sorted(KEYS)
    assert 900 < counted < 2500


def test_a_size_is_counted_while_it_is_small_and_estimated_then():
    lab, client = filled()
    assert client.do("DBSIZE") == len(KEYS)
    lab.host.keys = 123_456
    assert client.do("DBSIZE") == 123_456


def test_in_a_cluster_a_node_tells_by_its_share_how_many_keys_there_are():
    lab, client = filled(5)
    lab.host.keys = 600
    topology = lab.host.topology
    kept = sum(lab.host.me in row for row in topology.owners)
    assert client.do("DBSIZE") == 600 * len(topology.owners) // kept


def test_random_keys_are_of_those_that_are_there():
    lab, client = filled()
    drawn = {client.do("RANDOMKEY") for _ in range(100)}
    assert drawn <= KEYS
    assert len(drawn) > 20
    client.do("FLUSHALL")
    assert client.do("RANDOMKEY") is None
    assert lab.coordinator.records


def test_what_is_flushed_is_deleted_with_what_was_seen_of_it():
    lab, client = filled(5)
    assert client.do("FLUSHDB") == "OK"
    assert client.do("KEYS", "*") == []
    deletes = [each for each in lab.coordinator.requests if each.verb is Verb.DELETE]
    assert len(deletes) == len(KEYS) + 20
    assert all(each.context for each in deletes)


def test_all_slots_are_visible_on_the_plain_port():
    lab, client = filled(5)
    lab.host.unreachable.add(lab.host.me)
    assert len(client.do("KEYS", "*")) == len(KEYS)  # type: ignore[arg-type]
