"""What is given in the world of a model: members, documents, calls, and rules switched off.

`a`, `b` and `c` own the one partition, `d` is a member without a copy. `c` leaves, so `d` comes in
its place; the documents of that are made by the product, from its change to the last phase:

    1 settled at a b c    2 FILLING    3 SWITCHED    4 settled at a b d
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.placement.keyspaces import Keyspace, Mode
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.placement.topology_format import successor
from lsmkv_cluster.reconfiguration.paxos_messages import MemberReport
from lsmkv_cluster.reconfiguration.topology_changes import Following, Leave, follow
from lsmkv_cluster.reconfiguration.transition_rules import advance
from tests.support.members import make_member, member_id

__all__ = ["IDS", "KEY", "NAMES", "Broken", "Call", "Setting"]

KEY = b"k"
NAMES = ("a", "b", "c", "d")
IDS = tuple(member_id(name) for name in NAMES)


@dataclass(frozen=True)
class Call:
    """One request of a client, made once. `after`: only when that call is done, with the context of
    its answer. `at`: the nodes that it may be made of."""

    verb: Verb
    value: bytes = b""
    after: int | None = None
    at: str = "abcd"

    @property
    def text(self) -> str:
        what = f"{self.verb.name} {self.value.decode()}".strip()
        return what if self.after is None else f"{what} with the context of call {self.after}"


@dataclass(frozen=True)
class Broken:
    """Rules that can be switched off, one at a time, to see that somebody looks."""

    takes_old_epochs: bool = False  # replicas take what was sent for another place
    exchanges_in_old_epochs: bool = False  # a copy is filled from who does not know that it moves
    fills_from_one: bool = False  # a copy that has met one owner is whole
    is_whole_at_once: bool = False  # a coming copy is taken for whole before it has met anybody
    switches_at_once: bool = False  # nobody waits until coming copies are filled
    settles_at_once: bool = False  # nobody waits until the old owners know of the switch
    forgets_copies: bool = False  # those who go do not hand over first
    needs_one_row: bool = False  # a write needs enough of those who are read, no others
    keeps_epoch: bool = False  # after a crash keys count on from the epochs before it
    acknowledges_unsynced: bool = False  # a strict write counts before it is synced


@dataclass(frozen=True)
class Setting:
    """`is_eager`: an answer that a record was merged is heard at once."""

    calls: tuple[Call, ...]
    mode: Mode = Mode.STRICT
    moves: bool = True
    crashes: int = 0
    is_eager: bool = True
    broken: Broken = field(default_factory=Broken)

    @cached_property
    def documents(self) -> tuple[Topology, ...]:
        """By epoch, the first at 0."""
        first = self._first()
        if not self.moves:
            return (first,)
        left = follow(first, Leave(IDS[2]))
        assert isinstance(left, Following)
        documents = [first, left.document]
        while documents[-1].transitions:
            epoch = documents[-1].epoch
            everything = {id: MemberReport(epoch, (0,), (0,)) for id in IDS}
            fields = advance(documents[-1], everything)
            assert fields is not None
            documents.append(successor(documents[-1], **fields))
        assert [set(document.keepers(0)) for document in documents] == [
            set(IDS[:3]),
            set(IDS),
            set(IDS),
            {IDS[0], IDS[1], IDS[3]},
        ]
        return tuple(documents)

    def _first(self) -> Topology:
        members = [make_member(name) for name in NAMES]
        return Topology(
            cluster_id=member_id("cluster"),
            epoch=1,
            parent=bytes(32),
            feature_level=1,
            key_seed=7,
            data_centres=(DataCentre("east", 3),),
            members=tuple(sorted(members, key=lambda member: member.id)),
            keyspaces=(Keyspace(mode=self.mode),),
            owners=(IDS[:3],),
        )

    def request(self, op: int, context: bytes) -> ClientRequest:
        call = self.calls[op]
        return ClientRequest(call.verb, KEY, (call.value,) if call.value else (), context)

    def index(self, id: MemberId) -> int:
        return IDS.index(id)
