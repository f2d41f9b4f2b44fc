"""One read under way: what was asked, what was heard. The steps stand in reading.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lsmkv_cluster.calls import Call
from lsmkv_cluster.evidence import Heard
from lsmkv_cluster.members import MemberId
from lsmkv_cluster.view import Target

__all__ = ["OtherToken", "OwnToken", "ReadSettings", "ReadState"]


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


@dataclass(slots=True, eq=False)
class ReadState:
    """One call under way. `waiting` maps a member to the owner it answers for."""

    id: int
    call: Call
    candidates: list[Target]
    begun_ms: int
    waiting: dict[MemberId, MemberId] = field(default_factory=dict)
    heard: dict[MemberId, Heard] = field(default_factory=dict)
    result: bytes | None = None
    is_writing_back: bool = False
    is_hedged: bool = False
    wants_all: bool = False  # the client has seen more than enough have answered

    @property
    def key(self) -> bytes:
        return self.call.request.key
