"""From the files of a directory to a consistent state: manifest, then the logs it still needs.

The recovered state is a prefix of the commit order, never with a hole:
- segments are replayed in order; each names its predecessor with its final length and last
  sequence, and recovery does not cross into a segment whose predecessor came up short. If that one
  or any after it claims anything durable, its predecessors were durable too, so that is damage:
  CorruptionError;
- a segment without a single record is passed over: a failed or interrupted rotation leaves one
  behind, and the next attempt names the same predecessor. A segment that names the empty one came
  after lost records;
- a segment that was created after a newer edit than the manifest ends with proves that the manifest
  lost edits: CorruptionError;
- a log that the manifest calls live must exist.

Nothing here writes. The caller gets memtables and decides: flush them to new synced tables (never
trusting the old pages again), or keep them in memory for a read-only database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lsmkv import filenames
from lsmkv._native.log import SegmentReader
from lsmkv._native.memtable import Memtable
from lsmkv._native.vfs import FileSystem
from lsmkv.errors import CorruptionError
from lsmkv.filenames import FileKind
from lsmkv.manifest import ManifestState

__all__ = ["Inventory", "ReplayResult", "take_inventory", "replay_logs"]

HEADER_SIZE = 64  # bytes; of a log segment (kernels/log.h)
LOG_SIZE_MAX = 1 << 33  # bytes: one batch of 1 GiB beyond the rotation limit, and room


@dataclass(frozen=True)
class Inventory:
    """Our files in a directory, by kind, ascending; `highest` is the largest number any of them
    has."""

    tables: tuple[int, ...]
    logs: tuple[int, ...]
    manifests: tuple[int, ...]
    highest: int


@dataclass(frozen=True)
class ReplayResult:
    """What the logs held. `dropped_logs` were not replayed because the log before them was torn."""

    last_sequence: int
    operation_count: int
    replayed_logs: tuple[int, ...]
    dropped_logs: tuple[int, ...]
    torn: bool


def take_inventory(filesystem: FileSystem, directory: str) -> Inventory:
    """List the directory."""
    numbers: dict[FileKind, list[int]] = {kind: [] for kind in FileKind}
    for text in filesystem.list_directory(directory):
        name = filenames.parse(text)
        if name is not None:
            numbers[name.kind].append(name.number)
    return Inventory(
        tables=tuple(sorted(numbers[FileKind.TABLE])),
        logs=tuple(sorted(numbers[FileKind.LOG])),
        manifests=tuple(sorted(numbers[FileKind.MANIFEST])),
        highest=max((number for group in numbers.values() for number in group), default=0),
    )


def replay_logs(
    filesystem: FileSystem,
    directory: str,
    state: ManifestState,
    inventory: Inventory,
    take: Callable[[Memtable], None],
    memtable_size_max: int,
) -> ReplayResult:
    """Replay every needed segment in order; `take` receives each filled memtable, oldest first.

    `memtable_size_max` is the arena size (bytes) at which a memtable is handed over. Raises
    CorruptionError for damage to anything that was promised durable.
    """
    logs = [number for number in inventory.logs if number >= state.log_number]
    _require_live_logs(directory, state, logs)
    replay = _Replay(filesystem, directory, state, take, memtable_size_max)
    replayed = [number for number in logs if replay.segment(number)]
    return replay.result(tuple(replayed), tuple(logs[len(replayed) :]))


def _require_live_logs(directory: str, state: ManifestState, logs: list[int]) -> None:
    for log in state.live_logs:
        if log.number not in logs:
            path = filenames.log_path(directory, log.number)
            raise CorruptionError("a log segment that the manifest needs does not exist", path)


class _Replay:
    """The state of one replay: the chain so far and the memtable being filled."""

    def __init__(
        self,
        filesystem: FileSystem,
        directory: str,
        state: ManifestState,
        take: Callable[[Memtable], None],
        memtable_size_max: int,
    ) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._state = state
        self._lengths = {log.number: log.length or 0 for log in state.live_logs}
        self._take = take
        self._memtable_size_max = memtable_size_max
        self._memtable = Memtable()
        self._previous: SegmentReader | None = None
        self._broken: str | None = None  # why the chain has ended
        self._last_sequence = state.last_sequence
        self._operation_count = 0
        self._torn = False

    def segment(self, number: int) -> bool:
        """Replay one segment; False when the chain ends before it, then for all that follow."""
        path = filenames.log_path(self._directory, number)
        data = self._filesystem.read_file(path, LOG_SIZE_MAX)
        reader = self._open(data, path)
        if reader is None:
            self._require_length(number, 0, path)
            self._torn = True
            return self._broken is None  # if it was used, the next one names it and is refused
        complaint = self._complaint(reader, number, path)
        self._broken = self._broken or complaint
        if self._broken is not None:
            if any(record.synced_to for record in reader):
                raise CorruptionError(f"{self._broken}, and this one holds synced data", path)
            return False
        while True:
            self._operation_count += reader.replay(self._memtable, self._memtable_size_max)
            if reader.end is not None:
                break
            self._hand_over()
        self._require_length(number, reader.offset, path)
        self._torn = self._torn or reader.end == "torn"
        if reader.offset == HEADER_SIZE:
            return True  # as above: an attempt that failed, or whatever it held is gone
        self._previous = reader
        self._last_sequence = max(self._last_sequence, reader.last_sequence)
        return True

    def _require_length(self, number: int, intact_size: int, path: str) -> None:
        """A clean close has noted the segment's length: what is missing now is damage, no tear."""
        length = self._lengths.get(number, 0)
        if intact_size < length:
            raise CorruptionError(
                f"{length} bytes were durable when it was closed, {intact_size} are intact",
                path,
                intact_size,
            )

    def result(self, replayed: tuple[int, ...], dropped: tuple[int, ...]) -> ReplayResult:
        self._hand_over()
        return ReplayResult(
            self._last_sequence, self._operation_count, replayed, dropped, self._torn
        )

    def _hand_over(self) -> None:
        if self._memtable.usage().entry_count:
            self._take(self._memtable)
        self._memtable = Memtable()

    def _open(self, data: bytes, path: str) -> SegmentReader | None:
        """None for a segment whose header never reached the disk."""
        reader = SegmentReader(data, path)
        return reader if reader.segment is not None else None

    def _complaint(self, reader: SegmentReader, number: int, path: str) -> str | None:
        """Why the segment does not follow what was replayed; None when it does."""
        segment = reader.segment
        assert segment is not None
        if segment.number != number:
            raise CorruptionError(f"it holds log segment {segment.number}", path, 0)
        if segment.manifest_edit > self._state.last_edit:
            raise CorruptionError(
                f"it was created after manifest edit {segment.manifest_edit}, but the manifest "
                f"ends with edit {self._state.last_edit}: the manifest has lost edits",
                path,
            )
        previous = self._previous
        if previous is None:
            if segment.previous_number < self._state.log_number:
                return None
            return f"the segment before it ({segment.previous_number}) does not exist"
        assert previous.segment is not None
        if (
            segment.previous_number == previous.segment.number
            and segment.previous_length == previous.offset
            and segment.previous_sequence == previous.last_sequence
        ):
            return None
        return f"the segment before it ({previous.segment.number}) is shorter than it was"
