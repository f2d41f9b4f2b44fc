"""Partitions go on when it is safe, in every history; and whatever is planned ends settled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from lsmkv_cluster.placement.members import MemberId, MemberState
from lsmkv_cluster.placement.owners import Phase, Transition
from lsmkv_cluster.placement.planner import plan
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.placement.topology_format import successor
from lsmkv_cluster.reconfiguration import transition_rules as rules
from lsmkv_cluster.reconfiguration.paxos_messages import MemberReport
from lsmkv_cluster.reconfiguration.topology_changes import (
    AddMember,
    Change,
    CommitStaged,
    Following,
    Leave,
    Remove,
    Reweigh,
    SetReplicas,
    follow,
)
from lsmkv_cluster.reconfiguration.transition_rules import (
    advance,
    confirming,
    is_blocked,
    is_filled,
    is_open,
)
from tests.support.heal_lab import heal_topology
from tests.support.members import make_member, member_id
from tests.support.move_history import MoveHistory, StaleRead

A, B, C, D, E = (member_id(name) for name in "abcde")
OLD, NEW = (A, B, C), (A, B, D)


def nobody(_: MemberId) -> bool:
    return False


def document(
    owners: tuple[MemberId, ...] = OLD,
    moves: tuple[Transition, ...] = (),
    *,
    keyspaces: tuple[Keyspace, ...] = (Keyspace(),),
    removed: tuple[MemberId, ...] = (),
    west: str = "",
) -> Topology:
    """Members a to e of weight 0, which no plan moves, one partition; epoch 1."""
    members = [
        make_member(
            name,
            dc="west" if name in west else "east",
            rack="w" if name in west else "e",
            weight=0,
            state=MemberState.REMOVED if member_id(name) in removed else MemberState.SERVING,
        )
        for name in "abcde"
    ]
    return Topology(
        cluster_id=member_id("cluster"),
        epoch=1,
        parent=bytes(32),
        feature_level=1,
        key_seed=7,
        data_centres=(DataCentre("east", 5), DataCentre("west", 5)),
        members=tuple(sorted(members, key=lambda member: member.id)),
        keyspaces=keyspaces,
        owners=(owners,),
        transitions=moves,
    )


def filling(row: tuple[MemberId, ...] = NEW, **more: Any) -> Topology:
    return document(moves=(Transition(0, Phase.FILLING, row),), **more)


def switched(**more: Any) -> Topology:
    return document(NEW, (Transition(0, Phase.SWITCHED, OLD),), **more)


def strict(read: Consistency | Level, write: Consistency | Level) -> tuple[Keyspace, ...]:
    levels = [Consistency(each) if isinstance(each, Level) else each for each in (read, write)]
    return (Keyspace(), Keyspace(b"s", levels[0], levels[1], Mode.STRICT))


# --- single rules


@pytest.mark.parametrize(
    ("topology", "met", "filled"),
    [
        (filling(), (A,), False),
        (filling(), (A, C), True),
        (filling(), (D, E), False),
        (filling(removed=(C,)), (A, B), True),
        (filling(removed=(C,)), (A,), False),
        (filling(removed=(B, C)), (A,), True),
        (filling(removed=OLD), (), True),
        (filling(keyspaces=strict(Level.ALL, Level.ONE)), (A, B), False),
        (filling(keyspaces=strict(Level.ALL, Level.ONE)), (A, B, C), True),
        (filling(keyspaces=strict(Level.ALL, Level.ONE), removed=(C,)), (A, B), True),
        (filling(keyspaces=strict(Level.ONE, Level.ALL)), (A, B), True),
        (
            filling(west="cd", keyspaces=strict(Level.EACH_QUORUM, Level.LOCAL_QUORUM)),
            (A, C),
            False,
        ),
        (filling(west="cd", keyspaces=strict(Level.EACH_QUORUM, Level.EACH_QUORUM)), (A, C), True),
    ],
)
def test_a_copy_is_filled_from_who_must_have_what_was_promised(
    topology: Topology, met: tuple[MemberId, ...], filled: bool
) -> None:
    assert is_filled(topology, 0, met, nobody) == filled


def test_a_copy_is_not_filled_before_it_has_met_everybody_it_can_reach() -> None:
    assert not is_filled(filling(), 0, (A, B), lambda id: id == C)
    assert is_filled(filling(), 0, (A, B, C), lambda id: id == C)
    assert is_filled(filling(removed=(C,)), 0, (A, B), lambda id: id == C)


@pytest.mark.parametrize(
    ("topology", "adopted_by", "blocked"),
    [
        (switched(), (A,), False),
        (switched(), (A, B), True),
        (switched(), (A, B, C), True),
        (switched(), (D, E), False),
        (switched(keyspaces=strict(Level.ONE, Level.ALL)), (A, B), False),
        (switched(keyspaces=strict(Level.ALL, Level.ALL)), (A, B), False),
        (switched(keyspaces=strict(Level.ALL, Level.ONE)), (A, B), True),
        (switched(keyspaces=strict(Level.ONE, Level.ALL), removed=(C,)), (A, B), True),
        (switched(removed=(B, C)), (A,), True),
        (switched(removed=(B, C)), (), False),
    ],
    ids=[
        "one of three",
        "two of three",
        "all",
        "others",
        "one alone reads",
        "one alone may read",
        "all have to",
        "nobody else will",
        "only the removed do not",
        "one who will does not",
    ],
)
def test_nobody_reads_from_the_old_row_when_enough_know(
    topology: Topology, adopted_by: tuple[MemberId, ...], blocked: bool
) -> None:
    assert is_blocked(topology, 0, adopted_by) == blocked


@pytest.mark.parametrize(
    ("topology", "members"),
    [
        (document(), ()),
        (switched(), ()),
        (filling(), (D,)),
        (filling((A, B, C, D)), (D,)),
        (filling((A, B)), (A, B)),
        (filling((D, E)), (D, E)),
    ],
    ids=["settled", "switched", "another", "more", "fewer", "fewer others"],
)
def test_who_confirms(topology: Topology, members: tuple[MemberId, ...]) -> None:
    assert confirming(topology, 0) == members


def report(topology: Topology, **more: Any) -> MemberReport:
    return MemberReport(topology.epoch, **more)


def test_a_partition_is_switched_when_all_who_come_have_confirmed() -> None:
    topology = filling((A, D, E))
    done = report(topology, filled=(0,))
    assert advance(topology, {D: done, E: report(topology)}) is None
    assert advance(topology, {D: done}) is None
    fields = advance(topology, {D: done, E: done})
    assert fields == {"owners": ((A, D, E),), "transitions": (Transition(0, Phase.SWITCHED, OLD),)}


def test_a_partition_is_settled_when_the_old_row_knows_and_has_handed_over() -> None:
    topology = switched()
    knows, done = report(topology), report(topology, handed_over=(0,))
    assert advance(topology, {A: knows, B: knows, C: knows}) is None
    assert advance(topology, {A: knows, B: knows}) is None
    assert advance(topology, {C: done}) is None
    assert advance(topology, {A: knows, C: done}) == {"owners": (NEW,), "transitions": ()}


def test_who_is_removed_is_not_waited_for() -> None:
    topology = switched(removed=(C,))
    knows = report(topology)
    assert advance(topology, {A: knows, B: knows}) == {"owners": (NEW,), "transitions": ()}


def test_a_report_of_an_earlier_place_counts_for_nothing() -> None:
    """What was confirmed before the partition got another target says nothing about this one."""
    first = filling((A, D, E))
    second = successor(first, transitions=(Transition(0, Phase.FILLING, (A, B, D)),))
    assert advance(second, {D: report(first, filled=(0,))}) is None
    later = successor(second, feature_level=2)
    assert advance(later, {D: report(second, filled=(0,))}) is not None
    assert advance(second, {D: report(later, filled=(0,))}) is not None


# --- members


def with_state(state: MemberState) -> Topology:
    topology = document()
    members = [replace(m, state=state) if m.id == E else m for m in topology.members]
    return replace(topology, members=tuple(members))


def test_who_leaves_goes_when_it_keeps_nothing() -> None:
    topology = with_state(MemberState.LEAVING)
    assert is_open(topology)
    assert advance(topology, {}) is None
    assert advance(topology, {E: report(topology, has_hints=True)}) is None
    assert advance(successor(topology, feature_level=2), {E: report(topology)}) is None
    fields = advance(topology, {E: report(topology)})
    assert fields is not None
    assert E not in successor(topology, **fields).members_by_id


def test_the_removed_are_forgotten_when_no_row_names_them() -> None:
    topology = with_state(MemberState.REMOVED)
    fields = advance(topology, {})
    assert fields is not None
    after = successor(topology, **fields)
    assert (E in after.members_by_id, is_open(after)) == (False, False)
    assert [centre.name for centre in after.data_centres] == ["east", "west"]
    assert advance(document(removed=(C,)), {}) is None


def test_who_joined_waits_while_a_partition_is_switched() -> None:
    joined = heal_topology(member_count=4, partition_count=4)
    found = follow(joined, AddMember(make_member("n5")))
    assert isinstance(found, Following)
    waiting = found.document
    fields = advance(waiting, {})
    assert fields is not None
    taken = successor(waiting, **fields)
    assert taken.members_by_id[member_id("n5")].state is MemberState.SERVING
    assert taken.transitions
    move = taken.transitions[0]
    owners = list(taken.owners)
    owners[move.partition] = move.row
    back = Transition(move.partition, Phase.SWITCHED, taken.owners[move.partition])
    busy = successor(waiting, owners=tuple(owners), transitions=(back,))
    assert advance(busy, {}) is None


# --- in all histories


@settings(max_examples=150)
@given(st.integers(0, 1 << 32))
def test_no_read_misses_what_was_acknowledged(seed: int) -> None:
    MoveHistory(seed).run(1000)


def only_those_who_come(topology: Topology, partition: int) -> tuple[MemberId, ...]:
    old = topology.owners[partition]
    return tuple(id for id in confirming(topology, partition) if id not in old)


# A seed near which a history needs the rule: few do.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "options", "rule", "broken"),
    [
        (2, {"is_fenced": False}, "", None),
        (407, {"forgets": False}, "", None),
        (133, {}, "is_filled", lambda topology, p, met, _: bool(met)),
        (432, {}, "is_blocked", lambda *_: True),
        (1, {}, "confirming", only_those_who_come),
    ],
    ids=[
        "old epochs are served",
        "confirmations outlive a target",
        "filled from one",
        "settled before enough know",
        "those who stay do not confirm",
    ],
)
def test_every_rule_is_needed(
    seed: int, options: dict[str, bool], rule: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it there is a stale read; with it the same history has none."""
    for number in range(max(0, seed - 5), seed + 5):
        MoveHistory(number).run(2000)
    if rule:
        monkeypatch.setattr(rules, rule, broken)
    with pytest.raises(StaleRead):
        for number in range(max(0, seed - 5), seed + 5):
            MoveHistory(number, **options).run(2000)


