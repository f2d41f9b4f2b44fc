"""Nodes by number, and each step of a node taken once.

A node does the same whenever it is the same and is given the same. So a cluster is four numbers and
what is on its way; machines run only when a node in a certain state is given something for the
first time, and that is once for many states of the cluster. To run them a node is made anew and
given all that led to its state, unless the last one that was run happens to be in it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.reconfiguration.paxos_messages import MemberReport
from lsmkv_cluster.storage.storage_orders import Space
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.record_format import decode
from lsmkv_cluster.versions.vclock import Dot
from tests.model.canonical import canonical
from tests.model.messages import Input, Output
from tests.model.node import ModelNode
from tests.model.setting import IDS, Setting

__all__ = ["Local", "LocalStates"]


@dataclass(frozen=True)
class Local:
    """What the cluster has to know of a node in one state. `answers`: by epoch, whether a strict
    reader of that epoch gets what is here."""

    index: int
    run: int
    epoch: int
    placed: int
    is_busy: bool
    has_orders: bool
    wanting: frozenset[MemberId]
    wants_whole: bool
    giving: frozenset[MemberId]
    open: frozenset[Hashable]
    waits: frozenset[tuple[MemberId, int]]  # whom it has asked, for which call
    clients: frozenset[int]  # calls of clients of its own that are under way
    report: MemberReport
    data: bytes | None
    durable: bytes | None
    hint: bytes | None
    record: Record | None
    is_kept: bool
    is_whole: bool
    answers: tuple[bool, ...]

    def knows(self, dot: Dot) -> bool:
        return self.record is not None and self.record.clock.covers(dot)


class LocalStates:
    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._from: list[tuple[int, Input] | None] = []
        self._steps: dict[tuple[int, Input], tuple[int, Output]] = {}
        self._last: tuple[int, ModelNode] | None = None
        self.known: list[Local] = []
        self.firsts = tuple(
            self._number(index, ModelNode(setting, IDS[index]), None) for index in range(len(IDS))
        )

    @property
    def step_count(self) -> int:
        return len(self._steps)

    def step(self, number: int, event: Input) -> tuple[int, Output]:
        """The state after it, and what came of it."""
        taken = self._steps.get((number, event))
        if taken is None:
            node = self._node(number)
            output = node.take(event)
            after = self._number(self.known[number].index, node, (number, event))
            self._last = after, node
            taken = self._steps[number, event] = after, output
        return taken

    def _node(self, number: int) -> ModelNode:
        """A node in this state, for the caller to change."""
        if self._last is not None and self._last[0] == number:
            node = self._last[1]
            self._last = None
            return node
        way: list[Input] = []
        at = number
        while (before := self._from[at]) is not None:
            at, event = before
            way.append(event)
        node = ModelNode(self._setting, IDS[self.known[number].index])
        for event in reversed(way):
            node.take(event)
        return node

    def _number(self, index: int, node: ModelNode, origin: tuple[int, Input] | None) -> int:
        key = (index, canonical(node))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.known)
            self.known.append(self._looked_at(index, node))
            self._from.append(origin)
        return number

    def _looked_at(self, index: int, node: ModelNode) -> Local:
        data = node.disk.records.get(Space.DATA)
        epochs = range(1, len(self._setting.documents) + 1)
        return Local(
            index=index,
            run=node.run,
            epoch=node.epoch,
            placed=node.parts.topology.placed[0],
            is_busy=node.is_busy,
            has_orders=bool(node.queue),
            wanting=node.wanting(),
            wants_whole=node.wants_whole(),
            giving=node.giving(),
            open=frozenset(node.open),
            waits=frozenset(node.open.values()),
            clients=frozenset(node.clients),
            report=node.report(),
            data=data,
            durable=node.disk.durable.get(Space.DATA),
            hint=node.disk.records.get(Space.HINT),
            record=None if data is None else decode(data),
            is_kept=node.me in node.parts.topology.keepers(0),
            is_whole=node.parts.is_ready(0),
            answers=(False, *[node.answers(epoch) for epoch in epochs]),
        )
