"""Rows of the command table: keys whatever they hold, their expiry, and going through them."""

from __future__ import annotations

from functools import partial
from typing import Any

from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.resp import key_times, walking
from lsmkv_cluster.resp import whole_keys as whole
from lsmkv_cluster.resp.commanding import NO_KEYS, Command, Keys
from lsmkv_cluster.resp.table_rows import (
    CONDITIONAL,
    IN_ORDER,
    QUORUM,
    READ_AND_WRITE,
    container,
    inner,
    reader,
    writer,
)

__all__ = ["KEYS"]

ALL = Keys(1, -1, 1)
TWO = Keys(1, 2, 1)
SECOND = Keys(2, 2, 1)
FAST = ("write", "fast")
SLOW = ("write",)
DELETED = f"{READ_AND_WRITE} of each key"
WALKED = "all owners are asked, page by page; what stays is seen once"

read: Any = partial(reader, group="generic")
write: Any = partial(writer, group="generic", flags=FAST)
walk: Any = partial(
    reader, group="generic", keys=NO_KEYS, flags=("readonly",), cluster=WALKED, is_barrier=True
)
clear: Any = partial(
    Command,
    role=Role.WRITE,
    group="server",
    flags=SLOW,
    is_barrier=True,
    alone="goes through all keys: not one moment",
    cluster="goes through all keys of the cluster and deletes each: not one moment",
)

KEYS = (
    write("del", -2, whole.del_, "Delete a key", DELETED, keys=ALL, flags=SLOW),
    write("unlink", -2, whole.del_, "Delete a key, as DEL", DELETED, keys=ALL),
    read("exists", -2, whole.exists, "Determine if a key exists", keys=ALL),
    read("touch", -2, whole.exists, "Tell how many of the keys exist", keys=ALL),
    read("type", 2, whole.type_, "Determine the type stored at key"),
    write(
        "copy",
        -3,
        whole.copy,
        "Copy a key",
        f"with REPLACE: {IN_ORDER}; without: {CONDITIONAL}",
        keys=TWO,
        flags=SLOW,
    ),
    write("rename", 3, whole.rename, "Rename a key", IN_ORDER, keys=TWO, flags=SLOW),
    write(
        "renamenx",
        3,
        whole.renamenx,
        "Rename a key, only if the new key does not exist",
        CONDITIONAL,
        keys=TWO,
    ),
    write("expire", -3, key_times.expire, "Set a key's time to live in seconds", READ_AND_WRITE),
    write(
        "pexpire", -3, key_times.pexpire, "Set a key's time to live in milliseconds", READ_AND_WRITE
    ),
    write(
        "expireat",
        -3,
        key_times.expireat,
        "Set the expiration for a key as a UNIX timestamp",
        READ_AND_WRITE,
    ),
    write(
        "pexpireat",
        -3,
        key_times.pexpireat,
        "Set the expiration for a key as a UNIX timestamp in milliseconds",
        READ_AND_WRITE,
    ),
    write("persist", 2, key_times.persist, "Remove the expiration from a key", READ_AND_WRITE),
    read("ttl", 2, key_times.ttl, "Get the time to live for a key in seconds"),
    read("pttl", 2, key_times.pttl, "Get the time to live for a key in milliseconds"),
    read("expiretime", 2, key_times.expiretime, "Get the expiration Unix timestamp for a key"),
    read(
        "pexpiretime",
        2,
        key_times.pexpiretime,
        "Get the expiration Unix timestamp for a key in milliseconds",
    ),
    walk("scan", -2, walking.scan, "Incrementally iterate the keys space", is_barrier=False),
    walk("keys", 2, walking.keys, "Find all keys matching the given pattern"),
    walk("randomkey", 1, walking.randomkey, "Return a random key from the keyspace"),
    walk(
        "dbsize",
        1,
        walking.dbsize,
        "Return the number of keys",
        group="server",
        alone="counted up to 10,000 keys, beyond that an estimate",
        cluster="an estimate from the copies of this node",
    ),
    clear("flushdb", -1, walking.flush, summary="Remove all keys"),
    clear("flushall", -1, walking.flush, summary="Remove all keys"),
    container(
        "object",
        "generic",
        "Inspect a stored value",
        [
            inner(
                "encoding",
                3,
                whole.object_encoding,
                "Tell how Redis would store it",
                keys=SECOND,
                alone="by the size of the value",
                cluster=QUORUM,
                flags=("readonly",),
            ),
            inner(
                "refcount",
                3,
                whole.object_refcount,
                "Tell how often it is referred to",
                alone="always 1",
                cluster=QUORUM,
                keys=SECOND,
                flags=("readonly",),
            ),
            inner(
                "idletime",
                3,
                whole.object_idletime,
                "Tell how long it has not been used",
                alone="always 0",
                cluster=QUORUM,
                keys=SECOND,
                flags=("readonly",),
            ),
            inner(
                "freq",
                3,
                whole.object_freq,
                "Tell how often it has been used",
                alone="an error, as in Redis without LFU",
                keys=SECOND,
                flags=("readonly",),
            ),
        ],
    ),
    container(
        "memory",
        "server",
        "Inspect the use of memory",
        [
            inner(
                "usage",
                -3,
                whole.memory_usage,
                "Estimate the memory usage of a key",
                alone="the bytes of key, value and record, about",
                cluster=QUORUM,
                keys=SECOND,
                flags=("readonly",),
            ),
        ],
    ),
)
