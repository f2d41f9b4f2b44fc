"""From status codes to the exceptions of `lsmkv.errors`: the only conversion there is."""

import os

from lsmkv.errors import CorruptionError, Error, ReadOnlyError, StorageError


cdef int raise_error(int code, const lsm_error *error) except -1:
    if code == LSM_E_CALLBACK:
        return -1  # the exception is already set
    if code == LSM_E_MEMORY:
        raise MemoryError("lsmkv: out of memory")
    cdef bint filled = error != NULL and error.code != LSM_OK
    message = (<bytes> error.message).decode("utf-8", "replace") if filled else ""
    path = os.fsdecode(<bytes> error.path) if filled and error.path[0] != 0 else None
    offset = error.offset if filled and error.offset != <uint64_t> -1 else None
    if code == LSM_E_SYSTEM:
        number = error.system_errno if filled else 0
        text = f"{os.strerror(number)} ({message})" if message else os.strerror(number)
        raise StorageError(number, text, path)
    if code == LSM_E_CORRUPT:
        raise CorruptionError(message or "damaged data", path, offset)
    if code == LSM_E_LIMIT:
        raise ValueError(message or "a limit was exceeded")
    if code == LSM_E_POISONED:
        raise ReadOnlyError(message or "an earlier write or sync failed: reopen the database")
    if code == LSM_E_FORMAT:
        raise Error(f"{path}: {message}" if path else message or "unknown format version")
    if code == LSM_E_CANCELLED:
        raise Error(message or "cancelled")
    raise Error(f"{path}: {message}" if path else message or f"status {code}")
