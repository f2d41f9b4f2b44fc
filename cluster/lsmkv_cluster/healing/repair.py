"""One round of repair: two owners of a partition are compared, and what differs is merged on both.

    trees     which ranges of tokens differ (antientropy_exchange.py); then, range by range,
    keys      those of its tokens here and there, complete up to some token, a page at a time
    records   are pulled, merged, read back and pushed (repair_records.py)
    sync      what was learned, and what was known before, is durable here

What cannot be read here is never sent, what is damaged is never merged, and what the peer lacks is
never removed here. A round is bounded in records and bytes, and in what is on its way at a time. It
ends early at a bound, or when the peer or the own store does not do its part. `cursor` is where the
next round should begin: it moves on in any case, so what cannot be repaired stops nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lsmkv.kernel import MerkleTree
from lsmkv_cluster.coordination.replica_messages import (
    MERGE,
    READ,
    ReplicaFlags,
    ReplicaStatus,
    decode_found,
    encode_merge,
    encode_read,
)
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.antientropy_exchange import Effect as ExchangeEffect
from lsmkv_cluster.healing.antientropy_exchange import (
    Exchange,
    Finished,
    Result,
    SendQuestion,
)
from lsmkv_cluster.healing.antientropy_messages import COMPARE, decode_answer, encode_question
from lsmkv_cluster.healing.antientropy_repair_messages import (
    LIST,
    ListQuestion,
    decode_list_answer,
    encode_list_question,
)
from lsmkv_cluster.healing.repair_records import Came, RecordRepair, RepairSettings
from lsmkv_cluster.healing.repair_rounds import Outcome, RoundPlan, RoundReport, refusal
from lsmkv_cluster.healing.token_listing import BothSides, Next
from lsmkv_cluster.ports import Answered, Ask, Effect, Now, StoreOrder, Unanswered
from lsmkv_cluster.storage.engine_key import TokenRange
from lsmkv_cluster.storage.storage_orders import (
    Done,
    Entries,
    Failed,
    Failure,
    Merge,
    Merged,
    Order,
    Read,
    Space,
    Sync,
    Values,
)
from lsmkv_cluster.storage.storage_orders import Result as StoreResult
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Repair"]

LEAF_COUNT = 32  # entries of a leaf, as trees are made: a page of fewer would be cut off


class _Purpose(Enum):
    """What an answer or a result is for."""

    COMPARE = "trees"
    PULL = "their record"
    PUSH = "our record, there"
    MERGE = "their records, here"
    READ = "our records"
    SYNC = "durability"


@dataclass(frozen=True, slots=True)
class _Waiting:
    purpose: _Purpose
    keys: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class _Range:
    """A range whose keys are being listed: an answer is the peer's list, a result the own one."""

    place: int  # among those that are listed at the same time
    end: int
    sides: BothSides


