"""Small tables on the memory file system, for tests of versions and jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lsmkv._native.job import Counter, Job
from lsmkv._native.memtable import Memtable
from lsmkv._native.slices import TableSlice
from lsmkv._native.summary import TableSummary
from lsmkv._native.table import TableSpace
from lsmkv._native.vfs import FileSystem, MemoryFileSystem
from tests.support.reference_merge import Entry

EVERY_KEY = (b"", b"\xff" * 100)
SEED = bytes(range(16))


def memtable_of(entries: Iterable[Entry]) -> Memtable:
    """A memtable with exactly these entries: all are pinned, so no version replaces another."""
    memtable = Memtable()
    for key, sequence, kind, value in sorted(entries, key=lambda entry: entry[1]):
        memtable.reserve(1, len(key) + len(value))
        memtable.insert(key, sequence, kind, value, sequence)
    return memtable


class TableLab:
    """A file system, a table space and a counter, and short ways to use them."""

    def __init__(
        self,
        file_system: FileSystem | None = None,
        prefix: str = "/lab/",
        cache_size_bytes: int = 1 << 20,
    ) -> None:
        self.file_system = MemoryFileSystem() if file_system is None else file_system
        self.prefix = prefix
        if file_system is None:
            self.file_system.make_directory("/lab")
        self.space = TableSpace(self.file_system, cache_size_bytes=cache_size_bytes)
        self.counter = Counter(1)

    def job(self, **changes: Any) -> Job:
        """A job with small blocks; arguments replace the defaults."""
        settings: dict[str, Any] = {
            "memtables": (),
            "runs": (),
            "snapshots": (),
            "keep": (),
            "cuts": (),
            "block_size": 256,
            "compression": None,
            "compression_level": 1,
            "bloom_bits_per_key": 10.0,
            "output_size_max": 1 << 30,
            "path_prefix": self.prefix,
            "path_suffix": ".table",
            "counter": self.counter,
            "id_seed": SEED,
        }
        return Job(self.space, **(settings | changes))

    def path(self, number: int) -> str:
        return f"{self.prefix}{number:06d}.table"

    def slice(self, summary: TableSummary, **clamps: bytes | None) -> TableSlice:
        """Opens an output, seen through the clamps."""
        table = self.space.open(
            self.path(summary.number),
            summary.number,
            id=summary.id,
            file_size=summary.file_size,
            tail_size=summary.tail_size,
        )
        return TableSlice(table, summary.smallest, summary.largest, **clamps)

    def run(self, entries: Sequence[Entry], **changes: Any) -> list[TableSlice]:
        """Tables with exactly these entries: every sequence is a snapshot, every tombstone kept."""
        sequences = {entry[1] for entry in entries}
        job = self.job(
            memtables=[memtable_of(entries)], snapshots=sequences, keep=[EVERY_KEY], **changes
        )
        return [self.slice(summary) for summary in job.run()]

    def files(self) -> list[str]:
        return sorted(self.file_system.list_directory(self.prefix.rstrip("/")))
