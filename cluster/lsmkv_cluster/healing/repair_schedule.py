"""When each pair of partition and co-owner is compared: pure, the time comes from the caller.

- Regularly: once in a period, give or take a tenth, from a random moment on. Of two owners the one
  with the smaller id asks; the other asks only if it has not been asked for two periods.
- Urgently: partitions that are not ready, with every co-owner, at once and before all others, until
  that co-owner was met; and those that are to be handed over, until the peer was given all.
- Now, whoever's turn it is: what an operator wants compared (repair_request.py).
- When a partition moves, its pairs are forgotten, and those of its new place begin.
- A round that was cut off goes on at once. One that failed is repeated after a while that doubles
  each time, up to a period; one that was refused for the moment, up to a few seconds. A peer that
  cannot be reached is looked for every `poll_ms`. One that had too much to do is left in peace for
  `pause_ms`, with all its pairs: each would only be refused as well.
- One round at a time for a partition: two peers would be asked for the same records.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from lsmkv_cluster.healing.repair_pairs import PairPlan
from lsmkv_cluster.healing.repair_records import RepairSettings
from lsmkv_cluster.healing.repair_request import RepairRequest
from lsmkv_cluster.healing.repair_rounds import Outcome
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Random

__all__ = ["AntiEntropySettings", "Pair", "RepairSchedule"]

REFUSED_DOUBLINGS_MAX = 2


@dataclass(frozen=True, slots=True)
class AntiEntropySettings:
    """How often and how much."""

    repair: RepairSettings = field(default_factory=RepairSettings)
    period_ms: int = 600_000
    exchange_count_max: int = 4  # rounds at a time that this node begins
    served_count_max: int = 32  # rounds at a time that others have begun with it
    retry_ms: int = 1000  # after a failure; doubled from one to the next, up to a period
    poll_ms: int = 1000  # between two looks for peers that could not be reached
    pause_ms: int = 200  # for a peer that has too much to do; give or take a half
    list_open_max: int = 256  # lists for peers at a time
    scrub_interval_ms: int = 1000
    scrub_leaf_count: int = 16  # leaves in one order

    def __post_init__(self) -> None:
        if not 1 <= self.retry_ms <= self.period_ms:
            raise ValueError(f"retry_ms must be in 1..{self.period_ms}")
        positive = (
            self.exchange_count_max,
            self.served_count_max,
            self.poll_ms,
            self.pause_ms,
            self.list_open_max,
            self.scrub_interval_ms,
            self.scrub_leaf_count,
        )
        if min(positive) < 1:
            raise ValueError("limits must be positive")


@dataclass(slots=True, eq=False)
class Pair:
    """A partition and another owner of it."""

    partition: int
    peer: MemberId
    asks: bool  # whether it is this node's turn
    cursor: int | None = None  # where the next round begins
    asked_ms: int = 0  # when the peer asked last
    failures: int = 0  # in a row
    was_met: bool = False  # since the partition is not ready
    gives: bool = False  # everything here has still to be handed over to the peer
    stamp: int = 0  # of its valid place in a queue


class _Queue:
    """Pairs by the time they are due. Of the places of a pair the one given last counts."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Pair]] = []

    def push(self, due_ms: int, pair: Pair) -> None:
        heapq.heappush(self._heap, (due_ms, pair.stamp, pair))

    @property
    def due_ms(self) -> int | None:
        while self._heap and self._heap[0][1] != self._heap[0][2].stamp:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now_ms: int) -> Pair | None:
        if (due_ms := self.due_ms) is None or due_ms > now_ms:
            return None
        return heapq.heappop(self._heap)[2]


