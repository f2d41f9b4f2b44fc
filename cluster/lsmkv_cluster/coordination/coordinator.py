"""Client requests: checked, given to who may carry them out, answered once.

Any node coordinates a read. A write is minted by an owner of its key, so that few actors appear in
its clock: another node forwards it, once. In sloppy mode, when no owner can be reached, the first
stand-in mints in its hints.

What holds:
- every call is answered exactly once; what is refused was written nowhere;
- a write that has been sent to another node is never sent to a second one, unless the first said
  that it has not begun; silence makes it UNKNOWN;
- what was forwarded is not forwarded again;
- levels are checked against what strict mode promises before anything is done: in a strict keyspace
  also that they meet those of everybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from lsmkv_cluster.coordination.calls import Call, Finish, Step, refusal
from lsmkv_cluster.coordination.changes import is_well_formed
from lsmkv_cluster.coordination.quorum import Need, is_at_least, is_strict, need, total
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
    encode_answer,
    encode_request,
    is_within_limits,
)
from lsmkv_cluster.coordination.view import Place, View
from lsmkv_cluster.coordination.write_back import KeptToken
from lsmkv_cluster.coordination.writing import Writing
from lsmkv_cluster.driver_ports import ClientCall, ClientReply
from lsmkv_cluster.errors import ContextError, Malformed
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Mode
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Answered, Ask, Asked, Effect, Now, Reply, Stored, Unanswered
from lsmkv_cluster.transport.wire import Lane
from lsmkv_cluster.versions import context

__all__ = ["Coordinator", "CoordinatorSettings"]

# The other node has not begun, so the next one may be asked.
NOT_BEGUN = frozenset({Reason.NOT_READY, Reason.NOT_AN_OWNER})
NOTHING_DONE = frozenset(OperationStatus) - {OperationStatus.DONE}
RULES_MAX = 1 << 14  # pairs of levels that are remembered


@dataclass(frozen=True, slots=True)
class CoordinatorSettings:
    in_flight_max: int = 4096  # calls that this node works on at once
    attempt_count_max: int = 2  # owners that are asked to carry out one write


class _Client(NamedTuple):
    """Where a call came from: a client of this node."""

    call_id: int


class _Peer(NamedTuple):
    """Where a call came from: another node, which forwarded it."""

    reply_to: Hashable


class _ForwardToken(NamedTuple):
    id: int


@dataclass(slots=True)
class _Forward:
    call: Call
    tried: list[MemberId] = field(default_factory=list)


class _Rules(NamedTuple):
    """What a request's levels come to in a partition."""

    read: Need
    write: Need
    write_count: int
    is_strict: bool
    is_allowed: bool


