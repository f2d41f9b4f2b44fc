/* Status codes and the error record that every kernel reports through.
 *
 * Convention: an `int` result is 0 (LSM_OK), a positive count, or a negative code below. Functions that can
 * fail for a reason worth telling take an `lsm_error *` as last argument and fill it before they return the
 * code; the one place that turns it into a Python exception is `_native/failure.pyx`.
 * Kernels never assert on bytes that came from a disk; LSM_ASSERT is for promises of our own.
 */
#ifndef LSMKV_STATUS_H
#define LSMKV_STATUS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum lsm_status {
    LSM_OK = 0,
    LSM_E_MEMORY = -1,      /* an allocation failed; nothing was changed */
    LSM_E_CORRUPT = -2,     /* bytes are not what we wrote: checksum, structure or order */
    LSM_E_SYSTEM = -3,      /* the operating system refused: see system_errno */
    LSM_E_LIMIT = -4,       /* a named limit (constants.h) would be exceeded */
    LSM_E_FORMAT = -5,      /* intact, but of a version or kind this build does not know */
    LSM_E_CODEC = -6,       /* a compression library failed on valid input */
    LSM_E_CANCELLED = -7,   /* the owner asked a background job to stop */
    LSM_E_POISONED = -8,    /* an earlier write or sync failed: read-only until reopened */
    LSM_E_WOULD_BLOCK = -9, /* a read that must not block would have to; never leaves the table layer */
    LSM_E_CALLBACK = -10    /* a Python callback raised; the exception is already set */
};

enum { LSM_PATH_CAPACITY = 512, LSM_MESSAGE_CAPACITY = 192 };

typedef struct lsm_error {
    int code;          /* enum lsm_status */
    int system_errno;  /* 0 unless code is LSM_E_SYSTEM */
    uint64_t offset;   /* byte offset in the file, LSM_NO_OFFSET when it has no meaning */
    char path[LSM_PATH_CAPACITY];
    char message[LSM_MESSAGE_CAPACITY];
} lsm_error;

#define LSM_NO_OFFSET UINT64_MAX

/* Fills `error` (which may be NULL) and returns `code`. `path` may be NULL: the caller that knows it adds
 * it. */
int lsm_fail(lsm_error *error, int code, uint64_t offset, const char *path, const char *format, ...)
    __attribute__((format(printf, 5, 6), cold));

/* The same for a failed system call; reads errno through the argument, never the global. */
int lsm_fail_system(lsm_error *error, int system_errno, uint64_t offset, const char *path,
                    const char *operation)
    __attribute__((cold));

/* Adds the path to an error that a lower layer reported without one. Returns error->code. */
int lsm_error_set_path(lsm_error *error, const char *path) __attribute__((cold));

#ifdef LSMKV_DEBUG
#define LSM_ASSERT(condition) assert(condition)
#else
#define LSM_ASSERT(condition) ((void)0)
#endif

#define LSM_LIKELY(x) __builtin_expect(!!(x), 1)
#define LSM_UNLIKELY(x) __builtin_expect(!!(x), 0)

typedef struct lsm_slice {
    const uint8_t *data;
    size_t size;
} lsm_slice;

#endif
