"""The last step to the fewest copies: exchanges after which fewer have to be made.

`balance` is nearly always exact, and a count says so: no table within the limits needs fewer
copies than members lack, or than do not fit. Where a plan makes more, it may contain an exchange in
a ring of members, each giving a partition to the next, that saves one. Without such a ring a flow
has least cost (Klein 1967), so the loop ends with the fewest copies that any allowed table makes.

The ring may pass the pool: a member that holds more than its low limit can give without taking, one
below its high limit can take without giving. A group with a limit has a pool of its own, from which
others get no more than the group can spare.

It may pass a partition twice, with exchanges a to b and c to d that were looked up one by one. They
fit together unless a to d and c to b are possible, too (holders are the bases of a matroid). Those
two cost as much together. So from the one of a and c that can be reached at the lower price, both b
and d can; and because the search tries all exchanges of a member at once, the ring would have come
from there to both. Likewise with more than two.

`rings_through` finds rings for another purpose: a replacement that is wanted, at the least cost.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lsmkv_cluster.placement.assignment import Assignment
from lsmkv_cluster.placement.balance import Hop, Limits
from lsmkv_cluster.placement.site import bits

__all__ = ["Ring", "rings_through", "save_copies"]


@dataclass(frozen=True)
class Ring:
    """Replacements that leave everybody within the limits, and how many copies more they make."""

    hops: tuple[Hop, ...]
    cost: int


@dataclass(frozen=True)
class _Edge:
    """What it costs that `start` gives `partition` to `end`: -1, 0 or 1; pools give nothing."""

    start: int
    end: int
    cost: int
    partition: int | None


def save_copies(assignment: Assignment, limits: Limits) -> None:
    """REQUIRES: nothing is missing."""
    while _copies_made(assignment) > _least_copies(assignment, limits):
        ring = _negative_ring(list(_edges(assignment, limits, ())), assignment.nobody + 2)
        if not ring:
            return
        for edge in ring:
            if edge.partition is not None:
                assignment.replace(edge.partition, edge.start, edge.end)


def rings_through(
    assignment: Assignment,
    limits: Limits,
    wanted: Iterable[Hop],
    kept: Collection[tuple[int, int]],
) -> Iterator[Ring]:
    """The cheapest ring for each replacement that can be had without others in its partition.

    `kept` are holders and partitions that they do not give. None while a ring saves copies.
    """
    edges = list(_edges(assignment, limits, kept))
    ways: dict[int, list[_Edge | None]] = {}
    for hop in wanted:
        if (hop.leaving, hop.partition) in kept:
            continue
        if hop.entering not in ways:
            price = [math.inf] * (assignment.nobody + 2)
            price[hop.entering] = 0
            last: list[_Edge | None] = [None] * len(price)
            if _relax(edges, price, last) is not None:
                return
            ways[hop.entering] = last
        way = _way_to(ways[hop.entering], hop.leaving)
        if not way or way[0].start != hop.entering:
            continue
        if all(edge.partition != hop.partition for edge in way):
            hops = [Hop(e.partition, e.start, e.end) for e in way if e.partition is not None]
            before = assignment.before[hop.partition]
            cost = (before >> hop.leaving & 1) - (before >> hop.entering & 1)
            yield Ring((hop, *hops), cost + sum(edge.cost for edge in way))


def _copies_made(assignment: Assignment) -> int:
    return sum(
        not before >> holder & 1
        for row, before in zip(assignment.rows, assignment.before, strict=True)
        for holder in row
    )


def _least_copies(assignment: Assignment, limits: Limits) -> int:
    """Lack below the low limits, or what remains where everybody keeps all it may."""
    had = [0] * assignment.nobody
    for mask in assignment.before:
        for member in bits(mask):
            had[member] += 1
    lack = sum(max(0, low - count) for low, count in zip(limits.low, had, strict=True))
    kept = sum(min(high, count) for high, count in zip(limits.high, had, strict=True))
    return max(lack, assignment.copies * len(assignment.rows) - kept)


def _edges(
    assignment: Assignment, limits: Limits, kept: Collection[tuple[int, int]]
) -> Iterator[_Edge]:
    """The cheapest from each member to each other, perhaps after dearer ones, and the pools'.

    Those of a member follow one another.
    """
    group_pool, other_pool = assignment.nobody, assignment.nobody + 1
    yield _Edge(group_pool, other_pool, 0, None)
    if limits.spare(assignment.load) > 0:
        yield _Edge(other_pool, group_pool, 0, None)
    for member in range(assignment.nobody):
        pool = group_pool if limits.group >> member & 1 else other_pool
        if assignment.load[member] < limits.high[member]:
            yield _Edge(member, pool, 0, None)
        if assignment.load[member] > limits.low[member]:
            yield _Edge(pool, member, 0, None)
        seen = {-1: 0, 0: 0, 1: 0}
        for partition in assignment.held[member]:
            if (member, partition) in kept:
                continue
            before = assignment.before[partition]
            own = 0 if before >> member & 1 else -1
            openings = assignment.openings(partition, member)
            for cost, others in ((own, openings & before), (own + 1, openings & ~before)):
                for other in bits(others & ~seen[cost]):
                    yield _Edge(member, other, cost, partition)
                seen[cost] |= others


def _negative_ring(edges: Sequence[_Edge], node_count: int) -> list[_Edge]:
    """A ring of edges whose costs add up to less than 0, empty when there is none."""
    last: list[_Edge | None] = [None] * node_count
    node = _relax(edges, [0] * node_count, last)
    if node is None:
        return []
    for _ in range(node_count):  # still falling: walking back leads into the ring
        node = _edge_to(last, node).start
    start, ring = node, [_edge_to(last, node)]
    while ring[-1].start != start:
        ring.append(_edge_to(last, ring[-1].start))
    return ring[::-1]


def _relax(edges: Sequence[_Edge], price: list[float], last: list[_Edge | None]) -> int | None:
    """Lowers prices along edges until none falls; a node, if one falls for ever.

    `last` gets the last edge of the cheapest way to each node.
    """
    node: int | None = None
    for _ in price:
        node = None
        for edge in edges:
            if price[edge.start] + edge.cost < price[edge.end]:
                price[edge.end] = price[edge.start] + edge.cost
                last[edge.end] = edge
                node = edge.end
        if node is None:
            break
    return node


def _way_to(last: Sequence[_Edge | None], node: int) -> list[_Edge]:
    way = []
    while (edge := last[node]) is not None:
        way.append(edge)
        node = edge.start
    return way[::-1]


def _edge_to(last: Sequence[_Edge | None], node: int | None) -> _Edge:
    assert node is not None
    edge = last[node]
    assert edge is not None
    return edge
