"""Keys, values and blocks: the same in every run, and made once per session."""

from __future__ import annotations

import itertools
import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

__all__ = [
    "KEY_FAMILIES",
    "VALUE",
    "Items",
    "integers",
    "keys",
    "order",
    "pack",
    "permuted",
    "random_items",
    "text_blocks",
]

MASK = 2**64 - 1
VALUE = b"v" * 100


@dataclass(frozen=True, eq=False)
class Items:
    """Byte strings in one buffer, as struct bench_items of c/bench.h wants them."""

    data: bytes
    ends: array[int]

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        for end in self.ends:
            yield self.data[start:end]
            start = end


def pack(parts: Iterable[bytes]) -> Items:
    parts = list(parts)
    return Items(b"".join(parts), array("Q", itertools.accumulate(map(len, parts))))


def integers(values: Iterable[int]) -> array[int]:
    return array("Q", values)


@cache
def random_items(size_bytes: int, count: int) -> Items:
    generator = random.Random(size_bytes)
    return pack(generator.randbytes(size_bytes) for _ in range(count))


@cache
def order(count: int, seed: int) -> Sequence[int]:
    """0, 1, ... count - 1, shuffled."""
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    return numbers


def _decimal(number: int) -> bytes:
    return b"%016d" % number


def _random(number: int) -> bytes:
    mixed = (number + 1) * 0x9E3779B97F4A7C15 & MASK
    other = (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 & MASK
    return other.to_bytes(8, "little") + mixed.to_bytes(8, "little")


def _path(number: int) -> bytes:
    """50 keys to a directory when there are a million."""
    return b"/srv/app/users/%05d/items/%04d" % (number % 20000, number // 20000)


def _prefixed(number: int) -> bytes:
    prefixes = (b"a", b"user", b"user:mail", b"zone")
    mixed = (number + 1) * 0x9E3779B97F4A7C15 & MASK
    return b"%s:%08d" % (prefixes[mixed >> 62], number)


KEY_FAMILIES: dict[str, Callable[[int], bytes]] = {
    "decimal": _decimal,
    "random": _random,
    "path": _path,
    "prefixed": _prefixed,
}


@cache
def keys(family: str, count: int) -> Items:
    """In the order of their numbers; of decimal keys that is their own."""
    return pack(map(KEY_FAMILIES[family], range(count)))


@cache
def permuted(family: str, count: int, seed: int) -> Items:
    """The same keys in the order of `order(count, seed)`."""
    in_order = list(keys(family, count))
    return pack(in_order[number] for number in order(count, seed))


@cache
def text_blocks(size_bytes: int, count: int) -> Items:
    """Blocks of records whose values are half random, half repeated: zstd about halves them."""
    generator = random.Random(size_bytes)

    def block() -> bytes:
        records = (_decimal(number) + generator.randbytes(50) + b"x" * 50 for number in range(200))
        return b"".join(records)[:size_bytes]

    return pack(block() for _ in range(count))
