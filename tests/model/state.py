"""The state of a whole cluster of the model, and what is told of a step."""

from __future__ import annotations

from typing import NamedTuple

from lsmkv_cluster.versions.vclock import Dot

__all__ = ["IDLE", "PENDING", "Called", "Event", "World"]

IDLE, PENDING = 0, -1  # of a call, besides Outcome


class Called(NamedTuple):
    """What became of a call. `dots` are those that it minted, `gone` those that they took the place
    of; of a read `dots` are those that were acknowledged when it began."""

    state: int = IDLE
    dots: tuple[Dot, ...] = ()
    gone: tuple[Dot, ...] = ()
    context: bytes = b""


class World(NamedTuple):
    """`told`: who has reported, in this phase, to have filled, and to have handed over."""

    nodes: tuple[int, ...]  # numbers of their states (local_states.py)
    flight: tuple[int, ...]  # numbers of messages, ascending
    calls: tuple[Called, ...]
    decided: int
    told: tuple[tuple[bool, bool], ...]
    crashes: int
    fault: str = ""


class Event(NamedTuple):
    what: str
    who: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.who} {self.detail}".rstrip()
