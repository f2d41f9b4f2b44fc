"""When a partition may go on from one phase to the next, and when the members may. Pure.

    FILLING -> SWITCHED    everybody who has to confirm (`confirming`) has filled its copy
    SWITCHED -> settled    the members of the old row that do not know of the switch are too few to
                           answer a reader (`is_blocked`), and those who go have handed over

A copy is filled (`is_filled`) when it has met every old owner that can be reached, and so many that
every write that was promised to be read is with one of them (`fill_needs`). Those it has met have
adopted the document first, and so take no writes any more from who does not know that the partition
moves: the fence. Everybody who comes confirms; where there are to be fewer copies in a data centre
than before, those who stay do, too, as a write that was with enough of the old owners need not be
with enough of the new.

What a writer and a reader rely on is that enough of the one always meet enough of the other. In a
strict keyspace that is any read level that meets the keyspace's writes, whether or not it is the
keyspace's own: requests may come with theirs. For all others it is a majority of the owners.

Who is REMOVED never comes back, says the operator: it is met by nobody and reports nothing. What
has to be met is the rest of what would be, and where only the removed do not know of a switch, it
is as known as it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache

from lsmkv_cluster.coordination.quorum import Group, Need, always_meet, is_met, need
from lsmkv_cluster.placement.keyspaces import Consistency, Level, Mode
from lsmkv_cluster.placement.members import MemberId, MemberState
from lsmkv_cluster.placement.owners import Phase, Transition
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.reconfiguration.paxos_messages import MemberReport
from lsmkv_cluster.reconfiguration.topology_changes import (
    Fields,
    Planned,
    plan_moves,
    serving,
    without_empty_centres,
)

__all__ = [
    "advance",
    "confirming",
    "fill_needs",
    "is_blocked",
    "is_filled",
    "is_open",
]

Reports = Mapping[MemberId, MemberReport]
Alternatives = tuple[Need, ...]  # one of them is to be met
_QUORUM = Consistency(Level.QUORUM)


# --- what has to be met --------------------------------------------------------------------------


def fill_needs(document: Topology, partition: int) -> tuple[Alternatives, ...]:
    """What a copy has to meet of the owners: one of each alternatives."""
    gone = {member.id for member in document.members if not member.votes}
    row = document.owners[partition]
    return tuple(
        tuple(_of_those_left(each, gone) for each in alternatives)
        for alternatives in _reading(document, row)
    )


def is_filled(
    document: Topology,
    partition: int,
    met: Collection[MemberId],
    is_reachable: Callable[[MemberId], bool],
) -> bool:
    """Whether a copy that has met these owners may be confirmed; what counts is met since the
    partition was placed as it is, in frames of that epoch or later. An owner has met itself."""
    left = [id for id in document.owners[partition] if document.members_by_id[id].votes]
    if any(is_reachable(id) and id not in met for id in left):
        return False
    return all(
        any(is_met(each, met) for each in alternatives)
        for alternatives in fill_needs(document, partition)
    )


def confirming(document: Topology, partition: int) -> tuple[MemberId, ...]:
    """Who has to fill its copy before the partition is switched; nobody if it does not fill."""
    move = document.transitions_by_partition.get(partition)
    if move is None or move.phase is not Phase.FILLING:
        return ()
    before, after = (_centre_sizes(document, row) for row in (document.owners[partition], move.row))
    if any(after.get(dc, 0) < size for dc, size in before.items()):
        return move.row
    return tuple(id for id in move.row if id not in document.owners[partition])


def is_blocked(document: Topology, partition: int, adopted_by: Collection[MemberId]) -> bool:
    """Of a partition that is SWITCHED: whether nobody can read it from the old row any more, when
    these members have durably adopted the document that switched it, or a later one."""
    old = document.transitions_by_partition[partition].row
    unknowing = {id for id in old if id not in adopted_by}
    if not any(document.members_by_id[id].votes for id in unknowing):
        return True
    return not any(
        is_met(each, unknowing) for alternatives in _reading(document, old) for each in alternatives
    )


def _reading(document: Topology, row: tuple[MemberId, ...]) -> list[Alternatives]:
    """For each way of reading what has to be promised: all needs that are enough."""
    owners: dict[str, tuple[MemberId, ...]] = {}
    for id in row:
        dc = document.members_by_id[id].dc
        owners[dc] = (*owners.get(dc, ()), id)
    shape = tuple((dc, len(local)) for dc, local in owners.items())
    writes = {each.write for each in document.keyspaces if each.mode is Mode.STRICT}
    found: list[Alternatives] = [(need(_QUORUM, owners, ""),)]
    for write in sorted(writes, key=lambda write: (write.level, write.count)):
        levels = _levels_that_meet(write, shape)
        found.append(tuple(need(level, owners, dc) for level in levels for dc in owners))
    return [alternatives for alternatives in found if alternatives]


@lru_cache(maxsize=256)
def _levels_that_meet(
    write: Consistency, shape: tuple[tuple[str, int], ...]
) -> tuple[Consistency, ...]:
    """The levels of reads that meet every write of this one, with so many owners in each data
    centre."""
    owners = {dc: tuple(f"{dc} {n}".encode() for n in range(size)) for dc, size in shape}
    total = sum(size for _, size in shape)
    levels = [Consistency(level) for level in Level if level is not Level.COUNT]
    levels += [Consistency(Level.COUNT, count) for count in range(1, total + 1)]
    return tuple(level for level in levels if always_meet(level, write, owners))


def _of_those_left(needed: Need, gone: Collection[MemberId]) -> Need:
    """The others can be met by nobody, and kept that many fewer of what was promised."""
    left = (Group(group.members.difference(gone), group.count) for group in needed)
    return tuple(Group(each.members, min(each.count, len(each.members))) for each in left)


def _centre_sizes(document: Topology, row: tuple[MemberId, ...]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for id in row:
        dc = document.members_by_id[id].dc
        sizes[dc] = sizes.get(dc, 0) + 1
    return sizes


# --- what comes next -----------------------------------------------------------------------------


def is_open(document: Topology) -> bool:
    """Whether something is under way that ends with another document."""
    waiting = (MemberState.JOINED, MemberState.LEAVING, MemberState.REMOVED)
    return bool(document.transitions) or any(member.state in waiting for member in document.members)


def advance(document: Topology, reports: Reports) -> Fields | None:
    """What the next document changes, as all that can be done for now is known from the reports;
    None while there is nothing. First partitions go on, all that can; then, unless one is being
    switched, those who joined get their share; then those who are done with go."""
    return _next_phases(document, reports) or _plan(document) or _without_gone(document, reports)


def _next_phases(document: Topology, reports: Reports) -> Fields | None:
    owners, transitions = list(document.owners), []
    for move in document.transitions:
        partition = move.partition
        if move.phase is Phase.FILLING and _may_switch(document, move, reports):
            transitions.append(Transition(partition, Phase.SWITCHED, owners[partition]))
            owners[partition] = move.row
        elif move.phase is Phase.FILLING or not _may_settle(document, move, reports):
            transitions.append(move)
    if tuple(transitions) == document.transitions:
        return None
    return {"owners": tuple(owners), "transitions": tuple(transitions)}


def _may_switch(document: Topology, move: Transition, reports: Reports) -> bool:
    return all(
        _knows(document, move, reports.get(id)) and move.partition in reports[id].filled
        for id in confirming(document, move.partition)
    )


def _may_settle(document: Topology, move: Transition, reports: Reports) -> bool:
    adopted_by = [id for id in move.row if _knows(document, move, reports.get(id))]
    if not is_blocked(document, move.partition, adopted_by):
        return False
    kept = document.owners[move.partition]
    going = [id for id in move.row if id not in kept and document.members_by_id[id].votes]
    return all(id in adopted_by and move.partition in reports[id].handed_over for id in going)


def _knows(document: Topology, move: Transition, report: MemberReport | None) -> bool:
    """Whether who reports has adopted the document in which the partition came to where it is."""
    return report is not None and report.epoch >= document.placed[move.partition]


def _plan(document: Topology) -> Fields | None:
    """Also when all is settled: what was switched when others were planned was left out."""
    if any(move.phase is Phase.SWITCHED for move in document.transitions):
        return None
    members = serving(document, MemberState.JOINED)
    if members == document.members and document.transitions:
        return None
    changes: Fields = {} if members == document.members else {"members": members}
    planned = plan_moves(document, changes)
    if not isinstance(planned, Planned):
        return None
    is_new = changes or planned.fields["transitions"] != document.transitions
    return planned.fields if is_new else None


def _without_gone(document: Topology, reports: Reports) -> Fields | None:
    """Without the removed and those who left, once no row names them. Who leaves says itself that
    it keeps nothing for others."""
    named = {id for p in range(len(document.owners)) for id in document.keepers(p)}
    gone = set()
    for member in document.members:
        if member.id not in named and member.state is MemberState.REMOVED:
            gone.add(member.id)
        elif member.id not in named and member.state is MemberState.LEAVING:
            report = reports.get(member.id)
            if report is not None and report.epoch == document.epoch and not report.has_hints:
                gone.add(member.id)
    if not gone or gone.issuperset(document.voters):
        return None
    members = tuple(member for member in document.members if member.id not in gone)
    centres = without_empty_centres(members, document.data_centres)
    return {"members": members, "data_centres": centres}
