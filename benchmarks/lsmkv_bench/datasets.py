"""Keys and values: the same for every engine, made from a seed before any clock runs.

    decimal     "%016d"                                   16 bytes
    binary      random                                    16 bytes
    realistic   files and names of the standard library   11 to about 100 bytes

The keys of a case are every other one of a sorted list, the ones between them are the absent keys:
each lies inside the range of those that are there, where only a filter or a search can tell. Values
are half random, half a repeated pattern: about 2:1 under any compressor.
"""

from __future__ import annotations

import random
import re
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lsmkv_bench.results import Case

KEY_KINDS = ("decimal", "binary", "realistic")
VALUE_SIZES = (16, 100, 1000, 16_000, 1_000_000)

CASE_SIZE_MAX = 256_000_000  # bytes of keys and values
ENTRIES_MAX = 1_000_000
KEY_SIZE = 16
KEY_SIZE_MAX = 200  # lmdb takes 511
DISTINCT_VALUES = 1000
DISTINCT_VALUE_BYTES_MAX = 64_000_000

IDENTIFIER = re.compile(rb"\b[A-Za-z_]\w+(?:\.\w+)*")


def capped(case: Case) -> Case:
    """The case with no more entries than CASE_SIZE_MAX holds, for the standard sizes."""
    room = CASE_SIZE_MAX // (KEY_SIZE + case.value_size)
    return replace(case, entries=min(case.entries, ENTRIES_MAX, room))


@dataclass(frozen=True)
class Dataset:
    """Keys in order, the keys between them, and the values that are used in turn."""

    keys: list[bytes]
    absent: list[bytes]  # one less: between each two keys
    values: list[bytes]

    @property
    def size_bytes(self) -> int:
        """Of all keys and values once."""
        return sum(map(len, self.keys)) + len(self.keys) * len(self.values[0])


def make_dataset(case: Case, seed: int = 1) -> Dataset:
    """REQUIRES: at least two entries."""
    ordered = _KINDS[case.key_kind](2 * case.entries - 1, seed)
    return Dataset(ordered[::2], ordered[1::2], make_values(case.value_size, case.entries))


def make_values(value_size: int, count: int) -> list[bytes]:
    """Some distinct values that are used in turn: writing is measured, not making."""
    source = random.Random(7)
    half = value_size // 2
    pattern = (b"compressible" * (half // 12 + 1))[: value_size - half]
    distinct = min(count, DISTINCT_VALUES, max(8, DISTINCT_VALUE_BYTES_MAX // value_size))
    return [source.randbytes(half) + pattern for _ in range(distinct)]


def _decimal(count: int, seed: int) -> list[bytes]:
    return [b"%016d" % number for number in range(count)]


def _binary(count: int, seed: int) -> list[bytes]:
    source = random.Random(seed)
    found: set[bytes] = set()
    while len(found) < count:
        found.add(source.randbytes(KEY_SIZE))
    return sorted(found)


def _realistic(count: int, seed: int) -> list[bytes]:
    """Names as they are found; once the library is used up, again as ".2", ".3" and so on."""
    names = list(_library_names(Path(sysconfig.get_paths()["stdlib"]), count))
    found = set(names[:count])
    version = 2
    while len(found) < count:
        missing = count - len(found)
        found.update(b"%s.%d" % (name, version) for name in names[:missing])
        version += 1
    return sorted(found)


def _library_names(root: Path, count_max: int) -> Iterator[bytes]:
    """Each file's path, then "path:name" for each name in it, all distinct."""
    count = 0
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if "site-packages" in relative.parts or count >= count_max:
            continue
        prefix = b"lib/" + str(relative).encode()
        yield prefix
        identifiers = sorted(set(IDENTIFIER.findall(path.read_bytes())))
        for identifier in identifiers:
            name = b"%s:%s" % (prefix, identifier)
            if len(name) <= KEY_SIZE_MAX:
                count += 1
                yield name


_KINDS: dict[str, Callable[[int, int], list[bytes]]] = {
    "decimal": _decimal,
    "binary": _binary,
    "realistic": _realistic,
}
