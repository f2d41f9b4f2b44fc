"""Sets and hashes: SADD, HSET and their kin. Each element and each field is an item of the record.

A command reads what is there, for its answer and to see that the key holds nothing else; then it
says what it adds or removes, and no more. So what others change at the same time stays: an add wins
over a remove that has not seen it, and of two values of a field the newer is read (crdt.py).

In a cluster an add is made anew even if the element is there: somebody may be removing it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from lsmkv_cluster.coordination.requests import VALUES_MAX, ClientAnswer, Verb
from lsmkv_cluster.resp.changing import WRONG_TYPE, seen
from lsmkv_cluster.resp.commanding import CommandError, Run, Steps, Turn, wrong_count
from lsmkv_cluster.resp.replies import Reply
from lsmkv_cluster.resp.stored_values import Type
from lsmkv_cluster.resp.verdicts import checked
from lsmkv_cluster.versions import crdt
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.record_format import decode

__all__ = [
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hkeys",
    "hlen",
    "hmget",
    "hset",
    "hvals",
    "sadd",
    "scard",
    "sismember",
    "smembers",
    "smismember",
    "srem",
]


Members = frozenset[bytes]
Fields = dict[bytes, bytes]
Parts = TypeVar("Parts")


def _held(turn: Turn, key: bytes, type: Type) -> Steps[Record | None]:
    """None for nothing; CommandError where it is something else."""
    request = turn.request(Verb.GET, key)
    answer: ClientAnswer = checked(request, (yield request))
    stored = seen(turn, key, answer)
    if not stored.is_alive or answer.record is None:
        return None
    if stored.type is not type:
        raise CommandError(WRONG_TYPE)
    return decode(answer.record)


def _write(turn: Turn, verb: Verb, key: bytes, values: Sequence[bytes]) -> Steps[None]:
    """Nothing where there is nothing to do."""
    if not values:
        return
    if len(values) > VALUES_MAX:
        raise CommandError(f"ERR more than {VALUES_MAX} elements, fields and values in one command")
    request = turn.request(verb, key, tuple(values))
    checked(request, (yield request))


def _distinct(values: Collection[bytes]) -> list[bytes]:
    return list(dict.fromkeys(values))


def _remove(
    turn: Turn,
    args: list[bytes],
    type: Type,
    parts_of: Callable[[Record | None, int], Collection[bytes]],
    verb: Verb,
) -> Run:
    """Of the parts that are named, those that are there; their count is the reply."""
    held = yield from _held(turn, args[1], type)
    present = parts_of(held, turn.wall_ms)
    going = [part for part in _distinct(args[2:]) if part in present]
    yield from _write(turn, verb, args[1], going)
    return len(going)


def _shown(
    turn: Turn,
    key: bytes,
    type: Type,
    parts_of: Callable[[Record | None, int], Parts],
    show: Callable[[Parts], Reply],
) -> Run:
    held = yield from _held(turn, key, type)
    turn.note_lookup(held is not None)
    return show(parts_of(held, turn.wall_ms))


# --- sets ----------------------------------------------------------------------------------------


def sadd(turn: Turn, args: list[bytes]) -> Run:
    key, wanted = args[1], _distinct(args[2:])
    held = yield from _held(turn, key, Type.SET)
    present = crdt.members(held, turn.wall_ms)
    new = [element for element in wanted if element not in present]
    adds = new if turn.is_alone else wanted
    yield from _write(turn, Verb.ADD_ELEMENTS, key, adds)
    return len(new)


def srem(turn: Turn, args: list[bytes]) -> Run:
    return _remove(turn, args, Type.SET, crdt.members, Verb.REMOVE_ELEMENTS)


def _of_set(turn: Turn, key: bytes, show: Callable[[Members], Reply]) -> Run:
    return _shown(turn, key, Type.SET, crdt.members, show)


def smembers(turn: Turn, args: list[bytes]) -> Run:
    return _of_set(turn, args[1], lambda members: frozenset[Reply](members))


def sismember(turn: Turn, args: list[bytes]) -> Run:
    return _of_set(turn, args[1], lambda members: int(args[2] in members))


def smismember(turn: Turn, args: list[bytes]) -> Run:
    return _of_set(turn, args[1], lambda members: [int(each in members) for each in args[2:]])


def scard(turn: Turn, args: list[bytes]) -> Run:
    return _of_set(turn, args[1], len)


# --- hashes --------------------------------------------------------------------------------------


def hset(turn: Turn, args: list[bytes]) -> Run:
    key, pairs = args[1], args[2:]
    if len(pairs) % 2:
        raise CommandError(wrong_count("hset"))
    values = dict(zip(pairs[::2], pairs[1::2], strict=True))
    held = yield from _held(turn, key, Type.HASH)
    present = crdt.fields(held, turn.wall_ms)
    flat = [part for pair in values.items() for part in pair]
    yield from _write(turn, Verb.PUT_FIELDS, key, flat)
    return len(values.keys() - present.keys())


def hdel(turn: Turn, args: list[bytes]) -> Run:
    return _remove(turn, args, Type.HASH, crdt.fields, Verb.REMOVE_FIELDS)


def _of_hash(turn: Turn, key: bytes, show: Callable[[Fields], Reply]) -> Run:
    return _shown(turn, key, Type.HASH, crdt.fields, show)


def hget(turn: Turn, args: list[bytes]) -> Run:
    return _of_hash(turn, args[1], lambda fields: fields.get(args[2]))


def hmget(turn: Turn, args: list[bytes]) -> Run:
    return _of_hash(turn, args[1], lambda fields: [fields.get(name) for name in args[2:]])


def hgetall(turn: Turn, args: list[bytes]) -> Run:
    return _of_hash(turn, args[1], lambda fields: {name: fields[name] for name in fields})


def hkeys(turn: Turn, args: list[bytes]) -> Run:
    return _of_hash(turn, args[1], lambda fields: list(fields))


def hvals(turn: Turn, args: list[bytes]) -> Run:
    return _of_hash(turn, args[1], lambda fields: list(fields.values()))


def hexists(turn: Turn, args: list[bytes]) -> Run:
    return _of_hash(turn, args[1], lambda fields: int(args[2] in fields))


def hlen(turn: Turn, args: list[bytes]) -> Run:
    return _of_hash(turn, args[1], len)
