"""A model of the engine below the memtable: tables as dictionaries, compactions run in plain
Python.

It keeps what the control plane promises honest. Every job is executed by the rules of the native
job (newest version of a key wins, tombstones are dropped outside the keep ranges), every read
goes through the version from the newest run to the oldest, and a plain dict says what it should
have returned. Jobs can stay under way while others start, as with background threads. No
snapshots, no time, no randomness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lsmkv.options import Options
from lsmkv.picker import Compaction
from lsmkv.version import KeyRange, TableChanges, TableMeta, Version

ENTRY_SIZE = 100  # bytes of every entry, key included

Entry = tuple[int, bytes | None]  # sequence, value; None is a tombstone


@dataclass
class ModelTree:
    """One database: the version, the contents of its files, and the truth."""

    options: Options

    def __post_init__(self) -> None:
        self.version = Version()
        self.files: dict[int, dict[bytes, Entry]] = {}
        self.memtable: dict[bytes, Entry] = {}
        self.truth: dict[bytes, bytes] = {}
        self.running: list[tuple[Compaction, list[dict[bytes, Entry]]]] = []
        self.sequence = 0
        self.next_number = 1
        self.next_epoch = 1
        self.bytes_flushed = 0
        self.bytes_compacted = 0
        self.moves = 0

    # --- writes and reads

    def write(self, key: bytes, value: bytes | None) -> bool:
        """Applies one operation; True when the memtable is full and was flushed."""
        self.sequence += 1
        self.memtable[key] = (self.sequence, value)
        if value is None:
            self.truth.pop(key, None)
        else:
            self.truth[key] = value
        if len(self.memtable) * ENTRY_SIZE < self.options.write_buffer_size:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        if self.memtable:
            table = self.table(self.memtable, level=0, epoch=self.next_epoch)
            self.next_epoch += 1
            self.bytes_flushed += table.file_size
            self.version = self.version.change(TableChanges((table,), ()))
            self.memtable = {}

    def get(self, key: bytes) -> bytes | None:
        if key in self.memtable:
            return self.memtable[key][1]
        for _, tables in self.version.runs():
            for table in tables:
                if table.start <= key < table.stop and key in self.files[table.number]:
                    return self.files[table.number][key][1]
        return None

    def drop_range(self, keys: KeyRange) -> None:
        """REQUIRES: nothing is running."""
        self.flush()
        self.version = self.version.change(self.version.drop_range(keys))
        self.truth = {k: v for k, v in self.truth.items() if not keys.overlaps(_point(k))}

    # --- compactions

    def start(self, job: Compaction) -> None:
        """Begins a job: reads its inputs as they are now. A move takes effect at once."""
        if job.is_move:
            self.moves += 1
            self.version = self.version.change(job.move())
            return
        self.bytes_compacted += job.input_size
        self.running.append((job, self.outputs(job)))

    def finish(self, index: int) -> None:
        """Installs the outputs of a running job."""
        job, outputs = self.running.pop(index)
        added = [self.table(entries, job.output_level, job.epoch) for entries in outputs]
        if job.output_level == 0:
            assert len(added) <= 1
        self.version = self.version.change(TableChanges(tuple(added), job.removed))

    def run(self, job: Compaction) -> None:
        self.start(job)
        if not job.is_move:
            self.finish(len(self.running) - 1)

    @property
    def running_jobs(self) -> list[Compaction]:
        return [job for job, _ in self.running]

    def outputs(self, job: Compaction) -> list[dict[bytes, Entry]]:
        merged: dict[bytes, Entry] = {}
        for table in reversed(job.tables):
            for key, entry in self.visible(table).items():
                assert key not in merged or merged[key][0] < entry[0], "newer sank below older"
                merged[key] = entry
        outputs: list[dict[bytes, Entry]] = [{}]
        cuts = [*job.cuts]
        for key in sorted(merged):
            passed = bool(cuts) and cuts[0] <= key
            while cuts and cuts[0] <= key:
                cuts.pop(0)
            size = len(outputs[-1]) * ENTRY_SIZE
            if size >= job.output_size_max or (passed and 2 * size >= job.output_size_max):
                outputs.append({})
            kept = any(smallest <= key <= largest for smallest, largest in job.keep)
            if merged[key][1] is not None or kept:
                outputs[-1][key] = merged[key]
        return [output for output in outputs if output]

    def visible(self, table: TableMeta) -> dict[bytes, Entry]:
        entries = self.files[table.number]
        return {key: entry for key, entry in entries.items() if table.start <= key < table.stop}

    def table(self, entries: dict[bytes, Entry], level: int, epoch: int) -> TableMeta:
        number = self.next_number
        self.next_number += 1
        self.files[number] = entries
        sequences = [sequence for sequence, _ in entries.values()]
        return TableMeta(
            number=number,
            id=number.to_bytes(16, "big"),
            file_size=len(entries) * ENTRY_SIZE,
            tail_size=0,
            smallest=min(entries),
            largest=max(entries),
            first_sequence=min(sequences),
            last_sequence=max(sequences),
            epoch=epoch,
            level=level,
            entry_count=len(entries),
            tombstone_count=sum(value is None for _, value in entries.values()),
        )

    # --- checks

    def check(self) -> None:
        """Every key of the truth is found, nothing else is; and the version proves itself."""
        found: dict[bytes, Entry] = {}
        for _, tables in reversed(self.version.runs()):
            for table in tables:
                found.update(self.visible(table))
        found.update(self.memtable)
        live = {key: value for key, (_, value) in found.items() if value is not None}
        assert live == self.truth
        assert Version.of_tables(tuple(self.version)).levels == self.version.levels

    @property
    def write_amplification(self) -> float:
        return (self.bytes_flushed + self.bytes_compacted) / max(1, self.bytes_flushed)


def _point(key: bytes) -> KeyRange:
    return KeyRange(key, key + b"\0")


def small_options(**changes: object) -> Options:
    """Tables of 40 entries, memtables of 80: levels fill within a few thousand writes."""
    return replace(Options(write_buffer_size=8000, table_size=4096), **changes)
