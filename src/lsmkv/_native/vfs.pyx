"""The one door to the operating system, for Python: files and directories of a chosen back end.

`PosixFileSystem` is the real one; `MemoryFileSystem` lives in memory and knows what has been
synced; vfs_fault.pyx has a wrapper that fails, tears or dies at a chosen operation. Paths are str
or bytes. Every refusal of the system is a `StorageError` with errno and path. The GIL is released
around each call that may wait. A File keeps its FileSystem alive; several threads may use one file,
and closing it while another thread is inside a call takes effect when that call returns.

The native layers do not pass here: they take the C table from `FileSystem.handle()` (vfs.pxd).
"""

import errno as errors_of_system
import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython cimport no_gc_clear
from libc.string cimport memcpy, memset, strlen

from lsmkv._native.failure cimport (
    LSM_E_MEMORY,
    LSM_E_WOULD_BLOCK,
    LSM_OK,
    raise_error,
)
from lsmkv._native.memory cimport lsm_free, lsm_memory_attach, lsm_realloc, shared_state

from lsmkv.errors import ClosedError, StorageError

lsm_memory_attach(shared_state())

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]

cdef dict OPEN_FLAGS = {
    "r": LSM_OPEN_READ,
    "w": LSM_OPEN_READ | LSM_OPEN_WRITE | LSM_OPEN_CREATE | LSM_OPEN_TRUNCATE,
    "a": LSM_OPEN_READ | LSM_OPEN_WRITE | LSM_OPEN_CREATE,
    "x": LSM_OPEN_READ | LSM_OPEN_WRITE | LSM_OPEN_CREATE | LSM_OPEN_EXCLUSIVE,
}


cdef bytes encode_path(path):
    cdef bytes encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError("embedded null byte in path")
    return encoded


# The names of a directory, NUL after each. Gathered without the GIL: a back end may hold its mutex
# meanwhile, for which another thread may be waiting with the GIL.
cdef struct name_list:
    char *data
    size_t size
    size_t capacity


cdef int collect_name(void *context, const char *name) noexcept nogil:
    cdef name_list *names = <name_list *> context
    cdef size_t size = strlen(name) + 1
    cdef size_t capacity
    cdef void *grown
    if names.size + size > names.capacity:
        capacity = 2 * (names.capacity + size)
        grown = lsm_realloc(names.data, capacity)
        if grown == NULL:
            return LSM_E_MEMORY
        names.data = <char *> grown
        names.capacity = capacity
    memcpy(names.data + names.size, name, size)
    names.size += size
    return LSM_OK


