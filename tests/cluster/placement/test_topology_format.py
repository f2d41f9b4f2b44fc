"""Topology bytes: one form for each document, a typed error for everything else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.placement.keyspaces import Keyspace
from lsmkv_cluster.placement.members import MEMBER_ID_SIZE, Address, Member
from lsmkv_cluster.placement.owners import Phase, Transition
from lsmkv_cluster.placement.slots import SLOT_COUNT
from lsmkv_cluster.placement.topology import DataCentre, Topology
from lsmkv_cluster.placement.topology_format import (
    TOPOLOGY_SIZE_MAX,
    decode_topology,
    document_hash,
    encode_topology,
    forced,
    successor,
)
from tests.support.members import make_member, make_topology
from tests.support.worked_examples import block, hexadecimal, joined

TOPOLOGY = make_topology()
HASH = "aebcf5437653163dd6905558135ca0edb8e9970888acef561593f4e38c5e6520"
BYTES = encode_topology(TOPOLOGY)


def resealed(data: bytes) -> bytes:
    """The same with the checksum that it ought to have: what somebody hostile would send."""
    checksum = crc32c(data[16:], crc32c(data[:12]))
    return data[:12] + checksum.to_bytes(4, "little") + data[16:]


def test_the_worked_example():
    data = joined(hexadecimal(block("0: 4c534d4b 56544f50")), 161)
    member = Member(
        bytes(range(16, 32)),
        "n1",
        "east",
        "r1",
        "h1",
        addresses=(Address("peer", "[::1]:7100"),),
    )
    expected = Topology(
        cluster_id=bytes(range(16)),
        epoch=1,
        parent=bytes(32),
        feature_level=1,
        key_seed=7,
        data_centres=(DataCentre("east", 3),),
        members=(member,),
        keyspaces=(Keyspace(),),
        owners=((member.id,),),
    )
    assert decode_topology(data) == expected
    assert encode_topology(expected) == data


def test_golden_hash():
    """Persistent: members compare documents by it."""
    assert document_hash(BYTES).hex() == HASH


def test_a_document_comes_back():
    assert decode_topology(BYTES) == TOPOLOGY


def test_the_largest_tables_fit():
    members = tuple(sorted((make_member(f"n{n}") for n in range(15)), key=lambda member: member.id))
    row = tuple(member.id for member in members)
    document = replace(
        TOPOLOGY,
        data_centres=(DataCentre("east", 15),),
        members=members,
        owners=(row,) * SLOT_COUNT,
        placed=(),
    )
    data = encode_topology(document)
    assert decode_topology(data) == document
    assert len(data) < TOPOLOGY_SIZE_MAX / 16  # 16 data centres of this size would fit


def test_a_successor_names_its_parent():
    following = successor(TOPOLOGY, feature_level=2)
    assert (following.epoch, following.feature_level) == (2, 2)
    assert following.parent == document_hash(BYTES)
    assert decode_topology(encode_topology(following)) == following
    assert replace(following, epoch=1, parent=bytes(32), feature_level=1) == TOPOLOGY


def test_every_truncation_and_extension_is_refused():
    for size in range(len(BYTES)):
        for data in (BYTES[:size], resealed(BYTES[:size])):
            with pytest.raises(TopologyError):
                decode_topology(data)
    for extra in (b"\0", BYTES):
        with pytest.raises(TopologyError):
            decode_topology(resealed(BYTES + extra))


def test_every_flipped_bit_is_refused():
    for index in range(8 * len(BYTES)):
        data = bytearray(BYTES)
        data[index // 8] ^= 1 << index % 8
        with pytest.raises(TopologyError):
            decode_topology(bytes(data))


def decodes_to_itself_or_is_refused(data: bytes) -> None:
    try:
        document = decode_topology(data)
    except TopologyError:
        return
    assert encode_topology(document) == data


def test_every_byte_changed_with_a_good_checksum_is_refused_or_another_document():
    for index in range(16, len(BYTES)):
        for value in (0, 1, 0x7F, 0x80, 0xFF, BYTES[index] ^ 1):
            data = bytearray(BYTES)
            data[index] = value
            decodes_to_itself_or_is_refused(resealed(bytes(data)))


@settings(max_examples=300)
@given(st.integers(16, len(BYTES)), st.binary(max_size=40), st.integers(0, 40))
def test_spliced_bytes_with_a_good_checksum(offset: int, piece: bytes, removed: int):
    data = bytearray(BYTES[:offset] + piece + BYTES[offset + removed :])
    data[16:20] = len(data).to_bytes(4, "little")
    decodes_to_itself_or_is_refused(resealed(bytes(data)))


@pytest.mark.parametrize("offset", [22, 88, 90, 92, 94])
def test_counts_are_checked_before_anything_is_made(offset: int):
    data = BYTES[:offset] + b"\xff\xff" + BYTES[offset + 2 :]
    with pytest.raises(TopologyError):
        decode_topology(resealed(data))


def test_an_error_says_where():
    state = BYTES.index(TOPOLOGY.members[0].id) + MEMBER_ID_SIZE
    data = resealed(BYTES[:state] + b"\x09" + BYTES[state + 1 :])
    with pytest.raises(TopologyError, match=f"at byte {state + 1}: unknown memberstate 9"):
        decode_topology(data)


def test_foreign_bytes_and_newer_versions_are_told_apart():
    with pytest.raises(TopologyError, match="not a topology"):
        decode_topology(b"X" + BYTES[1:])
    with pytest.raises(TopologyError, match="format 2, which this version does not know"):
        decode_topology(BYTES[:8] + b"\x02" + BYTES[9:])
    with pytest.raises(TopologyError, match="of more than"):
        decode_topology(bytes(TOPOLOGY_SIZE_MAX + 1))


# --- transitions

ROWS = TOPOLOGY.owners
FIRST, SECOND = ROWS[:2]
OTHERS = TOPOLOGY.stand_ins(0)
COMING = (*FIRST[:1], *OTHERS[:1], FIRST[2])
MOVING = successor(
    TOPOLOGY,
    transitions=(Transition(0, Phase.FILLING, COMING), Transition(3, Phase.SWITCHED, SECOND)),
)


def test_a_document_with_transitions_comes_back():
    data = encode_topology(MOVING)
    assert decode_topology(data) == MOVING
    for index in range(16, len(data)):
        for value in (0, 1, 0xFF, data[index] ^ 1):
            changed = bytearray(data)
            changed[index] = value
            decodes_to_itself_or_is_refused(resealed(bytes(changed)))


def test_what_moves_is_placed_anew_and_nothing_else():
    assert MOVING.placed == (2, 1, 1, 2, *[1] * 12)
    same = successor(MOVING, feature_level=2)
    assert same.placed == MOVING.placed
    turned = (FIRST[1], FIRST[0], FIRST[2])
    assert successor(TOPOLOGY, owners=(turned, *ROWS[1:])).placed == TOPOLOGY.placed
    settled = successor(same, transitions=MOVING.transitions[1:], owners=(COMING, *ROWS[1:]))
    assert settled.placed == (4, 1, 1, 2, *[1] * 12)


def test_a_forced_document_is_of_another_generation():
    made = forced(MOVING, feature_level=2)
    assert (made.generation, made.epoch) == (1, (1 << 32) + 3)
    assert forced(made).epoch == (2 << 32) + 4
    assert successor(made).generation == 1
    assert made.parent == document_hash(encode_topology(MOVING))
    assert decode_topology(encode_topology(made)) == made
