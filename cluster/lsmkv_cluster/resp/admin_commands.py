"""KV.CLUSTER: administration, over the port of clients. Answers are JSON in one bulk string.

STATUS, HINTS, MOVES, EXPLAIN key    what the process tells
REPAIR [partition]        compares copies with those of others now; REPAIR PROGRESS: how far it is
RING [key|slot]           who owns what
KEYSPACES                 how they are read, written and resolved
PLAN change               what would move, and about how many bytes; nothing is changed
CHANGE change [FORCE]     decided on by a majority; forced: here alone, in a new generation
JOIN member [STAGED]      a member more, and what it has to know
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.placement.owners import moves_between
from lsmkv_cluster.placement.slots import SLOT_COUNT, slot_of
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import encode_topology
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.reconfiguration.topology_changes import (
    AddMember,
    Change,
    Following,
    Readdress,
    Refused,
    follow,
    targets_of,
)
from lsmkv_cluster.resp.change_json import (
    change_from_json,
    keyspace_json,
    member_from_json,
    member_json,
)
from lsmkv_cluster.resp.commanding import CommandError, Run, Turn
from lsmkv_cluster.resp.explanation import explanation
from lsmkv_cluster.resp.host import Json
from lsmkv_cluster.resp.keyspace_commands import refusal_of
from lsmkv_cluster.resp.options import SYNTAX_ERROR, word
from lsmkv_cluster.resp.queries import (
    AdminAnswer,
    AdminChange,
    AdminReport,
    Explain,
    Explained,
    Repair,
    Report,
)
from lsmkv_cluster.resp.redis_numbers import parse_integer
from lsmkv_cluster.resp.replies import Reply

__all__ = ["change", "explain", "join", "keyspaces", "plan", "repair", "report", "ring"]


def _json(content: Json) -> bytes:
    return json.dumps(content).encode()


def report(turn: Turn, args: list[bytes]) -> Run:
    parts = tuple(arg.decode("utf-8", "surrogateescape") for arg in args[2:])
    answer: Report = yield AdminReport(args[1].decode("latin-1").upper(), parts)
    return _json(answer.content)


def repair(turn: Turn, args: list[bytes]) -> Run:
    if len(args) > 3:
        raise CommandError(SYNTAX_ERROR)
    query: Repair | AdminReport = Repair()
    if len(args) == 3 and word(args[2]) == "progress":
        query = AdminReport("REPAIR")
    elif len(args) == 3:
        partition = parse_integer(args[2])
        if partition is None or partition not in turn.host.topology.kept_by(turn.host.me):
            raise CommandError("ERR there is no copy of that partition here")
        query = Repair(partition)
    answer: Report = yield query
    return _json(answer.content)


def explain(turn: Turn, args: list[bytes]) -> Run:
    answer: Explained = yield Explain(args[2])
    return _json(explanation(turn.host, args[2], answer.told, turn.wall_ms))


def keyspaces(turn: Turn, args: list[bytes]) -> Reply:
    return _json([keyspace_json(each) for each in turn.host.topology.keyspaces])


# --- who owns what


def ring(turn: Turn, args: list[bytes]) -> Reply:
    topology = turn.host.topology
    if len(args) > 3:
        raise CommandError(SYNTAX_ERROR)
    if len(args) == 3:
        number = parse_integer(args[2])
        is_slot = number is not None and 0 <= number < SLOT_COUNT
        slot = number if is_slot and number is not None else slot_of(args[2])
        partition = topology.partitioning.partition_of(slot)
        return _json({"slot": slot, **_partition(topology, partition)})
    return _json(
        {
            "cluster_id": topology.cluster_id.hex(),
            "generation": topology.generation,
            "epoch": topology.epoch,
            "replicas": topology.replicas,
            "members": [member_json(member) for member in topology.members],
            "partitions": [_partition(topology, p) for p in range(len(topology.owners))],
        }
    )


def _partition(topology: Topology, partition: int) -> dict[str, Json]:
    slots = topology.partitioning.slots_of(partition)
    move = topology.transitions_by_partition.get(partition)
    return {
        "partition": partition,
        "slots": [slots.start, slots.stop - 1],
        "owners": [topology.members_by_id[id].name for id in topology.owners[partition]],
        "phase": move.phase.name if move else "SETTLED",
        "becoming": [topology.members_by_id[id].name for id in move.row] if move else [],
    }


# --- changes


def plan(turn: Turn, args: list[bytes]) -> Reply:
    topology = turn.host.topology
    match follow(topology, _parsed(turn, args[2])):
        case Refused(why):
            raise CommandError(f"ERR {why}")
        case Following(document, text):
            return _json({"text": text, **_moves(turn, topology, document)})
        case unchanged:
            return _json({"text": unchanged.text, **_moves(turn, topology, topology)})


def _moves(turn: Turn, before: Topology, after: Topology) -> dict[str, Json]:
    moves = moves_between(targets_of(before), targets_of(after))
    copies = sum(len(move.gains) for move in moves)
    names = {member.id: member.name for member in (*before.members, *after.members)}
    return {
        "partitions_moving": len(moves),
        "copies": copies,
        "bytes": copies * turn.host.partition_size(),
        "moves": [
            {
                "partition": move.partition,
                "gains": [names[id] for id in move.gains],
                "losses": [names[id] for id in move.losses],
            }
            for move in moves
        ],
    }


def change(turn: Turn, args: list[bytes]) -> Run:
    if len(args) > 4 or (len(args) == 4 and word(args[3]) != "force"):
        raise CommandError(SYNTAX_ERROR)
    answer: AdminAnswer = yield AdminChange(_parsed(turn, args[2]), len(args) == 4)
    return _json({"outcome": answer.outcome.name, "epoch": answer.epoch, "text": answer.text})


def join(turn: Turn, args: list[bytes]) -> Run:
    if len(args) > 4 or (len(args) == 4 and word(args[3]) != "staged"):
        raise CommandError(SYNTAX_ERROR)
    try:
        member = member_from_json(_loaded(args[2]))
    except (TopologyError, ValueError) as error:
        raise CommandError(f"ERR {error}") from None
    known = turn.host.topology.members_by_id.get(member.id)
    wish: Change = AddMember(member, len(args) == 4)
    if (
        known is not None
        and replace(known, addresses=member.addresses, state=member.state) == member
    ):
        # It asks again, and may be found elsewhere by now.
        wish = Readdress(member.id, member.addresses)
    answer: AdminAnswer = yield AdminChange(wish)
    if answer.outcome is not Outcome.COMMITTED:
        raise CommandError(refusal_of(answer) or "")
    return _json(
        {
            "epoch": answer.epoch,
            "text": answer.text,
            "document": encode_topology(turn.host.topology).hex(),
            "secrets": turn.host.secrets(),
        }
    )


def _parsed(turn: Turn, arg: bytes) -> Change:
    try:
        return change_from_json(_loaded(arg), turn.host.topology)
    except (TopologyError, ValueError) as error:
        raise CommandError(f"ERR {error}") from None


def _loaded(arg: bytes) -> Any:
    try:
        return json.loads(arg)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
