"""What a node of the model is given, and what comes of it: plain values, equal when they mean the
same, so that a step that was taken once need not be taken again."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from lsmkv_cluster.coordination.requests import ClientAnswer
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.versions.record import Item
from lsmkv_cluster.versions.vclock import Dot

__all__ = [
    "Adopt",
    "Answer",
    "Arrive",
    "Begin",
    "Crash",
    "Given",
    "GiveUp",
    "Hear",
    "Input",
    "Minted",
    "Output",
    "Pull",
    "Question",
    "Sync",
    "Take",
]


class Question(NamedTuple):
    """`run` of the asker, `epoch` of its document when it asked; `op` is the call it serves."""

    to: MemberId
    asker: MemberId
    run: int
    op: int
    epoch: int
    opcode: int
    flags: int
    payload: bytes
    token: Hashable


class Answer(NamedTuple):
    to: MemberId
    run: int
    by: MemberId
    op: int
    opcode: int
    status: int
    payload: bytes
    token: Hashable


class Minted(NamedTuple):
    """What a store wrote for a call, and what of its record that took the place of."""

    op: int
    items: tuple[Item, ...]
    superseded: tuple[Dot, ...]


class Output(NamedTuple):
    sent: tuple[Question | Answer, ...]
    finished: tuple[tuple[int, ClientAnswer], ...]
    minted: tuple[Minted, ...]


# --- what a node is given; `is_late`: the store comes to it only after the next document ----------


@dataclass(frozen=True, slots=True)
class Begin:
    """`slow`: whom the node takes for the slowest, and reads last."""

    op: int
    context: bytes
    slow: MemberId | None
    is_late: bool


@dataclass(frozen=True, slots=True)
class Arrive:
    question: Question
    is_late: bool


@dataclass(frozen=True, slots=True)
class Hear:
    answer: Answer


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Whatever was asked for this call is not answered any more."""

    op: int


@dataclass(frozen=True, slots=True)
class Sync:
    """The store comes to the syncs that wait."""


@dataclass(frozen=True, slots=True)
class Adopt:
    epoch: int


@dataclass(frozen=True, slots=True)
class Crash:
    """A new run begins at once; what was not synced is gone, if the power was lost."""

    loses: bool


@dataclass(frozen=True, slots=True)
class Pull:
    """Of an exchange the half after which all that the peer had is here, durably."""

    peer: MemberId
    record: bytes | None
    is_whole: bool  # the peer's copy, and it was asked whether


@dataclass(frozen=True, slots=True)
class Take:
    """Of an exchange the other half, at the peer: what was pushed is durable here."""

    record: bytes | None


@dataclass(frozen=True, slots=True)
class Given:
    """All that is here is durable at the peer."""

    peer: MemberId


Input = Begin | Arrive | Hear | GiveUp | Sync | Adopt | Crash | Pull | Take | Given
