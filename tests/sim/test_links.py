"""Broken networks have the shapes of their names, and overlapping cuts end each for itself."""

from __future__ import annotations

import pytest

from tests.sim.links import (
    Links,
    bridge,
    cut_between,
    isolated,
    majorities_ring,
    one_way,
)


def reachable(count: int, pairs: tuple[tuple[int, int], ...]) -> dict[int, set[int]]:
    links = Links(count)
    links.block(pairs)
    return {a: {b for b in range(count) if b != a and links.is_open(a, b)} for a in range(count)}


def test_one_node_cut_off():
    assert reachable(4, isolated(2, 4)) == {0: {1, 3}, 1: {0, 3}, 2: set(), 3: {0, 1}}


def test_halves():
    assert reachable(4, cut_between([0, 1], [2, 3])) == {0: {1}, 1: {0}, 2: {3}, 3: {2}}


def test_one_way_lets_answers_through():
    assert reachable(3, one_way([0], [1, 2])) == {0: set(), 1: {0, 2}, 2: {0, 1}}


def test_a_bridge_sees_both_halves():
    found = reachable(5, bridge([0, 1, 2, 3, 4]))
    assert found == {0: {1, 2}, 1: {0, 2}, 2: {0, 1, 3, 4}, 3: {2, 4}, 4: {2, 3}}


@pytest.mark.parametrize("count", [3, 4, 5, 6, 7, 9])
def test_in_a_majorities_ring_all_see_a_majority_and_no_two_the_same(count: int):
    found = reachable(count, majorities_ring(range(count)))
    views = [frozenset({node, *seen}) for node, seen in found.items()]
    assert all(2 * len(view) > count for view in views)
    if count > 3:  # three nodes in a ring are all neighbours
        assert len(set(views)) == count


def test_cuts_that_overlap_end_each_for_itself():
    links = Links(3)
    opened: list[tuple[int, int]] = []
    links.opened.append(lambda a, b: opened.append((a, b)))
    links.block(isolated(0, 3))
    links.block(one_way([0], [1]))
    links.unblock(isolated(0, 3))
    assert not links.is_open(0, 1)
    assert links.is_open(1, 0)
    assert not links.is_open_both_ways(0, 1)
    assert (0, 1) not in opened
    links.unblock(one_way([0], [1]))
    assert links.is_open_both_ways(0, 1)
    assert opened[-1] == (0, 1)
