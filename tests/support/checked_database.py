"""A database and a dict side by side: every operation is done on both, every answer compared.

Shared by the state machine and the long run of test_model.py, which only choose what to do next.
Snapshots and iterators are kept with a copy of the dict from the moment they were made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

import lsmkv
from lsmkv import kernel
from lsmkv._native.scan import Scan
from lsmkv._native.vfs import FileSystem

Pair = tuple[bytes, bytes]


@dataclass(frozen=True)
class Range:
    """Arguments of a scan. `prefix` excludes `start` and `stop`."""

    start: bytes | None = None
    stop: bytes | None = None
    prefix: bytes | None = None
    reverse: bool = False
    limit: int | None = None

    def select(self, model: dict[bytes, bytes]) -> list[Pair]:
        """What a scan over `model` has to show, in its order, without the limit."""
        pairs = [
            (key, value)
            for key, value in sorted(model.items())
            if (self.start is None or key >= self.start)
            and (self.stop is None or key < self.stop)
            and (self.prefix is None or key.startswith(self.prefix))
        ]
        return pairs[::-1] if self.reverse else pairs

    def keywords(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "stop": self.stop,
            "prefix": self.prefix,
            "reverse": self.reverse,
            "limit": self.limit,
        }


class OpenScan:
    """An iterator of the database and where it has to stand."""

    def __init__(self, scan: Scan, chosen: Range, model: dict[bytes, bytes]) -> None:
        self.scan = scan
        self._chosen = chosen
        self._pairs = chosen.select(model)
        self._position = 0
        self._left = len(self._pairs) if chosen.limit is None else chosen.limit
        self._has_limit = chosen.limit is not None
        self._ended = False

    def step(self, count: int) -> None:
        """Take up to `count` entries."""
        for _ in range(count):
            at_end = self._position >= len(self._pairs) or (self._has_limit and self._left == 0)
            if self._ended or at_end:
                assert next(self.scan, None) is None
                self._ended = True
                return
            assert next(self.scan) == self._pairs[self._position]
            self._position += 1
            self._left -= 1

    def seek(self, key: bytes) -> None:
        """Go on at `key`; an ended iterator refuses."""
        if self._ended:
            with pytest.raises(lsmkv.ClosedError):
                self.scan.seek(key)
            return
        self.scan.seek(key)
        reverse = self._chosen.reverse
        passed = [pair for pair in self._pairs if (pair[0] > key if reverse else pair[0] < key)]
        self._position = len(passed)

    def drain(self) -> None:
        """Run to the end and see that it stays there."""
        self.step(len(self._pairs) + 1)
        self.step(1)


class CheckedDatabase:
    """The pair. `keys` and `values` of all methods are bytes."""

    def __init__(self, path: str, filesystem: FileSystem | None = None, **options: Any) -> None:
        self.path = path
        self.filesystem = filesystem
        self.options = options
        self.model: dict[bytes, bytes] = {}
        self.snapshots: list[tuple[lsmkv.Snapshot, dict[bytes, bytes]]] = []
        self.scans: list[OpenScan] = []
        self.db = self._open()

    def _open(self, **more: Any) -> lsmkv.DB:
        options = {**self.options, **more}
        return lsmkv.open(self.path, filesystem=self.filesystem, **options)

    # --- writing ---------------------------------------------------------------------------------

    def put(self, key: bytes, value: bytes, *, sync: bool = False) -> None:
        self.db.put(key, value, sync=sync)
        self.model[key] = value

    def delete(self, key: bytes) -> None:
        self.db.delete(key)
        self.model.pop(key, None)

    def put_many(self, pairs: Sequence[Pair]) -> None:
        self.db.put_many(pairs)
        self.model.update(pairs)

    def batch(self, operations: Sequence[tuple[bytes, bytes | None]], *, fails: bool) -> None:
        """A value of None deletes. `fails`: the block raises after the last operation."""
        try:
            with self.db.write_batch() as batch:
                for key, value in operations:
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
                assert len(batch) == len(operations)
                if fails:
                    raise LookupError
        except LookupError:
            return
        for key, value in operations:
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value

    def merge(self, records: Sequence[Pair]) -> None:
        """Append operands; an operand b"" deletes, one that the value ends with changes nothing."""
        before = kernel.merge_batch(self.db, records, appended)
        expected = []
        for key, operand in records:
            old = self.model.get(key)
            expected.append(old)
            new = appended(key, old, operand)
            if new is None:
                self.model.pop(key, None)
            else:
                self.model[key] = new
        assert before == expected

    def drop_range(self, start: bytes | None, stop: bytes | None) -> None:
        kernel.drop_range(self.db, start, stop)
        for key, _ in Range(start, stop).select(self.model):
            del self.model[key]

    def clear(self) -> None:
        self.db.clear()
        self.model.clear()

    # --- reading ---------------------------------------------------------------------------------

    def get(self, key: bytes) -> None:
        assert self.db.get(key) == self.model.get(key)
        assert (key in self.db) == (key in self.model)

    def get_many(self, keys: Sequence[bytes]) -> None:
        assert self.db.get_many(keys) == [self.model.get(key) for key in keys]

    def scan(self, chosen: Range) -> None:
        pairs = chosen.select(self.model)[: chosen.limit]
        keywords = chosen.keywords()
        assert list(self.db.scan(**keywords)) == pairs
        assert list(self.db.keys(**keywords)) == [key for key, _ in pairs]
        assert list(self.db.values(**keywords)) == [value for _, value in pairs]
        assert self.db.keys(**keywords).count() == len(pairs)

    def prefixed(self, prefix: bytes, key: bytes, value: bytes) -> None:
        """Write and read through a sub-database."""
        part = self.db.prefixed(prefix)
        part[key] = value
        self.model[prefix + key] = value
        inside = Range(prefix=prefix).select(self.model)
        assert list(part.items()) == [(full[len(prefix) :], data) for full, data in inside]
        assert list(part.scan(key, reverse=True)) == [
            (full[len(prefix) :], data) for full, data in inside[::-1] if full[len(prefix) :] >= key
        ]

    def check(self) -> None:
        """Everything at once: contents both ways, length, truth, snapshots, iterators."""
        pairs = sorted(self.model.items())
        assert list(self.db.items()) == pairs
        assert list(self.db.items(reverse=True)) == pairs[::-1]
        assert len(self.db) == len(pairs)
        assert bool(self.db) == bool(pairs)
        for index in range(len(self.snapshots)):
            self.check_snapshot(index, Range())
        for scan in self.scans:
            scan.drain()
        self.scans.clear()

    # --- frozen moments --------------------------------------------------------------------------

    def open_snapshot(self) -> None:
        self.snapshots.append((self.db.snapshot(), dict(self.model)))

    def check_snapshot(self, index: int, chosen: Range, keys: Sequence[bytes] = ()) -> None:
        snapshot, model = self.snapshots[index]
        pairs = chosen.select(model)[: chosen.limit]
        assert list(snapshot.scan(**chosen.keywords())) == pairs
        assert snapshot.get_many(keys) == [model.get(key) for key in keys]
        for key in keys:
            assert snapshot.get(key) == model.get(key)

    def close_snapshot(self, index: int) -> None:
        self.snapshots.pop(index)[0].close()

    def open_scan(self, chosen: Range, snapshot: int | None = None) -> None:
        """An iterator over the database, or over a snapshot that may be closed before it."""
        source, model = (self.db, self.model) if snapshot is None else self.snapshots[snapshot]
        self.scans.append(OpenScan(source.scan(**chosen.keywords()), chosen, model))

    # --- upkeep ----------------------------------------------------------------------------------

    def reopen(self, **options: Any) -> None:
        """Close and open again, perhaps with other options; what was open before is closed."""
        snapshots, scans = self.forget()
        self.db.close()
        for snapshot in snapshots:
            with pytest.raises(lsmkv.ClosedError):
                snapshot.get(b"")
        for scan in scans:
            with pytest.raises(lsmkv.ClosedError):
                next(scan)
        self.options.update(options)
        self.db = self._open()

    def reopen_read_only(self) -> None:
        """Close, look at it read-only, and open it for writing again."""
        self.forget()
        self.db.close()
        with self._open(read_only=True) as reader:
            assert list(reader.scan()) == sorted(self.model.items())
            for write in (lambda: reader.put(b"", b""), reader.write_batch, reader.flush):
                with pytest.raises(lsmkv.ReadOnlyError):
                    write()
        self.db = self._open()

    def replace_files(self, copy: Callable[[], FileSystem]) -> None:
        """Go on with a copy of the files as they are now, as after a kill of the process."""
        self.forget()
        copied = copy()
        self.db.close()
        self.filesystem = copied
        self.db = self._open()

    def forget(self) -> tuple[list[lsmkv.Snapshot], list[Scan]]:
        """Stop following snapshots and iterators, which stay open."""
        snapshots = [snapshot for snapshot, _ in self.snapshots]
        scans = [scan.scan for scan in self.scans]
        self.snapshots, self.scans = [], []
        return snapshots, scans

    def close(self) -> None:
        """The last check of all, also of the files."""
        try:
            self.check()
            assert self.db.verify()
        finally:
            self.forget()
            self.db.close()


def appended(_key: bytes, old: bytes | None, operand: bytes) -> bytes | None:
    """The merge function of `CheckedDatabase.merge`."""
    if not operand:
        return None
    if old is not None and old.endswith(operand):
        return old
    return (old or b"") + operand
