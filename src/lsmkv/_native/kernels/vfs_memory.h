/* The in-memory back end's other face: what a crash leaves of it.
 *
 * It remembers, for each file, what the last sync covered, and for each directory which changes of names came
 * after its last sync. A file is durable only in its content, a name only through a sync of its directory: a
 * synced file in an unsynced directory is lost, a synced name of an unsynced file is an empty file.
 */
#ifndef LSMKV_VFS_MEMORY_H
#define LSMKV_VFS_MEMORY_H

#include "vfs.h"

typedef struct lsm_crash_plan {
    uint64_t seed;
    double survival;   /* chance of each unsynced piece, size and name change: 0 = only what was synced */
    size_t piece_size; /* bytes that reach the device together, usually 512 */
} lsm_crash_plan;

/* A new memory vfs as a loss of power could have left this one; the given one is not changed, and may be in
 * use. Everything in the result is durable and unlocked. NULL when out of memory. */
lsm_vfs *lsm_vfs_memory_crash(lsm_vfs *memory, const lsm_crash_plan *plan);

/* The same for a kill of the process: everything, synced or not, and it is known which is which. */
lsm_vfs *lsm_vfs_memory_clone(lsm_vfs *memory);

/* What a failed sync may do: every unsynced piece of the file now reads as it was at the last sync (zeros
 * where there was nothing), the size stays. REQUIRES: a file of a memory vfs. */
void lsm_memory_lose_unsynced(lsm_file *file);

#endif
