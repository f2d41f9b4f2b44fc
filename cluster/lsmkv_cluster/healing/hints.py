"""Hinted handoff: what was kept for owners that were away reaches them, and nothing is lost on it.

A hint is a whole record in Space.HINT, under its own key: it can be read, it merges, and it is
addressed to the partition. Who keeps the partition is looked up when the hint is replayed, so a
replaced owner strands nothing; while it moves, those are the owners of both rows.

- A pass (hint_pass.py) walks over the hints of a partition and sends each to every owner that can
  be reached and has not confirmed this very state of it, to be synced before the answer. When all
  owners have, the hint is dropped, unless it has changed meanwhile: then the next pass has it.
- The receivers set the pace (hint_budget.py, Window): a slow one gets little and stops nobody else.
- Space and age are bounded. `accepts` says whether a hint fits; a write that does not is to be
  refused before anything is minted. Given up early are hints that at least one owner has on stable
  storage, the oldest first: anti-entropy carries them to the others. A sole copy is never given up.
- At the start all hints are counted, and none is accepted until that is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from lsmkv_cluster.coordination.replica_messages import MERGE, ReplicaFlags, encode_merge
from lsmkv_cluster.healing.hint_budget import (
    Confirmations,
    HintReport,
    HintSettings,
    Receivers,
    Usage,
)
from lsmkv_cluster.healing.hint_pass import (
    Batch,
    Dropped,
    HintPass,
    Parcel,
    Schedule,
    Sent,
    hint_size,
)
from lsmkv_cluster.healing.hint_survey import HintSurvey
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import (
    Alarm,
    Answered,
    Ask,
    Asked,
    Effect,
    Now,
    Reply,
    Stored,
    StoreOrder,
    Unanswered,
)
from lsmkv_cluster.storage.engine_key import partition_tokens
from lsmkv_cluster.storage.storage_orders import (
    Done,
    Drop,
    Entries,
    Failure,
    ListEntries,
    Merge,
    Merged,
    Order,
    Read,
    Result,
    Space,
    Values,
)
from lsmkv_cluster.transport.wire import Lane

__all__ = ["HintedHandoff"]

GIVE_UP_SCAN_MAX = 1000  # confirmations looked at in one tick

_Waiting = HintSurvey | HintPass | Batch | Sent | tuple[Dropped, ...]


class HintedHandoff:
    """Holds no record: only those pass through that a receiver has room for."""

    def __init__(
        self,
        topology: Topology,
        me: MemberId,
        reachable: Callable[[MemberId], bool],
        settings: HintSettings | None = None,
    ) -> None:
        self._topology = topology
        self._me = me
        self._settings = settings or HintSettings()
        self._usage = Usage()
        self._confirmations = Confirmations()
        self._receivers = Receivers(me, reachable, self._settings)
        self._schedules: dict[int, Schedule] = {}
        self._passes: dict[int, HintPass] = {}
        # By token, what an answer or a result belongs to.
        self._waiting: dict[int, _Waiting] = {}
        self._serial = 0
        self._survey = HintSurvey(topology.partitioning, self._settings.page_count_max)
        self._is_counted = False
        self._look_ms: int | None = 0  # when `tick` has something to do
        self._recount_ms = 0
        self._was_refused = False
        self._has_alarmed = False
        self._to_drop: list[Dropped] = []
        self._totals = dict.fromkeys(
            ("confirmed", "dropped", "given_up", "failed", "unreadable", "refused"), 0
        )

    # --- what the node asks

    def accepts(self, size: int) -> bool:
        """Whether a new hint of `size` bytes of key and record fits."""
        if self._is_counted and self._usage.size + size <= self._settings.size_max_bytes:
            return True
        self._totals["refused"] += 1
        self._was_refused = True
        if self._is_counted:
            self._look_at(self._recount_ms)
        return False

    def keep(self, now: Now, key: bytes, size: int) -> None:
        """A hint of `size` bytes goes to the store now. One that the store refuses counts until
        the next pass."""
        partition = self._topology.partition_of(key)
        self._usage.add(partition, size, now.wall_ms)
        if (current := self._passes.get(partition)) is not None:
            current.is_disturbed = True
        due_ms = now.ms + self._settings.settle_ms
        schedule = self._schedules.setdefault(partition, Schedule(due_ms))
        schedule.has_new_hints(due_ms)
        self._look_at(schedule.due_ms)

    def follow(self, now: Now, topology: Topology) -> None:
        """Of a partition that has moved anybody may lack anything: what was confirmed before does
        not count, nor does what is on its way."""
        moved = set(topology.moved_since(self._topology))
        self._topology = topology
        self._confirmations.forget_where(lambda key: topology.partition_of(key) in moved)
        for partition in filter(moved.__contains__, self._schedules):
            self._passes.pop(partition, None)
            self._schedules[partition] = Schedule(now.ms, is_recount=True)
        self._look_at(now.ms)

    @property
    def report(self) -> HintReport:
        return HintReport(
            count=self._usage.count,
            size=self._usage.size,
            oldest_ms=self._usage.oldest_ms if self._is_counted else 0,
            is_counted=self._is_counted,
            partly_confirmed=len(self._confirmations),
            unanswered=self._receivers.unanswered,
            **self._totals,
        )

    # --- the machine

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect]:
        return [Reply(asked.reply_to, OperationStatus.UNKNOWN_OPCODE) for asked in requests]

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Effect]:
        for answer in answers:
            sent = self._taken(answer.token)
            if not isinstance(sent, Sent):
                continue
            is_done = isinstance(answer, Answered) and answer.is_done
            self._ended(now, sent, is_done)
            if isinstance(answer, Unanswered) or answer.status == OperationStatus.OVERLOADED:
                self._receivers.window(sent.owner).closed(now.ms, sent.sent_ms)
        return self._go_on(now)

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect]:
        effects: list[Effect] = []
        for token, result in results:
            waiting = self._taken(token)
            if isinstance(waiting, HintSurvey):
                effects += self._counted(now, result)
            elif isinstance(waiting, HintPass):
                if isinstance(result, Entries):
                    waiting.listed(result)
                else:
                    waiting.give_up()
            elif isinstance(waiting, Batch):
                effects += self._send(now, waiting, result)
            elif isinstance(waiting, Sent):
                is_done = isinstance(result, Merged) and not isinstance(result.outcomes[0], Failure)
                self._ended(now, waiting, is_done)
            elif waiting is not None and not isinstance(result, Done):
                for dropped in waiting:
                    self.keep(now, dropped.key, dropped.size)
        return effects + self._go_on(now)

    def tick(self, now: Now) -> list[Effect]:
        if self._look_ms is None or now.ms < self._look_ms:
            return []
        self._look_ms = None
        if not self._is_counted:
            return [self._order(self._survey, self._survey.order())]
        self._give_up_early(now)
        self._begin_passes(now)
        return self._go_on(now)

    def next_deadline(self) -> int | None:
        return self._look_ms

    # --- the count at the start

    def _counted(self, now: Now, result: Result) -> list[Effect]:
        if not isinstance(result, Entries):
            self._look_at(now.ms + self._settings.retry_ms)
            return self._alarm("hints cannot be counted, and none is accepted")
        for entry in result.entries:
            partition = self._topology.partition_of(entry.key)
            self._usage.add(partition, hint_size(entry), 0)
            self._schedules.setdefault(partition, Schedule(now.ms))
        self._survey.counted(result.after)
        if not self._survey.is_over:
            return [self._order(self._survey, self._survey.order())]
        self._is_counted = True
        if self._schedules:
            self._look_at(now.ms)
        return []

    # --- passes

    def _begin_passes(self, now: Now) -> None:
        if self._was_refused and now.ms >= self._recount_ms:
            self._was_refused = False
            self._recount_ms = now.ms + self._settings.recount_ms
            for partition, usage in self._usage.by_partition.items():
                self._schedules[partition].is_recount = not usage.is_exact
        for partition, schedule in list(self._schedules.items()):
            if partition in self._passes:
                continue
            owners = self._topology.keepers(partition)
            lacking = owners if schedule.waiting_for is None else schedule.waiting_for
            if not schedule.is_recount and schedule.due_ms > now.ms:
                self._look_at(schedule.due_ms)
            elif len(self._passes) >= self._settings.pass_count_max or not (
                schedule.is_recount or self._receivers.available(now.ms, lacking)
            ):
                self._look_at(now.ms + self._settings.poll_ms)
            else:
                schedule.begun()
                self._passes[partition] = HintPass(partition, owners)
                # Behind the others: all get their turn.
                self._schedules[partition] = self._schedules.pop(partition)

    def _go_on(self, now: Now) -> list[Effect]:
        """What there is to drop, before anything is listed; all that windows and pages allow."""
        effects: list[Effect] = []
        if self._to_drop:
            entries = tuple([(dropped.key, dropped.digest) for dropped in self._to_drop])
            effects.append(self._order(tuple(self._to_drop), Drop(Space.HINT, entries)))
            self._to_drop.clear()
        for current in list(self._passes.values()):
            available = self._receivers.available(now.ms, current.owners)
            parcels: list[Parcel] = []
            while (parcel := current.next_parcel(self._confirmations, available)) is not None:
                if not self._receivers.take(parcel.owners, parcel.size):
                    break
                current.taken(parcel)
                parcels.append(parcel)
            if parcels:
                keys = tuple([parcel.entry.key for parcel in parcels])
                batch = Batch(current, tuple(parcels))
                effects.append(self._order(batch, Read(Space.HINT, keys)))
            if current.needs_page:
                effects.append(self._list(current))
            elif current.is_over:
                self._finish(now, current)
        return effects

    def _list(self, current: HintPass) -> Effect:
        current.is_listing = True
        partitioning = self._topology.partitioning
        tokens = partition_tokens(Space.HINT, partitioning, current.partition)
        count_max, after = self._settings.page_count_max, current.after
        order = ListEntries(Space.HINT, tokens.first, tokens.end, after, count_max)
        return self._order(current, order)

    def _finish(self, now: Now, current: HintPass) -> None:
        partition = current.partition
        del self._passes[partition]
        if not current.is_disturbed:
            self._usage.recounted(partition, current.count, current.size)
        schedule = self._schedules[partition]
        if partition not in self._usage.by_partition:
            del self._schedules[partition]
        else:
            schedule.ended(now.ms, current, self._settings)
        self._look_at(now.ms)

    # --- one hint

    def _send(self, now: Now, batch: Batch, result: Result) -> list[Effect]:
        current = batch.current
        values: Sequence[bytes | Failure | None] = [Failure.BROKEN] * len(batch.parcels)
        if isinstance(result, Values):
            values = result.values
        if not self._is_running(current):
            values = [None] * len(batch.parcels)
        effects: list[Effect] = []
        for parcel, value in zip(batch.parcels, values, strict=True):
            current.open_count -= 1
            if isinstance(value, bytes):
                for owner in parcel.owners:
                    current.open_count += 1
                    effects.append(self._deliver(now, current, parcel, owner, value))
                continue
            self._receivers.give_back(parcel.owners, parcel.size)
            if value is not None:
                current.failed(parcel.owners)
                self._totals["unreadable"] += 1
                effects += self._alarm(f"a hint of partition {current.partition}: {value.value}")
        return effects

    def _deliver(
        self, now: Now, current: HintPass, parcel: Parcel, owner: MemberId, record: bytes
    ) -> Effect:
        key = parcel.entry.key
        sent = Sent(current, key, parcel.entry.digest, parcel.size, owner, now.ms)
        if owner == self._me:
            return self._order(sent, Merge(Space.DATA, ((key, record),), sync=True))
        payload, until_ms = encode_merge(key, record), now.ms + self._settings.answer_timeout_ms
        token = self._token(sent)
        return Ask(owner, Lane.BULK, MERGE, payload, until_ms, token, ReplicaFlags.SYNC)

    def _ended(self, now: Now, sent: Sent, is_done: bool) -> None:
        current, partition = sent.current, sent.current.partition
        current.open_count -= 1
        self._receivers.give_back([sent.owner], sent.size)
        if not is_done:
            self._totals["failed"] += 1
            current.failed([sent.owner])
            return
        self._receivers.window(sent.owner).opened()
        self._totals["confirmed"] += 1
        if not self._is_running(current):
            return
        self._confirmations.add(now.ms, sent.key, sent.digest, sent.size, sent.owner)
        if self._confirmations.owners_of(sent.key, sent.digest).issuperset(current.owners):
            current.dropped(sent.size)
            self._drop(partition, sent.key, sent.digest, sent.size)
            self._totals["dropped"] += 1

    def _drop(self, partition: int, key: bytes, digest: int, size: int) -> None:
        self._confirmations.forget(key)
        self._usage.remove(partition, size)
        self._to_drop.append(Dropped(partition, key, digest, size))

    def _give_up_early(self, now: Now) -> None:
        """What some owner has, when it is too old or in the way. A partition that is being walked
        over is left alone."""
        settings, confirmations = self._settings, self._confirmations
        for key, found in list(islice(confirmations.oldest(), GIVE_UP_SCAN_MAX)):
            is_old = now.ms - found.since_ms > settings.confirmed_age_max_ms
            is_full = self._usage.size > settings.size_max_bytes - settings.reserve_bytes
            if not (is_old or is_full or len(confirmations) > settings.confirmed_count_max):
                break
            partition = self._topology.partition_of(key)
            if partition in self._passes:
                continue
            if found.owners.isdisjoint(self._topology.owners[partition]):
                # Only a coming or a leaving copy has it, which may be gone soon.
                confirmations.forget(key)
                continue
            self._drop(partition, key, found.digest, found.size)
            self._totals["given_up"] += 1
            # Perhaps the last one: only a pass can tell.
            self._schedules[partition].is_recount = self._usage.by_partition[partition].count == 0

    # --- small things

    def _is_running(self, current: HintPass) -> bool:
        """Or its partition has moved meanwhile."""
        return self._passes.get(current.partition) is current

    def _look_at(self, ms: int) -> None:
        self._look_ms = ms if self._look_ms is None else min(self._look_ms, ms)

    def _token(self, waiting: _Waiting) -> int:
        self._serial += 1
        self._waiting[self._serial] = waiting
        return self._serial

    def _taken(self, token: object) -> _Waiting | None:
        return self._waiting.pop(token, None) if isinstance(token, int) else None

    def _order(self, waiting: _Waiting, order: Order) -> StoreOrder:
        return StoreOrder(self._token(waiting), order)

    def _alarm(self, message: str) -> list[Effect]:
        """Once: what stays wrong is in the report."""
        if self._has_alarmed:
            return []
        self._has_alarmed = True
        return [Alarm(message)]
