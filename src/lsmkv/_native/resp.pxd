# Requests of RESP for other native modules: parse, walk over what waits without an object of
# Python, say how much of it is done.
cimport cython
from libc.stdint cimport int64_t, uint8_t
from lsmkv._native.failure cimport lsm_slice

cdef extern from "resp_input.h" nogil:
    enum:
        LSM_RESP_READ_SIZE
        LSM_RESP_READ_SIZE_MAX
    ctypedef struct lsm_resp_input:
        uint8_t *data
        size_t size
        size_t capacity
    void lsm_resp_input_release(lsm_resp_input *input)
    int lsm_resp_input_reserve(lsm_resp_input *input, size_t size, size_t awaited)
    size_t lsm_resp_read_size(const lsm_resp_input *input, size_t awaited)
    size_t lsm_resp_worth_discarding(const lsm_resp_input *input, size_t discardable)
    void lsm_resp_input_discard(lsm_resp_input *input, size_t size)

cdef extern from "resp.h" nogil:
    enum:
        LSM_RESP_FAULT_TEXT_SIZE
    const size_t LSM_RESP_SIZE_MAX
    ctypedef struct lsm_resp_limits:
        size_t argument_count_max
        size_t bulk_size_max
        size_t command_size_max
        bint is_restricted
    ctypedef struct lsm_resp_span:
        size_t offset
        size_t size
    ctypedef struct lsm_resp_command:
        size_t first
        size_t count
        size_t end
    ctypedef struct lsm_resp_requests:
        lsm_resp_limits limits
        size_t awaited
        int fault
    ctypedef struct lsm_resp_batch:
        const uint8_t *data
        const lsm_resp_span *spans
        const lsm_resp_command *commands
        size_t count
    void lsm_resp_release(lsm_resp_requests *requests)
    int lsm_resp_parse(lsm_resp_requests *requests, uint8_t *data, size_t size,
                       size_t waiting_max)
    void lsm_resp_take(lsm_resp_requests *requests, size_t count)
    size_t lsm_resp_discardable(const lsm_resp_requests *requests)
    void lsm_resp_shift(lsm_resp_requests *requests, size_t size)
    size_t lsm_resp_fault_text(const lsm_resp_requests *requests, char *out)
    size_t lsm_resp_waiting(const lsm_resp_requests *requests)
    lsm_resp_batch lsm_resp_waiting_batch(const lsm_resp_requests *requests,
                                          const uint8_t *data)
    lsm_slice lsm_resp_argument(const lsm_resp_batch *batch, size_t command_index,
                                size_t argument_index)


# Bytes that came in, and the way in. While `pins` is not 0 nothing that has come in moves.
cdef class InputBuffer:
    cdef lsm_resp_input input
    cdef size_t room      # of the views that get_buffer gives
    cdef Py_ssize_t pins  # views of the room behind the end, and whoever walks without the GIL
    cdef bint is_filling  # get_buffer gave room, and nobody has said yet what was written there

    # What the parser that reads it knows, see resp.h.
    cdef size_t awaited_size(self) noexcept
    cdef size_t discardable_size(self) noexcept
    cdef int shifted(self, size_t size) except -1

    cdef int reserve(self, size_t size) except -1
    cdef int discard_all(self) except -1


@cython.final
cdef class RequestParser(InputBuffer):
    cdef lsm_resp_requests requests

    # Reads on until so many commands wait; before authentication never more than one. Returns how
    # many wait.
    cdef size_t parse(self, size_t waiting_max) except? 0
    # What waits; good until parse, done or more input.
    cdef lsm_resp_batch batch(self) noexcept
    # So many of the waiting commands need not be kept.
    cdef int done(self, size_t count) except -1
