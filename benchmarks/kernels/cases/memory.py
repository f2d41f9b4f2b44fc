"""The memtable and the merge (c/memory.c).

Memtables hold values of 100 bytes under keys of four families: decimal numbers, random bytes, paths
with 50 keys to a directory, four prefixes mixed. Searches follow another order than insertions.
"""

from __future__ import annotations

import random
from array import array
from functools import cache

from benchmarks.kernels.case import Case, Scale, wrapping_sum
from benchmarks.kernels.cases.floors import MEMTABLE_RECORD_SIZE, NEAR_SIZES, copy_name, load_name
from benchmarks.kernels.inputs import (
    KEY_FAMILIES,
    VALUE,
    Items,
    integers,
    keys,
    order,
    pack,
    permuted,
)

__all__ = ["cases"]

INSERT_ORDER, USE_ORDER = 1, 2  # seeds
MERGED_KEYS = 8192


def cases(scale: Scale) -> list[Case]:
    few, many = scale.entries_few, scale.entries_many
    near, far = load_name(NEAR_SIZES[1]), load_name(scale.far_size_bytes)
    others = [family for family in KEY_FAMILIES if family != "decimal"]
    return [
        _insert_sequential(few),
        _insert_sequential(many),
        _insert_random("decimal", few, near),
        *(_insert_random(family, many, far) for family in ("decimal", *others)),
        _overwrite(many, far),
        _get("decimal", few, near),
        *(_get(family, many, far) for family in ("decimal", *others)),
        _scan(many, backwards=False),
        _scan(many, backwards=True),
        *(_merge(count) for count in (1, 2, 4, 8)),
    ]


def _values() -> Items:
    return pack([VALUE])


def _rounds(count: int) -> int:
    return 5 if count >= 1_000_000 else 20


def _insert_sequential(count: int) -> Case:
    return Case(
        kernel="memtable",
        name=f"memtable insert, sequential, {count:,}",
        operations=count,
        create=lambda native: native.create("memtable_insert", keys("decimal", count), _values()),
        expected=lambda operations: 2 * operations,
        floors=(copy_name(MEMTABLE_RECORD_SIZE),),
        rounds=_rounds(count),
    )


def _insert_random(family: str, count: int, floor: str) -> Case:
    return Case(
        kernel="memtable",
        name=f"memtable insert, random order, {family} keys, {count:,}",
        operations=count,
        create=lambda native: native.create(
            "memtable_insert", permuted(family, count, INSERT_ORDER), _values()
        ),
        expected=lambda operations: 2 * operations,
        floors=(floor,),
        rounds=_rounds(count),
    )


def _overwrite(count: int, floor: str) -> Case:
    return Case(
        kernel="memtable",
        name=f"memtable overwrite, random order, decimal keys, {count:,}",
        operations=count,
        create=lambda native: native.create(
            "memtable_overwrite",
            permuted("decimal", count, INSERT_ORDER),
            permuted("decimal", count, USE_ORDER),
            _values(),
        ),
        expected=lambda operations: 2 * count + operations,
        floors=(floor,),
        rounds=_rounds(count),
    )


def _get(family: str, count: int, floor: str) -> Case:
    def expected(operations: int) -> int:
        """The sequences of what is found, and the first byte of each value."""
        sequences = [0] * count
        for sequence, number in enumerate(order(count, INSERT_ORDER), 1):
            sequences[number] = sequence
        found = (sequences[number] for number in order(count, USE_ORDER))
        return wrapping_sum(found, operations) + operations * VALUE[0]

    return Case(
        kernel="memtable",
        name=f"memtable get, {family} keys, {count:,}",
        operations=count,
        create=lambda native: native.create(
            "memtable_get",
            permuted(family, count, INSERT_ORDER),
            permuted(family, count, USE_ORDER),
            _values(),
        ),
        expected=expected,
        floors=(floor,),
        rounds=_rounds(count),
    )


def _scan(count: int, *, backwards: bool) -> Case:
    def expected(operations: int) -> int:
        sequences = [0] * count
        for sequence, number in enumerate(order(count, INSERT_ORDER), 1):
            sequences[number] = sequence
        met = [
            sequence + key[0] + VALUE[0]
            for sequence, key in zip(sequences, keys("decimal", count), strict=True)
        ]
        return wrapping_sum(reversed(met) if backwards else met, operations)

    return Case(
        kernel="memtable",
        name=f"memtable {'previous' if backwards else 'next'}, {count:,}",
        operations=count,
        create=lambda native: native.create(
            "memtable_scan", permuted("decimal", count, INSERT_ORDER), _values(), backwards
        ),
        expected=expected,
        rounds=_rounds(count),
    )


@cache
def _owners(input_count: int) -> array[int]:
    generator = random.Random(input_count)
    return integers(generator.randrange(input_count) for _ in range(MERGED_KEYS))


def _merge_name(input_count: int) -> str:
    return f"merge step, {input_count} inputs" if input_count > 1 else "array cursor step"


def _merge(input_count: int) -> Case:
    """The merge of one input is that input: the floor of the others."""
    return Case(
        kernel="merge" if input_count > 1 else "floor",
        name=_merge_name(input_count),
        operations=20 * MERGED_KEYS,
        create=lambda native: native.create(
            "merge", keys("decimal", MERGED_KEYS), _owners(input_count), input_count
        ),
        expected=lambda operations: wrapping_sum(
            (i + key[-1] for i, key in enumerate(keys("decimal", MERGED_KEYS), 1)), operations
        ),
        floors=(_merge_name(1),) if input_count > 1 else (),
    )
