"""Causal histories by brute force: what versions mean, without clocks, dots or merging rules.

A write is a number, and knows the numbers of all writes that its author had seen. A copy is the set
of all writes it has ever heard of, directly or through what others had seen. Its live writes are
those that no write it has heard of had seen. Slow, and obviously right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Histories", "History"]

History = frozenset[int]


@dataclass
class Histories:
    """All writes of a run: for each its value and what its author had seen and replaced."""

    values: list[bytes] = field(default_factory=list)
    replaced: list[History] = field(default_factory=list)

    def write(self, copy: History, seen: History, value: bytes) -> History:
        """The copy after a write by somebody who has seen `seen`."""
        number = len(self.values)
        self.values.append(value)
        self.replaced.append(seen)
        return copy | seen | {number}

    def live(self, copy: History) -> set[int]:
        gone = {old for number in copy for old in self.replaced[number]}
        return set(copy) - gone

    def live_values(self, copy: History) -> list[bytes]:
        return sorted(self.values[number] for number in self.live(copy))
