"""How much hinted handoff may keep and may send: pure, the times come from the caller.

    HintSettings    all limits
    Window          what one receiver is sent at a time: its answers open and close it
    Receivers       the windows of all, and who can be reached
    Confirmations   which owners are known to have a hint, oldest first
    Usage           how many hints there are, by partition
    HintReport      what operators see

A hint counts as the sole copy of its write until an owner has said that it is on its stable
storage. Only of hints that stand in Confirmations may one be given up before every owner has it.
The table lives in memory: after a restart every hint is a sole copy again. It may forget, at the
price of sending again, and it may never say too much.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from lsmkv_cluster.placement.members import MemberId

__all__ = [
    "Confirmation",
    "Confirmations",
    "HintReport",
    "HintSettings",
    "PartitionUsage",
    "Usage",
    "Window",
]


@dataclass(frozen=True, slots=True)
class HintSettings:
    """How much and how long."""

    size_max_bytes: int = 1 << 30  # keys and records of all hints
    reserve_bytes: int = 1 << 27  # kept free by giving up hints that an owner has
    confirmed_count_max: int = 100_000  # of hints that only some owners have
    confirmed_age_max_ms: int = 3 * 3600 * 1000  # of such hints
    settle_ms: int = 1000  # from a new hint to its replay, so that a pass has more than one
    pass_count_max: int = 4  # partitions at a time
    page_count_max: int = 256  # hints in one listing
    answer_timeout_ms: int = 5000
    retry_ms: int = 2000  # after a failure; doubled from one to the next
    retry_max_ms: int = 30_000  # so long the last try may have been ago when an owner is well again
    poll_ms: int = 1000  # between two looks at who is reachable
    recount_ms: int = 30_000  # between recounts of a store that refuses
    window_first: int = 4  # records unanswered by one receiver, at first
    window_max: int = 256
    window_record_bytes: int = 16 << 10  # in flight for each record of the window

    def __post_init__(self) -> None:
        if not 0 <= self.reserve_bytes < self.size_max_bytes:
            raise ValueError("the reserve must be smaller than the whole")
        if not 1 <= self.window_first <= self.window_max:
            raise ValueError(f"window_first must be in 1..{self.window_max}")
        if not 1 <= self.retry_ms <= self.retry_max_ms:
            raise ValueError(f"retry_ms must be in 1..{self.retry_max_ms}")
        positive = (
            self.confirmed_count_max,
            self.pass_count_max,
            self.page_count_max,
            self.answer_timeout_ms,
            self.poll_ms,
            self.recount_ms,
            self.window_record_bytes,
        )
        if min(positive) < 1 or min(self.settle_ms, self.confirmed_age_max_ms) < 0:
            raise ValueError("limits must be positive")


# --- the pace of a receiver ----------------------------------------------------------------------


class Window:
    """Credits of one receiver: at most `limit` records are unanswered, and as many times
    `window_record_bytes`; a single record may be larger.

    It opens by one record for each windowful that was answered, and closes to half when the
    receiver refuses or is silent, once for all that was sent before it last closed. Then nothing
    is sent for a time that doubles until something is answered again.
    """

    __slots__ = (
        "_answered",
        "_closed_ms",
        "_pause_ms",
        "_settings",
        "limit",
        "paused_until_ms",
        "unanswered",
        "unanswered_bytes",
    )

    def __init__(self, settings: HintSettings) -> None:
        self._settings = settings
        self._answered = 0  # since the window opened last
        self._closed_ms: int | None = None
        self._pause_ms = settings.retry_ms
        self.limit = settings.window_first
        self.paused_until_ms = 0
        self.unanswered = 0
        self.unanswered_bytes = 0

    def has_room(self, size: int) -> bool:
        if self.unanswered == 0:
            return True
        size_max = self.limit * self._settings.window_record_bytes
        return self.unanswered < self.limit and self.unanswered_bytes + size <= size_max

    def is_paused(self, now_ms: int) -> bool:
        return now_ms < self.paused_until_ms

    def take(self, size: int) -> None:
        """Credit for one record, before it is read."""
        self.unanswered += 1
        self.unanswered_bytes += size

    def give_back(self, size: int) -> None:
        """Credit that was not used, or whose record has been answered."""
        self.unanswered -= 1
        self.unanswered_bytes -= size

    def opened(self) -> None:
        """The receiver has taken a record."""
        self._pause_ms = self._settings.retry_ms
        self._answered += 1
        if self._answered >= self.limit:
            self._answered = 0
            self.limit = min(self.limit + 1, self._settings.window_max)

    def closed(self, now_ms: int, sent_ms: int) -> None:
        """The receiver has refused a record that was sent at `sent_ms`, or not answered it."""
        if self._closed_ms is not None and sent_ms <= self._closed_ms:
            return
        self._closed_ms = now_ms
        self._answered = 0
        self.limit = max(1, self.limit // 2)
        self.paused_until_ms = now_ms + self._pause_ms
        self._pause_ms = min(2 * self._pause_ms, self._settings.retry_max_ms)


class Receivers:
    """The windows of all owners, and to whom something can be sent at all."""

    __slots__ = ("_me", "_reachable", "_settings", "_windows")

    def __init__(
        self, me: MemberId, reachable: Callable[[MemberId], bool], settings: HintSettings
    ) -> None:
        self._me = me
        self._reachable = reachable
        self._settings = settings
        self._windows: dict[MemberId, Window] = {}

    @property
    def unanswered(self) -> int:
        return sum(window.unanswered for window in self._windows.values())

    def window(self, owner: MemberId) -> Window:
        if (window := self._windows.get(owner)) is None:
            window = self._windows[owner] = Window(self._settings)
        return window

    def take(self, owners: Collection[MemberId], size: int) -> bool:
        """Credit of all of them for a record that they get, or of none."""
        windows = [self.window(owner) for owner in owners]
        if not all(window.has_room(size) for window in windows):
            return False
        for window in windows:
            window.take(size)
        return True

    def give_back(self, owners: Iterable[MemberId], size: int) -> None:
        for owner in owners:
            self.window(owner).give_back(size)

    def available(self, now_ms: int, owners: Iterable[MemberId]) -> set[MemberId]:
        """Those of the owners that can be reached and are not left in peace just now."""
        return {
            owner
            for owner in owners
            if (owner == self._me or self._reachable(owner))
            and not self.window(owner).is_paused(now_ms)
        }


# --- who has what --------------------------------------------------------------------------------


@dataclass(slots=True)
class Confirmation:
    """Owners that have this state of a hint on stable storage, and since when the first has."""

    digest: int
    size: int  # of key and record
    since_ms: int
    owners: set[MemberId] = field(default_factory=set)


class Confirmations:
    """By key; iteration goes from the oldest on. A hint that changed begins anew."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[bytes, Confirmation] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def owners_of(self, key: bytes, digest: int) -> frozenset[MemberId]:
        found = self._by_key.get(key)
        if found is None or found.digest != digest:
            return frozenset()
        return frozenset(found.owners)

    def add(self, now_ms: int, key: bytes, digest: int, size: int, owner: MemberId) -> None:
        found = self._by_key.get(key)
        if found is None or found.digest != digest:
            self._by_key.pop(key, None)
            found = self._by_key[key] = Confirmation(digest, size, now_ms)
        found.owners.add(owner)

    def forget(self, key: bytes) -> None:
        self._by_key.pop(key, None)

    def forget_where(self, is_forgotten: Callable[[bytes], bool]) -> None:
        for key in list(filter(is_forgotten, self._by_key)):
            del self._by_key[key]

    def oldest(self) -> Iterator[tuple[bytes, Confirmation]]:
        return iter(self._by_key.items())


