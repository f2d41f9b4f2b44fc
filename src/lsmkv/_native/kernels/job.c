/* The merge loop of flushes and compactions (job.h): decide about each version, write the survivors.
 *
 * One pass, no look-ahead: versions of a key arrive newest first, so all there is to know about one is which
 * came right before it. Everything that moves along with the keys (`keep` ranges, cuts) is a position in an
 * ascending array that only goes forward.
 */
#include "job.h"

#include <inttypes.h>
#include <stdio.h>

#include "allocator.h"
#include "key_buffer.h"
#include "murmur3.h"

enum {
    CHECK_ENTRIES = 1024,   /* how often progress is told and cancellation asked: entries, */
    CHECK_BYTES = 1 << 20,  /* or bytes, whichever comes first */
    NUMBER_DIGITS_MAX = 20
};

typedef struct job_state {
    lsm_job *job;
    lsm_error *error;
    lsm_key_buffer key;         /* the user key at hand */
    int has_key;
    uint64_t previous_sequence; /* of the version of `key` seen last */
    uint32_t keep_next;         /* keep ranges before it begin at or before `key` */
    lsm_slice keep_largest;     /* the largest end among those; .data NULL: none */
    uint32_t cut_next;          /* cuts before it are at or before `key` */
    uint64_t check_at_entries, check_at_bytes;
    lsm_table_builder *builder; /* of the output being written, NULL between outputs */
    char *path;                 /* of that output */
    uint64_t number;
    uint32_t output_capacity;
} job_state;

/* --- outputs ------------------------------------------------------------------------------------------ */

static int out_of_memory(job_state *state) {
    return lsm_fail(state->error, LSM_E_MEMORY, LSM_NO_OFFSET, NULL, "no memory for a background job");
}

static char *output_path(const lsm_job *job, uint64_t number) {
    size_t size = strlen(job->path_prefix) + NUMBER_DIGITS_MAX + strlen(job->path_suffix) + 1;
    char *path = lsm_alloc(size);
    if (path != NULL) snprintf(path, size, "%s%06" PRIu64 "%s", job->path_prefix, number, job->path_suffix);
    return path;
}

static void derive_id(const lsm_job *job, uint64_t number, uint8_t id[LSM_TABLE_ID_SIZE]) {
    uint8_t input[24];
    lsm_store64(input, job->id_seed[0]);
    lsm_store64(input + 8, job->id_seed[1]);
    lsm_store64(input + 16, number);
    uint64_t hash[2];
    lsm_murmur3_x64_128(input, sizeof input, 0, hash);
    lsm_store64(id, hash[0]);
    lsm_store64(id + 8, hash[1]);
}

/* Makes sure that one more finished output can be listed. */
static int reserve_output(job_state *state) {
    lsm_job *job = state->job;
    if (job->output_count < state->output_capacity) return 0;
    uint32_t capacity = state->output_capacity == 0 ? 4 : state->output_capacity * 2;
    lsm_table_summary *grown = lsm_realloc(job->outputs, capacity * sizeof *grown);
    if (grown == NULL) return out_of_memory(state);
    job->outputs = grown;
    state->output_capacity = capacity;
    return 0;
}

static int open_output(job_state *state) {
    lsm_job *job = state->job;
    int status = reserve_output(state);
    if (status != 0) return status;
    state->number = __atomic_fetch_add(job->next_number, 1, __ATOMIC_RELAXED);
    state->path = output_path(job, state->number);
    if (state->path == NULL) return out_of_memory(state);
    lsm_table_options options = job->table;
    derive_id(job, state->number, options.id);
    status = lsm_table_builder_create(job->vfs, state->path, &options, job->codec, &state->builder,
                                      state->error);
    if (status == 0) return 0;
    state->builder = NULL;
    lsm_free(state->path);
    state->path = NULL;
    return status;
}

