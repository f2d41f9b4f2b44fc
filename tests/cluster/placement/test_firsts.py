"""Every partition has a first owner, whatever the limits; test_planner.py has the usual cases."""

from __future__ import annotations

from lsmkv_cluster.placement.assignment import Assignment
from lsmkv_cluster.placement.balance import Limits
from lsmkv_cluster.placement.firsts import first_owners, room_for_firsts

COLUMNS = [[1, 2, 3], [3, 2, 1]]  # distances, by member and partition


def test_where_nobody_else_may_own_a_partition_the_limits_give_way():
    """Rows without a first owner would be rows that nobody can be sent to."""
    owners = Assignment(2, 1, [[0], [0], [1]], [0, 0, 0], lambda _, __: 0)
    loads = Limits((2, 1), (2, 1))
    first = first_owners([[], [], []], owners, loads, Limits((1, 1), (1, 2)), COLUMNS)
    assert first.rows == [[0], [0], [1]]
    assert owners.rows == [[0], [0], [1]]


def test_members_that_are_first_of_all_they_hold_have_to_hold_what_is_left():
    """Member 0 may be first of 2 of its 5 partitions, the others of all theirs: 4 of 6 are left."""
    copies, first = Limits((4, 2, 2), (5, 3, 3)), Limits((1, 2, 2), (2, 3, 3))
    assert room_for_firsts(copies, first, 6) == Limits((4, 2, 2), (5, 3, 3), 0b110, 4)
