"""Bugs in when deleted records may be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lsmkv_cluster.coordination.replica_messages import ReplicaStatus
from lsmkv_cluster.healing.collect_answers import CollectAnswers
from lsmkv_cluster.healing.collecting import Phase, Sweep
from lsmkv_cluster.healing.tombstones import TombstoneCollector
from lsmkv_cluster.ports import Unanswered
from tests.sim.canaries import canary, replaced

RESURRECTED = "C4 resurrected"


@canary("silent members agree", RESURRECTED)
def silent_members_agree() -> Iterator[None]:
    """Who does not answer has no other record, and keeps no hint: deletes are collected while an
    owner, or a stand-in, is away (Cassandra once its grace period is over)."""
    told, member_told = Sweep._told, Sweep._member_told

    def owner_agrees(self: Sweep, answer: Any) -> Any:
        same, why = told(self, answer)
        return (True,) * len(self._same) if isinstance(answer, Unanswered) else same, why

    def member_agrees(self: Sweep, member: Any, answer: Any) -> None:
        if isinstance(answer, Unanswered):
            self._missing.pop(member, None)
        else:
            member_told(self, member, answer)

    with (
        replaced(Sweep, "_told", owner_agrees),
        replaced(Sweep, "_member_told", member_agrees),
    ):
        yield


@canary("collected while it moves", RESURRECTED)
def collected_while_it_moves() -> Iterator[None]:
    """The owners of today agree on what to forget while those of before, who were not asked, still
    have it to hand over (Garage, before it waited a day)."""

    def unable(self: CollectAnswers, question: Any, epoch: int) -> int | None:
        is_owner = self._me in self.topology.owners[question.partition]
        return None if is_owner else ReplicaStatus.NOT_OWNER

    with (
        replaced(CollectAnswers, "_unable", unable),
        replaced(TombstoneCollector, "_may_sweep", lambda self, p: self._is_ready(p)),
    ):
        yield


@canary("collected without waiting", RESURRECTED)
def collected_without_waiting() -> Iterator[None]:
    """When all owners have the same tombstone it is forgotten, whatever is under way to them: what
    a reader, a stand-in or a delayed frame carries comes after it."""
    before = Sweep._go_on

    def go_on(self: Sweep, now: Any) -> list[Any]:
        effects = before(self, now)
        if self.phase is not Phase.AGING:
            return effects
        self.phase = Phase.COLLECTING
        self._due_ms = None
        self._chunks = self._in_chunks(self._proven)
        return [*effects, *self._ask_all(now)]

    with replaced(Sweep, "_go_on", go_on):
        yield
