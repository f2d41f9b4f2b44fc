"""Replies of RESP2 and RESP3, as a client reads them: bytes in, values out.

Simple strings are str, bulk strings bytes, nulls of every kind None, arrays lists, maps dicts, sets
frozensets; what is to stand for errors, pushes and verbatim strings is told by the caller. A map or
set of which Python would lose something (keys that are equal or cannot be hashed) is a list, of
pairs or of elements. Attributes are read and dropped. Which tokens there are: resp_reply.h.

Limits are checked on announced numbers, before anything is allocated for them. A parser belongs to
one thread at a time.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from lsmkv._native.memory cimport lsm_memory_attach, shared_state
from lsmkv._native.resp cimport LSM_RESP_SIZE_MAX

lsm_memory_attach(shared_state())


@cython.final
cdef class Aggregate:
    """Made by ReplyParser only."""


cdef bint is_aggregate(uint8_t type) noexcept:
    return type == b'*' or type == b'~' or type == b'>' or type == b'%' or type == b'|'


cdef lsm_slice slice_of_token(const uint8_t *data, const lsm_resp_token *token) noexcept:
    cdef lsm_slice slice
    slice.data = data + token.text.offset
    slice.size = token.text.size
    return slice


cdef str as_text(lsm_slice slice):
    return PyUnicode_DecodeUTF8(
        <char *> slice.data, <Py_ssize_t> slice.size, "surrogateescape"
    )


cdef bytes as_bytes(lsm_slice slice):
    return PyBytes_FromStringAndSize(<const char *> slice.data, <Py_ssize_t> slice.size)


cdef object as_map(list items):
    pairs = list(zip(items[::2], items[1::2]))
    try:
        found = dict(pairs)
    except TypeError:
        return pairs
    return found if len(found) == len(pairs) else pairs


cdef object as_set(list items):
    try:
        found = frozenset(items)
    except TypeError:
        return items
    return found if len(found) == len(items) else items


@cython.final
cdef class ReplyParser(InputBuffer):
    """`error` is called with the text of an error, `push` with the tuple of its elements,
    `verbatim` with form and bytes.

    `bulk_size_max` holds for one string, `depth_max` for aggregates within each other,
    `element_count_max` for all elements of a reply together.
    """

    def __init__(
        self,
        size_t bulk_size_max,
        size_t depth_max,
        int64_t element_count_max,
        *,
        error,
        push,
        verbatim,
    ):
        if bulk_size_max > LSM_RESP_SIZE_MAX or element_count_max > <int64_t> LSM_RESP_SIZE_MAX:
            raise ValueError(f"a limit is over {LSM_RESP_SIZE_MAX}")
        self.replies.bulk_size_max = bulk_size_max
        self.depth_max = depth_max
        self.element_count_max = element_count_max
        self.error_type = error
        self.push_type = push
        self.verbatim_type = verbatim
        self.open = []
        self.whole = []

    cdef size_t awaited_size(self) noexcept:
        return self.replies.awaited

    cdef size_t discardable_size(self) noexcept:
        return self.replies.position

    cdef int shifted(self, size_t size) except -1:
        lsm_resp_shift_replies(&self.replies, size)
        return 0

    def take(self, size_t count_max):
        """The next replies, in order: [] when none is all there, or something is wrong, which
        `fault` tells."""
        if self.open is None:
            raise ValueError("the parser was not initialised")
        try:
            self.read_all(count_max)
        except BaseException:
            # Part of a reply is lost, so nothing behind it can be understood.
            self.refuse("an error while a value was made")
            raise
        self.discard_all()
        taken, self.whole = self.whole, []
        return taken

    cdef int read_all(self, size_t count_max) except -1:
        cdef lsm_resp_token token
        cdef int status
        while <size_t> len(self.whole) < count_max:
            status = lsm_resp_next_token(
                &self.replies, self.input.data, self.input.size, &token
            )
            if status <= 0:
                return 0
            if is_aggregate(token.type):
                self.open_aggregate(&token)
            else:
                self.add(self.scalar(&token))
        return 0

    cdef int refuse(self, const char *why) except -1:
        if self.replies.fault == NULL:
            self.replies.fault = why
        return 0

    cdef int open_aggregate(self, const lsm_resp_token *token) except -1:
        cdef Aggregate aggregate
        cdef int64_t count = token.number
        if token.type == b'>' and self.open:
            return self.refuse("a push within a reply")
        if <size_t> len(self.open) >= self.depth_max:
            return self.refuse("too many aggregates within each other")
        if count > self.element_count_max - self.element_count:
            return self.refuse("too many elements")
        if token.type == b'%' or token.type == b'|':
            count *= 2
        self.element_count += count
        if self.element_count > self.element_count_max:
            return self.refuse("too many elements")
        aggregate = Aggregate.__new__(Aggregate)
        aggregate.type = token.type
        aggregate.left = count
        aggregate.items = []
        if count == 0:
            if token.type != b'|':
                self.add(self.finished(aggregate))
        else:
            self.open.append(aggregate)
        return 0

    cdef object scalar(self, const lsm_resp_token *token):
        cdef lsm_slice text = slice_of_token(self.input.data, token)
        cdef lsm_slice form
        if token.type == b'$':
            return as_bytes(text)
        if token.type == b'+':
            return as_text(text)
        if token.type == b':':
            return token.number
        if token.type == b'_':
            return None
        if token.type == b'-' or token.type == b'!':
            return self.error_type(as_text(text))
        if token.type == b'#':
            return token.number != 0
        if token.type == b',':
            return float(as_bytes(text))
        if token.type == b'(':
            return int(as_bytes(text))
        form.data = text.data
        form.size = LSM_RESP_VERBATIM_FORM_SIZE
        text.data += LSM_RESP_VERBATIM_FORM_SIZE + 1
        text.size -= LSM_RESP_VERBATIM_FORM_SIZE + 1
        return self.verbatim_type(as_text(form), as_bytes(text))

    # Adds a value where it belongs, and what it completes where that belongs.
    cdef int add(self, object value) except -1:
        cdef Aggregate aggregate
        while self.open:
            aggregate = self.open[len(self.open) - 1]
            aggregate.items.append(value)
            aggregate.left -= 1
            if aggregate.left != 0:
                return 0
            self.open.pop()
            if aggregate.type == b'|':
                return 0
            value = self.finished(aggregate)
        self.whole.append(value)
        self.element_count = 0
        return 0

    cdef object finished(self, Aggregate aggregate):
        if aggregate.type == b'*':
            return aggregate.items
        if aggregate.type == b'%':
            return as_map(aggregate.items)
        if aggregate.type == b'~':
            return as_set(aggregate.items)
        return self.push_type(tuple(aggregate.items))

    @property
    def fault(self):
        """What is wrong behind the replies that were taken, or None. There is nothing to be read
        behind it."""
        return None if self.replies.fault == NULL else self.replies.fault.decode("ascii")
