"""What the kernels have allocated, and a way for tests to make allocation k fail.

This module owns the one `lsm_memory_state` of the process. Every other native module runs
`lsm_memory_attach(shared_state())` at import, so that all copies of the kernels count together.
"""

cdef lsm_memory_state process_state


cdef lsm_memory_state *shared_state() noexcept nogil:
    return &process_state


lsm_memory_attach(&process_state)


def usage():
    """(bytes, blocks): what the kernels hold right now, over all native modules."""
    return process_state.bytes, process_state.blocks


def trim(*, bint only_if_idle=False):
    """Give memory that is kept for the next memtables back to the system; `only_if_idle`: unless
    some of it was used since the last call."""
    lsm_trim_chunks(only_if_idle)


def call_count():
    """How many allocations the kernels have asked for since the process started."""
    return process_state.calls


def fail_allocation(after, for_ever=False):
    """Make the `after`-th allocation from now (1 = the next) fail, once or from then on; 0 switches
    it off."""
    if after < 0:
        raise ValueError("after must be 0 or positive")
    process_state.fail_for_ever = for_ever
    process_state.fail_at = process_state.calls + after if after else 0
