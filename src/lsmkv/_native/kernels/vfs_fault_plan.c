/* Counting, tracing and the decision what an operation is to do: see vfs_fault.h. */
#include "vfs_fault_plan.h"

#include "allocator.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const char *const names[LSM_OPERATION_COUNT] = {
    [LSM_OPERATION_OPEN] = "open",
    [LSM_OPERATION_REMOVE] = "remove",
    [LSM_OPERATION_RENAME] = "rename",
    [LSM_OPERATION_LINK] = "link",
    [LSM_OPERATION_MAKE_DIRECTORY] = "make_directory",
    [LSM_OPERATION_REMOVE_DIRECTORY] = "remove_directory",
    [LSM_OPERATION_SYNC_DIRECTORY] = "sync_directory",
    [LSM_OPERATION_LOCK] = "lock",
    [LSM_OPERATION_APPEND] = "append",
    [LSM_OPERATION_SYNC] = "sync",
    [LSM_OPERATION_START_WRITEBACK] = "start_writeback",
    [LSM_OPERATION_TRUNCATE] = "truncate",
    [LSM_OPERATION_CLOSE] = "close",
    [LSM_OPERATION_LOG_START] = "log_start",
    [LSM_OPERATION_LOG_RESERVE] = "log_reserve",
    [LSM_OPERATION_LOG_COMMIT] = "log_commit",
    [LSM_OPERATION_LOG_SYNC] = "log_sync",
    [LSM_OPERATION_LOG_FINISH] = "log_finish",
    [LSM_OPERATION_LIST] = "list",
    [LSM_OPERATION_STAT] = "stat",
    [LSM_OPERATION_READ] = "read",
    [LSM_OPERATION_READ_CACHED] = "read_cached",
    [LSM_OPERATION_SIZE] = "size",
};

#define BIT(operation) ((uint32_t)1 << (operation))

static const uint32_t all_operations = BIT(LSM_OPERATION_COUNT) - 1;
static const uint32_t tearable_operations = BIT(LSM_OPERATION_APPEND) | BIT(LSM_OPERATION_LOG_COMMIT);
static const uint32_t shortable_operations = BIT(LSM_OPERATION_READ) | BIT(LSM_OPERATION_READ_CACHED);

const char *lsm_operation_name(int operation) { return names[operation]; }

static fault_vfs *lock(lsm_vfs *vfs) {
    fault_vfs *fault = (fault_vfs *)vfs;
    pthread_mutex_lock(&fault->mutex);
    return fault;
}

static void unlock(fault_vfs *fault) { pthread_mutex_unlock(&fault->mutex); }

/* --- trace -------------------------------------------------------------------------------------------- */

static void *copy_bytes(const void *bytes, size_t size) {
    void *copy = lsm_alloc(size);
    if (copy != NULL) memcpy(copy, bytes, size);
    return copy;
}

static char *copy_string(const char *string) { return copy_bytes(string, strlen(string) + 1); }

static void free_slot(fault_trace_slot *slot) {
    if (slot->owns_path) lsm_free((char *)slot->entry.path);
    lsm_free((char *)slot->entry.target);
    lsm_free((uint8_t *)slot->entry.data);
}

static void add_trace(fault_vfs *fault, const lsm_fault_trace_entry *operation) {
    if (fault->trace_count == fault->trace_capacity) {
        size_t capacity = fault->trace_capacity == 0 ? 64 : fault->trace_capacity * 2;
        void *grown = lsm_realloc(fault->trace, capacity * sizeof *fault->trace);
        if (grown == NULL) return;
        fault->trace = grown;
        fault->trace_capacity = capacity;
    }
    fault_trace_slot slot = {*operation, 0};
    const fault_trace_slot *last = fault->trace_count > 0 ? &fault->trace[fault->trace_count - 1] : NULL;
    if (last != NULL && strcmp(last->entry.path, operation->path) == 0) {
        slot.entry.path = last->entry.path;
    } else {
        slot.entry.path = copy_string(operation->path);
        slot.owns_path = 1;
    }
    if (operation->target != NULL) slot.entry.target = copy_string(operation->target);
    slot.entry.data = NULL;
    int has_data = fault->tracing_contents && operation->data != NULL && operation->size > 0;
    if (has_data) slot.entry.data = copy_bytes(operation->data, operation->size);
    if (slot.entry.path == NULL || (operation->target != NULL && slot.entry.target == NULL) ||
        (has_data && slot.entry.data == NULL)) {
        free_slot(&slot);
        return;
    }
    fault->trace[fault->trace_count++] = slot;
}

void fault_clear_trace(fault_vfs *fault) {
    for (size_t i = 0; i < fault->trace_count; i++) free_slot(&fault->trace[i]);
    lsm_free(fault->trace);
    fault->trace = NULL;
    fault->trace_count = fault->trace_capacity = 0;
}

