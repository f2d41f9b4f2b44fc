"""Rows of the command table: clusters, scripts, and what lsmkv adds."""

from __future__ import annotations

from functools import partial
from typing import Any

from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.resp import admin_commands as admin
from lsmkv_cluster.resp import cluster_commands as clusters
from lsmkv_cluster.resp import keyspace_commands as keyspaces
from lsmkv_cluster.resp import kv_commands as kv
from lsmkv_cluster.resp import lock_scripts as scripts
from lsmkv_cluster.resp.cluster_commands import on_cluster_port
from lsmkv_cluster.resp.commanding import NO_KEYS
from lsmkv_cluster.resp.table_rows import (
    CONDITIONAL,
    connection,
    container,
    inner,
    reader,
    writer,
)

__all__ = ["CLUSTER"]

ADMIN = {"role": Role.ADMIN}
ON_CLUSTER_PORT = "on the cluster port; on the plain one an error, as in Redis without cluster"
LOCKS = "the three scripts of redis-py's Lock only; others are refused"
script: Any = partial(
    writer,
    group="scripting",
    keys=NO_KEYS,  # they follow their number
    flags=("write", "noscript", "movablekeys"),
    alone=LOCKS,
    cluster=CONDITIONAL,
)
kv_reader: Any = partial(reader, group="kv", flags=("readonly",), alone="of lsmkv alone")
kv_writer: Any = partial(writer, group="kv", flags=("write", "denyoom"), alone="of lsmkv alone")


def _seen(name: str, arity: int, run: Any, summary: str) -> Any:
    return inner(name, arity, on_cluster_port(run), summary, alone=ON_CLUSTER_PORT)


CLUSTER = (
    container(
        "cluster",
        "cluster",
        "Inspect the cluster",
        [
            _seen("slots", 2, clusters.slots, "Tell which node serves which slots"),
            _seen("shards", 2, clusters.shards, "Tell which node serves which slots, in detail"),
            _seen("nodes", 2, clusters.nodes, "Describe all nodes, as text"),
            _seen("info", 2, clusters.info, "Describe the state of the cluster"),
            _seen("myid", 2, clusters.myid, "Tell the id of this node"),
            _seen("keyslot", 3, clusters.keyslot, "Tell the slot of a key"),
            _seen("replicas", 3, clusters.replicas, "List replicas: there are none"),
            _seen("countkeysinslot", 3, clusters.countkeysinslot, "Count the keys of a slot"),
            _seen("getkeysinslot", 4, clusters.getkeysinslot, "List keys of a slot"),
        ],
    ),
    connection(
        "readonly",
        1,
        on_cluster_port(clusters.readonly),
        "Read from replicas, too",
        group="cluster",
        alone=f"accepted {ON_CLUSTER_PORT}",
    ),
    connection(
        "readwrite",
        1,
        on_cluster_port(clusters.readonly),
        "Undo READONLY",
        group="cluster",
        alone=f"accepted {ON_CLUSTER_PORT}",
    ),
    connection(
        "asking",
        1,
        on_cluster_port(clusters.asking),
        "Have the next command served here",
        group="cluster",
        alone=ON_CLUSTER_PORT,
    ),
    script("eval", -3, scripts.eval_, "Run a script", find_keys=scripts.keys_of_script),
    script(
        "evalsha",
        -3,
        scripts.evalsha,
        "Run a script by its SHA-1",
        find_keys=scripts.keys_of_script,
    ),
    container(
        "script",
        "scripting",
        "Manage scripts",
        [
            inner("load", 3, scripts.script_load, "Load a script", alone=LOCKS),
            inner("exists", -3, scripts.script_exists, "Tell which scripts are known"),
            inner("flush", -2, scripts.script_flush, "Forget scripts", alone="nothing is lost"),
        ],
    ),
    kv_reader(
        "kv.get",
        -2,
        kv.get,
        "Get context, all concurrent values, and their type",
        cluster="a read at the level that it names",
    ),
    kv_writer(
        "kv.put",
        -3,
        kv.put,
        "Set a value in the place of what its context has seen",
        "a write at the level that it names",
    ),
    kv_writer(
        "kv.del",
        -2,
        kv.delete,
        "Delete what its context has seen",
        "a write at the level that it names",
    ),
    kv_reader(
        "kv.explain",
        2,
        kv.explain,
        "Tell what each owner of a key has, and how it is read",
        cluster="all owners are asked",
    ),
    connection(
        "kv.consistency",
        -1,
        kv.consistency,
        "Set or show the levels of this connection",
        group="kv",
        alone="of lsmkv alone",
    ),
    container(
        "kv.keyspace",
        "kv",
        "Set how the keys of a prefix are read, written and resolved",
        [
            inner(
                "set",
                -3,
                keyspaces.set_,
                "Make or change a keyspace",
                **ADMIN,
                is_barrier=True,
                alone="of lsmkv alone",
                cluster="decided on by a majority of the members",
            ),
            inner("list", 2, keyspaces.list_, "List the keyspaces", alone="of lsmkv alone"),
            inner(
                "drop",
                3,
                keyspaces.drop,
                "Forget a keyspace",
                **ADMIN,
                is_barrier=True,
                alone="of lsmkv alone",
                cluster="decided on by a majority of the members",
            ),
        ],
    ),
    container(
        "kv.cluster",
        "kv",
        "Administrate the cluster; answers are JSON",
        [
            *(
                inner(name, arity, admin.report, summary, **ADMIN, alone="of lsmkv alone")
                for name, arity, summary in (
                    ("status", 2, "Tell of all members and their state"),
                    ("hints", 2, "Tell of hints that wait for others"),
                    ("moves", 2, "Tell how far the moves of partitions are"),
                )
            ),
            inner(
                "repair",
                -2,
                admin.repair,
                "Compare copies with those of others now, or tell how far that is",
                **ADMIN,
                alone="of lsmkv alone",
                cluster="begins, and does not wait for the end; of the node that is asked",
            ),
            inner(
                "explain",
                3,
                admin.explain,
                "Tell what each owner of a key has",
                **ADMIN,
                alone="of lsmkv alone",
            ),
            # For clients, too: they find owners by it.
            inner("ring", -2, admin.ring, "Tell who owns what", alone="of lsmkv alone"),
            inner(
                "keyspaces",
                2,
                admin.keyspaces,
                "List the keyspaces",
                **ADMIN,
                alone="of lsmkv alone",
            ),
            inner(
                "plan",
                3,
                admin.plan,
                "Tell what a change would move",
                **ADMIN,
                alone="of lsmkv alone",
            ),
            inner(
                "change",
                -3,
                admin.change,
                "Change the topology",
                **ADMIN,
                alone="of lsmkv alone",
                cluster="decided on by a majority of the members",
            ),
            inner(
                "join",
                -3,
                admin.join,
                "Take in a member",
                **ADMIN,
                alone="of lsmkv alone",
                cluster="decided on by a majority of the members",
            ),
        ],
    ),
)
