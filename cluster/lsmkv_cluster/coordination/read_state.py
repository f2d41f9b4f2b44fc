"""One read under way: what was asked, what was heard. The steps stand in asking.py, reading.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lsmkv_cluster.coordination.calls import Call
from lsmkv_cluster.coordination.evidence import Heard
from lsmkv_cluster.coordination.view import Target
from lsmkv_cluster.placement.members import MemberId

__all__ = ["OtherToken", "OwnToken", "ReadSettings", "ReadState", "Wait"]


@dataclass(frozen=True, slots=True)
class ReadSettings:
    substitute_after_ms: int = 300  # until the next candidate is asked in any case
    hedge_after_min_ms: int = 2  # never sooner than this, however fast all are


class OwnToken(NamedTuple):
    """Of a Read order for several reads."""

    ids: tuple[int, ...]


class OtherToken(NamedTuple):
    """Of a READ of another member."""

    id: int
    member: MemberId
    owner: MemberId
    asked_ms: int
    wants_record: bool


class Wait(NamedTuple):
    """For an answer of a member in the place of `owner`."""

    owner: MemberId
    since_ms: int


@dataclass(slots=True, eq=False)
class ReadState:
    """One call under way. Whoever is in `waiting` and in `heard` has sent a digest and is asked for
    the record."""

    id: int
    call: Call
    candidates: list[Target]
    begun_ms: int
    waiting: dict[MemberId, Wait] = field(default_factory=dict)
    heard: dict[MemberId, Heard] = field(default_factory=dict)
    result: bytes | None = None
    is_writing_back: bool = False
    is_hedged: bool = False
    is_behind: bool = False  # somebody has a newer document
    wants_all: bool = False  # the client has seen more than enough have answered

    @property
    def key(self) -> bytes:
        return self.call.request.key
