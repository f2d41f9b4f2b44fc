"""Planted bugs: each switches off one rule of the product, and the checkers must find out.

A canary is a context manager that patches the product while it lasts. `python -m tests.sim.run
--canary NAME --seeds 1000` looks for the first seed that finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from inspect import Parameter, isfunction, signature

__all__ = ["CANARIES", "Canary", "canary", "replaced"]

Patch = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Canary:
    """`promises`: one of them has to be broken, because a bug that makes runs different also finds
    what has nothing to do with it. None: any."""

    name: str
    text: str  # the rule that it breaks
    patch: Patch
    promises: frozenset[str] = frozenset()

    def broken_in(self, violations: Iterable[str]) -> str | None:
        """The first promise by which these violations find it."""
        broken = (text.partition(" (")[0] for text in violations)
        return next((each for each in broken if not self.promises or each in self.promises), None)


CANARIES: dict[str, Canary] = {}


def canary(
    name: str, *promises: str
) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Iterator[None]]]:
    """Enter a generator function that patches, yields once and restores; its docstring says which
    rule it breaks, `promises` what the checkers have to say then."""

    def enter(function: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        assert name not in CANARIES, name
        assert function.__doc__, name
        assert promises, name
        text = function.__doc__.strip()
        CANARIES[name] = Canary(name, text, contextmanager(function), frozenset(promises))
        return function

    return enter


@contextmanager
def replaced(owner: object, attribute: str, value: object) -> Iterator[None]:
    """The attribute of a module or class, for a while."""
    before = vars(owner)[attribute]
    if isfunction(before) and isfunction(value):
        _check_fit(before, value)
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        setattr(owner, attribute, before)


def _check_fit(before: Callable[..., object], after: Callable[..., object]) -> None:
    """TypeError when calls of the one do not fit the other: the product has changed, and a bug that
    makes it raise is no bug that anybody finds."""
    parameters = signature(before).parameters.values()
    needed = [p for p in parameters if p.default is p.empty]
    if not (_takes(after, needed) or _takes(after, parameters)):
        raise TypeError(f"{after} takes other arguments than {before}")


def _takes(function: Callable[..., object], parameters: Iterable[Parameter]) -> bool:
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    by_place = [p for p in parameters if p.kind in kinds]
    by_name = {p.name: p for p in parameters if p.kind is Parameter.KEYWORD_ONLY}
    try:
        signature(function).bind(*by_place, **by_name)
    except TypeError:
        return False
    return True