cdef class FileSystem:
    """Operations on names. Abstract: make a PosixFileSystem or a MemoryFileSystem."""

    def __init__(self):
        if type(self) is FileSystem:
            raise TypeError("FileSystem is abstract")

    def __dealloc__(self):
        if self.vfs != NULL:
            self.vfs.ops.destroy(self.vfs)

    cdef lsm_vfs *handle(self) except NULL:
        if self.vfs == NULL:
            raise TypeError("this FileSystem was not constructed")
        return self.vfs

    cdef File adopt(self, lsm_file *file):
        """A File that owns `file`; when it cannot be made, the handle is closed."""
        cdef File result
        try:
            result = File.__new__(File)
            result.path = os.fsdecode(<bytes> file.path)
        except BaseException:
            file.ops.close(file, NULL)
            raise
        result.file = file
        result.file_system = self
        return result

    @property
    def name(self):
        """The kind of back end: "posix", "memory" or "fault"."""
        return (<bytes> self.handle().ops.name).decode("ascii")

    def open(self, path, mode="r"):
        """Open a file: "r" read, "w" create or empty, "a" append or create, "x" create anew."""
        if mode not in OPEN_FLAGS:
            raise ValueError("mode must be 'r', 'w', 'a' or 'x'")
        cdef bytes encoded = encode_path(path)
        cdef const char *name = encoded
        cdef int flags = OPEN_FLAGS[mode]
        cdef lsm_vfs *vfs = self.handle()
        cdef lsm_file *file = NULL
        cdef lsm_error error
        cdef int code
        error.code = LSM_OK
        with nogil:
            code = vfs.ops.open(vfs, name, flags, &file, &error)
        if code != LSM_OK:
            raise_error(code, &error)
        return self.adopt(file)

    def lock(self, path):
        """Take the exclusive lock on a file, made when missing, until the result is closed.

        A StorageError with errno EWOULDBLOCK when another opener, here or elsewhere, holds it.
        """
        cdef bytes encoded = encode_path(path)
        cdef const char *name = encoded
        cdef lsm_vfs *vfs = self.handle()
        cdef lsm_file *file = NULL
        cdef lsm_error error
        cdef int code
        error.code = LSM_OK
        with nogil:
            code = vfs.ops.lock(vfs, name, &file, &error)
        if code != LSM_OK:
            raise_error(code, &error)
        return self.adopt(file)

    def read_file(self, path, size_max):
        """The whole content of a file; errno EFBIG when it is longer than `size_max` bytes."""
        with self.open(path) as file:
            size = file.size()
            if size > size_max:
                number = errors_of_system.EFBIG
                text = f"{os.strerror(number)} ({size} bytes, at most {size_max} expected)"
                raise StorageError(number, text, file.path)
            return file.read(0, size)

    cdef int change(
        self, int (*operation)(lsm_vfs *, const char *, lsm_error *) noexcept nogil, path
    ) except -1:
        cdef bytes encoded = encode_path(path)
        cdef const char *name = encoded
        cdef lsm_vfs *vfs = self.vfs
        cdef lsm_error error
        cdef int code
        error.code = LSM_OK
        with nogil:
            code = operation(vfs, name, &error)
        if code != LSM_OK:
            raise_error(code, &error)
        return 0

    cdef int move(
        self,
        int (*operation)(lsm_vfs *, const char *, const char *, lsm_error *) noexcept nogil,
        source,
        target,
    ) except -1:
        cdef bytes encoded_source = encode_path(source)
        cdef bytes encoded_target = encode_path(target)
        cdef const char *source_name = encoded_source
        cdef const char *target_name = encoded_target
        cdef lsm_vfs *vfs = self.vfs
        cdef lsm_error error
        cdef int code
        error.code = LSM_OK
        with nogil:
            code = operation(vfs, source_name, target_name, &error)
        if code != LSM_OK:
            raise_error(code, &error)
        return 0

    def remove(self, path):
        """Remove a file."""
        self.change(self.handle().ops.remove, path)

    def rename(self, source, target):
        """Rename atomically, replacing `target`. Durable once the directory is synced."""
        self.move(self.handle().ops.rename, source, target)

    def link(self, source, target):
        """Make `target` a second name of the file `source`; errno EXDEV where not possible."""
        self.move(self.handle().ops.link, source, target)

    def make_directory(self, path):
        """Make a directory; its parent must exist."""
        self.change(self.handle().ops.make_directory, path)

    def remove_directory(self, path):
        """Remove an empty directory."""
        self.change(self.handle().ops.remove_directory, path)

    def sync_directory(self, path):
        """Make the names in a directory durable."""
        self.change(self.handle().ops.sync_directory, path)

    def list_directory(self, path):
        """The names in a directory, sorted."""
        cdef bytes encoded = encode_path(path)
        cdef const char *name = encoded
        cdef lsm_vfs *vfs = self.handle()
        cdef lsm_error error
        cdef int code
        cdef name_list names
        memset(&names, 0, sizeof(names))
        error.code = LSM_OK
        try:
            with nogil:
                code = vfs.ops.list(vfs, name, collect_name, &names, &error)
            if code != LSM_OK:
                raise_error(code, &error)
            found = PyBytes_FromStringAndSize(names.data, names.size).split(b"\0")
            return sorted(os.fsdecode(part) for part in found if part)
        finally:
            lsm_free(names.data)

    cdef int describe(self, path, lsm_file_info *info, bint missing_ok) except -1:
        """Fills `info`; with `missing_ok` type 0 stands for a missing file."""
        cdef bytes encoded = encode_path(path)
        cdef const char *name = encoded
        cdef lsm_vfs *vfs = self.handle()
        cdef lsm_error error
        cdef int code
        error.code = LSM_OK
        with nogil:
            code = vfs.ops.stat(vfs, name, info, &error)
        if code == LSM_OK:
            return 0
        missing = error.system_errno in (errors_of_system.ENOENT, errors_of_system.ENOTDIR)
        if missing_ok and missing:
            info.type = 0
            return 0
        return raise_error(code, &error)

    def file_size(self, path):
        """The size of a file in bytes."""
        cdef lsm_file_info info
        self.describe(path, &info, False)
        return info.size_bytes

    def exists(self, path):
        """Whether the path names anything."""
        cdef lsm_file_info info
        self.describe(path, &info, True)
        return info.type != 0

    def is_directory(self, path):
        """Whether the path names a directory."""
        cdef lsm_file_info info
        self.describe(path, &info, True)
        return info.type == LSM_FILE_DIRECTORY

    def can_map_log(self, directory):
        """Whether a log in this directory may be mapped: local ext4 and xfs only."""
        cdef bytes encoded = encode_path(directory)
        cdef const char *name = encoded
        cdef lsm_vfs *vfs = self.handle()
        cdef int answer
        with nogil:
            answer = vfs.ops.can_map_log(vfs, name)
        return answer != 0


