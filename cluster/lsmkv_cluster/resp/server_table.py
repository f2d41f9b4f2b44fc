"""Rows of the command table: connections, the server, and transactions."""

from __future__ import annotations

from functools import partial
from typing import Any

from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.resp import client_commands as clients
from lsmkv_cluster.resp import command_docs as about
from lsmkv_cluster.resp import connection_commands as own
from lsmkv_cluster.resp import server_commands as servers
from lsmkv_cluster.resp import transactions
from lsmkv_cluster.resp.commanding import Command, Keys
from lsmkv_cluster.resp.info_text import info
from lsmkv_cluster.resp.table_rows import (
    CONDITIONAL,
    IN_ORDER,
    connection,
    container,
    inner,
    server,
)

__all__ = ["SERVER"]

ADMIN = {"role": Role.ADMIN}
NOT_RECORDED = {"alone": "always empty: nothing is recorded"}

transaction: Any = partial(
    Command,
    role=Role.READ,
    group="transactions",
    flags=("noscript", "loading", "stale", "fast"),
    is_never_queued=True,
)

CLIENT = container("client", "connection", "Inspect and name connections", [
    inner("getname", 2, clients.getname, "Get the current connection name"),
    inner("id", 2, clients.id_, "Get the id of the current connection"),
    inner("info", 2, clients.info, "Get information about the current connection"),
    inner("kill", -3, clients.kill, "Close connections", **ADMIN),
    inner("list", -2, clients.list_, "Get the list of connections", **ADMIN),
    inner("maint_notifications", -2, clients.maint_notifications,
          "Ask to be told of maintenance", alone="an error: there are none"),
    inner("no-evict", 3, clients.no_evict, "Spare the connection from eviction",
          alone="accepted: nobody is evicted"),
    inner("setinfo", 4, clients.setinfo, "Tell which library the client uses",
          alone="as in Redis 7.2"),
    inner("setname", 3, clients.setname, "Set the current connection name"),
])  # fmt: skip

SERVER = (
    connection("hello", -1, own.hello, "Handshake, and switch the protocol",
               is_for_strangers=True, is_barrier=True,
               alone="as in Redis; redis_version is that of the commands"),
    connection("auth", -2, own.auth, "Say who the client is", is_for_strangers=True,
               is_barrier=True,
               alone="users have the roles read, write or admin instead of rules"),
    connection("ping", -1, own.ping, "Ping the server"),
    connection("echo", 2, own.echo, "Echo the given string"),
    connection("select", 2, own.select, "Choose a database", alone="there is database 0 only"),
    connection("quit", -1, own.quit_, "Close the connection", is_for_strangers=True,
               is_barrier=True, is_never_queued=True),
    connection("reset", 1, own.reset, "Make the connection as new", is_for_strangers=True,
               is_barrier=True, is_never_queued=True),
    CLIENT,
    server("info", -1, info, "Get information and statistics about the server",
           alone="the fields that tools look for; section Lsmkv has more",
           cluster="of the node that is asked"),
    server("time", 1, servers.time, "Return the current server time", flags=("fast",)),
    server("role", 1, servers.role, "Return the role of the instance",
           alone="always master", cluster="always master"),
    server("shutdown", -1, servers.shutdown, "Stop the server", **ADMIN,
           alone="syncs and ends, whatever is asked", cluster="of the node that is asked"),
    container("command", "server", "Get what is known about commands", [
        inner("count", 2, about.count, "Get the total number of commands"),
        inner("docs", -2, about.docs, "Get documentation of commands",
              alone="without arguments and history"),
        inner("getkeys", -4, about.getkeys, "Extract the keys of a command"),
        inner("info", -2, about.info, "Get details of commands"),
        inner("list", -2, about.list_, "List the names of commands"),
    ], arity=-1, run=about.command),
    container("config", "server", "Inspect the settings", [
        inner("get", -3, servers.config_get, "Get the values of settings", **ADMIN,
              alone="those that tools look for, and those of lsmkv"),
        inner("set", -4, servers.config_set, "Change a setting", **ADMIN,
              alone="an error: settings are made when the process starts"),
        inner("resetstat", 2, servers.config_resetstat, "Reset the counters of INFO", **ADMIN),
    ]),
    container("slowlog", "server", "Inspect slow commands", [
        inner("get", -2, servers.slowlog_get, "Get the slow log", **ADMIN, **NOT_RECORDED),
        inner("len", 2, servers.slowlog_len, "Get its length", **ADMIN, **NOT_RECORDED),
        inner("reset", 2, servers.slowlog_reset, "Clear it", **ADMIN, **NOT_RECORDED),
    ]),
    container("latency", "server", "Inspect latencies", [
        inner("latest", 2, servers.latency_latest, "Get the latest", **ADMIN, **NOT_RECORDED),
        inner("reset", -2, servers.latency_reset, "Forget them", **ADMIN, **NOT_RECORDED),
    ]),
    transaction("multi", 1, transactions.multi, summary="Mark the start of a transaction"),
    transaction("exec", 1, transactions.exec_, summary="Execute the commands since MULTI",
                is_barrier=True, alone="atomic and isolated, as in Redis; after a crash in the "
                "middle a part may be there", cluster=IN_ORDER),
    transaction("discard", 1, transactions.discard,
                summary="Discard the commands since MULTI"),
    transaction("watch", -2, transactions.watch, keys=Keys(1, -1, 1), is_barrier=True,
                summary="Execute a transaction only if keys stay as they are",
                cluster=CONDITIONAL),
    transaction("unwatch", 1, transactions.unwatch, summary="Forget all watched keys",
                is_never_queued=False),
)  # fmt: skip
