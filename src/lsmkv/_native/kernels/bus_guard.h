/* A store into a mapped log must not kill the process when the file behind it is gone.
 *
 * The kernel answers a store beyond the end of a mapped file (somebody truncated it), or one it cannot back
 * with a block, with SIGBUS. For the ranges registered here a handler puts anonymous zero pages in place,
 * sets the range's `poisoned` flag and lets the store go on: the owner reads the flag before it trusts what
 * it wrote. Every other SIGBUS goes to the handler that was there before.
 *
 * A handler installed later by someone else runs first; if it does not chain to ours, the guard is off.
 */
#ifndef LSMKV_BUS_GUARD_H
#define LSMKV_BUS_GUARD_H

#include <stddef.h>

/* Guards [start, start + size), page-aligned: the slot number, or -1 when all slots are taken or no handler
 * could be installed. `poisoned` outlives the guard. */
int lsm_bus_guard(void *start, size_t size, int *poisoned);

/* REQUIRES: no thread is storing into the range any more. Called before munmap. */
void lsm_bus_unguard(int slot);

#endif
