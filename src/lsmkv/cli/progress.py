"""A progress bar of one line on standard error; silent when that is not a terminal.

    with Progress("loading", total=size) as progress:
        ...
        progress.update(bytes_done, count)

Redrawn at most ten times a second, however often `update` is called, and wiped at the end.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

__all__ = ["Progress"]

REDRAW_SECONDS = 0.1
BAR_WIDTH = 30
ERASE_LINE = "\r\x1b[K"


class Progress:
    """How far a long operation is: `done` of `total` (None: unknown), and `count` things so far."""

    def __init__(
        self,
        label: str,
        total: int | None = None,
        *,
        unit: str = "entries",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._total = total
        self._unit = unit
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._visible = self._stream.isatty()
        self._started = clock()
        self._drawn = self._started
        self.count = 0

    def update(self, done: int, count: int) -> None:
        """Say where things stand."""
        self.count = count
        if not self._visible:
            return
        now = self._clock()
        if now - self._drawn >= REDRAW_SECONDS:
            self._drawn = now
            columns = shutil.get_terminal_size().columns
            self._stream.write(ERASE_LINE + self.text(done)[: columns - 1])
            self._stream.flush()

    def text(self, done: int) -> str:
        """The line as it is drawn."""
        count = f"{self.count:,} {self._unit}  {self.rate:,.0f}/s"
        if not self._total:
            return f"{self._label}  {count}"
        share = min(1.0, done / self._total)
        bar = "#" * int(BAR_WIDTH * share)
        return f"{self._label}  [{bar:<{BAR_WIDTH}}] {share:>4.0%}  {count}"

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return self._clock() - self._started

    @property
    def rate(self) -> float:
        """Things per second since the start."""
        return self.count / max(self.seconds, 1e-9)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._visible:
            self._stream.write(ERASE_LINE)
            self._stream.flush()
