"""What merge and view must yield, in the plainest Python: sorted lists and loops.

An entry is `(key, sequence, kind, value)`; order: key ascending, sequence descending, input index.
"""

from __future__ import annotations

from collections.abc import Sequence

from lsmkv._native.merge import KIND_PUT

Entry = tuple[bytes, int, int, bytes]


def order(entry: Entry) -> tuple[bytes, int]:
    """The sort key of internal order."""
    return entry[0], -entry[1]


def merged(inputs: Sequence[Sequence[Entry]]) -> list[Entry]:
    """Every entry of every input; sorting is stable, so ties go to the lower input."""
    return sorted((entry for entries in inputs for entry in entries), key=order)


class ReferenceCursor:
    """The cursor contract over one sorted list."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = list(entries)
        self.index: int | None = None

    @property
    def entry(self) -> Entry | None:
        return None if self.index is None else self.entries[self.index]

    def _place(self, index: int) -> None:
        self.index = index if 0 <= index < len(self.entries) else None

    def seek(self, key: bytes, sequence: int) -> None:
        self._place(sum(order(entry) < (key, -sequence) for entry in self.entries))

    def seek_before(self, key: bytes, sequence: int) -> None:
        self._place(sum(order(entry) < (key, -sequence) for entry in self.entries) - 1)

    def first(self) -> None:
        self._place(0)

    def last(self) -> None:
        self._place(len(self.entries) - 1)

    def next(self) -> None:
        assert self.index is not None
        self._place(self.index + 1)

    def previous(self) -> None:
        assert self.index is not None
        self._place(self.index - 1)


def visible(
    entries: Sequence[Entry],
    sequence: int,
    start: bytes | None = None,
    stop: bytes | None = None,
    reverse: bool = False,
) -> list[tuple[bytes, bytes]]:
    """The live keys and values of entries in any order, as a snapshot at `sequence` sees them."""
    newest: dict[bytes, Entry] = {}
    for entry in entries:
        if entry[1] <= sequence and (entry[0] not in newest or newest[entry[0]][1] < entry[1]):
            newest[entry[0]] = entry
    live = sorted(
        (key, value)
        for key, _, kind, value in newest.values()
        if kind == KIND_PUT and (start is None or key >= start) and (stop is None or key < stop)
    )
    return live[::-1] if reverse else live


def survivors(
    entries: Sequence[Entry], snapshots: Sequence[int], keep: Sequence[tuple[bytes, bytes]]
) -> list[Entry]:
    """What a job must write, by the rules of job.h turned round: who can see a version?"""
    readers = [*snapshots, max((entry[1] for entry in entries), default=0)]
    seen = set()
    for reader in readers:
        newest: dict[bytes, Entry] = {}
        for entry in entries:
            if entry[1] <= reader and (entry[0] not in newest or newest[entry[0]][1] < entry[1]):
                newest[entry[0]] = entry
        seen.update(newest.values())
    oldest = min(readers) if snapshots else readers[-1]
    needed = []
    for entry in seen:
        has_older = any(smallest <= entry[0] <= largest for smallest, largest in keep)
        if entry[1] > oldest or has_older:
            needed.append(entry)
        elif entry[2] == KIND_PUT:
            needed.append(settled(entry))
    return sorted(needed, key=order)


def settled(entry: Entry) -> Entry:
    """As a job writes an entry whose age no longer matters."""
    key, _, kind, value = entry
    return key, 1, kind, value
