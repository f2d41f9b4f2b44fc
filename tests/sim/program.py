"""What runs on simulated machines: the border between the simulator and the code under test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from lsmkv import DB
from lsmkv_cluster.driver_ports import Input, NodeEffect
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Now
from lsmkv_cluster.storage.storage_orders import Order, Result

__all__ = ["NodeLike", "Program", "Start", "StoreLike"]


class StoreLike(Protocol):
    def carry_out(self, order: Order) -> Result: ...
    def close(self) -> object: ...


class NodeLike(Protocol):
    def start(self, now: Now) -> list[NodeEffect]: ...
    def step(self, now: Now, inputs: Sequence[Input]) -> list[NodeEffect]: ...
    def next_deadline(self) -> int | None: ...


@dataclass(frozen=True)
class Start:
    """What a process finds when it starts."""

    topology: Topology
    me: MemberId
    is_log_sound: bool  # no repair since the last clean end
    is_founding: bool  # the cluster begins: an empty store is complete
    number: int  # of this start, larger with every start of the machine whatever its disk says
    random: Random


class Program(Protocol):
    """`settle_period_ms`: within two of these after the last fault all copies are equal.
    `detection_ms`: after that, an ill member is nobody's hope any more."""

    settle_period_ms: int
    detection_ms: int

    def start(self, database: DB, start: Start) -> tuple[NodeLike, StoreLike]:
        """CorruptionError when the database has to be repaired first."""
        ...

    def states_seen(self, node: NodeLike, now: Now) -> dict[MemberId, str]:
        """How a node sees the other members: "alive", "suspect", "unreachable" or "dead"."""
        ...

    def document(self, node: NodeLike) -> Topology | None:
        """The topology that a node has adopted; None for one that knows only one."""
        ...

    def has_vote(self, node: NodeLike) -> bool:
        """On the next topology."""
        ...

    def answers(self, node: NodeLike, partition: int) -> bool:
        """Whether it tells readers what it has of a partition."""
        ...

    def root(self, store: StoreLike, partition: int) -> int | None:
        """Of the Merkle tree of a partition; None for a store without trees."""
        ...

    def is_ready(self, node: NodeLike) -> bool:
        """Whether it serves reads of all that it owns, and mints."""
        ...
