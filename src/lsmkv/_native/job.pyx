"""Flushes and compactions: one native merge from memtables and table slices into new tables.

A Job keeps all its inputs alive and runs once, without the GIL. It decides nothing but what job.h
says: inputs, snapshots, `keep` ranges and sizes come from outside, as does the fate of outputs.
"""

import os

cimport cython
from libc.string cimport memset

from lsmkv._native.codec cimport zstd_codec
from lsmkv._native.failure cimport LSM_E_MEMORY, raise_error
from lsmkv._native.memory cimport lsm_alloc, lsm_calloc, lsm_free, lsm_memory_attach, shared_state
from lsmkv._native.memtable cimport Memtable, lsm_memtable_cursor
from lsmkv._native.merge cimport lsm_merge_cursor
from lsmkv._native.table cimport summary_object
from lsmkv._native.version cimport lsm_run_cursor

lsm_memory_attach(shared_state())

cdef extern from * nogil:
    enum:
        __ATOMIC_RELAXED
    uint64_t load64 "__atomic_load_n"(const uint64_t *place, int order)
    uint64_t add64 "__atomic_fetch_add"(uint64_t *place, uint64_t value, int order)
    void store32 "__atomic_store_n"(int32_t *place, int32_t value, int order)


@cython.auto_pickle(False)
cdef class Counter:
    """The next file number of a store: taken by Python and by running jobs alike."""

    def __init__(self, uint64_t value):
        self.value = value

    def next(self):
        """Take a number: each is handed out once."""
        return add64(&self.value, 1, __ATOMIC_RELAXED)

    @property
    def upcoming(self):
        """The number that would be handed out next."""
        return load64(&self.value, __ATOMIC_RELAXED)


