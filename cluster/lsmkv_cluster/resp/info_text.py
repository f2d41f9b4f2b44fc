"""INFO: the sections and fields that tools of Redis look for, and those of lsmkv beside them."""

from __future__ import annotations

from collections.abc import Mapping

from lsmkv_cluster.resp.commanding import Turn
from lsmkv_cluster.resp.host import Fact
from lsmkv_cluster.resp.options import word
from lsmkv_cluster.resp.replies import Reply, Verbatim
from lsmkv_cluster.resp.server_identity import REDIS_VERSION, mode_of

__all__ = ["info"]

Sections = dict[str, dict[str, Fact]]

# Shown only to who asks for them, or for everything.
EXTRA = frozenset({"commandstats", "latencystats"})
EVERYTHING = frozenset({"all", "everything"})


def info(turn: Turn, args: list[bytes]) -> Reply:
    wanted = {word(arg) for arg in args[1:]}
    lines: list[str] = []
    for name, facts in _sections(turn).items():
        key = name.lower()
        shown = key in wanted or wanted & EVERYTHING
        if shown or (key not in EXTRA and (not wanted or "default" in wanted)):
            lines += [f"# {name}", *(f"{field}:{fact}" for field, fact in facts.items()), ""]
    return Verbatim("txt", "\r\n".join(lines).encode("utf-8"))


def _sections(turn: Turn) -> Sections:
    sections = {**_of_redis(turn), **_of_cluster(turn)}
    for name, facts in turn.host.info().items():
        sections.setdefault(name, {}).update(facts)
    sections["Keyspace"] = _keyspace(turn)
    return sections


def _of_redis(turn: Turn) -> Sections:
    shared = turn.shared
    statistics = shared.statistics
    return {
        "Server": {
            "redis_version": REDIS_VERSION,
            "redis_git_sha1": "00000000",
            "redis_git_dirty": 0,
            "redis_mode": mode_of(turn.session),
            "arch_bits": 64,
            "multiplexing_api": "asyncio",
            "server_name": "lsmkv",
            "server_time_usec": turn.wall_ms * 1000,
            "hz": 10,
            "config_file": "",
        },
        "Clients": {
            "connected_clients": len(shared.sessions),
            "cluster_connections": 0,
            "maxclients": 10000,
            "blocked_clients": 0,
            "tracking_clients": 0,
        },
        "Memory": {"used_memory": 0, "maxmemory": 0, "maxmemory_policy": "noeviction"},
        "Persistence": {
            "loading": 0,
            "async_loading": 0,
            "rdb_changes_since_last_save": 0,
            "rdb_bgsave_in_progress": 0,
            "rdb_last_save_time": 0,
            "rdb_last_bgsave_status": "ok",
            "aof_enabled": 1,
            "aof_rewrite_in_progress": 0,
            "aof_last_write_status": "ok",
        },
        "Stats": {
            "total_connections_received": statistics.connections,
            "total_commands_processed": statistics.commands,
            "instantaneous_ops_per_sec": 0,
            "rejected_connections": 0,
            "expired_keys": 0,
            "evicted_keys": 0,
            "keyspace_hits": statistics.hits,
            "keyspace_misses": statistics.misses,
            "pubsub_channels": 0,
            "pubsub_patterns": 0,
            "total_error_replies": statistics.errors.total(),
        },
        "Replication": {"role": "master", "connected_slaves": 0, "master_repl_offset": 0},
        "CPU": {},
        "Modules": {},
        "Commandstats": {
            f"cmdstat_{name}": f"calls={count}" for name, count in statistics.by_command.items()
        },
        "Errorstats": {
            f"errorstat_{kind}": f"count={count}" for kind, count in statistics.errors.items()
        },
        "Latencystats": {},
    }


def _of_cluster(turn: Turn) -> Mapping[str, dict[str, Fact]]:
    host, statistics = turn.host, turn.shared.statistics
    topology = host.topology
    return {
        "Cluster": {"cluster_enabled": int(turn.session.is_cluster_port)},
        "Lsmkv": {
            "lsmkv_member": topology.members_by_id[host.me].name,
            "lsmkv_alone": int(host.is_alone),
            "lsmkv_epoch": topology.epoch,
            "lsmkv_members": len(topology.voters),
            "lsmkv_members_reachable": sum(host.is_reachable(id) for id in topology.voters),
            "lsmkv_partitions": len(topology.owners),
            "lsmkv_partitions_moving": len(topology.transitions),
            "lsmkv_proxied_commands": statistics.proxied,
            "lsmkv_redirected_commands": statistics.redirected,
        },
    }


def _keyspace(turn: Turn) -> dict[str, Fact]:
    estimate = turn.host.key_estimate()
    return {"db0": f"keys={estimate},expires=0,avg_ttl=0"} if estimate else {}
