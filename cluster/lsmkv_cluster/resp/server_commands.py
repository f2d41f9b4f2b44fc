"""CONFIG GET, TIME, ROLE, SHUTDOWN, SLOWLOG, LATENCY: what tools ask of a server."""

from __future__ import annotations

from lsmkv_cluster.resp.commanding import CommandError, Turn
from lsmkv_cluster.resp.glob_match import matcher
from lsmkv_cluster.resp.options import SYNTAX_ERROR, word
from lsmkv_cluster.resp.redis_numbers import parse_integer
from lsmkv_cluster.resp.replies import OK, Reply

__all__ = [
    "config_get",
    "config_resetstat",
    "config_set",
    "latency_latest",
    "latency_reset",
    "role",
    "shutdown",
    "slowlog_get",
    "slowlog_len",
    "slowlog_reset",
    "time",
]

# Settings of Redis that tools look for, as they are here.
SETTINGS = {
    "appendfsync": "everysec",
    "appendonly": "yes",
    "bind": "",
    "cluster-enabled": "no",
    "databases": "1",
    "maxclients": "10000",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "notify-keyspace-events": "",
    "proto-max-bulk-len": "8388608",
    "requirepass": "",
    "save": "",
    "slowlog-log-slower-than": "-1",
    "slowlog-max-len": "0",
    "timeout": "0",
}


def config_get(turn: Turn, args: list[bytes]) -> Reply:
    settings = {**SETTINGS, **turn.host.config()}
    if turn.session.is_cluster_port:
        settings["cluster-enabled"] = "yes"
    patterns = [matcher(arg.lower()) for arg in args[2:]]
    return {
        name.encode(): value.encode()
        for name, value in sorted(settings.items())
        if any(matches(name.encode()) for matches in patterns)
    }


def config_set(turn: Turn, args: list[bytes]) -> Reply:
    """Settings are made when the process starts."""
    name = args[2].decode("latin-1")
    if name.lower() in {**SETTINGS, **turn.host.config()}:
        raise CommandError(
            f"ERR CONFIG SET failed (possibly related to argument '{name}') - "
            "can't set immutable config"
        )
    raise CommandError(f"ERR Unknown option or number of arguments for CONFIG SET - '{name}'")


def config_resetstat(turn: Turn, args: list[bytes]) -> Reply:
    turn.shared.statistics.clear()
    return OK


def time(turn: Turn, args: list[bytes]) -> Reply:
    seconds, left_ms = divmod(turn.wall_ms, 1000)
    return [b"%d" % seconds, b"%d" % (left_ms * 1000)]


def role(turn: Turn, args: list[bytes]) -> Reply:
    """Nobody replicates by a stream of commands."""
    return [b"master", 0, []]


def shutdown(turn: Turn, args: list[bytes]) -> Reply:
    if any(word(arg) not in ("save", "nosave", "now", "force") for arg in args[1:]):
        raise CommandError(SYNTAX_ERROR)
    turn.host.shut_down()
    turn.shared.close(turn.session)
    return OK


# --- what is not recorded


def slowlog_get(turn: Turn, args: list[bytes]) -> Reply:
    count = parse_integer(args[2]) if len(args) > 2 else 0
    if count is None or count < -1:
        raise CommandError("ERR count should be greater than or equal to -1")
    return []


def slowlog_len(turn: Turn, args: list[bytes]) -> Reply:
    return 0


def slowlog_reset(turn: Turn, args: list[bytes]) -> Reply:
    return OK


def latency_latest(turn: Turn, args: list[bytes]) -> Reply:
    return []


def latency_reset(turn: Turn, args: list[bytes]) -> Reply:
    return 0