@cython.no_gc_clear  # the input cursors read from what it keeps alive
cdef class Job:
    """One flush or compaction.

    memtables, runs: the inputs, newest first.
    snapshots: the sequences that must stay readable besides the tip.
    keep: inclusive key ranges that may have older versions outside the job; tombstones there stay.
    cuts: keys at which an output ends if it has reached half of output_size_max (bytes).
    path_prefix, path_suffix: around the six digits of an output's number, taken from counter.
    id_seed: 16 random bytes that table ids derive from.
    readahead_size: bytes read at a time from each table.
    """

    def __init__(
        self,
        TableSpace space not None,
        *,
        memtables,
        runs,
        snapshots,
        keep,
        cuts,
        block_size,
        compression,
        compression_level,
        bloom_bits_per_key,
        output_size_max,
        path_prefix,
        path_suffix,
        Counter counter not None,
        id_seed,
        readahead_size=1 << 20,
    ):
        if self.kept is not None:
            raise RuntimeError("already initialised")
        self.kept = []
        self.space = space
        self.counter = counter
        self.memtables = tuple(memtables)
        runs = [tuple(slices) for slices in runs]
        self.inputs = Version([(0, slices) for slices in runs])
        self.readahead_size = readahead_size
        self.set_rules(sorted(set(snapshots)), sorted(keep), sorted(cuts))
        self.set_outputs(path_prefix, path_suffix, output_size_max, id_seed)
        self.job.table.block_size = block_size
        self.job.table.compression_level = compression_level
        self.job.table.bloom_bits_per_key = bloom_bits_per_key
        merged = [piece.table.summary() for slices in runs for piece in slices]
        self.job.table.settled_first = min([table.first_sequence for table in merged], default=0)
        self.job.table.settled_last = max([table.last_sequence for table in merged], default=0)
        if compression is not None and compression != "zstd":
            raise ValueError(f"unknown compression {compression!r}")
        self.job.codec = zstd_codec()
        self.job.table.compress = compression is not None and self.job.codec != NULL
        self.job.cancel = &self.cancelled
        self.job.progress_bytes = &self.progress
        self.job.next_number = &counter.value

    def __dealloc__(self):
        lsm_job_clear(&self.job)
        lsm_free(self.snapshots)
        lsm_free(self.keep)
        lsm_free(self.cuts)

    cdef lsm_slice keep_bytes(self, object data) except *:
        cdef bytes copy = bytes(data)
        cdef lsm_slice result
        self.kept.append(copy)
        result.data = <const uint8_t *> <const char *> copy
        result.size = len(copy)
        return result

    cdef int set_rules(self, list snapshots, list keep, list cuts) except -1:
        cdef uint32_t index
        self.snapshots = <uint64_t *> lsm_calloc(len(snapshots), sizeof(uint64_t))
        self.keep = <lsm_key_range *> lsm_calloc(len(keep), sizeof(lsm_key_range))
        self.cuts = <lsm_slice *> lsm_calloc(len(cuts), sizeof(lsm_slice))
        if self.snapshots == NULL or self.keep == NULL or self.cuts == NULL:
            raise_error(LSM_E_MEMORY, NULL)
        for index, sequence in enumerate(snapshots):
            self.snapshots[index] = sequence
        for index, (smallest, largest) in enumerate(keep):
            self.keep[index].smallest = self.keep_bytes(smallest)
            self.keep[index].largest = self.keep_bytes(largest)
        for index, key in enumerate(cuts):
            self.cuts[index] = self.keep_bytes(key)
        self.job.snapshots = self.snapshots
        self.job.snapshot_count = len(snapshots)
        self.job.keep = self.keep
        self.job.keep_count = len(keep)
        self.job.cuts = self.cuts
        self.job.cut_count = len(cuts)
        return 0

    cdef int set_outputs(
        self, object path_prefix, object path_suffix, uint64_t output_size_max, object id_seed
    ) except -1:
        cdef bytes seed = bytes(id_seed)
        if len(seed) != 16:
            raise ValueError(f"id_seed must be 16 bytes, not {len(seed)}")
        self.job.path_prefix = <const char *> self.keep_bytes(os.fsencode(path_prefix)).data
        self.job.path_suffix = <const char *> self.keep_bytes(os.fsencode(path_suffix)).data
        self.job.output_size_max = output_size_max
        self.job.id_seed[0] = int.from_bytes(seed[:8], "little")
        self.job.id_seed[1] = int.from_bytes(seed[8:], "little")
        return 0

    def run(self):
        """Merge and write; the summaries of the synced outputs, in key order.

        Raises Error("cancelled") after cancel(). Whatever is raised, `outputs` then names the files
        that were finished before: they are the caller's to remove.
        """
        if self.started:
            raise RuntimeError("a job runs once")
        self.started = True
        cdef int status
        memset(&self.error, 0, sizeof(lsm_error))
        self.context.error = &self.error
        self.job.vfs = self.space.file_system.vfs
        self.job.input = self.open_input()
        with nogil:
            status = lsm_job_run(&self.job, &self.error)
        if status < 0:
            raise_error(status, &self.error)
        return self.outputs

    def cancel(self):
        """Ask a running job to stop; returns at once. From any thread, before or during the run."""
        store32(&self.cancelled, 1, __ATOMIC_RELAXED)

    @property
    def outputs(self):
        """The summaries of the finished outputs. Only once run() has returned or raised."""
        count = self.job.output_count
        return tuple([summary_object(&self.job.outputs[index]) for index in range(count)])

    @property
    def progress_bytes(self):
        """Key and value bytes consumed so far; may be asked while the job runs."""
        return load64(&self.progress, __ATOMIC_RELAXED)

    @property
    def entries_in(self):
        """Entries read, old versions and tombstones included."""
        return self.job.entries_in

    @property
    def entries_out(self):
        """Entries written."""
        return self.job.entries_out

    @property
    def bytes_in(self):
        """Key and value bytes read."""
        return self.job.bytes_in

    @property
    def bytes_out(self):
        """Key and value bytes written."""
        return self.job.bytes_out

    cdef lsm_cursor *open_input(self) except NULL:
        cdef uint32_t count = 0
        cdef uint32_t run_count = self.inputs.version.run_count
        cdef size_t room = (len(self.memtables) + run_count) * sizeof(lsm_cursor *)
        cdef lsm_cursor **inputs = <lsm_cursor **> lsm_alloc(room)
        cdef Memtable memtable
        cdef uint32_t index
        if inputs == NULL:
            raise_error(LSM_E_MEMORY, NULL)
        for memtable in self.memtables:
            inputs[count] = lsm_memtable_cursor(memtable.memtable)
            count += 1
        for index in range(run_count):
            inputs[count] = lsm_run_cursor(
                &self.inputs.version.runs[index], &self.context, self.readahead_size
            )
            count += 1
        cdef lsm_cursor *merged = lsm_merge_cursor(inputs, count)
        lsm_free(inputs)
        if merged == NULL:
            raise_error(LSM_E_MEMORY, NULL)
        return merged
