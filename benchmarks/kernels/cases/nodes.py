"""Search in memtable leaves; building, parsing and searching blocks (c/nodes.c)."""

from __future__ import annotations

import random
from functools import cache

from benchmarks.kernels.case import Case, Scale, wrapping_sum
from benchmarks.kernels.cases.floors import NEAR_SIZES, copy_name, load_name
from benchmarks.kernels.inputs import VALUE, Items, integers, keys, order, pack, permuted
from lsmkv._native.block import PUT, BlockBuilder

__all__ = ["cases"]

LEAF_SIZE = 1088
RECORD_SIZE = 40
KEY_STEP = 997
TARGETS_MAX = 200_000  # a leaf each
BLOCKS = {4 << 10: 34, 16 << 10: 136}  # by nominal size: entries of 16 + 100 bytes


def cases(scale: Scale) -> list[Case]:
    searches = [
        _node_search(entries, size, min(TARGETS_MAX, scale.entries_many))
        for size in (0, scale.far_size_bytes)
        for entries in (35, 64)
    ]
    blocks = [make(size) for size in BLOCKS for make in (_build, _parse, _seek)]
    return searches + blocks


@cache
def _targets(count: int, record_count: int) -> list[int]:
    generator = random.Random(record_count)
    return [generator.randrange(record_count) for _ in range(count)]


def _node_search(entries: int, size: int, count: int) -> Case:
    """In one leaf, or in many that take up `size` bytes."""
    far = size != 0
    leaf_count = max(1, size // (LEAF_SIZE + entries * RECORD_SIZE))
    record_count = entries * leaf_count
    return Case(
        kernel="node",
        name=f"node search, {entries} entries, {'cold' if far else 'warm'}",
        operations=count,
        create=lambda native: native.create(
            "node_search",
            pack(b"%016d" % (number * KEY_STEP) for number in _targets(count, record_count)),
            integers(_targets(count, record_count)),
            entries,
            leaf_count,
            far,
        ),
        expected=lambda operations: wrapping_sum(
            (number % entries for number in _targets(count, record_count)), operations
        ),
        floors=(load_name(size if far else NEAR_SIZES[0]),),
        rounds=10,
    )


def _values() -> Items:
    return pack([VALUE])


@cache
def _block(entries: int) -> bytes:
    builder = BlockBuilder()
    for sequence, key in enumerate(keys("decimal", entries), 1):
        builder.add(key, sequence, PUT, VALUE)
    return builder.finish()


def _build(size: int) -> Case:
    entries = BLOCKS[size]
    return Case(
        kernel="block",
        name=f"block build, {entries} entries",
        operations=4_000,
        create=lambda native: native.create("block_build", keys("decimal", entries), _values()),
        expected=lambda operations: wrapping_sum(
            (len(_block(entries)) + byte for byte in _block(entries)), operations
        ),
        floors=(copy_name(size),),
    )


def _parse(size: int) -> Case:
    entries = BLOCKS[size]
    return Case(
        kernel="block",
        name=f"block parse, {entries} entries",
        operations=20_000,
        create=lambda native: native.create("block_parse", keys("decimal", entries), _values()),
        expected=lambda operations: operations * (entries + len(VALUE)),
        floors=(copy_name(size),),
    )


def _seek(size: int) -> Case:
    entries = BLOCKS[size]
    return Case(
        kernel="block",
        name=f"block seek, {entries} entries",
        operations=500_000,
        create=lambda native: native.create(
            "block_seek",
            keys("decimal", entries),
            _values(),
            permuted("decimal", entries, 1),
        ),
        expected=lambda operations: wrapping_sum(order(entries, 1), operations),
        floors=(load_name(NEAR_SIZES[0]),),
    )
