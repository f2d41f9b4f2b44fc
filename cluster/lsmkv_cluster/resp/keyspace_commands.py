"""KV.KEYSPACE: how the keys of a prefix are read, written and resolved.

    KV.KEYSPACE SET prefix [R level] [W level] [STRICT|SLOPPY] [RESOLVE how] [BESTEFFORT|EXACT]
    KV.KEYSPACE LIST | DROP prefix

What SET does not name stays as it is, or is the default of a new keyspace. All keyspaces stand in
one document, and a change is decided on by a majority of the members.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.placement.keyspaces import Keyspace
from lsmkv_cluster.reconfiguration.proposals import Outcome
from lsmkv_cluster.reconfiguration.topology_changes import SetKeyspaces
from lsmkv_cluster.resp.commanding import CommandError, Run, Turn
from lsmkv_cluster.resp.levels_text import MODES, level_of, resolution_of, show_resolution
from lsmkv_cluster.resp.options import SYNTAX_ERROR, word
from lsmkv_cluster.resp.queries import AdminAnswer, AdminChange
from lsmkv_cluster.resp.replies import OK, Reply

__all__ = ["drop", "list_", "refusal_of", "set_"]


def set_(turn: Turn, args: list[bytes]) -> Run:
    prefix = args[2]
    known = {each.prefix: each for each in turn.host.topology.keyspaces}
    try:
        keyspace = replace(known.get(prefix, Keyspace(prefix)), **_fields(args[3:]))
    except TopologyError as error:
        raise CommandError(f"ERR {error}") from None
    return _change({**known, prefix: keyspace}.values())


def _fields(args: list[bytes]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    rest = iter(args)
    for arg in rest:
        name = word(arg)
        if name in MODES:
            fields["mode"] = MODES[name]
        elif name in ("besteffort", "exact"):
            fields["best_effort"] = name == "besteffort"
        elif name in ("r", "w", "resolve") and (value := next(rest, None)) is not None:
            if name == "resolve":
                fields["resolution"] = resolution_of(value)
            else:
                fields["read" if name == "r" else "write"] = level_of(value)
        else:
            raise CommandError(SYNTAX_ERROR)
    return fields


def drop(turn: Turn, args: list[bytes]) -> Run:
    known = {each.prefix: each for each in turn.host.topology.keyspaces}
    if not args[2]:
        raise CommandError("ERR the keyspace of the empty prefix stays: it takes all other keys")
    if known.pop(args[2], None) is None:
        raise CommandError("ERR there is no such keyspace")
    return _change(known.values())


def _change(keyspaces: Iterable[Keyspace]) -> Run:
    answer: AdminAnswer = yield AdminChange(SetKeyspaces(tuple(keyspaces)))
    text = refusal_of(answer)
    if text is not None:
        raise CommandError(text)
    return OK


def refusal_of(answer: AdminAnswer) -> str | None:
    """The error that tells of a change that was not made."""
    match answer.outcome:
        case Outcome.COMMITTED:
            return None
        case Outcome.NO_MAJORITY:
            return f"UNKNOWN no majority of the members has decided: {answer.text}"
        case _:
            return f"ERR {answer.text}"


def list_(turn: Turn, args: list[bytes]) -> Reply:
    return [
        {
            b"prefix": each.prefix,
            b"read": str(each.read).encode(),
            b"write": str(each.write).encode(),
            b"mode": each.mode.name.encode(),
            b"resolve": show_resolution(each.resolution).encode(),
            b"besteffort": each.best_effort,
        }
        for each in turn.host.topology.keyspaces
    ]
