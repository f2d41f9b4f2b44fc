"""One data centre as the planner sees it: members by number, and what may share a partition.

Members are numbered in the order of their ids; sets of them are bit masks. The rules for the copies
of one partition, none of which load may override:
- no two on one host;
- as many as asked for, or one for each host where there are too few;
- racks as even as their hosts allow: with the smallest level c at which all racks together, each
  giving at most c hosts, can hold the copies, every rack holds at most min(hosts, c) and at least
  min(hosts, c - 1). With more racks than copies that means: no two in one rack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lsmkv_cluster.placement.members import Member

__all__ = ["RackQuota", "Site", "bits", "set_of"]


def set_of(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)


def bits(mask: int) -> list[int]:
    """The members of a set, ascending."""
    found = []
    while mask:
        lowest = mask & -mask
        found.append(lowest.bit_length() - 1)
        mask ^= lowest
    return found


@dataclass(frozen=True)
class RackQuota:
    """How many copies of each partition a rack holds."""

    least: int
    most: int


@dataclass(frozen=True)
class Site:
    """REQUIRES: `members` all store data, are in one data centre and ascend by id."""

    dc: str
    members: tuple[Member, ...]
    replicas: int  # asked for

    @cached_property
    def hosts(self) -> dict[str, list[int]]:
        return _grouped(member.host for member in self.members)

    @cached_property
    def racks(self) -> dict[str, list[str]]:
        """The hosts of each rack."""
        rack_of = {member.host: member.rack for member in self.members}
        racks: dict[str, list[str]] = {}
        for host in self.hosts:
            racks.setdefault(rack_of[host], []).append(host)
        return dict(sorted(racks.items()))

    @cached_property
    def copies(self) -> int:
        """Owners that each partition gets here."""
        return min(self.replicas, len(self.hosts))

    @cached_property
    def even_most(self) -> int:
        """Copies that a rack would hold at most if every rack had hosts enough."""
        return -(-self.copies // max(1, len(self.racks)))

    @cached_property
    def quotas(self) -> dict[str, RackQuota]:
        sizes = {rack: len(hosts) for rack, hosts in self.racks.items()}
        level = 0
        while sum(min(size, level) for size in sizes.values()) < self.copies:
            level += 1
        return {
            rack: RackQuota(min(size, max(0, level - 1)), min(size, level))
            for rack, size in sizes.items()
        }

    # --- sets of members

    @cached_property
    def everybody(self) -> int:
        return (1 << len(self.members)) - 1

    @cached_property
    def host_masks(self) -> list[int]:
        """By member: those on its host."""
        masks = {host: set_of(numbers) for host, numbers in self.hosts.items()}
        return [masks[member.host] for member in self.members]

    @cached_property
    def _rack_numbers(self) -> list[int]:
        """By member: the number of its rack."""
        numbers = {rack: number for number, rack in enumerate(self.racks)}
        return [numbers[member.rack] for member in self.members]

    @cached_property
    def _rack_openings(self) -> dict[tuple[int, ...], int]:
        return {}

    def openings(self, owners: Sequence[int]) -> int:
        """Who may join these owners, fewer than `copies`, such that all rules can still be met.

        0 when they break a rule themselves.
        """
        mask = self._in_open_racks(tuple(sorted([self._rack_numbers[owner] for owner in owners])))
        for owner in owners:
            mask &= ~self.host_masks[owner]
        return mask

    def _in_open_racks(self, taken: tuple[int, ...]) -> int:
        """The same for racks alone; there are few combinations, so they are remembered."""
        known = self._rack_openings.get(taken)
        if known is None:
            known = self._rack_openings[taken] = self._find_open_racks(taken)
        return known

    def _find_open_racks(self, taken: tuple[int, ...]) -> int:
        quotas = list(self.quotas.values())
        counts = [taken.count(number) for number in range(len(quotas))]
        if any(count > quota.most for count, quota in zip(counts, quotas, strict=True)):
            return 0
        wanting = [max(0, q.least - count) for count, q in zip(counts, quotas, strict=True)]
        spare = self.copies - len(taken) - sum(wanting)
        if spare < 0:
            return 0
        open_racks = {
            number
            for number, quota in enumerate(quotas)
            if counts[number] < quota.most and (wanting[number] or spare)
        }
        return set_of(
            number for number, rack in enumerate(self._rack_numbers) if rack in open_racks
        )

    def keeps_rules(self, owners: Sequence[int]) -> bool:
        """Whether these are a full set of owners."""
        if len(owners) != self.copies:
            return False
        return all(
            self.openings([o for o in owners if o != owner]) >> owner & 1 for owner in owners
        )


def _grouped(names: Iterable[str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        groups.setdefault(name, []).append(number)
    return dict(sorted(groups.items()))