static int finish_output(job_state *state) {
    lsm_job *job = state->job;
    lsm_table_summary *summary = &job->outputs[job->output_count];
    int status = lsm_table_builder_finish(state->builder, summary, state->error);
    if (status != 0) return status;
    summary->number = state->number;
    job->output_count++;
    lsm_table_builder_destroy(state->builder);
    state->builder = NULL;
    lsm_free(state->path);
    state->path = NULL;
    return 0;
}

/* Whatever was being written is nobody's: best effort, the failure that led here is the one to report. */
static void abandon_output(job_state *state) {
    if (state->builder == NULL) return;
    lsm_table_builder_destroy(state->builder);
    lsm_error ignored;
    state->job->vfs->ops->remove(state->job->vfs, state->path, &ignored);
    state->builder = NULL;
    lsm_free(state->path);
    state->path = NULL;
}

/* --- rules -------------------------------------------------------------------------------------------- */

/* Whether a snapshot lies in [sequence, previous): one that sees this version and not the one before it. */
static int snapshot_between(const lsm_job *job, uint64_t sequence, uint64_t previous) {
    uint32_t low = 0, high = job->snapshot_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (job->snapshots[middle] < sequence) low = middle + 1; else high = middle;
    }
    return low < job->snapshot_count && job->snapshots[low] < previous;
}

/* Whether the key at hand lies in a `keep` range. Keys only ascend, so of the ranges that begin at or before
 * it the largest end says it all. */
static int must_keep(job_state *state) {
    const lsm_job *job = state->job;
    lsm_slice key = lsm_key_buffer_slice(&state->key);
    while (state->keep_next < job->keep_count) {
        const lsm_key_range *range = &job->keep[state->keep_next];
        if (lsm_slice_compare(range->smallest, key) > 0) break;
        if (state->keep_next == 0 || lsm_slice_compare(range->largest, state->keep_largest) > 0) {
            state->keep_largest = range->largest;
        }
        state->keep_next++;
    }
    return state->keep_next > 0 && lsm_slice_compare(key, state->keep_largest) <= 0;
}

/* Whether every reader sees this version or a newer one: what is older inside the job is dropped. */
static inline int is_seen_by_all(const lsm_job *job, uint64_t sequence) {
    return job->snapshot_count == 0 || sequence <= job->snapshots[0];
}

/* REQUIRES: `state->key` is the entry's key; `is_first`: no newer version of it came before. */
static int is_dropped(job_state *state, uint64_t trailer, int is_first) {
    const lsm_job *job = state->job;
    uint64_t sequence = lsm_trailer_sequence(trailer);
    if (!is_first && !snapshot_between(job, sequence, state->previous_sequence)) return 1;
    return lsm_trailer_kind(trailer) == LSM_KIND_DELETE && is_seen_by_all(job, sequence) && !must_keep(state);
}

/* Whether the output being written should end before the key at hand. */
static int should_cut(job_state *state) {
    const lsm_job *job = state->job;
    lsm_slice key = lsm_key_buffer_slice(&state->key);
    int crossed = 0;
    while (state->cut_next < job->cut_count && lsm_slice_compare(job->cuts[state->cut_next], key) <= 0) {
        state->cut_next++;
        crossed = 1;
    }
    if (state->builder == NULL) return 0;
    uint64_t size = lsm_table_builder_size_estimate(state->builder);
    return size >= job->output_size_max || (crossed && size >= job->output_size_max / 2);
}

/* --- the loop ----------------------------------------------------------------------------------------- */

/* Tells progress, asks about cancellation. 0 or LSM_E_CANCELLED. */
static int check(job_state *state) {
    lsm_job *job = state->job;
    state->check_at_entries = job->entries_in + CHECK_ENTRIES;
    state->check_at_bytes = job->bytes_in + CHECK_BYTES;
    if (job->progress_bytes != NULL) __atomic_store_n(job->progress_bytes, job->bytes_in, __ATOMIC_RELAXED);
    if (job->cancel == NULL || !__atomic_load_n(job->cancel, __ATOMIC_RELAXED)) return 0;
    return lsm_fail(state->error, LSM_E_CANCELLED, LSM_NO_OFFSET, NULL, "cancelled");
}

