"""News on its way out: what goes into the datagrams to whom.

Every datagram is filled up with news. While there is any, a few members get one of their own in
each interval; without news there is silence. Whoever is taken for suspect or dead and is written to
is told so before anything else, because it alone can refute that.
"""

from __future__ import annotations

from lsmkv_cluster.operations import Operation, encoded_size
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Now, SendDatagram
from lsmkv_cluster.swim.dissemination import Dissemination, transmission_limit
from lsmkv_cluster.swim.gossip_messages import STATEMENT, Statement, encode_ping, encode_statement
from lsmkv_cluster.swim.local_health import LocalHealth
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.member_table import MemberTable, Record
from lsmkv_cluster.swim.membership_settings import MembershipSettings
from lsmkv_cluster.swim.own_state import SelfDescription
from lsmkv_cluster.swim.peers import Peers
from lsmkv_cluster.transport.datagram import OPERATIONS_SIZE_MAX

__all__ = ["Gossip"]


class Gossip:
    """The queue of news and the words for it."""

    __slots__ = ("_health", "_peers", "_queue", "_self", "_settings", "_table", "next_ms")

    def __init__(
        self,
        own: SelfDescription,
        table: MemberTable,
        peers: Peers,
        health: LocalHealth,
        settings: MembershipSettings,
    ) -> None:
        self._self = own
        self._table = table
        self._peers = peers
        self._health = health
        self._settings = settings
        self._queue = Dissemination(self._limit)
        self.next_ms = 0  # when there is news

    @property
    def _limit(self) -> int:
        member_count = len(self._table.records) + 1
        return transmission_limit(member_count, self._settings.retransmit_multiplier)

    def follow(self, now_ms: int) -> None:
        """The table has other members now."""
        records, me = self._table.records, self._self.me
        self._queue.follow(self._limit, lambda member: member in records or member == me)
        self.next_ms = max(self.next_ms, now_ms)

    def next_deadline(self) -> int | None:
        return self.next_ms if self._queue else None

    def spread(self, now_ms: int, member: MemberId) -> None:
        """There is news about this member, or this node."""
        if not self._queue:
            self.next_ms = max(self.next_ms, now_ms)
        self._queue.add(member)

    def tick(self, now: Now) -> list[SendDatagram]:
        if not self._queue or now.ms < self.next_ms:
            return []
        return self.round(now)

    def round(self, now: Now) -> list[SendDatagram]:
        """Whether it is time or not."""
        self.next_ms = now.ms + self._settings.gossip_interval_ms
        records = self._table.records
        receivers = self._peers.pick(
            self._settings.gossip_fanout,
            lambda member: records[member].status not in (Status.DEAD, Status.LEFT),
        )
        return [datagram for to in receivers for datagram in self.datagram(now, to, [])]

    def datagram(self, now: Now, to: MemberId, operations: list[Operation]) -> list[SendDatagram]:
        """The one with these operations, or none when there is nothing to say."""
        record = self._table.records[to]
        if self.is_to_be_told(record):
            operations.append(record.news())
            record.told_ms = now.ms
        operations += self._queue.take(
            OPERATIONS_SIZE_MAX - encoded_size(operations),
            lambda member: self._news_of(now, member),
        )
        return [SendDatagram(to, tuple(operations))] if operations else []

    def is_to_be_told(self, record: Record) -> bool:
        """Plain SWIM leaves the suspect to hear it by chance."""
        if self._settings.lifeguard:
            return record.is_accused
        return record.status is Status.DEAD

    def own_statement(self, now: Now) -> Statement:
        return self._self.statement(now.wall_ms, self._health.score)

    def own_state(self, number: int, now: Now) -> bytes:
        """The payload of a ping or an ack."""
        return encode_ping(self._self.state(number, now.wall_ms, self._health.score))

    def _news_of(self, now: Now, member: MemberId) -> Operation:
        record = self._table.records.get(member)
        if record is not None:
            return record.news()
        return Operation(STATEMENT, encode_statement(self.own_statement(now)))
