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
- a client that brings a context gets nothing older than what it has seen: else REFUSED, stale;
- repair sends the joined record to owners whose copy differed; nobody waits for that but strict
  reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush

from lsmkv import Error
from lsmkv_cluster import context
from lsmkv_cluster.calls import Call, Finish, Step, refusal
from lsmkv_cluster.evidence import NOTHING_HERE, Heard, counting, covers, joined, unseen
from lsmkv_cluster.latency import HedgeBudget, Latencies
from lsmkv_cluster.members import MemberId
from lsmkv_cluster.ports import Answered, Ask, Now, Stored, StoreOrder, Unanswered
from lsmkv_cluster.quorum import is_met, missing, total
from lsmkv_cluster.read_state import OtherToken, OwnToken, ReadSettings, ReadState
from lsmkv_cluster.record_format import decode
from lsmkv_cluster.replica_messages import READ, ReplicaFlags, decode_found, encode_read
from lsmkv_cluster.requests import ClientAnswer, Outcome, Reason
from lsmkv_cluster.storage_orders import Failure, Read, Space, Values
from lsmkv_cluster.view import Target, View
from lsmkv_cluster.wire import Lane
from lsmkv_cluster.write_back import Kept, KeptToken, WriteBack

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
        self._timers: list[tuple[int, int]] = []
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
        local: dict[tuple[Space, bool], list[ReadState]] = {}
        self._budget.earn(len(calls))
        for call in calls:
            self._next_id += 1
            read = ReadState(self._next_id, call, self._candidates(call), now.ms)
            owners = {target.owner for target in read.candidates}
            if not is_met(call.read, owners):
                answer = refusal(Reason.NOT_ENOUGH_REPLICAS, len(owners), total(call.read))
                steps.append(Finish(call.token, answer))
                continue
            self._reads[read.id] = read
            self._ask_enough(read, steps, local)
            self._arm(now, read)
        for (space, durable), reads in local.items():
            keys = tuple([read.key for read in reads])
            ids = tuple([read.id for read in reads])
            steps.append(StoreOrder(OwnToken(ids), Read(space, keys, durable)))
        return steps

    def _candidates(self, call: Call) -> list[Target]:
        """Whom to ask, best first: this node's own copy, then its data centre, the fastest first;
        stand-ins last."""
        view, place = self._view, call.place
        targets = view.targets(place, not call.is_strict)
        me_ready = view.is_ready(place.partition)
        members = view.topology.members_by_id

        def rank(target: Target) -> tuple[bool, bool, bool, float]:
            is_me = target.member == view.me
            return (
                target.is_hint,
                not is_me,
                members[target.member].dc != view.dc,
                self._latencies.average_ms(target.member),
            )

        usable = [
            target for target in targets if target.member != view.me or target.is_hint or me_ready
        ]
        return sorted(usable, key=rank)

    def _arm(self, now: Now, read: ReadState) -> None:
        wait_ms = max(self._settings.hedge_after_min_ms, self._latencies.percentile_ms())
        wait_ms = min(wait_ms, self._settings.substitute_after_ms)
        heappush(self._timers, (min(now.ms + wait_ms, read.call.deadline_ms), read.id))

    def _ask_enough(
        self,
        read: ReadState,
        steps: list[Step],
        local: dict[tuple[Space, bool], list[ReadState]] | None = None,
    ) -> bool:
        """Ask the best of those who have not been asked until enough may answer. Whether anybody
        was asked."""
        asked = False
        while read.candidates:
            expected = counting(read.heard.values()) | set(read.waiting.values())
            groups = missing(read.call.read, expected)
            if not groups and not read.wants_all:
                break
            wanted = next(
                (
                    target
                    for target in read.candidates
                    if read.wants_all or any(target.owner in group.members for group in groups)
                ),
                None,
            )
            if wanted is None:
                break
            self._ask(read, wanted, steps, local)
            asked = True
        return asked

    def _ask(
        self,
        read: ReadState,
        target: Target,
        steps: list[Step],
        local: dict[tuple[Space, bool], list[ReadState]] | None,
    ) -> None:
        read.candidates.remove(target)
        first = not read.waiting and not read.heard
        read.waiting[target.member] = target.owner
        durable = read.call.is_strict
        if target.member == self._view.me:
            space = Space.HINT if target.is_hint else Space.DATA
            if local is None:
                steps.append(StoreOrder(OwnToken((read.id,)), Read(space, (read.key,), durable)))
            else:
                local.setdefault((space, durable), []).append(read)
            return
        steps.append(self._read_operation(read, target, wants_record=first or target.is_hint))

    def _read_operation(self, read: ReadState, target: Target, wants_record: bool) -> Ask:
        flags = ReplicaFlags.SYNC if read.call.is_strict else 0
        if target.is_hint:
            flags |= ReplicaFlags.AS_HINT
        if not wants_record:
            flags |= ReplicaFlags.DIGEST
        return Ask(
            target.member,
            Lane.DATA,
            READ,
            encode_read(read.key),
            read.call.deadline_ms,
            OtherToken(read.id, target.member, target.owner),
            flags,
        )

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
        return steps

    def _hear_own(
        self, now: Now, read: ReadState, value: bytes | Failure | None, steps: list[Step]
    ) -> None:
        me = self._view.me
        owner = read.waiting.pop(me, None)
        if owner is None:
            return
        if not isinstance(value, Failure):
            digest = self._digest(read.key, value) if value is not None else NOTHING_HERE
            read.heard[me] = Heard(me, owner, digest, value)
        self._proceed(now, read, steps)

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Step]:
        steps: list[Step] = []
        for answer in answers:
            if isinstance(answer.token, KeptToken):
                self._kept(self.write_back.answered([answer]), steps)
                continue
            assert isinstance(answer.token, OtherToken)
            id, member, owner = answer.token
            read = self._reads.get(id)
            if read is None:
                continue
            read.waiting.pop(member, None)
            read.heard.pop(member, None)
            if isinstance(answer, Answered) and answer.is_done:
                self._latencies.note(member, max(0, now.ms - read.begun_ms))
                heard = self._heard(read.key, member, owner, answer.payload)
                if heard is not None:
                    read.heard[member] = heard
            self._proceed(now, read, steps)
        return steps

    def _heard(self, key: bytes, member: MemberId, owner: MemberId, payload: bytes) -> Heard | None:
        """What the answer says. A damaged one, or one with a damaged record, says nothing."""
        try:
            found = decode_found(payload)
            if found.record is None:
                return Heard(member, owner, found.digest or NOTHING_HERE)
            self._join(None, found.record)
        except (Error, ValueError):
            return None
        return Heard(member, owner, self._digest(key, found.record), found.record)

    # --- deciding

    def _proceed(self, now: Now, read: ReadState, steps: list[Step]) -> None:
        if read.is_writing_back:
            return
        enough = is_met(read.call.read, counting(read.heard.values()))
        if not enough or (read.wants_all and (read.waiting or read.candidates)):
            self._ask_enough(read, steps)
            if not read.waiting:
                self._out_of_candidates(read, enough, steps)
            return
        wanted = unseen(read.heard.values())
        fetching = False
        for heard in wanted:
            fetching = True
            if heard.member not in read.waiting:
                read.waiting[heard.member] = heard.owner
                target = Target(heard.member, heard.owner)
                steps.append(self._read_operation(read, target, wants_record=True))
        if not fetching:
            self._conclude(now, read, steps)

    def _out_of_candidates(self, read: ReadState, enough: bool, steps: list[Step]) -> None:
        answered = len(counting(read.heard.values()))
        reason = Reason.STALE if enough else Reason.NOT_ENOUGH_REPLICAS
        self._finish(read, refusal(reason, answered, total(read.call.read)), steps)

    def _conclude(self, now: Now, read: ReadState, steps: list[Step]) -> None:
        """Enough have answered, and every record that they have is here."""
        result = joined(read.heard.values(), self._join)
        seen = read.call.seen
        if len(seen.clock) and not covers(decode(result) if result else None, seen):
            if read.candidates or read.waiting:
                read.wants_all = True
                self._ask_enough(read, steps)
            else:
                self._out_of_candidates(read, True, steps)
            return
        read.result = result
        if result is None:
            self._finish(read, self._done(read), steps)
            return
        digest = self._digest(read.key, result)
        copies = [heard for heard in read.heard.values() if not heard.is_hint]
        if read.call.is_strict:
            self._write_back(now, read, [c.owner for c in copies if c.digest == digest], steps)
        else:
            self._finish(read, self._done(read), steps)
            lacking = [copy.owner for copy in copies if copy.digest != digest]
            steps.extend(self.write_back.mend(now, read.key, result, lacking))

    def _write_back(
        self, now: Now, read: ReadState, keeping: Sequence[MemberId], steps: list[Step]
    ) -> None:
        assert read.result is not None
        read.is_writing_back = True
        effects, over = self.write_back.begin(
            now, read.id, read.key, read.result, keeping, read.call.write, read.call.deadline_ms
        )
        steps.extend(effects)
        self._kept(over, steps)

    def _kept(self, over: Sequence[Kept], steps: list[Step]) -> None:
        for id, enough in over:
            read = self._reads.get(id)
            if read is not None and enough:
                self._finish(read, self._done(read), steps)
            elif read is not None:
                self._out_of_candidates(read, False, steps)

    # --- time

    def tick(self, now: Now) -> list[Step]:
        steps: list[Step] = []
        while self._timers and self._timers[0][0] <= now.ms:
            _, id = heappop(self._timers)
            read = self._reads.get(id)
            if read is None:
                continue
            if now.ms >= read.call.deadline_ms:
                answered = len(counting(read.heard.values()))
                answer = refusal(Reason.DEADLINE, answered, total(read.call.read))
                self._finish(read, answer, steps)
                continue
            self._hurry(now, read, steps)
        return steps

    def _hurry(self, now: Now, read: ReadState, steps: list[Step]) -> None:
        """Ask one more: early if the budget has a hedge left, later in any case."""
        patience_ms = self._settings.substitute_after_ms
        is_late = now.ms >= read.begun_ms + patience_ms
        may_ask = read.candidates and read.waiting and not read.is_writing_back
        if may_ask and (is_late or (not read.is_hedged and self._budget.spend())):
            read.is_hedged = True
            self._ask(read, self._next_useful(read), steps, None)
        next_ms = now.ms + patience_ms if is_late else read.begun_ms + patience_ms
        heappush(self._timers, (min(next_ms, read.call.deadline_ms), read.id))

    def _next_useful(self, read: ReadState) -> Target:
        """A candidate of a group that still waits, if there is one."""
        groups = missing(read.call.read, counting(read.heard.values()))
        for target in read.candidates:
            if any(target.owner in group.members for group in groups):
                return target
        return read.candidates[0]

    def next_deadline(self) -> int | None:
        while self._timers and self._timers[0][1] not in self._reads:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    # --- the end

    def _finish(self, read: ReadState, answer: ClientAnswer, steps: list[Step]) -> None:
        self.write_back.forget(read.id)
        if self._reads.pop(read.id, None) is not None:
            steps.append(Finish(read.call.token, answer))

    def _done(self, read: ReadState) -> ClientAnswer:
        encoded = b""
        if read.result is not None:
            seen = context.seen_in(decode(read.result))
            encoded = context.encode(seen, read.key, self._secret)
        answered = len(counting(read.heard.values()))
        return ClientAnswer(
            Outcome.DONE, Reason.NONE, answered, total(read.call.read), encoded, read.result
        )
