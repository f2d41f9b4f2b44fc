"""Keyspaces: how requests for the keys with a certain prefix behave unless they say otherwise.

A key belongs to the keyspace with the longest prefix that it has; the one with the empty prefix
takes the rest. What a level means in numbers is for the quorum rules to say. How many copies there
are is the same for all keyspaces: trees and balance depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lsmkv_cluster.errors import TopologyError

__all__ = [
    "KEYSPACES_MAX",
    "PREFIX_SIZE_MAX",
    "Consistency",
    "Keyspace",
    "Level",
    "Mode",
    "Resolution",
]

KEYSPACES_MAX = 256
PREFIX_SIZE_MAX = 1024  # bytes


class Level(IntEnum):
    """Who has to answer. Numbers are persistent."""

    ONE = 1
    QUORUM = 2
    ALL = 3
    LOCAL_QUORUM = 4
    EACH_QUORUM = 5
    COUNT = 6


class Mode(IntEnum):
    """Numbers are persistent."""

    SLOPPY = 1  # the first healthy members take part
    STRICT = 2  # owners only, synced before the answer


class Resolution(IntEnum):
    """What becomes of concurrent writes. Numbers are persistent."""

    SIBLINGS = 1
    LAST_WRITER = 2
    CRDT = 3


@dataclass(frozen=True)
class Consistency:
    level: Level
    count: int = 0  # answers, of level COUNT only

    def __post_init__(self) -> None:
        if (1 <= self.count <= 255) != (self.level is Level.COUNT) or self.count < 0:
            raise TopologyError(f"level {self.level.name} with a count of {self.count}")

    def __str__(self) -> str:
        return str(self.count) if self.level is Level.COUNT else self.level.name


@dataclass(frozen=True)
class Keyspace:
    prefix: bytes = b""
    read: Consistency = Consistency(Level.QUORUM)
    write: Consistency = Consistency(Level.QUORUM)
    mode: Mode = Mode.SLOPPY
    resolution: Resolution = Resolution.SIBLINGS
    best_effort: bool = False  # whether locks and conditional writes are served without a promise

    def __post_init__(self) -> None:
        if len(self.prefix) > PREFIX_SIZE_MAX:
            raise TopologyError(f"a keyspace's prefix is at most {PREFIX_SIZE_MAX} bytes")