class Coordinator:
    """`may_mint` says whether this store may write versions of its own yet (actor.py)."""

    def __init__(
        self,
        view: View,
        reading: Reading,
        writing: Writing,
        secret: bytes,
        may_mint: Callable[[], bool],
        settings: CoordinatorSettings | None = None,
    ) -> None:
        self._view = view
        self._reading = reading
        self._writing = writing
        self._secret = secret
        self._may_mint = may_mint
        self._settings = settings or CoordinatorSettings()
        self._forwards: dict[int, _Forward] = {}
        self._next_id = 0
        self._rules: dict[tuple[int, Consistency, Consistency, Mode, Consistency], _Rules] = {}

    @property
    def in_flight(self) -> int:
        return self._reading.in_flight + self._writing.in_flight + len(self._forwards)

    # --- what comes in

    def called(self, now: Now, calls: Sequence[ClientCall]) -> list[Effect | ClientReply]:
        """From clients of this node."""
        incoming = [(_Client(c.call_id), c.request, c.deadline_ms) for c in calls]
        return self._begin(now, incoming, forwarded=False)

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect | ClientReply]:
        """From other nodes, which do not own the key or may not mint."""
        effects: list[Effect | ClientReply] = []
        incoming: list[tuple[_Client | _Peer, ClientRequest, int]] = []
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
                incoming.append((_Peer(asked.reply_to), request, asked.deadline_ms))
        return effects + self._begin(now, incoming, forwarded=True)

    def _begin(
        self,
        now: Now,
        incoming: Sequence[tuple[_Client | _Peer, ClientRequest, int]],
        forwarded: bool,
    ) -> list[Effect | ClientReply]:
        steps: list[Step] = []
        reads: list[Call] = []
        writes: list[Call] = []
        room = self._settings.in_flight_max
        for token, request, deadline_ms in incoming:
            if len(reads) + len(writes) + self.in_flight >= room:
                steps.append(Finish(token, refusal(Reason.OVERLOADED)))
                continue
            if now.ms >= deadline_ms:
                steps.append(Finish(token, refusal(Reason.DEADLINE)))
                continue
            call = self._checked(token, request, deadline_ms)
            if isinstance(call, Reason):
                steps.append(Finish(token, refusal(call)))
            elif not request.is_write:
                reads.append(call)
            elif self._mints_here(call, forwarded):
                writes.append(call)
            elif forwarded:
                steps.append(Finish(token, refusal(Reason.NOT_AN_OWNER)))
            else:
                self._forward(now, _Forward(call), steps)
        if reads:
            steps += self._reading.begin(now, reads)
        if writes:
            steps += self._writing.begin(now, writes)
        return self._outward(steps)

    # --- deciding

    def _checked(self, token: Hashable, request: ClientRequest, deadline_ms: int) -> Call | Reason:
        if not is_within_limits(request) or not is_well_formed(request):
            return Reason.BAD_REQUEST
        view = self._view
        place = view.place_of(request.key)
        rules = self._rules_for(place, view.topology.keyspace_of(request.key), request)
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

    def _rules_for(self, place: Place, keyspace: Keyspace, request: ClientRequest) -> _Rules:
        read, write = request.read or keyspace.read, request.write or keyspace.write
        mode = request.mode or keyspace.mode
        # What others write with, at the least; where that promises nothing, what this one does.
        least = keyspace.write if keyspace.mode is Mode.STRICT else write
        cached = (place.partition, read, write, mode, least)
        rules = self._rules.get(cached)
        if rules is None:
            dc, strict = self._view.dc, mode is Mode.STRICT
            needed = [need(write, owners, dc) for owners in place.written]
            rules = _Rules(
                need(read, place.owners_by_dc, dc),
                tuple(group for groups in needed for group in groups),
                max(total(groups) for groups in needed),
                strict,
                not strict
                or all(
                    is_strict(read, least, owners) and is_at_least(write, least, owners)
                    for owners in place.written
                ),
            )
            if len(self._rules) >= RULES_MAX:
                self._rules.clear()
            self._rules[cached] = rules
        return rules

    def _mints_here(self, call: Call, forwarded: bool) -> bool:
        """Whether this node carries a write out itself. One that is not whole leaves it to another
        owner, if there is one and it was not sent here by one who knows."""
        view, place = self._view, call.place
        if not self._may_mint():
            return False
        if place.is_owner:
            return (
                forwarded or view.is_ready(place.partition) or len(view.reachable_owners(place)) < 2
            )
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
        to = self._next_owner(forward)
        if to is None:
            is_known = forward.tried or call.place.is_owner
            reason = Reason.NOT_READY if is_known else Reason.NOT_ENOUGH_REPLICAS
            steps.append(Finish(call.token, refusal(reason)))
            return
        forward.tried.append(to)
        self._next_id += 1
        self._forwards[self._next_id] = forward
        payload = encode_request(call.request)
        token = _ForwardToken(self._next_id)
        steps.append(Ask(to, Lane.DATA, FORWARD, payload, call.deadline_ms, token))

    def _next_owner(self, forward: _Forward) -> MemberId | None:
        if len(forward.tried) >= self._settings.attempt_count_max:
            return None
        view, place = self._view, forward.call.place
        candidates = view.reachable_owners(place)
        if not candidates and not forward.call.is_strict:
            candidates = [target.member for target in view.targets(place, sloppy=True)]
        for id in candidates:
            if id != view.me and id not in forward.tried:
                return id
        return None

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
            self._forward(now, forward, steps)
            return
        result = ClientAnswer(Outcome.UNKNOWN, Reason.STORE_FAILED)
        if answer.is_done:
            with suppress(Malformed):
                result = decode_answer(answer.payload)
        if result.outcome is Outcome.REFUSED and result.reason in NOT_BEGUN:
            self._forward(now, forward, steps)
        else:
            steps.append(Finish(forward.call.token, result))

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
            elif isinstance(step.token, _Client):
                effects.append(ClientReply(step.token.call_id, step.answer))
            else:
                assert isinstance(step.token, _Peer)
                payload = encode_answer(step.answer)
                effects.append(Reply(step.token.reply_to, OperationStatus.DONE, payload))
        return effects
