"""The block codec of this process: which zstd library is called, and how.

zstd comes with the `zstandard` package. The direct way calls the ZSTD functions that a shared
object of the package (else of Python or the system) exports, without the GIL. The package way hands
a whole run to the package's Python calls under one acquisition of the GIL. The choice falls once,
at import: the direct way is taken only when round trips against the package succeed.
LSMKV_CODEC=package in the environment forces the package way. No package, no codec.

`compress_run` and `decompress_run` are faces for tests and tools; tables call the codec itself.
"""

import importlib.util
import os
from glob import escape, glob

from cpython.buffer cimport PyBUF_READ, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.string cimport memcpy, memset

from lsmkv._native.failure cimport LSM_E_CODEC, LSM_E_CORRUPT, LSM_E_MEMORY, raise_error
from lsmkv._native.memory cimport lsm_calloc, lsm_free, lsm_memory_attach, shared_state

from lsmkv.errors import CorruptionError, OptionsError

try:
    import zstandard
except ImportError:
    zstandard = None

cdef extern from "dlfcn.h" nogil:
    enum:
        RTLD_NOW
        RTLD_LOCAL
    void *dlopen(const char *path, int mode)
    void *dlsym(void *library, const char *name)
    int dlclose(void *library)

cdef extern from "status.h" nogil:
    const uint64_t LSM_NO_OFFSET
    int lsm_fail(
        lsm_error *error, int code, uint64_t offset, const char *path, const char *format, ...)

lsm_memory_attach(shared_state())


# --- the package way -----------------------------------------------------------------------------

cdef lsm_codec package_codec
cdef bint package_takes_runs = False  # the C backend of the package has it, the cffi one does not


cdef object view_of(lsm_slice data):
    return PyMemoryView_FromMemory(<char *> data.data, <Py_ssize_t> data.size, PyBUF_READ)


cdef int copy_compressed(lsm_codec_item *item, object frame) except -1:
    cdef Py_buffer view
    PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
    try:
        if <size_t> view.len < item.input.size:
            memcpy(item.output, view.buf, view.len)
            item.output_size = view.len
    finally:
        PyBuffer_Release(&view)
    return 0


cdef int copy_decompressed(lsm_codec_item *item, object data) except -1:
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if <size_t> view.len != item.output_capacity:
            raise CorruptionError("a zstd frame holds another size than it states")
        memcpy(item.output, view.buf, view.len)
        item.output_size = view.len
    finally:
        PyBuffer_Release(&view)
    return 0


cdef int package_compress(int level, lsm_codec_item *items, size_t count) except -1:
    cdef size_t i
    # The package does not take empty input; it would not get smaller anyway.
    chosen = [i for i in range(count) if items[i].input.size > 0]
    for i in range(count):
        items[i].output_size = 0
    if not chosen:
        return 0
    # One compressor per run: the package's objects are not safe to share between threads.
    compressor = zstandard.ZstdCompressor(level=level, write_content_size=True)
    if package_takes_runs:
        frames = compressor.multi_compress_to_buffer([view_of(items[i].input) for i in chosen])
        for position, i in enumerate(chosen):
            copy_compressed(&items[i], frames[position])
    else:
        for i in chosen:
            copy_compressed(&items[i], compressor.compress(view_of(items[i].input)))
    return 0


cdef int package_decompress(lsm_codec_item *items, size_t count) except -1:
    cdef size_t i
    # REQUIRES: every item passed lsm_zstd_check_frame; zstandard 0.25 crashes on no frames at all
    # (its issue 335) and on a frame of empty content.
    if count == 0:
        return 0
    decompressor = zstandard.ZstdDecompressor()
    if package_takes_runs:
        blocks = decompressor.multi_decompress_to_buffer(
            [view_of(items[i].input) for i in range(count)])
        for i in range(count):
            copy_decompressed(&items[i], blocks[i])
    else:
        for i in range(count):
            copy_decompressed(&items[i], decompressor.decompress(view_of(items[i].input)))
    return 0


cdef int report(lsm_error *error, int code, object exception) noexcept:
    try:
        text = str(exception).encode("utf-8", "replace")
    except Exception:
        text = b""
    return lsm_fail(error, code, LSM_NO_OFFSET, NULL, "zstandard: %s", <const char *> text)


cdef int package_compress_run(
    const lsm_codec *codec, int level, lsm_codec_item *items, size_t count, lsm_error *error
) noexcept with gil:
    try:
        package_compress(level, items, count)
    except MemoryError as exception:
        return report(error, LSM_E_MEMORY, exception)
    except BaseException as exception:  # nothing may pass: the caller is C
        return report(error, LSM_E_CODEC, exception)
    return 0


