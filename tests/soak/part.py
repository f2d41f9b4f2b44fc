"""What a part of the soak is: numbered cases, each of which a number alone decides.

A case raises when something broken was found, and else says what it did, as counts. The first of
its counts is what the part is measured by.

The cases of a part that is lasting go on with what the last one left. They are given one directory
for the whole soak, and how much time there is.
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
NAMES = (
    "power_loss",
    "kill",
    "crash",
    "damage",
    "errors",
    "allocations",
    "model",
    "races",
    "large",
)
EXTRA = "LSMKV_SOAK_EXTRA"  # names one more, of the tests of the runner


@dataclass(frozen=True)
class Part:
    """`unit` is the count that says how much was done."""

    unit: str
    run_case: Callable[[int, Path], Counts]
    """The number of the case, and a directory that is empty and its own."""
    run_lasting: Callable[[int, Path, float], Counts] | None = None
    """Instead of it: the number, the directory of the part, and the seconds that are left."""


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
