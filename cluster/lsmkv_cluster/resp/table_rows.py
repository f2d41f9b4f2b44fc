"""Shorthand for rows of the command table: what commands of one sort have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.resp.commanding import NO_KEYS, ONE_KEY, Command, Turn
from lsmkv_cluster.resp.replies import Reply

__all__ = ["CONDITIONAL", "IN_ORDER", "MERGED", "PARTS", "QUORUM", "READ_AND_WRITE", "WHOLE"]
__all__ += ["connection", "container", "inner", "reader", "server", "writer"]

# What commands mean in a cluster, in the words that the page explains (commands_page.py).
QUORUM = "read"
WHOLE = "overwrite"
READ_AND_WRITE = "read and write"
CONDITIONAL = "best effort"
MERGED = "counter"
PARTS = "merge"
IN_ORDER = "in order"


def reader(name: str, arity: int, run: Any, summary: str, **others: Any) -> Command:
    fields: dict[str, Any] = {
        "role": Role.READ,
        "group": "string",
        "keys": ONE_KEY,
        "flags": ("readonly", "fast"),
        "cluster": QUORUM,
        **others,
    }
    return Command(name, arity, run, summary=summary, **fields)


def writer(name: str, arity: int, run: Any, summary: str, cluster: str, **others: Any) -> Command:
    fields: dict[str, Any] = {
        "role": Role.WRITE,
        "group": "string",
        "keys": ONE_KEY,
        "flags": ("write", "denyoom", "fast"),
        **others,
    }
    return Command(name, arity, run, summary=summary, cluster=cluster, **fields)


def connection(name: str, arity: int, run: Any, summary: str, **others: Any) -> Command:
    fields: dict[str, Any] = {
        "role": Role.READ,
        "group": "connection",
        "flags": ("noscript", "loading", "stale", "fast"),
        **others,
    }
    return Command(name, arity, run, summary=summary, **fields)


def server(name: str, arity: int, run: Any, summary: str, **others: Any) -> Command:
    fields: dict[str, Any] = {
        "role": Role.READ,
        "group": "server",
        "flags": ("loading", "stale"),
        **others,
    }
    return Command(name, arity, run, summary=summary, **fields)


def inner(name: str, arity: int, run: Any, summary: str, **others: Any) -> Command:
    """A subcommand; it inherits what `container` says."""
    return Command(
        name, arity, run, **{"role": Role.READ, "group": "", "summary": summary, **others}
    )


def container(
    name: str,
    group: str,
    summary: str,
    subcommands: Sequence[Command],
    *,
    arity: int = -2,
    run: Any = None,
    **others: Any,
) -> Command:
    """`run` is what it does without a subcommand."""
    rows = {each.name: _named(name, group, each) for each in subcommands}
    lines: list[Reply] = [f"{name.upper()} <subcommand> [<arg> ...]. Subcommands are:"]
    for each in subcommands:
        lines += [each.name.upper(), f"    {each.summary}."]
    lines += ["HELP", "    Print this help."]
    rows["help"] = _named(name, group, inner("help", 2, partial(_help, lines), "Print this help"))
    fields: dict[str, Any] = {"role": Role.READ, "keys": NO_KEYS, **others}
    return Command(
        name, arity, run or _nothing, group=group, summary=summary, subcommands=rows, **fields
    )


def _named(outer: str, group: str, row: Command) -> Command:
    return replace(row, name=f"{outer}|{row.name}", group=row.group or group)


def _help(lines: list[Reply], turn: Turn, args: list[bytes]) -> Reply:
    return list(lines)


def _nothing(turn: Turn, args: list[bytes]) -> Reply:
    raise AssertionError("its arity demands a subcommand")