cdef class PosixFileSystem(FileSystem):
    """The file system of the operating system."""

    def __cinit__(self):
        self.vfs = lsm_vfs_posix_create()
        if self.vfs == NULL:
            raise MemoryError("lsmkv: out of memory")

    def __init__(self):
        """Nothing to choose."""


cdef class MemoryFileSystem(FileSystem):
    """Files in memory, gone with the object, and the images that crashes could leave of them."""

    def __cinit__(self):
        self.vfs = lsm_vfs_memory_create()
        if self.vfs == NULL:
            raise MemoryError("lsmkv: out of memory")

    def __init__(self):
        """Begins with an empty, durable root directory; paths are taken from there."""

    cdef MemoryFileSystem replaced_by(self, lsm_vfs *vfs):
        """A new object around `vfs`, which it then owns."""
        if vfs == NULL:
            raise MemoryError("lsmkv: out of memory")
        cdef MemoryFileSystem result
        try:
            result = MemoryFileSystem()
        except MemoryError:
            vfs.ops.destroy(vfs)
            raise
        result.vfs.ops.destroy(result.vfs)
        result.vfs = vfs
        return result

    def crash(self, seed=None, survival=0.0, piece_size=512):
        """What a loss of power could leave of this moment, all of it durable.

        This object is not changed. What was synced survives. Each unsynced piece of `piece_size`
        bytes, size and name change survives on its own with the chance `survival`, drawn from
        `seed`, which must be given unless survival is 0 or 1.
        """
        if not 0.0 <= survival <= 1.0:
            raise ValueError("survival must be between 0 and 1")
        if seed is None and 0.0 < survival < 1.0:
            raise ValueError("a survival between 0 and 1 needs a seed")
        if not 1 <= piece_size <= 1 << 30:
            raise ValueError("piece_size must be between 1 and 2**30")
        cdef lsm_crash_plan plan
        plan.seed = (0 if seed is None else seed) & 0xFFFF_FFFF_FFFF_FFFF
        plan.survival = survival
        plan.piece_size = piece_size
        cdef lsm_vfs *vfs
        with nogil:
            vfs = lsm_vfs_memory_crash(self.vfs, &plan)
        return self.replaced_by(vfs)

    def clone(self):
        """What a kill of the process leaves: everything, with the same parts of it durable."""
        cdef lsm_vfs *vfs
        with nogil:
            vfs = lsm_vfs_memory_clone(self.vfs)
        return self.replaced_by(vfs)


