"""DB: the public face of an open database. Made by `lsmkv.open`."""

from __future__ import annotations

import atexit
import logging
import threading
import warnings
import weakref
from collections.abc import Iterator, MutableMapping
from types import TracebackType
from typing import Any, Self

from lsmkv import checkpoint as checkpoint_module
from lsmkv._native import memory
from lsmkv._native.buffers import key_bytes
from lsmkv._native.codec import codec_name
from lsmkv._native.readstate import ReadState
from lsmkv._native.snapshot import Snapshot
from lsmkv._native.types import Buffer
from lsmkv._native.version import Version as NativeVersion
from lsmkv._native.vfs import File
from lsmkv.batch import WriteBatch
from lsmkv.engine import Engine, Parts
from lsmkv.errors import ClosedError, Error, ForkError, StorageError
from lsmkv.keys import key_range
from lsmkv.options import Options
from lsmkv.statistics import format_statistics, level_statistics
from lsmkv.verify import VerifyReport
from lsmkv.verify_live import verify_store
from lsmkv.version import KeyRange
from lsmkv.views import Prefixed, View

__all__ = ["DB"]

logger = logging.getLogger("lsmkv")


# Store's typed scans take bounds and return iterators; the mapping's views know neither.
class DB(Engine, MutableMapping[bytes, bytes]):  # type: ignore[misc]
    """An open database: an ordered mapping of bytes to bytes.

    Durability of a write (`put`, `delete`, `put_many`, a batch):

        call            survives a killed process   survives power loss
        default         once returned               what the last background sync covered: a prefix
                                                    of the commit order, at most about
                                                    `sync_interval_ms` old while the disk keeps up
        sync=True       once returned               once returned, with everything before it
        db.sync()       -                           everything written before the call

    A write is visible once applied; a reader may see what a power loss takes back. After a failed
    sync the database refuses writes (ReadOnlyError) until it is opened again; reads go on.

    Every method may be called from any thread. After `close()` everything raises ClosedError, in a
    forked child ForkError. Two databases are equal only if they are the same object.
    """

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def __init__(self, parts: Parts, lock: File | None) -> None:
        self._lock_file = lock
        self._children: weakref.WeakSet[Snapshot] = weakref.WeakSet()
        self._close_lock = threading.Lock()
        self._closing_thread: int | None = None
        self._is_released = False
        try:
            super().__init__(parts)
        except BaseException:
            self._shut()
            raise
        _open_databases.add(self)

    # --- writing ---------------------------------------------------------------------------------

    def write_batch(self, *, sync: bool = False) -> WriteBatch:
        """A context manager that collects writes and applies them atomically when its block ends.

        Dropped if the block raises. `sync=True` makes it durable before the block is left.
        """
        self._refuse_write()
        return WriteBatch(self, sync=sync)

    def sync(self) -> None:
        """Make every write so far durable. Raises StorageError (and turns read-only) if the disk
        refuses."""
        self._refuse_write()
        self._sync_applied()

    def flush(self) -> None:
        """Move everything in memory into tables on disk and wait for it."""
        self._refuse_write()
        self._flush_all()

    def compact(self, start: Buffer | None = None, stop: Buffer | None = None) -> None:
        """Rewrite the keys in [start, stop), all by default, into the bottom level.

        Afterwards data that had been deleted or replaced takes no more space (unless a snapshot
        needs it). Takes as long as it takes to read and write the range once; what other threads
        write meanwhile is left to the next time.
        """
        self.flush()
        self._compact_range(key_range(start, stop))

    # --- reading ---------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """A frozen view of this moment, with get, get_many and scan; a context manager."""
        self._refuse_read()  # before any lock: a forked child may have inherited it held
        # Either the snapshot sees a dropped range gone, or the drop sees the snapshot.
        with self._snapshot_lock:
            snapshot = Snapshot(self)
            self._children.add(snapshot)
        return snapshot

    def view(self, *, key: Any = "bytes", value: Any = "bytes") -> View:
        """A typed mapping over the same data: `db.view(key="utf8", value="json")`. See
        lsmkv.views."""
        return View(self, key=key, value=value)

    def prefixed(self, prefix: Buffer) -> Prefixed:
        """A sub-database: all keys get `prefix`, which is stripped when reading. May be nested."""
        return Prefixed(self, key_bytes(prefix))

    def approximate_len(self) -> int:
        """About how many keys there are, at once: entries less tombstones, overwrites counted
        twice."""
        self._refuse_read()
        with self._lock:
            version = self._tree.version
            total = version.entry_count - 2 * version.tombstone_count
            for memtable in self._state.memtables:
                usage = memtable.usage()
                total += usage.entry_count - 2 * usage.tombstone_count
        return max(0, total)

    def clear(self) -> None:
        """Forget everything, in one atomic edit rather than key by key."""
        self._refuse_write()
        self._drop_range(KeyRange())

    def popitem(self) -> tuple[bytes, bytes]:
        """Remove and return the first (key, value) pair; KeyError when empty."""
        for key, value in self.scan(limit=1):
            self.delete(key)
            return key, value
        raise KeyError("popitem(): the database is empty")

    def __reversed__(self) -> Iterator[bytes]:
        return self.keys(reverse=True)

    # --- looking after it ------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """The directory, as given to open()."""
        return self._directory

    @property
    def options(self) -> Options:
        """The options in force."""
        return self._options

    def stats(self) -> dict[str, Any]:
        """Counters and sizes since open; names carry their unit, "levels" is a list of dicts."""
        self._refuse_read()
        with self._lock:
            usages = [memtable.usage() for memtable in self._state.memtables]
            native_bytes, native_blocks = memory.usage()
            space = self._parts.space
            return {
                "path": self._directory,
                "read_only_reason": self._read_only_reason,
                "background": self._options.background,
                "background_error": "; ".join(map(str, self._background_errors.values())) or None,
                "log_mode": self._log.mode if self._log is not None else None,
                "log_bytes": self._log.length if self._log is not None else 0,
                "codec": codec_name(),
                "last_sequence": self._sequence,
                "durable_sequence": self._durable_sequence(),
                "sync_count": self._commits.sync_count if self._commits is not None else 0,
                "memtable_count": len(usages),
                "memtable_bytes": sum(usage.arena_bytes for usage in usages),
                "memtable_entries": sum(usage.entry_count for usage in usages),
                "pinned_sequences": len(self._gate.pinned_sequences()),
                "open_files": space.open_file_count,
                "index_and_filter_bytes": self._tree.memory_usage(),
                **{f"cache_{name}": value for name, value in space.cache_stats().items()},
                "native_bytes": native_bytes,
                "native_blocks": native_blocks,
                **self._counters(),
                **vars(self._engine_counters),
                "compaction_pending": self._is_compaction_pending(),
                "levels": level_statistics(self._tree.version),
            }

    def stats_text(self) -> str:
        """stats() as a page to read."""
        return format_statistics(self.stats())

    def verify(self) -> VerifyReport:
        """Read CURRENT, the manifest, the committed part of the logs and every table, and check
        every checksum and the order of keys; reports, does not raise."""
        self._refuse_read()
        return verify_store(self)

    def checkpoint(self, path: str) -> None:
        """Make a consistent copy at `path` (must not exist) that opens as a database of its own.

        Tables are hard-linked where the file system allows it, so the copy is quick and takes no
        space until the two diverge.
        """
        self._refuse_write()
        checkpoint_module.make(self, path)

    def _pin_snapshots(self) -> None:
        for snapshot in list(self._children):
            snapshot._pin_state()

    def _durable_sequence(self) -> int:
        return self._commits.durable_sequence if self._commits is not None else self._sequence

    # --- closing ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop background work, make everything durable, release all files. Idempotent.

        Waits for operations that are under way in other threads, or for the thread that closes
        already; whatever comes after raises ClosedError. Open iterators and snapshots stay safe to
        close and drop.
        """
        try:
            self._refuse_read()
        except ForkError:
            return  # the parent's files are not ours
        except ClosedError:
            pass
        self._shut()
        if self._is_inside():
            # A finalizer closes us in the middle of our own work, which must end first.
            threading.Thread(target=self._close, name="lsmkv").start()
        else:
            self._close()

    def _close(self) -> None:
        """May be repeated after an interrupt: every step does only what is left to do."""
        if self._close_lock.locked() and self._closing_thread == threading.get_ident():
            return  # a finalizer inside this very call
        with self._close_lock:
            self._closing_thread = threading.get_ident()
            if not self._is_released:
                self._stop_work()
                with self._compaction_lock, self._flush_lock, self._lock:
                    self._gate.wait_idle()
                    try:
                        self._finish_log()
                    finally:
                        self._release()
                        memory.trim()
            self._closing_thread = None

    def _stop_work(self) -> None:
        self._cancel_jobs()
        if self._background is not None:
            with self._lock:
                self._changed.notify_all()
            self._background.stop()

    def _finish_log(self) -> None:
        if self._log is None or self._commits is None or self._commits.poisoned:
            return
        failure: StorageError | None = None
        try:
            self._log.finish()
        except StorageError as error:
            failure = error
        try:
            # The CLOSE record has no sequence of its own: one past the last asks for a sync
            # after it.
            self._commits.finish(self._sequence)
        except Error as error:
            raise failure or error from None
        if failure is None:
            self._record_log_ends()
        else:  # everything is durable all the same
            logger.warning("the log of %s could not be ended: %s", self._directory, failure)

    def _release(self) -> None:
        for snapshot in list(self._children):
            snapshot.close()
        logs = [frozen.log for frozen in self._frozen]
        logs += [self._log] if self._log is not None else []
        empty = ReadState((), NativeVersion(()))
        self._install(empty, None, None, says_the_same=False)
        self._frozen = []
        self._tree.clear()
        files = [*logs, self._manifest, self._lock_file]
        self._log = self._active = self._commits = None
        for file in files:
            if file is not None:
                try:
                    file.close()
                except StorageError as error:
                    logger.warning("closing %s: %s", self._directory, error)
        self._is_released = True
        _open_databases.discard(self)

    def __enter__(self) -> Self:
        self._refuse_read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        try:
            self._refuse_read()
        except Error:
            return  # closed, never opened, or the parent's
        warnings.warn(f"unclosed database {self._directory}", ResourceWarning, 2, source=self)
        self.close()

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<lsmkv.DB {self._directory!r}{state}>"

    def __reduce__(self) -> Any:
        raise TypeError("a database cannot be pickled: open it by its path where it is needed")


_open_databases: weakref.WeakSet[DB] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """At interpreter exit: daemon threads must be gone before the interpreter is."""
    for database in list(_open_databases):
        try:
            database.close()
        except Error as error:
            logger.warning("closing %s at exit: %s", database.path, error)
