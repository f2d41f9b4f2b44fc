"""What operators ask for becomes the next document, or is refused with a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from lsmkv_cluster.placement.members import Address, Member, MemberState
from lsmkv_cluster.placement.owners import Phase, Transition
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.placement.topology_format import decode_topology, encode_topology, successor
from lsmkv_cluster.reconfiguration import topology_changes as module
from lsmkv_cluster.reconfiguration.topology_changes import (
    AddMember,
    Change,
    CommitStaged,
    Following,
    Leave,
    Readdress,
    Refused,
    Remove,
    Reweigh,
    SetKeyspaces,
    SetReplicas,
    Unchanged,
    follow,
    targets_of,
)
from tests.support.heal_lab import heal_topology
from tests.support.members import make_member, member_id

N1, N2, N3, N4, N5 = (member_id(f"n{number}") for number in range(1, 6))
SETTLED = heal_topology(member_count=4, partition_count=8)


def following(document: Topology, change: Change, *, is_forced: bool = False) -> Topology:
    found = follow(document, change, is_forced=is_forced)
    assert isinstance(found, Following), found
    assert decode_topology(encode_topology(found.document)) == found.document
    return found.document


def why(document: Topology, change: Change) -> str:
    found = follow(document, change)
    assert isinstance(found, Refused), found
    return found.why


def state_of(document: Topology, id: bytes) -> MemberState:
    return document.members_by_id[id].state


# --- members


def test_a_new_member_waits_for_the_next_plan() -> None:
    document = following(SETTLED, AddMember(make_member("n5")))
    assert (document.epoch, state_of(document, N5)) == (2, MemberState.JOINED)
    assert document.owners == SETTLED.owners
    assert document.transitions == ()
    assert document.placed == SETTLED.placed


def test_a_staged_member_waits_for_an_operator() -> None:
    staged = following(SETTLED, AddMember(make_member("n5"), is_staged=True))
    assert state_of(staged, N5) is MemberState.STAGED
    document = following(staged, CommitStaged())
    assert state_of(document, N5) is MemberState.SERVING
    assert any(document.is_filling(p, N5) for p in range(8))
    assert document.owners == SETTLED.owners, "nobody reads from it yet"


def test_a_member_of_a_new_data_centre_brings_it_along_without_copies() -> None:
    document = following(SETTLED, AddMember(make_member("n5", dc="west", rack="w")))
    assert document.replicas == {"east": 3, "west": 0}
    document = following(document, SetReplicas((("west", 1),)))
    assert document.transitions == (), "joined members get nothing before they serve"


def test_who_leaves_gives_up_all_it_has() -> None:
    document = following(SETTLED, Leave(N1))
    assert state_of(document, N1) is MemberState.LEAVING
    assert not any(N1 in row for row in targets_of(document))
    assert document.owners == SETTLED.owners
    assert all(move.phase is Phase.FILLING for move in document.transitions)
    assert {move.partition for move in document.transitions} == set(SETTLED.kept_by(N1))


def test_who_is_removed_gives_up_all_it_has_and_has_no_vote() -> None:
    document = following(SETTLED, Remove(N1))
    assert not any(N1 in row for row in targets_of(document))
    assert N1 not in document.voters


def test_weights_move_partitions() -> None:
    document = following(SETTLED, Reweigh(N1, 25))
    before, after = (
        sum(N1 in row for row in table) for table in (SETTLED.owners, targets_of(document))
    )
    assert after < before


TWICE = make_member("n5", state=MemberState.SERVING)
LEAVING = following(SETTLED, Leave(N1))
REMOVED = following(SETTLED, Remove(N1))


@pytest.mark.parametrize(
    ("document", "change", "text"),
    [
        (SETTLED, AddMember(replace(make_member("n5"), id=N1)), "another one must be drawn"),
        (REMOVED, AddMember(make_member("n1")), "another one must be drawn"),
        (SETTLED, AddMember(replace(make_member("n1"), id=N5)), "two members n1"),
        (SETTLED, AddMember(make_member("n5", rack="r2", host="n1")), "stands in two racks"),
        (REMOVED, Leave(N1), "has been removed"),
        (REMOVED, Reweigh(N1, 5), "gets no share"),
        (LEAVING, Reweigh(N1, 5), "gets no share"),
        (SETTLED, Reweigh(N5, 5), "gets no share"),
        (SETTLED, Reweigh(N1, -5), "weight -5"),
        (SETTLED, SetReplicas((("east", 0),)), "nobody would keep partition 0 and 7 others"),
        (SETTLED, SetReplicas((("east", 16),)), "16 copies"),
        (SETTLED, SetKeyspaces(()), "0 keyspaces"),
        (LEAVING, SetKeyspaces((Keyspace(best_effort=True),)), "partitions are moving"),
    ],
)
def test_what_cannot_be_is_refused(document: Topology, change: Change, text: str) -> None:
    assert text in why(document, change)


@pytest.mark.parametrize(
    ("document", "change"),
    [
        (SETTLED, AddMember(make_member("n1"))),
        (LEAVING, Leave(N1)),
        (REMOVED, Remove(N1)),
        (SETTLED, Leave(N5)),
        (SETTLED, Remove(N5)),
        (SETTLED, CommitStaged()),
        (SETTLED, Reweigh(N1, 100)),
        (SETTLED, SetReplicas((("east", 3),))),
        (SETTLED, SetReplicas((("west", 0),))),
        (SETTLED, SetKeyspaces(SETTLED.keyspaces)),
    ],
)
def test_what_is_so_already_changes_nothing(document: Topology, change: Change) -> None:
    assert isinstance(follow(document, change), Unchanged)


def test_the_last_who_serve_may_not_leave() -> None:
    document = SETTLED
    for id in (N1, N2, N3):
        document = following(document, Leave(id))
    assert "nobody would keep" in why(document, Leave(N4))


def test_the_last_copies_are_removed_by_force_only() -> None:
    """And with a word about what is lost."""
    document = heal_topology(member_count=4, partition_count=8, copies=2)
    first, second = document.owners[0]
    document = following(document, Remove(first))
    assert "nobody else has a copy of partition" in why(document, Remove(second))
    found = follow(document, Remove(second), is_forced=True)
    assert isinstance(found, Following)
    assert "are empty from now on" in found.text


def test_a_majority_of_owners_may_be_removed_with_a_word_about_it() -> None:
    first, second, third = SETTLED.owners[0]
    found = follow(following(SETTLED, Remove(first)), Remove(second))
    assert isinstance(found, Following)
    assert "writes that only they had are lost" in found.text
    assert third in found.document.keepers(0)


def test_a_document_that_no_frame_can_carry_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DOCUMENT_SIZE_MAX", 300)
    assert "more than 300 bytes" in why(SETTLED, AddMember(make_member("n5")))


def test_the_text_says_what_moves_and_what_had_to_give_way() -> None:
    three = heal_topology(member_count=3, partition_count=8)
    found = follow(three, Leave(N1))
    assert isinstance(found, Following)
    assert found.text.startswith("8 partitions move, 0 copies are made; east: copies: 2 of each")


# --- plans while something moves

FILLING = following(SETTLED, Leave(N1))
MOVE = FILLING.transitions[0]
P = MOVE.partition


def switched(document: Topology, partition: int) -> Topology:
    move = document.transitions_by_partition[partition]
    owners, moves = list(document.owners), dict(document.transitions_by_partition)
    moves[partition] = Transition(partition, Phase.SWITCHED, owners[partition])
    owners[partition] = move.row
    return successor(document, owners=tuple(owners), transitions=tuple(moves.values()))


def test_what_fills_gets_another_target() -> None:
    [coming] = (id for id in MOVE.row if id not in SETTLED.owners[P])
    grown = following(FILLING, AddMember(make_member("n5"), is_staged=True))
    grown = following(grown, CommitStaged())
    document = following(grown, Leave(coming))
    row = document.transitions_by_partition[P].row
    assert coming not in row
    assert document.owners == SETTLED.owners
    assert document.placed[P] == document.epoch, "what was confirmed before counts no more"


def test_what_fills_is_given_up_when_the_old_owners_are_wanted_again() -> None:
    """Two leave of five, copies fall from three to two and come back: no row is wanted in the end
    but what can be had; a member that only some rows wanted is gone from all."""
    wanted = heal_topology(member_count=4, partition_count=8)
    fewer = following(wanted, SetReplicas((("east", 2),)))
    assert len(fewer.transitions) == 8
    again = following(fewer, SetReplicas((("east", 3),)))
    given_up = [p for p in range(8) if p not in again.transitions_by_partition]
    assert given_up
    for partition in given_up:
        assert set(again.owners[partition]) == set(wanted.owners[partition])
        assert again.placed[partition] == again.epoch


def test_what_is_switched_stays_as_it_is_this_time() -> None:
    document = switched(FILLING, P)
    [leaving] = (id for id in document.owners[P] if id not in SETTLED.owners[P])
    grown = following(document, AddMember(make_member("n5"), is_staged=True))
    after = following(following(grown, CommitStaged()), Leave(leaving))
    assert after.transitions_by_partition[P] == document.transitions_by_partition[P]
    assert after.owners[P] == document.owners[P]
    assert after.placed[P] == document.placed[P]
    assert "being switched" in why(document, SetReplicas((("east", 2),)))


def test_a_data_centre_goes_with_its_copies_and_its_last_member() -> None:
    both = (*SETTLED.members, make_member("w1", dc="west", rack="w"))
    document = replace(
        SETTLED,
        data_centres=(DataCentre("east", 3), DataCentre("west", 1)),
        members=tuple(sorted(both, key=lambda member: member.id)),
    )
    document = following(document, SetReplicas((("west", 0),)))
    assert document.replicas == {"east": 3, "west": 0}, "a member still stands there"


# --- forced documents


def test_a_forced_document_places_everything_anew() -> None:
    """Nothing that was sent under a document that is not known here is carried out."""
    document = following(SETTLED, Remove(N1), is_forced=True)
    assert document.generation == 1
    assert set(document.placed) == {document.epoch}


def test_keyspaces_are_put_in_order() -> None:
    strict = Keyspace(b"a", mode=Mode.STRICT, write=Consistency(Level.ALL))
    document = following(SETTLED, SetKeyspaces((strict, Keyspace())))
    assert document.keyspaces == (Keyspace(), strict)


def test_a_member_is_taken_as_it_is_but_for_its_state() -> None:
    found: Member = following(SETTLED, AddMember(TWICE)).members_by_id[N5]
    assert found == replace(TWICE, state=MemberState.JOINED)


def test_a_member_that_moves_to_another_address() -> None:
    there = (Address("peer", "10.0.0.9:7000"),)
    document = following(SETTLED, Readdress(N2, there))
    assert document.members_by_id[N2] == replace(SETTLED.members_by_id[N2], addresses=there)
    assert document.owners == SETTLED.owners, "nothing is placed anew"
    assert isinstance(follow(document, Readdress(N2, there)), Unchanged)
    removed = following(SETTLED, Remove(N3))
    assert "no member" in why(removed, Readdress(N3, there))
    assert "no member" in why(removed, Readdress(N5, there))
