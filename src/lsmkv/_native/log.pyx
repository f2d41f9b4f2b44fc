"""The commit log: LogWriter appends batches to a segment, SegmentReader reads one back, and
IntactRecords finds what is left of a damaged one.

Format, promises and the worked example: kernels/log.h; how the end of a segment is judged:
log_reader.c.

The classes are thin: arguments are checked, the kernel works, codes become exceptions. A
LogWriter may be used from any thread: `sync` releases the GIL, and others may append or close
meanwhile. A SegmentReader refuses to be used by two threads at once. Policy (when to sync, when to
start a segment, which segments belong together) is not here.
"""

import os
import threading

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize

from lsmkv._native.buffers cimport slice_of
from lsmkv._native.failure cimport raise_error
from lsmkv._native.memory cimport lsm_memory_attach, shared_state
from lsmkv._native.memtable cimport LSM_KEY_SIZE_MAX, LSM_VALUE_SIZE_MAX, Memtable
from lsmkv._native.vfs cimport LSM_LOG_MAPPED, LSM_LOG_WRITTEN, lsm_fork_generation

from lsmkv._native.segment import LogRecord, LogSegment
from lsmkv.errors import ClosedError, ForkError

cdef extern from "status.h" nogil:
    int lsm_error_set_path(lsm_error *error, const char *path)

cdef extern from "constants.h" nogil:
    const size_t LSM_BATCH_SIZE_MAX
    enum:
        LSM_KIND_PUT
        LSM_KIND_DELETE

lsm_memory_attach(shared_state())


cdef bytes copy_slice(lsm_slice slice):
    return PyBytes_FromStringAndSize(<const char *> slice.data, <Py_ssize_t> slice.size)


cdef list normalised(operations):
    """`operations` as a list of (kind, key, value) with checked types and sizes."""
    result = []
    for kind, key, value in operations:
        if type(key) is not bytes:
            raise TypeError(f"a key must be bytes, not {type(key).__name__}")
        if kind == LSM_KIND_DELETE:
            if value is not None:
                raise ValueError("a DELETE has no value: give None")
            value = b""
        elif kind != LSM_KIND_PUT:
            raise ValueError(f"unknown kind of operation: {kind!r}")
        elif type(value) is not bytes:
            raise TypeError(f"a value must be bytes, not {type(value).__name__}")
        if <size_t> len(key) > LSM_KEY_SIZE_MAX:
            raise ValueError(f"a key of {len(key)} bytes is too large (maximum {LSM_KEY_SIZE_MAX})")
        if <size_t> len(value) > LSM_VALUE_SIZE_MAX:
            raise ValueError(f"a value of {len(value)} bytes is too large "
                             f"(maximum {LSM_VALUE_SIZE_MAX})")
        result.append((int(kind), key, value))
    if not result:
        raise ValueError("a batch needs at least one operation")
    return result


