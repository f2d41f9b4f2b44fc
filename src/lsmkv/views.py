"""Views over a database: typed keys and values, and sub-databases by prefix. Neither stores
anything.

    users = db.prefixed(b"users/").view(key="utf8", value="json")
    users["ada"] = {"born": 1815}          # key b"users/ada"

A Prefixed has the same methods as a database for its keys; both may be nested. They are mappings;
closing the database ends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from lsmkv._native.buffers import key_bytes
from lsmkv._native.scan import prefix_successor
from lsmkv.codecs import Codec, get_codec
from lsmkv.version import KeyRange

if TYPE_CHECKING:
    from lsmkv._native.types import Buffer
    from lsmkv.batch import WriteBatch
    from lsmkv.db import DB

__all__ = ["Prefixed", "View", "MappedScan"]


class MappedScan:
    """A scan whose entries go through a function; itself an iterator and a context manager."""

    def __init__(self, scan: Any, convert: Callable[[Any], Any]) -> None:
        self._scan = scan
        self._convert = convert

    def __iter__(self) -> MappedScan:
        return self

    def __next__(self) -> Any:
        return self._convert(next(self._scan))

    def close(self) -> None:
        """As Scan.close."""
        self._scan.close()

    def __enter__(self) -> MappedScan:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


class Prefixed(MutableMapping[bytes, bytes]):
    """The keys of a database that begin with `prefix`, seen without it."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def __init__(self, base: DB | Prefixed, prefix: bytes) -> None:
        self._base = base
        self.prefix = prefix

    def _full(self, key: Buffer) -> bytes:
        return self.prefix + key_bytes(key)

    def put(self, key: Buffer, value: Buffer, *, sync: bool = False) -> None:
        """As DB.put."""
        self._base.put(self._full(key), value, sync=sync)

    def get(self, key: Buffer, default: Any = None) -> Any:
        """As DB.get."""
        return self._base.get(self._full(key), default)

    def delete(self, key: Buffer, *, sync: bool = False) -> None:
        """As DB.delete."""
        self._base.delete(self._full(key), sync=sync)

    def get_many(self, keys: Iterable[Buffer]) -> list[bytes | None]:
        """As DB.get_many."""
        return self._base.get_many([self._full(key) for key in keys])

    def put_many(
        self,
        pairs: Iterable[tuple[Buffer, Buffer]] | Mapping[bytes, bytes],
        *,
        sync: bool = False,
    ) -> None:
        """As DB.put_many: atomic."""
        if isinstance(pairs, Mapping):
            pairs = pairs.items()
        self._base.put_many(((self._full(key), value) for key, value in pairs), sync=sync)

    def write_batch(self, *, sync: bool = False) -> PrefixedBatch:
        """As DB.write_batch, for keys without the prefix."""
        return PrefixedBatch(self._base.write_batch(sync=sync), self.prefix)

    def scan(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> MappedScan:
        """As DB.scan, within this prefix."""
        if prefix is not None and (start is not None or stop is not None):
            raise ValueError("prefix cannot be combined with start or stop")
        skip = len(self.prefix)
        if start is None and stop is None:
            bounds: dict[str, Any] = {"prefix": self._full(prefix or b"")}
        else:
            bounds = {
                "start": self._full(start or b""),
                "stop": self._full(stop) if stop is not None else prefix_successor(self.prefix),
            }
        scan = self._base.scan(**bounds, reverse=reverse, limit=limit)
        return MappedScan(scan, lambda pair: (pair[0][skip:], pair[1]))

    def items(self, *bounds: Any, **options: Any) -> Any:
        """The same as scan()."""
        return self.scan(*bounds, **options)

    def keys(self, *bounds: Any, **options: Any) -> Any:
        """As DB.keys, within this prefix."""
        return MappedScan(self.scan(*bounds, **options), _first)

    def values(self, *bounds: Any, **options: Any) -> Any:
        """As DB.values, within this prefix."""
        return MappedScan(self.scan(*bounds, **options), _second)

    def prefixed(self, prefix: Buffer) -> Prefixed:
        """A sub-database of this one."""
        return Prefixed(self, key_bytes(prefix))

    def view(self, *, key: str | Codec = "bytes", value: str | Codec = "bytes") -> View:
        """A typed view of this one."""
        return View(self, key=key, value=value)

    def clear(self) -> None:
        """As DB.clear, for the keys with this prefix: one edit, whatever their number."""
        base: DB | Prefixed = self._base
        prefix = self.prefix
        while isinstance(base, Prefixed):
            prefix = base.prefix + prefix
            base = base._base
        base._drop_range(KeyRange(prefix, prefix_successor(prefix)))

    def __getitem__(self, key: Buffer) -> bytes:
        value = self._base.get(self._full(key))
        if value is None:
            raise KeyError(key)
        return bytes(value)

    def __setitem__(self, key: Buffer, value: Buffer) -> None:
        self.put(key, value)

    def __delitem__(self, key: Buffer) -> None:
        del self._base[self._full(key)]

    def __contains__(self, key: object) -> bool:
        return self._full(key) in self._base  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[bytes]:
        iterator: Iterator[bytes] = self.keys()
        return iterator

    def __len__(self) -> int:
        """The exact number of keys: O(n)."""
        return sum(1 for _ in self.keys())

    def __bool__(self) -> bool:
        return any(True for _ in self.scan(limit=1))

    def __repr__(self) -> str:
        return f"<lsmkv.Prefixed {self.prefix!r} of {self._base!r}>"


class PrefixedBatch:
    """A WriteBatch that adds a prefix to every key."""

    def __init__(self, batch: WriteBatch | PrefixedBatch, prefix: bytes) -> None:
        self._batch = batch
        self._prefix = prefix

    def put(self, key: Buffer, value: Buffer) -> None:
        """As WriteBatch.put."""
        self._batch.put(self._prefix + key_bytes(key), value)

    def delete(self, key: Buffer) -> None:
        """As WriteBatch.delete."""
        self._batch.delete(self._prefix + key_bytes(key))

    def __setitem__(self, key: Buffer, value: Buffer) -> None:
        self.put(key, value)

    def __delitem__(self, key: Buffer) -> None:
        self.delete(key)

    def write(self) -> None:
        """As WriteBatch.write."""
        self._batch.write()

    def discard(self) -> None:
        """As WriteBatch.discard."""
        self._batch.discard()

    def __len__(self) -> int:
        return len(self._batch)

    def __enter__(self) -> PrefixedBatch:
        self._batch.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._batch.__exit__(*exception)


class View(MutableMapping[Any, Any]):
    """A mapping of Python objects over a database or Prefixed, through two codecs
    (lsmkv.codecs)."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def __init__(
        self, base: DB | Prefixed, *, key: str | Codec = "bytes", value: str | Codec = "bytes"
    ) -> None:
        self._base = base
        self._key = get_codec(key)
        self._value = get_codec(value)

    def put(self, key: Any, value: Any, *, sync: bool = False) -> None:
        """As DB.put, encoded."""
        self._base.put(self._key.encode(key), self._value.encode(value), sync=sync)

    def get(self, key: Any, default: Any = None) -> Any:
        """As DB.get, decoded."""
        data = self._base.get(self._key.encode(key))
        return default if data is None else self._value.decode(data)

    def delete(self, key: Any, *, sync: bool = False) -> None:
        """As DB.delete."""
        self._base.delete(self._key.encode(key), sync=sync)

    def get_many(self, keys: Iterable[Any]) -> list[Any]:
        """As DB.get_many, decoded; None where a key is missing."""
        found = self._base.get_many([self._key.encode(key) for key in keys])
        return [None if data is None else self._value.decode(data) for data in found]

    def put_many(
        self, pairs: Iterable[tuple[Any, Any]] | Mapping[Any, Any], *, sync: bool = False
    ) -> None:
        """As DB.put_many: atomic."""
        if isinstance(pairs, Mapping):
            pairs = pairs.items()
        self._base.put_many(
            [(self._key.encode(key), self._value.encode(value)) for key, value in pairs], sync=sync
        )

    def scan(
        self,
        start: Any = None,
        stop: Any = None,
        *,
        prefix: Any = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> MappedScan:
        """As DB.scan, decoded. Bounds mean object order only where the key codec is ordered."""
        encode = self._key.encode
        found = self._base.scan(
            None if start is None else encode(start),
            None if stop is None else encode(stop),
            prefix=None if prefix is None else encode(prefix),
            reverse=reverse,
            limit=limit,
        )
        decode_key, decode_value = self._key.decode, self._value.decode
        return MappedScan(found, lambda pair: (decode_key(pair[0]), decode_value(pair[1])))

    def items(self, *bounds: Any, **options: Any) -> Any:
        """The same as scan()."""
        return self.scan(*bounds, **options)

    def keys(self, *bounds: Any, **options: Any) -> Any:
        """As DB.keys, decoded; values are not decoded."""
        raw = View(self._base, key=self._key)
        return MappedScan(raw.scan(*bounds, **options), _first)

    def values(self, *bounds: Any, **options: Any) -> Any:
        """As DB.values, decoded."""
        return MappedScan(self.scan(*bounds, **options), _second)

    def clear(self) -> None:
        """As DB.clear: everything goes, also what these codecs cannot read."""
        self._base.clear()

    def __getitem__(self, key: Any) -> Any:
        data = self._base.get(self._key.encode(key))
        if data is None:
            raise KeyError(key)
        return self._value.decode(data)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: Any) -> None:
        encoded = self._key.encode(key)
        if encoded not in self._base:
            raise KeyError(key)
        self._base.delete(encoded)

    def __contains__(self, key: object) -> bool:
        return self._key.encode(key) in self._base

    def __iter__(self) -> Iterator[Any]:
        iterator: Iterator[Any] = self.keys()
        return iterator

    def __len__(self) -> int:
        """The exact number of keys: O(n)."""
        return len(self._base)

    def __bool__(self) -> bool:
        return bool(self._base)

    def __repr__(self) -> str:
        return f"<lsmkv.View key={self._key.name} value={self._value.name} of {self._base!r}>"


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


def _second(pair: tuple[Any, Any]) -> Any:
    return pair[1]
