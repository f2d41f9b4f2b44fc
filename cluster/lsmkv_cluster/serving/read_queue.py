"""Clients that send large commands are read one after the other: one read in each turn of the loop.

A read of a large command takes as long as the service of several small ones, and whoever has a
hundred connections could fill each turn with a hundred such reads. In this queue they share one, so
that everybody else waits for one at most; among themselves they take turns.

How much memory they take together is not known here (input_budget.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

__all__ = ["LARGE_COMMAND_SIZE", "ReadQueue", "Reader"]

LARGE_COMMAND_SIZE = 128 << 10  # bytes, announced or there: two reads, which need no queue


class Reader(Protocol):
    """A connection that has been read, and is not read again before it is its turn."""

    def read_on(self) -> None:
        """It is its turn."""


class ReadQueue:
    """`later` calls a function in the next turn of the loop."""

    def __init__(self, later: Callable[[Callable[[], None]], object]) -> None:
        self._later = later
        self._waiting: deque[Reader] = deque()

    def wait(self, reader: Reader) -> None:
        """Nobody waits twice at a time."""
        if not self._waiting:
            self._later(self._next)
        self._waiting.append(reader)

    def _next(self) -> None:
        reader = self._waiting.popleft()
        if self._waiting:
            self._later(self._next)
        reader.read_on()