class Repair:
    """Made, started, fed until `report` is there. Tokens are (round_id, serial)."""

    def __init__(self, plan: RoundPlan, tree: MerkleTree, settings: RepairSettings) -> None:
        self.plan = plan
        self.cursor = plan.cursor
        self.report: RoundReport | None = None
        self._settings = settings
        self._exchange = Exchange(tree, plan.exchange_id, plan.cursor, settings.exchange)
        self._records = RecordRepair(settings)
        self._ranges: deque[TokenRange] = deque()
        self._range_count = 0
        self._is_comparing = True
        self._is_equal = False
        self._is_complete = True  # nothing was left out so far
        self._given_up: Outcome | None = None  # how the round ends, then
        self._is_corrupt = False
        self._has_lost_dot = False
        self._invalid = 0
        self._left: list[tuple[int, TokenRange]] = []  # of the present ranges: the next pages
        self._serial = 0
        self._waiting: dict[int, _Waiting | _Range] = {}

    @property
    def has_given_all(self) -> bool:
        """At the end: whether the peer has all that was here at the start. What it had before the
        round may not be durable there."""
        return self._is_complete and not (self._given_up or self._records.kept_back)

    def start(self, now: Now) -> list[Effect]:
        return self._followed(now, self._exchange.start(now.ms))

    def next_deadline(self) -> int | None:
        return self._exchange.next_deadline()

    def tick(self, now: Now) -> list[Effect]:
        return self._followed(now, self._exchange.tick(now.ms))

    def answered(self, now: Now, serial: int, answer: Answered | Unanswered) -> list[Effect]:
        waiting = self._waiting.pop(serial, None)
        if isinstance(waiting, _Range):
            return self._peer_listed(now, waiting, answer)
        if waiting is not None and waiting.purpose is _Purpose.COMPARE:
            return self._compared(now, answer)
        if waiting is not None:
            self._transferred(waiting, answer)
        return []

    def stored(self, now: Now, serial: int, result: StoreResult) -> list[Effect]:
        waiting = self._waiting.pop(serial)
        if isinstance(result, Failed):
            self._note(result.failure)
            self._give_up()
        if isinstance(waiting, _Range):
            if isinstance(result, Entries):
                return self._compare_keys(now, waiting, waiting.sides.own_listed(result))
        elif waiting.purpose is _Purpose.SYNC:
            self._finish(knows_all=isinstance(result, Done))
        elif isinstance(result, Merged):
            for key, outcome in zip(waiting.keys, result.outcomes, strict=True):
                self._note(outcome)
                self._records.merged(key, outcome)
        elif isinstance(result, Values):
            for key, value in zip(waiting.keys, result.values, strict=True):
                self._note(value)
                self._was_read(key, value)
        else:
            for key in waiting.keys:
                self._records.came(key, Came.REFUSED)
        return []

    def go_on(self, now: Now) -> list[Effect]:
        """What can be done after all that has come in: to be called once, behind the others."""
        if self._is_comparing or self.report is not None:
            return []
        effects = self._work(now)
        if self._waiting:
            return effects
        # Nothing is on its way: these ranges are done, or nothing more can be.
        self._ranges.extendleft(tokens for _, tokens in sorted(self._left, reverse=True))
        self._left.clear()
        if self._given_up:
            return self._end()
        return self._begin_ranges() or self._end()

    # --- comparing

    def _compared(self, now: Now, answer: Answered | Unanswered) -> list[Effect]:
        if isinstance(answer, Unanswered):
            return []  # the exchange asks again in its time
        if not answer.is_done:
            self._is_comparing = False
            self._give_up(refusal(answer))
            return []
        try:
            received = decode_answer(answer.payload)
        except Malformed:
            return []
        return self._followed(now, self._exchange.receive(now.ms, received))

    def _followed(self, now: Now, effects: Sequence[ExchangeEffect]) -> list[Effect]:
        asks: list[Effect] = []
        for effect in effects:
            if isinstance(effect, SendQuestion):
                payload = encode_question(effect.question)
                timeout_ms = self._settings.exchange.timeout_ms
                waiting, flags = _Waiting(_Purpose.COMPARE), self.plan.flags
                asks.append(self._ask(now, waiting, COMPARE, payload, timeout_ms, flags))
            else:
                self._differs(effect)
        return asks

    def _differs(self, found: Finished) -> None:
        self._is_comparing = False
        self._waiting.clear()  # questions that were repeated
        self._is_equal = found.result is Result.EQUAL
        self._is_complete = found.complete
        if found.result is Result.DIFFERENT:
            self._range_count = len(found.ranges)
            self._ranges.extend(_from_cursor(found.ranges, self.plan))
            self.cursor = self._ranges[-1].end if self._ranges else self.plan.cursor
        elif not self._is_equal:
            self._give_up()

    # --- keys

    def _begin_ranges(self) -> list[Effect]:
        """Several ranges at a time: each takes a round trip, and has few keys as a rule."""
        allowed = self._records.allowed_count
        if allowed == 0:
            return []
        settings = self._settings
        count = min(len(self._ranges), settings.range_open_max, max(1, allowed // LEAF_COUNT))
        page_count = min(settings.page_count_max, allowed // max(1, count))
        effects: list[Effect] = []
        for place in range(count):
            tokens = self._ranges.popleft()
            sides = BothSides(ListQuestion(tokens.first, tokens.end, page_count))
            effects.append(self._order(_Range(place, tokens.end, sides), sides.order()))
        return effects

    def _compare_keys(self, now: Now, keys: _Range, needed: Next) -> list[Effect]:
        if needed is Next.LIST_OWN:
            return [self._order(keys, keys.sides.order())]
        if needed is Next.ASK_PEER:
            payload = encode_list_question(keys.sides.question)
            return [self._ask(now, keys, LIST, payload, self._settings.answer_timeout_ms)]
        own, peers = keys.sides.own, keys.sides.peers
        self._records.add(own.entries, peers.entries)
        if own.end < keys.end:
            self._left.append((keys.place, TokenRange(own.end, keys.end)))
        return []

    def _peer_listed(self, now: Now, keys: _Range, answer: Answered | Unanswered) -> list[Effect]:
        try:
            if isinstance(answer, Answered) and answer.is_done:
                peers = decode_list_answer(answer.payload, keys.sides.question)
                return self._compare_keys(now, keys, keys.sides.peer_listed(peers))
        except Malformed:
            pass
        self._give_up(refusal(answer))
        return []

    # --- records

    def _work(self, now: Now) -> list[Effect]:
        work = self._records.next_work()
        effects: list[Effect] = []
        timeout_ms = self._settings.answer_timeout_ms
        for key in work.pulls:
            waiting = _Waiting(_Purpose.PULL, (key,))
            flags = ReplicaFlags.REPAIR
            effects.append(self._ask(now, waiting, READ, encode_read(key), timeout_ms, flags))
        for key, record in work.pushes:
            waiting = _Waiting(_Purpose.PUSH, (key,))
            payload = encode_merge(key, record)
            effects.append(self._ask(now, waiting, MERGE, payload, timeout_ms, ReplicaFlags.SYNC))
        if work.merges:
            waiting = _Waiting(_Purpose.MERGE, tuple([key for key, _ in work.merges]))
            effects.append(self._order(waiting, Merge(Space.DATA, work.merges, sync=True)))
        if work.reads:
            waiting = _Waiting(_Purpose.READ, work.reads)
            effects.append(self._order(waiting, Read(Space.DATA, work.reads)))
        return effects

    def _transferred(self, waiting: _Waiting, answer: Answered | Unanswered) -> None:
        """A record came, or was taken. A peer that answers in any other way than about this record
        is left in peace."""
        [key] = waiting.keys
        if isinstance(answer, Answered) and answer.is_done:
            if waiting.purpose is _Purpose.PUSH:
                self._records.came(key, Came.TAKEN)
                return
            try:
                record = decode_found(answer.payload).record
            except Malformed:
                self._records.came(key, Came.REFUSED)
                return
            self._records.came(key, Came.NOTHING if record is None else Came.RECORD, record)
            return
        self._records.came(key, Came.REFUSED)
        if isinstance(answer, Unanswered) or answer.status != ReplicaStatus.FAILED:
            self._give_up(refusal(answer))

    def _was_read(self, key: bytes, value: bytes | Failure | None) -> None:
        if isinstance(value, bytes):
            self._records.came(key, Came.RECORD, value)
        else:
            self._records.came(key, Came.NOTHING if value is None else Came.REFUSED)

    def _note(self, outcome: object) -> None:
        """What a failure of the own store means for the round."""
        self._is_corrupt |= outcome is Failure.CORRUPT
        self._has_lost_dot |= outcome is Failure.LOST_DOT
        self._invalid += outcome is Failure.INVALID
        if isinstance(outcome, Failure) and outcome is not Failure.INVALID:
            self._give_up()

    # --- the end

    def _give_up(self, outcome: Outcome = Outcome.GAVE_UP) -> None:
        self._given_up = outcome
        self._records.stop()

    def _end(self) -> list[Effect]:
        self._is_complete &= not (self._ranges or self._records.is_cut_off)
        end = self._ranges[0].first if self._ranges else self.cursor
        self.cursor = end if end < self.plan.tokens.end else self.plan.tokens.first
        knows_all = self._is_complete and not (self._given_up or self._records.pull_failures)
        if knows_all and self.plan.must_sync:
            return [self._order(_Waiting(_Purpose.SYNC), Sync())]
        self._finish(knows_all=False)
        return []

    def _finish(self, *, knows_all: bool) -> None:
        records = self._records
        self.report = RoundReport(
            partition=self.plan.partition,
            peer=self.plan.peer,
            outcome=self._outcome(),
            ranges=self._range_count,
            pulled=records.pulled,
            pushed=records.pushed,
            pull_failures=records.pull_failures,
            push_failures=records.push_failures,
            invalid=self._invalid,
            is_whole=self.plan.wants_whole,
            knows_all=knows_all,
            is_corrupt=self._is_corrupt,
            has_lost_dot=self._has_lost_dot,
        )

    def _outcome(self) -> Outcome:
        records = self._records
        has_failed = records.pull_failures + records.push_failures > 0
        if self._given_up:
            return self._given_up
        if self._is_equal:
            return Outcome.EQUAL
        if not self._is_complete and records.pulled + records.pushed > 0:
            return Outcome.CUT_OFF
        return Outcome.INCOMPLETE if has_failed or not self._is_complete else Outcome.REPAIRED

    # --- effects

    def _ask(
        self,
        now: Now,
        waiting: _Waiting | _Range,
        opcode: int,
        payload: bytes,
        timeout_ms: int,
        flags: int = 0,
    ) -> Effect:
        token = self._token(waiting)
        return Ask(self.plan.peer, Lane.BULK, opcode, payload, now.ms + timeout_ms, token, flags)

    def _order(self, waiting: _Waiting | _Range, order: Order) -> Effect:
        return StoreOrder(self._token(waiting), order)

    def _token(self, waiting: _Waiting | _Range) -> tuple[int, int]:
        self._serial += 1
        self._waiting[self._serial] = waiting
        return self.plan.round_id, self._serial


def _from_cursor(ranges: Sequence[TokenRange], plan: RoundPlan) -> list[TokenRange]:
    """The parts of the ranges that lie in the partition, those that touch as one: first from the
    cursor on, then those before it. A tree may cover more than its partition has slots."""
    found: list[TokenRange] = []
    ahead = TokenRange(plan.cursor, plan.tokens.end)
    for half in (ahead, TokenRange(plan.tokens.first, plan.cursor)):
        for tokens in ranges:
            part = tokens.clipped(half)
            if part.first >= part.end:
                continue
            if found and found[-1].end == part.first:
                part = TokenRange(found.pop().first, part.end)
            found.append(part)
    return found
