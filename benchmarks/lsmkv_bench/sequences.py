"""Which keys a workload touches, in which order: precomputed, from a seed, equal for all engines.

Positions are indexes into a list of keys. The zipfian generator is that of YCSB (Gray et al.,
"Quickly generating billion-record synthetic databases", 1994), constant 0.99; scrambled, so that
the popular keys are spread over the whole range.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

ZIPF_CONSTANT = 0.99
FNV_OFFSET, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
MASK64 = (1 << 64) - 1


def made_anew(key: bytes) -> bytes:
    """A copy, which lies in memory beside the one made before it.

    A program that looks a key up has mostly just made it. The objects of a shuffled list lie
    anywhere: every operation of every engine would begin with the cache misses of fetching its key,
    0.3 us and more each, and the faster an engine is, the more they would hide.
    """
    return bytes(bytearray(key))


def picked(keys: Sequence[bytes], positions: Iterable[int]) -> list[bytes]:
    """The keys at those positions, made anew in this order."""
    return [made_anew(keys[position]) for position in positions]


def shuffled(count: int, seed: int) -> list[int]:
    """Every position once."""
    positions = list(range(count))
    random.Random(seed).shuffle(positions)
    return positions


def uniform(population: int, count: int, seed: int) -> list[int]:
    """Any position, any number of times."""
    return random.Random(seed).choices(range(population), k=count)


def hot(population: int, count: int, seed: int, share: float = 0.01) -> list[int]:
    """Positions out of a random `share` of all."""
    source = random.Random(seed)
    chosen = source.sample(range(population), max(1, int(population * share)))
    return source.choices(chosen, k=count)


class Zipfian:
    """Ranks from 0, rank r with a probability proportional to 1 / (r + 1) ** 0.99."""

    def __init__(self, population: int, seed: int) -> None:
        self._source = random.Random(seed)
        self._population = 0
        self._zeta = 0.0
        self._grow(population)

    def next_rank(self, population: int | None = None) -> int:
        """`population` may have grown since."""
        if population is not None and population > self._population:
            self._grow(population)
        point = self._source.random()
        scaled = point * self._zeta
        if scaled < 1:
            return 0
        if scaled < 1 + 0.5**ZIPF_CONSTANT:
            return 1
        rank = int(self._population * (self._eta * point - self._eta + 1) ** self._alpha)
        return min(rank, self._population - 1)

    def _grow(self, population: int) -> None:
        self._zeta += sum(
            1 / rank**ZIPF_CONSTANT for rank in range(self._population + 1, population + 1)
        )
        self._population = population
        zeta2 = 1 + 0.5**ZIPF_CONSTANT
        self._alpha = 1 / (1 - ZIPF_CONSTANT)
        # With two ranks or fewer the first two branches of next_rank are the whole distribution.
        self._eta = (
            (1 - (2 / population) ** (1 - ZIPF_CONSTANT)) / (1 - zeta2 / self._zeta)
            if population > 2
            else 0.0
        )


def scrambled(rank: int, population: int) -> int:
    """The rank's place among all positions: FNV-1a of its bytes."""
    hashed = FNV_OFFSET
    for byte in rank.to_bytes(8, "little"):
        hashed = ((hashed ^ byte) * FNV_PRIME) & MASK64
    return hashed % population


def zipfian(population: int, seed: int) -> Iterator[int]:
    """Positions, scrambled, without end."""
    ranks = Zipfian(population, seed)
    places: dict[int, int] = {}
    while True:
        rank = ranks.next_rank()
        place = places.get(rank)
        if place is None:
            place = places[rank] = scrambled(rank, population)
        yield place


def permuted(count: int, seed: int) -> Iterator[int]:
    """Every number below `count` once, in an order without pattern, in constant memory.

    Multiplying by odd numbers and xoring with one's own upper half are bijections of the numbers
    below a power of two; those at or above `count` are left out.
    """
    bits = max(2, (count - 1).bit_length())
    mask, half = (1 << bits) - 1, (bits + 1) // 2
    source = random.Random(seed)
    first, second, third = (source.getrandbits(bits) | 1 for _ in range(3))
    offset = source.getrandbits(bits)
    for number in range(1 << bits):
        mixed = ((number ^ offset) * first) & mask
        mixed = ((mixed ^ (mixed >> half)) * second) & mask
        mixed = ((mixed ^ (mixed >> half)) * third) & mask
        mixed ^= mixed >> half
        if mixed < count:
            yield mixed