static __attribute__((cold)) int out_of_order(job_state *state) {
    return lsm_fail(state->error, LSM_E_CORRUPT, LSM_NO_OFFSET, NULL, "input of a job out of order");
}

/* Takes the entry under the input into account: 1 when it is the first version of a new key, 0 when it is an
 * older version of the key at hand, or a negative status. */
static int enter_entry(job_state *state) {
    lsm_cursor *input = state->job->input;
    if (state->has_key) {
        if (lsm_key_buffer_equals(&state->key, input->key)) {
            if (LSM_LIKELY(lsm_trailer_sequence(input->trailer) <= state->previous_sequence)) return 0;
            return out_of_order(state);
        }
        if (LSM_UNLIKELY(lsm_slice_compare(lsm_key_buffer_slice(&state->key), input->key) > 0)) {
            return out_of_order(state);
        }
    }
    if (LSM_UNLIKELY(lsm_key_buffer_set(&state->key, input->key) != 0)) return out_of_memory(state);
    state->has_key = 1;
    return 1;
}

static int write_entry(job_state *state) {
    lsm_job *job = state->job;
    lsm_cursor *input = job->input;
    int status = 0;
    if (state->builder == NULL) status = open_output(state);
    if (status == 0) {
        lsm_slice key = lsm_key_buffer_slice(&state->key);
        uint64_t trailer = input->trailer;
        int has_older = must_keep(state); /* outside the job, so both will be merged again */
        if (has_older) lsm_table_builder_expect_rewrite(state->builder);
        status = !has_older && is_seen_by_all(job, lsm_trailer_sequence(trailer))
                     ? lsm_table_builder_add_settled(state->builder, key, trailer, input->value, state->error)
                     : lsm_table_builder_add(state->builder, key, trailer, input->value, state->error);
    }
    if (LSM_UNLIKELY(status != 0)) return status;
    job->entries_out++;
    job->bytes_out += input->key.size + input->value.size;
    return 0;
}

static int handle_entry(job_state *state) {
    lsm_job *job = state->job;
    lsm_cursor *input = job->input;
    int status = 0;
    if (job->entries_in >= state->check_at_entries || job->bytes_in >= state->check_at_bytes) {
        status = check(state);
        if (status != 0) return status;
    }
    int is_first = enter_entry(state);
    if (LSM_UNLIKELY(is_first < 0)) return is_first;
    if (is_first && should_cut(state)) status = finish_output(state);
    if (LSM_UNLIKELY(status != 0)) return status;
    job->entries_in++;
    job->bytes_in += input->key.size + input->value.size;
    if (!is_dropped(state, input->trailer, is_first)) status = write_entry(state);
    state->previous_sequence = lsm_trailer_sequence(input->trailer);
    return status;
}

static int run_loop(job_state *state) {
    lsm_cursor *input = state->job->input;
    int status = check(state);
    if (status == 0) status = input->ops->first(input);
    while (status == 0 && input->valid) {
        status = handle_entry(state);
        if (LSM_LIKELY(status == 0)) status = input->ops->next(input);
    }
    if (status == 0) status = check(state);
    if (status == 0 && state->builder != NULL) status = finish_output(state);
    return status;
}

int lsm_job_run(lsm_job *job, lsm_error *error) {
    job_state state = {.job = job, .error = error};
    int status = run_loop(&state);
    abandon_output(&state);
    lsm_key_buffer_clear(&state.key);
    lsm_cursor_destroy(job->input);
    job->input = NULL;
    if (status != 0 && error != NULL && error->code == LSM_OK) {
        lsm_fail(error, status, LSM_NO_OFFSET, NULL, "the input of a background job failed");
    }
    return status;
}

void lsm_job_clear(lsm_job *job) {
    for (uint32_t i = 0; i < job->output_count; i++) lsm_table_summary_clear(&job->outputs[i]);
    lsm_free(job->outputs);
    job->outputs = NULL;
    job->output_count = 0;
}
