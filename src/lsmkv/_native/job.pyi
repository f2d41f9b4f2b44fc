from collections.abc import Iterable

from lsmkv._native.memtable import Memtable
from lsmkv._native.slices import TableSlice
from lsmkv._native.summary import TableSummary
from lsmkv._native.table import TableSpace

class Counter:
    def __init__(self, value: int) -> None: ...
    def next(self) -> int: ...
    @property
    def upcoming(self) -> int: ...

class Job:
    def __init__(
        self,
        space: TableSpace,
        *,
        memtables: Iterable[Memtable],
        runs: Iterable[Iterable[TableSlice]],
        snapshots: Iterable[int],
        keep: Iterable[tuple[bytes, bytes]],
        cuts: Iterable[bytes],
        block_size: int,
        compression: str | None,
        compression_level: int,
        bloom_bits_per_key: float,
        output_size_max: int,
        path_prefix: str,
        path_suffix: str,
        counter: Counter,
        id_seed: bytes,
        readahead_size: int = 1 << 20,
    ) -> None: ...
    def run(self) -> tuple[TableSummary, ...]: ...
    def cancel(self) -> None: ...
    @property
    def outputs(self) -> tuple[TableSummary, ...]: ...
    @property
    def progress_bytes(self) -> int: ...
    @property
    def entries_in(self) -> int: ...
    @property
    def entries_out(self) -> int: ...
    @property
    def bytes_in(self) -> int: ...
    @property
    def bytes_out(self) -> int: ...
