"""Requests of RESP, the protocol of Redis: bytes in, lists of arguments out.

What is taken and what is refused, in which words, stands in resp.h. Here is the buffer that the
bytes come into, and the way from arguments to objects; what a command means is nobody's business
here. A parser belongs to one thread at a time.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF
from libc.string cimport memcpy
from lsmkv._native.buffers cimport Slice, acquire, release
from lsmkv._native.failure cimport LSM_E_CORRUPT, LSM_OK, raise_error
from lsmkv._native.memory cimport lsm_memory_attach, shared_state

lsm_memory_attach(shared_state())


cdef class InputBuffer:
    """What has come in and was not taken. Filled by `feed`, or in place, as
    asyncio.BufferedProtocol does it: `get_buffer`, then `buffer_updated`.

    While a memoryview of `get_buffer` lives nothing can move: BufferError if it has to. It may die
    before `buffer_updated` or after it.
    """

    def __dealloc__(self):
        lsm_resp_input_release(&self.input)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        """The room behind the end, not more than is read at once."""
        cdef size_t room = min(self.room, self.input.capacity - self.input.size)
        PyBuffer_FillInfo(
            buffer, self, self.input.data + self.input.size, <Py_ssize_t> room, 0, flags
        )
        self.pins += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        self.pins -= 1
        self.discard_all()

    cdef size_t awaited_size(self) noexcept:
        return 0

    cdef size_t discardable_size(self) noexcept:
        return 0

    cdef int shifted(self, size_t size) except -1:
        return 0

    cdef int reserve(self, size_t size) except -1:
        cdef size_t discarded
        cdef int status
        if self.input.capacity - self.input.size >= size:
            return 0
        if self.pins != 0:
            raise BufferError("the input cannot move while a view of it is in use")
        discarded = lsm_resp_worth_discarding(&self.input, self.discardable_size())
        if discarded != 0:
            self.shifted(discarded)
            lsm_resp_input_discard(&self.input, discarded)
        status = lsm_resp_input_reserve(&self.input, size, self.awaited_size())
        if status != LSM_OK:
            raise_error(status, NULL)
        return 0

    # Idle connections hold little: an input of which nothing is left goes as soon as it may.
    cdef int discard_all(self) except -1:
        cdef size_t size = self.input.size
        if self.pins == 0 and not self.is_filling and self.discardable_size() == size:
            self.shifted(size)
            lsm_resp_input_discard(&self.input, size)
        return 0

    def feed(self, data):
        """More bytes from the peer; nothing is parsed yet."""
        cdef Slice slice
        acquire(data, &slice, LSM_RESP_SIZE_MAX, "input")
        try:
            self.reserve(slice.bytes.size)
            if slice.bytes.size != 0:
                memcpy(self.input.data + self.input.size, slice.bytes.data, slice.bytes.size)
            self.input.size += slice.bytes.size
            self.is_filling = False
        finally:
            release(&slice)

    def get_buffer(self, Py_ssize_t size_hint):
        """Room to write into, at least `size_hint` bytes if that is positive."""
        cdef size_t size = lsm_resp_read_size(&self.input, self.awaited_size())
        if size_hint > <Py_ssize_t> size:
            size = <size_t> size_hint
        self.reserve(size)
        self.room = max(size, <size_t> LSM_RESP_READ_SIZE_MAX)
        self.is_filling = True
        return memoryview(self)

    def buffer_updated(self, size_t size):
        """So many bytes were written into what `get_buffer` gave; nothing was fed since."""
        if not self.is_filling or size > self.input.capacity - self.input.size:
            raise ValueError(f"{size} bytes are more than there was room for")
        self.input.size += size
        self.is_filling = False

    @property
    def buffered_size(self):
        """Bytes that came in and do not belong to what was taken."""
        return self.input.size - self.discardable_size()

    @property
    def expected_size(self):
        """The same once the argument that is coming in is whole, as far as it was announced."""
        return max(self.input.size, self.awaited_size()) - self.discardable_size()


@cython.final
cdef class RequestParser(InputBuffer):
    """Commands, each a list of at least one argument.

    `argument_count_max` and `command_size_max` (bytes as sent) hold for multibulk commands,
    `bulk_size_max` for one argument of them; inline commands have a line of 64 KiB.
    """

    def __init__(self, size_t argument_count_max, size_t bulk_size_max, size_t command_size_max):
        for limit in (argument_count_max, bulk_size_max, command_size_max):
            if limit > LSM_RESP_SIZE_MAX:
                raise ValueError(f"a limit of {limit} is over {LSM_RESP_SIZE_MAX}")
        self.requests.limits.argument_count_max = argument_count_max
        self.requests.limits.bulk_size_max = bulk_size_max
        self.requests.limits.command_size_max = command_size_max

    def __dealloc__(self):
        lsm_resp_release(&self.requests)

    cdef size_t awaited_size(self) noexcept:
        return self.requests.awaited

    cdef size_t discardable_size(self) noexcept:
        return lsm_resp_discardable(&self.requests)

    cdef int shifted(self, size_t size) except -1:
        lsm_resp_shift(&self.requests, size)
        return 0

    cdef size_t parse(self, size_t waiting_max) except? 0:
        cdef int status
        # What comes behind AUTH is read by the limits that hold once AUTH was carried out.
        if self.requests.limits.is_restricted and waiting_max > 1:
            waiting_max = 1
        status = lsm_resp_parse(
            &self.requests, self.input.data, self.input.size, waiting_max
        )
        if status != LSM_OK and status != LSM_E_CORRUPT:
            raise_error(status, NULL)
        return lsm_resp_waiting(&self.requests)

    cdef lsm_resp_batch batch(self) noexcept:
        return lsm_resp_waiting_batch(&self.requests, self.input.data)

    cdef int done(self, size_t count) except -1:
        lsm_resp_take(&self.requests, count)
        return self.discard_all()

    def take(self, size_t count_max):
        """The next commands, in order: [] when none is all there, or something is wrong, which
        `fault` tells. Before authentication one at a time."""
        cdef size_t count = min(self.parse(count_max), count_max)
        cdef lsm_resp_batch batch = self.batch()
        cdef list commands = PyList_New(<Py_ssize_t> count)
        cdef list command
        cdef size_t index
        for index in range(count):
            command = arguments_of(&batch, index)
            Py_INCREF(command)
            PyList_SET_ITEM(commands, <Py_ssize_t> index, command)
        self.done(count)
        return commands

    @property
    def waiting(self):
        """Commands that were parsed and not taken: by native code, which may take fewer."""
        return lsm_resp_waiting(&self.requests)

    @property
    def is_restricted(self):
        """Whether the smaller limits from before authentication hold, too."""
        return self.requests.limits.is_restricted

    @is_restricted.setter
    def is_restricted(self, bint value):
        self.requests.limits.is_restricted = value

    @property
    def fault(self):
        """What is wrong behind the commands that were parsed, in the words of Redis, or None. There
        is nothing to be read behind it. Bytes that are no UTF-8 are surrogates."""
        cdef char text[64]
        cdef size_t size
        if self.requests.fault == 0:
            return None
        size = lsm_resp_fault_text(&self.requests, text)
        return (<bytes> text[:size]).decode("utf-8", "surrogateescape")


cdef list arguments_of(const lsm_resp_batch *batch, size_t index):
    cdef size_t count = batch.commands[index].count
    cdef list arguments = PyList_New(<Py_ssize_t> count)
    cdef lsm_slice argument
    cdef bytes item
    cdef size_t i
    for i in range(count):
        argument = lsm_resp_argument(batch, index, i)
        item = PyBytes_FromStringAndSize(<const char *> argument.data, <Py_ssize_t> argument.size)
        Py_INCREF(item)
        PyList_SET_ITEM(arguments, <Py_ssize_t> i, item)
    return arguments