@no_gc_clear  # the collector must not drop the file system before the handle is closed
cdef class File:
    """An open file. Made by FileSystem.open and FileSystem.lock."""

    def __init__(self):
        raise TypeError("a File is made by FileSystem.open")

    def __dealloc__(self):
        if self.file != NULL:
            self.file.ops.close(self.file, NULL)
            self.file = NULL

    cdef lsm_file *enter(self) except NULL:
        """The handle, kept until leave(): close() in another thread waits for it."""
        self.is_open()
        self.users += 1
        return self.file

    cdef int leave(self) except -1:
        self.users -= 1
        if self.closing and self.users == 0:
            return self.release()
        return 0

    cdef int release(self) except -1:
        cdef lsm_file *file = self.file
        cdef lsm_error error
        cdef int code
        self.file = NULL
        error.code = LSM_OK
        with nogil:
            code = file.ops.close(file, &error)
        if code != LSM_OK:
            return raise_error(code, &error)
        return 0

    @property
    def closed(self):
        """Whether close() was called."""
        return self.file == NULL or self.closing

    def close(self):
        """Close the file; does nothing the second time. Nothing is synced."""
        if self.file == NULL or self.closing:
            return
        self.closing = True
        if self.users == 0:
            self.release()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def read(self, offset, size):
        """The bytes from `offset` on: `size` of them, fewer at the end of the file."""
        if offset < 0 or size < 0:
            raise ValueError("offset and size must not be negative")
        cdef uint64_t start = offset
        cdef Py_ssize_t wanted = size
        cdef lsm_error error
        cdef int64_t got
        cdef bytes data = PyBytes_FromStringAndSize(NULL, wanted)
        cdef uint8_t *target = <uint8_t *> PyBytes_AS_STRING(data)
        cdef lsm_file *file = self.enter()
        error.code = LSM_OK
        try:
            with nogil:
                got = file.ops.read(file, start, target, wanted, &error)
        finally:
            self.leave()
        if got < 0:
            raise_error(<int> got, &error)
        return data if got == wanted else data[:got]

    def read_cached(self, offset, size):
        """The same if no device has to be waited for, else None."""
        if offset < 0 or size < 0:
            raise ValueError("offset and size must not be negative")
        cdef uint64_t start = offset
        cdef Py_ssize_t wanted = size
        cdef lsm_error error
        cdef bytes data = PyBytes_FromStringAndSize(NULL, wanted)
        cdef uint8_t *target = <uint8_t *> PyBytes_AS_STRING(data)
        self.is_open()
        error.code = LSM_OK
        cdef int64_t got = self.file.ops.read_cached(self.file, start, target, wanted, &error)
        if got == LSM_E_WOULD_BLOCK:
            return None
        if got < 0:
            raise_error(<int> got, &error)
        return data if got == wanted else data[:got]

    def append(self, data):
        """Write the bytes at the end of the file: all of them, or an exception."""
        cdef Py_buffer view
        cdef lsm_error error
        cdef int code
        cdef lsm_file *file
        error.code = LSM_OK
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            file = self.enter()
            try:
                with nogil:
                    code = file.ops.append(file, <const uint8_t *> view.buf, view.len, &error)
            finally:
                self.leave()
        finally:
            PyBuffer_Release(&view)
        if code != LSM_OK:
            raise_error(code, &error)

    cdef int act(self, int (*operation)(lsm_file *, lsm_error *) noexcept nogil) except -1:
        cdef lsm_error error
        cdef int code
        cdef lsm_file *file = self.enter()
        error.code = LSM_OK
        try:
            with nogil:
                code = operation(file, &error)
        finally:
            self.leave()
        return raise_error(code, &error) if code != LSM_OK else 0

    cdef int is_open(self) except -1:
        if self.file == NULL or self.closing:
            raise ClosedError(f"{self.path}: file is closed")
        return 0

    def sync(self):
        """Make content and size durable. The name is durable once its directory is synced."""
        self.is_open()
        self.act(self.file.ops.sync)

    def size(self):
        """The size in bytes; of a started log, what is committed."""
        cdef lsm_error error
        cdef int code
        cdef uint64_t size = 0
        cdef lsm_file *file = self.enter()
        error.code = LSM_OK
        try:
            with nogil:
                code = file.ops.size(file, &size, &error)
        finally:
            self.leave()
        if code != LSM_OK:
            raise_error(code, &error)
        return size

    def truncate(self, size):
        """Cut or extend (with zeros) the file to `size` bytes."""
        if size < 0:
            raise ValueError("size must not be negative")
        cdef uint64_t wanted = size
        cdef lsm_error error
        cdef int code
        cdef lsm_file *file = self.enter()
        error.code = LSM_OK
        try:
            with nogil:
                code = file.ops.truncate(file, wanted, &error)
        finally:
            self.leave()
        if code != LSM_OK:
            raise_error(code, &error)

    def log_start(self, mapped=False):
        """Begin a log in an empty file; errno EOPNOTSUPP where it cannot be mapped."""
        cdef int mode = LSM_LOG_MAPPED if mapped else LSM_LOG_WRITTEN
        cdef lsm_error error
        cdef int code
        cdef lsm_file *file = self.enter()
        error.code = LSM_OK
        try:
            with nogil:
                code = file.ops.log_start(file, mode, &error)
        finally:
            self.leave()
        if code != LSM_OK:
            raise_error(code, &error)

    def log_append(self, data):
        """Reserve room, copy the bytes there and commit them: all of them, or an exception."""
        cdef Py_buffer view
        cdef lsm_error error
        cdef uint8_t *room = NULL
        cdef int code
        cdef lsm_file *file
        error.code = LSM_OK
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            file = self.enter()
            try:
                with nogil:
                    code = file.ops.log_reserve(file, view.len, &room, &error)
                    if code == LSM_OK:
                        if view.len != 0:
                            memcpy(room, view.buf, view.len)
                        code = file.ops.log_commit(file, view.len, &error)
            finally:
                self.leave()
        finally:
            PyBuffer_Release(&view)
        if code != LSM_OK:
            raise_error(code, &error)

    def log_sync(self):
        """Make everything committed so far durable; other threads may commit meanwhile."""
        self.is_open()
        self.act(self.file.ops.log_sync)

    def log_finish(self):
        """Cut the file to what was committed. It stays open; nothing is synced."""
        self.is_open()
        self.act(self.file.ops.log_finish)
