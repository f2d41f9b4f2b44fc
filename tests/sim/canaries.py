"""Planted bugs: each switches off one rule of the product, and the checkers must find out.

A canary is a context manager that patches the product while it lasts. `python -m tests.sim.run
--canary NAME --seeds 1000` looks for the first seed that finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

__all__ = ["CANARIES", "Canary", "canary", "replaced"]

Patch = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Canary:
    name: str
    text: str  # the rule that it breaks
    patch: Patch


CANARIES: dict[str, Canary] = {}


def canary(name: str) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Iterator[None]]]:
    """Enter a generator function that patches, yields once and restores; its docstring says which
    rule it breaks."""

    def enter(function: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        assert name not in CANARIES, name
        assert function.__doc__, name
        CANARIES[name] = Canary(name, function.__doc__.strip(), contextmanager(function))
        return function

    return enter


@contextmanager
def replaced(owner: object, attribute: str, value: object) -> Iterator[None]:
    """The attribute of a module or class, for a while."""
    before = vars(owner)[attribute]
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        setattr(owner, attribute, before)
