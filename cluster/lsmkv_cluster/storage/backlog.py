"""Work that waits for the own store, and how much more of it is taken.

The store carries out orders one after the other, and none can be taken back. So what waits for it
is bounded in operations, bytes and time; what does not fit is refused while nothing of it is done:

    Work    who                                     how much of the limit it may fill
    BULK    hints and repair (lane BULK)            `bulk_share`
    CALLS   new requests of clients                 `call_share`
    BEGUN   requests of other nodes, who have       all
            begun what these are for
    -       all others: topology, own work begun    counted, never refused

The limit follows the store. An operation that has waited longer than `wait_target_ms`, done or not,
shows how many the store can do in that time: no more may wait from then on. As soon as waits are
short again it grows, doubling with each limitful. While the oldest order has waited for
`wait_max_ms` nothing more is taken.

Overload lasts: it is announced (`is_overloaded`) once requests have been refused for a while, and
taken back when none was for a longer while, so that it does not flicker through the gossip. A store
that could not write is announced as read-only until `read_only_ms` after its last failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lsmkv_cluster.storage.storage_orders import Failure, Merge, Merged, Mint, Order, Read, Result

__all__ = ["Backlog", "BacklogSettings", "Work"]

STREAK_GAP_MS = 1000  # refusals closer together than this are one overload


@dataclass(frozen=True, slots=True)
class BacklogSettings:
    operation_count_max: int = 8192  # that wait for the store, however fast it is
    operation_count_min: int = 64  # however slow it is
    size_max_bytes: int = 64 << 20
    wait_target_ms: int = 250
    wait_max_ms: int = 1000
    call_share: float = 0.75
    bulk_share: float = 0.5
    raise_after_ms: int = 500  # of refusals until overload is announced
    calm_ms: int = 3000  # without a refusal until it is taken back
    read_only_ms: int = 5000

    def __post_init__(self) -> None:
        if not 1 <= self.operation_count_min <= self.operation_count_max:
            raise ValueError(f"operation_count_min must be in 1..{self.operation_count_max}")
        if not 0 < self.bulk_share <= self.call_share <= 1:
            raise ValueError("0 < bulk_share <= call_share <= 1")
        if min(self.size_max_bytes, self.wait_target_ms, self.wait_max_ms) < 1:
            raise ValueError("limits must be positive")


class Work(IntEnum):
    """The more is done for it already, the later it is refused."""

    BULK = 0
    CALLS = 1
    BEGUN = 2


class Backlog:
    """`look` at the beginning of each step of the node, its start included. All numbers are as of
    that moment, and of what was ordered and taken since."""

    def __init__(self, settings: BacklogSettings | None = None) -> None:
        self.settings = settings or BacklogSettings()
        self.count = 0  # operations ordered and not done
        self.size = 0
        self.refused = 0  # since the start
        self.is_overloaded = False
        # Since when, operations that the store had to do until this was done, of this order, bytes.
        # A plain tuple, because there is one for each order.
        self._waiting: dict[int, tuple[int, int, int, int]] = {}
        self._taken = 0  # operations that will be ordered in this step
        self._taken_size = 0
        self._now_ms = 0
        self._is_stalled = False
        self._refusing_since_ms = 0
        self._refused_ms: int | None = None
        self._failed_ms: int | None = None
        self._limit = self.settings.operation_count_max
        self._limits = self._shares(self._limit)
        self._sizes = self._shares(self.settings.size_max_bytes)

    def _shares(self, whole: int) -> tuple[int, int, int]:
        """By Work."""
        settings = self.settings
        calls, bulk = int(whole * settings.call_share), int(whole * settings.bulk_share)
        return max(1, bulk), max(1, calls), whole

    @property
    def limit(self) -> int:
        """Operations."""
        return self._limit

    @property
    def is_read_only(self) -> bool:
        """Whether a write has failed lately, for lack of space or because the store is broken."""
        failed_ms = self._failed_ms
        return failed_ms is not None and self._now_ms < failed_ms + self.settings.read_only_ms

    # --- taking

    def look(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._taken = self._taken_size = 0
        self._is_stalled = False
        for since_ms, _, _, _ in self._waiting.values():
            if now_ms - since_ms > self.settings.wait_target_ms:
                self._has_waited_long(now_ms - since_ms)
            break  # the oldest is the first
        if self.is_overloaded and self._refused_ms is not None:
            self.is_overloaded = now_ms < self._refused_ms + self.settings.calm_ms

    def _has_waited_long(self, waited_ms: int) -> None:
        """All that waits may be done in one batch with the oldest, but has not been so far."""
        self._is_stalled = waited_ms >= self.settings.wait_max_ms
        self._set_limit(min(self._limit, self._allowed(self.count, waited_ms)))

    def woke(self) -> None:
        """The node was asleep, and so was everything else."""
        now_ms = self._now_ms
        self._waiting = {
            number: (now_ms, depth, count, size)
            for number, (_, depth, count, size) in self._waiting.items()
        }
        self._is_stalled = False

    def has_room(self, work: Work, size: int = 0) -> bool:
        """Whether one more operation would be taken."""
        count = self.count + self._taken
        if self._is_stalled or count >= self._limits[work]:
            return False
        return count == 0 or self.size + self._taken_size + size <= self._sizes[work]

    def take(self, work: Work, size: int) -> bool:
        """One operation that is going to be ordered in this step; False: it must not be."""
        if self.has_room(work, size):
            self._taken += 1
            self._taken_size += size
            return True
        self.refused += 1
        if work is not Work.BULK:
            self.note_refusal()
        return False

    def note_refusal(self) -> None:
        """A request was refused because there are too many, here or in another place."""
        now_ms, before_ms = self._now_ms, self._refused_ms
        if before_ms is None or now_ms > before_ms + STREAK_GAP_MS:
            self._refusing_since_ms = now_ms
        self._refused_ms = now_ms
        if now_ms >= self._refusing_since_ms + self.settings.raise_after_ms:
            self.is_overloaded = True

    # --- what the store does

    def ordered(self, number: int, order: Order) -> None:
        """The values of a Mint are those of calls, whose bytes are bounded themselves."""
        count, size = 1, 0
        if isinstance(order, Merge):
            count = len(order.records)
            for key, record in order.records:
                size += len(key) + len(record)
        elif isinstance(order, Mint | Read):
            count = len(order.keys)
        self.count += count
        self.size += size
        if self._taken > count:
            self._taken -= count
            self._taken_size -= size
        else:
            self._taken = self._taken_size = 0
        self._waiting[number] = self._now_ms, self.count, count, size

    def done(self, number: int, result: Result) -> None:
        since_ms, depth, count, size = self._waiting.pop(number)
        self.count -= count
        self.size -= size
        settings, waited_ms = self.settings, self._now_ms - since_ms
        if waited_ms > settings.wait_target_ms:
            self._set_limit(self._allowed(depth, waited_ms))
        elif self._limit < settings.operation_count_max and 2 * waited_ms < settings.wait_target_ms:
            self._set_limit(self._limit + count)
        if isinstance(result, Merged) and (
            Failure.FULL in result.outcomes or Failure.BROKEN in result.outcomes
        ):
            self._failed_ms = self._now_ms

    def _allowed(self, count: int, waited_ms: int) -> int:
        """How many may wait if so many take so long."""
        return count * self.settings.wait_target_ms // waited_ms

    def _set_limit(self, limit: int) -> None:
        least, most = self.settings.operation_count_min, self.settings.operation_count_max
        self._limit = min(max(limit, least), most)
        self._limits = self._shares(self._limit)
