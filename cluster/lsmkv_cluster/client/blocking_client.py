"""The client of a cluster without asyncio: AsyncClient on an event loop in a thread of its own.

One implementation decides what is sent where and what may be sent again, and calls of many threads
share connections and leave together in one write. A call costs two changes of threads more than
plain sockets would, some tens of microseconds beside a round trip.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self, TypeVar

from lsmkv import ClosedError, ForkError
from lsmkv_cluster.client.async_client import AsyncClient
from lsmkv_cluster.client.items import Data, Item, Level, Resolve
from lsmkv_cluster.client.loop_thread import LoopThread
from lsmkv_cluster.resp.replies import Reply

__all__ = ["Client"]

_T = TypeVar("_T")


class Client:
    """A client for any number of threads. Arguments, calls and what they raise are those of
    AsyncClient; ForkError in a child that was forked: make a client there."""

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
        self._client = AsyncClient(
            nodes, user=user, password=password, tls=tls, dc=dc, timeout_s=timeout_s,
            connections_per_node=connections_per_node, resolve=resolve, read=read, write=write,
            mode=mode,
        )  # fmt: skip
        self._pid = os.getpid()
        self._thread = LoopThread("lsmkv-client")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Writes under way are Unknown then. Again is nothing."""
        if os.getpid() == self._pid:
            with suppress(ClosedError):
                self._thread.run(self._client.close())
            self._thread.stop()

    def _wait(self, call: Coroutine[Any, Any, _T]) -> _T:
        if os.getpid() != self._pid:
            call.close()
            raise ForkError("this client belongs to the process that was forked")
        return self._thread.run(call)

    # --- one key

    def get(self, key: Data, *, read: Level | None = None, resolve: Resolve | None = None) -> Item:
        """What the key holds, one value made of siblings by `resolve`. AsyncClient.get."""
        return self._wait(self._client.get(key, read=read, resolve=resolve))

    def put(
        self,
        key: Data,
        value: Data,
        *,
        context: bytes | Item | None = None,
        write: Level | None = None,
        mode: str | None = None,
    ) -> bytes:
        """Store in the place of what the context has seen, without one of all that is there; the
        new context. AsyncClient.put."""
        return self._wait(self._client.put(key, value, context=context, write=write, mode=mode))

    def delete(
        self,
        key: Data,
        *,
        context: bytes | Item | None = None,
        write: Level | None = None,
        mode: str | None = None,
    ) -> bytes:
        """Remove what the context has seen, without one all that is there. AsyncClient.delete."""
        return self._wait(self._client.delete(key, context=context, write=write, mode=mode))

    def update(
        self,
        key: Data,
        change: Callable[[bytes | None], Data],
        *,
        read: Level | None = None,
        write: Level | None = None,
        mode: str | None = None,
        resolve: Resolve | None = None,
    ) -> Item:
        """Store what `change` makes of the value, in its place. It is called in the client's
        thread. AsyncClient.update."""
        return self._wait(
            self._client.update(key, change, read=read, write=write, mode=mode, resolve=resolve)
        )

    # --- many

    def get_many(
        self, keys: Iterable[Data], *, read: Level | None = None, resolve: Resolve | None = None
    ) -> list[Item]:
        """An item for each key, in their order. AsyncClient.get_many."""
        return self._wait(self._client.get_many(list(keys), read=read, resolve=resolve))

    def put_many(
        self,
        pairs: Mapping[bytes, Data] | Iterable[tuple[bytes, Data]],
        *,
        write: Level | None = None,
        mode: str | None = None,
    ) -> list[bytes]:
        """Store each by itself. AsyncClient.put_many says how that can fail."""
        items = list(pairs.items() if isinstance(pairs, Mapping) else pairs)
        return self._wait(self._client.put_many(items, write=write, mode=mode))

    def scan(self, match: Data | None = None) -> Iterator[bytes]:
        """All keys, in no order to count on. AsyncClient.scan."""
        cursor = b"0"
        while True:
            cursor, keys = self._wait(self._client.scan_page(cursor, match))
            yield from keys
            if cursor == b"0":
                return

    # --- anything else

    def execute(self, *args: Data, key: Data | None = None, at: str | None = None) -> Reply:
        """Any command. AsyncClient.execute."""
        return self._wait(self._client.execute(*args, key=key, at=at))

    def explain(self, key: Data) -> Any:
        """What each owner of a key has. AsyncClient.explain."""
        return self._wait(self._client.explain(key))
