"""Carries out flushes and compactions: from tables and memtables to a native job to new TableMeta.

Three steps, so that the caller can hold its state lock where it must and only there: make the job
(needs a stable version and the pinned sequences), run it (minutes, no lock, no GIL), describe the
result. Deciding what to compact is picker.py; making it durable is manifest.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lsmkv import filenames
from lsmkv._native.job import Counter, Job
from lsmkv._native.memtable import Memtable
from lsmkv._native.slices import TableSlice
from lsmkv._native.summary import TableSummary
from lsmkv._native.table import TableSpace
from lsmkv.options import Options
from lsmkv.picker import OUTPUT_SIZE_UNLIMITED, Compaction
from lsmkv.tree import Tree
from lsmkv.version import KeyRange, TableMeta

__all__ = ["JobFactory", "describe"]

# Decompressed bytes read ahead from the inputs of one compaction, shared among them.
READAHEAD_BUDGET = 16 << 20
READAHEAD_SIZE_MIN, READAHEAD_SIZE_MAX = 64 << 10, 1 << 20


class JobFactory:
    """Makes native jobs with the options of one database."""

    def __init__(
        self,
        directory: str,
        options: Options,
        space: TableSpace,
        counter: Counter,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._directory = directory
        self._options = options
        self._space = space
        self._counter = counter
        self._random_bytes = random_bytes

    def flush(self, tree: Tree, memtables: Sequence[Memtable], snapshots: Sequence[int]) -> Job:
        """One table from memtables (newest first). Tombstones stay wherever the tree may hold the
        key."""
        keep = tree.version.older_bounds(KeyRange())
        return self._job(memtables, (), snapshots, keep, (), OUTPUT_SIZE_UNLIMITED)

    def compact(self, tree: Tree, compaction: Compaction, snapshots: Sequence[int]) -> Job:
        """The merge that `compaction` describes."""
        runs = [tree.slices(run) for run in compaction.inputs]
        return self._job(
            (), runs, snapshots, compaction.keep, compaction.cuts, compaction.output_size_max
        )

    def merge(
        self,
        memtables: Sequence[Memtable],
        runs: Sequence[Sequence[TableSlice]],
        keep: Sequence[tuple[bytes, bytes]],
    ) -> Job:
        """A merge outside any version, for repair. Tombstones stay within the `keep` ranges
        (inclusive)."""
        return self._job(memtables, runs, (), keep, (), self._options.table_size)

    def _job(
        self,
        memtables: Sequence[Memtable],
        runs: Sequence[Sequence[TableSlice]],
        snapshots: Sequence[int],
        keep: Sequence[tuple[bytes, bytes]],
        cuts: Sequence[bytes],
        output_size_max: int,
    ) -> Job:
        options = self._options
        return Job(
            self._space,
            memtables=memtables,
            runs=runs,
            snapshots=snapshots,
            keep=keep,
            cuts=cuts,
            block_size=options.block_size,
            compression=options.compression,
            compression_level=options.compression_level,
            bloom_bits_per_key=options.bloom_bits_per_key,
            output_size_max=output_size_max,
            path_prefix=filenames.table_path_prefix(self._directory),
            path_suffix=filenames.TABLE_PATH_SUFFIX,
            counter=self._counter,
            id_seed=self._random_bytes(16),
            readahead_size=_readahead_size(len(runs)),
        )


def _readahead_size(input_count: int) -> int:
    share = READAHEAD_BUDGET // max(1, input_count)
    return min(max(share, READAHEAD_SIZE_MIN), READAHEAD_SIZE_MAX)


def describe(summaries: Sequence[TableSummary], level: int, epoch: int) -> tuple[TableMeta, ...]:
    """The outputs of a job as the manifest records them."""
    return tuple(
        TableMeta(
            number=summary.number,
            id=summary.id,
            file_size=summary.file_size,
            tail_size=summary.tail_size,
            smallest=summary.smallest,
            largest=summary.largest,
            first_sequence=summary.first_sequence,
            last_sequence=summary.last_sequence,
            epoch=epoch,
            level=level,
            entry_count=summary.entry_count,
            tombstone_count=summary.tombstone_count,
        )
        for summary in summaries
    )
