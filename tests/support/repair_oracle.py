"""What a repair must bring back, computed from the files themselves.

    Source     a table of a sound database in blocks, or the entries of a log
    Oracle     the tables, logs and the manifest of one sound database; `expected` says what a
               repair of it must show when some of its files hold something else

An entry counts when every byte that it was written in is unchanged: all entries of unchanged
tables, of a changed table those of the blocks that no changed byte lies in, and of a log every
record that reference_log.py finds intact, unless it stands behind a torn end. Of each key the entry
with the largest sequence shows; of settled ones, whose sequences are equal, that of the newest
file.

Blocks are found with salvage.py, in the sound files only and held against what the tables
themselves say they contain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from lsmkv import filenames
from lsmkv._native.block import Block
from lsmkv._native.segment import LogRecord, LogSegment
from lsmkv._native.table import TableSpace
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.filenames import FileKind
from lsmkv.manifest import ManifestState, read_manifest
from lsmkv.salvage import DATA, intact_blocks
from lsmkv.version import TableMeta
from tests.support.reference_log import PUT, Corrupt, Decoded, decode, decode_header, intact_records

__all__ = ["Files", "Oracle", "last_change", "first_change"]

NONCE = slice(24, 32)  # in the header of a segment
LOG_HEADER_SIZE = 64

Files = Mapping[str, bytes]  # by path


class Entry(NamedTuple):
    """One version of a key, and the number of the file it is in."""

    key: bytes
    sequence: int
    kind: int
    value: bytes
    number: int


@dataclass(frozen=True)
class DataBlock:
    offset: int
    size: int
    entries: tuple[Entry, ...]


def first_change(old: bytes, new: bytes) -> int:
    """The first byte that differs, or where the shorter one ends."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(old), len(new)))


def last_change(old: bytes, new: bytes) -> int:
    """The last byte that differs; of contents of different size the end of the longer one."""
    if len(old) != len(new):
        return max(len(old), len(new))
    return max(at for at, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)


class Oracle:
    """`files`: those of a sound database, which also are in `filesystem`."""

    def __init__(self, directory: str, files: Files, filesystem: MemoryFileSystem) -> None:
        self._directory = directory
        self._files = files
        self._filesystem = filesystem
        self.state: ManifestState = read_manifest(filesystem, directory)

    def expected(self, files: Files, *, has_manifest: bool) -> dict[bytes, bytes]:
        """What a repair of the same directory with this content must show. Without a manifest
        nothing that a table holds is hidden."""
        newest: dict[bytes, Entry] = {}
        for entry in [*self._table_entries(files, has_manifest), *self._log_entries(files)]:
            known = newest.get(entry.key)
            if known is None or (known.sequence, known.number) < (entry.sequence, entry.number):
                newest[entry.key] = entry
        return {key: entry.value for key, entry in newest.items() if entry.kind == PUT}

    def proves_lost_edits(self, files: Files) -> bool:
        """Whether a log was created after a newer edit than the manifest has."""
        headers = (_header_of(files[path]) for path in _numbered(files, FileKind.LOG).values())
        return any(h is not None and h.manifest_edit > self.state.last_edit for h in headers)

    # --- tables

    @cached_property
    def blocks(self) -> dict[int, tuple[DataBlock, ...]]:
        """Of each table of the manifest."""
        return {meta.number: self._blocks_of(meta) for meta in self.state.version}

    def _blocks_of(self, meta: TableMeta) -> tuple[DataBlock, ...]:
        path = filenames.table_path(self._directory, meta.number)
        found = tuple(
            DataBlock(
                block.offset,
                block.size,
                tuple(Entry(*entry, meta.number) for entry in Block(block.payload).entries()),
            )
            for block in intact_blocks(self._files[path], meta.id)
            if block.type == DATA
        )
        table = TableSpace(self._filesystem).open(path, meta.number)
        entries = [entry[:4] for block in found for entry in block.entries]
        assert entries == list(table.entries()), "the blocks are not what the table says"
        return found

    def _table_entries(self, files: Files, has_manifest: bool) -> Iterator[Entry]:
        metas = list(self.state.version)
        for number, blocks in self.blocks.items():
            path = filenames.table_path(self._directory, number)
            old, new = self._files[path], self._content(files, number)
            for block in blocks:
                piece = slice(block.offset, block.offset + block.size)
                if old[piece] != new[piece]:
                    continue
                for entry in block.entries:
                    parts = [meta for meta in metas if meta.number == number]
                    if not has_manifest or any(_shows(meta, entry.key) for meta in parts):
                        yield entry

    def _content(self, files: Files, number: int) -> bytes:
        """Of this table: what stands in its file, or the whole table where it stands in another."""
        path = filenames.table_path(self._directory, number)
        others = _numbered(files, FileKind.TABLE).values()
        if self._files[path] in [files[other] for other in others]:
            return self._files[path]
        return files.get(path, b"")

    # --- logs

    def _log_entries(self, files: Files) -> Iterator[Entry]:
        logs = _numbered(files, FileKind.LOG)
        for number in sorted(logs):
            for record in self._records(number, files, logs):
                for index, (kind, key, value) in enumerate(record.operations):
                    yield Entry(key, record.base_sequence + index, kind, value or b"", number)

    def _records(self, number: int, files: Files, logs: Mapping[int, str]) -> list[LogRecord]:
        data = files[logs[number]]
        if len(data) < LOG_HEADER_SIZE or not any(data[:LOG_HEADER_SIZE]):
            return []
        try:
            header = decode_header(data)
        except Corrupt:
            return intact_records(data, int.from_bytes(data[NONCE], "little"))
        if header.number < self.state.log_number <= number:
            return []  # an old segment in the place of one that counts
        decoded = decode(data)
        if decoded.error is None and decoded.offset >= self.durable_length(number, files):
            return decoded.records
        last = max([header.previous_sequence, *map(_last_sequence, decoded.records)])
        return decoded.records + intact_records(data, header.nonce, decoded.offset, last)

    def durable_length(self, number: int, files: Files) -> int:
        """Bytes of a log that a clean close has noted, or a later log that was synced."""
        noted = [log.length or 0 for log in self.state.live_logs if log.number == number]
        later = [path for n, path in _numbered(files, FileKind.LOG).items() if n > number]
        headers = [header for path in later if (header := _header_of(files[path])) is not None]
        if any(map(_claims, map(decode, (files[path] for path in later)))):
            noted += [h.previous_length for h in headers if h.previous_number == number]
        return max(noted, default=0)


def _numbered(files: Files, kind: FileKind) -> dict[int, str]:
    """Paths of this kind by number."""
    names = {path: filenames.parse(path.rsplit("/", 1)[1]) for path in files}
    return {
        name.number: path for path, name in names.items() if name is not None and name.kind is kind
    }


def _shows(meta: TableMeta, key: bytes) -> bool:
    return (meta.lower is None or meta.lower <= key) and (meta.upper is None or key < meta.upper)


def _last_sequence(record: LogRecord) -> int:
    return record.base_sequence + record.count - 1


def _header_of(data: bytes) -> LogSegment | None:
    return decode(data).segment


def _claims(decoded: Decoded) -> bool:
    is_damaged = decoded.segment is not None and decoded.error is not None
    return is_damaged or any(record.synced_to for record in decoded.records)
