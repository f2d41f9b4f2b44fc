"""Membership: who of the topology's members is there, found out together (SWIM with Lifeguard).

- Probes: in each interval one member is pinged, directly, then over others and the stream; when all
  that fails, this node accuses it (prober.py).
- Gossip: statements travel in every datagram there is and, while there is news, in datagrams of
  their own. Whole tables are exchanged over the stream, at the start and from time to time.
- Refutation: who is accused raises its incarnation. Everybody who talks to it tells it so first.
- Own health: all times of probing stretch while this node finds itself slow (local_health.py), and
  after a pause the probe under way is void, because its answers may have been lost.

Members are those of the topology: of anybody else nothing is believed, and nothing is sent to them.
With each new document the node says who they are now (`follow`).
Gossip decides where requests are sent and nothing else: it never moves data. Datagrams come in
through `received`, authentic and new (datagram.py, replay_window.py); any other frame of a member
is a sign of life, `heard_from`. The first call starts the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import Operation, OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import (
    Answered,
    Ask,
    Asked,
    Effect,
    Now,
    Random,
    Reply,
    Stored,
    Unanswered,
)
from lsmkv_cluster.swim.gossip import Gossip
from lsmkv_cluster.swim.gossip_messages import (
    ACK,
    EXCHANGE,
    INDIRECT_PING,
    NOT_REACHED,
    PING,
    REACHED,
    STATEMENT,
    decode_indirect_ping,
    decode_number,
    decode_ping,
    decode_statement,
    encode_exchange,
)
from lsmkv_cluster.swim.hearsay import Hearsay
from lsmkv_cluster.swim.local_health import LocalHealth
from lsmkv_cluster.swim.member_report import MemberReport, own_report, report_of
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.member_table import MemberTable, Record
from lsmkv_cluster.swim.membership_settings import MembershipSettings
from lsmkv_cluster.swim.own_state import SelfDescription
from lsmkv_cluster.swim.peer_clocks import ClockOffset
from lsmkv_cluster.swim.peers import Peers, others_of
from lsmkv_cluster.swim.prober import Failed, PingToken, Prober, Tell
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Membership"]


class _ExchangeToken(NamedTuple):
    """Of every exchange."""


class Membership:
    """A ports.Machine that also takes datagrams. Made for one run of one node."""

    def __init__(
        self,
        members: Sequence[MemberId],
        me: MemberId,
        start_number: int,
        rng: Random,
        settings: MembershipSettings | None = None,
    ) -> None:
        self._settings = settings = settings or MembershipSettings()
        count, others = len(members), others_of(members, me)
        self._me = me
        self._rng = rng
        self._self = SelfDescription(me, start_number)
        self._health = LocalHealth(settings.health_score_max if settings.lifeguard else 0)
        self._table = MemberTable(me, others, settings.suspicion(count), settings.lifeguard)
        self._peers = Peers(others, rng)
        self._gossip = Gossip(self._self, self._table, self._peers, self._health, settings)
        self._prober = Prober(
            self._table, self._peers, self._health, settings, rng, self._gossip.own_state
        )
        self._hearsay = Hearsay(self._self, self._table, self._gossip, self._health, self._peers)
        self._exchange_interval_ms = settings.exchange_every_ms(count)
        self._has_started = False
        self._has_exchanged = False
        self._exchange_ms = 0
        self._effects: list[Effect] = []
        self._now = Now(0, 0)  # of the call under way
        self.malformed_count = 0

    # --- what others ask ---------------------------------------------------------------------

    def status(self, member: MemberId) -> Status:
        """KeyError for who is not a member."""
        return self._self.status if member == self._me else self._table.records[member].status

    def is_reachable(self, member: MemberId) -> bool:
        """Whether to send requests to it. A suspect may well answer: it is to be tried last. Who is
        no member (any more, or yet) cannot be reached."""
        if member == self._me:
            return not self._self.has_left
        record = self._table.records.get(member)
        return record is not None and record.status in (Status.ALIVE, Status.SUSPECT)

    def load(self, member: MemberId) -> int:
        """The bits of Load that it last announced."""
        if member == self._me:
            return self._self.load
        vitals = self._table.records[member].vitals
        return vitals.load if vitals is not None else 0

    def clock_offset_ms(self, member: MemberId) -> ClockOffset | None:
        """How far its wall clock is ahead of ours; None before its first answer, and of who is no
        member."""
        record = self._table.records.get(member)
        return None if record is None else record.clock

    def report(self, now: Now) -> tuple[MemberReport, ...]:
        """One row for each member, by ascending id."""
        rows = [report_of(record, now.ms) for record in self._table.records.values()]
        rows.append(own_report(self._self, now, self._health.score))
        return tuple(sorted(rows, key=lambda row: row.member))

    # --- what the node says ------------------------------------------------------------------

    def describe(self, now: Now, *, load: int, sequence: int, oldest_hint_ms: int) -> list[Effect]:
        """What this node is to say of itself from now on. Another load is news."""
        self._begin(now)
        mine = self._self
        mine.sequence, mine.oldest_hint_ms = sequence, oldest_hint_ms
        if load != mine.load:
            mine.load = load
            mine.raise_above(mine.incarnation)
            self._spread(self._me)
        return self._end()

    def leave(self, now: Now) -> list[Effect]:
        """Say goodbye. The machine goes on passing news and answering, so that it gets around."""
        self._begin(now)
        if not self._self.has_left:
            self._self.raise_above(self._self.incarnation)
            self._self.has_left = True
            self._spread(self._me)
            self._effects += self._gossip.round(now)
        return self._end()

    def follow(self, now: Now, members: Sequence[MemberId]) -> list[Effect]:
        """These are the members from now on, this node among them. Who is new is taken for alive
        until its answer comes or probes fail; of who is gone nothing stays. A table is asked for
        soon: what was said of the new ones before was ignored here."""
        others = others_of(members, self._me)
        self._begin(now)
        was_alone = not self._table.records
        added = [member for member in others if member not in self._table.records]
        self._table.follow(others, self._settings.suspicion(len(members)))
        self._peers.follow(others)
        self._prober.follow(now.ms)
        self._gossip.follow(now.ms)
        self._exchange_interval_ms = self._settings.exchange_every_ms(len(members))
        if was_alone:
            self._prober.start(now.ms)
        if added:
            soon_ms = now.ms + self._rng.randrange(self._settings.probe_interval_ms)
            self._exchange_ms = max(now.ms, min(self._exchange_ms, soon_ms))
            self._has_exchanged = False
        for member in added:
            self._carry_out(self._prober.ping(now, member))
        return self._end()

    def heard_from(self, now: Now, member: MemberId) -> list[Effect]:
        """A frame of this member has just come."""
        record = self._table.records.get(member)
        if record is None:
            return []
        self._begin(now)
        self._hear(record)
        return self._end()

    # --- what happens ------------------------------------------------------------------------

    def received(self, now: Now, peer: MemberId, operations: Sequence[Operation]) -> list[Effect]:
        """One datagram."""
        record = self._table.records.get(peer)
        if record is None:
            return []
        self._begin(now)
        incarnation = self._self.incarnation
        answers: list[Operation] = []
        for code, payload, _, _ in operations:
            try:
                self._take(record, code, payload, answers)
            except Malformed:
                self.malformed_count += 1
        self._hear(record, is_answered=bool(answers))
        if answers or self._self.incarnation != incarnation:
            self._send(peer, answers)
        return self._end()

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect]:
        self._begin(now)
        for request in requests:
            status, payload = self._answer(request)
            self._effects.append(Reply(request.reply_to, status, payload))
        return self._end()

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Effect]:
        self._begin(now)
        for answer in answers:
            try:
                if isinstance(answer, Answered):
                    self._take_answer(answer)
                else:
                    self._had_no_table(answer)
            except Malformed:
                self.malformed_count += 1
        return self._end()

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect]:
        """It stores nothing."""
        return []

    def tick(self, now: Now) -> list[Effect]:
        self._begin(now)
        if not self._table.records:
            return self._end()
        if not self._self.has_left:
            for effect in self._prober.tick(now):
                self._carry_out(effect)
            self._end_suspicions()
            if now.ms >= self._exchange_ms:
                self._exchange()
        self._effects += self._gossip.tick(now)
        return self._end()

    def next_deadline(self) -> int | None:
        """0 before the first call; None when nothing will ever have to be done."""
        if not self._table.records:
            return None
        if not self._has_started:
            return 0
        gossip_ms = self._gossip.next_deadline()
        if self._self.has_left:
            return gossip_ms
        due_ms = min(self._prober.next_deadline(), self._exchange_ms)
        if gossip_ms is not None and gossip_ms < due_ms:
            due_ms = gossip_ms
        suspicion_ms = self._table.next_deadline()
        return due_ms if suspicion_ms is None else min(due_ms, suspicion_ms)

    # --- within a call -----------------------------------------------------------------------

    def _begin(self, now: Now) -> None:
        """Every call begins here: a pause is noticed before anything is made of what it held up."""
        self._now = now
        if not self._has_started:
            self._has_started = True
            self._prober.start(now.ms)
            self._exchange_ms = now.ms
            self._spread(self._me)
            return
        for member in self._table.follow_own_clock(now):
            self._carry_out(self._prober.ping(now, member))
        if not self._settings.lifeguard:
            return
        due_ms = self.next_deadline()
        late_ms = 0 if due_ms is None else now.ms - due_ms
        if late_ms > self._settings.lateness_ms_max:
            self._health.note(1 + late_ms // self._settings.probe_interval_ms)
            self._prober.reset(now.ms)
            self._table.postpone(late_ms)
            self._exchange_ms = max(self._exchange_ms, now.ms)
            self._gossip.next_ms = max(self._gossip.next_ms, now.ms)

    def _end(self) -> list[Effect]:
        effects = self._effects
        self._effects = []
        effects += self._hearsay.take_alarms()
        effects += self._table.take_changes()
        return effects

    def _carry_out(self, effect: Tell | Ask | Failed) -> None:
        if isinstance(effect, Tell):
            self._send(effect.to, [effect.operation])
        elif isinstance(effect, Ask):
            self._effects.append(effect)
        elif self._table.accuse(self._now.ms, effect.record):
            self._spread(effect.record.member)

    def _end_suspicions(self) -> None:
        buried, to_probe = self._table.end_suspicions(self._now.ms)
        for record in buried:
            self._spread(record.member)
        for record in to_probe:
            self._peers.hurry(record.member)

    def _exchange(self) -> None:
        now_ms = self._now.ms
        self._exchange_ms = now_ms + self._exchange_interval_ms
        until_ms = now_ms + self._settings.exchange_timeout_ms
        for peer in self._peers.pick(1, self.is_reachable):
            ask = Ask(peer, Lane.CONTROL, EXCHANGE, self._rows(), until_ms, _ExchangeToken())
            self._effects.append(ask)

    def _rows(self) -> bytes:
        return encode_exchange([self._gossip.own_statement(self._now), *self._table.statements()])

    def _send(self, to: MemberId, operations: list[Operation]) -> None:
        self._effects += self._gossip.datagram(self._now, to, operations)

    def _spread(self, member: MemberId) -> None:
        self._gossip.spread(self._now.ms, member)

    # --- what others say ---------------------------------------------------------------------

    def _take(self, record: Record, code: int, payload: bytes, answers: list[Operation]) -> None:
        """One operation of a datagram. What a later version sends is passed over."""
        peer = record.member
        if code == STATEMENT:
            if not self._table.is_told(payload):
                self._hearsay.learn(self._now.ms, decode_statement(payload))
        elif code == PING:
            state = decode_ping(payload)
            self._hearsay.learn_state(self._now, peer, state)
            answers.append(Operation(ACK, self._gossip.own_state(state.number, self._now)))
        elif code == ACK:
            state = decode_ping(payload)
            self._hearsay.learn_state(self._now, peer, state)
            for tell in self._prober.acknowledged(self._now, peer, state):
                self._carry_out(tell)
        elif code == INDIRECT_PING:
            for tell in self._prober.relay(self._now, peer, decode_indirect_ping(payload)):
                self._carry_out(tell)
        elif code in (REACHED, NOT_REACHED):
            self._prober.reported(peer, decode_number(payload), code == REACHED)

    def _answer(self, request: Asked) -> tuple[OperationStatus, bytes]:
        record = self._table.records.get(request.peer)
        if record is None:
            return OperationStatus.STALE_EPOCH, b""
        if request.opcode not in (PING, EXCHANGE):
            return OperationStatus.UNKNOWN_OPCODE, b""
        if request.flags:
            return OperationStatus.UNKNOWN_FLAGS, b""
        try:
            if request.opcode == PING:
                state = decode_ping(request.payload)
                self._hearsay.learn_state(self._now, request.peer, state)
                answer = self._gossip.own_state(state.number, self._now)
            else:
                self._hearsay.learn_rows(self._now.ms, request.payload)
                answer = self._rows()
        except Malformed:
            self.malformed_count += 1
            return OperationStatus.MALFORMED, b""
        self._hear(record)
        return OperationStatus.DONE, answer

    def _take_answer(self, answer: Answered) -> None:
        """Any answer is a sign of life, also of a member that does not know this one yet."""
        record = self._table.records.get(answer.peer)
        if record is None:
            return
        if isinstance(answer.token, PingToken):
            if answer.is_done:
                state = decode_ping(answer.payload)
                self._hearsay.learn_state(self._now, answer.peer, state)
            self._prober.answered(answer.token.number)
        elif answer.is_done:
            self._hearsay.learn_rows(self._now.ms, answer.payload)
            self._has_exchanged = True
        else:
            self._had_no_table(answer)
        self._hear(record)

    def _had_no_table(self, answer: Answered | Unanswered) -> None:
        if isinstance(answer.token, _ExchangeToken) and not self._has_exchanged:
            self._exchange_ms = self._now.ms + self._settings.probe_interval_ms

    def _hear(self, record: Record, is_answered: bool = False) -> None:
        """A sign of life. Whoever is accused is told so, unless an answer does it anyway."""
        self._table.hear(self._now.ms, record)
        if is_answered or not self._gossip.is_to_be_told(record):
            return
        told_ms = record.told_ms
        if told_ms is None or self._now.ms - told_ms >= self._settings.probe_interval_ms:
            self._carry_out(self._prober.ping(self._now, record.member))
