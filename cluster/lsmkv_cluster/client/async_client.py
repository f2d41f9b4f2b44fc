"""The client of a cluster for asyncio: keys, contexts, levels, and three outcomes.

    async with AsyncClient("127.0.0.1:7379") as client:
        await client.put(b"k", b"v")
        item = await client.get(b"k")
        await client.put(b"k", b"w", context=item)

Calls go straight to a node that has a copy of the key. Calls that are under way at once share a few
connections: start many, and wait for them together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self, TypeVar

from lsmkv_cluster.client.calling import Login, encode_command
from lsmkv_cluster.client.dispatching import ClientSettings, Dispatcher
from lsmkv_cluster.client.items import (
    Data,
    Item,
    Level,
    Resolve,
    as_bytes,
    delete_command,
    get_command,
    item_of,
    plain,
    put_command,
    resolved,
)
from lsmkv_cluster.client.outcomes import of_many
from lsmkv_cluster.config.endpoints import parse_endpoint
from lsmkv_cluster.config.tls import client_context
from lsmkv_cluster.resp.replies import Reply

__all__ = ["AsyncClient", "client_settings"]

MANY = 128  # of the keys of one call, at once: nodes refuse more than they can do
SCAN_COUNT = 500  # keys of one page, about

_T = TypeVar("_T")


def client_settings(
    nodes: str | Sequence[str],
    *,
    user: str = "default",
    password: str | bytes | None = None,
    tls: SSLContext | str | Path | None = None,
    dc: str = "",
    timeout_s: float = 7.0,
    connections_per_node: int = 2,
) -> ClientSettings:
    """ValueError for what makes no sense; ConfigError or OSError for the file of an authority."""
    given = (nodes,) if isinstance(nodes, str) else tuple(nodes)
    if not given or timeout_s <= 0 or connections_per_node < 1:
        raise ValueError("a client needs a node, some time and a connection")
    if tls is not None and not isinstance(tls, SSLContext):
        tls = client_context(Path(tls))
    secret = password.encode() if isinstance(password, str) else password
    login = Login(user, secret) if secret is not None else None
    endpoints = tuple(parse_endpoint(node) for node in given)
    return ClientSettings(endpoints, timeout_s, connections_per_node, dc, tls, login)


class AsyncClient:
    """A client for asyncio; `Client` is the same without.

    `nodes` are some of the cluster, HOST:PORT each; the others are found by them. `tls` is a file
    with the certificate of the cluster's authority, or a context. `dc` is the data centre whose
    nodes are asked first. A call takes about `timeout_s` at most; nodes give
    up after 2 s unless they are told otherwise. `resolve` makes one value of those that
    were written at the same time. `read`, `write` and `mode` are the levels ("ONE", "QUORUM",
    "ALL", "LOCAL_QUORUM", "EACH_QUORUM" or a number; "strict" or "sloppy") of calls that name none;
    without, those of the keyspace hold.

    Every call that reads or writes raises

    - Refused: nothing was written, or read;
    - Unknown: the write may exist, now or later;
    - ClosedError after `close`; TypeError and ValueError for arguments that cannot be.
    """

    def __init__(
        self,
        nodes: str | Sequence[str] = "127.0.0.1:7379",
        *,
        user: str = "default",
        password: str | bytes | None = None,
        tls: SSLContext | str | Path | None = None,
        dc: str = "",
        timeout_s: float = 7.0,
        connections_per_node: int = 2,
        resolve: Resolve | None = None,
        read: Level | None = None,
        write: Level | None = None,
        mode: str | None = None,
    ) -> None:
        self._settings = client_settings(
            nodes, user=user, password=password, tls=tls, dc=dc, timeout_s=timeout_s,
            connections_per_node=connections_per_node,
        )  # fmt: skip
        self._resolve = resolve
        self._read = read
        self._write = write
        self._mode = mode
        self._made: Dispatcher | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Writes under way are Unknown then. Again is nothing."""
        await self._dispatcher.close()

    @property
    def _dispatcher(self) -> Dispatcher:
        """Made inside of the loop that it belongs to."""
        if self._made is None:
            self._made = Dispatcher(self._settings)
        return self._made

    # --- one key

    async def get(
        self, key: Data, *, read: Level | None = None, resolve: Resolve | None = None
    ) -> Item:
        """What the key holds. `resolve` is called if several values were written at the same time;
        nothing is written back: give the item to `put` as its context for that."""
        key = as_bytes(key, "a key")
        command = get_command(key, read if read is not None else self._read)
        reply = await self._dispatcher.perform(command, key, is_write=False)
        return resolved(item_of(key, reply), resolve or self._resolve)

    async def put(
        self,
        key: Data,
        value: Data,
        *,
        context: bytes | Item | None = None,
        write: Level | None = None,
        mode: str | None = None,
    ) -> bytes:
        """Store, and get the new context. `context` is what was read of the key: the value takes
        the place of that, and stays beside what was written meanwhile. Without one it takes the
        place of all that is there; with NOTHING_SEEN of nothing."""
        key = as_bytes(key, "a key")
        command = put_command(key, as_bytes(value, "a value"), context, *self._levels(write, mode))
        return _context(await self._dispatcher.perform(command, key, is_write=True))

    async def delete(
        self,
        key: Data,
        *,
        context: bytes | Item | None = None,
        write: Level | None = None,
        mode: str | None = None,
    ) -> bytes:
        """Remove what the context has seen, without one all that is there. A key that does not
        exist is no error. The new context."""
        key = as_bytes(key, "a key")
        command = delete_command(key, context, *self._levels(write, mode))
        return _context(await self._dispatcher.perform(command, key, is_write=True))

    async def update(
        self,
        key: Data,
        change: Callable[[bytes | None], Data],
        *,
        read: Level | None = None,
        write: Level | None = None,
        mode: str | None = None,
        resolve: Resolve | None = None,
    ) -> Item:
        """Store what `change` makes of the value (None: there is none), in its place. What others
        write meanwhile stays beside it: nothing is lost, and the next read resolves."""
        item = await self.get(key, read=read, resolve=resolve)
        value = as_bytes(change(item.value), "what change() returns")
        context = await self.put(item.key, value, context=item, write=write, mode=mode)
        return Item(item.key, (value,), context, "string")

    def _levels(self, write: Level | None, mode: str | None) -> tuple[Level | None, str | None]:
        return (
            write if write is not None else self._write,
            mode if mode is not None else self._mode,
        )

    # --- many

    async def get_many(
        self,
        keys: Iterable[Data],
        *,
        read: Level | None = None,
        resolve: Resolve | None = None,
    ) -> list[Item]:
        """An item for each key, in their order, each read by itself."""
        found: list[Item] = []
        for part in _parts([as_bytes(key, "a key") for key in keys]):
            calls = [self.get(key, read=read, resolve=resolve) for key in part]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            found += [_checked(answer) for answer in answers]
        return found

    async def put_many(
        self,
        pairs: Mapping[bytes, Data] | Iterable[tuple[bytes, Data]],
        *,
        write: Level | None = None,
        mode: str | None = None,
    ) -> list[bytes]:
        """Store each by itself, in the place of all that is there; the contexts. If one fails the
        others are tried all the same: Refused if nothing at all was written, else Unknown, and
        `failures` names the keys."""
        items = list(pairs.items() if isinstance(pairs, Mapping) else pairs)
        contexts: list[bytes] = []
        failures: dict[bytes, Exception] = {}
        for part in _parts(items):
            calls: list[Awaitable[bytes]] = [
                self.put(key, value, write=write, mode=mode) for key, value in part
            ]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            for (key, _), answer in zip(part, answers, strict=True):
                if isinstance(answer, Exception):
                    failures[bytes(key)] = answer
                else:
                    contexts.append(_checked(answer))
        if failures:
            raise of_many(failures, len(contexts))
        return contexts

    async def scan(self, match: Data | None = None) -> AsyncIterator[bytes]:
        """All keys, in no order to count on; `match` is a pattern as of KEYS in Redis. A key that
        stays while the scan runs comes at least once."""
        cursor = b"0"
        while True:
            cursor, keys = await self.scan_page(cursor, match)
            for key in keys:
                yield key
            if cursor == b"0":
                return

    async def scan_page(
        self, cursor: bytes, match: Data | None = None
    ) -> tuple[bytes, list[bytes]]:
        """Some keys, and where to go on: b"0" is the beginning, and the end."""
        args = [b"SCAN", cursor, b"COUNT", b"%d" % SCAN_COUNT]
        if match is not None:
            args += [b"MATCH", as_bytes(match, "a pattern")]
        reply = await self._dispatcher.perform(encode_command(args), None, is_write=False)
        match reply:
            case [bytes(there), [*keys]]:
                return there, [key for key in keys if isinstance(key, bytes)]
        raise ValueError(f"not what SCAN replies: {reply!r:.100}")

    # --- anything else

    async def execute(self, *args: Data, key: Data | None = None, at: str | None = None) -> Reply:
        """Any command. `key`: whose owners are asked; `at`: the node that is asked, and no other.
        It is taken for a write: never sent twice."""
        command = encode_command([as_bytes(arg, "an argument") for arg in args])
        if at is not None:
            return await self._dispatcher.ask_at(parse_endpoint(at), command)
        owner_of = as_bytes(key, "a key") if key is not None else None
        return await self._dispatcher.perform(command, owner_of, is_write=True)

    async def explain(self, key: Data) -> Any:
        """What each owner of a key has, and how it would be read, as KV.EXPLAIN tells it."""
        key = as_bytes(key, "a key")
        command = encode_command((b"KV.EXPLAIN", key))
        return plain(await self._dispatcher.perform(command, key, is_write=False))


def _context(reply: Reply) -> bytes:
    if isinstance(reply, bytes):
        return reply
    raise ValueError(f"not a context: {reply!r:.100}")


def _checked(answer: _T | BaseException) -> _T:
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _parts(items: list[_T]) -> list[list[_T]]:
    return [items[start : start + MANY] for start in range(0, len(items), MANY)]
