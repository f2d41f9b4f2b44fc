"""Histories of one partition that moves: writes, reads, fills and documents in random order.

Every member works by some document of the chain and may be far behind. A request carries the epoch
of its coordinator's document and reaches one replica after the other, with anything in between; a
replica carries it out by the rule of epochs alone (`_serves`). What a read returns must hold
whatever was acknowledged before it began: `read_count` reads were answered and none of them was
stale, or StaleRead is raised. The rules under test decide when copies are filled and which document
comes next; an operator gives other targets, gives moves up and removes a member at any time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random

from lsmkv_cluster.coordination.quorum import always_meet, is_met, is_strict, need
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from lsmkv_cluster.placement.members import Member, MemberId, MemberState
from lsmkv_cluster.placement.owners import Phase, Transition
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.placement.topology_format import successor
from lsmkv_cluster.reconfiguration import transition_rules as rules
from lsmkv_cluster.reconfiguration.paxos_messages import MemberReport
from tests.support.members import make_member, member_id

__all__ = ["MoveHistory", "StaleRead"]

REQUESTS_MAX = 6  # under way
QUORUM = Consistency(Level.QUORUM)
LEVELS = [Consistency(level) for level in Level if level is not Level.COUNT]
LEVELS += [Consistency(Level.COUNT, count) for count in (1, 2, 3, 4)]


class StaleRead(Exception):
    pass


@dataclass
class Replica:
    """`document` is the index of the one it works by; the rest is about its copy in that place."""

    document: int = 0
    held: set[int] = field(default_factory=set)
    met: set[MemberId] = field(default_factory=set)
    is_confirmed: bool = False
    has_handed_over: bool = False


@dataclass
class Request:
    """`write` is the number of what is written; of a read None, and `must_see` what it has to
    return."""

    coordinator: MemberId
    document: int
    level: Consistency
    write: int | None
    must_see: frozenset[int]
    waiting: list[MemberId]
    answered: set[MemberId] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)


class MoveHistory:
    """`keeps_confirmations` and `is_fenced` are switched off to see that they are needed."""

    def __init__(self, seed: int, *, is_fenced: bool = True, forgets: bool = True) -> None:
        self.rng = Random(seed)
        self.is_fenced = is_fenced
        self.forgets = forgets
        self.documents = [self._first()]
        self.replicas = {member.id: Replica() for member in self.newest.members}
        self.requests: list[Request] = []
        self.acknowledged: dict[Consistency, set[int]] = {}
        self.write_count = self.read_count = self.settled_count = 0
        self.removed: MemberId | None = None

    @property
    def newest(self) -> Topology:
        return self.documents[-1]

    def _first(self) -> Topology:
        """Members of weight 0: the planner leaves them alone, targets are drawn."""
        centres = ("east", "west")[: self.rng.randrange(1, 3)]
        members = [
            make_member(f"{dc}{n}", dc=dc, rack=dc, weight=0)
            for dc in centres
            for n in range(self.rng.randrange(3, 7))
        ]
        members.sort(key=lambda member: member.id)
        row = self._row(members)
        keyspaces = [Keyspace()]
        write = self.rng.choice(LEVELS)
        owners = {dc: tuple(m.id for m in members if m.id in row and m.dc == dc) for dc in centres}
        owners = {dc: local for dc, local in owners.items() if local}
        read = self.rng.choice(LEVELS)
        if is_strict(read, write, owners):
            keyspaces.append(Keyspace(b"s", read, write, Mode.STRICT))
        return Topology(
            cluster_id=member_id("cluster"),
            epoch=1,
            parent=bytes(32),
            feature_level=1,
            key_seed=7,
            data_centres=tuple(DataCentre(dc, 15) for dc in centres),
            members=tuple(members),
            keyspaces=tuple(keyspaces),
            owners=(row,),
        )

    def _row(self, members: Iterable[Member]) -> tuple[MemberId, ...]:
        able = [member for member in members if member.votes]
        chosen = self.rng.sample(able, min(len(able), self.rng.choice((1, 1, 2, 3, 3, 3, 5, 6))))
        return tuple(member.id for member in sorted(chosen, key=lambda member: member.dc))

    def _with_one_replaced(self, document: Topology) -> tuple[MemberId, ...]:
        row = document.owners[0]
        others = [m for m in document.members if m.votes and m.id not in row]
        if not others:
            return row
        leaving, coming = self.rng.choice(row), self.rng.choice(others)
        able = {id for id in row if id in document.voters and id != leaving} | {coming.id}
        chosen = [document.members_by_id[id] for id in sorted(able)]
        return tuple(member.id for member in sorted(chosen, key=lambda member: member.dc))

    # --- steps

    def run(self, step_count: int) -> None:
        steps = [self._deliver] * 20 + [self._ask] * 5 + [self._fill] * 12 + [self._adopt]
        steps += [self._conduct] * 4 + [self._hand_over] * 4 + [self._operate]
        for _ in range(step_count):
            self.rng.choice(steps)()

    def _anybody(self) -> MemberId:
        return self.rng.choice(sorted(self.replicas))

    def _document_of(self, id: MemberId) -> Topology:
        return self.documents[self.replicas[id].document]

    def _adopt(self) -> None:
        """By itself; a removed member may be cut off, and learn nothing."""
        id = self._anybody()
        newest = len(self.documents) - 1
        if id != self.removed and self.replicas[id].document < newest:
            self._work_by(id, self.rng.randrange(self.replicas[id].document + 1, newest + 1))

    def _work_by(self, id: MemberId, index: int) -> None:
        replica = self.replicas[id]
        before, after = self.documents[replica.document], self.documents[index]
        replica.document = index
        if id not in before.keepers(0) or id not in after.keepers(0):
            replica.held.clear()
        if before.placed != after.placed:
            replica.met.clear()
            replica.has_handed_over = False
            if self.forgets or id not in after.keepers(0):
                replica.is_confirmed = False

    def _serves(self, id: MemberId, index: int, asker: MemberId) -> bool:
        """Whether a replica carries out what comes in a frame of this document's epoch."""
        replica = self.replicas[id]
        if index > replica.document:
            if id == self.removed:
                return False  # who knows the newer document does not talk to it
            self._work_by(id, index)
        own = self._document_of(id)
        if asker not in own.voters or id not in own.voters:
            return False
        if self.is_fenced and self.documents[index].epoch < own.placed[0]:
            return False
        return id in own.keepers(0)

    # --- requests

    def _ask(self) -> None:
        if len(self.requests) >= REQUESTS_MAX:
            self.requests.pop(self.rng.randrange(REQUESTS_MAX))
        id = self._anybody()
        index = self.replicas[id].document
        document = self.documents[index]
        keyspace = self.rng.choice(document.keyspaces)
        if self.rng.random() < 0.5:
            self.write_count += 1
            waiting = list(document.keepers(0))
            self.rng.shuffle(waiting)
            request = Request(id, index, keyspace.write, self.write_count, frozenset(), waiting)
        else:
            owners = _by_centre(document, document.owners[0])
            level = self.rng.choice(LEVELS)
            if keyspace.mode is not Mode.STRICT or not always_meet(level, keyspace.write, owners):
                level = QUORUM if keyspace.mode is not Mode.STRICT else keyspace.read
            if not always_meet(level, keyspace.write, owners):
                return  # refused: these levels promise nothing with such owners
            waiting = list(document.owners[0])
            self.rng.shuffle(waiting)
            must_see = frozenset(self.acknowledged.get(keyspace.write, ()))
            request = Request(id, index, level, None, must_see, waiting)
        self.requests.append(request)

    def _deliver(self) -> None:
        if not self.requests:
            return
        request = self.rng.choice(self.requests)
        if request.waiting and self.rng.random() < 0.95:
            id = request.waiting.pop()
            if self.rng.random() < 0.7 and self._serves(id, request.document, request.coordinator):
                if request.write is not None:
                    self.replicas[id].held.add(request.write)
                else:
                    request.seen |= self.replicas[id].held
                request.answered.add(id)
                self._judge(request)
        if not request.waiting and request in self.requests:
            self.requests.remove(request)

    def _judge(self, request: Request) -> None:
        document = self.documents[request.document]
        dc = document.members_by_id[request.coordinator].dc
        rows = document.written_rows(0) if request.write is not None else document.owners[:1]
        needs = [need(request.level, _by_centre(document, row), dc) for row in rows]
        if not all(is_met(each, request.answered) for each in needs):
            return
        if request.write is not None:
            self.acknowledged.setdefault(request.level, set()).add(request.write)
            return
        self.requests.remove(request)
        self.read_count += 1
        if missed := request.must_see - request.seen:
            raise StaleRead(f"epoch {document.epoch} of {self.newest.epoch}: {missed}")

    # --- copies

    def _fill(self) -> None:
        """One exchange with an old owner; both have what either had."""
        id = self._anybody()
        replica, document = self.replicas[id], self._document_of(id)
        if id not in rules.confirming(document, 0):
            return
        old = document.owners[0]
        replica.met |= {id} & set(old)
        other = self.rng.choice(old)
        if other != id and other in document.voters and self._serves(other, replica.document, id):
            both = replica.held | self.replicas[other].held
            replica.held, self.replicas[other].held = both, set(both)
            replica.met.add(other)
        if rules.is_filled(document, 0, replica.met, lambda _: False):
            replica.is_confirmed = True

    def _hand_over(self) -> None:
        id = self._anybody()
        replica, document = self.replicas[id], self._document_of(id)
        move = document.transitions_by_partition.get(0)
        if move is None or move.phase is not Phase.SWITCHED or id in document.owners[0]:
            return
        if id not in move.row:
            return
        took = 0
        for other in document.owners[0]:
            if self.rng.random() < 0.8 and self._serves(other, replica.document, id):
                self.replicas[other].held |= replica.held
                took += 1
        left = document.voters.intersection(document.owners[0])
        replica.has_handed_over = took > len(left) // 2

    # --- documents

    def _report(self, id: MemberId) -> MemberReport:
        replica, document = self.replicas[id], self._document_of(id)
        filled = (0,) if replica.is_confirmed and id in rules.confirming(document, 0) else ()
        handed_over = (0,) if replica.has_handed_over else ()
        return MemberReport(document.epoch, filled, handed_over)

    def _conduct(self) -> None:
        reports = {
            id: self._report(id)
            for id in self.replicas
            if id != self.removed and self.rng.random() < 0.8
        }
        if (fields := rules.advance(self.newest, reports)) is not None:
            self.documents.append(successor(self.newest, **fields))
            self.settled_count += not self.newest.transitions

    def _operate(self) -> None:
        document = self.newest
        move = document.transitions_by_partition.get(0)
        if move is not None and (move.phase is Phase.SWITCHED or self.rng.random() < 0.8):
            return
        if self.removed is None and self.rng.random() < 0.1 and self._may_remove(document):
            self.removed = self.rng.choice(document.members).id
            members = [
                replace(m, state=MemberState.REMOVED) if m.id == self.removed else m
                for m in document.members
            ]
            moves = document.transitions if move and self.removed not in move.row else ()
            self.documents.append(successor(document, members=tuple(members), transitions=moves))
            return
        row = self._row(document.members)
        if self.rng.random() < 0.5:
            row = self._with_one_replaced(document)
        moves = () if set(row) == set(document.owners[0]) else (Transition(0, Phase.FILLING, row),)
        if moves != document.transitions:
            self.documents.append(successor(document, transitions=moves))

    def _may_remove(self, document: Topology) -> bool:
        """Of few copies, or of strict ones, one more is lost than a promise allows for."""
        if len(document.keyspaces) > 1:
            return False
        return all(len(row) >= 3 for row in document.written_rows(0))


def _by_centre(document: Topology, row: Iterable[MemberId]) -> dict[str, tuple[MemberId, ...]]:
    found: dict[str, tuple[MemberId, ...]] = {}
    for id in row:
        dc = document.members_by_id[id].dc
        found[dc] = (*found.get(dc, ()), id)
    return found
