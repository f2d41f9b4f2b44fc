"""GET, SET and what else reads and writes whole strings, one or several."""

from __future__ import annotations

from collections.abc import Callable

from lsmkv_cluster.coordination.requests import Verb
from lsmkv_cluster.resp.changing import (
    DELETE,
    KEEP,
    Decision,
    Write,
    change,
    look,
    look_at_all,
    string_in,
    write_all,
)
from lsmkv_cluster.resp.commanding import CommandError, Run, Turn, wrong_count
from lsmkv_cluster.resp.exactness import refuse_unless_exact
from lsmkv_cluster.resp.options import SetOptions, expiry_of, set_options
from lsmkv_cluster.resp.replies import OK
from lsmkv_cluster.resp.stored_values import Stored, Type
from lsmkv_cluster.resp.verdicts import checked

__all__ = [
    "get",
    "getdel",
    "getex",
    "getset",
    "mget",
    "mset",
    "msetnx",
    "psetex",
    "set_",
    "setex",
    "setnx",
    "strlen",
]

SET_OPTIONS = frozenset({"nx", "xx", "get", "keepttl", "ex", "px", "exat", "pxat"})
GETEX_OPTIONS = frozenset({"persist", "ex", "px", "exat", "pxat"})


def get(turn: Turn, args: list[bytes]) -> Run:
    stored = yield from look(turn, args[1])
    value = string_in(stored)
    turn.note_lookup(value is not None)
    return value


def mget(turn: Turn, args: list[bytes]) -> Run:
    found = yield from look_at_all(turn, args[1:])
    for stored in found:
        turn.note_lookup(stored.is_alive)
    return [stored.value if stored.type is Type.STRING else None for stored in found]


def strlen(turn: Turn, args: list[bytes]) -> Run:
    stored = yield from look(turn, args[1])
    return len(string_in(stored) or b"")


def set_(turn: Turn, args: list[bytes]) -> Run:
    key, value = args[1], args[2]
    if len(args) == 3:
        return _overwrite(turn, key, value, 0)
    options = set_options(args[3:], SET_OPTIONS)
    expiry_ms = options.expiry_ms(turn.wall_ms, "set")
    if options.condition or options.gets or options.keeps_expiry:
        return _conditional_set(turn, key, Write(value, expiry_ms), options)
    return _overwrite(turn, key, value, expiry_ms)


def _overwrite(turn: Turn, key: bytes, value: bytes, expiry_ms: int) -> Run:
    request = turn.request(Verb.SET, key, (value,), expiry_ms=expiry_ms)
    checked(request, (yield request))
    return OK


def _conditional_set(turn: Turn, key: bytes, write: Write, options: SetOptions) -> Run:
    if options.condition == "nx":
        refuse_unless_exact(turn, [key], "SET with NX")
    met = False

    def decide(before: Stored) -> Decision:
        nonlocal met
        if options.gets:
            string_in(before)
        met = options.condition != ("xx" if not before.is_alive else "nx")
        if not met:
            return KEEP
        return Write(write.value, before.expiry_ms) if options.keeps_expiry else write

    before = yield from change(turn, key, decide)
    if options.gets:
        return string_in(before)
    return OK if met else None


def setnx(turn: Turn, args: list[bytes]) -> Run:
    refuse_unless_exact(turn, [args[1]], "SETNX")
    write = Write(args[2])
    before = yield from change(turn, args[1], lambda before: KEEP if before.is_alive else write)
    return int(not before.is_alive)


def setex(turn: Turn, args: list[bytes]) -> Run:
    expiry_ms = expiry_of(args[2], "ex", turn.wall_ms, "setex")
    return _overwrite(turn, args[1], args[3], expiry_ms)


def psetex(turn: Turn, args: list[bytes]) -> Run:
    expiry_ms = expiry_of(args[2], "px", turn.wall_ms, "psetex")
    return _overwrite(turn, args[1], args[3], expiry_ms)


def getset(turn: Turn, args: list[bytes]) -> Run:
    return _swap(turn, args[1], lambda _: Write(args[2]))


def getdel(turn: Turn, args: list[bytes]) -> Run:
    return _swap(turn, args[1], lambda before: DELETE if before.is_alive else KEEP)


def getex(turn: Turn, args: list[bytes]) -> Run:
    options = set_options(args[2:], GETEX_OPTIONS)
    if options.expiry is None and not options.persists:
        return get(turn, args)

    def decide(before: Stored) -> Decision:
        if not before.is_alive or (options.persists and not before.expiry_ms):
            return KEEP
        expiry_ms = options.expiry_ms(turn.wall_ms, "getex")
        if 0 < expiry_ms <= turn.wall_ms:
            return DELETE
        return Write(before.value, expiry_ms)

    return _swap(turn, args[1], decide)


def _swap(turn: Turn, key: bytes, decide: Callable[[Stored], Decision]) -> Run:
    """The old string, and what becomes of it."""

    def of_string(before: Stored) -> Decision:
        string_in(before)
        return decide(before)

    before = yield from change(turn, key, of_string)
    return string_in(before)


# --- several


def mset(turn: Turn, args: list[bytes]) -> Run:
    yield from write_all(turn, _pairs(args))
    return OK


def msetnx(turn: Turn, args: list[bytes]) -> Run:
    pairs = _pairs(args)
    refuse_unless_exact(turn, list(pairs), "MSETNX")
    found = yield from look_at_all(turn, list(pairs))
    if any(stored.is_alive for stored in found):
        return 0
    yield from write_all(turn, pairs)
    return 1


def _pairs(args: list[bytes]) -> dict[bytes, bytes]:
    """The last value of a key that comes twice."""
    if len(args) % 2 == 0:
        raise CommandError(wrong_count(args[0].decode().lower()))
    return dict(zip(args[1::2], args[2::2], strict=True))
