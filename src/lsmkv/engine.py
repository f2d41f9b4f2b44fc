"""Engine: the control plane of one open database. Owns the locks; decides when, never how.

    Store (native)     put, get, scan: the data plane
      EditingStore     (edits.py) changes of the tree, obsolete files
        Engine         rotation, flush, compaction, back-pressure   <- this file
          DB (db.py)   the public face

Mutable state and its lock, all of it here:
    _lock              tree, manifest, frozen memtables, log list. Held for moments and for
                       manifest appends.
    _flush_lock        held for the whole of a flush: one at a time, whoever runs it.
    _compaction_lock   held for the whole of a compaction, drop_range or checkpoint: one at a time.
    GATE_BUSY          (native) keeps writers out while the write path rotates.
Order: _compaction_lock, _flush_lock, GATE_BUSY, _lock. Inside _lock only _snapshot_lock is taken.

Ctrl-C may come between any two steps. Edits are safe from it (edits.py); a rotation ends in a few
assignments with one native call at their end, between which the interpreter runs no signal
handlers.

A finalizer may run in the middle of anything here, in the same thread. It may read, and write what
fits without a rotation; the rest is refused (`_refuse_reentry`).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

from lsmkv import filenames
from lsmkv._native import memory
from lsmkv._native.commit import CommitGroup
from lsmkv._native.job import Job
from lsmkv._native.log import LogWriter
from lsmkv._native.memtable import Memtable
from lsmkv._native.readstate import ReadState
from lsmkv.background import Background, Step, told_again
from lsmkv.compaction import JobFactory, describe
from lsmkv.edits import EditingStore, Frozen, Parts, read_state
from lsmkv.errors import ClosedError, CorruptionError, Error, StorageError
from lsmkv.picker import NO_SNAPSHOT, Compaction, ManualCompaction, pick_compaction
from lsmkv.pressure import write_pressure
from lsmkv.statistics import EngineCounters
from lsmkv.throttle import Throttle
from lsmkv.version import KeyRange, TableChanges

__all__ = ["Engine", "Parts"]

logger = logging.getLogger("lsmkv")

FROZEN_MEMTABLES_MAX = 3  # beyond them writers wait for a flush


class Engine(EditingStore):
    """Rotation, flush and compaction over the native data plane."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._options = parts.options
        self._jobs = JobFactory(
            parts.directory, parts.options, parts.space, parts.counter, parts.random_bytes
        )
        self._changed = threading.Condition(self._lock)
        self._compaction_lock = threading.RLock()
        self._flush_lock = threading.RLock()
        self._snapshot_lock = threading.RLock()  # while a snapshot is made, or a dropped range goes
        self._running: set[Job] = set()
        self._background_errors: dict[str, Exception] = {}  # by kind of step, until one succeeds
        self._damaged_tables: set[int] = set()  # which compactions leave alone
        self._flush_requests = 0  # how often somebody has asked for everything to be flushed
        self._engine_counters = EngineCounters()
        self._sequence = parts.last_sequence
        self._is_inline = parts.options.background == "inline"
        self._background: Background | None = None
        self._throttle = Throttle()
        self._is_braking = False  # writers wait, now and then
        self._set_row_cache(parts.options.row_cache_size)
        if parts.manifest is None:
            state = ReadState(parts.memtables, parts.tree.native)
            self._install(state, None, None, says_the_same=True)
            self._poison("the database was opened read-only")
            return
        limit = parts.options.write_buffer_size
        self._set_limits(limit, 2 * limit + (1 << 16))
        self._commits = CommitGroup(parts.filesystem, parts.directory)
        self._begin_segment(previous=None)
        if not self._is_inline:
            self._background = Background(self, parts.options.sync_interval_ms / 1000)
            self._background.wake_compaction()  # what an earlier close or crash left undone

    # --- rotation --------------------------------------------------------------------------------

    def _rotate(self) -> None:
        """Called by a writer that found the memtable or the segment full."""
        self._refuse_reentry()
        self._wait_for_room()
        self._freeze(only_if_full=True)
        self._after_freeze()

    def _freeze(self, *, only_if_full: bool) -> None:
        """Put a new memtable and segment in place of the current ones. May be repeated after any
        failure."""
        self._refuse_reentry()
        try:
            self._begin_exclusive()
            with self._lock:
                self._refuse_write()
                self._settle()
                assert self._active is not None
                assert self._log is not None
                if not self._log.finished:  # else an earlier attempt got that far: no way back
                    usage = self._active.usage()
                    full = (
                        usage.arena_bytes >= self._memory_limit
                        or self._log.length >= self._log_limit
                    )
                    if usage.entry_count == 0 or (only_if_full and not full):
                        return
                self._log.finish()
                self._begin_segment(previous=self._log)
        finally:
            self._end_exclusive()

    def _set_limits(self, memory_bytes: int, log_bytes: int) -> None:
        self._memory_limit = memory_bytes
        self._log_limit = log_bytes
        super()._set_limits(memory_bytes, log_bytes)

    def _begin_segment(self, previous: LogWriter | None) -> None:
        """Create the next log segment and memtable and make them current. If that fails nothing has
        changed."""
        assert self._commits is not None
        log = self._create_log(previous)
        try:
            active = Memtable()
            frozen = list(self._frozen)
            if previous is not None:
                assert self._active is not None
                frozen.append(Frozen(self._active, previous))
            state = read_state(active, frozen, self._tree.native)
            self._commits.add(log)
        except BaseException:
            self._commits.drop(log)
            log.close()
            self._delete([log.path])
            raise
        commits = self._commits
        self._frozen, self._active, self._log = frozen, active, log
        self._install(state, log, commits, says_the_same=True)
        self._set_pressure()

    def _create_log(self, previous: LogWriter | None) -> LogWriter:
        assert self._manifest is not None
        number = self._counter.next()
        mapped = self._options.log_mode == "mapped" or (
            self._options.log_mode == "auto" and self._filesystem.can_map_log(self._directory)
        )
        return LogWriter(
            self._filesystem,
            filenames.log_path(self._directory, number),
            number=number,
            nonce=int.from_bytes(self._parts.random_bytes(8), "little"),
            previous_number=previous.number if previous is not None else 0,
            previous_length=previous.length if previous is not None else 0,
            previous_sequence=self._sequence,
            manifest_edit=self._manifest.state.last_edit,
            mapped=mapped,
        )

    def _tree_changed(self) -> None:
        self._set_pressure()
        self._changed.notify_all()
        if self._background is not None:
            self._background.wake_compaction()

    def _set_pressure(self) -> None:
        pressure = write_pressure(self._tree.version, self._options, len(self._frozen))
        self._is_braking = pressure.stop or pressure.delay_fraction > 0
        self._set_slow(self._is_braking)

    def _after_freeze(self) -> None:
        if self._background is not None:
            self._background.wake_flush()
        else:
            self._work_inline()

    def _work_inline(self) -> None:
        """Do everything that is due, in this thread."""
        while self._flush_step():
            pass
        while self._compact_step():
            pass

    # --- back-pressure ---------------------------------------------------------------------------

    def _wait_for_room(self) -> None:
        """Block while too many memtables wait for their flush; raise what stops the flush."""
        started = time.monotonic()
        with self._lock:
            while len(self._frozen) >= FROZEN_MEMTABLES_MAX and not self.closed:
                self._refuse_write()
                if self._background is None:
                    break
                self._raise_background_error("flush")
                self._changed.wait(0.05)
        if self._background is None and len(self._frozen) >= FROZEN_MEMTABLES_MAX:
            self._work_inline()  # an earlier flush failed: this one succeeds or tells why
        if self.closed:
            raise ClosedError("the database is closed")
        self._engine_counters.stall_seconds += time.monotonic() - started

    def _slow_down(self) -> bool:
        """Delay one writer according to the pressure; True: look again before writing."""
        with self._lock:
            pressure = write_pressure(self._tree.version, self._options, len(self._frozen))
            if self._background is None:
                return False
            if pressure.stop:
                self._raise_background_error("flush", "compaction")
                if not self._is_compaction_pending():
                    self._raise_background_error("damage")
                started = time.monotonic()
                self._changed.wait(0.05)
                self._engine_counters.stall_seconds += time.monotonic() - started
                return True
        written = self._counters()["bytes_written"]
        pause = self._throttle.pause_s(time.monotonic(), written, pressure.delay_fraction)
        if pause:
            time.sleep(pause)
            self._engine_counters.delay_seconds += pause
        return False

    # --- flush -----------------------------------------------------------------------------------

    def _flush_step(self) -> bool:
        """Flush all frozen memtables into one table; False when there is none."""
        with self._flush_lock:
            with self._lock:
                self._settle()
                frozen = list(self._frozen)
                if not frozen or self.closed or self._is_disk_in_doubt:
                    return False
                memtables = [entry.memtable for entry in reversed(frozen)]
                job = self._jobs.flush(self._tree, memtables, self._gate.pinned_sequences())
            with self._running_job(job):
                summaries = job.run()
                with self._lock:
                    added = describe(summaries, 0, self._counter.next())
                    size = sum(memtable.usage().arena_bytes for memtable in memtables)
                    waited_for = len(self._frozen) > len(frozen)
                    self._throttle.flushed(time.monotonic(), size, waited_for)
                    self._engine_counters.flushes += 1
                    self._engine_counters.flushed_bytes += sum(meta.file_size for meta in added)
                    self._commit_change(
                        TableChanges(added, ()), says_the_same=True, flushed_count=len(frozen)
                    )
            for entry in frozen:
                self._drop_log(entry.log)
            return True

    def _drop_log(self, log: LogWriter) -> None:
        assert self._commits is not None
        self._commits.drop(log)
        log.close()
        self._delete([log.path])

    # --- compaction ------------------------------------------------------------------------------

    def _compact_step(self) -> bool:
        """Carry out the most urgent compaction; False when none is due."""
        with self._compaction_lock:
            with self._lock:
                if self.closed or self._is_disk_in_doubt:
                    return False
                self._settle()
                compaction = self._pick()
            if compaction is None:
                return False
            try:
                self._carry_out(compaction)
            except (CorruptionError, StorageError) as error:
                if not self._leave_alone(compaction, error):
                    raise
            return True

    def _pick(self) -> Compaction | None:
        return pick_compaction(
            self._tree.version,
            self._options,
            oldest_snapshot=self._oldest_snapshot(),
            damaged=self._damaged_tables,
        )

    def _is_compaction_pending(self) -> bool:
        """Whether one is due, or runs: until it ends its inputs are in the tree, and it is due."""
        return self._pick() is not None

    def _leave_alone(self, compaction: Compaction, error: CorruptionError | StorageError) -> bool:
        """A table that cannot be read must not stop every other compaction, nor the writers behind
        them. It stays until keys are dropped, or the database is opened again. Whether this was
        such an error."""
        is_damage = isinstance(error, CorruptionError) or error.errno == errno.EIO
        path = error.path if isinstance(error, CorruptionError) else error.filename
        numbers = {table.number for table in compaction.tables}
        damaged = {n for n in numbers if filenames.table_path(self._directory, n) == path}
        if not is_damage or not damaged:
            return False
        logger.error("a table is damaged, compactions leave it alone: %s", error)
        with self._lock:
            self._damaged_tables |= damaged
            # The traceback would keep the job, and so the files of its inputs.
            self._background_errors["damage"] = error.with_traceback(None)
        return True

    def _compact_range(self, keys: KeyRange) -> None:
        """Bring everything that is in tables of the range to the bottom level, step by step; others
        may write meanwhile."""
        manual = ManualCompaction(keys)
        while True:
            with self._compaction_lock:
                with self._lock:
                    self._refuse_write()
                    self._settle()
                    compaction = manual.next(
                        self._tree.version,
                        self._options,
                        oldest_snapshot=self._oldest_snapshot(),
                    )
                if compaction is None:
                    return
                self._carry_out(compaction)

    def _drop_range(self, keys: KeyRange) -> None:
        """Take a key range out of the tree in one edit. What is in memory goes to a table first."""
        self._flush_all()
        with self._compaction_lock:  # a running compaction would bring the keys back
            with self._lock:
                self._refuse_write()
                self._settle()
                changes = self._tree.version.drop_range(keys)
                if not changes.removed:
                    return
                self._damaged_tables.clear()  # perhaps what is left of them is sound
                self._background_errors.pop("damage", None)
                with self._snapshot_lock:
                    self._pin_snapshots()
                    self._commit_change(changes, says_the_same=False)
                if changes.added:
                    self._seal_manifest()
            self._delete_obsolete()

    def _pin_snapshots(self) -> None:
        """Give open snapshots the present sources: dropped keys leave no versions behind."""
        raise NotImplementedError

    def _flush_all(self) -> None:
        """Move everything in memory into tables and wait for it."""
        self._refuse_write()  # before any lock: a forked child may have inherited it held
        self._refuse_reentry()
        with self._lock:
            self._flush_requests += 1
            self._background_errors.pop("flush", None)  # tried again at once, not told again
        if self._background is not None:
            self._background.wake_flush()
        self._wait_for_room()
        self._freeze(only_if_full=False)
        newest = self._frozen[-1:]
        self._after_freeze()
        with self._lock:
            while newest and newest[0] in self._frozen and not self.closed:
                self._refuse_write()
                self._raise_background_error("flush")
                self._changed.wait(0.05)
        self._refuse_read()

    def _oldest_snapshot(self) -> int:
        pinned = self._gate.pinned_sequences()
        return pinned[0] if pinned else NO_SNAPSHOT

    def _carry_out(self, compaction: Compaction) -> None:
        """REQUIRES: _compaction_lock, and a compaction picked from the current version under it."""
        if compaction.is_move:
            with self._lock:
                self._commit_change(compaction.move(), says_the_same=True)
            self._engine_counters.moves += 1
            return
        with self._lock:
            job = self._jobs.compact(self._tree, compaction, self._gate.pinned_sequences())
        with self._running_job(job):
            summaries = job.run()
            added = describe(summaries, compaction.output_level, compaction.epoch)
            with self._lock:
                changes = TableChanges(added, compaction.removed)
                self._commit_change(changes, says_the_same=True)
        del job
        counters = self._engine_counters
        counters.compactions += 1
        counters.compacted_bytes_read += compaction.input_size
        counters.compacted_bytes_written += sum(meta.file_size for meta in added)
        self._delete_obsolete()

    @contextlib.contextmanager
    def _running_job(self, job: Job) -> Iterator[None]:
        """Makes a job known to close(); removes its outputs when it failed before any edit named
        them."""
        self._running.add(job)
        try:
            if self.closed:  # asked after the job is known: close() cancels it or we see it here
                raise ClosedError("the database is closed")
            yield
        except BaseException as error:
            unnamed = {summary.number for summary in job.outputs} - self._doubtful
            self._delete(self._table_paths(unnamed - self._tree.version.file_numbers))
            if self.closed and isinstance(error, Error):
                raise ClosedError("the database was closed meanwhile") from error
            raise
        finally:
            self._running.discard(job)

    # --- reentry ---------------------------------------------------------------------------------

    def _is_inside(self) -> bool:
        """Whether this thread is in the middle of a rotation, merge, flush, compaction or edit."""
        if self._is_exclusive():
            return True
        locks: tuple[Any, ...] = (self._lock, self._flush_lock, self._compaction_lock)
        return any(lock._is_owned() for lock in locks)

    def _refuse_reentry(self) -> None:
        background = self._background
        if self._is_inside() or (background is not None and background.is_current_thread()):
            raise Error("refused to a finalizer that interrupts the database's own work")

    # --- background ------------------------------------------------------------------------------

    def _background_step(self, kind: str) -> Step:
        """One step of a background thread; what goes wrong is kept for writers to hear of."""
        step = self._flush_step if kind == "flush" else self._compact_step
        requests = self._flush_requests
        try:
            worked = step()
        # Whatever it is, the thread must live and writers must hear of it.
        except Exception as error:  # noqa: BLE001
            if self.closed:
                return Step.IDLE
            logger.error("%s failed, will be tried again: %s", kind, error)
            with self._lock:
                # A failure older than a request to flush is no answer to it: the next try is.
                if kind != "flush" or requests == self._flush_requests:
                    self._background_errors[kind] = error
                self._changed.notify_all()
            return Step.FAILED
        self._background_errors.pop(kind, None)
        if not worked:
            return Step.IDLE
        return Step.WORKED

    def _raise_background_error(self, *kinds: str) -> None:
        """For a writer that waits for background work: raise what stops it."""
        for kind in kinds:
            error = self._background_errors.get(kind)
            if error is not None:
                raise told_again(error)

    def _tick(self) -> None:
        """Sync what was written since the last tick; a failure makes the store read-only."""
        if self._commits is None or self.closed:
            return
        memory.trim(only_if_idle=True)
        try:
            self._delete_obsolete()
            sequence = self._sequence
            if self._commits.durable_sequence < sequence:
                self._commits.sync(sequence)
        except Error as error:
            self._poison(f"a background sync failed ({error}): reopen the database")
            logger.error("a background sync failed, the database is now read-only: %s", error)
        except MemoryError as error:  # the thread must live: the next tick tries again
            logger.error("a background sync failed, will be tried again: %s", error)

    def _cancel_jobs(self) -> None:
        for job in list(self._running):
            job.cancel()
