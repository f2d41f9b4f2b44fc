"""KV.CLUSTER: what is asked in JSON is done, and what is not JSON is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lsmkv_cluster.placement.members import MemberState
from lsmkv_cluster.placement.slots import slot_of
from lsmkv_cluster.placement.topology_format import decode_topology
from lsmkv_cluster.resp.queries import Report
from lsmkv_cluster.resp.replies import ErrorReply
from tests.support.members import member_id
from tests.support.resp_lab import LabClient, RespLab, make_cluster


def ask(client: LabClient, *args: str) -> Any:
    reply = client.do("KV.CLUSTER", *args)
    assert isinstance(reply, bytes), reply
    return json.loads(reply)


def refused(client: LabClient, *args: str) -> str:
    reply = client.do("KV.CLUSTER", *args)
    assert isinstance(reply, ErrorReply)
    return reply.text


NEW = {
    "id": member_id("n9").hex(),
    "name": "n9",
    "dc": "east",
    "rack": "r9",
    "host": "h9",
    "addresses": {"peer": "10.0.0.9:17379", "resp": "10.0.0.9:7379"},
}


def test_what_the_process_knows_is_passed_on():
    lab = RespLab(make_cluster(3))
    lab.reports = {name: Report({"is": name}) for name in ("STATUS", "HINTS", "MOVES")}
    client = lab.client()
    for name in ("STATUS", "HINTS", "MOVES"):
        assert ask(client, name.lower()) == {"is": name}
    assert ask(client, "EXPLAIN", "k")["owners"][0]["answer"] == "nothing"


def test_a_repair_of_everything_or_of_a_partition_that_is_here():
    lab = RespLab(make_cluster(5))
    lab.reports = {"REPAIR": Report({"done": 3})}
    client = lab.client()
    kept = lab.host.topology.kept_by(lab.host.me)
    strange = next(partition for partition in range(16) if partition not in kept)
    assert ask(client, "REPAIR") == {"repairs": None}
    assert ask(client, "REPAIR", str(kept[0])) == {"repairs": kept[0]}
    assert ask(client, "repair", "progress") == {"done": 3}
    for wrong in (str(strange), "-1", "16", "x", ""):
        assert refused(client, "REPAIR", wrong) == "ERR there is no copy of that partition here"
    assert refused(client, "REPAIR", str(kept[0]), "x") == "ERR syntax error"


def test_the_ring_tells_who_owns_a_key_a_slot_and_everything():
    lab = RespLab(make_cluster(5))
    client = lab.client()
    of_key = ask(client, "RING", "k")
    assert of_key["slot"] == slot_of(b"k")
    assert ask(client, "RING", str(of_key["slot"])) == of_key
    everything = ask(client, "RING")
    assert len(everything["partitions"]) == 16
    topology = lab.host.topology
    assert everything["cluster_id"] == topology.cluster_id.hex()
    assert (everything["generation"], everything["epoch"]) == (0, topology.epoch)
    assert everything["partitions"][of_key["partition"]]["owners"] == of_key["owners"]
    assert [member["state"] for member in everything["members"]] == ["SERVING"] * 5
    assert ask(client, "KEYSPACES")[0]["prefix"] == ""


def test_a_plan_tells_what_would_move_and_moves_nothing():
    lab = RespLab(make_cluster(5))
    client = lab.client()
    planned = ask(client, "PLAN", json.dumps({"change": "leave", "member": "n2"}))
    assert planned["partitions_moving"] == len(planned["moves"]) > 0
    assert planned["bytes"] == 1000 * planned["copies"]
    assert all("n2" in move["losses"] for move in planned["moves"] if move["losses"])
    assert lab.host.topology.epoch == 1


def test_a_change_is_decided_and_tells_how_it_ended():
    lab = RespLab(make_cluster(5))
    client = lab.client()
    done = ask(client, "CHANGE", json.dumps({"change": "reweigh", "member": "n2", "weight": 50}))
    assert (done["outcome"], done["epoch"]) == ("COMMITTED", 2)
    done = ask(client, "CHANGE", json.dumps({"change": "commit"}))
    assert (done["outcome"], done["text"]) == ("COMMITTED", "nobody is staged")
    done = ask(client, "CHANGE", json.dumps({"change": "remove", "member": "n2"}), "FORCE")
    assert done["outcome"] == "COMMITTED"
    assert lab.host.topology.generation == 1


def test_a_member_joins_and_is_told_what_it_has_to_know():
    lab = RespLab(make_cluster(3))
    joined = ask(lab.client(), "JOIN", json.dumps(NEW), "STAGED")
    document = decode_topology(bytes.fromhex(joined["document"]))
    member = document.members_by_id[member_id("n9")]
    assert (member.name, member.state) == ("n9", MemberState.STAGED)
    assert [address.location for address in member.addresses] == [
        "10.0.0.9:17379",
        "10.0.0.9:7379",
    ]
    assert joined["secrets"] == {"contexts": "00"}
    again = refused(lab.client(), "JOIN", json.dumps({**NEW, "id": member_id("n1").hex()}))
    assert again.startswith("ERR ")


def test_a_member_that_asks_again_may_be_found_elsewhere():
    lab = RespLab(make_cluster(3))
    ask(lab.client(), "JOIN", json.dumps(NEW))
    elsewhere = {**NEW, "addresses": {"peer": "10.0.0.9:1"}}
    for again in (NEW, elsewhere):
        joined = ask(lab.client(), "JOIN", json.dumps(again))
        document = decode_topology(bytes.fromhex(joined["document"]))
    [address] = document.members_by_id[member_id("n9")].addresses
    assert address.location == "10.0.0.9:1"


def test_keyspaces_and_copies_can_be_changed_as_a_whole():
    lab = RespLab(make_cluster(5))
    client = lab.client()
    keyspaces = [{"prefix": ""}, {"prefix": "é", "read": "ONE", "mode": "strict", "resolve": "set"}]
    ask(client, "CHANGE", json.dumps({"change": "keyspaces", "keyspaces": keyspaces}))
    assert ask(client, "KEYSPACES")[1] == {
        "prefix": "é",
        "read": "ONE",
        "write": "QUORUM",
        "mode": "STRICT",
        "resolve": "crdt",
        "besteffort": False,
    }
    ask(client, "CHANGE", json.dumps({"change": "replicas", "replicas": {"east": 2}}))
    assert lab.host.topology.replicas == {"east": 2}


@pytest.mark.parametrize(
    "change",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "{}",
        '{"change": "fly"}',
        '{"change": "leave"}',
        '{"change": "leave", "member": "nobody"}',
        '{"change": "reweigh", "member": "n1", "weight": "much"}',
        '{"change": "reweigh", "member": "n1", "weight": true}',
        '{"change": "replicas", "replicas": 3}',
        '{"change": "add", "member": {"id": "zz"}}',
        '{"change": "add", "member": []}',
        '{"change": "keyspaces", "keyspaces": [{"prefix": 3}]}',
        '{"change": "keyspaces", "keyspaces": [{"prefix": "", "mode": "maybe"}]}',
        '{"change": "keyspaces", "keyspaces": [{"prefix": "", "read": "SOME"}]}',
        '{"change": "keyspaces", "keyspaces": 3}',
    ],
)
def test_what_is_no_change_is_refused(change: str):
    lab = RespLab(make_cluster(3))
    assert refused(lab.client(), "PLAN", change).startswith("ERR ")
    assert refused(lab.client(), "CHANGE", change).startswith("ERR ")
    assert lab.host.topology.epoch == 1
