"""The ring is the same everywhere and for ever, and members are met in proportion to weight."""

from __future__ import annotations

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.placement.ring import Ring, distances, position_of_slot, tokens_of
from lsmkv_cluster.placement.slots import SLOT_COUNT
from tests.support.members import make_member
from tests.support.reference_hashing import murmur3_x64_128

MEMBERS = [make_member(f"n{n}", weight=weight) for n, weight in enumerate((100, 100, 50, 200, 1))]


def test_golden_order():
    """Persistent: the order of stand-ins must be the same in members of every version."""
    names = {member.id: member.name for member in MEMBERS}
    ring = Ring(MEMBERS)
    orders = {
        slot: " ".join(names[id] for id in ring.walk(position_of_slot(slot)))
        for slot in (0, 1, 4096, 16383)
    }
    assert orders == {
        0: "n1 n3 n0 n2 n4",
        1: "n1 n3 n0 n2 n4",
        4096: "n0 n3 n1 n2 n4",
        16383: "n1 n3 n0 n2 n4",
    }
    text = "".join(
        names[id] for slot in range(SLOT_COUNT) for id in ring.walk(position_of_slot(slot))
    )
    digest = "be04dc0bec9405bdda73f7e2a4652a4bb189807d4d35f1ca0352884b630919be"
    assert hashlib.sha256(text.encode()).hexdigest() == digest


def test_tokens_are_murmur3_of_id_and_index():
    [member] = [make_member("n", weight=3)]
    low = [murmur3_x64_128(member.id + n.to_bytes(4, "little"))[0] for n in range(4)]
    assert tokens_of(member) == sorted(low)


def test_a_member_without_weight_has_no_token_and_the_smallest_weight_has():
    assert tokens_of(make_member("n", weight=0)) == []
    assert len(tokens_of(make_member("n", weight=1))) == 2
    assert len(tokens_of(make_member("n", weight=1000))) == 1280


@given(st.integers(0, (1 << 64) - 1), st.sets(st.integers(0, 30), min_size=1, max_size=6))
def test_distances_sort_members_in_the_order_of_a_walk(position: int, numbers: set[int]):
    members = [make_member(f"m{number}", weight=3 + 30 * number) for number in sorted(numbers)]
    by_distance = sorted(members, key=lambda m: distances(tokens_of(m), [position])[0])
    assert [member.id for member in by_distance] == list(Ring(members).walk(position))


def test_members_come_first_in_proportion_to_weight():
    ring = Ring(MEMBERS)
    first = Counter(next(ring.walk(position_of_slot(slot))) for slot in range(SLOT_COUNT))
    for member in MEMBERS[:4]:
        share = first[member.id] / SLOT_COUNT * 451 / member.weight
        assert 0.7 < share < 1.3


def test_others_keep_their_order_when_a_member_joins():
    before, after = Ring(MEMBERS), Ring([*MEMBERS, make_member("new")])
    for slot in range(0, SLOT_COUNT, 97):
        position = position_of_slot(slot)
        old = [id for id in after.walk(position) if id != make_member("new").id]
        assert old == list(before.walk(position))
