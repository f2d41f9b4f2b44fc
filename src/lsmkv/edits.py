"""How a change of the tree becomes durable and current, and files that nobody needs disappear.

An edit becomes real in this order: tables written and synced, directory synced, new tables opened,
manifest appended and synced, new sources installed, and only then are logs and input tables
dropped. All that can fail comes before the append, or is the append.

Ctrl-C may come between any two steps. The edit is therefore noted before it is appended, and
whoever next looks at the tree to decide something installs it if the manifest has it (`_settle`).
Whether an append that failed is in the file is unknown until a new manifest is written: the tables
it names are kept until then (`_doubtful`).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lsmkv import filenames
from lsmkv._native.columns import ColumnStore
from lsmkv._native.commit import CommitGroup
from lsmkv._native.job import Counter
from lsmkv._native.log import LogWriter
from lsmkv._native.memtable import Memtable
from lsmkv._native.readstate import ReadState
from lsmkv._native.table import TableSpace
from lsmkv._native.version import Version as NativeVersion
from lsmkv._native.vfs import FileSystem
from lsmkv.errors import StorageError
from lsmkv.manifest import ManifestState, ManifestWriter
from lsmkv.options import Options
from lsmkv.tree import Picture, Tree
from lsmkv.version import LogRef, TableChanges, VersionEdit

__all__ = ["EditingStore", "Frozen", "Parts", "read_state"]

logger = logging.getLogger("lsmkv")

# The system refused before anything changed: worth another try. Other failures leave the disk in
# doubt.
REFUSALS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
    | {errno.EINTR, errno.EAGAIN}
)


@dataclass
class Frozen:
    """A full memtable and the finished log segment that holds the same operations."""

    memtable: Memtable
    log: LogWriter


@dataclass(frozen=True)
class PendingEdit:
    """What becomes current once the manifest has edit `number`."""

    number: int
    frozen: list[Frozen]
    picture: Picture
    state: ReadState
    says_the_same: bool  # of every key


@dataclass
class Parts:
    """What opening.py hands over. `manifest` and `first_log` are None when read-only."""

    directory: str
    filesystem: FileSystem
    options: Options
    space: TableSpace
    tree: Tree
    state: ManifestState
    counter: Counter
    last_sequence: int
    random_bytes: Callable[[int], bytes]
    manifest: ManifestWriter | None = None
    memtables: tuple[Memtable, ...] = ()  # newest first; only when read-only


def read_state(active: Memtable, frozen: Sequence[Frozen], native: NativeVersion) -> ReadState:
    """The sources of a read: memtables from newest to oldest, then the tree."""
    return ReadState((active, *(entry.memtable for entry in reversed(frozen))), native)


class EditingStore(ColumnStore):
    """A store with a tree of tables and the manifest that describes it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._directory = parts.directory
        self._filesystem = parts.filesystem
        self._counter = parts.counter
        self._tree = parts.tree
        self._manifest = parts.manifest
        self._lock = threading.RLock()
        self._frozen: list[Frozen] = []  # oldest first
        self._active: Memtable | None = None
        self._log: LogWriter | None = None
        self._commits: CommitGroup | None = None
        self._is_disk_in_doubt = False  # a directory or manifest write failed: no edit may follow
        self._pending: PendingEdit | None = None  # see _settle
        self._doubtful: set[int] = set()  # outputs named by an edit that may be in the manifest
        self._obsolete: list[str] = []  # paths to delete when possible

    def _commit_change(
        self, changes: TableChanges, *, says_the_same: bool, flushed_count: int = 0
    ) -> None:
        """Make a change of the tree durable and current; the oldest `flushed_count` frozen
        memtables are in it. `says_the_same`: no key has another value afterwards.

        REQUIRES: _lock, outputs synced.
        """
        assert self._active is not None
        assert self._manifest is not None
        self._settle()
        frozen = self._frozen[flushed_count:]
        # Taken before the directory is synced: a log the manifest names must be there after a power
        # loss.
        live = [entry.log for entry in frozen]
        live += [self._log] if self._log is not None else []
        with self._doubting(refusals=frozenset()):
            self._filesystem.sync_directory(self._directory)
        picture = self._tree.prepare(self._tree.version.change(changes))
        state = read_state(self._active, frozen, picture.native)
        with self._doubting(refusals=REFUSALS):
            edit = self._next_edit(changes, live)
            self._doubtful |= self._new_files(changes)
            self._pending = PendingEdit(edit.number, frozen, picture, state, says_the_same)
            try:
                self._manifest.append(edit)
            finally:
                self._settle()
        self._tree_changed()

    @contextlib.contextmanager
    def _doubting(self, *, refusals: frozenset[int]) -> Iterator[None]:
        """A failure other than these leaves open what is on the disk: no write and no edit may
        follow before the next open has found out. So does every failed sync of an edit: the next
        open may find it, and must not find writes that came after it as if they knew nothing of
        it."""
        try:
            yield
        except StorageError as error:
            is_unsynced = self._manifest is not None and self._manifest.is_unsynced
            if error.errno not in refusals or is_unsynced:
                self._is_disk_in_doubt = True
                self._poison(f"the state on disk is in doubt ({error}): reopen the database")
            raise

    def _settle(self) -> None:
        """Install the edit that was appended last, unless that is done: an interrupt may have come
        in between. Called before the tree or the frozen memtables are looked at for a decision.

        REQUIRES: _lock.
        """
        pending = self._pending
        if pending is None:
            return
        assert self._manifest is not None
        if self._manifest.state.last_edit == pending.number:
            log, commits, before = self._log, self._commits, self._tree.picture
            self._frozen = pending.frozen
            self._tree.picture = pending.picture
            self._install(pending.state, log, commits, says_the_same=pending.says_the_same)
            self._tree.retire(before)
            self._doubtful.clear()
        self._pending = None

    def _next_edit(
        self,
        changes: TableChanges,
        live_logs: Sequence[LogWriter],
        *,
        lengths: Mapping[int, int] = MappingProxyType({}),
    ) -> VersionEdit:
        """Ready to be appended; begins a new manifest first where that is due."""
        assert self._manifest is not None
        if self._manifest.broken or self._manifest.is_large:
            self._renew_manifest()
        state = self._manifest.state
        newest = max((table.last_sequence for table in changes.added), default=0)
        return VersionEdit(
            number=state.last_edit + 1,
            added=changes.added,
            removed=changes.removed,
            next_file_number=self._counter.upcoming,
            last_sequence=max(state.last_sequence, newest),
            log_number=live_logs[0].number if live_logs else state.log_number,
            live_logs=tuple(LogRef(log.number, lengths.get(log.number)) for log in live_logs),
        )

    def _record_log_ends(self) -> None:
        """Note in the manifest how long the logs are. REQUIRES: finished and durable.

        From then on a log that ends earlier is damaged, not torn. Nothing is lost without the note,
        but whoever closes hears that the disk failed.
        """
        assert self._active is not None
        assert self._log is not None
        assert self._manifest is not None
        self._settle()
        if self._is_disk_in_doubt or not (self._frozen or self._active.usage().entry_count):
            return
        logs = [*(entry.log for entry in self._frozen), self._log]
        lengths = {log.number: log.length for log in logs}
        edit = self._next_edit(TableChanges((), ()), logs, lengths=lengths)
        self._manifest.append(edit)  # which may be another manifest by now

    def _new_files(self, changes: TableChanges) -> set[int]:
        """The tables of a change that are no others seen through a window."""
        return {table.number for table in changes.added} - self._tree.version.file_numbers

    def _tree_changed(self) -> None:
        """Called after every change, with _lock held."""
        raise NotImplementedError

    def _renew_manifest(self) -> None:
        assert self._manifest is not None
        old = self._manifest
        fresh = ManifestWriter.create(
            self._filesystem, self._directory, self._counter.next(), old.state
        )
        self._manifest = fresh
        with contextlib.suppress(StorageError):  # every append was synced: nothing is lost
            old.close()
        unnamed, self._doubtful = self._doubtful, set()
        self._delete(
            [filenames.manifest_path(self._directory, old.number), *self._table_paths(unnamed)]
        )

    def _seal_manifest(self) -> None:
        """Put all edits so far into the first line of a new manifest. Of a file that was cut within
        or before its last edit nobody can tell; after most edits missing files would betray it, but
        a dropped range would be back. REQUIRES: _lock."""
        assert self._manifest is not None
        self._manifest.broken = True  # whatever happens here: the next edit begins with a new one
        try:
            with self._doubting(refusals=REFUSALS):
                self._renew_manifest()
        except (StorageError, MemoryError) as error:
            # What was to be done is done: of this whoever asked for it need not hear.
            if isinstance(error, StorageError) and error.errno not in {*REFUSALS, errno.ENOMEM}:
                raise
            logger.warning("the next edit will begin a new manifest, now it failed: %s", error)

    # --- files -----------------------------------------------------------------------------------

    def _delete_obsolete(self) -> None:
        """Delete table files that no reader needs any more."""
        with self._lock:
            numbers = self._tree.collect()
        self._delete(self._table_paths(numbers))

    def _table_paths(self, numbers: Iterable[int]) -> list[str]:
        return [filenames.table_path(self._directory, number) for number in numbers]

    def _delete(self, paths: Iterable[str]) -> None:
        """Delete files that no edit names; what fails is tried again later, and at the next
        open."""
        again, self._obsolete = self._obsolete, []
        for path in [*again, *paths]:
            try:
                self._filesystem.remove(path)
            except StorageError as error:
                if error.errno == errno.ENOENT:
                    continue
                level = logging.DEBUG if path in again else logging.WARNING
                logger.log(level, "could not delete %s: %s", path, error)
                self._obsolete.append(path)