int lsm_fault_trace(lsm_vfs *vfs, size_t index, lsm_fault_trace_entry *entry) {
    fault_vfs *fault = lock(vfs);
    int found = index < fault->trace_count;
    if (found) *entry = fault->trace[index].entry;
    unlock(fault);
    return found;
}

/* --- judgement ---------------------------------------------------------------------------------------- */

static int strikes(fault_vfs *fault, int operation) {
    const lsm_fault_plan *plan = &fault->plan;
    if (plan->action == LSM_FAULT_NONE || !(plan->operations & BIT(operation))) return 0;
    fault->matched++;
    return fault->matched == plan->at || (plan->for_ever && fault->matched > plan->at);
}

fault_verdict fault_judge(fault_vfs *fault, const lsm_fault_trace_entry *operation) {
    fault_verdict verdict = {0};
    pthread_mutex_lock(&fault->mutex);
    if (fault->halted) {
        verdict.action = LSM_FAULT_FAIL;
        verdict.system_errno = EIO;
    } else if (fault->count_reads || operation->operation < LSM_OPERATION_LIST) {
        fault->count++;
        if (fault->tracing) add_trace(fault, operation);
        if (strikes(fault, operation->operation)) {
            const lsm_fault_plan *plan = &fault->plan;
            verdict = (fault_verdict){plan->action, plan->when, plan->system_errno, plan->keep_bytes,
                                      plan->lose_unsynced};
            if (plan->action == LSM_FAULT_HALT) fault->halted = 1;
        }
    }
    unlock(fault);
    return verdict;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

int fault_stops_before(const fault_verdict *verdict) {
    if (verdict->when == LSM_FAULT_AFTER) return 0;
    if (verdict->action == LSM_FAULT_KILL) die();
    return verdict->action == LSM_FAULT_FAIL || verdict->action == LSM_FAULT_HALT;
}

int fault_refuse(const fault_verdict *verdict, const char *path, lsm_error *error) {
    int number = verdict->action == LSM_FAULT_HALT ? EIO : verdict->system_errno;
    return lsm_fail_system(error, number, LSM_NO_OFFSET, path, "injected fault");
}

int fault_after(const fault_verdict *verdict, int code, const char *path, lsm_error *error) {
    if (verdict->action == LSM_FAULT_KILL) die();
    if (verdict->action == LSM_FAULT_HALT || verdict->action == LSM_FAULT_TEAR) {
        return fault_refuse(verdict, path, error);
    }
    if (verdict->action == LSM_FAULT_FAIL && code == LSM_OK) return fault_refuse(verdict, path, error);
    return code;
}

size_t fault_bytes_through(const fault_verdict *verdict, size_t size) {
    if (verdict->action == LSM_FAULT_TEAR || verdict->action == LSM_FAULT_SHORT) {
        return verdict->keep_bytes < size ? (size_t)verdict->keep_bytes : size;
    }
    int dies = verdict->action == LSM_FAULT_HALT || verdict->action == LSM_FAULT_KILL;
    return dies && verdict->when == LSM_FAULT_INSIDE ? size / 2 : size;
}

/* --- switches ----------------------------------------------------------------------------------------- */

void lsm_fault_arm(lsm_vfs *vfs, const lsm_fault_plan *plan) {
    fault_vfs *fault = lock(vfs);
    fault->plan = *plan;
    if (plan->operations == 0) fault->plan.operations = all_operations;
    if (plan->action == LSM_FAULT_TEAR) fault->plan.operations &= tearable_operations;
    if (plan->action == LSM_FAULT_SHORT) fault->plan.operations &= shortable_operations;
    fault->matched = 0;
    unlock(fault);
}

void lsm_fault_reset(lsm_vfs *vfs) {
    fault_vfs *fault = lock(vfs);
    fault->plan.action = LSM_FAULT_NONE;
    fault->matched = fault->count = 0;
    fault->halted = 0;
    fault_clear_trace(fault);
    unlock(fault);
}

uint64_t lsm_fault_operation_count(lsm_vfs *vfs) {
    fault_vfs *fault = lock(vfs);
    uint64_t count = fault->count;
    unlock(fault);
    return count;
}

int lsm_fault_is_halted(lsm_vfs *vfs) {
    fault_vfs *fault = lock(vfs);
    int halted = fault->halted;
    unlock(fault);
    return halted;
}

void lsm_fault_count_reads(lsm_vfs *vfs, int on) {
    fault_vfs *fault = lock(vfs);
    fault->count_reads = on;
    unlock(fault);
}

void lsm_fault_record_trace(lsm_vfs *vfs, int on, int contents) {
    fault_vfs *fault = lock(vfs);
    fault->tracing = on;
    fault->tracing_contents = contents;
    unlock(fault);
}
