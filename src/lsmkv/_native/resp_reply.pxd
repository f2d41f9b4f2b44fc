# Replies as a client reads them, for other native modules.
cimport cython
from libc.stdint cimport int64_t, uint8_t
from lsmkv._native.failure cimport lsm_slice
from lsmkv._native.resp cimport InputBuffer, lsm_resp_span

cdef extern from "resp_reply.h" nogil:
    enum:
        LSM_RESP_VERBATIM_FORM_SIZE
    ctypedef struct lsm_resp_replies:
        size_t bulk_size_max
        size_t position
        size_t awaited
        const char *fault
    ctypedef struct lsm_resp_token:
        uint8_t type
        int64_t number
        lsm_resp_span text
    int lsm_resp_next_token(lsm_resp_replies *replies, const uint8_t *data, size_t size,
                            lsm_resp_token *token)
    void lsm_resp_shift_replies(lsm_resp_replies *replies, size_t size)


# An aggregate whose elements are still to come.
@cython.final
cdef class Aggregate:
    cdef uint8_t type
    cdef int64_t left  # elements
    cdef list items


@cython.final
cdef class ReplyParser(InputBuffer):
    cdef lsm_resp_replies replies
    cdef size_t depth_max
    cdef int64_t element_count_max
    cdef int64_t element_count  # announced in the reply that is being read
    cdef object error_type
    cdef object push_type
    cdef object verbatim_type
    cdef list open              # aggregates, each an element of the one before
    cdef list whole             # what `take` is about to give

    cdef int read_all(self, size_t count_max) except -1
    cdef int open_aggregate(self, const lsm_resp_token *token) except -1
    cdef int refuse(self, const char *why) except -1
    cdef object scalar(self, const lsm_resp_token *token)
    cdef int add(self, object value) except -1
    cdef object finished(self, Aggregate aggregate)
