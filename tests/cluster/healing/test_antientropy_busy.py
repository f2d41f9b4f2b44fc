"""A node that has too much to do leaves repair alone, and no node is met by too many at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.placement.members import MemberId
from tests.cluster.healing.test_antientropy import QUIET, by_id, contents, diverge, make_lab


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_node_that_has_too_much_to_do_takes_part_in_no_round_until_it_has_less(place):
    """Neither of its own nor with others, who meet without it; then all become equal."""
    busy: set[MemberId] = set()
    watched = make_lab(busy=busy)
    nodes = by_id(watched)
    busy.add(nodes[place].id)
    expected = diverge(nodes, 1, 20)
    before = contents(nodes[place])
    watched.run(3 * QUIET.period_ms)
    assert contents(nodes[place]) == before
    others = [node for node in nodes if node is not nodes[place]]
    assert contents(others[0]) == contents(others[1])
    busy.clear()
    watched.run(3 * QUIET.period_ms)
    assert all(contents(node) == expected for node in nodes)


def test_no_more_rounds_of_others_than_so_many_at_once():
    """All are met in the end, one after the other."""
    watched = make_lab(replace(QUIET, served_count_max=1, retry_ms=100))
    nodes = by_id(watched)
    expected = diverge(nodes, 1, 20)
    watched.run(4 * QUIET.period_ms)
    assert all(contents(node) == expected for node in nodes)
