"""MULTI, EXEC, WATCH: several commands as one.

In a node that is alone EXEC has all keys of its commands and of WATCH for itself, so nobody sees a
part of it, and it is carried out only if no watched key has another record than it had. (A crash in
the middle may leave a part of it.) In a cluster the commands are carried out in order, and answered
together; no more than that.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from lsmkv_cluster.coordination.requests import ClientAnswer, Verb
from lsmkv_cluster.resp.changing import seen
from lsmkv_cluster.resp.commanding import Command, CommandError, Run, Steps, Turn, find_by_name
from lsmkv_cluster.resp.exactness import refuse_unless_exact
from lsmkv_cluster.resp.replies import NULL_ARRAY, OK, Reply
from lsmkv_cluster.resp.session import Transaction, Watched
from lsmkv_cluster.resp.verdicts import all_done

__all__ = ["discard", "exec_", "multi", "unwatch", "watch"]


def multi(turn: Turn, args: list[bytes]) -> Reply:
    if turn.session.transaction is not None:
        raise CommandError("ERR MULTI calls can not be nested")
    turn.session.transaction = Transaction()
    return OK


def discard(turn: Turn, args: list[bytes]) -> Reply:
    if turn.session.transaction is None:
        raise CommandError("ERR DISCARD without MULTI")
    turn.session.transaction = None
    turn.session.watched = {}
    return OK


def watch(turn: Turn, args: list[bytes]) -> Run:
    if turn.session.transaction is not None:
        raise CommandError("ERR WATCH inside MULTI is not allowed")
    refuse_unless_exact(turn, args[1:], "WATCH")
    keys = [key for key in dict.fromkeys(args[1:]) if key not in turn.session.watched]
    if keys:
        turn.session.watched.update((yield from _records(turn, keys)))
    return OK


def unwatch(turn: Turn, args: list[bytes]) -> Reply:
    turn.session.watched = {}
    return OK


def exec_(turn: Turn, args: list[bytes]) -> Run:
    session = turn.session
    transaction, watched = session.transaction, session.watched
    if transaction is None:
        raise CommandError("ERR EXEC without MULTI")
    session.transaction, session.watched = None, {}
    if transaction.is_broken:
        raise CommandError("EXECABORT Transaction discarded because of previous errors.")
    if watched:
        present = yield from _records(turn, list(watched))
        if any(_has_changed(watched[key], record) for key, record in present.items()):
            return NULL_ARRAY
    replies: list[Reply] = []
    for name, queued in transaction.commands:
        command = find_by_name(turn.shared.commands, name)
        replies.append((yield from _carry_out(turn, command, queued)))
    return replies


def _carry_out(turn: Turn, command: Command, args: list[bytes]) -> Steps[Reply]:
    """An error is the reply of this one command."""
    try:
        result = command.run(turn, args)
        return (yield from result) if isinstance(result, Generator) else result
    except CommandError as error:
        return error.reply


def _records(turn: Turn, keys: Sequence[bytes]) -> Steps[dict[bytes, Watched]]:
    requests = [turn.request(Verb.GET, key) for key in keys]
    answers: list[ClientAnswer] = yield requests
    all_done(requests, answers)
    return {
        key: Watched(seen(turn, key, answer).is_alive, answer.record)
        for key, answer in zip(keys, answers, strict=True)
    }


def _has_changed(before: Watched, after: Watched) -> bool:
    """Every write makes another record. That what is deleted gets forgotten is none."""
    if before.is_alive == after.is_alive is False and after.record is None:
        return False
    return before != after
