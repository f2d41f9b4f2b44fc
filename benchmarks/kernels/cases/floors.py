"""Floors (c/floors.c): copying, a dependent load, entering the system; and their names."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.kernels.case import Case, Scale, wrapping_sum
from benchmarks.kernels.inputs import Items, random_items

__all__ = [
    "LINE_SIZE",
    "MEMTABLE_RECORD_SIZE",
    "LOG_RECORD_SIZE",
    "NEAR_SIZES",
    "REQUEST_SIZE",
    "cases",
    "copy_name",
    "load_name",
    "size_text",
    "write_name",
]

LINE_SIZE = 64
MEMTABLE_RECORD_SIZE = 136  # of a key of 16 and a value of 100 bytes, header and padding included
LOG_RECORD_SIZE = 152  # of the same pair
REQUEST_SIZE = 144  # of a SET of the same pair in RESP
RECORD_SIZES = (MEMTABLE_RECORD_SIZE, REQUEST_SIZE, LOG_RECORD_SIZE)
COPY_SIZES = (16, 64, 100, *RECORD_SIZES, 4 << 10, 16 << 10, 1 << 20)
NEAR_SIZES = (16 << 10, 2 << 20)  # powers of two: in the first level, in the second or third


def size_text(size_bytes: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes} bytes"


def copy_name(size_bytes: int) -> str:
    return f"memcpy of {size_text(size_bytes)}"


def load_name(size_bytes: int) -> str:
    return f"dependent load in {size_text(size_bytes)}"


def write_name(size_bytes: int) -> str:
    return f"write(2) of {size_text(size_bytes)}"


def cases(scale: Scale) -> list[Case]:
    return [
        *(_copy(size) for size in COPY_SIZES),
        *(_load(size, 1_000_000) for size in NEAR_SIZES),
        _load(scale.far_size_bytes, 1_000_000),
        _write(0),
        _write(LOG_RECORD_SIZE),
    ]


def copied_items(size_bytes: int) -> Items:
    """As many as fit the first cache level beside their copy, at least one."""
    return random_items(size_bytes, max(1, (8 << 10) // size_bytes))


def _copy(size: int) -> Case:
    return Case(
        kernel="floor",
        name=copy_name(size),
        operations=max(20, min(1_000_000, (64 << 20) // size)),
        create=lambda native: native.create("memcpy", copied_items(size)),
        expected=lambda operations: wrapping_sum(
            (item[-1] for item in copied_items(size)), operations
        ),
    )


def _load(size: int, operations: int) -> Case:
    def visited() -> Iterator[int]:
        line = 0
        while True:
            line = (line * 1664525 + 1013904223) % (size // LINE_SIZE)
            yield line

    return Case(
        kernel="floor",
        name=load_name(size),
        operations=operations,
        create=lambda native: native.create("chase", size // LINE_SIZE),
        expected=lambda operations: wrapping_sum(visited(), operations),
        rounds=7,
    )


def _write(size: int) -> Case:
    return Case(
        kernel="floor",
        name=write_name(size),
        operations=20_000,
        create=lambda native: native.create("write", native.directory / f"write{size}", size),
        expected=lambda operations: operations * (1 + 2 * size),
    )