# --- whatever is planned

NAMES = [f"m{number}" for number in range(10)]


def phase_of(topology: Topology, partition: int) -> tuple[object, ...]:
    """What is read, what else is written, and in which phase."""
    move = topology.transitions_by_partition.get(partition)
    row = frozenset(topology.owners[partition])
    return (row, move and move.phase, move and frozenset(move.row))


def follows(before: tuple[object, ...], after: tuple[object, ...]) -> bool:
    """Whether a partition may get from one phase to the other in one document."""
    if before == after:
        return True
    row, phase, other = before
    if phase is Phase.SWITCHED:
        return after == (row, None, None)
    if phase is Phase.FILLING and after == (other, Phase.SWITCHED, row):
        return True
    return after[0] == row and after[1] in (None, Phase.FILLING)


@st.composite
def changes(draw: st.DrawFn) -> list[Change | None]:
    """None is a round of reports."""
    name = st.sampled_from(NAMES)
    id = name.map(member_id)
    change = st.one_of(
        st.builds(
            AddMember,
            name.map(lambda n: make_member(n, dc="west" if n > "m6" else "east", rack=n[0])),
            st.booleans(),
        ),
        st.just(CommitStaged()),
        st.builds(Leave, id),
        st.builds(Remove, id),
        st.builds(Reweigh, id, st.sampled_from([0, 50, 300])),
        st.builds(
            SetReplicas,
            st.tuples(st.tuples(st.sampled_from(["east", "west"]), st.integers(0, 4))),
        ),
    )
    return draw(st.lists(st.one_of(st.none(), change), max_size=12))


