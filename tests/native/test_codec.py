"""Block compression: both ways to the library read the same frames and refuse the same nonsense.

Blocks carry their own checksum outside the codec, so a flipped bit may go unnoticed here; what must
hold is that nothing crashes, nothing of another size comes out, and no size is believed unchecked.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lsmkv._native import codec, memory
from lsmkv.errors import CorruptionError, OptionsError

WAYS = ["direct", "package"]
TEXT = b"".join(b"key%06d=value %d;" % (i, i % 7) for i in range(200))
MAGIC = b"\x28\xb5\x2f\xfd"
LAST_RAW_BLOCK_OF_5 = (5 << 3 | 1).to_bytes(3, "little") + b"hello"


@pytest.fixture(params=WAYS)
def way(request):
    if request.param == "direct" and codec.codec_name() != "zstd (direct)":
        pytest.skip("this zstandard exports no ZSTD functions, or the package way is forced")
    return request.param


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def compress(data: bytes, way: str | None = None, level: int = 3) -> bytes:
    [frame] = codec.compress_run([data], level, way=way)
    assert frame is not None
    return frame


def decompress(frame: bytes, size: int, way: str | None = None) -> bytes:
    [data] = codec.decompress_run([(frame, size)], way=way)
    return data


# --- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [-5, 1, 3, 9])
def test_a_run_goes_through_and_back(way, level):
    blocks = [TEXT[: size * 17 % len(TEXT)] + bytes(size) for size in range(1, 300)]
    frames = codec.compress_run(blocks, level, way=way)
    pairs = [(frame, len(block)) for frame, block in zip(frames, blocks, strict=True) if frame]
    assert len(pairs) > 250
    expected = [block for frame, block in zip(frames, blocks, strict=True) if frame]
    assert codec.decompress_run(pairs, way=way) == expected
    for frame, size in pairs:
        assert len(frame) < size
        assert codec.content_size(frame) == size


def test_each_way_reads_what_the_other_wrote_and_the_package_both(way):
    frame = compress(TEXT, way)
    assert zstandard.ZstdDecompressor().decompress(frame) == TEXT
    for other in WAYS[: 2 if codec.codec_name() == "zstd (direct)" else 0]:
        assert decompress(frame, len(TEXT), other) == TEXT


def test_frames_of_the_package_with_every_header_shape_are_read(way):
    for size in (1, 100, 255, 256, 257, 65791, 65792, 200_000):
        data = (TEXT * (size // len(TEXT) + 1))[:size]
        for checksum in (False, True):
            compressor = zstandard.ZstdCompressor(write_checksum=checksum)
            assert decompress(compressor.compress(data), size, way) == data
    windowed = zstandard.ZstdCompressor().compressobj(size=len(TEXT))
    frame = windowed.compress(TEXT) + windowed.flush()
    assert decompress(frame, len(TEXT), way) == TEXT


def test_what_does_not_shrink_is_reported_so(way):
    blocks = [noise(4096), b"", b"a", TEXT, b"abcdefgh", noise(100_000), bytes(4096)]
    shrunk = [frame is not None for frame in codec.compress_run(blocks, 1, way=way)]
    assert shrunk == [False, False, False, True, False, False, True]
    assert codec.compress_run([b"", b""], 1, way=way) == [None, None]


def test_an_empty_run(way):
    assert codec.compress_run([], way=way) == []
    assert codec.decompress_run([], way=way) == []


@given(
    st.lists(st.binary(max_size=300).map(lambda data: data * 3), max_size=5), st.sampled_from(WAYS)
)
def test_any_blocks(blocks, way):
    if way == "direct" and codec.codec_name() != "zstd (direct)":
        way = None
    frames = codec.compress_run(blocks, 1, way=way)
    pairs = [(f, len(b)) for f, b in zip(frames, blocks, strict=True) if f is not None]
    kept = [b for f, b in zip(frames, blocks, strict=True) if f is not None]
    assert codec.decompress_run(pairs, way=way) == kept


# --- damage --------------------------------------------------------------------------------------


def test_truncated_at_each_length(way):
    frame = compress(TEXT[:1000], way)
    for size in range(len(frame)):
        with pytest.raises(CorruptionError):
            decompress(frame[:size], 1000, way)


def test_bytes_after_the_frame(way):
    frame = compress(TEXT, way)
    skippable = (0x184D2A50).to_bytes(4, "little") + bytes(4)
    empty_frame = zstandard.ZstdCompressor().compress(b"")
    for extra in (b"\0", skippable, empty_frame, frame):
        with pytest.raises(CorruptionError):
            decompress(frame + extra, len(TEXT), way)


def test_every_flipped_bit_gives_an_error_or_a_block_of_the_size(way):
    data = TEXT[:400] + noise(50)
    frame = compress(data, way)
    refused = 0
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert len(decompress(bytes(damaged), len(data), way)) == len(data)
        except CorruptionError:
            refused += 1
    assert refused > 100


def test_a_flipped_bit_under_a_frame_checksum_never_passes(way):
    data = TEXT[:400]
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert decompress(bytes(damaged), len(data), way) == data
        except CorruptionError:
            continue


@given(st.binary(max_size=60), st.integers(0, 2**20), st.sampled_from(WAYS))
def test_any_bytes_behind_a_plausible_header(body, size, way):
    if way == "direct" and codec.codec_name() != "zstd (direct)":
        way = None
    frame = MAGIC + b"\xa0" + size.to_bytes(4, "little") + body
    assert codec.content_size(frame) == size
    try:
        assert len(decompress(frame, size, way)) == size
    except CorruptionError:
        pass


def test_one_bad_item_fails_the_run_and_the_next_run_is_fine(way):
    good = (compress(TEXT, way), len(TEXT))
    inside = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(TEXT))
    inside[-1] ^= 1
    for bad in ((good[0][:-1], len(TEXT)), (bytes(inside), len(TEXT)), (good[0], len(TEXT) + 1)):
        with pytest.raises(CorruptionError):
            codec.decompress_run([good, bad, good], way=way)
        assert codec.decompress_run([good, good], way=way) == [TEXT, TEXT]


# --- stated sizes --------------------------------------------------------------------------------


def test_a_stated_size_that_differs_is_refused_however_large(way):
    frame = compress(TEXT, way)
    for size in (0, 1, len(TEXT) - 1, len(TEXT) + 1, 2**62):
        with pytest.raises(CorruptionError, match="states"):
            decompress(frame, size, way)
    for stated in (0, 4, 6, 2**32, 2**62, 2**64 - 2):
        forged = MAGIC + b"\xe0" + stated.to_bytes(8, "little") + LAST_RAW_BLOCK_OF_5
        with pytest.raises(CorruptionError, match="states"):
            decompress(forged, 5, way)


@pytest.mark.parametrize("stated", [1, 4, 6, 100, 100_000])
def test_a_frame_that_does_not_hold_what_it_states(way, stated):
    forged = MAGIC + b"\xa0" + stated.to_bytes(4, "little") + LAST_RAW_BLOCK_OF_5
    with pytest.raises(CorruptionError):
        decompress(forged, stated, way)


def test_a_handmade_frame_is_read(way):
    """The counterpart of the forged ones: the same bytes with the right size are a frame."""
    frame = MAGIC + b"\xa0" + (5).to_bytes(4, "little") + LAST_RAW_BLOCK_OF_5
    assert decompress(frame, 5, way) == b"hello"


def test_a_frame_without_its_size_is_refused(way):
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    assert codec.content_size(frame) is None
    with pytest.raises(CorruptionError, match="content size"):
        decompress(frame, len(TEXT), way)


def test_empty_content_is_never_a_frame(way):
    """zstandard 0.25 frees twice when it is given one."""
    frame = zstandard.ZstdCompressor().compress(b"")
    with pytest.raises(CorruptionError):
        decompress(frame, 0, way)


def test_a_frame_that_needs_a_dictionary(way):
    words = zstandard.ZstdCompressionDict(TEXT, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    trained = zstandard.train_dictionary(2000, [TEXT[i : i + 100] for i in range(0, 3000, 7)])
    for dictionary in (words, trained):
        frame = zstandard.ZstdCompressor(dict_data=dictionary).compress(TEXT[:500])
        with pytest.raises(CorruptionError):
            decompress(frame, 500, way)


# RFC 8878 section 3.1.1.1: descriptor, bytes between it and the size field, that field, its value.
SIZE_FIELDS = [
    (0x20, b"", b"\x07", 7),
    (0x60, b"", b"\xa0\x0e", 4000),
    (0xA0, b"", b"\x01\x02\x03\x04", 0x04030201),
    (0xE0, b"", b"\x01\0\0\0\0\0\0\x10", 0x1000000000000001),
    (0x00, b"\x58", b"", None),
    (0x40, b"\x58", b"\0\0", 256),
    (0x61, b"d", b"\xff\xff", 65791),
    (0x62, b"di", b"\0\0", 256),
    (0x63, b"dict", b"\0\0", 256),
    (0x43, b"\x58dict", b"\0\0", 256),
    (0x68, b"", b"\0\0", None),  # the reserved bit
    (0xE0, b"", b"\xff" * 8, None),
]


@pytest.mark.parametrize(("descriptor", "between", "field", "expected"), SIZE_FIELDS)
def test_content_size_reads_every_header_shape(descriptor, between, field, expected):
    header = MAGIC + bytes([descriptor]) + between + field
    assert codec.content_size(header) == expected
    assert codec.content_size(header + b"more") == expected
    for size in range(len(header)):
        assert codec.content_size(header[:size]) is None
    assert codec.content_size(b"\x29" + header[1:]) is None


# --- threads, choice, memory ---------------------------------------------------------------------


def test_threads_do_not_disturb_each_other(way):
    failures = []

    def work(seed: int) -> None:
        blocks = [TEXT[i:] + noise(20, seed * 100 + i) for i in range(20)]
        try:
            for _ in range(15):
                frames = codec.compress_run(blocks, 1 + seed % 3, way=way)
                pairs = [(f, len(b)) for f, b in zip(frames, blocks, strict=True)]
                assert codec.decompress_run(pairs, way=way) == blocks
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def codec_name_in_a_new_process(prelude: str = "", **environment: str) -> str:
    script = (
        f"{prelude}\n"
        "from lsmkv._native import codec\n"
        "frames = codec.compress_run([b'again ' * 100, b'', b'x'])\n"
        "assert frames[1:] == [None, None]\n"
        "assert codec.decompress_run([(frames[0], 600)]) == [b'again ' * 100]\n"
        "print(codec.codec_name())"
    )
    return run_in_a_new_process(script, **environment)


def run_in_a_new_process(script: str, **environment: str) -> str:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def test_the_environment_forces_the_package_way():
    assert codec_name_in_a_new_process(LSMKV_CODEC="package") == "zstd (package)"


def test_a_package_without_runs_is_served_block_by_block():
    """Its cffi backend has no multi_*_to_buffer calls."""
    prelude = """
