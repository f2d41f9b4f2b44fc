"""Topologies and their changes as JSON, for KV.CLUSTER and those who call it.

    {"change": "add", "member": {...}, "staged": false}
    {"change": "commit"}
    {"change": "leave", "member": "n3"}             so "remove"; by name or id
    {"change": "reweigh", "member": "n3", "weight": 200}
    {"change": "readdress", "member": "n3", "addresses": {"peer": "10.0.0.9:17379"}}
    {"change": "replicas", "replicas": {"east": 3}}
    {"change": "keyspaces", "keyspaces": [{...}]}

A member is {"id": hex, "name", "dc", "rack", "host", "weight", "state", "addresses": {face:
location}}, a keyspace {"prefix", "read", "write", "mode", "resolve", "besteffort"}. Bytes of a
prefix that are no UTF-8 are surrogates, as JSON escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.placement.keyspaces import Keyspace, Mode
from lsmkv_cluster.placement.members import WEIGHT_ORDINARY, Address, Member, MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.reconfiguration.topology_changes import (
    AddMember,
    Change,
    CommitStaged,
    Leave,
    Readdress,
    Remove,
    Reweigh,
    SetKeyspaces,
    SetReplicas,
)
from lsmkv_cluster.resp.host import Json
from lsmkv_cluster.resp.levels_text import level_of, resolution_of, show_resolution

__all__ = [
    "change_from_json",
    "find_member",
    "keyspace_json",
    "member_from_json",
    "member_json",
]


def change_from_json(content: Any, topology: Topology) -> Change:
    """ValueError (TopologyError, too) for what is no change."""
    if not isinstance(content, Mapping):
        raise ValueError("a change is a JSON object")
    try:
        return _change(content, topology)
    except KeyError as error:
        raise ValueError(f"the change lacks {error}") from None


def _change(content: Mapping[str, Any], topology: Topology) -> Change:
    match content["change"]:
        case "add":
            return AddMember(member_from_json(content["member"]), bool(content.get("staged")))
        case "commit":
            return CommitStaged()
        case "leave":
            return Leave(find_member(topology, content["member"]))
        case "remove":
            return Remove(find_member(topology, content["member"]))
        case "reweigh":
            return Reweigh(find_member(topology, content["member"]), _integer(content["weight"]))
        case "readdress":
            member = find_member(topology, content["member"])
            return Readdress(member, _addresses(content["addresses"]))
        case "replicas":
            wanted = _object(content["replicas"])
            return SetReplicas(tuple((dc, _integer(count)) for dc, count in wanted.items()))
        case "keyspaces":
            return SetKeyspaces(
                tuple(_keyspace(_object(each)) for each in _list(content["keyspaces"]))
            )
        case other:
            raise ValueError(f"unknown change {other!r}")


def find_member(topology: Topology, name: object) -> MemberId:
    """By name or hexadecimal id."""
    for member in topology.members:
        if name in (member.name, member.id.hex()):
            return member.id
    raise TopologyError(f"there is no member {name}")


def member_from_json(content: Any) -> Member:
    """The state is for the cluster to say."""
    fields = _object(content)
    try:
        return Member(
            id=bytes.fromhex(_text(fields["id"])),
            name=_text(fields["name"]),
            dc=_text(fields["dc"]),
            rack=_text(fields["rack"]),
            host=_text(fields["host"]),
            weight=_integer(fields.get("weight", WEIGHT_ORDINARY)),
            addresses=_addresses(fields.get("addresses", {})),
        )
    except KeyError as error:
        raise ValueError(f"the member lacks {error}") from None


def _addresses(content: Any) -> tuple[Address, ...]:
    faces = sorted(_object(content).items())
    return tuple(Address(face, _text(location)) for face, location in faces)


def member_json(member: Member) -> dict[str, Json]:
    return {
        "id": member.id.hex(),
        "name": member.name,
        "dc": member.dc,
        "rack": member.rack,
        "host": member.host,
        "weight": member.weight,
        "state": member.state.name,
        "addresses": {address.face: address.location for address in member.addresses},
    }


def _keyspace(fields: Mapping[str, Any]) -> Keyspace:
    default = Keyspace()
    return Keyspace(
        _text(fields["prefix"]).encode("utf-8", "surrogateescape"),
        level_of(_text(fields.get("read", str(default.read))).encode()),
        level_of(_text(fields.get("write", str(default.write))).encode()),
        Mode[_text(fields.get("mode", default.mode.name)).upper()],
        resolution_of(_text(fields.get("resolve", "siblings")).encode()),
        bool(fields.get("besteffort", False)),
    )


def keyspace_json(keyspace: Keyspace) -> dict[str, Json]:
    return {
        "prefix": keyspace.prefix.decode("utf-8", "surrogateescape"),
        "read": str(keyspace.read),
        "write": str(keyspace.write),
        "mode": keyspace.mode.name,
        "resolve": show_resolution(keyspace.resolution),
        "besteffort": keyspace.best_effort,
    }


def _object(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"not a JSON object: {content!r}")
    return content


def _list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise ValueError(f"not a JSON array: {content!r}")
    return content


def _text(content: Any) -> str:
    if not isinstance(content, str):
        raise ValueError(f"not a string: {content!r}")
    return content


def _integer(content: Any) -> int:
    if not isinstance(content, int) or isinstance(content, bool):
        raise ValueError(f"not an integer: {content!r}")
    return content
