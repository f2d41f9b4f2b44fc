"""Fair shares: how many copies each member of a data centre ought to hold, as exact fractions.

In proportion to weight, as far as hosts and racks allow: a host holds a partition at most once, a
rack between its quota's least and most times. What a bounded host or rack cannot take, or has to
take, changes the share of all others by the same factor:

    racks a, b, c with 4, 4 and 1 equal hosts, 900 partitions of 3 copies
    one copy in each rack            a: 225 each    b: 225 each    c: 900, three times its weight

These shares can always be met to within one, whatever the rounding: cut each of them into equal
parts, one for each partition, and every rule holds for the parts; then it holds for some whole
numbers beside them, too, because hosts lie in racks and racks in the data centre. First owners do
follow weight, all of them: no member's share of them exceeds its share of copies, so the parts hold
them as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from lsmkv_cluster.placement.site import Site

__all__ = ["Bound", "FairShares", "fair_shares"]


@dataclass(frozen=True)
class Bound:
    """A host or rack whose share is not in proportion to its weight, because a rule is stronger.

    The last one is the host that makes up most, by ratio, for what others cannot take.
    """

    kind: str  # "host" or "rack"
    name: str
    wanted: Fraction  # copies in proportion to weight
    given: Fraction


@dataclass(frozen=True)
class FairShares:
    copies: tuple[Fraction, ...]  # by member; they add up to all copies of the data centre
    first: tuple[Fraction, ...]  # by member; they add up to the number of partitions
    bounds: tuple[Bound, ...]


def fair_shares(site: Site, partition_count: int) -> FairShares:
    """REQUIRES: at least one member."""
    weights = [member.weight for member in site.members]
    total_weight = sum(weights)
    racks = [_Rack(site, rack, partition_count) for rack in site.racks]
    total = Fraction(site.copies * partition_count)
    level = _solve(lambda level: sum((r.at(level) for r in racks), Fraction(0)), racks, total)

    shares = [Fraction(0)] * len(weights)
    bounds: list[Bound] = []
    hosts: list[Bound] = []
    for rack in racks:
        inner = rack.level_of(rack.at(level))
        for host in rack.hosts:
            given = min(Fraction(partition_count), inner * host.weight)
            for number in host.numbers:
                shares[number] = given * weights[number] / host.weight
            wanted = total * host.weight / total_weight
            hosts.append(Bound("host", host.name, wanted, given))
            if given == partition_count and given < wanted:
                bounds.append(hosts[-1])
        wanted = total * rack.weight / total_weight
        if rack.is_bounded(level) and rack.at(level) != wanted:
            bounds.append(Bound("rack", rack.name, wanted, rack.at(level)))
    if bounds:
        bounds.append(max(hosts, key=lambda host: host.given / host.wanted))
    first = tuple(Fraction(partition_count * weight, total_weight) for weight in weights)
    return FairShares(tuple(shares), first, tuple(bounds))


@dataclass(frozen=True)
class _Host:
    name: str
    numbers: Sequence[int]
    weight: int


class _Rack:
    """What a rack takes when every unbounded host takes `level` copies for each unit of weight."""

    def __init__(self, site: Site, name: str, partition_count: int) -> None:
        self.name = name
        self.hosts = [
            _Host(host, site.hosts[host], sum(site.members[n].weight for n in site.hosts[host]))
            for host in site.racks[name]
        ]
        self.weight = sum(host.weight for host in self.hosts)
        self._full = Fraction(partition_count)  # a host that holds every partition
        quota = site.quotas[name]
        self._least, self._most = quota.least * self._full, quota.most * self._full

    def at(self, level: Fraction) -> Fraction:
        return min(max(self._sum(level), self._least), self._most)

    def is_bounded(self, level: Fraction) -> bool:
        return self.at(level) != self._sum(level)

    def level_of(self, amount: Fraction) -> Fraction:
        """The level at which the hosts, without the quota, take this much."""
        rest, weight = amount, self.weight
        for host in sorted(self.hosts, key=lambda host: -host.weight):
            if rest * host.weight <= self._full * weight:
                return rest / weight
            rest, weight = rest - self._full, weight - host.weight
        return self._full / min(host.weight for host in self.hosts)  # every host is full

    @cached_property
    def corners(self) -> list[Fraction]:
        """The levels at which `at` bends."""
        full = [self._full / host.weight for host in self.hosts]
        return [*full, self.level_of(self._least), self.level_of(self._most)]

    def _sum(self, level: Fraction) -> Fraction:
        return sum((min(self._full, level * host.weight) for host in self.hosts), Fraction(0))


def _solve(
    taken: Callable[[Fraction], Fraction], racks: Sequence[_Rack], total: Fraction
) -> Fraction:
    """The level at which `total` is taken: between two corners it grows in a straight line."""
    corners = sorted({Fraction(0), *(corner for rack in racks for corner in rack.corners)})
    low, high = 0, len(corners) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if taken(corners[middle]) >= total else (middle + 1, high)
    if low == 0:
        return corners[0]
    left, right = corners[low - 1], corners[low]
    below, above = taken(left), taken(right)
    return left + (right - left) * (total - below) / (above - below)