def all_done(topology: Topology, done: frozenset[MemberId]) -> dict[MemberId, MemberReport]:
    """Reports of these members, that they have done all they have to."""
    everything = tuple(range(len(topology.owners)))
    return {id: MemberReport(topology.epoch, everything, everything) for id in done}


@settings(max_examples=150)
@given(changes(), st.data())
def test_no_phase_is_skipped_and_every_plan_ends_settled(
    wanted: list[Change | None], data: st.DataObject
) -> None:
    topology = heal_topology(member_count=4, partition_count=4)
    members = [make_member(name) for name in NAMES[:4]]
    table = plan(((),) * 4, members, {"east": 3}).owners
    ordered = tuple(sorted(members, key=lambda member: member.id))
    topology = replace(topology, members=ordered, owners=table)

    def go_on(after: Topology) -> Topology:
        for partition in range(4):
            before, then = (phase_of(each, partition) for each in (topology, after))
            assert follows(before, then), (partition, before, then)
        return after

    for change in wanted:
        if change is None:
            done = frozenset(data.draw(st.sets(st.sampled_from(sorted(topology.voters)))))
            fields = advance(topology, all_done(topology, done))
            topology = go_on(successor(topology, **fields)) if fields else topology
        else:
            found = follow(topology, change)
            if isinstance(found, Following):
                topology = go_on(found.document)
    for _ in range(40):
        fields = advance(topology, all_done(topology, topology.voters))
        if fields is None:
            break
        topology = go_on(successor(topology, **fields))
    assert not is_open(topology)
    following = plan(topology.owners, topology.members, topology.replicas)
    assert following.moves == ()
