"""CLUSTER: what clients of Redis clusters ask. On the plain port there is no cluster to be seen.

Every member is the master of some slots and nobody a replica. Answers are made once for each
document and for each set of members that can be reached, as all clients ask when something changes.
"""

from __future__ import annotations

from collections.abc import Callable

from lsmkv_cluster.placement.members import Member
from lsmkv_cluster.placement.slots import SLOT_COUNT, slot_of
from lsmkv_cluster.resp.cluster_map import SlotRun, endpoint, redis_id, slot_runs
from lsmkv_cluster.resp.commanding import CommandError, Run, Turn
from lsmkv_cluster.resp.options import integer
from lsmkv_cluster.resp.replies import OK, Reply, Verbatim
from lsmkv_cluster.resp.walking import keys_of_slot

__all__ = [
    "asking",
    "countkeysinslot",
    "getkeysinslot",
    "info",
    "keyslot",
    "myid",
    "nodes",
    "on_cluster_port",
    "readonly",
    "replicas",
    "shards",
    "slots",
]

DISABLED = "ERR This instance has cluster support disabled"
BUS_OFFSET = 10_000  # from the port of clients, as in Redis; nobody listens there

Function = Callable[[Turn, list[bytes]], Reply | Run]


def on_cluster_port(function: Function) -> Function:
    def run(turn: Turn, args: list[bytes]) -> Reply | Run:
        if not turn.session.is_cluster_port:
            raise CommandError(DISABLED)
        return function(turn, args)

    return run


def _members(turn: Turn) -> list[Member]:
    topology = turn.host.topology
    return [member for member in topology.members if member.id in topology.voters]


def _cached(turn: Turn, what: str, make: Callable[[list[SlotRun]], Reply]) -> Reply:
    topology, host = turn.host.topology, turn.host
    reachable = tuple(host.is_reachable(member.id) for member in topology.members)
    state = (topology.epoch, reachable)
    known = turn.shared.cache.get(what)
    if known is None or known[0] != state:
        known = turn.shared.cache[what] = (state, make(slot_runs(host)))
    return known[1]


def slots(turn: Turn, args: list[bytes]) -> Reply:
    members = turn.host.topology.members_by_id

    def node(run: SlotRun) -> Reply:
        host, port = endpoint(members[run.master])
        return [host.encode(), port, redis_id(run.master).encode(), []]

    return _cached(turn, "slots", lambda runs: [[run.first, run.last, node(run)] for run in runs])


def shards(turn: Turn, args: list[bytes]) -> Reply:
    def shard(member: Member, runs: list[SlotRun]) -> Reply:
        host, port = endpoint(member)
        own = [part for run in runs if run.master == member.id for part in (run.first, run.last)]
        node: dict[Reply, Reply] = {
            b"id": redis_id(member.id).encode(),
            b"port": port,
            b"ip": host.encode(),
            b"endpoint": host.encode(),
            b"role": b"master",
            b"replication-offset": 0,
            b"health": b"online" if turn.host.is_reachable(member.id) else b"fail",
        }
        return {b"slots": list(own), b"nodes": [node]}

    return _cached(turn, "shards", lambda runs: [shard(each, runs) for each in _members(turn)])


def nodes(turn: Turn, args: list[bytes]) -> Reply:
    host = turn.host

    def line(member: Member, runs: list[SlotRun]) -> str:
        address = endpoint(member)
        is_up = host.is_reachable(member.id)
        flags = "myself,master" if member.id == host.me else "master" if is_up else "master,fail"
        link = "connected" if is_up else "disconnected"
        own = [
            f"{run.first}-{run.last}" if run.last > run.first else f"{run.first}"
            for run in runs
            if run.master == member.id
        ]
        known = f"{redis_id(member.id)} {address}@{address.port + BUS_OFFSET} {flags} -"
        return " ".join([known, "0 0", str(host.topology.epoch), link, *own])

    def text(runs: list[SlotRun]) -> Reply:
        return Verbatim("txt", "".join(f"{line(each, runs)}\n" for each in _members(turn)).encode())

    return _cached(turn, "nodes", text)


def info(turn: Turn, args: list[bytes]) -> Reply:
    topology = turn.host.topology

    def text(runs: list[SlotRun]) -> Reply:
        assigned = sum(run.last - run.first + 1 for run in runs)
        lost = sum(
            run.last - run.first + 1 for run in runs if not turn.host.is_reachable(run.master)
        )
        facts = {
            "cluster_enabled": 1,
            "cluster_state": "ok" if assigned == SLOT_COUNT and not lost else "fail",
            "cluster_slots_assigned": assigned,
            "cluster_slots_ok": assigned - lost,
            "cluster_slots_pfail": 0,
            "cluster_slots_fail": lost,
            "cluster_known_nodes": len(topology.voters),
            "cluster_size": len({run.master for run in runs}),
            "cluster_current_epoch": topology.epoch,
            "cluster_my_epoch": topology.epoch,
            "cluster_stats_messages_sent": 0,
            "cluster_stats_messages_received": 0,
        }
        lines = "".join(f"{name}:{value}\r\n" for name, value in facts.items())
        return Verbatim("txt", lines.encode())

    return _cached(turn, "info", text)


def myid(turn: Turn, args: list[bytes]) -> Reply:
    return redis_id(turn.host.me).encode()


def keyslot(turn: Turn, args: list[bytes]) -> Reply:
    return slot_of(args[2])


def replicas(turn: Turn, args: list[bytes]) -> Reply:
    known = {redis_id(member.id).encode() for member in _members(turn)}
    if args[2].lower() not in known:
        raise CommandError(f"ERR Unknown node {args[2].decode('latin-1')}")
    return []


def countkeysinslot(turn: Turn, args: list[bytes]) -> Run:
    return len((yield from keys_of_slot(turn, _slot(args[2]))))


def getkeysinslot(turn: Turn, args: list[bytes]) -> Run:
    slot, count = _slot(args[2]), integer(args[3])
    if count < 0:
        raise CommandError("ERR Invalid number of keys")
    found = yield from keys_of_slot(turn, slot)
    return list(found[:count])


def _slot(arg: bytes) -> int:
    slot = integer(arg)
    if not 0 <= slot < SLOT_COUNT:
        raise CommandError("ERR Invalid slot")
    return slot


# --- of connections


def readonly(turn: Turn, args: list[bytes]) -> Reply:
    """READONLY and READWRITE: every node has masters only."""
    return OK


def asking(turn: Turn, args: list[bytes]) -> Reply:
    turn.session.is_asking = True
    return OK
