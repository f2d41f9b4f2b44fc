"""Commands about keys, whatever they hold: DEL, EXISTS, TYPE, COPY, RENAME, OBJECT, MEMORY."""

from __future__ import annotations

from lsmkv_cluster.coordination.requests import Verb
from lsmkv_cluster.resp.changing import delete_all, look, look_at_all
from lsmkv_cluster.resp.commanding import CommandError, Run, Steps, Turn
from lsmkv_cluster.resp.exactness import refuse_unless_exact
from lsmkv_cluster.resp.options import NO_SUCH_KEY, SYNTAX_ERROR, integer, word
from lsmkv_cluster.resp.redis_numbers import parse_integer
from lsmkv_cluster.resp.replies import OK
from lsmkv_cluster.resp.stored_values import Stored, Type
from lsmkv_cluster.resp.verdicts import checked

__all__ = [
    "copy",
    "del_",
    "exists",
    "memory_usage",
    "object_encoding",
    "object_freq",
    "object_idletime",
    "object_refcount",
    "rename",
    "renamenx",
    "type_",
]

EMBEDDED_SIZE_MAX = 44  # bytes: what Redis calls embstr
OVERHEAD = 64  # bytes of a record and its key, about


def del_(turn: Turn, args: list[bytes]) -> Run:
    return (yield from delete_all(turn, args[1:]))


def exists(turn: Turn, args: list[bytes]) -> Run:
    """A key counts as often as it is named. TOUCH is the same: nobody notes the last use."""
    found = yield from look_at_all(turn, args[1:])
    return sum(stored.is_alive for stored in found)


def type_(turn: Turn, args: list[bytes]) -> Run:
    stored = yield from look(turn, args[1])
    return stored.type.value


# --- other names


def copy(turn: Turn, args: list[bytes]) -> Run:
    source, target, replaces = args[1], args[2], False
    options = iter(args[3:])
    for option in options:
        if word(option) == "replace":
            replaces = True
        elif word(option) == "db" and (number := next(options, None)) is not None:
            if integer(number) != 0:
                raise CommandError("ERR DB index is out of range")
        else:
            raise CommandError(SYNTAX_ERROR)
    if source == target:
        raise CommandError("ERR source and destination objects are the same")
    if not replaces:
        refuse_unless_exact(turn, [target], "COPY without REPLACE")
    stored, present = yield from look_at_all(turn, [source, target])
    if not stored.is_alive or (present.is_alive and not replaces):
        return 0
    yield from _put(turn, target, stored)
    return 1


def rename(turn: Turn, args: list[bytes]) -> Run:
    yield from _rename(turn, args[1], args[2])
    return OK


def renamenx(turn: Turn, args: list[bytes]) -> Run:
    refuse_unless_exact(turn, [args[2]], "RENAMENX")
    stored, present = yield from look_at_all(turn, [args[1], args[2]])
    if not stored.is_alive:
        raise CommandError(NO_SUCH_KEY)
    if present.is_alive:
        return 0
    yield from _rename(turn, args[1], args[2])
    return 1


def _rename(turn: Turn, source: bytes, target: bytes) -> Steps[None]:
    """First there are two, then one: what ends in between loses nothing."""
    stored = yield from look(turn, source)
    if not stored.is_alive:
        raise CommandError(NO_SUCH_KEY)
    if source != target:
        yield from _put(turn, target, stored)
        yield from delete_all(turn, [source])


def _put(turn: Turn, key: bytes, stored: Stored) -> Steps[None]:
    if stored.type is not Type.STRING:
        raise CommandError("ERR sets and hashes cannot be copied")
    request = turn.request(Verb.SET, key, (stored.value,), expiry_ms=stored.expiry_ms)
    checked(request, (yield request))


# --- what tools ask


def object_encoding(turn: Turn, args: list[bytes]) -> Run:
    stored = yield from look(turn, args[2])
    if not stored.is_alive:
        return None
    if stored.type is not Type.STRING:
        return b"hashtable"
    if parse_integer(stored.value) is not None:
        return b"int"
    return b"embstr" if len(stored.value) <= EMBEDDED_SIZE_MAX else b"raw"


def object_refcount(turn: Turn, args: list[bytes]) -> Run:
    stored = yield from look(turn, args[2])
    return 1 if stored.is_alive else None


def object_idletime(turn: Turn, args: list[bytes]) -> Run:
    stored = yield from look(turn, args[2])
    return 0 if stored.is_alive else None


def object_freq(turn: Turn, args: list[bytes]) -> Run:
    stored = yield from look(turn, args[2])
    if not stored.is_alive:
        return None
    raise CommandError(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note "
        "that when switching between policies at runtime LRU and LFU data will take some time to "
        "adjust."
    )


def memory_usage(turn: Turn, args: list[bytes]) -> Run:
    if len(args) > 3 and not (len(args) == 5 and word(args[3]) == "samples"):
        raise CommandError(SYNTAX_ERROR)
    stored = yield from look(turn, args[2])
    return len(args[2]) + len(stored.value) + OVERHEAD if stored.is_alive else None
