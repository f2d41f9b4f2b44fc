"""What this node holds of the other members: statements joined, suspicions ended, changes noted.

Of two statements about a member the one with the higher incarnation counts; of the same incarnation
both do, and the order in which they come makes no difference (member_status.py has the table). An
own failed probe is a statement like any other, made here.

A suspicion runs on every member that hears of it. When its time is up (suspicion.py), all bury the
accused if enough accuse it; otherwise those call it unreachable whose own probe failed, and the
others have to probe it, which the caller is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lsmkv_cluster.operations import Operation
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Now, StatusChanged
from lsmkv_cluster.swim.gossip_messages import (
    ACCUSERS_MAX,
    STATEMENT,
    Statement,
    Vitals,
    encode_statement,
    member_of_statement,
)
from lsmkv_cluster.swim.member_status import TRANSITIONS, Event, Status
from lsmkv_cluster.swim.peer_clocks import ClockOffset, OwnClock, heard, moved
from lsmkv_cluster.swim.suspicion import Timeouts, Verdict, confirmations_needed, judge, timeout_ms

__all__ = ["MemberTable", "Record"]

_EVENT_OF = {Status.SUSPECT: Event.ACCUSED, Status.DEAD: Event.BURIED, Status.LEFT: Event.DEPARTED}
DOUBT_MIN_MS = 5_000  # between two doubts about a clock: some messages are slow for long
_SUSPECTED = (Status.SUSPECT, Status.UNREACHABLE)
_GONE = (Status.DEAD, Status.LEFT)


class Record:
    """One other member. Taken for alive in incarnation 0 until somebody says more."""

    __slots__ = (
        "accusers",
        "clock",
        "deadline_ms",
        "doubted_ms",
        "has_expired",
        "heard_ms",
        "incarnation",
        "member",
        "own_probe_failed",
        "sequence_highest",
        "status",
        "suspected_ms",
        "told_ms",
        "vitals",
        "wording",
    )

    def __init__(self, member: MemberId) -> None:
        self.member = member
        self.status = Status.ALIVE
        self.incarnation = 0
        self.accusers: tuple[MemberId, ...] = ()  # ascending
        self.own_probe_failed = False  # in this incarnation, and nothing was heard since
        self.suspected_ms = 0
        self.has_expired = False  # the suspicion's time is up
        self.deadline_ms: int | None = None  # of the suspicion
        self.vitals: Vitals | None = None
        self.sequence_highest = 0  # of all its runs: a stale disk says less
        self.heard_ms: int | None = None
        self.told_ms: int | None = None  # when it was last told what it is taken for
        self.clock: ClockOffset | None = None
        self.doubted_ms: int | None = None  # when that was last found doubtful
        self.wording: Operation | None = None  # the statement about it, until something changes

    @property
    def confirmations(self) -> int:
        """How many accuse it beside the first one."""
        return max(0, len(self.accusers) - 1)

    @property
    def is_accused(self) -> bool:
        """Taken for something that it should hear of and can refute."""
        return self.status not in (Status.ALIVE, Status.LEFT)

    def statement(self) -> Statement | None:
        """What others are told; nothing of a member that nobody has heard yet."""
        if self.status in (Status.ALIVE, Status.LEFT):
            if self.vitals is None:
                return None
            return Statement(self.status, self.member, self.incarnation, self.vitals)
        told = Status.DEAD if self.status is Status.DEAD else Status.SUSPECT
        return Statement(told, self.member, self.incarnation, None, self.accusers)

    def news(self) -> Operation:
        """The same as an operation. REQUIRES: there is something to tell."""
        if self.wording is None:
            statement = self.statement()
            assert statement is not None
            self.wording = Operation(STATEMENT, encode_statement(statement))
        return self.wording

    def take_vitals(self, vitals: Vitals, is_raised: bool) -> None:
        """Unless they are older than what is known of this incarnation."""
        known = self.vitals
        if (
            is_raised
            or known is None
            or (vitals.sequence, vitals.wall_ms) >= (known.sequence, known.wall_ms)
        ):
            self.vitals = vitals
        self.sequence_highest = max(self.sequence_highest, vitals.sequence)


class MemberTable:
    """The records of all others. Methods that join something say whether it was news."""

    __slots__ = (
        "_befores",
        "_bounds",
        "_due_ms",
        "_is_due_stale",
        "_lifeguard",
        "_me",
        "_own_clock",
        "_suspects",
        "dead",
        "live_count",
        "records",
    )

    def __init__(
        self, me: MemberId, others: Sequence[MemberId], bounds: Timeouts, lifeguard: bool
    ) -> None:
        self._me = me
        self.records = {member: Record(member) for member in others}
        self.live_count = len(others) + 1  # neither dead nor gone, this node included
        self.dead: dict[MemberId, None] = {}
        self._suspects: dict[MemberId, Record] = {}
        self._befores: dict[MemberId, Status] = {}
        self._bounds = bounds
        self._own_clock = OwnClock()
        self._due_ms: int | None = None  # the earliest end of a suspicion
        self._is_due_stale = False  # and it has to be looked for again
        self._lifeguard = lifeguard

    def follow(self, others: Sequence[MemberId], bounds: Timeouts) -> None:
        """These are the others now. Accusations by those who are gone do not count, but the last
        of a suspicion stays: when its time is up, own probes decide."""
        kept = {*others, self._me}
        self.records = {member: self.records.get(member) or Record(member) for member in others}
        self.dead = {member: None for member in self.dead if member in kept}
        self._befores = {member: was for member, was in self._befores.items() if member in kept}
        self._suspects = {
            member: self.records[member] for member in self._suspects if member in kept
        }
        self.live_count = 1 + sum(record.status not in _GONE for record in self.records.values())
        self._bounds = bounds
        self._is_due_stale = True
        for record in self._suspects.values():
            left = tuple(accuser for accuser in record.accusers if accuser in kept)
            if left and left != record.accusers:
                record.accusers = left
                record.wording = None
            self._set_deadline(record)

    def is_told(self, payload: bytes) -> bool:
        """Whether this statement is word for word what this node says itself, as most gossip is:
        it need not be decoded."""
        record = self.records.get(member_of_statement(payload))
        return (
            record is not None
            and record.wording is not None
            and (record.wording.payload == payload)
        )

    def learn(self, now_ms: int, record: Record, said: Statement) -> bool:
        """Join what somebody says of the member of this record."""
        accusers = self._accusers_in(said)
        if said.incarnation < record.incarnation or (
            said.status is Status.SUSPECT and not accusers
        ):
            return False
        is_raised = said.incarnation > record.incarnation
        if is_raised:
            self._raise(now_ms, record, said.incarnation)
        if said.vitals is not None:
            record.take_vitals(said.vitals, is_raised)
        if said.status is Status.ALIVE:
            return is_raised
        before = record.status
        is_more = self._add_accusers(record, accusers)
        self._apply(now_ms, record, _EVENT_OF[said.status])
        return is_raised or is_more or record.status is not before

    def accuse(self, now_ms: int, record: Record) -> bool:
        """Our own probe of it failed."""
        record.own_probe_failed = True
        before = record.status
        is_more = self._add_accusers(record, (self._me,))
        self._apply(now_ms, record, Event.ACCUSED)
        if record.has_expired and record.status is Status.SUSPECT:
            self._apply(now_ms, record, Event.EXPIRED)
            return is_more
        return is_more or record.status is not before

    def hear(self, now_ms: int, record: Record) -> None:
        """It has just spoken: what it is taken for by others stays, what only we found does not."""
        record.heard_ms = now_ms
        record.own_probe_failed = False
        if record.status is Status.UNREACHABLE:
            self._begin_suspicion(now_ms, record)
            self._apply(now_ms, record, Event.HEARD)

    def end_suspicions(self, now_ms: int) -> tuple[list[Record], list[Record]]:
        """Those whose time is up: who was buried, and whom we have to probe ourselves."""
        buried: list[Record] = []
        to_probe: list[Record] = []
        needed = confirmations_needed(self.live_count)
        for record in list(self._suspects.values()):
            if record.deadline_ms is None or now_ms < record.deadline_ms:
                continue
            waited_ms = now_ms - record.suspected_ms
            verdict = judge(self._bounds, waited_ms, record.confirmations, needed)
            if verdict is Verdict.CONFIRMED or not self._lifeguard:
                self._apply(now_ms, record, Event.CONFIRMED)
                record.wording = None
                buried.append(record)
                continue
            record.has_expired = True
            self._set_deadline(record)
            if record.own_probe_failed:
                self._apply(now_ms, record, Event.EXPIRED)
            else:
                to_probe.append(record)
        return buried, to_probe

    def next_deadline(self) -> int | None:
        if self._is_due_stale:
            self._is_due_stale = False
            deadlines = [record.deadline_ms for record in self._suspects.values()]
            found = [due_ms for due_ms in deadlines if due_ms is not None]
            self._due_ms = min(found, default=None)
        return self._due_ms

    def postpone(self, time_ms: int) -> None:
        """Time in which this node could not hear anybody counts against nobody."""
        for record in self._suspects.values():
            record.suspected_ms += time_ms
            self._set_deadline(record)

    def statements(self) -> Iterator[Statement]:
        for record in self.records.values():
            statement = record.statement()
            if statement is not None:
                yield statement

    # --- clocks

    def follow_own_clock(self, now: Now) -> list[MemberId]:
        """Whom to tell that the own clock has been set; nobody as long as it has not."""
        moved_ms = self._own_clock.moved_ms(now)
        if not moved_ms:
            return []
        for record in self.records.values():
            if record.clock is not None:
                record.clock = moved(record.clock, moved_ms)
        return [member for member, record in self.records.items() if record.status not in _GONE]

    def hear_clock(self, now: Now, member: MemberId, wall_ms: int) -> bool:
        """A message has said what time it is there; whether that is to be asked."""
        record = self.records.get(member)
        if record is None or record.clock is None:
            return False
        known = heard(record.clock, wall_ms, now)
        if known is not None:
            record.clock = known
            return False
        is_asked = record.doubted_ms is not None and now.ms - record.doubted_ms < DOUBT_MIN_MS
        if not is_asked:
            record.doubted_ms = now.ms
        return not is_asked

    def take_changes(self) -> list[StatusChanged]:
        """What members are taken for now and were not when this was last asked."""
        if not self._befores:
            return []
        changes = [
            StatusChanged(member, before, self.records[member].status)
            for member, before in self._befores.items()
            if self.records[member].status is not before
        ]
        self._befores.clear()
        return changes

    def _accusers_in(self, said: Statement) -> list[MemberId]:
        """Members other than the accused: an accusation by nobody else is none."""
        return [
            accuser
            for accuser in said.accusers
            if accuser != said.member and (accuser in self.records or accuser == self._me)
        ]

    def _raise(self, now_ms: int, record: Record, incarnation: int) -> None:
        record.incarnation = incarnation
        record.accusers = ()
        record.own_probe_failed = False
        record.wording = None
        self._apply(now_ms, record, Event.RAISED)

    def _add_accusers(self, record: Record, accusers: Sequence[MemberId]) -> bool:
        """Up to three: which ones, when there are more, makes no difference."""
        if record.status in _GONE:
            return False
        room = ACCUSERS_MAX - len(record.accusers)
        new = [accuser for accuser in accusers if accuser not in record.accusers][:room]
        if not new:
            return False
        record.accusers = tuple(sorted([*record.accusers, *new]))
        record.wording = None
        if record.status in _SUSPECTED:
            self._set_deadline(record)
        return True

    def _apply(self, now_ms: int, record: Record, event: Event) -> None:
        before = record.status
        after = TRANSITIONS[before, event]
        if after is before:
            return
        record.status = after
        record.wording = None
        self._befores.setdefault(record.member, before)
        if after in _SUSPECTED and before not in _SUSPECTED:
            self._begin_suspicion(now_ms, record)
        elif before in _SUSPECTED and after not in _SUSPECTED:
            del self._suspects[record.member]
            self._is_due_stale = True
        if after is Status.DEAD:
            self.dead[record.member] = None
        elif before is Status.DEAD:
            del self.dead[record.member]
        if (after in _GONE) != (before in _GONE):
            self.live_count += 1 if before in _GONE else -1
            for suspect in self._suspects.values():
                self._set_deadline(suspect)

    def _begin_suspicion(self, now_ms: int, record: Record) -> None:
        record.suspected_ms = now_ms
        record.has_expired = False
        self._suspects[record.member] = record
        self._set_deadline(record)

    def _set_deadline(self, record: Record) -> None:
        self._is_due_stale = True
        confirmations = record.confirmations
        needed = confirmations_needed(self.live_count)
        if record.has_expired and not 0 < needed <= confirmations:
            record.deadline_ms = None  # nothing more comes of it by itself
        else:
            wait_ms = timeout_ms(self._bounds, confirmations, needed)
            record.deadline_ms = record.suspected_ms + wait_ms
