"""From exceptions of the engine to the failures of the store's orders.

    exception                                       failure
    ReadOnlyError                                   BROKEN    an earlier write or sync failed
    StorageError, no space (or over the quota)      FULL      writes go on once there is space
    StorageError, input/output, when reading        CORRUPT   the device does not give it back
    StorageError, any other                         BROKEN    such as too many open files: may pass
    CorruptionError, Error, ValueError of a merge
        and the guard had met a lost write          LOST_DOT
        and the operand, or both, are to blame      INVALID
        and the stored record is                    CORRUPT
    CorruptionError of the engine                   CORRUPT
    ValueError otherwise                            INVALID   a key that is too long
    anything else                                   BROKEN    such as a database that was closed

CORRUPT leads to a partition being dropped and filled again from others. So a failure that may pass,
or is not one of what is stored, never becomes that.
"""

from __future__ import annotations

import errno

from lsmkv import DB, CorruptionError, Error, ReadOnlyError, StorageError
from lsmkv.kernel import RecordMerger
from lsmkv_cluster.storage.storage_orders import Failure

__all__ = ["REFUSALS", "concerns_all", "is_damage", "read_failure", "write_failure"]

REFUSALS = (Error, ValueError)  # all that the engine raises of itself, lack of memory apart
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


def concerns_all(error: Exception) -> bool:
    """Whether it is of no use to try the keys of a batch one by one."""
    return isinstance(error, ReadOnlyError) or (
        isinstance(error, StorageError) and error.errno in NO_SPACE
    )


def is_damage(error: Exception) -> bool:
    """Of an error while reading: whether what is stored cannot be read, now and later."""
    if isinstance(error, StorageError):
        return error.errno == errno.EIO
    return isinstance(error, CorruptionError)


def read_failure(error: Exception) -> Failure:
    return Failure.CORRUPT if is_damage(error) else _other_failure(error)


def write_failure(
    error: Exception, db: DB, key: bytes | None = None, merger: RecordMerger | None = None
) -> Failure:
    """`key`: what was to be written if it was one alone; `merger`: how, if it was used for nothing
    else."""
    if merger is not None and merger.missed_epoch:
        return Failure.LOST_DOT
    if merger is not None and merger.failed_side is not None:
        return Failure.CORRUPT if merger.failed_side == "old" else Failure.INVALID
    if key is not None and is_damage(error) and not _can_read(db, key):
        return Failure.CORRUPT
    return _other_failure(error)


def _other_failure(error: Exception) -> Failure:
    if isinstance(error, StorageError):
        return Failure.FULL if error.errno in NO_SPACE else Failure.BROKEN
    return Failure.INVALID if isinstance(error, ValueError) else Failure.BROKEN


def _can_read(db: DB, key: bytes) -> bool:
    """Else it was not the write that failed, but the read before it."""
    try:
        db.get(key)
    except (CorruptionError, StorageError):
        return False
    return True
