"""Rows of the command table: strings."""

from __future__ import annotations

from lsmkv_cluster.resp import edited_strings as edited
from lsmkv_cluster.resp import plain_strings as plain
from lsmkv_cluster.resp.commanding import Keys
from lsmkv_cluster.resp.table_rows import (
    CONDITIONAL,
    MERGED,
    QUORUM,
    READ_AND_WRITE,
    WHOLE,
    reader,
    writer,
)

__all__ = ["STRINGS"]

ALL = Keys(1, -1, 1)
PAIRS = Keys(1, -1, 2)
SLOW = ("write", "denyoom")

STRINGS = (
    reader("get", 2, plain.get, "Get the value of a key"),
    reader(
        "mget",
        -2,
        plain.mget,
        "Get the values of all the given keys",
        keys=ALL,
        cluster=f"{QUORUM} of each key",
    ),
    reader("strlen", 2, plain.strlen, "Get the length of the value stored in a key"),
    reader(
        "getrange",
        4,
        edited.getrange,
        "Get a substring of the string stored at a key",
        flags=("readonly",),
    ),
    reader(
        "substr",
        4,
        edited.getrange,
        "Get a substring of the string stored at a key",
        flags=("readonly",),
    ),
    writer(
        "set",
        -3,
        plain.set_,
        "Set the string value of a key",
        f"{WHOLE}; GET, XX and KEEPTTL: {READ_AND_WRITE}; NX: {CONDITIONAL}",
        flags=SLOW,
    ),
    writer("setex", 4, plain.setex, "Set the value and expiration of a key", WHOLE, flags=SLOW),
    writer(
        "psetex",
        4,
        plain.psetex,
        "Set the value and expiration in milliseconds of a key",
        WHOLE,
        flags=SLOW,
    ),
    writer(
        "setnx",
        3,
        plain.setnx,
        "Set the value of a key, only if the key does not exist",
        CONDITIONAL,
    ),
    writer(
        "getset",
        3,
        plain.getset,
        "Set the string value of a key and return its old value",
        READ_AND_WRITE,
    ),
    writer(
        "getdel",
        2,
        plain.getdel,
        "Get the value of a key and delete the key",
        READ_AND_WRITE,
        flags=("write", "fast"),
    ),
    writer(
        "getex",
        -2,
        plain.getex,
        "Get the value of a key and optionally set its expiration",
        READ_AND_WRITE,
        flags=("write", "fast"),
    ),
    writer(
        "mset",
        -3,
        plain.mset,
        "Set multiple keys to multiple values",
        f"{WHOLE} of each key",
        keys=PAIRS,
        flags=SLOW,
    ),
    writer(
        "msetnx",
        -3,
        plain.msetnx,
        "Set multiple keys to multiple values, only if none of the keys exist",
        CONDITIONAL,
        keys=PAIRS,
        flags=SLOW,
    ),
    writer("incr", 2, edited.incr, "Increment the integer value of a key by one", MERGED),
    writer("decr", 2, edited.decr, "Decrement the integer value of a key by one", MERGED),
    writer(
        "incrby",
        3,
        edited.incrby,
        "Increment the integer value of a key by the given amount",
        MERGED,
    ),
    writer(
        "decrby",
        3,
        edited.decrby,
        "Decrement the integer value of a key by the given number",
        MERGED,
    ),
    writer(
        "incrbyfloat",
        3,
        edited.incrbyfloat,
        "Increment the float value of a key by the given amount",
        READ_AND_WRITE,
    ),
    writer("append", 3, edited.append, "Append a value to a key", READ_AND_WRITE),
    writer(
        "setrange",
        4,
        edited.setrange,
        "Overwrite part of a string at key starting at the specified offset",
        READ_AND_WRITE,
        flags=SLOW,
    ),
)
