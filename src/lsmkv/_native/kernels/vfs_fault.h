/* A file system that fails on purpose: every operation is counted, and the k-th does what a plan says.
 *
 * It wraps any other back end and passes everything on, byte for byte, until the plan strikes. `at` counts
 * the operations that match the plan's mask since it was armed: 1 is the next one. One plan at a time.
 *
 * Dying is there in two forms: KILL sends SIGKILL to the process; HALT lets the process live on but detaches
 * it from its files: from then on every operation fails with EIO and changes nothing, which is how crash
 * tests run inside one process. Handles must still be closed; that frees them and drops their locks.
 */
#ifndef LSMKV_VFS_FAULT_H
#define LSMKV_VFS_FAULT_H

#include "vfs.h"

enum lsm_operation {
    LSM_OPERATION_OPEN = 0,
    LSM_OPERATION_REMOVE,
    LSM_OPERATION_RENAME,
    LSM_OPERATION_LINK,
    LSM_OPERATION_MAKE_DIRECTORY,
    LSM_OPERATION_REMOVE_DIRECTORY,
    LSM_OPERATION_SYNC_DIRECTORY,
    LSM_OPERATION_LOCK,
    LSM_OPERATION_APPEND,
    LSM_OPERATION_SYNC,
    LSM_OPERATION_START_WRITEBACK,
    LSM_OPERATION_TRUNCATE,
    LSM_OPERATION_CLOSE,
    LSM_OPERATION_LOG_START,
    LSM_OPERATION_LOG_RESERVE,
    LSM_OPERATION_LOG_COMMIT,
    LSM_OPERATION_LOG_SYNC,
    LSM_OPERATION_LOG_FINISH,
    /* These change nothing; lsm_fault_count_reads leaves them out of the count. */
    LSM_OPERATION_LIST,
    LSM_OPERATION_STAT,
    LSM_OPERATION_READ,
    LSM_OPERATION_READ_CACHED,
    LSM_OPERATION_SIZE,
    LSM_OPERATION_COUNT
};

const char *lsm_operation_name(int operation); /* "open", "log_commit", ... */

enum lsm_fault_action {
    LSM_FAULT_NONE = 0,
    LSM_FAULT_FAIL,  /* with `system_errno`, before anything happens, or AFTER all of it did */
    LSM_FAULT_TEAR,  /* append and log_commit: the first `keep_bytes` get through, then `system_errno` */
    LSM_FAULT_SHORT, /* read and read_cached: at most `keep_bytes` are read, as of a shorter file */
    LSM_FAULT_HALT,
    LSM_FAULT_KILL
};

/* INSIDE: half the bytes of an append or log_commit get through; for other operations the same as BEFORE. */
enum lsm_fault_moment { LSM_FAULT_BEFORE = 0, LSM_FAULT_INSIDE, LSM_FAULT_AFTER };

typedef struct lsm_fault_plan {
    int action;          /* enum lsm_fault_action */
    uint64_t at;         /* 1 = the next matching operation */
    uint32_t operations; /* bits 1 << enum lsm_operation; 0 = all that the action makes sense for */
    int for_ever;        /* FAIL: every matching operation from `at` on */
    int system_errno;
    uint64_t keep_bytes;
    int when;            /* enum lsm_fault_moment: HALT and KILL; FAIL: BEFORE or AFTER */
    int lose_unsynced;   /* FAIL BEFORE a sync over the memory back end: the unsynced bytes are gone */
} lsm_fault_plan;

typedef struct lsm_fault_trace_entry {
    int operation;
    const char *path;
    const char *target;  /* rename and link, else NULL */
    uint64_t offset;     /* LSM_NO_OFFSET where it has no meaning */
    uint64_t size;       /* likewise */
    int flags;           /* open: enum lsm_open_flags, else 0 */
    const uint8_t *data; /* append and log_commit, when contents are recorded: `size` bytes, else NULL */
} lsm_fault_trace_entry;

/* `base` outlives the result and is not owned. NULL when out of memory. */
lsm_vfs *lsm_vfs_fault_create(lsm_vfs *base);

void lsm_fault_arm(lsm_vfs *fault, const lsm_fault_plan *plan);
void lsm_fault_reset(lsm_vfs *fault); /* no plan, not halted, count 0, empty trace */
uint64_t lsm_fault_operation_count(lsm_vfs *fault);
int lsm_fault_is_halted(lsm_vfs *fault);
void lsm_fault_count_reads(lsm_vfs *fault, int on); /* on at first */
void lsm_fault_record_trace(lsm_vfs *fault, int on, int contents); /* both off at first */
/* 1 and the entry, whose strings live until the reset, or 0 beyond the end. An entry that could not be
 * allocated is missing. */
int lsm_fault_trace(lsm_vfs *fault, size_t index, lsm_fault_trace_entry *entry);

#endif
