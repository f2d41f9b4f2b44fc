"""News goes out as often as it has to, the least sent first, and never more than there is room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.operations import OPERATION_HEADER_SIZE, Operation, encoded_size
from lsmkv_cluster.swim.dissemination import Dissemination, transmission_limit

SIZE = 20


def news_of(member: bytes) -> Operation:
    return Operation(1, member.ljust(SIZE - OPERATION_HEADER_SIZE))


def taken(queue: Dissemination, count: int) -> list[bytes]:
    return [operation.payload.rstrip() for operation in queue.take(count * SIZE, news_of)]


@pytest.mark.parametrize(
    ("members", "limit"), [(1, 4), (5, 4), (9, 4), (10, 8), (99, 8), (100, 12), (1000, 16)]
)
def test_how_often_grows_with_the_digits_of_the_members(members: int, limit: int):
    assert transmission_limit(members, 4) == limit


def test_the_least_sent_goes_first_and_everything_ends():
    queue = Dissemination(2)
    queue.add(b"a")
    queue.add(b"b")
    assert taken(queue, 1) == [b"a"]
    queue.add(b"c")
    assert taken(queue, 2) == [b"b", b"c"]
    assert taken(queue, 5) == [b"a", b"b", b"c"]
    assert len(queue) == 0
    assert taken(queue, 5) == []


def test_newer_news_takes_the_place_of_older():
    queue = Dissemination(2)
    queue.add(b"a")
    assert taken(queue, 1) == [b"a"]
    queue.add(b"a")
    assert len(queue) == 1
    assert [taken(queue, 1) for _ in range(3)] == [[b"a"], [b"a"], []]


def test_news_is_sent_as_often_as_there_are_members_now():
    """What was sent often enough for fewer members is over, and so is news about who is gone."""
    queue = Dissemination(2)
    for member in (b"a", b"b", b"c"):
        queue.add(member)
    assert taken(queue, 1) == [b"a"]
    queue.follow(3, lambda member: member != b"b")
    assert [taken(queue, 5) for _ in range(4)] == [[b"c", b"a"], [b"c", b"a"], [b"c"], []]
    queue.add(b"a")
    assert taken(queue, 1) == [b"a"]
    queue.add(b"c")
    queue.follow(1, lambda member: True)
    assert taken(queue, 5) == [b"c"]
    assert len(queue) == 0


@given(st.lists(st.binary(min_size=1, max_size=40), unique=True), st.integers(0, 300))
def test_never_more_than_there_is_room(members: list[bytes], room: int):
    queue = Dissemination(3)
    for member in members:
        queue.add(member)
    counts = dict.fromkeys(members, 0)
    while queue:
        found = queue.take(room, lambda member: Operation(1, member))
        if not found:
            break
        assert encoded_size(found) <= room
        assert len({operation.payload for operation in found}) == len(found)
        for operation in found:
            counts[operation.payload] += 1
    if room >= 48:
        assert set(counts.values()) <= {3}
