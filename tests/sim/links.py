"""Who can reach whom: directed links between numbered machines, and the shapes of broken networks.

A shape is the set of directed pairs (source, target) that it blocks, as a sorted tuple. Blocks are
counted, so that overlapping faults end each for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "Links",
    "Pairs",
    "bridge",
    "cut_between",
    "isolated",
    "majorities_ring",
    "one_way",
]

Pairs = tuple[tuple[int, int], ...]


class Links:
    def __init__(self, count: int) -> None:
        self.count = count
        self._blocks = [[0] * count for _ in range(count)]
        self.opened: list[Callable[[int, int], None]] = []  # called for each pair that opens

    def is_open(self, source: int, target: int) -> bool:
        return not self._blocks[source][target]

    def is_open_both_ways(self, one: int, other: int) -> bool:
        return not self._blocks[one][other] and not self._blocks[other][one]

    def block(self, pairs: Pairs) -> None:
        for source, target in pairs:
            self._blocks[source][target] += 1

    def unblock(self, pairs: Pairs) -> None:
        for source, target in pairs:
            self._blocks[source][target] -= 1
            assert self._blocks[source][target] >= 0
        for source, target in pairs:
            if self.is_open(source, target):
                for told in self.opened:
                    told(source, target)


def one_way(sources: Iterable[int], targets: Iterable[int]) -> Pairs:
    """Nothing gets from the sources to the targets; answers would."""
    reached = sorted(set(targets))
    return tuple((a, b) for a in sorted(set(sources)) for b in reached if a != b)


def cut_between(one: Iterable[int], other: Iterable[int]) -> Pairs:
    one, other = sorted(set(one)), sorted(set(other))
    return one_way(one, other) + one_way(other, one)


def isolated(machine: int, count: int) -> Pairs:
    return cut_between([machine], [n for n in range(count) if n != machine])


def bridge(order: Sequence[int]) -> Pairs:
    """Two halves that see each other through one machine only: the one in the middle."""
    middle = len(order) // 2
    return cut_between(order[:middle], order[middle + 1 :])


def majorities_ring(order: Sequence[int]) -> Pairs:
    """Everybody sees a majority, and no two see the same."""
    count = len(order)
    reach = (count // 2 + 1) // 2
    pairs = []
    for i, a in enumerate(order):
        for j, b in enumerate(order):
            distance = min((i - j) % count, (j - i) % count)
            if distance > reach:
                pairs.append((a, b))
    return tuple(sorted(pairs))
