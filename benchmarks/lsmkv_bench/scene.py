"""A chart as a list of marks at pixels, before anybody draws it; scales and ticks to place them.

y grows downwards. A *tone* names a colour ("ink", "muted", "grid", "band", "series0", ...), so that
each renderer has its own light and dark ones. Nothing here knows SVG, matplotlib or a report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SHAPES = ("circle", "square", "triangle", "diamond", "cross")  # series differ by shape as well
SERIES_TONES = 6

# Corners of the shapes, of a radius of 1; a circle has none.
OUTLINES: dict[str, tuple[tuple[float, float], ...]] = {
    "square": ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)),
    "triangle": ((0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "cross": ((-1.1, -0.4), (-0.4, -0.4), (-0.4, -1.1), (0.4, -1.1), (0.4, -0.4), (1.1, -0.4),
              (1.1, 0.4), (0.4, 0.4), (0.4, 1.1), (-0.4, 1.1), (-0.4, 0.4), (-1.1, 0.4)),
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    x1: float
    y1: float
    x2: float
    y2: float
    tone: str = "grid"
    width: float = 1
    dashed: bool = False


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    tone: str
    note: str = ""  # shown when pointed at


@dataclass(frozen=True)
class Curve:
    points: tuple[tuple[float, float], ...]
    tone: str
    width: float = 2


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    shape: str
    tone: str
    radius: float = 4
    hollow: bool = False
    note: str = ""


@dataclass(frozen=True)
class Label:
    """`y` is the middle of the letters. `anchor` is "start", "middle" or "end"."""

    x: float
    y: float
    text: str
    tone: str = "ink"
    size: float = 12
    anchor: str = "start"
    bold: bool = False


Mark = Line | Box | Curve | Dot | Label


@dataclass(frozen=True)
class Scene:
    """`title` says in words what is to be seen, for those who cannot see it."""

    title: str
    width: float
    height: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Scale:
    """From a value in [low, high] to a pixel; values outside are put on the edge."""

    low: float
    high: float
    start: float
    end: float
    log: bool = True

    def __call__(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int = 8) -> list[float]:
        """Round numbers inside, at most about so many."""
        return log_ticks(self.low, self.high, most) if self.log else linear_ticks(self.high, most)


def log_scale(values: Sequence[float], start: float, end: float, margin: float = 1.15) -> Scale:
    """Holds all values with some air; a single value gets a whole octave."""
    low, high = min(values) / margin, max(values) * margin
    if high / low < 2:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(2), middle * math.sqrt(2)
    return Scale(low, high, start, end)


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """1-2-5 steps, or 1-3, or powers of ten, or every so many of them: the first that fits."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found: list[float] = []
    for step, digits in ((1, (1, 1.5, 2, 3, 4, 5, 7)), (1, (1, 2, 5)), (1, (1, 3)), (1, (1,)),
                         (2, (1,)), (3, (1,)), (6, (1,))):  # fmt: skip
        found = [
            float(f"{digit * 10.0**power:.6g}")
            for power in range(first, last + 1)
            if power % step == 0
            for digit in digits
        ]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) <= most:
            break
    return found


def linear_ticks(high: float, most: int) -> list[float]:
    """From 0 in steps of 1, 2 or 5 times a power of ten."""
    raw = high / max(most, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= raw * 0.999)
    return [float(f"{step * each:.6g}") for each in range(int(high / step * 1.0001) + 1)]


def spread_out(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves labels apart to at least `gap`, keeping their order, inside [low, high] if they fit."""
    order = sorted(range(len(places)), key=lambda each: places[each])
    moved = list(places)
    floor = low
    for each in order:
        moved[each] = max(moved[each], floor)
        floor = moved[each] + gap
    ceiling = high
    for each in reversed(order):
        moved[each] = min(moved[each], ceiling)
        ceiling = moved[each] - gap
    return moved
