/* A counter with a condition variable: see gate.h. */
#include "gate.h"

#include <time.h>

void lsm_gate_init(lsm_gate *gate) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_cond_init(&gate->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    gate->outside = 0;
    gate->signals = 0;
}

void lsm_gate_enter(lsm_gate *gate) {
    pthread_mutex_lock(&gate->mutex);
    gate->outside++;
    pthread_mutex_unlock(&gate->mutex);
}

void lsm_gate_leave(lsm_gate *gate) {
    pthread_mutex_lock(&gate->mutex);
    if (--gate->outside == 0) pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

void lsm_gate_wait_idle(lsm_gate *gate) {
    pthread_mutex_lock(&gate->mutex);
    while (gate->outside != 0) pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

void lsm_gate_signal(lsm_gate *gate) {
    pthread_mutex_lock(&gate->mutex);
    gate->signals++;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

uint64_t lsm_gate_signals(lsm_gate *gate) {
    pthread_mutex_lock(&gate->mutex);
    uint64_t signals = gate->signals;
    pthread_mutex_unlock(&gate->mutex);
    return signals;
}

void lsm_gate_wait_signal(lsm_gate *gate, uint64_t seen, uint32_t timeout_ms) {
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (deadline.tv_nsec >= 1000000000L) {
        deadline.tv_nsec -= 1000000000L;
        deadline.tv_sec++;
    }
    pthread_mutex_lock(&gate->mutex);
    while (gate->signals == seen) {
        if (pthread_cond_timedwait(&gate->changed, &gate->mutex, &deadline) != 0) break;
    }
    pthread_mutex_unlock(&gate->mutex);
}
