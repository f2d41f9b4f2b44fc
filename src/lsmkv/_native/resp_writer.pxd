# The writer of replies, for other native modules: they append to `writer` themselves.
cimport cython
from libc.stdint cimport int64_t, uint8_t
from lsmkv._native.failure cimport lsm_slice

cdef extern from "resp_writer.h" nogil:
    enum:
        LSM_RESP_DOUBLE_SIZE_MAX
    ctypedef struct lsm_resp_writer:
        uint8_t *data
        size_t size
        size_t size_max
        int protocol
    void lsm_resp_writer_release(lsm_resp_writer *writer)
    void lsm_resp_writer_clear(lsm_resp_writer *writer)
    int lsm_resp_write_header(lsm_resp_writer *writer, uint8_t type, int64_t number)
    int lsm_resp_write_bulk(lsm_resp_writer *writer, lsm_slice value)
    int lsm_resp_write_line(lsm_resp_writer *writer, uint8_t type, lsm_slice text)
    int lsm_resp_write_null(lsm_resp_writer *writer)
    int lsm_resp_write_null_array(lsm_resp_writer *writer)
    int lsm_resp_write_boolean(lsm_resp_writer *writer, int is_true)
    int lsm_resp_write_number(lsm_resp_writer *writer, uint8_t type, lsm_slice text)
    size_t lsm_resp_format_double(uint8_t *out, const char *shortest, double value)
    int lsm_resp_write_verbatim(lsm_resp_writer *writer, const uint8_t *form, lsm_slice text)
    int lsm_resp_write_aggregate(lsm_resp_writer *writer, uint8_t type, int64_t count)


@cython.final
cdef class ReplyWriter:
    cdef lsm_resp_writer writer

    # Raises for a status that is not LSM_OK: OutputFull for LSM_E_LIMIT.
    cdef int check(self, int status) except -1
    cdef int write(self, object value) except -1
    cdef int write_integer(self, object value) except -1
    cdef int write_double(self, double value) except -1
    cdef int write_text(self, uint8_t type, str text) except -1
    cdef int write_header(self, uint8_t type, Py_ssize_t count) except -1
    cdef int write_items(self, uint8_t type, object items) except -1
    cdef int write_map(self, dict pairs) except -1
