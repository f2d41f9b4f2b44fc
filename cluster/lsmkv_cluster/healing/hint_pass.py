"""One walk over the hints of one partition: page by page, each to the owners that lack it.

The walk knows no window, no store and no peer: HintedHandoff (hints.py) feeds it and asks it what
comes next. It keeps what is listed and not yet sent, what is on its way, and what it has counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lsmkv_cluster.healing.hint_budget import Confirmations, HintSettings
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.storage.storage_orders import Entries, Entry

__all__ = ["Batch", "Dropped", "HintPass", "Parcel", "Schedule", "Sent", "hint_size"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A hint and who gets it now."""

    entry: Entry
    owners: tuple[MemberId, ...]

    @property
    def size(self) -> int:
        return hint_size(self.entry)


@dataclass(frozen=True, slots=True)
class Batch:
    """Parcels whose records are read together; the windows of their receivers are taken."""

    current: HintPass
    parcels: tuple[Parcel, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """One record on its way to one owner."""

    current: HintPass
    key: bytes
    digest: int
    size: int
    owner: MemberId
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """A hint that the store was told to drop."""

    partition: int
    key: bytes
    digest: int
    size: int


def hint_size(entry: Entry) -> int:
    return len(entry.key) + entry.size


class HintPass:
    """`missing` are owners that have not confirmed something: they were away, or a try failed."""

    __slots__ = (
        "_todo",
        "_whole",
        "after",
        "count",
        "has_failed",
        "is_disturbed",
        "is_listing",
        "missing",
        "open_count",
        "owners",
        "partition",
        "size",
    )

    def __init__(self, partition: int, owners: Collection[MemberId]) -> None:
        self.partition = partition
        self.owners = frozenset(owners)
        self.after = b""
        self.missing: set[MemberId] = set()
        self.count = 0  # hints that are here still
        self.size = 0
        self.open_count = 0  # parcels being read, records unanswered
        self.is_listing = False
        self.is_disturbed = False  # hints came or went by other hands: the count is not exact
        self.has_failed = False
        self._todo: deque[Entry] = deque()
        self._whole = False

    @property
    def needs_page(self) -> bool:
        return not (self._whole or self.is_listing or self._todo)

    @property
    def is_over(self) -> bool:
        return self._whole and not self._todo and self.open_count == 0

    def listed(self, page: Entries) -> None:
        self.is_listing = False
        self._todo.extend(page.entries)
        self._whole = page.after is None
        self.after = page.after or b""
        for entry in page.entries:
            self.count += 1
            self.size += hint_size(entry)

    def give_up(self) -> None:
        """The store cannot list: nothing more is begun, what is on its way still counts."""
        self.is_listing = False
        self.has_failed = self.is_disturbed = self._whole = True
        self._todo.clear()
        self.missing |= self.owners

    def next_parcel(
        self, confirmations: Confirmations, available: Collection[MemberId]
    ) -> Parcel | None:
        """The first hint for somebody who can be reached; those before it have nobody to go to.
        It stays until `taken`."""
        while self._todo:
            entry = self._todo[0]
            lacking = self.owners - confirmations.owners_of(entry.key, entry.digest)
            self.missing |= lacking.difference(available)
            owners = lacking.intersection(available)
            if owners:
                return Parcel(entry, tuple(sorted(owners)))
            self._todo.popleft()
        return None

    def taken(self, parcel: Parcel) -> None:
        self._todo.popleft()
        self.open_count += 1

    def failed(self, owners: Iterable[MemberId]) -> None:
        self.has_failed = True
        self.missing.update(owners)

    def dropped(self, size: int) -> None:
        """Every owner has a hint that this pass had listed."""
        self.count -= 1
        self.size -= size


@dataclass(slots=True)
class Schedule:
    """When a partition is next walked over, and for whom: None when anybody may lack something."""

    due_ms: int
    waiting_for: frozenset[MemberId] | None = None
    delay_ms: int = 0  # after the last failure
    is_recount: bool = False  # walk over it even if nobody can be reached

    def has_new_hints(self, due_ms: int) -> None:
        if self.waiting_for is not None:
            self.waiting_for = None
            self.due_ms = max(self.due_ms, due_ms)

    def begun(self) -> None:
        """What the pass will find is nobody's, until it has ended or something new comes."""
        self.waiting_for = frozenset()
        self.is_recount = False

    def ended(self, now_ms: int, current: HintPass, settings: HintSettings) -> None:
        if current.has_failed:
            self.delay_ms = min(max(2 * self.delay_ms, settings.retry_ms), settings.retry_max_ms)
            self.due_ms = max(self.due_ms, now_ms + self.delay_ms)
        else:
            self.delay_ms = 0
        if self.waiting_for is not None:
            self.waiting_for = frozenset(current.missing)
