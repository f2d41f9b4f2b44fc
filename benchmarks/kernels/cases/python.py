"""Put and get as called from Python, beside a Cython method that does nothing.

The price of the loop itself is in all of them. `get` is measured in a memtable and in blocks that
the cache holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import lsmkv
from benchmarks.kernels.case import Case, PythonWork, Scale
from benchmarks.kernels.inputs import VALUE, permuted

if TYPE_CHECKING:
    from benchmarks.kernels.native import Native

__all__ = ["EMPTY_ONE", "cases"]

BUFFER_SIZE = 256 << 20  # nothing is flushed meanwhile
OPERATIONS = 20_000
EMPTY_ONE, EMPTY_TWO = "empty Cython method, 1 argument", "empty Cython method, 2 arguments"


def cases(scale: Scale) -> list[Case]:
    count = scale.entries_few
    return [_put(count), _get(count, flushed=False), _get(count, flushed=True), *_empty(count)]


def _keys(count: int) -> list[bytes]:
    return list(permuted("decimal", count, 1))


def _open(native: Native, name: str, count: int) -> lsmkv.DB:
    db = lsmkv.open(native.directory / name, write_buffer_size=BUFFER_SIZE)
    for key in _keys(count):
        db.put(key, VALUE)
    return db


def _close(db: lsmkv.DB) -> None:
    path = db.path
    db.close()
    lsmkv.destroy(path)


def _put(count: int) -> Case:
    def create(native: Native) -> PythonWork:
        db = _open(native, "put", 0)
        put, get = db.put, db.get

        def loop(keys: Sequence[bytes]) -> None:
            for key in keys:
                put(key, VALUE)

        def verify(keys: Sequence[bytes]) -> int:
            return sum(get(key) == VALUE for key in keys)

        return PythonWork(_keys(count), loop, verify, lambda: _close(db))

    return Case("python", "put, from Python", OPERATIONS, create, _itself, (EMPTY_TWO,))


def _get(count: int, *, flushed: bool) -> Case:
    def create(native: Native) -> PythonWork:
        db = _open(native, "get", count)
        if flushed:
            db.flush()
        get = db.get

        def loop(keys: Sequence[bytes]) -> None:
            for key in keys:
                get(key)

        def verify(keys: Sequence[bytes]) -> int:
            return sum(get(key) == VALUE for key in keys)

        return PythonWork(_keys(count), loop, verify, lambda: _close(db))

    place = "block cache" if flushed else "memtable"
    return Case("python", f"get, from Python, {place}", OPERATIONS, create, _itself, (EMPTY_ONE,))


def _empty(count: int) -> list[Case]:
    def create_one(native: Native) -> PythonWork:
        take_one = native.empty_methods().take_one

        def loop(keys: Sequence[bytes]) -> None:
            for key in keys:
                take_one(key)

        return PythonWork(_keys(count), loop, lambda keys: sum(take_one(k) is None for k in keys))

    def create_two(native: Native) -> PythonWork:
        take_two = native.empty_methods().take_two

        def loop(keys: Sequence[bytes]) -> None:
            for key in keys:
                take_two(key, VALUE)

        return PythonWork(
            _keys(count), loop, lambda keys: sum(take_two(k, VALUE) is None for k in keys)
        )

    return [
        Case("floor", EMPTY_ONE, OPERATIONS, create_one, _itself),
        Case("floor", EMPTY_TWO, OPERATIONS, create_two, _itself),
    ]


def _itself(operations: int) -> int:
    return operations
