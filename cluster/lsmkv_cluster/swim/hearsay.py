"""What others say of members: joined with what is known, and passed on if it is news.

What is said of who is no member is ignored. What wrongs this node is refuted: it raises its
incarnation and says so.
"""

from __future__ import annotations

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Alarm, Now
from lsmkv_cluster.swim.gossip import Gossip
from lsmkv_cluster.swim.gossip_messages import OwnState, Statement, decode_exchange
from lsmkv_cluster.swim.local_health import LocalHealth
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.member_table import MemberTable
from lsmkv_cluster.swim.own_state import SelfDescription
from lsmkv_cluster.swim.peers import Peers

__all__ = ["Hearsay"]


class Hearsay:
    """Times are those of the call under way."""

    __slots__ = ("_alarms", "_gossip", "_has_warned", "_health", "_peers", "_self", "_table")

    def __init__(
        self,
        own: SelfDescription,
        table: MemberTable,
        gossip: Gossip,
        health: LocalHealth,
        peers: Peers,
    ) -> None:
        self._self = own
        self._table = table
        self._gossip = gossip
        self._health = health
        self._peers = peers
        self._has_warned = False
        self._alarms: list[Alarm] = []

    def take_alarms(self) -> list[Alarm]:
        alarms, self._alarms = self._alarms, []
        return alarms

    def learn_state(self, now: Now, peer: MemberId, state: OwnState) -> None:
        """What a member says of itself, and what time it is there."""
        if self._table.hear_clock(now, peer, state.vitals.wall_ms):
            self._peers.hurry(peer)
        self.learn(now.ms, Statement(Status.ALIVE, peer, state.incarnation, state.vitals))

    def learn_rows(self, now_ms: int, payload: bytes) -> None:
        """Of what a table says only a change of status is passed on: the rest was, when it was new,
        and a member that starts learns of everybody from a table. Malformed for what is none."""
        for said in decode_exchange(payload):
            record = self._table.records.get(said.member)
            before = None if record is None else record.status
            self.learn(now_ms, said, before)

    def learn(self, now_ms: int, said: Statement, spread_unless: Status | None = None) -> None:
        if said.member == self._self.me:
            self._defend(now_ms, said)
            return
        record = self._table.records.get(said.member)
        if record is None:
            return
        if self._table.learn(now_ms, record, said) and record.status is not spread_unless:
            self._gossip.spread(now_ms, said.member)

    def _defend(self, now_ms: int, said: Statement) -> None:
        if not self._self.is_wronged_by(said):
            return
        if said.status is Status.ALIVE and not self._has_warned:
            self._has_warned = True
            there, here = said.incarnation, self._self.incarnation
            why = "its files are an old copy, or run twice"
            self._alarms.append(Alarm(f"this member is in incarnation {there}, not {here}: {why}"))
        self._self.raise_above(said.incarnation)
        self._health.note(1)
        self._gossip.spread(now_ms, self._self.me)
