"""The fewest copies that any allowed owner table has to make, by a plain flow of least cost.

Slow and obvious, for tests of the planner: partitions send `copies` units through their racks
(least to most), hosts (one) and members (1 where the member has no copy yet) into the members'
limits. What a member gets it passes on as first owner, as often as that is fair, or as one of the
others; there are as many first owners as partitions, though not one in each: so the flow needs no
more copies than a table, and a table that makes as few makes the fewest.

A least amount is an arc so cheap that no solution leaves it empty. Each round sends one unit along
a cheapest path, found by relaxing arcs until nothing changes (Bellman and Ford).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from math import ceil, floor

from lsmkv_cluster.placement.fair import fair_shares
from lsmkv_cluster.placement.site import Site

__all__ = ["fewest_copies", "is_fewest"]

OBLIGED = -1_000_000


class Network:
    """Arcs in pairs: number 2k there, 2k+1 back."""

    def __init__(self) -> None:
        self.arcs: dict[object, list[int]] = {}
        self.ends: list[object] = []
        self.room: list[int] = []
        self.cost: list[int] = []

    def add(self, start: object, end: object, room: int, cost: int) -> None:
        for node, other, units, price in ((start, end, room, cost), (end, start, 0, -cost)):
            self.arcs.setdefault(node, []).append(len(self.ends))
            self.ends.append(other)
            self.room.append(units)
            self.cost.append(price)

    def add_between(self, start: object, end: object, least: int, most: int) -> None:
        self.add(start, end, least, OBLIGED)
        self.add(start, end, most - least, 0)

    def send(self, source: object, sink: object) -> int | None:
        """One unit along a cheapest path: its cost, None when no path is left."""
        best: dict[object, int] = {source: 0}
        way: dict[object, int] = {}
        queue = deque([source])
        while queue:
            node = queue.popleft()
            for arc in self.arcs.get(node, ()):
                end, cost = self.ends[arc], best[node] + self.cost[arc]
                if self.room[arc] and cost < best.get(end, 1 << 60):
                    best[end], way[end] = cost, arc
                    queue.append(end)
        if sink not in best:
            return None
        node = sink
        while node != source:
            arc = way[node]
            self.room[arc] -= 1
            self.room[arc ^ 1] += 1
            node = self.ends[arc ^ 1]
        return best[sink]


def fewest_copies(site: Site, before: Sequence[Sequence[bytes]]) -> int:
    """REQUIRES: the site has members. AssertionError when the limits cannot be met at all."""
    fair = fair_shares(site, len(before))
    network = Network()
    obligations = len(before)
    network.add_between("first", "sink", len(before), len(before))
    network.add("other", "sink", (site.copies - 1) * len(before), 0)
    for number, (share, first) in enumerate(zip(fair.copies, fair.first, strict=True)):
        node = ("load", number)
        network.add_between(("member", number), node, floor(share), ceil(share))
        network.add_between(node, "first", floor(first), ceil(first))
        network.add(node, "other", ceil(share), 0)
        obligations += floor(share) + floor(first)
    for partition, row in enumerate(before):
        network.add("source", ("partition", partition), site.copies, 0)
        for rack, quota in site.quotas.items():
            node = ("rack", partition, rack)
            network.add_between(("partition", partition), node, quota.least, quota.most)
            obligations += quota.least
            for host in site.racks[rack]:
                network.add(node, ("host", partition, host), 1, 0)
        for number, member in enumerate(site.members):
            cost = 0 if member.id in row else 1
            network.add(("host", partition, member.host), ("member", number), 1, cost)
    total = 0
    for _ in range(site.copies * len(before)):
        cost = network.send("source", "sink")
        assert cost is not None, "no table keeps the rules"
        total += cost
    copies = total - obligations * OBLIGED
    assert 0 <= copies < -OBLIGED, "a least amount could not be met"
    return copies


def is_fewest(
    site: Site, before: Sequence[Sequence[bytes]], after: Sequence[Sequence[bytes]]
) -> bool:
    """Whether no allowed table makes fewer copies than `after`, which is one; fast enough for any.

    A flow has least cost exactly if what may still be changed contains no circle of negative cost:
    then relaxing arcs comes to an end.
    """
    arcs = list(_changeable(site, before, after))
    best: dict[object, int] = {}
    for _ in range(4 * len(before) * len(site.members) + 4):
        is_done = True
        for start, end, cost in arcs:
            if best.get(start, 0) + cost < best.get(end, 0):
                best[end] = best.get(start, 0) + cost
                is_done = False
        if is_done:
            return True
        if min(best.values()) < -2 * len(site.members) - 2:
            return False  # a path without a circle meets each member once
    return False


def _changeable(
    site: Site, before: Sequence[Sequence[bytes]], after: Sequence[Sequence[bytes]]
) -> Iterator[tuple[object, object, int]]:
    fair = fair_shares(site, len(before))
    numbers = {member.id: number for number, member in enumerate(site.members)}
    rows = [[numbers[id] for id in row if id in numbers] for row in after]
    for number, (share, first) in enumerate(zip(fair.copies, fair.first, strict=True)):
        load, firsts = sum(number in row for row in rows), sum(row[0] == number for row in rows)
        node = ("load", number)
        if load < ceil(share):
            yield ("member", number), node, 0
        if load > floor(share):
            yield node, ("member", number), 0
        if firsts < ceil(first):
            yield node, "first", 0
        if firsts > floor(first):
            yield "first", node, 0
        yield node, "other", 0
        if firsts < load:
            yield "other", node, 0
    for partition, row in enumerate(rows):
        for rack, quota in site.quotas.items():
            node = ("rack", partition, rack)
            count = sum(site.members[number].rack == rack for number in row)
            if count < quota.most:
                yield ("partition", partition), node, 0
            if count > quota.least:
                yield node, ("partition", partition), 0
            for host in site.racks[rack]:
                there = (node, ("host", partition, host))
                is_used = any(number in row for number in site.hosts[host])
                yield (*(there[::-1] if is_used else there), 0)
        for number, member in enumerate(site.members):
            cost = 0 if member.id in before[partition] else 1
            host_node, member_node = ("host", partition, member.host), ("member", number)
            if number in row:
                yield member_node, host_node, -cost
            else:
                yield host_node, member_node, cost
