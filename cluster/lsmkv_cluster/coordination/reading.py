"""Reads with a quorum: one record, digests from others, join what differs, mend who lacks it.

    asked -> enough have answered -> every record known -> joined -> DONE, then repair   (sloppy)
      |                                                      |
      | nobody left to ask: REFUSED                          +-> kept by enough -> DONE  (strict)

What holds:
- the nearest copy that is ready sends the record, others digests; a record behind a digest that
  differs is fetched, and the answer is the join of all;
- whoever fails or stays silent is replaced by the next candidate; a read that waits longer than
  most is hedged, at most one in twenty;
- strict: what is returned is on stable storage of as many owners as a write needs, so that no later
  read finds less; it was read from stable storage, and is written back where it was missing;
- a stand-in's "nothing here" is no answer, and an owner that is being filled gives none;
- who hears of a newer document waits for it, and begins anew if the partition has moved;
- a client that brings a context gets nothing older than what it has seen: else REFUSED, stale;
- repair sends the joined record to owners whose copy differed; nobody waits for that but strict
  reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lsmkv import Error
from lsmkv_cluster.coordination.asking import Asking
from lsmkv_cluster.coordination.calls import Call, Finish, Step, refusal
from lsmkv_cluster.coordination.evidence import (
    NOTHING_HERE,
    Heard,
    counting,
    covers,
    joined,
    unseen,
)
from lsmkv_cluster.coordination.latency import HedgeBudget, Latencies
from lsmkv_cluster.coordination.quorum import is_met, total
from lsmkv_cluster.coordination.read_state import OtherToken, OwnToken, ReadSettings, ReadState
from lsmkv_cluster.coordination.replica_messages import decode_found
from lsmkv_cluster.coordination.requests import ClientAnswer, Outcome, Reason
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.coordination.write_back import Kept, KeptToken, WriteBack
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Answered, Now, Stored, Unanswered
from lsmkv_cluster.storage.storage_orders import Failure, Values
from lsmkv_cluster.transport.timers import Timers
from lsmkv_cluster.versions import context
from lsmkv_cluster.versions.record_format import decode

__all__ = ["ReadSettings", "Reading"]

Digest = Callable[[bytes, bytes], int]  # of key and record
Join = Callable[[bytes | None, bytes], bytes]


class Reading:
    """All reads that this node coordinates. `digest` and `join` are those of stored records."""

    def __init__(
        self,
        view: View,
        secret: bytes,
        digest: Digest,
        join: Join,
        latencies: Latencies,
        settings: ReadSettings | None = None,
    ) -> None:
        self._view = view
        self._secret = secret
        self._digest = digest
        self._join = join
        self._latencies = latencies
        self._budget = HedgeBudget()
        self._settings = settings or ReadSettings()
        self._next_id = 0
        self._reads: dict[int, ReadState] = {}
        self._timers = Timers()
        self._asking = Asking(view, latencies)
        self.write_back = WriteBack(view)

    @property
    def in_flight(self) -> int:
        return len(self._reads)

    @property
    def hedges(self) -> int:
        return self._budget.spent

    # --- the beginning

    def begin(self, now: Now, calls: Sequence[Call]) -> list[Step]:
        steps: list[Step] = []
        for call in calls:
            self._next_id += 1
            read = ReadState(self._next_id, call, self._asking.candidates(call), now.ms)
            owners = {target.owner for target in read.candidates}
            if not is_met(call.read, owners):
                answer = refusal(Reason.NOT_ENOUGH_REPLICAS, len(owners), total(call.read))
                steps.append(Finish(call.token, answer))
                continue
            self._budget.earn()
            self._reads[read.id] = read
            self._asking.ask_enough(now, read, steps)
            wait_ms = max(self._settings.hedge_after_min_ms, self._latencies.percentile_ms())
            wait_ms = min(wait_ms, self._settings.substitute_after_ms)
            self._timers.start(read.id, min(now.ms + wait_ms, call.deadline_ms))
        return steps + self._asking.take_orders()

    def adopted(self, now: Now, moved: Callable[[Call], Call | Reason]) -> list[Step]:
        """Reads of what has moved begin anew: nothing has been promised yet."""
        steps: list[Step] = []
        again: list[Call] = []
        for read in list(self._reads.values()):
            call = moved(read.call)
            if isinstance(call, Reason):
                self._finish(read, refusal(call), steps)
            elif call is not read.call:
                self._forget(read)
                again.append(call)
        return steps + self.begin(now, again)

    # --- answers

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Step]:
        steps: list[Step] = []
        for stored in results:
            token, result = stored
            if isinstance(token, KeptToken):
                self._kept(self.write_back.stored([stored]), steps)
                continue
            assert isinstance(token, OwnToken)
            count = len(token.ids)
            values = result.values if isinstance(result, Values) else (Failure.BROKEN,) * count
            for id, value in zip(token.ids, values, strict=True):
                read = self._reads.get(id)
                if read is not None:
                    self._hear_own(now, read, value, steps)
        return steps + self._asking.take_orders()

    def _hear_own(
        self, now: Now, read: ReadState, value: bytes | Failure | None, steps: list[Step]
    ) -> None:
        me = self._view.me
        wait = read.waiting.pop(me)
        if not isinstance(value, Failure):
            digest = self._digest(read.key, value) if value is not None else NOTHING_HERE
            read.heard[me] = Heard(me, wait.owner, digest, value)
        self._proceed(now, read, steps)

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Step]:
        steps: list[Step] = []
        for answer in answers:
            if isinstance(answer.token, KeptToken):
                self._kept(self.write_back.answered([answer]), steps)
                continue
            token = answer.token
            assert isinstance(token, OtherToken)
            self._note_latency(now, token, answer)
            read = self._reads.get(token.id)
            if read is None:
                continue
            read.waiting.pop(token.member, None)
            read.heard.pop(token.member, None)
            if isinstance(answer, Answered) and answer.status == OperationStatus.STALE_EPOCH:
                read.is_behind = True
            elif isinstance(answer, Answered) and answer.is_done:
                heard = self._heard(read.key, token, answer.payload)
                if heard is not None:
                    read.heard[token.member] = heard
            self._proceed(now, read, steps)
        return steps + self._asking.take_orders()

    def _note_latency(self, now: Now, token: OtherToken, answer: Answered | Unanswered) -> None:
        """Also of answers that nobody waits for any more: they are the slow ones. Silence counts as
        what the patience with it was, or more."""
        elapsed_ms = now.ms - token.asked_ms
        if isinstance(answer, Answered):
            if answer.is_done:
                self._latencies.note(token.member, elapsed_ms)
        elif not answer.never_sent:
            patience_ms = self._settings.substitute_after_ms
            self._latencies.note(token.member, max(elapsed_ms, patience_ms))

    def _heard(self, key: bytes, token: OtherToken, payload: bytes) -> Heard | None:
        """What the answer says. A damaged one, or one with a damaged record, says nothing; nor does
        a digest in the place of the record that was asked for."""
        try:
            found = decode_found(payload)
            if found.record is not None:
                self._join(None, found.record)
        except (Error, ValueError):
            return None
        if found.record is not None:
            digest = self._digest(key, found.record)
        elif found.digest is not None and token.wants_record:
            return None
        else:
            digest = found.digest or NOTHING_HERE
        return Heard(token.member, token.owner, digest, found.record)

    # --- deciding

    def _proceed(self, now: Now, read: ReadState, steps: list[Step]) -> None:
        if read.is_writing_back:
            return
        if now.ms >= read.call.deadline_ms:
            self._out_of_candidates(read, Reason.DEADLINE, steps)
            return
        if not is_met(read.call.read, counting(read.heard.values())):
            self._asking.ask_enough(now, read, steps)
            if not read.waiting and not read.is_behind:
                self._out_of_candidates(read, Reason.NOT_ENOUGH_REPLICAS, steps)
            return
        wanted = unseen(read.heard.values())
        if wanted:
            self._asking.fetch(now, read, wanted, steps)
        else:
            self._conclude(now, read, steps)

    def _out_of_candidates(self, read: ReadState, reason: Reason, steps: list[Step]) -> None:
        answered = len(counting(read.heard.values()))
        self._finish(read, refusal(reason, answered, total(read.call.read)), steps)

    def _conclude(self, now: Now, read: ReadState, steps: list[Step]) -> None:
        """Enough have answered, and every record that they have is here."""
        try:
            result = joined(read.heard.values(), self._join)
        except (Error, ValueError):
            # Each is sound by itself: together they are over a limit.
            self._out_of_candidates(read, Reason.STORE_FAILED, steps)
            return
        seen = read.call.seen
        if len(seen.clock) and not covers(decode(result) if result else None, seen):
            if read.candidates or read.waiting:
                read.wants_all = True
                self._asking.ask_enough(now, read, steps)
            else:
                self._out_of_candidates(read, Reason.STALE, steps)
            return
        read.result = result
        if result is None:
            self._finish(read, self._done(read), steps)
            return
        digest = self._digest(read.key, result)
        copies = [heard for heard in read.heard.values() if not heard.is_hint]
        if read.call.is_strict:
            self._write_back(read, [c.owner for c in copies if c.digest == digest], steps)
        else:
            self._finish(read, self._done(read), steps)
            lacking = [copy.owner for copy in copies if copy.digest != digest]
            steps.extend(self.write_back.mend(now, read.key, result, lacking))

    def _write_back(self, read: ReadState, keeping: Sequence[MemberId], steps: list[Step]) -> None:
        assert read.result is not None
        read.is_writing_back = True
        effects, over = self.write_back.begin(
            read.id, read.key, read.result, keeping, read.call.write, read.call.deadline_ms
        )
        steps.extend(effects)
        self._kept(over, steps)

    def _kept(self, over: Sequence[Kept], steps: list[Step]) -> None:
        for id, enough in over:
            read = self._reads.get(id)
            if read is not None and enough:
                self._finish(read, self._done(read), steps)
            elif read is not None:
                self._out_of_candidates(read, Reason.NOT_ENOUGH_REPLICAS, steps)

    # --- time

    def tick(self, now: Now) -> list[Step]:
        steps: list[Step] = []
        for id in self._timers.take_due(now.ms):
            read = self._reads[id]
            if now.ms >= read.call.deadline_ms:
                self._out_of_candidates(read, Reason.DEADLINE, steps)
            else:
                self._hurry(now, read, steps)
        return steps + self._asking.take_orders()

    def _hurry(self, now: Now, read: ReadState, steps: list[Step]) -> None:
        """Ask one more: early if the budget has a hedge left, later in any case."""
        patience_ms = self._settings.substitute_after_ms
        is_late = now.ms >= read.begun_ms + patience_ms
        next_ms = now.ms + patience_ms if is_late else read.begun_ms + patience_ms
        self._timers.start(read.id, min(next_ms, read.call.deadline_ms))
        if read.is_writing_back:
            return
        if read.candidates and (is_late or (not read.is_hedged and self._budget.spend())):
            read.is_hedged = True
            self._asking.ask_one_more(now, read, steps)
        if is_late:
            self._forget_silent_digests(now, read, steps)

    def _forget_silent_digests(self, now: Now, read: ReadState, steps: list[Step]) -> None:
        """A record that does not come must not hold up the read: others may have it, or be enough
        without it."""
        patience_ms = self._settings.substitute_after_ms
        silent = [
            member
            for member, wait in read.waiting.items()
            if member in read.heard and now.ms >= wait.since_ms + patience_ms
        ]
        for member in silent:
            del read.heard[member]
        if silent:
            self._proceed(now, read, steps)

    def next_deadline(self) -> int | None:
        return self._timers.next_deadline()

    # --- the end

    def _finish(self, read: ReadState, answer: ClientAnswer, steps: list[Step]) -> None:
        if self._forget(read):
            steps.append(Finish(read.call.token, answer))

    def _forget(self, read: ReadState) -> bool:
        """Whether it was still under way."""
        self.write_back.forget(read.id)
        self._timers.stop(read.id)
        return self._reads.pop(read.id, None) is not None

    def _done(self, read: ReadState) -> ClientAnswer:
        encoded = b""
        if read.result is not None and read.call.request.wants_context:
            seen = context.seen_in(decode(read.result))
            encoded = context.encode(seen, read.key, self._secret)
        answered = len(counting(read.heard.values()))
        return ClientAnswer(
            Outcome.DONE, Reason.NONE, answered, total(read.call.read), encoded, read.result
        )
