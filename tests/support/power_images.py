"""The ways in which a loss of power leaves a disk: from what was not synced, what survives?

Each family is one such way, a function of a RecordedDisk and a source of randomness. FAMILIES names
them. "Piece" is what reaches the device together: 512 bytes or a page of 4096.

No family breaks the rules that every file system keeps: a piece is old or new (any of the moments
since the last sync), a rename is whole, synced things stay.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.support.recorded_disk import (
    Choice,
    Inode,
    NameChange,
    RecordedDisk,
    everything,
    synced_only,
)

__all__ = ["FAMILIES", "Family"]

Family = Callable[[RecordedDisk, random.Random], Choice]

SECTOR, PAGE = 512, 4096
SURVIVALS = (0.05, 0.5, 0.95)
ALLOCATED_MAX = 64 << 10  # what a mapped log may be longer than its content: zeros, as allocated


def _each(keep: Callable[[NameChange], bool], content: Callable[[Inode], bytes]) -> Choice:
    """Ask once per operation and once per file: halves of a rename get one answer."""
    kept: dict[int, bool] = {}
    contents: dict[int, bytes] = {}

    def keeps(change: NameChange) -> bool:
        if change.number not in kept:
            kept[change.number] = keep(change)
        return kept[change.number]

    def content_of(inode: Inode) -> bytes:
        if inode.number not in contents:
            contents[inode.number] = content(inode)
        return contents[inode.number]

    return Choice(keeps, content_of)


def mixed(inode: Inode, piece: int, moment: Callable[[int], int], filler: bytes = b"\0") -> bytes:
    """Each piece as it was at one moment since the last sync; `moment(count)` chooses one of
    `count`, 0 being the sync. The size is that of one moment, too; what never got there is filled
    (with zeros in the first piece: a device that shows others' bytes there is not promised for).
    """
    states = inode.states()
    if len(states) == 1:
        return states[0]
    size = len(states[moment(len(states))])
    content = bytearray((filler * (size // len(filler) + 1))[:size])
    content[:piece] = bytes(min(piece, size))
    for start in range(0, size, piece):
        chosen = states[moment(len(states))][start : min(start + piece, size)]
        content[start : start + len(chosen)] = chosen
    return bytes(content)


def _by_chance(rng: random.Random, survival: float) -> Callable[[int], int]:
    """Mostly the last moment or the first, sometimes one between: pages are written back at any."""

    def moment(count: int) -> int:
        if rng.random() < 0.2:
            return rng.randrange(count)
        return count - 1 if rng.random() < survival else 0

    return moment


def _pieces(disk: RecordedDisk, rng: random.Random, piece: int) -> Choice:
    survival = rng.choice(SURVIVALS)
    return _each(
        lambda change: rng.random() < survival,
        lambda inode: mixed(inode, piece, _by_chance(rng, survival)),
    )


def pieces_of_sectors(disk: RecordedDisk, rng: random.Random) -> Choice:
    """Any subset of unsynced pieces of 512 bytes, of sizes and of names."""
    return _pieces(disk, rng, SECTOR)


def pieces_of_pages(disk: RecordedDisk, rng: random.Random) -> Choice:
    """The same with pieces of 4096 bytes."""
    return _pieces(disk, rng, PAGE)


def names_before_data(disk: RecordedDisk, rng: random.Random) -> Choice:
    """Every create, rename and removal survives, no data; files have their new sizes or not."""
    has_sizes = rng.random() < 0.5

    def content(inode: Inode) -> bytes:
        size = len(inode.content()) if has_sizes else len(inode.durable)
        return inode.durable[:size].ljust(size, b"\0")

    return _each(lambda change: True, content)


def data_without_names(disk: RecordedDisk, rng: random.Random) -> Choice:
    """All data is there, and some of the names that lead to it are not."""
    survival = rng.choice((0.0, 0.5, 0.9))
    return _each(lambda change: rng.random() < survival, Inode.content)


def names_in_order(disk: RecordedDisk, rng: random.Random) -> Choice:
    """As a journal keeps them: all changes of names up to one, none behind it; data at random."""
    numbers = [0, *sorted({change.number for change in disk.changes})]
    last, survival = rng.choice(numbers), rng.choice(SURVIVALS)
    return _each(
        lambda change: change.number <= last,
        lambda inode: mixed(inode, SECTOR, _by_chance(rng, survival)),
    )


def torn_write(disk: RecordedDisk, rng: random.Random) -> Choice:
    """All unsynced operations up to one, of that one a subset of its pieces, none behind it."""
    writes = [write for inode in disk.unsynced_files() for write in inode.writes]
    changes = [change.number for change in disk.changes]
    numbers = [write.number for write in writes if write.data is not None] or changes or [0]
    last, piece = rng.choice(numbers), rng.choice((64, SECTOR, PAGE))

    def content(inode: Inode) -> bytes:
        states = inode.states()
        done = sum(write.number < last for write in inode.writes)
        before, after = states[done], states[min(done + 1, len(states) - 1)]
        if done == len(inode.writes) or inode.writes[done].number != last:
            return before
        torn = bytearray(before.ljust(len(after), b"\0"))
        for start in range(0, len(after), piece):
            if rng.random() < 0.5:
                torn[start : start + piece] = after[start : start + piece]
        return bytes(torn)

    return _each(lambda change: change.number < last, content)


def _items(disk: RecordedDisk) -> list[tuple[str, int]]:
    """All that may be lost on its own: changes of names, and unsynced data of files."""
    names = sorted({change.number for change in disk.changes})
    return [("name", number) for number in names] + [
        ("data", inode.number) for inode in disk.unsynced_files()
    ]


def one_lost(disk: RecordedDisk, rng: random.Random) -> Choice:
    """Everything survives but one change of a name, or the unsynced data of one file."""
    items = _items(disk)
    lost = rng.choice(items) if items else None
    return _each(
        lambda change: ("name", change.number) != lost,
        lambda inode: inode.durable if ("data", inode.number) == lost else inode.content(),
    )


def one_kept(disk: RecordedDisk, rng: random.Random) -> Choice:
    """Nothing survives but one change of a name or the data of one file."""
    items = _items(disk)
    kept = rng.choice(items) if items else None
    return _each(
        lambda change: ("name", change.number) == kept,
        lambda inode: inode.content() if ("data", inode.number) == kept else inode.durable,
    )


def mapped_pages(disk: RecordedDisk, rng: random.Random) -> Choice:
    """Logs as mappings: allocated ahead, pages in any order and as of any moment; all names are
    there. Where nothing was written the device shows zeros, or what an older file left."""
    survival = rng.choice(SURVIVALS)
    stale = b"".join(inode.durable for inode in disk.live.values())[: 1 << 16]
    filler = stale if stale and rng.random() < 0.3 else b"\0"
    logs = {inode.number for path, inode in disk.live.items() if path.endswith(".log")}
    ahead = rng.choice((0, PAGE, ALLOCATED_MAX))

    def content(inode: Inode) -> bytes:
        if inode.number not in logs or not inode.writes:
            return inode.content()
        data = mixed(inode, PAGE, _by_chance(rng, survival), filler)
        return data.ljust(len(data) + ahead, b"\0")

    return _each(lambda change: True, content)


FAMILIES: dict[str, Family] = {
    "synced only": lambda disk, rng: synced_only(),
    "killed": lambda disk, rng: everything(),
    "pieces of 512": pieces_of_sectors,
    "pieces of 4096": pieces_of_pages,
    "names before data": names_before_data,
    "data without names": data_without_names,
    "names in order": names_in_order,
    "torn write": torn_write,
    "one lost": one_lost,
    "one kept": one_kept,
    "mapped pages": mapped_pages,
}
