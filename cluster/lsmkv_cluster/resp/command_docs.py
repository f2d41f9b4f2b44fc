"""COMMAND: what the table of commands says, in the form in which clients read it.

Clients of clusters find keys by it, redis-cli completes and helps with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.resp.commanding import Command, CommandError, Turn, find_command
from lsmkv_cluster.resp.glob_match import matcher
from lsmkv_cluster.resp.options import SYNTAX_ERROR, word
from lsmkv_cluster.resp.replies import ErrorReply, Reply

__all__ = ["command", "count", "docs", "getkeys", "info", "list_"]


def command(turn: Turn, args: list[bytes]) -> Reply:
    return [_row(each) for each in turn.shared.commands.values()]


def count(turn: Turn, args: list[bytes]) -> Reply:
    return len(turn.shared.commands)


def info(turn: Turn, args: list[bytes]) -> Reply:
    if len(args) == 2:
        return command(turn, args)
    found = [turn.shared.commands.get(word(arg)) for arg in args[2:]]
    return [None if each is None else _row(each) for each in found]


def docs(turn: Turn, args: list[bytes]) -> Reply:
    commands = turn.shared.commands
    names: Iterable[str] = [word(arg) for arg in args[2:]] if len(args) > 2 else commands
    return {name.encode(): _doc(commands[name]) for name in names if name in commands}


def list_(turn: Turn, args: list[bytes]) -> Reply:
    names = [name.encode() for name in turn.shared.commands]
    if len(args) == 2:
        return list(names)
    if len(args) != 5 or word(args[2]) != "filterby":
        raise CommandError(SYNTAX_ERROR)
    match word(args[3]):
        case "pattern":
            matches = matcher(args[4].lower())
            return [name for name in names if matches(name)]
        case "aclcat":
            category = f"@{word(args[4])}"
            commands = turn.shared.commands.values()
            return [each.name.encode() for each in commands if category in _categories(each)]
        case "module":
            return []
        case _:
            raise CommandError(SYNTAX_ERROR)


def getkeys(turn: Turn, args: list[bytes]) -> Reply:
    found = find_command(turn.shared.commands, args[2:])
    if isinstance(found, ErrorReply):
        known = turn.shared.commands.get(word(args[2]))
        raise CommandError(
            "ERR Invalid command specified"
            if known is None
            else "ERR Invalid number of arguments specified for command"
        )
    keys = found.keys_in(args[2:])
    if not keys:
        raise CommandError("ERR The command has no key arguments")
    return list(keys)


def _categories(row: Command) -> tuple[str, ...]:
    kind = "@write" if row.writes else "@read" if row.keys.first else ""
    admin = ("@admin", "@dangerous") if row.role is Role.ADMIN else ()
    group = {"generic": "@keyspace", "server": "", "cluster": ""}.get(row.group, f"@{row.group}")
    speed = "@fast" if "fast" in row.flags else "@slow"
    return tuple(name for name in (kind, group, speed, *admin) if name)


def _row(row: Command) -> list[Reply]:
    first, last, step = row.keys
    return [
        row.name.encode(),
        row.arity,
        frozenset(row.flags),
        first,
        last,
        step,
        frozenset(_categories(row)),
        [],
        [_key_spec(row)] if first else [],
        [_row(each) for each in row.subcommands.values()],
    ]


def _key_spec(row: Command) -> Reply:
    first, last, step = row.keys
    access = ("RW", "access", "update") if row.writes else ("RO", "access")
    return {
        b"flags": frozenset(access),
        b"begin_search": {b"type": b"index", b"spec": {b"index": first}},
        b"find_keys": {
            b"type": b"range",
            b"spec": {
                b"lastkey": last - first if last >= 0 else last,
                b"keystep": step,
                b"limit": 0,
            },
        },
    }


def _doc(row: Command) -> Reply:
    doc: dict[Reply, Reply] = {
        b"summary": row.summary.encode(),
        b"since": b"1.0.0",
        b"group": row.group.encode(),
        b"complexity": b"",
    }
    if row.subcommands:
        doc[b"subcommands"] = {each.name.encode(): _doc(each) for each in row.subcommands.values()}
    return doc
