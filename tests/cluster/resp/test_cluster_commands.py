"""Cluster clients find every slot at an owner, and are sent away by those who are none."""

from __future__ import annotations

from dataclasses import replace

from lsmkv_cluster.placement.slots import SLOT_COUNT, slot_of
from lsmkv_cluster.resp.cluster_map import redis_id, slot_runs
from lsmkv_cluster.resp.replies import ErrorReply, Verbatim
from tests.support.members import member_id
from tests.support.resp_lab import LabClient, RespLab, make_cluster

DISABLED = ErrorReply("ERR This instance has cluster support disabled")


def cluster() -> tuple[RespLab, LabClient]:
    lab = RespLab(make_cluster(5))
    return lab, lab.client(on_cluster_port=True)


def key_of(lab: RespLab, *, own: bool) -> bytes:
    topology, me = lab.host.topology, lab.host.me
    keys = (b"k%d" % n for n in range(1000))
    return next(key for key in keys if (me in topology.owners[topology.partition_of(key)]) == own)


def text(reply: object) -> str:
    assert isinstance(reply, Verbatim)
    return reply.text.decode()


def test_slots_are_all_covered_each_by_an_owner():
    lab, client = cluster()
    rows = client.do("CLUSTER", "SLOTS")
    assert isinstance(rows, list)
    covered: list[int] = []
    ids = {redis_id(member.id).encode(): member for member in lab.host.topology.members}
    for first, last, (host, port, id, metadata) in rows:
        covered += range(first, last + 1)
        member = ids[id]
        assert (host, metadata) == (b"127.0.0.1", [])
        assert port == 7400 + int(member.name[1:])
        for slot in range(first, last + 1):
            partition = lab.host.topology.partitioning.partition_of(slot)
            assert member.id in lab.host.topology.owners[partition]
    assert covered == list(range(SLOT_COUNT))
    masters = {row[2][2] for row in rows}
    assert masters == set(ids)


def test_who_cannot_be_reached_is_no_master_while_another_owner_can():
    lab, client = cluster()
    before = client.do("CLUSTER", "SLOTS")
    gone = member_id("n3")
    lab.host.unreachable.add(gone)
    after = client.do("CLUSTER", "SLOTS")
    assert after != before
    assert isinstance(after, list)
    assert redis_id(gone).encode() not in {row[2][2] for row in after}
    assert "cluster_state:ok" in text(client.do("CLUSTER", "INFO"))
    assert f"{redis_id(gone)} 127.0.0.1:7403@17403 master,fail" in text(
        client.do("CLUSTER", "NODES")
    )
    lab.host.unreachable.clear()
    assert client.do("CLUSTER", "SLOTS") == before


def test_answers_are_made_once_for_each_document():
    lab, client = cluster()
    assert client.do("CLUSTER", "SLOTS") is client.do("CLUSTER", "SLOTS")
    before = client.do("CLUSTER", "INFO")
    lab.host.topology = replace(lab.host.topology, epoch=2, parent=b"p" * 32)
    assert client.do("CLUSTER", "INFO") != before


def test_shards_and_nodes_say_the_same_as_slots():
    lab, client = cluster()
    slots = {(run.first, run.last): redis_id(run.master) for run in slot_runs(lab.host)}
    shards = client.do("CLUSTER", "SHARDS")
    assert isinstance(shards, list)
    by_shard = {
        (shard[b"slots"][at], shard[b"slots"][at + 1]): shard[b"nodes"][0][b"id"].decode()
        for shard in shards
        for at in range(0, len(shard[b"slots"]), 2)
    }
    assert by_shard == slots
    lines = [line.split() for line in text(client.do("CLUSTER", "NODES")).splitlines()]
    by_node = {
        tuple(int(slot) for slot in part.split("-")): line[0] for line in lines for part in line[8:]
    }
    assert by_node == slots
    assert sum("myself" in line[2] for line in lines) == 1
    assert client.do("CLUSTER", "MYID") == redis_id(lab.host.me).encode()


def test_a_slot_s_keys_are_counted_and_listed():
    lab, client = cluster()
    plain = lab.client()
    for n in range(20):
        plain.do("SET", f"{{tag}}{n}", "v")
    plain.do("DEL", "{tag}3")
    slot = slot_of(b"tag")
    assert client.do("CLUSTER", "KEYSLOT", "{tag}7") == slot
    assert client.do("CLUSTER", "COUNTKEYSINSLOT", slot) == 19
    listed = client.do("CLUSTER", "GETKEYSINSLOT", slot, 5)
    assert isinstance(listed, list)
    assert len(listed) == 5
    assert client.do("CLUSTER", "COUNTKEYSINSLOT", SLOT_COUNT) == ErrorReply("ERR Invalid slot")


def test_the_plain_port_shows_no_cluster():
    lab, _ = cluster()
    client = lab.client()
    for command in (["CLUSTER", "SLOTS"], ["CLUSTER", "INFO"], ["READONLY"], ["ASKING"]):
        assert client.do(*command) == DISABLED
    assert "cluster_enabled:0" in text(client.do("INFO", "cluster"))
    assert client.do("CLUSTER", "FOO") == ErrorReply(
        "ERR unknown subcommand 'FOO'. Try CLUSTER HELP."
    )


# --- redirection


def test_who_has_no_copy_sends_a_cluster_client_to_who_has():
    lab, client = cluster()
    key = key_of(lab, own=False)
    reply = client.do("GET", key)
    assert isinstance(reply, ErrorReply)
    kind, slot, address = reply.text.split()
    assert (kind, int(slot)) == ("MOVED", slot_of(key))
    row = lab.host.topology.owners[lab.host.topology.partition_of(key)]
    ports = {7400 + int(lab.host.topology.members_by_id[id].name[1:]) for id in row}
    assert int(address.rpartition(":")[2]) in ports
    assert lab.executor.statistics.redirected == 1
    assert lab.coordinator.requests == []


def test_an_owner_never_sends_anybody_away_and_the_plain_port_neither():
    lab, client = cluster()
    for n in range(100):
        key = b"k%d" % n
        is_own = lab.host.me in lab.host.topology.owners[lab.host.topology.partition_of(key)]
        assert isinstance(client.do("GET", key), ErrorReply) != is_own
        assert lab.client().do("GET", key) is None
    assert lab.executor.statistics.proxied == 0


def test_what_is_asked_for_after_a_redirection_or_of_several_slots_is_proxied_and_counted():
    lab, client = cluster()
    foreign = key_of(lab, own=False)
    assert client.do("ASKING") == "OK"
    assert client.do("GET", foreign) is None
    assert isinstance(client.do("GET", foreign), ErrorReply)
    assert client.do("MGET", foreign, key_of(lab, own=True)) == [None, None]
    assert lab.executor.statistics.proxied == 2


def test_nobody_is_sent_to_who_cannot_be_reached():
    lab, client = cluster()
    foreign = key_of(lab, own=False)
    row = lab.host.topology.owners[lab.host.topology.partition_of(foreign)]
    lab.host.unreachable.update(row)
    assert client.do("GET", foreign) is None
    lab.host.unreachable.remove(row[-1])
    reply = client.do("GET", foreign)
    assert isinstance(reply, ErrorReply)
    assert reply.text.endswith(f":{7400 + int(lab.host.topology.members_by_id[row[-1]].name[1:])}")


def test_a_redirection_breaks_a_transaction():
    lab, client = cluster()
    client.do("MULTI")
    client.do("GET", key_of(lab, own=False))
    reply = client.do("EXEC")
    assert isinstance(reply, ErrorReply)
    assert reply.text.startswith("EXECABORT")
