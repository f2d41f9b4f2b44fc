"""The current version, its native twin, and the life of table files.

    Version (version.py)  ->  open tables  ->  native Version  ->  ReadState of the store

Everything that belongs to one version is one immutable Picture. `prepare` does all that can fail,
before the manifest says that the version is the current one; making it current then is one
assignment to `picture`.

A table file may be deleted when no version that anybody can still read names it: when it left the
current version and the last reader (iterator, snapshot state, running job) has let go of its Table
object. `collect` finds those. Not locked: the database's state lock is held around every call.
"""

from __future__ import annotations

import errno
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lsmkv import filenames
from lsmkv._native.slices import TableSlice
from lsmkv._native.table import Table, TableSpace
from lsmkv._native.version import Version as NativeVersion
from lsmkv.errors import CorruptionError, StorageError
from lsmkv.version import TableMeta, Version

__all__ = ["Tree", "Picture"]


@dataclass(frozen=True)
class Picture:
    """A version with its tables open."""

    version: Version
    native: NativeVersion
    tables: dict[int, Table]  # by file number


EMPTY = Picture(Version(), NativeVersion(()), {})


class Tree:
    """Keeps every table of the current version open."""

    def __init__(self, directory: str, space: TableSpace, version: Version) -> None:
        self._directory = directory
        self._space = space
        self.picture = EMPTY
        self._retired: dict[int, weakref.ref[Table]] = {}
        self.picture = self.prepare(version)

    @property
    def version(self) -> Version:
        """The current version."""
        return self.picture.version

    @property
    def native(self) -> NativeVersion:
        """The same for native readers."""
        return self.picture.native

    def prepare(self, version: Version) -> Picture:
        """Open what is new in `version`, which does not become current yet."""
        known = self.picture.tables
        tables = {meta.number: known.get(meta.number) or self._open(meta) for meta in version}
        native = NativeVersion(
            [
                (level, [_slice(tables[meta.number], meta) for meta in run])
                for level, run in version.runs()
            ]
        )
        return Picture(version, native, tables)

    def retire(self, before: Picture) -> None:
        """Watch the tables that `before` had and the current version has not: see collect."""
        for number, table in before.tables.items():
            if number not in self.picture.tables:
                self._retired[number] = weakref.ref(table)

    def slices(self, metas: Iterable[TableMeta]) -> list[TableSlice]:
        """The native form of tables of the current version, for a job."""
        return [_slice(self.picture.tables[meta.number], meta) for meta in metas]

    def tables(self) -> Sequence[Table]:
        return list(self.picture.tables.values())

    def collect(self) -> list[int]:
        """The numbers of retired tables that nobody reads any more; each is reported once."""
        dead = [number for number, reference in self._retired.items() if reference() is None]
        for number in dead:
            del self._retired[number]
        return dead

    def memory_usage(self) -> int:
        """Bytes of index and filter blocks held by the open tables."""
        return sum(table.memory_usage for table in self.picture.tables.values())

    def clear(self) -> None:
        """Let go of every table."""
        self.picture = EMPTY

    def _open(self, meta: TableMeta) -> Table:
        path = filenames.table_path(self._directory, meta.number)
        try:
            return self._space.open(
                path,
                meta.number,
                id=meta.id,
                file_size=meta.file_size,
                tail_size=meta.tail_size,
            )
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
            message = "a table that the manifest needs does not exist"
            raise CorruptionError(message, path) from None


def _slice(table: Table, meta: TableMeta) -> TableSlice:
    return TableSlice(table, meta.start, meta.inclusive_bounds[1], meta.lower, meta.upper)
