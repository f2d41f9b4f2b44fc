"""The key hash, CRC-32C, and the Bloom filter in the caches and far from them (c/checksums.c)."""

from __future__ import annotations

import random
from array import array
from functools import cache

import crc32c

from benchmarks.kernels.case import Case, Scale, wrapping_sum
from benchmarks.kernels.cases.floors import (
    LINE_SIZE,
    NEAR_SIZES,
    copied_items,
    copy_name,
    load_name,
    size_text,
)
from benchmarks.kernels.inputs import integers, random_items
from lsmkv._native.hashing import key_hash

__all__ = ["cases"]

NEAR_HASHES = 12_800  # at 10 bits each they fill NEAR_SIZES[0]
NEAR_OPERATIONS = 1_000_000


def cases(scale: Scale) -> list[Case]:
    near, far = NEAR_SIZES[0], scale.far_size_bytes
    far_hashes = scale.entries_many  # a line each, so that they do not fit the caches either
    return [
        *(_hash(size) for size in (16, 100)),
        *(_crc32c(size) for size in (64, 4 << 10, 1 << 20)),
        _bloom_add(near, NEAR_HASHES, far=False),
        _bloom_probe(near, NEAR_HASHES, far=False),
        _bloom_add(far, far_hashes, far=True),
        _bloom_probe(far, far_hashes, far=True),
    ]


def _hash(size: int) -> Case:
    keys = random_items(size, 128)
    return Case(
        kernel="hash",
        name=f"murmur3 of {size} bytes",
        operations=500_000,
        create=lambda native: native.create("hash", keys),
        expected=lambda operations: wrapping_sum(map(key_hash, keys), operations),
        floors=(copy_name(size),),
    )


def _crc32c(size: int) -> Case:
    return Case(
        kernel="crc32c",
        name=f"crc32c of {size_text(size)}",
        operations=max(20, min(500_000, (32 << 20) // size)),
        create=lambda native: native.create("crc32c", copied_items(size)),
        expected=lambda operations: wrapping_sum(
            map(crc32c.crc32c, copied_items(size)), operations
        ),
        floors=(copy_name(size),),
    )


@cache
def _hashes(count: int) -> array[int]:
    generator = random.Random(count)
    return integers(generator.getrandbits(64) for _ in range(count))


def _bloom_add(size: int, count: int, *, far: bool) -> Case:
    return Case(
        kernel="bloom",
        name=f"bloom add in {size_text(size)}",
        operations=count if far else NEAR_OPERATIONS,
        create=lambda native: native.create(
            "bloom_add", _hashes(count), count, size // LINE_SIZE, far
        ),
        expected=lambda operations: min(operations, count),
        floors=(load_name(size),),
        rounds=7,
    )


def _bloom_probe(size: int, count: int, *, far: bool) -> Case:
    return Case(
        kernel="bloom",
        name=f"bloom probe in {size_text(size)}",
        operations=count if far else NEAR_OPERATIONS,
        create=lambda native: native.create(
            "bloom_probe", _hashes(count), count, size // LINE_SIZE, far
        ),
        expected=lambda operations: operations,
        floors=(load_name(size),),
        rounds=7,
    )
