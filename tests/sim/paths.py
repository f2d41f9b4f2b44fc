"""How good the paths between machines are: delays, losses, bandwidth.

Every directed path has a base quality; a fault of a machine worsens all its paths, and several
faults together are as bad as the worst of them in each respect.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Paths", "Quality"]


@dataclass(frozen=True)
class Quality:
    """Of all paths, or of those of one machine; `delay_us` is drawn evenly between two bounds.
    Chances are for each datagram, `stream_corruption` for each frame of a stream."""

    delay_us: tuple[int, int] = (200, 800)
    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    reordering: float = 0.0  # by a delay twenty times as long
    stream_corruption: float = 0.0
    bytes_per_us: float = 125.0

    def worse_of(self, other: Quality) -> Quality:
        return Quality(
            (
                max(self.delay_us[0], other.delay_us[0]),
                max(self.delay_us[1], other.delay_us[1]),
            ),
            max(self.loss, other.loss),
            max(self.duplication, other.duplication),
            max(self.corruption, other.corruption),
            max(self.reordering, other.reordering),
            max(self.stream_corruption, other.stream_corruption),
            min(self.bytes_per_us, other.bytes_per_us),
        )


class Paths:
    """The quality of every directed path: the worse of what its ends and the path itself have."""

    def __init__(self, count: int, base: Quality) -> None:
        self._count = count
        self._base = [[base] * count for _ in range(count)]
        self._of_machine: list[list[Quality]] = [[] for _ in range(count)]
        self._known: list[list[Quality | None]] = [[None] * count for _ in range(count)]

    def set_base(self, source: int, target: int, quality: Quality) -> None:
        self._base[source][target] = quality
        self._known[source][target] = None

    def worsen(self, machine: int, quality: Quality) -> None:
        self._of_machine[machine].append(quality)
        self._forget()

    def restore(self, machine: int, quality: Quality) -> None:
        self._of_machine[machine].remove(quality)
        self._forget()

    def quality(self, source: int, target: int) -> Quality:
        known = self._known[source][target]
        if known is None:
            known = self._base[source][target]
            for extra in self._of_machine[source] + self._of_machine[target]:
                known = known.worse_of(extra)
            self._known[source][target] = known
        return known

    def _forget(self) -> None:
        for row in self._known:
            row[:] = [None] * self._count
