"""What changes a string in place: counting, appending, writing into it; and reads a part of it."""

from __future__ import annotations

from fractions import Fraction

from lsmkv_cluster.coordination.requests import VALUE_SIZE_MAX, ClientAnswer, Verb
from lsmkv_cluster.placement.keyspaces import Resolution
from lsmkv_cluster.resp.changing import (
    KEEP,
    Decision,
    Write,
    change,
    look,
    seen,
    string_in,
)
from lsmkv_cluster.resp.commanding import CommandError, Run, Turn
from lsmkv_cluster.resp.options import NOT_AN_INTEGER, integer
from lsmkv_cluster.resp.redis_numbers import (
    INTEGER_MAX,
    INTEGER_MIN,
    add_floats,
    is_infinity,
    parse_float,
    parse_integer,
    show_float,
)
from lsmkv_cluster.resp.stored_values import Stored
from lsmkv_cluster.resp.verdicts import checked

__all__ = [
    "append",
    "decr",
    "decrby",
    "getrange",
    "incr",
    "incrby",
    "incrbyfloat",
    "setrange",
]

OVERFLOW = "ERR increment or decrement would overflow"
NOT_A_FLOAT = "ERR value is not a valid float"
INFINITE = "ERR increment would produce NaN or Infinity"
TOO_LARGE = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"


def incr(turn: Turn, args: list[bytes]) -> Run:
    return _add(turn, args[1], 1)


def decr(turn: Turn, args: list[bytes]) -> Run:
    return _add(turn, args[1], -1)


def incrby(turn: Turn, args: list[bytes]) -> Run:
    return _add(turn, args[1], integer(args[2]))


def decrby(turn: Turn, args: list[bytes]) -> Run:
    delta = integer(args[2])
    if delta == INTEGER_MIN:
        raise CommandError("ERR decrement would overflow")
    return _add(turn, args[1], -delta)


def _add(turn: Turn, key: bytes, delta: int) -> Run:
    counts = turn.host.topology.keyspace_of(key).resolution is Resolution.CRDT
    return (
        _merged_add(turn, key, delta)
        if counts or not turn.is_alone
        else _exact_add(turn, key, delta)
    )


def _exact_add(turn: Turn, key: bytes, delta: int) -> Run:
    """Reads and writes, and so loses what is added elsewhere at the same time."""
    total = 0

    def decide(before: Stored) -> Decision:
        nonlocal total
        total = _sum(before, delta)
        return Write(b"%d" % total, before.expiry_ms)

    yield from change(turn, key, decide)
    return total


def _merged_add(turn: Turn, key: bytes, delta: int) -> Run:
    """As a counter, which loses nothing, and never expires: what does is read and written."""
    before = yield from look(turn, key)
    total = _sum(before, delta)
    if before.expiry_ms:
        return (yield from _exact_add(turn, key, delta))
    request = turn.request(Verb.INCREMENT, key, delta=delta)
    answer: ClientAnswer = checked(request, (yield request))
    after = parse_integer(seen(turn, key, answer).value)
    return total if after is None else after


def _sum(before: Stored, delta: int) -> int:
    value = string_in(before)
    number = parse_integer(value) if value is not None else 0
    if number is None:
        raise CommandError(NOT_AN_INTEGER)
    if not INTEGER_MIN <= number + delta <= INTEGER_MAX:
        raise CommandError(OVERFLOW)
    return number + delta


def incrbyfloat(turn: Turn, args: list[bytes]) -> Run:
    total = b""

    def decide(before: Stored) -> Decision:
        nonlocal total
        value = string_in(before)
        number = parse_float(value) if value is not None else Fraction(0)
        delta = parse_float(args[2])
        if number is None or delta is None:
            is_infinite = is_infinity(args[2]) if delta is None else is_infinity(value or b"")
            raise CommandError(INFINITE if is_infinite else NOT_A_FLOAT)
        summed = add_floats(number, delta)
        if summed is None:
            raise CommandError(INFINITE)
        total = show_float(summed)
        return Write(total, before.expiry_ms)

    yield from change(turn, args[1], decide)
    return total


def append(turn: Turn, args: list[bytes]) -> Run:
    size = 0

    def decide(before: Stored) -> Decision:
        nonlocal size
        value = (string_in(before) or b"") + args[2]
        size = _checked_size(len(value))
        return Write(value, before.expiry_ms)

    yield from change(turn, args[1], decide)
    return size


def setrange(turn: Turn, args: list[bytes]) -> Run:
    offset, part = integer(args[2]), args[3]
    if offset < 0:
        raise CommandError("ERR offset is out of range")
    size = 0

    def decide(before: Stored) -> Decision:
        nonlocal size
        value = string_in(before) or b""
        size = len(value)
        if not part:
            return KEEP
        end = _checked_size(offset + len(part))
        size = max(size, end)
        head = value[:offset].ljust(offset, b"\0")
        return Write(head + part + value[end:], before.expiry_ms)

    yield from change(turn, args[1], decide)
    return size


def _checked_size(size: int) -> int:
    if size > VALUE_SIZE_MAX:
        raise CommandError(TOO_LARGE)
    return size


def getrange(turn: Turn, args: list[bytes]) -> Run:
    start, end = integer(args[2]), integer(args[3])
    stored = yield from look(turn, args[1])
    value = string_in(stored) or b""
    if start < 0 and end < 0 and start > end:
        return b""
    size = len(value)
    first = max(start + size, 0) if start < 0 else start
    last = max(end + size, 0) if end < 0 else end
    return value[first : last + 1]
