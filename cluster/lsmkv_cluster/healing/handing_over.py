"""One round of repair after which the peer has everything that is here, on stable storage.

    sync      the peer syncs, and says which copy it has
    repair    both are compared, and what differs is merged on both (repair.py); what is pushed is
              synced, what the peer had already may not be
    sync      the peer syncs again: the same copy, so nothing of it was lost meanwhile

If the repair has left anything out, there is no second sync, and the next round goes on. What is
merged here while the round runs was sent to the peers by whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.antientropy_sync_messages import (
    SYNC,
    decode_sync_answer,
    encode_sync_question,
)
from lsmkv_cluster.healing.repair import Repair
from lsmkv_cluster.healing.repair_rounds import Outcome, RoundReport, refusal
from lsmkv_cluster.ports import Answered, Ask, Effect, Now, Unanswered
from lsmkv_cluster.storage.storage_orders import Result
from lsmkv_cluster.transport.wire import Lane

__all__ = ["HandOver"]

# Serial numbers of tokens; those of the repair are positive.
_FIRST = -1
_LAST = -2


class HandOver:
    """Used as a Repair is."""

    def __init__(self, repair: Repair, timeout_ms: int) -> None:
        self.report: RoundReport | None = None
        self._repair = repair
        self._timeout_ms = timeout_ms
        self._copy: int | None = None  # the peer's
        self._is_ending = False

    @property
    def cursor(self) -> int:
        return self._repair.cursor

    def start(self, now: Now) -> Sequence[Effect]:
        return [self._sync(now, _FIRST)]

    def next_deadline(self) -> int | None:
        return self._repair.next_deadline()

    def tick(self, now: Now) -> Sequence[Effect]:
        return self._repair.tick(now)

    def answered(self, now: Now, serial: int, answer: Answered | Unanswered) -> Sequence[Effect]:
        if serial == _FIRST:
            self._copy = _copy_in(answer)
            if self._copy is not None:
                return self._repair.start(now)
            plan = self._repair.plan
            self.report = RoundReport(plan.partition, plan.peer, refusal(answer))
            return []
        if serial == _LAST:
            assert self._repair.report is not None
            copy, report = _copy_in(answer), self._repair.report
            outcome = Outcome.GAVE_UP if copy is None else report.outcome
            self.report = replace(report, outcome=outcome, gave_all=copy == self._copy)
            return []
        return self._repair.answered(now, serial, answer)

    def stored(self, now: Now, serial: int, result: Result) -> Sequence[Effect]:
        return self._repair.stored(now, serial, result)

    def go_on(self, now: Now) -> Sequence[Effect]:
        if self._is_ending:
            return []
        effects = self._repair.go_on(now)
        if self._repair.report is None:
            return effects
        if self._repair.has_given_all:
            self._is_ending = True
            return [*effects, self._sync(now, _LAST)]
        self.report = self._repair.report
        return effects

    def _sync(self, now: Now, serial: int) -> Ask:
        plan = self._repair.plan
        payload, until_ms = encode_sync_question(plan.tokens.first), now.ms + self._timeout_ms
        return Ask(plan.peer, Lane.BULK, SYNC, payload, until_ms, (plan.round_id, serial))


def _copy_in(answer: Answered | Unanswered) -> int | None:
    if not isinstance(answer, Answered) or not answer.is_done:
        return None
    try:
        return decode_sync_answer(answer.payload)
    except Malformed:
        return None
