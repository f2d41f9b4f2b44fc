"""Reading a key, and changing it depending on what is there: the steps that commands are made of.

In a node that is alone a command has its keys for itself, so that a read and a write are one. In a
cluster the write carries the context of the read: what was written at the same time stays beside
it, is seen in the answer, and the change is made again on top of that; a few times, then both stay,
for the keyspace to resolve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from lsmkv_cluster.coordination.requests import ClientAnswer, Verb
from lsmkv_cluster.resp.commanding import CommandError, Steps, Turn
from lsmkv_cluster.resp.stored_values import NOTHING, Stored, Type, concurrent, see
from lsmkv_cluster.resp.verdicts import all_done, checked

__all__ = [
    "DELETE",
    "KEEP",
    "WRONG_TYPE",
    "Delete",
    "Keep",
    "Write",
    "change",
    "delete_all",
    "look",
    "look_at_all",
    "seen",
    "string_in",
    "write_all",
]

ATTEMPTS_MAX = 3  # at a change that others make, too
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


class Write(NamedTuple):
    value: bytes
    expiry_ms: int = 0


class Delete(NamedTuple):
    pass


class Keep(NamedTuple):
    """Write nothing."""


DELETE = Delete()
KEEP = Keep()
Decision = Write | Delete | Keep


def seen(turn: Turn, key: bytes, answer: ClientAnswer) -> Stored:
    resolution = turn.host.topology.keyspace_of(key).resolution
    return see(answer.record, resolution, turn.wall_ms)


def look(turn: Turn, key: bytes) -> Steps[Stored]:
    request = turn.request(Verb.GET, key)
    answer = checked(request, (yield request))
    return seen(turn, key, answer)


def look_at_all(turn: Turn, keys: Sequence[bytes]) -> Steps[list[Stored]]:
    requests = [turn.request(Verb.GET, key) for key in keys]
    answers = yield requests
    all_done(requests, answers)
    return [seen(turn, key, answer) for key, answer in zip(keys, answers, strict=True)]


def string_in(stored: Stored) -> bytes | None:
    """CommandError for what is no string."""
    if stored.type is Type.STRING:
        return stored.value
    if stored.is_alive:
        raise CommandError(WRONG_TYPE)
    return None


def change(turn: Turn, key: bytes, decide: Callable[[Stored], Decision]) -> Steps[Stored]:
    """`decide` is given what is there, may be called again, and may raise CommandError: then
    nothing is written. What it was given the last time is returned."""
    wants_context = not turn.is_alone
    request = turn.request(Verb.GET, key, wants_context=wants_context)
    answer = checked(request, (yield request))
    before = seen(turn, key, answer)
    for _ in range(ATTEMPTS_MAX):
        decision = decide(before)
        if isinstance(decision, Keep):
            break
        context = b"" if turn.is_alone else answer.context
        if isinstance(decision, Delete):
            request = turn.request(Verb.DELETE, key, context=context)
            checked(request, (yield request))
            break
        value, expiry_ms = decision
        verb = Verb.SET if turn.is_alone else Verb.PUT
        request = turn.request(
            verb, key, (value,), context=context, expiry_ms=expiry_ms, wants_context=wants_context
        )
        answer = checked(request, (yield request))
        if turn.is_alone:
            break
        other = concurrent(answer.record, value, turn.wall_ms)
        if other is None:
            break
        before = other
    return before


def write_all(turn: Turn, values: dict[bytes, bytes]) -> Steps[None]:
    requests = [turn.request(Verb.SET, key, (value,)) for key, value in values.items()]
    all_done(requests, (yield requests))


def delete_all(turn: Turn, keys: Sequence[bytes]) -> Steps[int]:
    """How many there were. What is not there is not deleted, so that it leaves nothing behind."""
    distinct = list(dict.fromkeys(keys))
    reads = [turn.request(Verb.GET, key, wants_context=not turn.is_alone) for key in distinct]
    answers = yield reads
    all_done(reads, answers)
    deletes = [
        turn.request(Verb.DELETE, key, context=b"" if turn.is_alone else answer.context)
        for key, answer in zip(distinct, answers, strict=True)
        if seen(turn, key, answer) is not NOTHING
    ]
    if deletes:
        all_done(deletes, (yield deletes))
    return len(deletes)
