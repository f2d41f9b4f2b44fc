/* One flush or compaction: merge inputs, drop what nobody can see, write tables. Runs without the GIL.
 *
 * Policy stays outside: which inputs, which snapshots, where tombstones may go, how large the outputs are.
 * Rules kept here:
 * - a version is dropped when a newer one of the same key is visible to every snapshot that could see it; the
 *   newest version of all is kept for the reader at the tip;
 * - a tombstone is dropped when it is not newer than any snapshot (so everything older of its key is dropped
 *   with it) and its key lies in none of the `keep` ranges (the key ranges of older runs outside the job);
 * - a put under the same two conditions is settled: it gets LSM_SEQUENCE_SETTLED instead of its sequence, and
 *   the output's range of sequences still covers the one it had, now and whenever it is merged again;
 * - blocks with keys in `keep` ranges are compressed for speed: they will be merged again soon;
 * - a user key is never split over two outputs;
 * - input out of order is refused as damage, never written down;
 * - every output is synced before it is reported; the directory is the caller's.
 */
#ifndef LSMKV_JOB_H
#define LSMKV_JOB_H

#include "merge.h"
#include "table.h"

typedef struct lsm_key_range {
    lsm_slice smallest, largest; /* inclusive user keys */
} lsm_key_range;

typedef struct lsm_job {
    /* set by the owner; everything stays alive until run has returned */
    lsm_vfs *vfs;
    const lsm_codec *codec;
    lsm_cursor *input;            /* merged; taken over and destroyed by run */
    const uint64_t *snapshots;    /* ascending, distinct; the newest sequence of all need not be among them */
    uint32_t snapshot_count;
    const lsm_key_range *keep;    /* ascending by smallest, may overlap or lie within one another */
    uint32_t keep_count;
    const lsm_slice *cuts;        /* ascending user keys: prefer to start a new output at these once it has
                                     reached half its size (boundaries of the next level) */
    uint32_t cut_count;
    lsm_table_options table;      /* settled_first and _last: the range of all tables that are merged;
                                     id is replaced per output: murmur3_x64_128, seed 0, of the 24 bytes
                                     id_seed[0], id_seed[1], file number, each little-endian */
    uint64_t id_seed[2];          /* random, from outside, never used for two jobs */
    uint64_t output_size_max;     /* target file bytes of an output */
    const char *path_prefix;      /* output path = prefix + 6-digit zero-padded number + suffix */
    const char *path_suffix;
    uint64_t *next_number;        /* the number the next file gets; atomic, shared with the store */
    const int32_t *cancel;        /* non-zero: stop with LSM_E_CANCELLED; atomic */
    uint64_t *progress_bytes;     /* key and value bytes consumed so far; atomic; may be NULL */

    /* results */
    lsm_table_summary *outputs;   /* lsm_job_clear frees them */
    uint32_t output_count;
    uint64_t entries_in, entries_out, bytes_in, bytes_out; /* bytes: of keys and values */
} lsm_job;

/* REQUIRES: run at most once per job; every result field zero. The cursors of `input` report into `error` (or
 * a record of their own). On failure `outputs` lists the finished files, which are the caller's to remove;
 * the file that was being written is removed here as far as possible. Inputs without a survivor make no
 * file. */
int lsm_job_run(lsm_job *job, lsm_error *error);
void lsm_job_clear(lsm_job *job);

#endif
