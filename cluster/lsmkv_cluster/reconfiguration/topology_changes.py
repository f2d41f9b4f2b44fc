"""What operators may change of a topology, and what the next document says then. Pure.

    change         the next document                              refused
    AddMember      a member without partitions: JOINED, the next  another member has its id
                   plan takes it in, or STAGED until CommitStaged
    CommitStaged   all that are staged serve; planned anew
    Leave          it is to give up what it has; planned anew     it has been removed
    Remove         nobody listens to it any more: it is dead,     nobody else has a copy of a
                   for good; planned anew                         partition (unless forced)
    Reweigh        another share; planned anew                    it is going
    Readdress      it announces itself at other addresses         it has been removed
    SetReplicas    copies in the data centres named; others stay  while a partition is SWITCHED
                   as they are; planned anew
    SetKeyspaces   all of them                                    while a partition moves

Planned anew means: the planner's table for the members as they are now becomes the target. Settled
partitions that it places elsewhere begin to fill; those that fill get another target, or none;
those that are switched stay as they are this time, and are looked at when all are settled
(transition_rules.py). What would leave a partition without owners is refused.

What is so already is Unchanged, which an operator who asks twice wants to hear.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.placement.keyspaces import Keyspace
from lsmkv_cluster.placement.members import Address, Member, MemberId, MemberState
from lsmkv_cluster.placement.owners import Owners, Phase, Transition
from lsmkv_cluster.placement.planner import plan
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.placement.topology_format import encode_topology, forced, successor
from lsmkv_cluster.reconfiguration.paxos_messages import DOCUMENT_SIZE_MAX

__all__ = [
    "AddMember",
    "Change",
    "CommitStaged",
    "Fields",
    "Following",
    "Leave",
    "Planned",
    "Readdress",
    "Refused",
    "Remove",
    "Reweigh",
    "SetKeyspaces",
    "SetReplicas",
    "Unchanged",
    "follow",
    "plan_moves",
    "serving",
    "targets_of",
    "without_empty_centres",
]

Fields = dict[str, Any]  # of the next document, by name, that are others than before
_GOING = (MemberState.LEAVING, MemberState.REMOVED)


# --- changes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddMember:
    member: Member  # its state does not matter
    is_staged: bool = False


@dataclass(frozen=True, slots=True)
class CommitStaged:
    pass


@dataclass(frozen=True, slots=True)
class Leave:
    member: MemberId


@dataclass(frozen=True, slots=True)
class Remove:
    member: MemberId


@dataclass(frozen=True, slots=True)
class Reweigh:
    member: MemberId
    weight: int


@dataclass(frozen=True, slots=True)
class Readdress:
    """Where a member is to be found from now on."""

    member: MemberId
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class SetReplicas:
    """`replicas`: (data centre, copies). With no copies and no member it ceases to be listed."""

    replicas: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SetKeyspaces:
    keyspaces: tuple[Keyspace, ...]


Change = (
    AddMember | CommitStaged | Leave | Remove | Reweigh | Readdress | SetReplicas | SetKeyspaces
)


# --- what becomes of them ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refused:
    why: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """It is so already."""

    text: str


@dataclass(frozen=True, slots=True)
class Following:
    """`document` is the next one; `text` says what it does, for people."""

    document: Topology
    text: str


@dataclass(frozen=True, slots=True)
class _Draft:
    """`notes` are sentences for people."""

    fields: Fields
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    fields: Fields
    notes: tuple[str, ...]


def follow(
    document: Topology, change: Change, *, is_forced: bool = False
) -> Following | Refused | Unchanged:
    """The document after this change; `is_forced`: of another generation."""
    try:
        step = _step(document, change)
        if not isinstance(step, _Draft):
            return step
        fields, notes = step.fields, step.notes
        if isinstance(change, CommitStaged | Leave | Remove | Reweigh | SetReplicas):
            planned = plan_moves(document, fields)
            if isinstance(planned, Refused):
                return planned
            fields, notes = planned.fields, notes + planned.notes
        if isinstance(change, Remove):
            losses = _losses(document, fields["members"])
            if losses.everything and not is_forced:
                return Refused(f"nobody else has a copy of {_partitions(losses.everything)}")
            notes = losses.notes + notes
        following = _forced(document, fields) if is_forced else successor(document, **fields)
    except TopologyError as error:
        return Refused(str(error))
    if len(encode_topology(following)) > DOCUMENT_SIZE_MAX:
        return Refused(f"a document of more than {DOCUMENT_SIZE_MAX} bytes")
    return Following(following, "; ".join(notes))


def _forced(document: Topology, fields: Fields) -> Topology:
    """Nothing that was sent under another document counts any more: those who sent it may have
    agreed on one that is not known here."""
    following = forced(document, **fields)
    return replace(following, placed=(following.epoch,) * len(following.owners))


# --- changes, one by one


def _step(document: Topology, change: Change) -> _Draft | Refused | Unchanged:
    match change:
        case AddMember():
            return _add(document, change)
        case CommitStaged():
            return _commit(document)
        case Leave():
            return _leave(document, change)
        case Remove():
            return _remove(document, change)
        case Reweigh():
            return _reweigh(document, change)
        case Readdress():
            return _readdress(document, change)
        case SetReplicas():
            return _set_replicas(document, change)
        case SetKeyspaces():
            return _set_keyspaces(document, change)


def _add(document: Topology, change: AddMember) -> _Draft | Refused | Unchanged:
    state = MemberState.STAGED if change.is_staged else MemberState.JOINED
    member = replace(change.member, state=state)
    known = document.members_by_id.get(member.id)
    if known is not None:
        if known.state is not MemberState.REMOVED and replace(known, state=state) == member:
            return Unchanged(f"{known.name} is a member")
        return Refused(f"{known.name} has this id, or had it: another one must be drawn")
    fields: Fields = {"members": _by_id([*document.members, member])}
    if member.dc not in document.replicas:
        fields["data_centres"] = _centres({**document.replicas, member.dc: 0})
    return _Draft(fields, (f"{member.name} is {state.name.lower()}",))


def _commit(document: Topology) -> _Draft | Unchanged:
    staged = [member for member in document.members if member.state is MemberState.STAGED]
    if not staged:
        return Unchanged("nobody is staged")
    return _Draft({"members": serving(document, MemberState.STAGED)})


def _leave(document: Topology, change: Leave) -> _Draft | Refused | Unchanged:
    member = document.members_by_id.get(change.member)
    if member is None:
        return Unchanged(f"{change.member.hex()} is no member")
    if member.state is MemberState.LEAVING:
        return Unchanged(f"{member.name} is leaving")
    if member.state is MemberState.REMOVED:
        return Refused(f"{member.name} has been removed")
    return _with(document, replace(member, state=MemberState.LEAVING))


def _remove(document: Topology, change: Remove) -> _Draft | Refused | Unchanged:
    member = document.members_by_id.get(change.member)
    if member is None:
        return Unchanged(f"{change.member.hex()} is no member")
    if member.state is MemberState.REMOVED:
        return Unchanged(f"{member.name} has been removed")
    if document.voters == {member.id}:
        return Refused(f"{member.name} is the last member")
    return _with(document, replace(member, state=MemberState.REMOVED))


def _reweigh(document: Topology, change: Reweigh) -> _Draft | Refused | Unchanged:
    member = document.members_by_id.get(change.member)
    if member is None or member.state in _GOING:
        return Refused(f"{member.name if member else change.member.hex()} gets no share")
    if member.weight == change.weight:
        return Unchanged(f"{member.name} has this weight")
    return _with(document, replace(member, weight=change.weight))


def _readdress(document: Topology, change: Readdress) -> _Draft | Refused | Unchanged:
    member = document.members_by_id.get(change.member)
    if member is None or member.state is MemberState.REMOVED:
        return Refused(f"{member.name if member else change.member.hex()} is no member")
    if member.addresses == change.addresses:
        return Unchanged(f"{member.name} is found there")
    return _with(document, replace(member, addresses=change.addresses))


def _set_replicas(document: Topology, change: SetReplicas) -> _Draft | Refused | Unchanged:
    if any(move.phase is Phase.SWITCHED for move in document.transitions):
        return Refused("partitions are being switched: this can be asked for again when they are")
    replicas = {**document.replicas, **dict(change.replicas)}
    centres = without_empty_centres(document.members, _centres(replicas))
    if centres == document.data_centres:
        return Unchanged("so many copies are wanted")
    return _Draft({"data_centres": centres})


def _set_keyspaces(document: Topology, change: SetKeyspaces) -> _Draft | Refused | Unchanged:
    keyspaces = tuple(sorted(change.keyspaces, key=lambda keyspace: keyspace.prefix))
    if keyspaces == document.keyspaces:
        return Unchanged("the keyspaces are these")
    if document.transitions:
        return Refused("partitions are moving: what they wait for depends on the keyspaces")
    return _Draft({"keyspaces": keyspaces})


# --- plans


def targets_of(document: Topology) -> Owners:
    """The table that the document is on the way to."""
    moves = document.transitions_by_partition
    return tuple(
        moves[p].row if p in moves and moves[p].phase is Phase.FILLING else row
        for p, row in enumerate(document.owners)
    )


def plan_moves(document: Topology, changes: Fields) -> Planned | Refused:
    """`changes` and what else changes when everything is placed anew after them."""
    members: Sequence[Member] = changes.get("members", document.members)
    centres: Sequence[DataCentre] = changes.get("data_centres", document.data_centres)
    targets = targets_of(document)
    planned = plan(targets, members, {centre.name: centre.replicas for centre in centres})
    orphans = [p for p, row in enumerate(planned.owners) if targets[p] and not row]
    if orphans:
        return Refused(f"nobody would keep {_partitions(orphans)}")
    owners, transitions = list(document.owners), []
    for partition, target in enumerate(planned.owners):
        move = document.transitions_by_partition.get(partition)
        if move is not None and move.phase is Phase.SWITCHED:
            transitions.append(move)
        elif set(target) == set(owners[partition]):
            owners[partition] = target
        else:
            transitions.append(Transition(partition, Phase.FILLING, target))
    notes = tuple(str(relaxed) for relaxed in planned.relaxed)
    if planned.moves:
        moved = f"{len(planned.moves)} partitions move, {planned.copies_made} copies are made"
        notes = (moved, *notes)
    fields = {**changes, "owners": tuple(owners), "transitions": tuple(transitions)}
    return Planned(fields, notes)


@dataclass(frozen=True, slots=True)
class _Losses:
    """Partitions of which the removed had all copies, and most."""

    everything: list[int]
    most: list[int]

    @property
    def notes(self) -> tuple[str, ...]:
        found = []
        if self.everything:
            found.append(f"{_partitions(self.everything)} are empty from now on")
        if self.most:
            what = f"most owners of {_partitions(self.most)} are removed"
            found.append(f"{what}: writes that only they had are lost")
        return tuple(found)


def _losses(document: Topology, members: Sequence[Member]) -> _Losses:
    gone = {member.id for member in members if member.state is MemberState.REMOVED}
    everything, most = [], []
    for partition, row in enumerate(document.owners):
        move = document.transitions_by_partition.get(partition)
        is_switched = move is not None and move.phase is Phase.SWITCHED
        holders = document.keepers(partition) if is_switched else row
        if row and gone.issuperset(holders):
            everything.append(partition)
        elif len(gone.intersection(row)) > len(row) // 2:
            most.append(partition)
    return _Losses(everything, most)


# --- small things


def serving(document: Topology, waiting: MemberState) -> tuple[Member, ...]:
    """The members, with those that wait taken in."""
    return tuple(
        replace(member, state=MemberState.SERVING) if member.state is waiting else member
        for member in document.members
    )


def without_empty_centres(
    members: Iterable[Member], centres: Iterable[DataCentre]
) -> tuple[DataCentre, ...]:
    inhabited = {member.dc for member in members}
    return tuple(centre for centre in centres if centre.replicas or centre.name in inhabited)


def _centres(replicas: dict[str, int]) -> tuple[DataCentre, ...]:
    return tuple(DataCentre(name, copies) for name, copies in sorted(replicas.items()))


def _by_id(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda member: member.id))


def _with(document: Topology, changed: Member) -> _Draft:
    others = [member for member in document.members if member.id != changed.id]
    return _Draft({"members": _by_id([*others, changed])})


def _partitions(partitions: Sequence[int]) -> str:
    first = f"partition {partitions[0]}"
    return first if len(partitions) == 1 else f"{first} and {len(partitions) - 1} others"
