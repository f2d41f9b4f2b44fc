"""Deletes are collected on proof: a tombstone goes when nothing is left that needs it.

Of each partition it is the first owner that looks for what is deleted, one partition after the
other, for ever; if it cannot be reached, nobody does until it can. What it does then, and why that
is safe, stands in collecting.py. It looks only at partitions that are settled, and whole here. What
has expired becomes a tombstone first, by the same owner (expiring.py); until then it is only
hidden, and never goes by any other way.

Everybody answers the first owners of its partitions (collect_answers.py). Nothing is remembered
over a restart: what was begun begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lsmkv_cluster.coordination.minter import Minter
from lsmkv_cluster.healing.collect_answers import CollectAnswers
from lsmkv_cluster.healing.collecting import Phase, Sweep, SweepPlan
from lsmkv_cluster.healing.expiring import expiry_order
from lsmkv_cluster.healing.tombstone_limits import (
    Blockers,
    TombstoneReport,
    TombstoneSettings,
)
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Answered, Asked, Effect, Now, Random, Stored, Unanswered
from lsmkv_cluster.storage.engine_key import partition_tokens
from lsmkv_cluster.storage.storage_orders import Mint, Space

__all__ = ["TombstoneCollector"]


class TombstoneCollector:
    """`is_ready` says whether the own copy of a partition is whole; `oldest_hint_ms` is what hints
    report: a wall-clock time before which no hint of this node is, 0 while that is not known, None
    without hints. `clock_agrees`: whether the wall clock of this node is that of the others; by one
    that is not nothing expires."""

    def __init__(
        self,
        topology: Topology,
        me: MemberId,
        minter: Minter,
        *,
        is_ready: Callable[[int], bool],
        oldest_hint_ms: Callable[[], int | None],
        clock_agrees: Callable[[], bool],
        random: Random,
        settings: TombstoneSettings | None = None,
    ) -> None:
        self._topology = topology
        self._me = me
        self._minter = minter
        self._is_ready = is_ready
        self._oldest_hint_ms = oldest_hint_ms
        self._clock_agrees = clock_agrees
        self._random = random
        self._settings = settings or TombstoneSettings()
        self._answers = CollectAnswers(
            topology, me, is_ready, self._hint_age_ms, self._settings.answer_open_max
        )
        self._blockers = Blockers()
        self._own = self._first_owned()
        self._next = 0  # index in _own
        self._sweep: Sweep | None = None
        self._sweep_id = 0
        self._after = b""  # where to go on in the partition of _next
        self._due_ms: int | None = None  # not begun
        self._waiting: dict[int, int] = {}  # deleted records by partition
        self._seen = 0  # of the present partition, in the sweeps that came before
        self._collected = 0
        self._expired = 0
        self._rounds = 0

    def follow(self, now: Now, topology: Topology) -> None:
        """The document was adopted. A sweep whose partition has moved begins anew."""
        partition = self._own[self._next] if self._own else None
        self._topology = self._answers.topology = topology
        self._own = self._first_owned()
        self._blockers.keep(self._members())
        self._waiting = {p: count for p, count in self._waiting.items() if p in self._own}
        if partition in self._own:
            self._next = self._own.index(partition)
        else:
            self._next, self._after, self._seen = 0, b"", 0
        self._drop_sweep_if_moved()
        if self._due_ms is not None:
            self._due_ms = min(self._due_ms, now.ms + self._settings.interval_ms)

    @property
    def report(self) -> TombstoneReport:
        return TombstoneReport(
            collected=self._collected,
            expired=self._expired,
            rounds=self._rounds,
            waiting=sum(self._waiting.values()),
            held_up=sum(not self._may_sweep(partition) for partition in self._own),
            blockers=self._blockers.listed(),
        )

    # --- the machine

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect]:
        return [self._answers.asked(now, request) for request in requests]

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Effect]:
        effects: list[Effect] = []
        for answer in answers:
            owner, serial = _parts(answer.token)
            if self._sweep is not None and owner == self._sweep.plan.sweep_id:
                effects += self._sweep.answered(now, serial, answer)
        return effects + self._go_on(now)

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect]:
        effects: list[Effect] = []
        for token, result in results:
            owner, serial = _parts(token)
            if owner == "answer":
                effects.append(self._answers.stored(serial, result))
            elif self._sweep is not None and owner == self._sweep.plan.sweep_id:
                effects += self._sweep.stored(now, serial, result)
        return effects + self._go_on(now)

    def tick(self, now: Now) -> list[Effect]:
        if self._due_ms is None:  # not all nodes at once
            self._due_ms = now.ms + 1 + self._random.randrange(self._settings.interval_ms)
        self._drop_sweep_if_moved()
        effects: list[Effect] = []
        if self._sweep is None and now.ms >= self._due_ms:
            self._begin(now)
        if self._sweep is not None:
            effects += self._sweep.tick(now)
        return effects + self._go_on(now)

    def next_deadline(self) -> int | None:
        if self._due_ms is None:
            return 0
        return self._due_ms if self._sweep is None else self._sweep.next_deadline()

    # --- sweeps

    def _begin(self, now: Now) -> None:
        """At the next partition that can be looked at; if there is none, later."""
        for _ in self._own:
            partition = self._own[self._next]
            if self._may_sweep(partition):
                self._sweep_id += 1
                row = self._topology.owners[partition]
                plan = SweepPlan(
                    sweep_id=self._sweep_id,
                    partition=partition,
                    placed=self._topology.placed[partition],
                    tokens=partition_tokens(Space.DATA, self._topology.partitioning, partition),
                    me=self._me,
                    others=tuple(id for id in row if id != self._me),
                    after=self._after,
                )
                self._sweep = Sweep(
                    plan,
                    self._settings,
                    self._blockers,
                    self._members,
                    self._hint_age_ms,
                    self._expire,
                )
                return
            self._next_partition()
        self._due_ms = now.ms + self._settings.interval_ms

    def _go_on(self, now: Now) -> list[Effect]:
        sweep = self._sweep
        if sweep is None or sweep.phase is not Phase.OVER:
            return []
        self._sweep = None
        self._collected += sweep.collected
        self._expired += sweep.expired
        self._seen += sweep.found - sweep.collected
        self._due_ms = now.ms + self._settings.interval_ms
        if sweep.after is not None and sweep.after != sweep.plan.after:
            self._after = sweep.after  # it was cut off
        else:
            self._waiting[sweep.plan.partition] = self._seen
            self._next_partition()
        return []

    def _next_partition(self) -> None:
        self._after, self._seen = b"", 0
        self._next = (self._next + 1) % len(self._own)
        if self._next == 0:
            self._rounds += 1
            self._blockers.next_round()

    def _drop_sweep_if_moved(self) -> None:
        sweep = self._sweep
        if sweep is None:
            return
        partition = sweep.plan.partition
        is_same = self._topology.placed[partition] == sweep.plan.placed
        if not (is_same and partition in self._own and self._may_sweep(partition)):
            self._sweep = None
            self._expired += sweep.expired
            self._after, self._seen = b"", 0

    def _may_sweep(self, partition: int) -> bool:
        is_settled = partition not in self._topology.transitions_by_partition
        return is_settled and self._is_ready(partition)

    def _first_owned(self) -> list[int]:
        return [p for p, row in enumerate(self._topology.owners) if row and row[0] == self._me]

    def _members(self) -> Iterable[MemberId]:
        """All that may keep hints; what those who are removed may send nobody takes."""
        return self._topology.voters

    def _hint_age_ms(self, now: Now) -> int | None:
        """Negative while it is not known."""
        oldest_ms = self._oldest_hint_ms()
        if not oldest_ms:
            return None if oldest_ms is None else -1
        return max(0, now.wall_ms - oldest_ms)

    def _expire(self, now: Now, keys: tuple[bytes, ...]) -> Mint | None:
        if not self._clock_agrees():
            return None
        by_ms = now.wall_ms - self._settings.skew_limit_ms
        return expiry_order(self._minter, keys, now.wall_ms, by_ms)


def _parts(token: object) -> tuple[object, int]:
    """Whose a token is, and its serial number."""
    assert isinstance(token, tuple)
    owner, serial = token
    assert isinstance(serial, int)
    return owner, serial
