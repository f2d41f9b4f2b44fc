"""What a key holds, as clients see it, and what commands they send for it.

Arguments are checked here, before anything is sent; bytes come back as they were stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lsmkv import Error
from lsmkv_cluster.client.calling import encode_command
from lsmkv_cluster.resp.commanding import CommandError
from lsmkv_cluster.resp.levels_text import MODES, level_of
from lsmkv_cluster.resp.replies import Reply

__all__ = [
    "NOTHING_SEEN",
    "Data",
    "Item",
    "Level",
    "Resolve",
    "SiblingsError",
    "as_bytes",
    "delete_command",
    "get_command",
    "item_of",
    "plain",
    "put_command",
    "resolved",
]

NOTHING_SEEN: Final = b""  # a context: what is written stays beside whatever is there
STRING: Final = "string"

Data = bytes | bytearray | memoryview
Level = str | int  # "ONE", "QUORUM", "ALL", "LOCAL_QUORUM", "EACH_QUORUM", or a number
Resolve = Callable[[Sequence[bytes]], bytes]  # values that were written at the same time -> one


class SiblingsError(Error):
    """There are several values, and nobody to choose: `item` has them, and their context."""

    def __init__(self, item: Item) -> None:
        super().__init__(
            f"{len(item.values)} values of {item.key!r} were written at the same time: choose by "
            "resolve=, or look at item.values"
        )
        self.item = item


@dataclass(frozen=True, slots=True)
class Item:
    """What was read of a key. Without values it is false.

    `values` are siblings of a string, the newest first; of a set the elements, of a map field,
    value, field, value. `context` stands for all that was seen: give it to `put` or `delete`. Once
    values were resolved, `siblings` are those from which one was made.
    """

    key: bytes
    values: tuple[bytes, ...] = ()
    context: bytes = field(default=b"", repr=False)
    kind: str = "none"  # "string", "counter", "set", "map"
    siblings: tuple[bytes, ...] = field(default=(), compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.values)

    @property
    def value(self) -> bytes | None:
        """The value, None where there is none. SiblingsError if there are several."""
        if len(self.values) > 1:
            raise SiblingsError(self)
        return self.values[0] if self.values else None


def item_of(key: bytes, reply: Reply) -> Item:
    """What KV.GET has replied; ValueError for anything else."""
    match reply:
        case [bytes(context), [*parts], bytes(kind)]:
            values = tuple(part for part in parts if isinstance(part, bytes))
            if len(values) == len(parts):
                return Item(key, values, context, kind.decode("latin-1"))
    raise ValueError(f"not what KV.GET replies: {reply!r:.100}")


def resolved(item: Item, resolve: Resolve | None) -> Item:
    """With one value in the place of siblings. What `resolve` raises comes out."""
    if resolve is None or item.kind != STRING or len(item.values) < 2:
        return item
    value = as_bytes(resolve(item.values), "what resolve() returns")
    return replace(item, values=(value,), siblings=item.values)


def plain(reply: Reply) -> Any:
    """A report, with texts in the place of bytes, as JSON would give it."""
    match reply:
        case bytes():
            return reply.decode("utf-8", "surrogateescape")
        case dict():
            return {plain(name): plain(each) for name, each in reply.items()}
        case list() | tuple():
            return [plain(each) for each in reply]
        case _:
            return reply


# --- commands


def as_bytes(given: Data, what: str) -> bytes:
    if type(given) is bytes:
        return given
    if isinstance(given, str):
        raise TypeError(f"{what} is bytes, not str: encode it")
    try:
        return bytes(memoryview(given))
    except TypeError:
        raise TypeError(f"{what} is bytes, not {type(given).__name__}") from None


def get_command(key: bytes, read: Level | None) -> bytes:
    if read is None:
        return encode_command((b"KV.GET", key))
    return encode_command((b"KV.GET", key, b"R", _level(read)))


def put_command(
    key: bytes,
    value: bytes,
    context: bytes | Item | None,
    write: Level | None,
    mode: str | None,
) -> bytes:
    """Without a context it takes the place of all that is there."""
    args = [b"KV.PUT", key, value]
    args += [b"OVERWRITE"] if context is None else [b"CONTEXT", _context(key, context)]
    return encode_command(args + _levels(write, mode))


def delete_command(
    key: bytes, context: bytes | Item | None, write: Level | None, mode: str | None
) -> bytes:
    args = [b"KV.DEL", key]
    if context is not None:
        args += [b"CONTEXT", _context(key, context)]
    return encode_command(args + _levels(write, mode))


def _context(key: bytes, context: bytes | Item) -> bytes:
    if isinstance(context, Item):
        if context.key != key:
            raise ValueError(f"a context of {context.key!r} says nothing of {key!r}")
        return context.context
    return as_bytes(context, "a context")


def _levels(write: Level | None, mode: str | None) -> list[bytes]:
    args = [] if write is None else [b"W", _level(write)]
    if mode is not None:
        if mode.lower() not in MODES:
            raise ValueError(f"mode={mode!r}: one of {', '.join(MODES)}")
        args.append(mode.upper().encode())
    return args


def _level(level: Level) -> bytes:
    arg = str(level).upper().encode()
    try:
        level_of(arg)
    except CommandError as error:
        raise ValueError(str(error).removeprefix("ERR ")) from None
    return arg
