"""One sweep over a partition: its deleted records are found, proven, and forgotten by all owners.

    LISTING      records that are deleted and old enough, page by page; what has expired is minted
    CONFIRMING   every owner has the very same records, on stable storage
    AGING        wait: whatever was under way then has arrived or never will
    HEARING      every member says that it keeps no hint from before that, durably
    RESTING      wait: so have the last of the hints
    COLLECTING   every owner forgets those that are still the same

Why that is enough. What could bring a deleted value back is a copy of it: in a store, in a message
or request under way, or in a hint. From CONFIRMING on no owner has one. After AGING nobody carries
one that was read or written before. So a hint that has one was there before the end of AGING, and
there is none in HEARING; what was sent of hints until then is over after RESTING. From then on the
tombstone covers nothing that is left, whoever drops it when. Ages are measured, and clocks of two
nodes never compared. That the newest write must be old, by its stamp, is for what is written after:
it gets a later stamp, so a tombstone that somebody kept hides it from no reader.

Who misses COLLECT, or loses it with the power, keeps a tombstone. It may go back to the others, and
the next sweep finds it. A sweep that cannot go on ends, and says who is in the way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from lsmkv_cluster.coordination.replica_messages import ReplicaStatus
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.tombstone_limits import Blockers, TombstoneSettings, Why
from lsmkv_cluster.healing.tombstone_messages import (
    COLLECT,
    CONFIRM,
    HINTS,
    Question,
    decode_hint_age,
    decode_same,
    encode_question,
)
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Answered, Ask, Effect, Now, StoreOrder, Unanswered
from lsmkv_cluster.storage.engine_key import TokenRange
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Confirm,
    Confirmed,
    DeletedEntries,
    Done,
    ListDeleted,
    Merged,
    Mint,
    Order,
    Result,
    Sync,
)
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Phase", "Sweep", "SweepPlan"]

Entries = tuple[tuple[bytes, int], ...]  # keys and digests

WHY: dict[int, Why] = {
    OperationStatus.STALE_EPOCH: Why.MOVED,
    OperationStatus.NOT_READY: Why.NOT_READY,
    ReplicaStatus.NOT_OWNER: Why.MOVED,
    ReplicaStatus.FAILED: Why.FAILED,
}


ANSWERED = frozenset(Why) - {Why.DIFFERS, Why.HINTS, Why.HINTS_UNKNOWN}  # those are over


class Phase(Enum):
    LISTING = "listing"
    CONFIRMING = "confirming"
    AGING = "aging"
    HEARING = "hearing"
    RESTING = "resting"
    COLLECTING = "collecting"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """`others`: the owners beside `me`; `after`: where the last sweep has stopped."""

    sweep_id: int
    partition: int
    placed: int
    tokens: TokenRange
    me: MemberId
    others: tuple[MemberId, ...]
    after: bytes = b""


class Sweep:
    """Made, then fed until the phase is OVER. Tokens are (sweep_id, serial).

    `members` are those that may keep hints; `hint_age_ms` is of the oldest one here, as in
    collect_answers.py; `expire(now, keys)` gives the order that mints for what has expired, if any.
    """

    def __init__(
        self,
        plan: SweepPlan,
        settings: TombstoneSettings,
        blockers: Blockers,
        members: Callable[[], Iterable[MemberId]],
        hint_age_ms: Callable[[Now], int | None],
        expire: Callable[[Now, tuple[bytes, ...]], Mint | None],
    ) -> None:
        self.plan = plan
        self.phase = Phase.LISTING
        self.after: bytes | None = plan.after  # where the next sweep goes on; None: all was seen
        self.found = 0  # deleted records, also those that are too young
        self.collected = 0
        self.expired = 0
        self._settings = settings
        self._blockers = blockers
        self._members = members
        self._hint_age_ms = hint_age_ms
        self._expire = expire
        self._due_ms: int | None = 0
        self._given_up_ms = 0  # when HEARING ends
        self._old_ms = 0  # hints must be younger
        self._asked_ms = 0  # for hints
        self._own_age_ms: int | None = None
        self._missing: dict[MemberId, Why] = {}  # who has not told
        self._candidates: list[tuple[bytes, int]] = []
        self._candidate_bytes = 0
        self._proven: list[tuple[bytes, int]] = []
        self._chunks: deque[Entries] = deque()
        self._same: list[bool] = []
        self._has_failed = False
        self._heard: set[MemberId] = set()
        self._serial = 0
        self._waiting: dict[int, MemberId] = {}  # of the present page or chunk

    def next_deadline(self) -> int | None:
        return self._due_ms

    def tick(self, now: Now) -> list[Effect]:
        if self._due_ms is None or now.ms < self._due_ms:
            return []
        self._due_ms = None
        if self.phase is Phase.LISTING:
            return [self._order(self._page(now))]
        if self.phase is Phase.AGING:
            return self._hear(now)
        if self.phase is Phase.RESTING:
            return self._rested(now)
        return self._ask_for_hints(now)

    def answered(self, now: Now, serial: int, answer: Answered | Unanswered) -> list[Effect]:
        member = self._waiting.pop(serial, None)
        if member is None:
            return []
        if self.phase is Phase.HEARING:
            self._member_told(member, answer)
            return self._heard_from_all(now)
        same, why = self._told(answer)
        if self.phase is Phase.CONFIRMING:
            self._owner_told(now, member, same, why)
        return self._go_on(now)

    def stored(self, now: Now, serial: int, result: Result) -> list[Effect]:
        member = self._waiting.pop(serial, None)
        if isinstance(result, DeletedEntries):
            return self._listed(now, result)
        if self.phase is Phase.LISTING:
            return self._minted(now, result)
        if member is None:
            return []
        if self.phase is Phase.HEARING:
            is_done = isinstance(result, Done)
            self._judge(member, self._own_age_ms if is_done else -1)
            return self._heard_from_all(now)
        if self.phase is Phase.COLLECTING and isinstance(result, Merged):
            self.collected += sum(outcome is True for outcome in result.outcomes)
        elif self.phase is Phase.CONFIRMING:
            same = result.same if isinstance(result, Confirmed) else None
            self._owner_told(now, member, same, Why.FAILED)
        return self._go_on(now)

    # --- what is deleted

    def _page(self, now: Now) -> ListDeleted:
        settings, tokens = self._settings, self.plan.tokens
        return ListDeleted(
            tokens.first,
            tokens.end,
            self.after or b"",
            settings.page_count_max,
            settings.page_max_bytes,
            now.wall_ms - settings.skew_limit_ms,
        )

    def _listed(self, now: Now, page: DeletedEntries) -> list[Effect]:
        old_by_ms = now.wall_ms - self._settings.age_min_ms
        self.found += len(page.entries)
        for entry in page.entries:
            if entry.newest_ms <= old_by_ms:
                self._candidates.append((entry.key, entry.digest))
                self._candidate_bytes += len(entry.key)
        self.after = page.after
        order = self._expire(now, page.expired) if page.expired else None
        return self._turn_page(now) if order is None else [self._order(order)]

    def _minted(self, now: Now, result: Result) -> list[Effect]:
        if not isinstance(result, Merged):
            self._end()  # the page could not be read
            return []
        self.expired += sum(outcome is True for outcome in result.outcomes)
        return self._turn_page(now)

    def _turn_page(self, now: Now) -> list[Effect]:
        settings = self._settings
        is_full = (
            len(self._candidates) >= settings.candidate_count_max
            or self._candidate_bytes >= settings.candidate_max_bytes
        )
        if self.after is not None and not is_full:
            self._due_ms = now.ms + settings.page_interval_ms
            return []
        self.phase = Phase.CONFIRMING
        self._chunks = self._in_chunks(self._candidates)
        return self._go_on(now)

    # --- questions to all owners, chunk by chunk

    def _in_chunks(self, entries: Iterable[tuple[bytes, int]]) -> deque[Entries]:
        settings = self._settings
        chunks: deque[Entries] = deque()
        chunk: list[tuple[bytes, int]] = []
        size = 0
        for entry in entries:
            size += len(entry[0])
            is_full = len(chunk) == settings.question_count_max
            if chunk and (is_full or size > settings.question_max_bytes):
                chunks.append(tuple(chunk))
                chunk, size = [], len(entry[0])
            chunk.append(entry)
        if chunk:
            chunks.append(tuple(chunk))
        return chunks

    def _go_on(self, now: Now) -> list[Effect]:
        """What follows once all owners have answered about a chunk."""
        if self._waiting:
            return []
        if self.phase is Phase.CONFIRMING and self._same:
            chunk = self._chunks.popleft()
            pairs = zip(chunk, self._same, strict=True)
            self._proven += [entry for entry, is_same in pairs if is_same]
        elif self.phase is Phase.COLLECTING:
            self._chunks.popleft()
        if self._has_failed:
            self._end()
            return []
        if self._chunks:
            return self._ask_all(now)
        if self.phase is Phase.CONFIRMING and self._proven:
            self.phase = Phase.AGING
            self._old_ms = self._due_ms = now.ms + self._settings.lifetime_ms
        else:
            self._end()
        return []

    def _ask_all(self, now: Now) -> list[Effect]:
        chunk = self._chunks[0]
        is_collecting = self.phase is Phase.COLLECTING
        self._same = [True] * len(chunk)
        opcode, order = (COLLECT, Collect) if is_collecting else (CONFIRM, Confirm)
        payload = encode_question(Question(self.plan.partition, self.plan.placed, chunk))
        deadline_ms = now.ms + self._settings.answer_timeout_ms
        effects: list[Effect] = [
            Ask(other, Lane.BULK, opcode, payload, deadline_ms, self._token(other))
            for other in self.plan.others
        ]
        return [*effects, self._order(order(chunk))]

    def _told(self, answer: Answered | Unanswered) -> tuple[tuple[bool, ...] | None, Why]:
        """What an owner says of each entry of the chunk, or why it does not."""
        if isinstance(answer, Unanswered):
            return None, Why.SILENT
        if not answer.is_done:
            return None, WHY.get(answer.status, Why.REFUSES)
        try:
            return decode_same(answer.payload, len(self._same)), Why.DIFFERS
        except Malformed:
            return None, Why.FAILED

    def _owner_told(
        self, now: Now, member: MemberId, same: tuple[bool, ...] | None, why: Why
    ) -> None:
        if same is None:
            self._has_failed = True
            self._same = [False] * len(self._same)
            self._blockers.found(member, why, now.ms)
            return
        self._same = [a and b for a, b in zip(self._same, same, strict=True)]
        self._blockers.cleared(member, ANSWERED)
        if all(same):
            self._blockers.cleared(member, [Why.DIFFERS])
        else:
            self._blockers.found(member, Why.DIFFERS, now.ms)

    # --- hints

    def _hear(self, now: Now) -> list[Effect]:
        self.phase = Phase.HEARING
        self._given_up_ms = now.ms + self._settings.hints_timeout_ms
        self._heard = set(self._members())
        self._missing = dict.fromkeys(self._heard, Why.SILENT)
        return self._ask_for_hints(now)

    def _ask_for_hints(self, now: Now) -> list[Effect]:
        """Those who have not told, or had some that may be older."""
        self._asked_ms = now.ms
        deadline_ms = now.ms + self._settings.answer_timeout_ms
        effects: list[Effect] = []
        for member in sorted(self._missing):
            if member == self.plan.me:
                self._own_age_ms = self._hint_age_ms(now)
                effects.append(self._order(Sync()))
            else:
                token = self._token(member)
                effects.append(Ask(member, Lane.BULK, HINTS, b"", deadline_ms, token))
        return effects or self._heard_from_all(now)

    def _member_told(self, member: MemberId, answer: Answered | Unanswered) -> None:
        if isinstance(answer, Answered) and answer.is_done:
            try:
                self._judge(member, decode_hint_age(answer.payload))
            except Malformed:
                self._missing[member] = Why.FAILED
        elif isinstance(answer, Answered) and answer.status == OperationStatus.NOT_READY:
            self._missing[member] = Why.HINTS_UNKNOWN
        else:
            self._missing[member] = self._told(answer)[1]

    def _judge(self, member: MemberId, age_ms: int | None) -> None:
        """An age was measured after the question: a hint is at least as young as it seems."""
        if age_ms is not None and age_ms < 0:
            self._missing[member] = Why.HINTS_UNKNOWN
        elif age_ms is not None and self._asked_ms - age_ms < self._old_ms:
            self._missing[member] = Why.HINTS
        else:
            self._missing.pop(member, None)
            self._blockers.cleared(member, [*ANSWERED, Why.HINTS, Why.HINTS_UNKNOWN])

    def _heard_from_all(self, now: Now) -> list[Effect]:
        if self._waiting:
            return []
        if not self._missing:
            self.phase = Phase.RESTING
            self._due_ms = now.ms + self._settings.lifetime_ms
        elif now.ms < self._given_up_ms:
            self._due_ms = now.ms + self._settings.hints_again_ms
        else:
            for member, why in self._missing.items():
                self._blockers.found(member, why, now.ms)
            self._end()
        return []

    def _rested(self, now: Now) -> list[Effect]:
        if not self._heard.issuperset(self._members()):  # somebody has joined
            return self._hear(now)
        self.phase = Phase.COLLECTING
        self._chunks = self._in_chunks(self._proven)
        return self._ask_all(now)

    # --- small things

    def _end(self) -> None:
        self.phase = Phase.OVER
        self._due_ms = None
        self._waiting.clear()

    def _order(self, order: Order) -> StoreOrder:
        return StoreOrder(self._token(self.plan.me), order)

    def _token(self, member: MemberId) -> tuple[int, int]:
        self._serial += 1
        self._waiting[self._serial] = member
        return self.plan.sweep_id, self._serial