@cython.no_gc_clear
cdef class LogWriter:
    """Writes one segment in a new file. `mapped` is a wish, `mode` says what became of it.

    Nothing is durable before `sync`; what `append` returned survives a kill of the process.
    """

    def __init__(self, FileSystem filesystem not None, path, *, uint64_t number, uint64_t nonce,
                 uint64_t previous_number=0, uint64_t previous_length=0,
                 uint64_t previous_sequence=0, uint64_t manifest_edit=0, bint mapped=False):
        cdef lsm_error error
        cdef lsm_log_segment segment
        cdef int mode = LSM_LOG_MAPPED if mapped else LSM_LOG_WRITTEN
        cdef bytes encoded = os.fsencode(path)
        if self.writer != NULL or self.closing:
            raise TypeError("a LogWriter is initialised once")
        if b"\0" in encoded:
            raise ValueError("embedded null byte in path")
        segment.number = number
        segment.nonce = nonce
        segment.previous_number = previous_number
        segment.previous_length = previous_length
        segment.previous_sequence = previous_sequence
        segment.manifest_edit = manifest_edit
        error.code = 0
        self.filesystem = filesystem
        self.sync_lock = threading.Lock()
        self.path = os.fsdecode(encoded)
        self.number = number
        self.fork_generation = lsm_fork_generation()
        cdef const char *name = encoded
        cdef lsm_vfs *vfs = filesystem.handle()
        cdef int status
        with nogil:
            status = lsm_log_create(vfs, name, &segment, mode, &self.writer, &error)
        if status < 0:
            raise_error(status, &error)

    def __dealloc__(self):
        lsm_log_destroy(self.writer)

    cdef int check(self) except -1:
        if self.fork_generation != lsm_fork_generation():
            raise ForkError(f"{self.path}: opened before fork()")
        if self.writer == NULL or self.closing:
            raise ClosedError(f"{self.path}: the log is closed")
        return 0

    @property
    def length(self):
        """Committed bytes, the header included."""
        self.check()
        return self.writer.length

    @property
    def synced_to(self):
        """How many of them are known to be durable."""
        self.check()
        return self.writer.synced_to

    @property
    def last_sequence(self):
        """The sequence of the last operation appended, or `previous_sequence`."""
        self.check()
        return self.writer.last_sequence

    @property
    def finished(self):
        """Whether finish() has written the close record."""
        self.check()
        return bool(self.writer.finished)

    @property
    def mode(self):
        """How the file is written: "mapped" or "written"."""
        self.check()
        return "mapped" if self.writer.mode == LSM_LOG_MAPPED else "written"

    def append(self, operations):
        """Append one batch of (kind, key, value), None in a DELETE; return its base sequence."""
        cdef list batch = normalised(operations)
        cdef size_t payload_size = 0
        cdef uint8_t *cursor
        cdef uint8_t *payload
        cdef lsm_slice key_copy, value_copy
        cdef lsm_error error
        cdef uint64_t base_sequence
        cdef int status
        self.check()
        for kind, key, value in batch:
            payload_size += lsm_log_operation_size(kind, len(key), len(value))
            if payload_size > LSM_BATCH_SIZE_MAX:
                raise ValueError(f"the batch is too large (maximum {LSM_BATCH_SIZE_MAX} bytes)")
        error.code = 0
        base_sequence = self.writer.last_sequence + 1
        status = lsm_log_begin(self.writer, payload_size, &payload, &error)
        if status < 0:
            raise_error(status, &error)
        cursor = payload
        for kind, key, value in batch:
            cursor = lsm_log_encode(cursor, kind, slice_of(key), slice_of(value), &key_copy,
                                    &value_copy)
        status = lsm_log_commit(self.writer, LSM_LOG_BATCH, base_sequence, <uint32_t> len(batch),
                                payload_size, &error)
        if status < 0:
            raise_error(status, &error)
        return base_sequence

    def sync(self):
        """Make everything appended so far durable and mark it; the GIL is released meanwhile."""
        self.check()
        with self.sync_lock:
            self.sync_alone()

    cdef int sync_alone(self) except -1:
        cdef lsm_error error
        cdef uint64_t covered = 0
        cdef int status
        self.check()
        error.code = 0
        self.syncing = True
        with nogil:
            status = lsm_log_sync(self.writer, &covered, &error)
        self.syncing = False
        if status == 0 and not self.closing:
            # The bytes are durable without it; if it poisons the writer, the next call says so.
            lsm_log_mark_synced(self.writer, covered, NULL)
        if self.closing:
            self.destroy()
        if status < 0:
            return raise_error(status, &error)
        return 0

    def finish(self):
        """Append the close record and cut the file. Only `sync` and `close` may follow."""
        cdef lsm_error error
        cdef int status
        self.check()
        error.code = 0
        status = lsm_log_finish(self.writer, &error)
        if status < 0:
            raise_error(status, &error)

    def close(self):
        """Close the file; does not finish the segment. May be called again."""
        self.closing = True
        if not self.syncing:
            self.destroy()

    cdef int destroy(self) except -1:
        cdef lsm_log_writer *writer = self.writer
        self.writer = NULL
        with nogil:
            lsm_log_destroy(writer)
        return 0


