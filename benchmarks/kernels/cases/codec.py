"""Compression of blocks, one by one and in runs (c/codec.c), beside the package's own calls."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import zstandard

from benchmarks.kernels.case import Case, PythonWork, Scale, Unavailable, wrapping_sum
from benchmarks.kernels.cases.floors import copy_name, size_text
from benchmarks.kernels.inputs import Items, pack, text_blocks
from lsmkv._native.codec import compress_run

__all__ = ["cases"]

LEVEL = 1
BLOCK_COUNT = 16
SIZES = (4 << 10, 16 << 10)


class ZstdApi(ctypes.Structure):
    """struct lsm_zstd_api of codec.h."""

    functions = (
        "ZSTD_createCCtx",
        "ZSTD_freeCCtx",
        "ZSTD_compressCCtx",
        "ZSTD_createDCtx",
        "ZSTD_freeDCtx",
        "ZSTD_decompressDCtx",
        "ZSTD_isError",
    )
    _fields_ = tuple((name, ctypes.c_void_p) for name in functions)


def _library_candidates() -> Iterator[str]:
    """As _native/codec.pyx looks for them."""
    yield from map(str, sorted(Path(zstandard.__file__).parent.glob("_cffi*.so")))
    standard = importlib.util.find_spec("_zstd")
    if standard is not None and standard.origin is not None:
        yield standard.origin
    yield "libzstd.so.1"


@cache
def _zstd_api() -> ZstdApi:
    for path in _library_candidates():
        try:
            library = ctypes.CDLL(path)
            functions = [ctypes.cast(library[name], ctypes.c_void_p) for name in ZstdApi.functions]
        except (OSError, AttributeError):
            continue
        return ZstdApi(*(function.value for function in functions))
    raise Unavailable("no library exports the ZSTD functions")


def cases(scale: Scale) -> list[Case]:
    return [
        make(size, run_count)
        for size in SIZES
        for make in (_compress, _decompress)
        for run_count in (1, BLOCK_COUNT)
    ] + [make(size) for size in SIZES for make in (_package_compress, _package_decompress)]


@cache
def _frames(size: int) -> Items:
    """As the product compresses them."""
    frames = compress_run(list(text_blocks(size, BLOCK_COUNT)), LEVEL)
    return pack(frame for frame in frames if frame is not None)


def _run_text(run_count: int) -> str:
    return "" if run_count == 1 else f", run of {run_count}"


def _compress(size: int, run_count: int) -> Case:
    return Case(
        kernel="codec",
        name=f"compress {size_text(size)}{_run_text(run_count)}",
        operations=50 * BLOCK_COUNT,
        create=lambda native: native.create(
            "compress", _zstd_api(), text_blocks(size, BLOCK_COUNT), run_count, size, LEVEL
        ),
        expected=lambda operations: wrapping_sum(map(len, _frames(size)), operations),
        floors=(_package_name("compress", size), copy_name(size)),
    )


def _decompress(size: int, run_count: int) -> Case:
    def expected(operations: int) -> int:
        """All sizes, and the last byte of the first block of each run."""
        ends = [block[-1] for block in text_blocks(size, BLOCK_COUNT)][::run_count]
        return operations * size + wrapping_sum(ends, operations // run_count)

    return Case(
        kernel="codec",
        name=f"decompress {size_text(size)}{_run_text(run_count)}",
        operations=100 * BLOCK_COUNT,
        create=lambda native: native.create(
            "decompress", _zstd_api(), _frames(size), run_count, size
        ),
        expected=expected,
        floors=(_package_name("decompress", size), copy_name(size)),
    )


# --- the package's one-shot calls ----------------------------------------------------------------


def _package_name(way: str, size: int) -> str:
    return f"zstandard, {way} {size_text(size)}"


def _package_compress(size: int) -> Case:
    compress = zstandard.ZstdCompressor(level=LEVEL).compress

    def loop(blocks: Sequence[bytes]) -> None:
        for block in blocks:
            compress(block)

    return Case(
        kernel="floor",
        name=_package_name("compress", size),
        operations=50 * BLOCK_COUNT,
        create=lambda native: PythonWork(
            list(text_blocks(size, BLOCK_COUNT)),
            loop,
            lambda blocks: sum(len(compress(block)) for block in blocks),
        ),
        expected=lambda operations: wrapping_sum(map(len, _frames(size)), operations),
    )


def _package_decompress(size: int) -> Case:
    decompress = zstandard.ZstdDecompressor().decompress

    def loop(frames: Sequence[bytes]) -> None:
        for frame in frames:
            decompress(frame)

    return Case(
        kernel="floor",
        name=_package_name("decompress", size),
        operations=100 * BLOCK_COUNT,
        create=lambda native: PythonWork(
            list(_frames(size)),
            loop,
            lambda frames: sum(len(decompress(frame)) for frame in frames),
        ),
        expected=lambda operations: operations * size,
    )
