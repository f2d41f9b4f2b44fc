"""Client requests: checked, given to who may carry them out, answered once.

Any node coordinates a read. A write is minted by an owner of its key, so that few actors appear in
its clock: another node forwards it, once. In sloppy mode, when no owner can be reached, the first
stand-in mints in its hints.

What holds:
- every call is answered exactly once; what is refused was written nowhere;
- a write that has been sent to another node is never sent to a second one, unless the first said
  that it has not begun; silence makes it UNKNOWN;
- what was forwarded is not forwarded again;
- levels are checked against what strict mode promises before anything is done (rules.py);
- what is too much is refused before anything is minted: over all, by client (admission.py), and for
  the own store (backlog.py). Where another owner is better off it gets the call instead: reads go
  on without the own copy, writes are forwarded.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from lsmkv_cluster.coordination.admission import Admission
from lsmkv_cluster.coordination.callers import Caller, Client, Peer, sent_back, size_of
from lsmkv_cluster.coordination.calls import Call, Finish, Step, refusal
from lsmkv_cluster.coordination.changes import is_well_formed
from lsmkv_cluster.coordination.pace import Pace
from lsmkv_cluster.coordination.quorum import is_met
from lsmkv_cluster.coordination.read_state import OtherToken, OwnToken
from lsmkv_cluster.coordination.reading import Reading
from lsmkv_cluster.coordination.requests import (
    FORWARD,
    ClientAnswer,
    ClientRequest,
    Outcome,
    Reason,
    decode_answer,
    decode_request,
    encode_request,
    is_within_limits,
)
from lsmkv_cluster.coordination.rules import RuleTable
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.coordination.write_back import KeptToken
from lsmkv_cluster.coordination.writing import Writing
from lsmkv_cluster.driver_ports import ClientCall, ClientReply
from lsmkv_cluster.errors import ContextError, Malformed
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Answered, Ask, Asked, Effect, Now, Reply, Stored, Unanswered
from lsmkv_cluster.storage.backlog import Backlog, Work
from lsmkv_cluster.transport.wire import Lane
from lsmkv_cluster.versions import context

__all__ = ["Coordinator", "CoordinatorSettings"]

# The other node has not begun, so the next one may be asked.
NOT_BEGUN = frozenset({Reason.NOT_READY, Reason.NOT_AN_OWNER, Reason.OVERLOADED})
REFUSED = bytes([Outcome.REFUSED])  # how such an answer begins
NOTHING_DONE = frozenset(OperationStatus) - {OperationStatus.DONE}


@dataclass(frozen=True, slots=True)
class CoordinatorSettings:
    in_flight_max: int = 4096  # calls that this node works on at once
    in_flight_size_max_bytes: int = 256 << 20  # of their requests
    attempt_count_max: int = 2  # owners that are asked to carry out one write


class _ForwardToken(NamedTuple):
    id: int


@dataclass(slots=True)
class _Forward:
    call: Call
    tried: list[MemberId] = field(default_factory=list)
    is_shed: bool = False  # the last one had too much to do


class Coordinator:
    """`may_mint` says whether this store may write versions of its own yet (actor.py)."""

    def __init__(
        self,
        view: View,
        reading: Reading,
        writing: Writing,
        secret: bytes,
        may_mint: Callable[[], bool],
        backlog: Backlog,
        settings: CoordinatorSettings | None = None,
    ) -> None:
        self._view = view
        self._reading = reading
        self._writing = writing
        self._secret = secret
        self._may_mint = may_mint
        self._settings = settings or CoordinatorSettings()
        self._backlog = backlog
        limits = self._settings
        self._admission = Admission(limits.in_flight_max, limits.in_flight_size_max_bytes)
        self._forwards: dict[int, _Forward] = {}
        self._pace = Pace()
        self._next_id = 0
        self._rules = RuleTable(view)

    @property
    def in_flight(self) -> int:
        return self._admission.count

    # --- what comes in

    def called(self, now: Now, calls: Sequence[ClientCall]) -> list[Effect | ClientReply]:
        """From clients of this node."""
        incoming = [
            (Client(c.call_id, c.client, size_of(c.request)), c.request, c.deadline_ms)
            for c in calls
        ]
        return self._begin(now, incoming, forwarded=False)

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect | ClientReply]:
        """From other nodes, which do not own the key or may not mint."""
        effects: list[Effect | ClientReply] = []
        incoming: list[tuple[Caller, ClientRequest, int]] = []
        for asked in requests:
            if asked.opcode != FORWARD:
                effects.append(Reply(asked.reply_to, OperationStatus.UNKNOWN_OPCODE))
            elif now.ms >= asked.deadline_ms:
                effects.append(Reply(asked.reply_to, OperationStatus.EXPIRED))
            else:
                try:
                    request = decode_request(asked.payload)
                except Malformed:
                    effects.append(Reply(asked.reply_to, OperationStatus.MALFORMED))
                    continue
                token = Peer(asked.reply_to, asked.peer, len(asked.payload))
                incoming.append((token, request, asked.deadline_ms))
        return effects + self._begin(now, incoming, forwarded=True)

    def _begin(
        self,
        now: Now,
        incoming: Sequence[tuple[Caller, ClientRequest, int]],
        forwarded: bool,
    ) -> list[Effect | ClientReply]:
        steps: list[Step] = []
        reads: list[Call] = []
        writes: list[Call] = []
        shed: list[Effect | ClientReply] = []
        is_fit = not self._view.is_loath_to_write(self._view.me)
        for token, request, deadline_ms in incoming:
            if not self._admission.enter(token.who, token.size):
                shed.append(sent_back(token, refusal(Reason.OVERLOADED)))
                if self._admission.is_full:
                    self._backlog.note_refusal()
                continue
            if now.ms >= deadline_ms:
                steps.append(Finish(token, refusal(Reason.DEADLINE)))
                continue
            call = self._checked(token, request, deadline_ms)
            if isinstance(call, Reason):
                steps.append(Finish(token, refusal(call)))
            elif not request.is_write:
                if self._may_read(call):
                    reads.append(call)
                else:
                    steps.append(Finish(token, refusal(Reason.OVERLOADED)))
            elif self._mints_here(call, forwarded, is_fit):
                if self._backlog.take(Work.CALLS, token.size):
                    writes.append(call)
                else:
                    steps.append(Finish(token, refusal(Reason.OVERLOADED)))
            elif forwarded:
                steps.append(Finish(token, refusal(Reason.NOT_AN_OWNER)))
            else:
                self._forward(now, _Forward(call), steps)
        if reads:
            steps += self._reading.begin(now, reads)
        if writes:
            steps += self._writing.begin(now, writes)
        return shed + self._outward(steps)

    # --- deciding

    def _may_read(self, call: Call) -> bool:
        """Whether the own store has room for it, or others are enough that have not too much to
        do."""
        place, view = call.place, self._view
        if not place.is_owner or self._backlog.has_room(Work.CALLS):
            return True
        owners = view.reachable_owners(place)
        others = [id for id in owners if id != view.me and not view.is_overloaded(id)]
        return is_met(call.read, others) or self._backlog.take(Work.CALLS, 0)

    def _checked(self, token: Hashable, request: ClientRequest, deadline_ms: int) -> Call | Reason:
        if not is_within_limits(request) or not is_well_formed(request):
            return Reason.BAD_REQUEST
        view = self._view
        place = view.place_of(request.key)
        rules = self._rules.find(place, request)
        if not rules.is_allowed:
            return Reason.BAD_REQUEST
        seen = context.NOTHING
        if request.context:
            try:
                seen = context.decode(request.context, request.key, self._secret)
            except ContextError:
                return Reason.BAD_CONTEXT
        return Call(
            token,
            request,
            deadline_ms,
            place,
            seen,
            rules.read,
            rules.write,
            rules.write_count,
            rules.is_strict,
        )

    def _mints_here(self, call: Call, forwarded: bool, is_fit: bool) -> bool:
        """Whether this node carries a write out itself. One that is not whole, or cannot keep up,
        leaves it to another owner, if there is one and it was not sent here by one who knows."""
        view, place = self._view, call.place
        if not self._may_mint():
            return False
        if place.is_owner:
            if forwarded or (is_fit and view.is_ready(place.partition)):
                return True
            others = [id for id in view.reachable_owners(place) if id != view.me]
            if view.is_ready(place.partition):
                others = [id for id in others if not view.is_loath_to_write(id)]
            return not others
        if call.is_strict or view.reachable_owners(place):
            return False
        targets = view.targets(place, sloppy=True)
        return any(target.member == view.me for target in targets) and (
            forwarded or targets[0].member == view.me
        )

    # --- forwarding

    def _forward(self, now: Now, forward: _Forward, steps: list[Step]) -> None:
        """Give it to the next owner. Nobody has begun it so far."""
        call = forward.call
        if now.ms >= call.deadline_ms:
            steps.append(Finish(call.token, refusal(Reason.DEADLINE)))
            return
        to = self._next_owner(now, forward)
        if to is None:
            is_known = forward.tried or call.place.is_owner
            reason = Reason.NOT_READY if is_known else Reason.NOT_ENOUGH_REPLICAS
            reason = Reason.OVERLOADED if forward.is_shed else reason
            steps.append(Finish(call.token, refusal(reason)))
            return
        forward.tried.append(to)
        self._next_id += 1
        self._forwards[self._next_id] = forward
        self._pace.began(now.ms, self._next_id, to)
        payload = encode_request(call.request)
        token = _ForwardToken(self._next_id)
        steps.append(Ask(to, Lane.DATA, FORWARD, payload, call.deadline_ms, token))

    def _next_owner(self, now: Now, forward: _Forward) -> MemberId | None:
        """The first one, unless it has too much to do, or is slow, and another one is not."""
        if len(forward.tried) >= self._settings.attempt_count_max:
            return None
        view, place = self._view, forward.call.place
        candidates = view.reachable_owners(place)
        if not candidates and not forward.call.is_strict:
            candidates = [target.member for target in view.targets(place, sloppy=True)]
        candidates = [id for id in candidates if id != view.me and id not in forward.tried]
        slow = self._pace.slow(now.ms, candidates)
        return min(
            candidates, key=lambda id: (view.is_loath_to_write(id), id in slow), default=None
        )

    def _forward_ended(
        self, now: Now, answer: Answered | Unanswered, forward: _Forward, steps: list[Step]
    ) -> None:
        if isinstance(answer, Unanswered):
            if answer.never_sent:
                self._forward(now, forward, steps)
            else:
                unknown = ClientAnswer(Outcome.UNKNOWN, Reason.DEADLINE)
                steps.append(Finish(forward.call.token, unknown))
            return
        if answer.status in NOTHING_DONE:
            forward.is_shed = answer.status == OperationStatus.OVERLOADED
            self._forward(now, forward, steps)
            return
        result = ClientAnswer(Outcome.UNKNOWN, Reason.STORE_FAILED)
        if answer.is_done:
            with suppress(Malformed):
                result = decode_answer(answer.payload)
        if result.outcome is Outcome.REFUSED and result.reason in NOT_BEGUN:
            forward.is_shed = result.reason is Reason.OVERLOADED
            self._forward(now, forward, steps)
        else:
            steps.append(Finish(forward.call.token, result))

    def _note_pace(self, now: Now, id: int, answer: Answered | Unanswered) -> None:
        """What an owner has refused says nothing about its pace, nor does what it did not get."""
        counts = not answer.never_sent if isinstance(answer, Unanswered) else answer.is_done
        if isinstance(answer, Answered) and counts:
            counts = answer.payload[:1] != REFUSED
        self._pace.ended(now.ms, id, answer.peer, counts=counts)

    # --- what comes back

    def answered(
        self, now: Now, answers: Sequence[Answered | Unanswered]
    ) -> list[Effect | ClientReply]:
        steps: list[Step] = []
        for_reading: list[Answered | Unanswered] = []
        for_writing: list[Answered | Unanswered] = []
        for answer in answers:
            if isinstance(answer.token, _ForwardToken):
                forward = self._forwards.pop(answer.token.id)
                self._note_pace(now, answer.token.id, answer)
                self._forward_ended(now, answer, forward, steps)
            elif isinstance(answer.token, OtherToken | KeptToken):
                for_reading.append(answer)
            else:
                for_writing.append(answer)
        if for_reading:
            steps += self._reading.answered(now, for_reading)
        if for_writing:
            steps += self._writing.answered(now, for_writing)
        return self._outward(steps)

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect | ClientReply]:
        reading = [r for r in results if isinstance(r.token, OwnToken | KeptToken)]
        writing = [r for r in results if not isinstance(r.token, OwnToken | KeptToken)]
        steps: list[Step] = []
        if reading:
            steps += self._reading.stored(now, reading)
        if writing:
            steps += self._writing.stored(now, writing)
        return self._outward(steps)

    def tick(self, now: Now) -> list[Effect | ClientReply]:
        return self._outward(self._reading.tick(now) + self._writing.tick(now))

    def next_deadline(self) -> int | None:
        due = [self._reading.next_deadline(), self._writing.next_deadline()]
        return min([ms for ms in due if ms is not None], default=None)

    def adopted(self, now: Now) -> list[Effect | ClientReply]:
        """There is a new document, and the view knows it. Calls whose partition has another place
        since go on there; what was answered for the old place counts as far as it is true."""
        self._rules.clear()
        steps = self._reading.adopted(now, self._moved)
        return self._outward(steps + self._writing.adopted(now, self._moved))

    def _moved(self, call: Call) -> Call | Reason:
        """The same call, if its partition is where it was."""
        if self._view.place(call.place.partition).placed == call.place.placed:
            return call
        return self._checked(call.token, call.request, call.deadline_ms)

    def woke(self) -> None:
        """The node was asleep: what was to be minted and is not, is from before."""
        self._writing.woke()

    def _outward(self, steps: Sequence[Step]) -> list[Effect | ClientReply]:
        effects: list[Effect | ClientReply] = []
        for step in steps:
            if not isinstance(step, Finish):
                effects.append(step)
            else:
                token = step.token
                assert isinstance(token, Caller)
                self._admission.leave(token.who, token.size)
                effects.append(sent_back(token, step.answer))
        return effects