cdef class SegmentReader:
    """Reads the segment in `data`; `path` is for messages only.

    Iterating yields a LogRecord each and checks its operations; `replay` applies batches to a
    Memtable. Both go on where the other stopped. At the end `end` is "closed", "clean" or "torn";
    damage raises CorruptionError, what a newer version wrote raises Error, and reading stays where
    it was. A file whose header never reached the disk has `segment` None, no records and `end`
    "torn".
    """

    def __init__(self, bytes data not None, path):
        cdef lsm_error error
        cdef int status
        if self.data is not None:
            raise TypeError("a SegmentReader is initialised once")
        error.code = 0
        self.data = data
        self.path_bytes = os.fsencode(path)
        self.path = os.fsdecode(self.path_bytes)
        status = lsm_log_reader_open(&self.reader, <const uint8_t *> <const char *> data,
                                     <size_t> len(data), &error)
        if status < 0:
            if self.reader.end == LSM_LOG_END_NONE:
                self.fail(status, &error)
            return
        header = self.reader.segment
        self.segment = LogSegment(header.number, header.nonce, header.previous_number,
                                  header.previous_length, header.previous_sequence,
                                  header.manifest_edit)

    cdef int fail(self, int status, lsm_error *error) except -1:
        lsm_error_set_path(error, self.path_bytes)
        return raise_error(status, error)

    cdef int enter(self) except -1:
        if self.busy:
            raise RuntimeError("the SegmentReader is in use by another thread")
        return 0

    @property
    def end(self):
        """How the segment ended: "closed", "clean", "torn"; None before that."""
        if self.reader.end == LSM_LOG_END_CLOSED:
            return "closed"
        if self.reader.end == LSM_LOG_END_CLEAN:
            return "clean"
        return "torn" if self.reader.end == LSM_LOG_END_TORN else None

    @property
    def offset(self):
        """Where the next record starts; at the end, the length of the valid part."""
        return self.reader.offset

    @property
    def last_sequence(self):
        """The sequence of the last operation read, or that of the previous segment."""
        return self.reader.last_sequence

    @property
    def synced_to(self):
        """The highest number of durable bytes that any record read so far claims."""
        return self.reader.synced_to

    def __iter__(self):
        return self

    def __next__(self):
        cdef lsm_error error
        cdef lsm_log_record record
        cdef lsm_log_reader before
        cdef size_t operation_bytes
        cdef int status
        self.enter()
        before = self.reader
        error.code = 0
        status = lsm_log_next(&self.reader, &record, &error)
        if status == 0:
            raise StopIteration
        if status > 0 and record.type == LSM_LOG_BATCH:
            status = lsm_log_check_batch(&record, &operation_bytes, &error)
            if status < 0:
                self.reader = before
        if status < 0:
            self.fail(status, &error)
        return LogRecord(record.type, record.count, record.base_sequence, record.synced_to,
                         record.offset, decode_operations(record.payload))

    def replay(self, Memtable memtable not None, uint64_t bytes_max):
        """Apply batches until the memtable's arena exceeds `bytes_max` or the segment ends.

        Returns the number of operations applied. A batch is applied whole or, when this raises,
        not at all; those before it stay. The GIL is released: nobody else may use `memtable`
        meanwhile.
        """
        cdef lsm_error error
        cdef uint64_t applied = 0
        cdef int status
        self.enter()
        error.code = 0
        self.busy = True
        try:
            with nogil:
                status = lsm_log_replay(&self.reader, memtable.memtable, bytes_max, &applied,
                                        &error)
        finally:
            self.busy = False
        if status < 0:
            self.fail(status, &error)
        return applied


cdef class IntactRecords:
    """Iterates the intact records of the segment with this `nonce` at or after `offset` of `data`,
    whatever lies between them; `path` is for messages only.

    A record counts when its checksum, which nonce and offset go into, says so; nothing is guessed.
    `last_sequence` is that of the records before `offset`, None when it is not known. Takes time
    in proportion to the size of `data`, for any content: CorruptionError when it would take more.
    What a newer version wrote raises Error. One thread at a time.
    """

    def __init__(self, bytes data not None, path, *, uint64_t nonce, size_t offset,
                 last_sequence=None):
        cdef uint64_t sequence = 0
        if self.data is not None:
            raise TypeError("an IntactRecords is initialised once")
        if offset % LSM_LOG_ALIGNMENT:
            raise ValueError(f"no record begins at byte {offset}")
        if last_sequence is not None:
            sequence = last_sequence
        self.data = data
        self.path_bytes = os.fsencode(path)
        lsm_log_salvage_open(&self.reader, <const uint8_t *> <const char *> data,
                             <size_t> len(data), nonce, offset,
                             NULL if last_sequence is None else &sequence)

    @property
    def offset(self):
        """The end of the last record found, or of `data` when there is no other."""
        return self.reader.offset

    def __iter__(self):
        return self

    def __next__(self):
        cdef lsm_error error
        cdef lsm_log_record record
        cdef int status
        if self.data is None:
            raise StopIteration
        error.code = 0
        status = lsm_log_salvage_next(&self.reader, &record, &error)
        if status < 0:
            lsm_error_set_path(&error, self.path_bytes)
            raise_error(status, &error)
        if status == 0:
            raise StopIteration
        return LogRecord(record.type, record.count, record.base_sequence, record.synced_to,
                         record.offset, decode_operations(record.payload))


cdef tuple decode_operations(lsm_slice payload):
    """REQUIRES: checked by lsm_log_check_batch, or empty."""
    cdef lsm_reader reader
    cdef uint8_t kind = 0
    cdef lsm_slice key, value
    operations = []
    reader.cursor = payload.data
    reader.end = payload.data + payload.size
    while lsm_log_next_operation(&reader, &kind, &key, &value) > 0:
        operations.append(
            (kind, copy_slice(key), None if kind == LSM_KIND_DELETE else copy_slice(value))
        )
    return tuple(operations)
