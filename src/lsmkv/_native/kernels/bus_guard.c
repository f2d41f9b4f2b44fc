/* The SIGBUS handler of bus_guard.h. Signal dispositions are per process, hence the global table.
 *
 * The handler takes no lock and calls nothing but mmap and sigaction. A slot is in force while `start` is not
 * 0; its other fields are written before `start` and kept until after it is cleared.
 */
#define _GNU_SOURCE
#include "bus_guard.h"

#include "fork.h"
#include "vfs.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOT_COUNT = 128 };

typedef struct guard_slot {
    uintptr_t start; /* atomic; 0 = not in force */
    uintptr_t end;
    int *poisoned;
    uint64_t generation; /* mappings are not inherited over fork: a child ignores its parent's slots */
    int taken;           /* under lsm_fork_lock */
} guard_slot;

static guard_slot slots[SLOT_COUNT];
static struct sigaction previous_action;
static int installed; /* under lsm_fork_lock */
static uintptr_t page_size;

static int repair(uintptr_t address) {
    for (int i = 0; i < SLOT_COUNT; i++) {
        uintptr_t start = __atomic_load_n(&slots[i].start, __ATOMIC_ACQUIRE);
        if (start == 0 || address < start || address >= slots[i].end) continue;
        if (slots[i].generation != lsm_fork_generation()) continue;
        uintptr_t page = address & ~(page_size - 1);
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        void *got = mmap((void *)page, slots[i].end - page, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (got == MAP_FAILED) return 0;
        __atomic_store_n(slots[i].poisoned, 1, __ATOMIC_SEQ_CST);
        return 1;
    }
    return 0;
}

static void pass_on(int number, siginfo_t *info, void *context) {
    if (previous_action.sa_flags & SA_SIGINFO) {
        previous_action.sa_sigaction(number, info, context);
    } else if (previous_action.sa_handler == SIG_IGN && info->si_code <= 0) {
        return;
    } else if (previous_action.sa_handler == SIG_DFL || previous_action.sa_handler == SIG_IGN) {
        /* Die as we would have died: the faulting instruction, or the sent signal, comes again. */
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_DFL;
        sigaction(number, &action, NULL);
        if (info->si_code <= 0) raise(number);
    } else {
        previous_action.sa_handler(number);
    }
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    int saved_errno = errno;
    /* si_code > 0: the kernel speaks of an address. Otherwise somebody sent the signal. */
    if (info->si_code <= 0 || !repair((uintptr_t)info->si_addr)) pass_on(number, info, context);
    errno = saved_errno;
}

static int install(void) {
    if (installed) return 1;
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    installed = sigaction(SIGBUS, &action, &previous_action) == 0;
    return installed;
}

int lsm_bus_guard(void *start, size_t size, int *poisoned) {
    int found = -1;
    lsm_fork_lock();
    if (install()) {
        for (int i = 0; i < SLOT_COUNT && found < 0; i++) {
            /* What a parent had mapped is not mapped here: its slots are free. */
            if (!slots[i].taken || slots[i].generation != lsm_fork_generation()) found = i;
        }
    }
    if (found >= 0) {
        guard_slot *slot = &slots[found];
        __atomic_store_n(&slot->start, 0, __ATOMIC_RELEASE);
        slot->taken = 1;
        slot->end = (uintptr_t)start + size;
        slot->poisoned = poisoned;
        slot->generation = lsm_fork_generation();
        __atomic_store_n(&slot->start, (uintptr_t)start, __ATOMIC_RELEASE);
    }
    lsm_fork_unlock();
    return found;
}

void lsm_bus_unguard(int slot) {
    if (slot < 0) return;
    lsm_fork_lock();
    __atomic_store_n(&slots[slot].start, 0, __ATOMIC_RELEASE);
    slots[slot].taken = 0;
    lsm_fork_unlock();
}
