/* The state of a fault wrapper: what strikes when (vfs_fault_plan.c), for the operations (vfs_fault.c). */
#ifndef LSMKV_VFS_FAULT_PLAN_H
#define LSMKV_VFS_FAULT_PLAN_H

#include "vfs_fault.h"

#include <pthread.h>

typedef struct fault_trace_slot {
    lsm_fault_trace_entry entry;
    int owns_path; /* runs of operations on one file share the string */
} fault_trace_slot;

typedef struct fault_vfs {
    lsm_vfs vfs;
    lsm_vfs *base;
    pthread_mutex_t mutex; /* over everything below */
    lsm_fault_plan plan;
    uint64_t matched;
    uint64_t count;
    int halted;
    int count_reads;
    int tracing;
    int tracing_contents;
    fault_trace_slot *trace;
    size_t trace_count;
    size_t trace_capacity;
} fault_vfs;

/* What one operation is to do, decided once, before it begins. */
typedef struct fault_verdict {
    int action; /* LSM_FAULT_NONE: pass on */
    int when;
    int system_errno;
    uint64_t keep_bytes;
    int lose_unsynced;
} fault_verdict;

fault_verdict fault_judge(fault_vfs *fault, const lsm_fault_trace_entry *operation);

/* Whether the operation must not run at all. Does not return when the process is to die here. */
int fault_stops_before(const fault_verdict *verdict);
/* The result after it ran: its own, or the failure. Does not return when the process is to die here. */
int fault_after(const fault_verdict *verdict, int code, const char *path, lsm_error *error);
int fault_refuse(const fault_verdict *verdict, const char *path, lsm_error *error);
/* How many of `size` bytes get through; all of them when nothing strikes in the middle. */
size_t fault_bytes_through(const fault_verdict *verdict, size_t size);

void fault_clear_trace(fault_vfs *fault);

#endif
