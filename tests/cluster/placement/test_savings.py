"""Exchanges lead to the fewest copies, from any table within the limits, whatever there was before.

Plans seldom need them: here tables are taken that have nothing to do with the copies there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

from hypothesis import given, settings
from hypothesis import strategies as st

from lsmkv_cluster.placement.assignment import Assignment
from lsmkv_cluster.placement.balance import Limits
from lsmkv_cluster.placement.fair import fair_shares
from lsmkv_cluster.placement.firsts import room_for_firsts
from lsmkv_cluster.placement.owners import no_owners
from lsmkv_cluster.placement.planner import plan, sites_of
from lsmkv_cluster.placement.savings import save_copies
from lsmkv_cluster.placement.site import Site, set_of
from tests.support.members import make_member
from tests.support.reference_placement import fewest_copies


def limits_of(site: Site, partition_count: int) -> Limits:
    fair = fair_shares(site, partition_count)
    copies, first = (
        Limits(tuple(map(floor, shares)), tuple(map(ceil, shares)))
        for shares in (fair.copies, fair.first)
    )
    return room_for_firsts(copies, first, partition_count)


def saved(
    site: Site, before: Sequence[Sequence[bytes]], rows: Sequence[Sequence[bytes]], limits: Limits
) -> Assignment:
    """The table `rows` after exchanges that save copies, where there were those of `before`."""
    numbers = {member.id: number for number, member in enumerate(site.members)}
    assignment = Assignment(
        len(numbers),
        site.copies,
        [[numbers[id] for id in row] for row in rows],
        [set_of(numbers[id] for id in row) for row in before],
        lambda _, others: site.openings(others),
    )
    save_copies(assignment, limits)
    return assignment


def copies_made(assignment: Assignment) -> int:
    return sum(
        not before >> holder & 1
        for row, before in zip(assignment.rows, assignment.before, strict=True)
        for holder in row
    )


def test_two_exchanges_in_one_partition_are_made_where_they_fit_together():
    """The ring c to d, pool, b to a to c takes from the first partition twice, and saves two."""
    members = [
        make_member("a", weight=300),
        make_member("b", weight=300),
        make_member("c", host="h", weight=1000),
        make_member("d", host="h", weight=10),
    ]
    [site] = sites_of(members, {"east": 2})
    id_of = {member.name: member.id for member in members}
    before = [[id_of[name] for name in row] for row in ("da", "b", "ca")]
    rows = [[id_of[name] for name in row] for row in ("cb", "ca", "ac")]
    limits = limits_of(site, 3)
    assignment = saved(site, before, rows, limits)
    assert copies_made(assignment) == 1 == fewest_copies(site, before)
    assert all(site.keeps_rules(row) for row in assignment.rows)


@settings(max_examples=150)
@given(st.data(), st.integers(1, 3), st.integers(2, 4), st.sampled_from([1, 2, 3, 5, 7]))
def test_no_allowed_table_makes_fewer_copies(
    data: st.DataObject, racks: int, copies: int, partitions: int
):
    places = data.draw(st.lists(st.integers(0, 6), min_size=2, max_size=10))
    weights = st.sampled_from([10, 100, 100, 300, 1000])
    members = [
        make_member(
            f"n{number}", rack=f"r{host % racks}", host=f"h{host}", weight=data.draw(weights)
        )
        for number, host in enumerate(places)
    ]
    [site] = sites_of(members, {"east": copies})
    ids = st.sampled_from([member.id for member in members])
    before = data.draw(
        st.lists(
            st.lists(ids, max_size=copies, unique=True), min_size=partitions, max_size=partitions
        )
    )
    rows = plan(no_owners(partitions), members, {"east": copies}).owners
    limits = limits_of(site, partitions)
    assignment = saved(site, before, rows, limits)
    assert copies_made(assignment) == fewest_copies(site, before)
    assert all(site.keeps_rules(row) for row in assignment.rows)
    for load, low, high in zip(assignment.load, limits.low, limits.high, strict=False):
        assert low <= load <= high