# --- how much there is ---------------------------------------------------------------------------


@dataclass(slots=True)
class PartitionUsage:
    """`since_ms` is a wall-clock time before which no hint of the partition is; 0 = unknown, from
    before the start. The counts are upper bounds unless `is_exact`: a record that is merged into a
    hint counts once more."""

    since_ms: int
    count: int = 0
    size: int = 0
    is_exact: bool = False


class Usage:
    """Counts and bytes of all hints."""

    __slots__ = ("by_partition", "size")

    def __init__(self) -> None:
        self.by_partition: dict[int, PartitionUsage] = {}
        self.size = 0

    @property
    def count(self) -> int:
        return sum(found.count for found in self.by_partition.values())

    @property
    def oldest_ms(self) -> int | None:
        """No hint is older; None without hints."""
        return min((found.since_ms for found in self.by_partition.values()), default=None)

    def add(self, partition: int, size: int, wall_ms: int) -> None:
        found = self.by_partition.setdefault(partition, PartitionUsage(wall_ms))
        found.count += 1
        found.size += size
        found.is_exact = False
        self.size += size

    def remove(self, partition: int, size: int) -> None:
        """One hint less. A partition stays listed until a pass has found it empty."""
        if (found := self.by_partition.get(partition)) is not None:
            taken = min(size, found.size)
            found.count = max(0, found.count - 1)
            found.size -= taken
            self.size -= taken

    def recounted(self, partition: int, count: int, size: int) -> None:
        """What a pass has found, during which nothing was added."""
        if (found := self.by_partition.get(partition)) is None:
            return
        self.size += size - found.size
        found.count, found.size, found.is_exact = count, size, True
        if count == 0:
            del self.by_partition[partition]


@dataclass(frozen=True, slots=True)
class HintReport:
    """What there is now, and what has happened since the start."""

    count: int  # an upper bound, as is `size`
    size: int  # bytes of keys and records
    oldest_ms: int | None  # wall clock; no hint is older. 0 = unknown, None = no hints
    is_counted: bool  # False while the start's count goes on
    partly_confirmed: int  # hints that some owner has and another lacks
    unanswered: int
    confirmed: int  # records that an owner has taken
    dropped: int  # every owner had them
    given_up: int  # some owner had them, and they were too old or in the way
    failed: int  # tries that were refused or not answered
    unreadable: int
    refused: int  # times that `accepts` said no
