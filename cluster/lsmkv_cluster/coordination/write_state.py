"""One write under way: what was minted, who was asked, who has it. Steps stand in writing.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lsmkv_cluster.coordination.calls import Call
from lsmkv_cluster.coordination.minter import MintBatch, MintResult
from lsmkv_cluster.coordination.view import Target
from lsmkv_cluster.placement.members import MemberId

__all__ = ["Shipped", "WriteBatch", "WriteSettings", "WriteState"]


@dataclass(frozen=True, slots=True)
class WriteSettings:
    substitute_after_ms: int = 300  # until a stand-in is asked in the place of a silent owner
    syncs_always: bool = False  # a copy counts once it is on stable storage, in every keyspace


class Shipped(NamedTuple):
    """Of a MERGE of another member. `attempt` counts the places that the write has had."""

    id: int
    member: MemberId
    owner: MemberId
    attempt: int


@dataclass(slots=True, eq=False)
class WriteState:
    """One call under way. `waiting`: who was asked, and the owner it answers for; `kept`: owners
    that have been answered for; `taken`: all who were ever asked."""

    id: int
    call: Call
    targets: list[Target]
    result: MintResult | None = None
    payload: bytes = b""
    waiting: dict[MemberId, MemberId] = field(default_factory=dict)
    kept: set[MemberId] = field(default_factory=set)
    taken: list[MemberId] = field(default_factory=list)
    attempt: int = 0

    @property
    def key(self) -> bytes:
        return self.call.request.key


@dataclass(slots=True)
class WriteBatch:
    writes: list[WriteState]
    minted: MintBatch