class RepairSchedule:
    """`begin` first."""

    def __init__(
        self,
        plans: Iterable[PairPlan],
        me: MemberId,
        random: Random,
        settings: AntiEntropySettings,
        request: RepairRequest | None = None,
    ) -> None:
        self._me = me
        self._request = request or RepairRequest()
        self._pairs: dict[tuple[int, MemberId], Pair] = {}
        self._by_partition: dict[int, list[Pair]] = {}
        self._add(plans)
        self._random = random
        self._settings = settings
        self._urgent, self._regular = _Queue(), _Queue()
        self._not_ready: frozenset[int] = frozenset()
        self._parked: dict[MemberId, list[Pair]] = {}  # until their peer can take part
        self._paused_until_ms: dict[MemberId, int] = {}
        self._blocked: dict[int, list[Pair]] = {}  # until the round of their partition is over
        self._busy: set[int] = set()
        self._poll_ms = 0
        self._stamp = 0

    def begin(self, now_ms: int) -> None:
        self._begin(now_ms, self._pairs.values())

    def follow(self, now_ms: int, moved: Collection[int], plans: Iterable[PairPlan]) -> None:
        """These partitions have moved, and these are their pairs now. Others stay as they are."""
        for partition in moved:
            self._busy.discard(partition)
            self._blocked.pop(partition, None)
            for pair in self._by_partition.pop(partition, ()):
                del self._pairs[partition, pair.peer]
                pair.stamp = 0  # no place of it in a queue is valid any more
        parked, self._parked = self._parked, {}
        for peer, pairs in parked.items():
            if kept := [pair for pair in pairs if pair.partition in self._by_partition]:
                self._parked[peer] = kept
        self._begin(now_ms, self._add(plans))

    def _add(self, plans: Iterable[PairPlan]) -> list[Pair]:
        added = []
        for plan in plans:
            pair = Pair(plan.partition, plan.peer, asks=self._me < plan.peer, gives=plan.gives)
            self._pairs[plan.partition, plan.peer] = pair
            self._by_partition.setdefault(plan.partition, []).append(pair)
            added.append(pair)
        return added

    def _begin(self, now_ms: int, pairs: Iterable[Pair]) -> None:
        period_ms = self._settings.period_ms
        for pair in pairs:
            pair.asked_ms = now_ms
            spread_ms = int(self._random.random() * period_ms)
            later_ms = spread_ms + (0 if pair.asks else 2 * period_ms)
            self._place(now_ms + (0 if self.is_urgent(pair) else later_ms), pair)

    def become_not_ready(self, now_ms: int, partitions: Collection[int]) -> list[int]:
        """Tell which partitions are not ready now; which of them are so newly."""
        if not partitions and not self._not_ready:
            return []
        found = frozenset(partitions)
        new = sorted(found - self._not_ready)
        self._not_ready = found
        for partition in new:
            self.restart(now_ms, partition)
        return new

    def restart(self, now_ms: int, partition: int) -> None:
        """What was learned about the partition does not count any more."""
        self._busy.discard(partition)
        self._blocked.pop(partition, None)
        for pair in self._by_partition.get(partition, ()):
            pair.was_met = False
            pair.cursor, pair.failures = None, 0
            self._place(now_ms, pair)

    def hurry(self, now_ms: int, partition: int) -> None:
        """Some of its pairs are wanted now."""
        for pair in self._by_partition.get(partition, ()):
            if self._is_wanted(pair):
                pair.failures = 0
                self._place(now_ms, pair)

    def _is_wanted(self, pair: Pair) -> bool:
        return self._request.wants(pair.partition, pair.peer)

    def was_asked(self, now_ms: int, partition: int, peer: MemberId) -> None:
        if (pair := self._pairs.get((partition, peer))) is not None:
            pair.asked_ms = now_ms

    def is_urgent(self, pair: Pair) -> bool:
        return pair.gives or (pair.partition in self._not_ready and not pair.was_met)

    def next_pair(self, now_ms: int, reachable: Callable[[MemberId], bool]) -> Pair | None:
        """Whose round begins now. It runs until `ended`."""
        self._unpark(now_ms, reachable)
        for queue in (self._urgent, self._regular):
            while (pair := queue.pop(now_ms)) is not None:
                not_yet_ms = pair.asked_ms + 2 * self._settings.period_ms
                if not self._takes_part(now_ms, pair.peer, reachable):
                    self._park(now_ms, pair)
                elif pair.partition in self._busy:
                    self._blocked.setdefault(pair.partition, []).append(pair)
                elif (
                    queue is self._regular
                    and not pair.asks
                    and now_ms < not_yet_ms
                    and not self._is_wanted(pair)
                ):
                    self._place(not_yet_ms, pair)
                else:
                    self._busy.add(pair.partition)
                    return pair
        return None

    def ended(self, now_ms: int, pair: Pair, outcome: Outcome) -> None:
        self._busy.discard(pair.partition)
        due_ms = now_ms + self._delay_ms(pair, outcome)
        if outcome is Outcome.OVERLOADED:
            self._paused_until_ms[pair.peer] = due_ms
        self._place(due_ms, pair)
        for waiting in self._blocked.pop(pair.partition, ()):
            self._place(now_ms, waiting)

    def next_deadline(self) -> int | None:
        """When `next_pair` may find one."""
        found = [self._urgent.due_ms, self._regular.due_ms]
        if self._parked:
            found.append(self._poll_ms)
        return min((due_ms for due_ms in found if due_ms is not None), default=None)

    def _delay_ms(self, pair: Pair, outcome: Outcome) -> int:
        settings = self._settings
        if outcome is Outcome.CUT_OFF:
            pair.failures = 0
            return 0
        if outcome is Outcome.OVERLOADED:
            return int(settings.pause_ms * (0.5 + self._random.random()))
        if outcome in (Outcome.EQUAL, Outcome.REPAIRED) and not self.is_urgent(pair):
            pair.failures = 0
            if self._is_wanted(pair):  # since this round began
                return 0
            own_ms = int(settings.period_ms * (0.9 + 0.2 * self._random.random()))
            return own_ms if pair.asks else own_ms + settings.period_ms
        doublings = REFUSED_DOUBLINGS_MAX if outcome is Outcome.REFUSED else 32
        delay_ms = min(settings.retry_ms << min(pair.failures, doublings), settings.period_ms)
        pair.failures += 1
        return int(delay_ms * (0.9 + 0.2 * self._random.random()))

    def _place(self, due_ms: int, pair: Pair) -> None:
        self._stamp += 1
        pair.stamp = self._stamp
        (self._urgent if self.is_urgent(pair) else self._regular).push(due_ms, pair)

    def _takes_part(
        self, now_ms: int, peer: MemberId, reachable: Callable[[MemberId], bool]
    ) -> bool:
        return now_ms >= self._paused_until_ms.get(peer, 0) and reachable(peer)

    def _park(self, now_ms: int, pair: Pair) -> None:
        poll_ms = now_ms + self._settings.poll_ms
        until_ms = self._paused_until_ms.get(pair.peer, 0)
        look_ms = until_ms if now_ms < until_ms < poll_ms else poll_ms
        self._poll_ms = min(self._poll_ms, look_ms) if self._parked else look_ms
        self._parked.setdefault(pair.peer, []).append(pair)

    def _unpark(self, now_ms: int, reachable: Callable[[MemberId], bool]) -> None:
        """Regular ones come spread over some time, so that a node that returns is not flooded."""
        if not self._parked or now_ms < self._poll_ms:
            return
        self._poll_ms = now_ms + self._settings.poll_ms
        for peer in [peer for peer in self._parked if self._takes_part(now_ms, peer, reachable)]:
            for pair in self._parked.pop(peer):
                spread_ms = int(self._random.random() * self._settings.period_ms / 8)
                self._place(now_ms + (0 if self.is_urgent(pair) else spread_ms), pair)
