# The file-operation layer: the C table, and the Python objects that own one.
#
# A native module that keeps an `lsm_file *` or `lsm_vfs *` also keeps the FileSystem object.
from libc.stdint cimport int64_t, uint8_t, uint64_t

from lsmkv._native.failure cimport lsm_error

cdef extern from "vfs.h" nogil:
    enum:
        LSM_OPEN_READ
        LSM_OPEN_WRITE
        LSM_OPEN_CREATE
        LSM_OPEN_EXCLUSIVE
        LSM_OPEN_TRUNCATE
        LSM_FILE_REGULAR
        LSM_FILE_DIRECTORY
        LSM_FILE_OTHER
        LSM_LOG_WRITTEN
        LSM_LOG_MAPPED
    ctypedef struct lsm_file_info:
        int type
        uint64_t size_bytes
    ctypedef int (*lsm_name_sink)(void *context, const char *name) noexcept nogil
    ctypedef struct lsm_vfs:
        const lsm_vfs_ops *ops
    ctypedef struct lsm_file:
        const lsm_file_ops *ops
        char *path
    ctypedef struct lsm_vfs_ops:
        const char *name
        int (*open)(lsm_vfs *, const char *, int, lsm_file **, lsm_error *) noexcept nogil
        int (*remove)(lsm_vfs *, const char *, lsm_error *) noexcept nogil
        int (*rename)(lsm_vfs *, const char *, const char *, lsm_error *) noexcept nogil
        int (*link)(lsm_vfs *, const char *, const char *, lsm_error *) noexcept nogil
        int (*make_directory)(lsm_vfs *, const char *, lsm_error *) noexcept nogil
        int (*remove_directory)(lsm_vfs *, const char *, lsm_error *) noexcept nogil
        int (*sync_directory)(lsm_vfs *, const char *, lsm_error *) noexcept nogil
        int (*list)(lsm_vfs *, const char *, lsm_name_sink, void *, lsm_error *) noexcept nogil
        int (*stat)(lsm_vfs *, const char *, lsm_file_info *, lsm_error *) noexcept nogil
        int (*lock)(lsm_vfs *, const char *, lsm_file **, lsm_error *) noexcept nogil
        int (*can_map_log)(lsm_vfs *, const char *) noexcept nogil
        void (*destroy)(lsm_vfs *) noexcept nogil
    ctypedef struct lsm_file_ops:
        int64_t (*read)(lsm_file *, uint64_t, uint8_t *, size_t, lsm_error *) noexcept nogil
        int64_t (*read_cached)(lsm_file *, uint64_t, uint8_t *, size_t, lsm_error *) noexcept nogil
        int (*append)(lsm_file *, const uint8_t *, size_t, lsm_error *) noexcept nogil
        int (*sync)(lsm_file *, lsm_error *) noexcept nogil
        int (*start_writeback)(lsm_file *, uint64_t, uint64_t) noexcept nogil
        int (*truncate)(lsm_file *, uint64_t, lsm_error *) noexcept nogil
        int (*size)(lsm_file *, uint64_t *, lsm_error *) noexcept nogil
        int (*close)(lsm_file *, lsm_error *) noexcept nogil
        int (*log_start)(lsm_file *, int, lsm_error *) noexcept nogil
        int (*log_reserve)(lsm_file *, size_t, uint8_t **, lsm_error *) noexcept nogil
        int (*log_commit)(lsm_file *, size_t, lsm_error *) noexcept nogil
        int (*log_sync)(lsm_file *, lsm_error *) noexcept nogil
        int (*log_finish)(lsm_file *, lsm_error *) noexcept nogil
    lsm_vfs *lsm_vfs_posix_create()
    lsm_vfs *lsm_vfs_memory_create()
    uint64_t lsm_fork_generation()

cdef extern from "vfs_memory.h" nogil:
    ctypedef struct lsm_crash_plan:
        uint64_t seed
        double survival
        size_t piece_size
    lsm_vfs *lsm_vfs_memory_crash(lsm_vfs *memory, const lsm_crash_plan *plan)
    lsm_vfs *lsm_vfs_memory_clone(lsm_vfs *memory)

cdef class FileSystem:
    # Owned; NULL only in an object whose construction failed. Use `handle()` to get it.
    cdef lsm_vfs *vfs
    cdef lsm_vfs *handle(self) except NULL
    cdef File adopt(self, lsm_file *file)
    cdef int change(
        self, int (*operation)(lsm_vfs *, const char *, lsm_error *) noexcept nogil, path
    ) except -1
    cdef int move(
        self,
        int (*operation)(lsm_vfs *, const char *, const char *, lsm_error *) noexcept nogil,
        source,
        target,
    ) except -1
    cdef int describe(self, path, lsm_file_info *info, bint missing_ok) except -1

cdef class File:
    cdef lsm_file *file    # NULL once closed
    cdef readonly FileSystem file_system
    cdef readonly str path
    cdef int users         # calls that are out without the GIL
    cdef bint closing      # closed; the last user frees the handle
    cdef lsm_file *enter(self) except NULL
    cdef int leave(self) except -1
    cdef int release(self) except -1
    cdef int is_open(self) except -1
    cdef int act(self, int (*operation)(lsm_file *, lsm_error *) noexcept nogil) except -1

cdef class PosixFileSystem(FileSystem):
    pass

cdef class MemoryFileSystem(FileSystem):
    cdef MemoryFileSystem replaced_by(self, lsm_vfs *vfs)
