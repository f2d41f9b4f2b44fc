"""KV.*: what Redis has no words for. Siblings and contexts, levels by request and by connection.

    KV.GET key [R level]                    context, values, and what they are
    KV.PUT key value [CONTEXT c|OVERWRITE] [W level] [STRICT|SLOPPY]    the new context
    KV.DEL key [CONTEXT c] [W level] [STRICT|SLOPPY]          the new context
    KV.CONSISTENCY [READ level] [WRITE level] [STRICT|SLOPPY] | DEFAULT
    KV.EXPLAIN key

A PUT without a context has seen nothing, so it stays beside whatever is there; one that is to
OVERWRITE takes the place of all that its coordinator knows, as SET and a DEL without a context do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Verb
from lsmkv_cluster.resp.commanding import CommandError, Run, Turn
from lsmkv_cluster.resp.explanation import explanation
from lsmkv_cluster.resp.host import Json
from lsmkv_cluster.resp.levels_text import MODES, level_of
from lsmkv_cluster.resp.options import SYNTAX_ERROR, word
from lsmkv_cluster.resp.queries import Explain, Explained
from lsmkv_cluster.resp.replies import OK, Reply
from lsmkv_cluster.resp.session import KEYSPACES_LEVELS
from lsmkv_cluster.resp.stored_values import everything
from lsmkv_cluster.resp.verdicts import checked

__all__ = ["as_reply", "consistency", "delete", "explain", "get", "put"]


def get(turn: Turn, args: list[bytes]) -> Run:
    request = _with_options(
        turn.request(Verb.GET, args[1], wants_context=True), args[2:], frozenset({"r"})
    )
    answer: ClientAnswer = checked(request, (yield request))
    kind, values = everything(answer.record, turn.wall_ms)
    return [answer.context, list(values), kind.encode()]


def put(turn: Turn, args: list[bytes]) -> Run:
    request = turn.request(Verb.PUT, args[1], (args[2],), wants_context=True)
    return _write(request, args[3:], frozenset({"overwrite"}))


def delete(turn: Turn, args: list[bytes]) -> Run:
    return _write(turn.request(Verb.DELETE, args[1], wants_context=True), args[2:])


def _write(request: ClientRequest, options: list[bytes], more: frozenset[str] = frozenset()) -> Run:
    request = _with_options(request, options, frozenset({"context", "w", *MODES}) | more)
    if request.verb is Verb.SET and request.context:
        raise CommandError(SYNTAX_ERROR)
    answer: ClientAnswer = checked(request, (yield request))
    return answer.context


def _with_options(
    request: ClientRequest, args: list[bytes], allowed: frozenset[str]
) -> ClientRequest:
    fields: dict[str, Any] = {}
    rest = iter(args)
    for arg in rest:
        match word(arg):
            case name if name not in allowed:
                raise CommandError(SYNTAX_ERROR)
            case "context":
                fields["context"] = _next(rest)
            case "r":
                fields["read"] = level_of(_next(rest))
            case "w":
                fields["write"] = level_of(_next(rest))
            case "overwrite":
                fields["verb"] = Verb.SET
            case name:
                fields["mode"] = MODES[name]
    return replace(request, **fields)


def _next(rest: Iterator[bytes]) -> bytes:
    arg = next(rest, None)
    if arg is None:
        raise CommandError(SYNTAX_ERROR)
    return arg


def consistency(turn: Turn, args: list[bytes]) -> Reply:
    """Without arguments it shows what holds; null is what the keyspace says."""
    session = turn.session
    if len(args) == 1:
        read, write, mode = session.levels
        return {
            b"read": str(read).encode() if read else None,
            b"write": str(write).encode() if write else None,
            b"mode": mode.name.encode() if mode else None,
        }
    levels, rest = session.levels, iter(args[1:])
    for arg in rest:
        match word(arg):
            case "default":
                levels = KEYSPACES_LEVELS
            case "read":
                levels = levels._replace(read=level_of(_next(rest)))
            case "write":
                levels = levels._replace(write=level_of(_next(rest)))
            case name if name in MODES:
                levels = levels._replace(mode=MODES[name])
            case _:
                raise CommandError(SYNTAX_ERROR)
    session.levels = levels
    return OK


def explain(turn: Turn, args: list[bytes]) -> Run:
    answer: Explained = yield Explain(args[1])
    return as_reply(explanation(turn.host, args[1], answer.told, turn.wall_ms))


def as_reply(content: Json) -> Reply:
    """A report as nested maps and arrays."""
    if isinstance(content, str):
        return content.encode("utf-8", "surrogateescape")
    if content is None or isinstance(content, (bool, int, float)):
        return content
    if isinstance(content, (list, tuple)):
        return [as_reply(each) for each in content]
    return {name.encode(): as_reply(each) for name, each in content.items()}
