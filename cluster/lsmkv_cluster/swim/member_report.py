"""What one node can tell people about a member."""

from __future__ import annotations

from dataclasses import dataclass

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Now
from lsmkv_cluster.swim.gossip_messages import Vitals
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.member_table import Record
from lsmkv_cluster.swim.own_state import SelfDescription
from lsmkv_cluster.swim.peer_clocks import ClockOffset

__all__ = ["MemberReport", "own_report", "report_of"]


@dataclass(frozen=True, slots=True)
class MemberReport:
    member: MemberId
    status: Status
    incarnation: int
    heartbeat_age_ms: int | None  # since it last spoke to this node; None: never
    accusers: tuple[MemberId, ...]
    vitals: Vitals | None  # what it last said of itself, its own health among it
    sequence_highest: int  # of all that it ever said
    clock: ClockOffset | None

    @property
    def is_behind_itself(self) -> bool:
        """Its store has a lower sequence than it once had: it runs on an old disk."""
        return self.vitals is not None and self.vitals.sequence < self.sequence_highest


def report_of(record: Record, now_ms: int) -> MemberReport:
    return MemberReport(
        record.member,
        record.status,
        record.incarnation,
        None if record.heard_ms is None else now_ms - record.heard_ms,
        record.accusers,
        record.vitals,
        record.sequence_highest,
        record.clock,
    )


def own_report(own: SelfDescription, now: Now, health_score: int) -> MemberReport:
    return MemberReport(
        own.me,
        own.status,
        own.incarnation,
        heartbeat_age_ms=0,
        accusers=(),
        vitals=own.vitals(now.wall_ms, health_score),
        sequence_highest=own.sequence,
        clock=ClockOffset(0, 0, now.ms),
    )
