"""Damage to whole small databases: every bit, every length, and every other way, of every file.

Case by case through a fixed list of all damages of all specimens (support/damage_lab.py), CHUNK of
them at a time, and from the beginning again. Every REPAIR_STRIDE-th is repaired as well, another
one each time round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from lsmkv.filenames import FileKind
from tests.soak.part import Counts, Part, noted
from tests.support.damage_lab import SPECIMENS, Damage, Specimen, judge, kind_of, specimen

__all__ = ["PART", "KINDS", "Kind"]

CHUNK = 400
REPAIR_STRIDE = 3
SECTORS = (64, 512)  # bytes that a device may lose or put elsewhere

Kind = Callable[[Specimen, str], Iterator[bytes | None]]


def flipped_bits(subject: Specimen, path: str) -> Iterator[bytes | None]:
    data = subject.files[path]
    for bit in range(8 * len(data)):
        image = bytearray(data)
        image[bit // 8] ^= 1 << bit % 8
        yield bytes(image)


def replaced_bytes(subject: Specimen, path: str) -> Iterator[bytes | None]:
    data = subject.files[path]
    for offset, old in enumerate(data):
        for new in {0, 0x0A, 0x20, 0xFF, old ^ 0xFF} - {old}:
            yield data[:offset] + bytes([new]) + data[offset + 1 :]


def shorter(subject: Specimen, path: str) -> Iterator[bytes | None]:
    data = subject.files[path]
    yield from (data[:size] for size in range(len(data)))
    yield None


def longer(subject: Specimen, path: str) -> Iterator[bytes | None]:
    data = subject.files[path]
    noise = hashlib.shake_128(path.encode()).digest(600)
    yield from (data + bytes(size) for size in (1, 7, 8, 64, 512, 4096))
    yield from (data + noise[:size] for size in (1, 7, 8, 64, 512, 600))
    yield from (data + other for other in subject.files.values() if other)
    yield from (data + data[-size:] for size in (8, 32, 64, 512))


def lost_bytes(subject: Specimen, path: str) -> Iterator[bytes | None]:
    """Sectors that were never written, or are missing in the middle."""
    data = subject.files[path]
    for size in SECTORS:
        for start in range(0, len(data), size):
            end = min(start + size, len(data))
            yield data[:start] + bytes(end - start) + data[end:]
            yield data[:start] + data[end:]


def swapped(subject: Specimen, path: str) -> Iterator[bytes | None]:
    """Another file in the place: of this database, and of the others. Not the log of another one of
    the same number: nothing in a log says which database it belongs to (SECURITY.md)."""
    is_log = kind_of(path) is FileKind.LOG
    for name in SPECIMENS:
        yield from (content for other, content in specimen(name).files.items() if other != path)
        if not is_log:
            yield specimen(name).files.get(path)


def misplaced(subject: Specimen, path: str) -> Iterator[bytes | None]:
    """What belongs elsewhere, in this file or another, written over a piece of it."""
    data = subject.files[path]
    for size in SECTORS:
        for other in subject.files.values():
            pieces = {other[start : start + size] for start in range(0, len(other), size)}
            for piece in sorted(pieces):
                for start in range(0, len(data), size):
                    yield data[:start] + piece + data[start + len(piece) :]


def stale(subject: Specimen, path: str) -> Iterator[bytes | None]:
    """The file as it was: a manifest after each earlier edit."""
    if path.rsplit("/", 1)[1].startswith("MANIFEST"):
        lines = subject.files[path].splitlines(keepends=True)
        yield from (b"".join(lines[:count]) for count in range(1, len(lines)))


KINDS: dict[str, Kind] = {
    "flipped bits": flipped_bits,
    "replaced bytes": replaced_bytes,
    "shorter": shorter,
    "longer": longer,
    "lost": lost_bytes,
    "swapped": swapped,
    "misplaced": misplaced,
    "stale": stale,
}

Place = tuple[str, str, str, int, int]  # specimen, path, kind, first, last


@cache
def places() -> Sequence[Place]:
    """All damages, in chunks."""
    found: list[Place] = []
    for name in SPECIMENS:
        subject = specimen(name)
        for path in subject.targets:
            for kind, make in KINDS.items():
                count = sum(1 for _ in make(subject, path))
                found += [
                    (name, path, kind, first, min(first + CHUNK, count))
                    for first in range(0, count, CHUNK)
                ]
    return found


def run_case(case: int, directory: Path) -> Counts:
    turn, index = divmod(case, len(places()))
    name, path, kind, first, last = places()[index]
    subject = specimen(name)
    totals: Counts = {"damages": 0, "repairs": 0}
    for number, content in enumerate(KINDS[kind](subject, path)):
        if not first <= number < last or content == subject.files[path]:
            continue
        repairs = (number + turn) % REPAIR_STRIDE == 0
        with noted(f"{name}: {path}, {kind}, number {number}"):
            outcome = judge(subject, Damage(path, content), repairs=repairs)
        totals["damages"] += 1
        totals["repairs"] += repairs
        totals[outcome.value] = totals.get(outcome.value, 0) + 1
    return totals


PART = Part("damages", run_case)