import zstandard
class Compressor:
    def __init__(self, **options):
        self.compress = compressor_class(**options).compress
class Decompressor:
    def __init__(self):
        self.decompress = decompressor_class().decompress
compressor_class, decompressor_class = zstandard.ZstdCompressor, zstandard.ZstdDecompressor
zstandard.ZstdCompressor, zstandard.ZstdDecompressor = Compressor, Decompressor
zstandard.backend_features = set()
"""
    assert codec_name_in_a_new_process(prelude, LSMKV_CODEC="package") == "zstd (package)"


def test_without_the_package_there_is_no_codec_until_one_is_asked_for():
    script = (
        "import sys; sys.modules['zstandard'] = None\n"
        "from lsmkv._native import codec\n"
        "from lsmkv.errors import OptionsError\n"
        "assert codec.codec_name() == 'none'\n"
        "try: codec.compress_run([b'block'])\n"
        "except OptionsError: print('refused')"
    )
    assert run_in_a_new_process(script) == "refused"


def test_a_child_forked_between_calls_of_another_thread_can_compress():
    script = """
import os, threading
from lsmkv._native import codec
block, stop = b"again and again " * 4000, threading.Event()
def busy():
    while not stop.is_set():
        codec.compress_run([block] * 4)
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
statuses = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        [frame] = codec.compress_run([block])
        os._exit(codec.decompress_run([(frame, len(block))]) != [block])
    statuses.append(os.waitpid(child, 0)[1])
stop.set()
for thread in threads: thread.join()
print(sum(statuses))
"""
    assert run_in_a_new_process(script) == "0"


def test_an_unknown_way_is_an_options_error():
    with pytest.raises(OptionsError):
        codec.compress_run([TEXT], way="other")


def test_a_level_the_package_does_not_know_is_an_error_not_a_crash():
    with pytest.raises(Exception, match="level"):
        codec.compress_run([TEXT], 1000, way="package")


def test_memory_is_returned_and_its_lack_reported(way):
    before = memory.usage()
    frame = compress(TEXT, way)
    with pytest.raises(CorruptionError):
        decompress(frame[:-1], len(TEXT), way)
    assert memory.usage() == before
    memory.fail_allocation(1)
    try:
        with pytest.raises(MemoryError):
            compress(TEXT, way)
    finally:
        memory.fail_allocation(0)
    assert memory.usage() == before