cdef int package_decompress_run(
    const lsm_codec *codec, lsm_codec_item *items, size_t count, lsm_error *error
) noexcept with gil:
    cdef size_t i
    cdef int status
    for i in range(count):
        items[i].output_size = 0
        status = lsm_zstd_check_frame(items[i].input, items[i].output_capacity, error)
        if status != 0:
            return status
    try:
        package_decompress(items, count)
    except MemoryError as exception:
        return report(error, LSM_E_MEMORY, exception)
    except BaseException as exception:
        return report(error, LSM_E_CORRUPT, exception)
    return 0


# --- the direct way ------------------------------------------------------------------------------

cdef lsm_codec *direct_codec = NULL


cdef void *resolve(void *library, const char *name, bint *complete) noexcept:
    cdef void *function = dlsym(library, name)
    if function == NULL:
        complete[0] = False
    return function


cdef bint resolve_api(void *library, lsm_zstd_api *api) noexcept:
    cdef bint complete = True
    api.create_compressor = <void *(*)() noexcept nogil> resolve(
        library, "ZSTD_createCCtx", &complete)
    api.free_compressor = <size_t (*)(void *) noexcept nogil> resolve(
        library, "ZSTD_freeCCtx", &complete)
    api.compress = <size_t (*)(void *, void *, size_t, const void *, size_t, int) noexcept nogil> (
        resolve(library, "ZSTD_compressCCtx", &complete))
    api.create_decompressor = <void *(*)() noexcept nogil> resolve(
        library, "ZSTD_createDCtx", &complete)
    api.free_decompressor = <size_t (*)(void *) noexcept nogil> resolve(
        library, "ZSTD_freeDCtx", &complete)
    api.decompress = <size_t (*)(void *, void *, size_t, const void *, size_t) noexcept nogil> (
        resolve(library, "ZSTD_decompressDCtx", &complete))
    api.is_error = <unsigned (*)(size_t) noexcept nogil> resolve(
        library, "ZSTD_isError", &complete)
    return complete


cdef list library_candidates():
    # Best first. Opening a shared object this way runs no module code, so cffi need not be there.
    directory = os.path.dirname(zstandard.__file__)
    paths = sorted(glob(os.path.join(escape(directory), "_cffi*.so")))
    # Python 3.14 and later: through it dlsym also sees the libzstd that it links.
    standard = importlib.util.find_spec("_zstd")
    if standard is not None and standard.has_location:
        paths.append(standard.origin)
    return [*paths, "libzstd.so.1"]


cdef bint works(const lsm_codec *codec) except -1:
    """Whether frames go both ways between `codec` and the package, and nonsense is refused."""
    text = b"".join(b"key%06d=value;" % (i % 97) for i in range(300))
    frame = run_compress(codec, [text, b"x"], 1)
    if frame[0] is None or frame[1] is not None:
        return False
    if zstandard.ZstdDecompressor().decompress(frame[0]) != text:
        return False
    other = zstandard.ZstdCompressor(level=3, write_content_size=True).compress(text)
    if run_decompress(codec, [(other, len(text)), (frame[0], len(text))]) != [text, text]:
        return False
    broken = other[:len(other) - 1]
    try:
        run_decompress(codec, [(broken, len(text))])
    except CorruptionError:
        return True
    return False


cdef lsm_codec *open_direct(str path) except? NULL:
    cdef lsm_zstd_api api
    cdef lsm_codec *codec
    encoded = os.fsencode(path)
    cdef void *library = dlopen(encoded, RTLD_NOW | RTLD_LOCAL)
    if library == NULL:
        return NULL
    if resolve_api(library, &api):
        codec = lsm_codec_zstd_create(&api)
        if codec == NULL:
            dlclose(library)
            raise MemoryError("lsmkv: out of memory")
        try:
            if works(codec):
                return codec  # the library stays open for the life of the process
        except Exception:  # whatever it was, the package way is left
            pass
        lsm_codec_zstd_destroy(codec)
    dlclose(library)
    return NULL


# --- the choice ----------------------------------------------------------------------------------

cdef const lsm_codec *chosen_codec = NULL


cdef const lsm_codec *zstd_codec() noexcept nogil:
    return chosen_codec


