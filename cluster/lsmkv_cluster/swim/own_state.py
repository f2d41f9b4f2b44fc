"""What this node says of itself to the other members, and when it contradicts them.

Its incarnation begins at the start number << 32, so a run overrules whatever was said about the
runs before it, and rises only here: to refute an accusation, to announce another load, to leave.
"""

from __future__ import annotations

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.swim.gossip_messages import INCARNATION_MAX, OwnState, Statement, Vitals
from lsmkv_cluster.swim.member_status import Status

__all__ = ["SelfDescription"]


class SelfDescription:
    """`start_number` is that of handshake.boot_number. 0 is what members take for granted of those
    whom they have not heard yet."""

    __slots__ = ("has_left", "incarnation", "load", "me", "oldest_hint_ms", "sequence", "start")

    def __init__(self, me: MemberId, start_number: int) -> None:
        if not 0 <= start_number < 1 << 32:
            raise ValueError(f"start number {start_number}")
        self.me = me
        self.start = start_number
        self.incarnation = start_number << 32
        self.load = 0
        self.sequence = 0
        self.oldest_hint_ms = 0
        self.has_left = False

    @property
    def status(self) -> Status:
        return Status.LEFT if self.has_left else Status.ALIVE

    def vitals(self, wall_ms: int, health_score: int) -> Vitals:
        return Vitals(
            self.load, health_score, self.start, self.sequence, self.oldest_hint_ms, wall_ms
        )

    def state(self, number: int, wall_ms: int, health_score: int) -> OwnState:
        return OwnState(number, self.incarnation, self.vitals(wall_ms, health_score))

    def statement(self, wall_ms: int, health_score: int) -> Statement:
        vitals = self.vitals(wall_ms, health_score)
        return Statement(self.status, self.me, self.incarnation, vitals)

    def is_wronged_by(self, said: Statement) -> bool:
        """Whether this has to be refuted. Nothing has to be when this node has left."""
        if self.has_left:
            return False
        if said.status is Status.ALIVE:
            return said.incarnation > self.incarnation  # this run did not say that
        return said.incarnation >= self.incarnation

    def raise_above(self, incarnation: int) -> None:
        self.incarnation = min(INCARNATION_MAX, max(self.incarnation, incarnation) + 1)
