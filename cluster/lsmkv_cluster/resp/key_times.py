"""When keys expire: EXPIRE and its kin, TTL and its kin, PERSIST."""

from __future__ import annotations

from lsmkv_cluster.resp.changing import DELETE, KEEP, Decision, Write, change, look
from lsmkv_cluster.resp.commanding import CommandError, Run, Turn
from lsmkv_cluster.resp.options import integer, word
from lsmkv_cluster.resp.redis_numbers import INTEGER_MAX
from lsmkv_cluster.resp.stored_values import Stored, Type

__all__ = [
    "expire",
    "expireat",
    "expiretime",
    "persist",
    "pexpire",
    "pexpireat",
    "pexpiretime",
    "pttl",
    "ttl",
]

FLAGS = frozenset({"nx", "xx", "gt", "lt"})
NO_KEY = -2
NO_EXPIRY = -1


def expire(turn: Turn, args: list[bytes]) -> Run:
    return _expire(turn, args, 1000, turn.wall_ms)


def pexpire(turn: Turn, args: list[bytes]) -> Run:
    return _expire(turn, args, 1, turn.wall_ms)


def expireat(turn: Turn, args: list[bytes]) -> Run:
    return _expire(turn, args, 1000, 0)


def pexpireat(turn: Turn, args: list[bytes]) -> Run:
    return _expire(turn, args, 1, 0)


def _expire(turn: Turn, args: list[bytes], scale: int, base_ms: int) -> Run:
    flags = _flags(args[3:])
    number = integer(args[2])
    if abs(number) > INTEGER_MAX // scale or number * scale > INTEGER_MAX - base_ms:
        name = args[0].decode().lower()
        raise CommandError(f"ERR invalid expire time in '{name}' command")
    expiry_ms = number * scale + base_ms
    is_done = False

    def decide(before: Stored) -> Decision:
        nonlocal is_done
        is_done = before.is_alive and _allows(flags, before.expiry_ms, expiry_ms)
        if not is_done:
            return KEEP
        if expiry_ms <= turn.wall_ms:
            return DELETE
        return Write(_plain(before), expiry_ms)

    yield from change(turn, args[1], decide)
    return int(is_done)


def _plain(stored: Stored) -> bytes:
    """Sets and hashes would expire by their parts: written anew with a time, they would take the
    place of what others write meanwhile."""
    if stored.type is not Type.STRING:
        raise CommandError("ERR sets and hashes do not expire")
    return stored.value


def _flags(args: list[bytes]) -> set[str]:
    flags: set[str] = set()
    for arg in args:
        if word(arg) not in FLAGS:
            raise CommandError(f"ERR Unsupported option {arg.decode('latin-1')}")
        flags.add(word(arg))
    if "nx" in flags and len(flags) > 1:
        raise CommandError("ERR NX and XX, GT or LT options at the same time are not compatible")
    if {"gt", "lt"} <= flags:
        raise CommandError("ERR GT and LT options at the same time are not compatible")
    return flags


def _allows(flags: set[str], before_ms: int, after_ms: int) -> bool:
    """0 is never, which is later than any time."""
    if "nx" in flags:
        return not before_ms
    if "xx" in flags and not before_ms:
        return False
    if "gt" in flags:
        return 0 < before_ms < after_ms
    return "lt" not in flags or not before_ms or after_ms < before_ms


def persist(turn: Turn, args: list[bytes]) -> Run:
    def decide(before: Stored) -> Decision:
        return Write(_plain(before)) if before.expiry_ms else KEEP

    before = yield from change(turn, args[1], decide)
    return int(before.expiry_ms > 0)


def ttl(turn: Turn, args: list[bytes]) -> Run:
    left_ms = yield from pttl(turn, args)
    assert isinstance(left_ms, int)
    return (left_ms + 500) // 1000 if left_ms >= 0 else left_ms


def pttl(turn: Turn, args: list[bytes]) -> Run:
    expiry_ms = yield from pexpiretime(turn, args)
    assert isinstance(expiry_ms, int)
    return max(expiry_ms - turn.wall_ms, 0) if expiry_ms >= 0 else expiry_ms


def expiretime(turn: Turn, args: list[bytes]) -> Run:
    expiry_ms = yield from pexpiretime(turn, args)
    assert isinstance(expiry_ms, int)
    return (expiry_ms + 500) // 1000 if expiry_ms >= 0 else expiry_ms


def pexpiretime(turn: Turn, args: list[bytes]) -> Run:
    stored = yield from look(turn, args[1])
    if not stored.is_alive:
        return NO_KEY
    return stored.expiry_ms or NO_EXPIRY