cdef int choose() except -1:
    global chosen_codec, direct_codec, package_takes_runs
    if zstandard is None:
        return 0
    features = getattr(zstandard, "backend_features", ())
    package_takes_runs = (
        "multi_compress_to_buffer" in features and "multi_decompress_to_buffer" in features)
    package_codec.name = "zstd (package)"
    package_codec.compress_run = package_compress_run
    package_codec.decompress_run = package_decompress_run
    chosen_codec = &package_codec
    if os.environ.get("LSMKV_CODEC") == "package":
        return 0
    for path in library_candidates():
        direct_codec = open_direct(path)
        if direct_codec != NULL:
            chosen_codec = direct_codec
            break
    return 0


# --- the Python face -----------------------------------------------------------------------------

cdef list run_compress(const lsm_codec *codec, list blocks, int level):
    cdef size_t count = len(blocks), i
    cdef int status
    cdef lsm_error error
    cdef bytes block, output
    cdef lsm_codec_item *items = <lsm_codec_item *> lsm_calloc(count, sizeof(lsm_codec_item))
    if items == NULL:
        raise MemoryError("lsmkv: out of memory")
    try:
        outputs = []
        for i in range(count):
            block = blocks[i]
            output = PyBytes_FromStringAndSize(NULL, len(block))
            outputs.append(output)
            items[i].input.data = <const uint8_t *> PyBytes_AS_STRING(block)
            items[i].input.size = <size_t> len(block)
            items[i].output = <uint8_t *> PyBytes_AS_STRING(output)
            items[i].output_capacity = <size_t> len(block)
        memset(&error, 0, sizeof(error))
        with nogil:
            status = codec.compress_run(codec, level, items, count, &error)
        if status != 0:
            raise_error(status, &error)
        return [
            (<bytes> outputs[i])[:items[i].output_size] if items[i].output_size else None
            for i in range(count)
        ]
    finally:
        lsm_free(items)


cdef list run_decompress(const lsm_codec *codec, list frames):
    cdef size_t count = len(frames), i
    cdef int status
    cdef lsm_error error
    cdef bytes frame, output
    cdef lsm_codec_item *items = <lsm_codec_item *> lsm_calloc(count, sizeof(lsm_codec_item))
    if items == NULL:
        raise MemoryError("lsmkv: out of memory")
    try:
        outputs = []
        for i in range(count):
            frame, raw_size = frames[i]
            items[i].input.data = <const uint8_t *> PyBytes_AS_STRING(frame)
            items[i].input.size = <size_t> len(frame)
            items[i].output_capacity = raw_size
            # No room for a frame of another size: the codec must refuse before it writes.
            output = b""
            if lsm_zstd_content_size(items[i].input) == items[i].output_capacity:
                output = PyBytes_FromStringAndSize(NULL, raw_size)
                items[i].output = <uint8_t *> PyBytes_AS_STRING(output)
            outputs.append(output)
        memset(&error, 0, sizeof(error))
        with nogil:
            status = codec.decompress_run(codec, items, count, &error)
        if status != 0:
            raise_error(status, &error)
        return outputs
    finally:
        lsm_free(items)


cdef const lsm_codec *codec_of(object way) except NULL:
    cdef const lsm_codec *codec = chosen_codec
    if way == "package" and package_codec.name != NULL:
        codec = &package_codec
    elif way is not None:
        codec = direct_codec if way == "direct" else NULL
    if codec == NULL:
        raise OptionsError("compression is not available: no usable zstandard package")
    return codec


def compress_run(blocks, int level=1, *, way=None):
    """The frame of each block, None where it would not be smaller.

    `way` is "direct" or "package" instead of the one chosen at import; OptionsError when that is
    not there.
    """
    return run_compress(codec_of(way), [memoryview(block).tobytes() for block in blocks], level)


def decompress_run(frames, *, way=None):
    """The blocks of (frame, block size) pairs; CorruptionError if a frame is not exactly that."""
    pairs = [(memoryview(frame).tobytes(), raw_size) for frame, raw_size in frames]
    return run_decompress(codec_of(way), pairs)


def content_size(frame):
    """The content size that a zstd frame states; None when it states none or is no frame."""
    cdef lsm_slice data
    cdef bytes copy = memoryview(frame).tobytes()
    data.data = <const uint8_t *> PyBytes_AS_STRING(copy)
    data.size = <size_t> len(copy)
    cdef uint64_t size = lsm_zstd_content_size(data)
    return None if size == LSM_NO_OFFSET else size


def codec_name():
    """What compresses: "zstd (direct)", "zstd (package)", or "none"."""
    return chosen_codec.name.decode("ascii") if chosen_codec != NULL else "none"


choose()
