"""Replies of RESP2 and RESP3, written into a buffer with a limit: see resp_writer.h.

`value` knows the builtin types that replies are made of; any other object writes itself, by its
method `write_to(writer)`. Text that holds surrogates is written as the bytes that they came from.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free
from lsmkv._native.buffers cimport Slice, acquire, release
from lsmkv._native.failure cimport LSM_E_LIMIT, LSM_OK, raise_error
from lsmkv._native.memory cimport lsm_memory_attach, shared_state
from lsmkv._native.resp cimport LSM_RESP_SIZE_MAX
from lsmkv.errors import Error

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bytes PyUnicode_AsEncodedString(object text, const char *encoding, const char *errors)
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1
    char *PyOS_double_to_string(double value, char format_code, int precision, int flags,
                                int *type) except NULL
    int Py_EnterRecursiveCall(const char *where)
    void Py_LeaveRecursiveCall()

lsm_memory_attach(shared_state())


class OutputFull(Error):
    """A reply would exceed the limit of its writer. Nothing of it was written."""


cdef lsm_slice bytes_slice(bytes data) noexcept:
    cdef lsm_slice slice
    slice.data = <const uint8_t *> PyBytes_AS_STRING(data)
    slice.size = <size_t> PyBytes_GET_SIZE(data)
    return slice


@cython.final
cdef class ReplyWriter:
    """What is to be sent, at most `size_max` bytes; `protocol` is 2 or 3 and may change between two
    replies. Each call writes all or, when it raises, nothing. Headers are followed by their
    elements, which the caller writes: two for each pair of a map."""

    def __init__(self, size_t size_max, int protocol=2):
        if size_max > LSM_RESP_SIZE_MAX:
            raise ValueError(f"a limit of {size_max} is over {LSM_RESP_SIZE_MAX}")
        if size_max < self.writer.size:
            raise ValueError("there is more in the writer than the limit allows")
        # What is allocated must never be above the limit.
        lsm_resp_writer_release(&self.writer)
        self.writer.size_max = size_max
        self.protocol = protocol

    def __dealloc__(self):
        lsm_resp_writer_release(&self.writer)

    @property
    def protocol(self):
        return self.writer.protocol

    @protocol.setter
    def protocol(self, int value):
        if value != 2 and value != 3:
            raise ValueError(f"there is no RESP{value}")
        self.writer.protocol = value

    @property
    def size(self):
        """Bytes that were written and not taken."""
        return self.writer.size

    @property
    def size_max(self):
        return self.writer.size_max

    def take(self):
        """All that was written since the last time."""
        taken = PyBytes_FromStringAndSize(
            <const char *> self.writer.data, <Py_ssize_t> self.writer.size
        )
        lsm_resp_writer_clear(&self.writer)
        return taken

    cdef int check(self, int status) except -1:
        if status == LSM_E_LIMIT:
            raise OutputFull(f"output of more than {self.writer.size_max} bytes")
        if status != LSM_OK:
            raise_error(status, NULL)
        return 0

    # --- any value -------------------------------------------------------------------------------

    def value(self, reply):
        """A reply of any type, with all that is in it."""
        cdef size_t before = self.writer.size
        try:
            self.write(reply)
        except BaseException:
            self.writer.size = before
            raise

    cdef int write(self, object value) except -1:
        kind = type(value)
        if kind is bytes:
            return self.check(lsm_resp_write_bulk(&self.writer, bytes_slice(value)))
        if kind is str:
            return self.write_text(b'+', value)
        if value is None:
            return self.check(lsm_resp_write_null(&self.writer))
        if kind is int:
            return self.write_integer(value)
        if kind is bool:
            return self.check(lsm_resp_write_boolean(&self.writer, value is True))
        if kind is float:
            return self.write_double(value)
        if Py_EnterRecursiveCall(" while writing a reply") != 0:
            return -1  # the exception is already set
        try:
            if kind is list or kind is tuple:
                return self.write_items(b'*', value)
            if kind is dict:
                return self.write_map(value)
            if kind is frozenset:
                return self.write_items(b'~', value)
            write_to = getattr(value, "write_to", None)
            if write_to is None:
                raise TypeError(f"{kind.__name__} is no type of reply")
            write_to(self)
        finally:
            Py_LeaveRecursiveCall()
        return 0

    cdef int write_items(self, uint8_t type, object items) except -1:
        self.write_header(type, len(items))
        for item in items:
            self.write(item)
        return 0

    cdef int write_map(self, dict pairs) except -1:
        self.write_header(b'%', len(pairs))
        for key, value in pairs.items():
            self.write(key)
            self.write(value)
        return 0

    cdef int write_integer(self, object value) except -1:
        cdef int overflow = 0
        cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow == 0:
            return self.check(lsm_resp_write_header(&self.writer, b':', number))
        text = str(value).encode()
        return self.check(lsm_resp_write_number(&self.writer, b'(', bytes_slice(text)))

    cdef int write_double(self, double value) except -1:
        cdef uint8_t text[LSM_RESP_DOUBLE_SIZE_MAX]
        cdef char *shortest = PyOS_double_to_string(value, b'r', 0, 0, NULL)
        cdef lsm_slice slice
        slice.data = &text[0]
        slice.size = lsm_resp_format_double(text, shortest, value)
        PyMem_Free(shortest)
        return self.check(lsm_resp_write_number(&self.writer, b',', slice))

    cdef int write_text(self, uint8_t type, str text) except -1:
        cdef lsm_slice slice
        if PyUnicode_IS_COMPACT_ASCII(text):
            slice.data = <const uint8_t *> PyUnicode_DATA(text)
            slice.size = <size_t> PyUnicode_GET_LENGTH(text)
            return self.check(lsm_resp_write_line(&self.writer, type, slice))
        encoded = PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape")
        return self.check(lsm_resp_write_line(&self.writer, type, bytes_slice(encoded)))

    cdef int write_header(self, uint8_t type, Py_ssize_t count) except -1:
        if count < 0:
            raise ValueError(f"{count} elements")
        return self.check(lsm_resp_write_aggregate(&self.writer, type, count))

    # --- values of one type ----------------------------------------------------------------------

    def bulk(self, data):
        """A bulk string."""
        cdef Slice slice
        acquire(data, &slice, LSM_RESP_SIZE_MAX, "bulk string")
        try:
            self.check(lsm_resp_write_bulk(&self.writer, slice.bytes))
        finally:
            release(&slice)

    def simple(self, str text not None):
        """A simple string. A line end in it becomes a blank, as in an error."""
        self.write_text(b'+', text)

    def error(self, str text not None):
        """`text` begins with the kind of the error in capitals."""
        self.write_text(b'-', text)

    def integer(self, value):
        """An integer; one beyond 64 bits is a big number, a bulk string in RESP2."""
        self.write_integer(value)

    def boolean(self, bint value):
        """1 or 0 in RESP2."""
        self.check(lsm_resp_write_boolean(&self.writer, value))

    def double(self, double value):
        """A bulk string in RESP2."""
        self.write_double(value)

    def verbatim(self, str form not None, data):
        """Text of a form of three letters; a bulk string in RESP2."""
        cdef Slice slice
        cdef bytes letters = form.encode("ascii")
        if len(letters) != 3:
            raise ValueError(f"a form of {len(letters)} letters")
        acquire(data, &slice, LSM_RESP_SIZE_MAX, "verbatim string")
        try:
            self.check(
                lsm_resp_write_verbatim(
                    &self.writer, <const uint8_t *> PyBytes_AS_STRING(letters), slice.bytes
                )
            )
        finally:
            release(&slice)

    def null(self):
        """The null bulk string in RESP2."""
        self.check(lsm_resp_write_null(&self.writer))

    def null_array(self):
        """Null in RESP3."""
        self.check(lsm_resp_write_null_array(&self.writer))

    def array_header(self, Py_ssize_t count):
        """Elements follow."""
        self.write_header(b'*', count)

    def map_header(self, Py_ssize_t pair_count):
        """Pairs follow; an array of twice as many in RESP2."""
        self.write_header(b'%', pair_count)

    def set_header(self, Py_ssize_t count):
        """Elements follow; an array in RESP2."""
        self.write_header(b'~', count)

    def push_header(self, Py_ssize_t count):
        """Elements follow; an array in RESP2."""
        self.write_header(b'>', count)
