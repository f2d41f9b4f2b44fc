"""The side of collecting that is asked: is this record here, durably; are there hints; forget it.

An owner answers only about a partition whose place it knows as the asker does, that is settled, and
of which its own copy is whole. A copy that is being filled confirms nothing, and forgets nothing.
Of its hints every member tells. They are looked at before a sync and told after it: a hint that was
dropped shortly before could be back after a loss of power.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from lsmkv_cluster.coordination.replica_messages import ReplicaStatus, encode_failure
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.tombstone_messages import (
    COLLECT,
    CONFIRM,
    HINTS,
    Question,
    decode_question,
    encode_hint_age,
    encode_same,
)
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Asked, Effect, Now, Reply, StoreOrder
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Confirm,
    Confirmed,
    Done,
    Failed,
    Failure,
    Merged,
    Order,
    Result,
    Sync,
)

__all__ = ["CollectAnswers"]


@dataclass(frozen=True, slots=True)
class _Open:
    reply_to: Hashable
    hint_age_ms: int | None = None


class CollectAnswers:
    """`hint_age_ms(now)`: of the oldest hint here, None without hints, negative while that is not
    known. Tokens are ("answer", serial)."""

    def __init__(
        self,
        topology: Topology,
        me: MemberId,
        is_ready: Callable[[int], bool],
        hint_age_ms: Callable[[Now], int | None],
        open_max: int,
    ) -> None:
        self.topology = topology  # the caller's to replace
        self._me = me
        self._is_ready = is_ready
        self._hint_age_ms = hint_age_ms
        self._open_max = open_max
        self._open: dict[int, _Open] = {}
        self._serial = 0

    def asked(self, now: Now, asked: Asked) -> Effect:
        try:
            status = self._refusal(now, asked)
            if status is not None:
                return Reply(asked.reply_to, status)
            if asked.opcode == HINTS:
                return self._asked_for_hints(now, asked)
            question = decode_question(asked.payload)
            status = self._unable(question, asked.epoch)
        except Malformed:
            status = OperationStatus.MALFORMED
        if status is not None:
            return Reply(asked.reply_to, status)
        order = Confirm if asked.opcode == CONFIRM else Collect
        return self._order(_Open(asked.reply_to), order(question.entries))

    def _asked_for_hints(self, now: Now, asked: Asked) -> Effect:
        if asked.payload:
            raise Malformed("a question for hints of some bytes")
        age_ms = self._hint_age_ms(now)
        if age_ms is not None and age_ms < 0:
            return Reply(asked.reply_to, OperationStatus.NOT_READY)
        return self._order(_Open(asked.reply_to, age_ms), Sync())

    def _order(self, waiting: _Open, order: Order) -> StoreOrder:
        self._serial += 1
        self._open[self._serial] = waiting
        return StoreOrder(("answer", self._serial), order)

    def _refusal(self, now: Now, asked: Asked) -> int | None:
        if asked.opcode not in (CONFIRM, COLLECT, HINTS):
            return OperationStatus.UNKNOWN_OPCODE
        if asked.flags:
            return OperationStatus.UNKNOWN_FLAGS
        if now.ms >= asked.deadline_ms:
            return OperationStatus.EXPIRED
        return OperationStatus.OVERLOADED if len(self._open) >= self._open_max else None

    def _unable(self, question: Question, epoch: int) -> int | None:
        """Malformed for keys that lie elsewhere."""
        topology, partition = self.topology, question.partition
        if any(topology.partition_of(key) != partition for key, _ in question.entries):
            raise Malformed(f"keys that are not of partition {partition}")
        placed = topology.placed[partition]
        if epoch < placed or question.placed != placed:
            return OperationStatus.STALE_EPOCH
        if self._me not in topology.owners[partition]:
            return ReplicaStatus.NOT_OWNER
        is_settled = partition not in topology.transitions_by_partition
        if not (is_settled and self._is_ready(partition)):
            return OperationStatus.NOT_READY
        return None

    def stored(self, serial: int, result: Result) -> Effect:
        waiting = self._open.pop(serial)
        reply_to = waiting.reply_to
        if isinstance(result, Done):
            payload = encode_hint_age(waiting.hint_age_ms)
            return Reply(reply_to, OperationStatus.DONE, payload)
        if isinstance(result, Confirmed):
            return Reply(reply_to, OperationStatus.DONE, encode_same(result.same))
        if isinstance(result, Merged):
            failures = [each for each in result.outcomes if isinstance(each, Failure)]
            if not failures:
                same = [outcome is True for outcome in result.outcomes]
                return Reply(reply_to, OperationStatus.DONE, encode_same(same))
            failure = failures[0]
        else:
            failure = result.failure if isinstance(result, Failed) else Failure.BROKEN
        return Reply(reply_to, ReplicaStatus.FAILED, encode_failure(failure))
