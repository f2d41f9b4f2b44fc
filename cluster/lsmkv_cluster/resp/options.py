"""Arguments as Redis takes them: numbers with its errors, and the options of expiry."""

from __future__ import annotations

from dataclasses import dataclass

from lsmkv_cluster.resp.commanding import CommandError
from lsmkv_cluster.resp.redis_numbers import INTEGER_MAX, parse_integer

__all__ = [
    "NOT_AN_INTEGER",
    "NO_SUCH_KEY",
    "SYNTAX_ERROR",
    "SetOptions",
    "expiry_of",
    "integer",
    "set_options",
    "word",
]

SYNTAX_ERROR = "ERR syntax error"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
NO_SUCH_KEY = "ERR no such key"

# Option of expiry: milliseconds of its unit, and whether it counts from now on.
EXPIRIES = {"ex": (1000, True), "px": (1, True), "exat": (1000, False), "pxat": (1, False)}


def word(arg: bytes) -> str:
    """An option, whose case does not matter."""
    return arg.decode("latin-1").lower()


def integer(arg: bytes) -> int:
    number = parse_integer(arg)
    if number is None:
        raise CommandError(NOT_AN_INTEGER)
    return number


def expiry_of(arg: bytes, unit: str, now_ms: int, command: str) -> int:
    """When that is, which lies behind 1970."""
    scale, is_relative = EXPIRIES[unit]
    number = integer(arg)
    if 0 < number <= INTEGER_MAX // scale:
        expiry_ms = number * scale + (now_ms if is_relative else 0)
        if expiry_ms <= INTEGER_MAX:
            return expiry_ms
    raise CommandError(f"ERR invalid expire time in '{command}' command")


@dataclass(slots=True)
class SetOptions:
    """Of SET and GETEX. `expiry` is (unit, number)."""

    condition: str = ""  # nx, xx
    expiry: tuple[str, bytes] | None = None
    keeps_expiry: bool = False
    gets: bool = False
    persists: bool = False

    def expiry_ms(self, now_ms: int, command: str) -> int:
        """0 is never."""
        if self.expiry is None:
            return 0
        unit, number = self.expiry
        return expiry_of(number, unit, now_ms, command)


def set_options(args: list[bytes], allowed: frozenset[str]) -> SetOptions:
    """CommandError for what is not allowed, or not together."""
    options = SetOptions()
    rest = iter(args)
    for arg in rest:
        name = word(arg)
        is_timed = options.expiry is not None or options.keeps_expiry or options.persists
        if name not in allowed:
            raise CommandError(SYNTAX_ERROR)
        if name in ("nx", "xx") and options.condition in ("", name):
            options.condition = name
        elif name == "get":
            options.gets = True
        elif name == "keepttl" and (options.keeps_expiry or not is_timed):
            options.keeps_expiry = True
        elif name == "persist" and (options.persists or not is_timed):
            options.persists = True
        elif name in EXPIRIES and not is_timed and (number := next(rest, None)) is not None:
            options.expiry = (name, number)
        else:
            raise CommandError(SYNTAX_ERROR)
    return options
