/* Counts operations that run outside the core lock, so that close() can wait until none is left. */
#ifndef LSMKV_GATE_H
#define LSMKV_GATE_H

#include <pthread.h>
#include <stdint.h>

typedef struct lsm_gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint32_t outside; /* under the mutex */
    uint64_t signals; /* under the mutex: counts lsm_gate_signal */
} lsm_gate;

void lsm_gate_init(lsm_gate *gate);
void lsm_gate_enter(lsm_gate *gate);
void lsm_gate_leave(lsm_gate *gate);

/* Waits until nobody is outside. Call without the core lock. */
void lsm_gate_wait_idle(lsm_gate *gate);

/* Wakes everyone in lsm_gate_wait_signal. */
void lsm_gate_signal(lsm_gate *gate);

/* Waits for a signal after `seen` (from lsm_gate_signals) or until `timeout_ms` have passed. */
uint64_t lsm_gate_signals(lsm_gate *gate);
void lsm_gate_wait_signal(lsm_gate *gate, uint64_t seen, uint32_t timeout_ms);

#endif
