"""What a part of the soak is: numbered cases, each of which a number alone decides.

A case raises when something broken was found, and else says what it did, as counts. The first of
its counts is what the part is measured by.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NAMES", "Counts", "Part", "load", "noted"]

Counts = dict[str, int]

# In the order of their turns; each is a module of this package with a PART.
NAMES = ("power_loss", "kill", "damage", "errors", "allocations", "model", "races", "large")
EXTRA = "LSMKV_SOAK_EXTRA"  # names one more, of the tests of the runner


@dataclass(frozen=True)
class Part:
    """`unit` is the count that says how much was done."""

    unit: str
    run_case: Callable[[int, Path], Counts]
    """The number of the case, and a directory that is empty and its own."""


def load(name: str) -> Part:
    """The part of that name; KeyError for another."""
    if name not in (*NAMES, os.environ.get(EXTRA)):
        raise KeyError(name)
    part = importlib.import_module(f"tests.soak.{name}").PART
    assert isinstance(part, Part)
    return part


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Say of whatever is raised inside where that was."""
    try:
        yield
    except BaseException as error:
        error.add_note(note)
        raise
