"""The fewest copies that any allowed owner table has to make, by a plain flow of least cost.
 Slow and obvious, for tests of the planner: partitions send `copies` units through their racks
(least to most), hosts (one) and members (1 where the member has no copy yet) into the members'
limits. A least amount is an arc so cheap that no solution leaves it empty. Each round sends one
unit along a cheapest path, found by relaxing arcs until nothing changes (Bellman and Ford).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

from lsmkv_cluster.fair import fair_shares
from lsmkv_cluster.site import Site

__all__ = ["fewest_copies"]

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
    fair: Sequence[Fraction] = fair_shares(site, len(before)).copies
    network = Network()
    obligations = 0
    for number, share in enumerate(fair):
        network.add_between(("member", number), "sink", floor(share), ceil(share))
        obligations += floor(share)
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
