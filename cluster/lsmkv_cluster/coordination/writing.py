"""Writes with a quorum: mint here, ship the merged record, count who keeps it.

    reachable? -> minted in the local store -> shipped -> enough have it    DONE
        |                 |          |            |
        v                 v          v            v
     REFUSED           REFUSED   the deadline, or cannot be enough any more: UNKNOWN

What holds:
- nothing is minted unless enough of those who must answer can be reached, and be sent something;
- nothing leaves this node before the local store has it, so a dot that others know is known here;
- whoever is asked gets the whole merged record; asking twice harms nothing, and a write is never
  minted twice for one call;
- a request that finds nothing to change ships what is there: an earlier attempt may have made the
  change and not got it to enough. Where there is nothing at all it is done at once;
- owners count for themselves, stand-ins in the place of their owner, nobody for two;
- strict: owners only, and this node's own copy counts once it is synced; sloppy: whoever fails, or
  does not answer in time, is replaced by the next stand-in while answers are still needed, and
  counts all the same when its answer comes late;
- a write whose partition moves meanwhile is shipped to where it is then, and answered for there;
- a call is answered at its deadline at the latest, also while the store has not come to it: then
  nothing is minted for it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lsmkv_cluster.coordination.calls import Call, Finish, Step, refusal
from lsmkv_cluster.coordination.minter import MintBatch, MintEntry, Minter
from lsmkv_cluster.coordination.quorum import can_meet, is_met
from lsmkv_cluster.coordination.replica_messages import MERGE, ReplicaFlags, encode_merge
from lsmkv_cluster.coordination.requests import ClientAnswer, Outcome, Reason
from lsmkv_cluster.coordination.view import Target, View
from lsmkv_cluster.coordination.write_state import Shipped, WriteBatch, WriteSettings, WriteState
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Answered, Ask, Now, Stored, StoreOrder, Unanswered
from lsmkv_cluster.storage.storage_orders import Done, Failure, Merged, Mint, Space, Sync
from lsmkv_cluster.transport.timers import Timers
from lsmkv_cluster.transport.wire import Lane
from lsmkv_cluster.versions import context
from lsmkv_cluster.versions.record_format import minted_size_max

__all__ = ["Writing"]

SYNC = int(ReplicaFlags.SYNC)
AS_HINT = int(ReplicaFlags.AS_HINT)


class Writing:
    """All writes that this node coordinates. `begin` takes calls whose levels have been checked."""

    def __init__(
        self,
        view: View,
        minter: Minter,
        secret: bytes,
        take_hint: Callable[[Now, bytes, int], bool],
        settings: WriteSettings | None = None,
    ) -> None:
        self._view = view
        self._minter = minter
        self._take_hint = take_hint
        self._secret = secret
        self._settings = settings or WriteSettings()
        self._next_id = 0
        self._writes: dict[int, WriteState] = {}
        self._batches: dict[int, WriteBatch] = {}
        self._syncs: dict[int, list[WriteState]] = {}
        self._timers = Timers()

    @property
    def in_flight(self) -> int:
        return len(self._writes)

    def begin(self, now: Now, calls: Sequence[Call]) -> list[Step]:
        steps: list[Step] = []
        by_space: dict[Space, list[WriteState]] = {}
        for call in calls:
            targets = self._view.targets(call.place, not call.is_strict)
            owners = [target.owner for target in targets]
            if not can_meet(call.write, owners):
                answer = refusal(Reason.NOT_ENOUGH_REPLICAS, len(owners), call.write_count)
                steps.append(Finish(call.token, answer))
            elif all(target.member != self._view.me for target in targets):
                steps.append(Finish(call.token, refusal(Reason.NOT_AN_OWNER)))
            elif self._are_too_crowded(call, targets) or not self._has_room(now, call):
                steps.append(Finish(call.token, refusal(Reason.OVERLOADED)))
            else:
                write = WriteState(self._take_id(), call, targets)
                self._writes[write.id] = write
                self._timers.start(write.id, call.deadline_ms)
                space = Space.DATA if call.place.is_keeper else Space.HINT
                by_space.setdefault(space, []).append(write)
        for space, writes in by_space.items():
            steps.append(self._mint(now, space, writes))
        return steps

    def _are_too_crowded(self, call: Call, targets: Sequence[Target]) -> bool:
        """Whether too few can be sent the record. Stand-ins may take the place of the others."""
        crowded = self._view.crowded
        if not crowded or (not call.is_strict and call.place.stand_ins):
            return False
        return not can_meet(call.write, [t.owner for t in targets if t.member not in crowded])

    def _has_room(self, now: Now, call: Call) -> bool:
        """Whether the hints have room for a write, if it is minted into them. Never less is counted
        than it will be: other stand-ins, which count the record, are not full before this one."""
        if call.place.is_keeper:
            return True
        request = call.request
        size = minted_size_max(request.values, len(request.context))
        return self._take_hint(now, request.key, len(request.key) + size)

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _mint(self, now: Now, space: Space, writes: list[WriteState]) -> StoreOrder:
        is_hint = space is Space.HINT
        entries = [MintEntry(write.call.request, write.call.seen, is_hint) for write in writes]
        minted = MintBatch(self._minter, entries, now.wall_ms)
        number = self._take_id()
        self._batches[number] = WriteBatch(writes, minted)
        keys = tuple([write.key for write in writes])
        return StoreOrder(number, Mint(space, keys, minted.decide))

    # --- the local store

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Step]:
        steps: list[Step] = []
        for token, result in results:
            assert isinstance(token, int)
            batch = self._batches.pop(token, None)
            if batch is not None:
                outcomes = (
                    result.outcomes
                    if isinstance(result, Merged)
                    else (Failure.BROKEN,) * len(batch.writes)
                )
                self._minted(now, batch, outcomes, steps)
            else:
                failed = not isinstance(result, Done)
                for write in self._syncs.pop(token, ()):
                    if write.id in self._writes and self._view.me in write.waiting:
                        self._settle(now, write, self._view.me, failed, steps)
        return steps

    def adopted(self, now: Now, moved: Callable[[Call], Call | Reason]) -> list[Step]:
        """Writes of what has moved are shipped to where it is now. They are not minted again, and
        who has kept the record has it."""
        steps: list[Step] = []
        for write in list(self._writes.values()):
            call = moved(write.call)
            if call is write.call:
                continue
            if isinstance(call, Reason):
                self._make_void(write)
                self._finish(write, _unknown(write), steps)
                continue
            write.call = call
            write.targets = self._view.targets(call.place, not call.is_strict)
            write.attempt += 1
            if write.payload:
                self._ship_again(write, steps)
        return steps

    def _ship_again(self, write: WriteState, steps: list[Step]) -> None:
        me = self._view.me
        write.waiting = {id: owner for id, owner in write.waiting.items() if id == me}
        for target in write.targets:
            if target.member != me and target.owner not in write.kept:
                self._ask(write, target, steps)
        if is_met(write.call.write, write.kept):
            self._finish(write, self._done(write), steps)

    def _minted(
        self,
        now: Now,
        batch: WriteBatch,
        outcomes: Sequence[bool | Failure],
        steps: list[Step],
    ) -> None:
        to_sync: list[WriteState] = []
        for write, minted, outcome in zip(
            batch.writes, batch.minted.results, outcomes, strict=True
        ):
            if write.id not in self._writes:
                continue  # the deadline came first
            if isinstance(outcome, Failure) or minted is None:
                failure = outcome if isinstance(outcome, Failure) else Failure.BROKEN
                self._finish(write, _failed(failure), steps)
            elif minted.reason is not Reason.NONE:
                self._finish(write, refusal(minted.reason), steps)
            else:
                write.result = minted
                self._minted_one(now, write, steps)
                if self._syncs_first(write) and self._view.me in write.waiting:
                    to_sync.append(write)
        if to_sync:
            number = self._take_id()
            self._syncs[number] = to_sync
            steps.append(StoreOrder(number, Sync()))

    def _minted_one(self, now: Now, write: WriteState, steps: list[Step]) -> None:
        assert write.result is not None
        if write.result.stored is None:
            self._finish(write, self._done(write), steps)
        elif now.ms >= write.call.deadline_ms:
            self._finish(write, _unknown(write), steps)
        else:
            self._ship(now, write, write.result.stored, steps)

    def _ship(self, now: Now, write: WriteState, record: bytes, steps: list[Step]) -> None:
        me = self._view.me
        write.payload = encode_merge(write.key, record)
        for target in write.targets:
            if target.member == me:
                write.waiting[me] = target.owner
                write.taken.append(me)
            else:
                self._ask(write, target, steps)
        if not write.call.is_strict:
            patient_until_ms = now.ms + self._settings.substitute_after_ms
            self._timers.start(write.id, min(write.call.deadline_ms, patient_until_ms))
            if me in write.waiting and not self._syncs_first(write):
                self._settle(now, write, me, False, steps)

    def _syncs_first(self, write: WriteState) -> bool:
        return write.call.is_strict or self._settings.syncs_always

    def _ask(self, write: WriteState, target: Target, steps: list[Step]) -> None:
        write.waiting[target.member] = target.owner
        write.taken.append(target.member)
        flags = SYNC if self._syncs_first(write) else 0
        if target.is_hint:
            flags |= AS_HINT
        steps.append(
            Ask(
                target.member,
                Lane.DATA,
                MERGE,
                write.payload,
                write.call.deadline_ms,
                Shipped(write.id, target.member, target.owner, write.attempt),
                flags,
            )
        )

    # --- the others

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Step]:
        steps: list[Step] = []
        for answer in answers:
            assert isinstance(answer.token, Shipped)
            write = self._writes.get(answer.token.id)
            if write is not None:
                self._answered_one(now, write, answer.token, answer, steps)
        return steps

    def _answered_one(
        self,
        now: Now,
        write: WriteState,
        token: Shipped,
        answer: Answered | Unanswered,
        steps: list[Step],
    ) -> None:
        status = answer.status if isinstance(answer, Answered) else None
        if status == OperationStatus.DONE:
            write.waiting.setdefault(token.member, token.owner)
            self._settle(now, write, token.member, False, steps)
        elif token.member not in write.waiting:
            pass  # it has said so of an earlier attempt that it keeps the record
        elif token.attempt == write.attempt and status != OperationStatus.STALE_EPOCH:
            self._settle(now, write, token.member, True, steps)
        # else: it was, or will be, asked again in the epoch of the newer document

    def _settle(
        self, now: Now, write: WriteState, member: MemberId, failed: bool, steps: list[Step]
    ) -> None:
        """A member has answered, or will not any more."""
        owner = write.waiting.pop(member)
        if not failed:
            write.kept.add(owner)
            if is_met(write.call.write, write.kept):
                self._finish(write, self._done(write), steps)
            return
        self._substitute(now, write, owner, steps)
        if not can_meet(write.call.write, write.kept.union(write.waiting.values())):
            self._finish(write, _unknown(write), steps)

    def _substitute(self, now: Now, write: WriteState, owner: MemberId, steps: list[Step]) -> None:
        if write.call.is_strict or owner in write.kept or now.ms >= write.call.deadline_ms:
            return
        stand_in = self._view.stand_in(write.call.place, owner, write.taken)
        if stand_in is not None:
            self._ask(write, Target(stand_in, owner), steps)

    # --- time

    def tick(self, now: Now) -> list[Step]:
        steps: list[Step] = []
        for id in self._timers.take_due(now.ms):
            write = self._writes[id]
            if now.ms >= write.call.deadline_ms:
                self._make_void(write)
                self._finish(write, _unknown(write), steps)
                continue
            self._timers.start(id, write.call.deadline_ms)
            for member, owner in list(write.waiting.items()):
                if member != self._view.me:
                    self._substitute(now, write, owner, steps)
        return steps

    def _make_void(self, write: WriteState) -> None:
        """If it has not been minted: nobody would learn of it."""
        for batch in self._batches.values():
            if write in batch.writes:
                batch.minted.make_void(batch.writes.index(write))

    def woke(self) -> None:
        """What has not been minted yet never will be: it is from before the node slept."""
        for batch in self._batches.values():
            for index in range(len(batch.writes)):
                batch.minted.make_void(index)

    def next_deadline(self) -> int | None:
        return self._timers.next_deadline()

    # --- the end

    def _finish(self, write: WriteState, answer: ClientAnswer, steps: list[Step]) -> None:
        self._timers.stop(write.id)
        if self._writes.pop(write.id, None) is not None:
            steps.append(Finish(write.call.token, answer))

    def _done(self, write: WriteState) -> ClientAnswer:
        result = write.result
        assert result is not None
        encoded = b""
        if write.call.request.wants_context:
            encoded = context.encode(context.seen_in(result.record), write.key, self._secret)
        return ClientAnswer(
            Outcome.DONE,
            Reason.NONE,
            len(write.kept),
            write.call.write_count,
            encoded,
            result.stored,
        )


def _failed(failure: Failure) -> ClientAnswer:
    """The local store did not write; of a broken one nobody knows what it will show."""
    if failure is Failure.BROKEN:
        return ClientAnswer(Outcome.UNKNOWN, Reason.STORE_FAILED)
    return refusal(Reason.NOT_READY if failure is Failure.CORRUPT else Reason.STORE_FAILED)


def _unknown(write: WriteState) -> ClientAnswer:
    needed = write.call.write_count
    return ClientAnswer(Outcome.UNKNOWN, Reason.NOT_ENOUGH_REPLICAS, len(write.kept), needed)
