"""Opening a database: directory, lock, manifest, replay, clean-up. Returns the parts of an Engine.

Order, so that a crash at any point leaves something the next open can recover:
1. take LOCK; then see whether there is a CURRENT; read its manifest, or start empty;
2. replay the logs into memtables and flush each to a new, synced table (pages of an old log are
   never trusted twice, and no old segment is appended to);
3. write a new manifest that holds those tables and needs none of the old logs; point CURRENT at it;
4. only then remove old logs, old manifests and orphans. An orphan table with sequences newer than
   anything recovered goes to lost/: it may be the only copy. So does a damaged one in which such
   entries are intact; one that the system does not let us read is left where it is.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import replace

from lsmkv import filenames
from lsmkv._native.job import Counter
from lsmkv._native.memtable import Memtable
from lsmkv._native.table import TableSpace
from lsmkv._native.vfs import File, FileSystem
from lsmkv.compaction import JobFactory, describe
from lsmkv.engine import Parts
from lsmkv.errors import CorruptionError, Error, LockedError, StorageError
from lsmkv.lost import move_to_lost
from lsmkv.manifest import DATABASE_ID_SIZE, ManifestState, ManifestWriter, read_manifest
from lsmkv.options import Options
from lsmkv.recovery import Inventory, ReplayResult, replay_logs, take_inventory
from lsmkv.salvage import SALVAGE_SIZE_MAX, newest_sequence
from lsmkv.tree import Tree
from lsmkv.version import TableChanges, TableMeta

__all__ = ["open_parts", "lock_directory"]

logger = logging.getLogger("lsmkv")

LOCK_SIZE_MAX = 64  # bytes


def open_parts(
    filesystem: FileSystem,
    directory: str,
    options: Options,
    *,
    create: bool,
    error_if_exists: bool,
    read_only: bool,
    random_bytes: Callable[[int], bytes],
) -> tuple[Parts, File | None]:
    """The parts of an open database, and its lock (None when read-only)."""
    _prepare_directory(filesystem, directory, create and not read_only)
    # Without a lock this is only for a better message: another opener may be at work.
    _check_presence(filesystem, directory, create and not read_only, error_if_exists)
    lock = None if read_only else lock_directory(filesystem, directory, random_bytes)
    try:
        if _check_presence(filesystem, directory, create and not read_only, error_if_exists):
            state = read_manifest(filesystem, directory)
        else:
            _refuse_foreign(filesystem, directory)
            # Whoever made the directory, perhaps an attempt that was cut off, may not have synced.
            filesystem.sync_directory(os.path.dirname(os.path.abspath(directory)))
            state = ManifestState(random_bytes(DATABASE_ID_SIZE))
        return _recover(filesystem, directory, options, state, read_only, random_bytes), lock
    except BaseException:
        if lock is not None:
            lock.close()
        raise


def lock_directory(
    filesystem: FileSystem, directory: str, random_bytes: Callable[[int], bytes]
) -> File:
    """Take LOCK and write our process id and a random token into it; LockedError names the holder.

    A destroy may have removed LOCK between our opening it and our locking it: then the lock is on
    a file without a name, and the next opener gets another one. So the token must be what the name
    leads to.
    """
    path = filenames.lock_path(directory)
    try:
        lock = filesystem.lock(path)
    except StorageError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
            raise
        holder = _lock_holder(filesystem, path)
        raise LockedError(f"{directory} is already open{holder}") from None
    try:
        try:
            lock.truncate(0)
            lock.append(f"{os.getpid()} {random_bytes(8).hex()}\n".encode())
        except StorageError as error:  # a full disk must not stand in the way of destroy
            logger.debug("could not note the process id in %s: %s", path, error)
        if lock.read(0, LOCK_SIZE_MAX) != _lock_content(filesystem, path):
            raise LockedError(f"{directory} was destroyed while it was being opened")
    except BaseException:
        lock.close()
        raise
    return lock


def _lock_content(filesystem: FileSystem, path: str) -> bytes | None:
    """None when there is no such file."""
    try:
        return filesystem.read_file(path, LOCK_SIZE_MAX)
    except StorageError as error:
        if error.errno != errno.ENOENT:
            raise
        return None


def _lock_holder(filesystem: FileSystem, path: str) -> str:
    try:
        content = _lock_content(filesystem, path) or b""
    except StorageError:
        return ""
    holder = content.decode("ascii", "replace").partition(" ")[0].strip()
    return f" in process {holder}" if holder.isdecimal() else ""


def _prepare_directory(filesystem: FileSystem, directory: str, create: bool) -> None:
    """Makes the directory when asked to."""
    if not filesystem.exists(directory):
        if not create:
            raise Error(f"{directory} does not exist")
        try:
            filesystem.make_directory(directory)
        except StorageError as error:
            if error.errno != errno.EEXIST:  # another opener was faster
                raise
    if not filesystem.is_directory(directory):
        raise Error(f"{directory} is a file, not a database directory")


def _check_presence(
    filesystem: FileSystem, directory: str, create: bool, error_if_exists: bool
) -> bool:
    """Whether the directory holds a database; Error when that is not what the caller wants."""
    exists = filesystem.exists(filenames.current_path(directory))
    if exists and error_if_exists:
        raise Error(f"{directory} already holds a database")
    if not exists and not create:
        raise Error(f"{directory} holds no database")
    return exists


def _refuse_foreign(filesystem: FileSystem, directory: str) -> None:
    """Without CURRENT there must be no data of ours: else CURRENT was lost, and starting empty
    would lose all."""
    inventory = take_inventory(filesystem, directory)
    if inventory.tables or any(
        filesystem.file_size(filenames.log_path(directory, number)) for number in inventory.logs
    ):
        raise CorruptionError(
            "there are tables or logs but no CURRENT: lsmkv.repair() can rebuild it",
            filenames.current_path(directory),
        )


def _recover(
    filesystem: FileSystem,
    directory: str,
    options: Options,
    state: ManifestState,
    read_only: bool,
    random_bytes: Callable[[int], bytes],
) -> Parts:
    inventory = take_inventory(filesystem, directory)
    counter = Counter(max(state.next_file_number, inventory.highest + 1))
    space = TableSpace(
        filesystem,
        open_files_max=options.max_open_files,
        cache_size_bytes=options.block_cache_size,
    )
    tree = Tree(directory, space, state.version)
    parts = Parts(
        directory=directory,
        filesystem=filesystem,
        options=options,
        space=space,
        tree=tree,
        state=state,
        counter=counter,
        last_sequence=state.last_sequence,
        random_bytes=random_bytes,
    )
    memtables: list[Memtable] = []
    if read_only:
        limit = 1 << 62
        result = replay_logs(filesystem, directory, state, inventory, memtables.append, limit)
        parts.memtables = tuple(reversed(memtables))
        parts.last_sequence = result.last_sequence
        return parts
    added: list[TableMeta] = []
    jobs = JobFactory(directory, options, space, counter, random_bytes)

    def flush(memtable: Memtable) -> None:
        summaries = jobs.flush(tree, [memtable], ()).run()
        metas = describe(summaries, 0, counter.next())
        added.extend(metas)
        # Installed at once, so that the next flush keeps tombstones that hide what this one holds.
        tree.picture = tree.prepare(tree.version.change(TableChanges(metas, ())))

    try:
        result = replay_logs(
            filesystem, directory, state, inventory, flush, options.write_buffer_size
        )
    except BaseException:
        _remove(filesystem, [filenames.table_path(directory, meta.number) for meta in added])
        raise
    _report(directory, result)
    filesystem.sync_directory(directory)
    parts.last_sequence = result.last_sequence
    parts.manifest = _new_manifest(parts, result)
    _clean(parts, inventory)
    return parts


def _report(directory: str, result: ReplayResult) -> None:
    if result.operation_count:
        logger.info("%s: replayed %d operations", directory, result.operation_count)
    if result.torn:
        logger.info("%s: dropped an unsynced, torn end of the log", directory)
    if result.dropped_logs:
        logger.warning("%s: dropped unsynced logs %s", directory, result.dropped_logs)


def _new_manifest(parts: Parts, result: ReplayResult) -> ManifestWriter:
    number = parts.counter.next()
    state = replace(
        parts.state,
        version=parts.tree.version,
        next_file_number=parts.counter.upcoming,
        last_sequence=result.last_sequence,
        log_number=parts.counter.upcoming,
        live_logs=(),
    )
    return ManifestWriter.create(parts.filesystem, parts.directory, number, state)


def _clean(parts: Parts, inventory: Inventory) -> None:
    """Remove what the new manifest does not need. Failures are harmless: the next open tries
    again."""
    assert parts.manifest is not None
    directory, filesystem = parts.directory, parts.filesystem
    live = parts.tree.version.file_numbers
    paths = [filenames.log_path(directory, number) for number in inventory.logs]
    paths += [
        filenames.manifest_path(directory, number)
        for number in inventory.manifests
        if number != parts.manifest.number
    ]
    for number in inventory.tables:
        if number not in live:
            _dispose_orphan(parts, number)
    _remove(filesystem, paths)


def _remove(filesystem: FileSystem, paths: list[str]) -> None:
    for path in paths:
        try:
            filesystem.remove(path)
        except StorageError as error:
            logger.warning("could not delete %s: %s", path, error)


def _dispose_orphan(parts: Parts, number: int) -> None:
    """Delete a table that no edit names, or move it to lost/ when it holds sequences nobody else
    has."""
    directory, filesystem = parts.directory, parts.filesystem
    path = filenames.table_path(directory, number)
    try:
        if _newest_sequence(parts, path, number) <= parts.last_sequence:
            filesystem.remove(path)
            return
        move_to_lost(filesystem, directory, path)
        logger.warning("%s holds writes newer than anything recovered: moved to lost/", path)
    except StorageError as error:
        logger.warning("could not remove the orphan %s: %s", path, error)


def _newest_sequence(parts: Parts, path: str, number: int) -> int:
    """In a table that may be damaged, or unfinished as a crash leaves it."""
    try:
        return parts.space.open(path, number).summary().last_sequence
    except CorruptionError:
        return newest_sequence(parts.filesystem.read_file(path, SALVAGE_SIZE_MAX))
