"""Rows of the command table: sets and hashes."""

from __future__ import annotations

from functools import partial

from lsmkv_cluster.resp import sets_and_hashes as parts
from lsmkv_cluster.resp.table_rows import PARTS, reader, writer

__all__ = ["PARTS_ROWS"]

set_reader, set_writer = partial(reader, group="set"), partial(writer, group="set", cluster=PARTS)
hash_reader = partial(reader, group="hash")
hash_writer = partial(writer, group="hash", cluster=PARTS)
SLOW = ("readonly",)
REMOVES = ("write", "fast")

PARTS_ROWS = (
    set_writer("sadd", -3, parts.sadd, "Add one or more members to a set"),
    set_writer("srem", -3, parts.srem, "Remove one or more members from a set", flags=REMOVES),
    set_reader("smembers", 2, parts.smembers, "Get all the members in a set", flags=SLOW),
    set_reader("sismember", 3, parts.sismember, "Determine if a given value is in a set"),
    set_reader("smismember", -3, parts.smismember, "Tell of several values if they are in a set"),
    set_reader("scard", 2, parts.scard, "Get the number of members in a set"),
    hash_writer("hset", -4, parts.hset, "Set the values of fields of a hash"),
    hash_writer("hdel", -3, parts.hdel, "Delete one or more hash fields", flags=REMOVES),
    hash_reader("hget", 3, parts.hget, "Get the value of a hash field"),
    hash_reader("hmget", -3, parts.hmget, "Get the values of all the given hash fields"),
    hash_reader("hgetall", 2, parts.hgetall, "Get all fields and values in a hash", flags=SLOW),
    hash_reader("hkeys", 2, parts.hkeys, "Get all the fields in a hash", flags=SLOW),
    hash_reader("hvals", 2, parts.hvals, "Get all the values in a hash", flags=SLOW),
    hash_reader("hexists", 3, parts.hexists, "Determine if a hash field exists"),
    hash_reader("hlen", 2, parts.hlen, "Get the number of fields in a hash"),
)
