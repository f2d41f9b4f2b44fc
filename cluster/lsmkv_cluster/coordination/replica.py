"""The serving side of a copy: merge what is sent, tell what is here.

All operations of a step become one order for each kind of work, so that a batch costs one batch.
What holds:
- a keeper keeps data, a stand-in keeps hints, nobody else keeps anything;
- what was sent in an epoch before the partition was placed here is refused: STALE_EPOCH;
- "nothing here" is said only of a partition whose copy is whole; while it is being filled, or
  cannot be read, the answer is NOT_READY, which no reader counts; only repair may ask all the same;
- a request is answered after its deadline as little as it is carried out: it expires;
- while more waits for the store than it can do (backlog.py) the answer is OVERLOADED, and nothing
  is done; work of the bulk lane is refused before that of requests;
- limits of clients do not apply here: what is stored elsewhere must be able to travel.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from lsmkv_cluster.coordination.replica_messages import (
    MERGE,
    READ,
    Found,
    ReplicaFlags,
    ReplicaStatus,
    decode_merge,
    decode_read,
    encode_failure,
    encode_found,
)
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.ports import Asked, Effect, Now, Reply, Stored, StoreOrder
from lsmkv_cluster.storage.backlog import Backlog, Work
from lsmkv_cluster.storage.storage_orders import Failed, Failure, Merge, Merged, Read, Space, Values
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Replica"]

# Plain numbers: this is done for every operation, and operators of flags cost ten times as much.
SYNC = int(ReplicaFlags.SYNC)
AS_HINT = int(ReplicaFlags.AS_HINT)
DIGEST = int(ReplicaFlags.DIGEST)
REPAIR = int(ReplicaFlags.REPAIR)
MERGE_FLAGS = SYNC | AS_HINT
BULK, BEGUN, BULK_LANE = Work.BULK, Work.BEGUN, Lane.BULK
READ_FLAGS = SYNC | AS_HINT | DIGEST | REPAIR


class _Merging(NamedTuple):
    reply_to: tuple[Hashable, ...]


class _Looking(NamedTuple):
    """`wanted`: reply_to, key and flags of each read."""

    wanted: tuple[tuple[Hashable, bytes, int], ...]


class Replica:
    """`take_hint(now, key, size)` says whether hints.py has room for a hint, and counts it;
    `digest` is that of stored records."""

    def __init__(
        self,
        view: View,
        digest: Callable[[bytes, bytes], int],
        take_hint: Callable[[Now, bytes, int], bool],
        backlog: Backlog,
    ) -> None:
        self._view = view
        self._digest = digest
        self._take_hint = take_hint
        self._backlog = backlog

    # --- requests

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect]:
        effects: list[Effect] = []
        merges: dict[tuple[Space, bool], list[tuple[Hashable, bytes, bytes]]] = {}
        reads: dict[tuple[Space, bool], list[tuple[Hashable, bytes, int]]] = {}
        for request in requests:
            if now.ms >= request.deadline_ms:
                effects.append(Reply(request.reply_to, OperationStatus.EXPIRED))
                continue
            try:
                if request.opcode == MERGE:
                    self._take_merge(now, request, merges, effects)
                elif request.opcode == READ:
                    self._take_read(request, reads, effects)
                else:
                    effects.append(Reply(request.reply_to, OperationStatus.UNKNOWN_OPCODE))
            except Malformed:
                effects.append(Reply(request.reply_to, OperationStatus.MALFORMED))
        for (space, sync), wanted in merges.items():
            token = _Merging(tuple([reply_to for reply_to, _, _ in wanted]))
            records = tuple([(key, record) for _, key, record in wanted])
            effects.append(StoreOrder(token, Merge(space, records, sync)))
        for (space, durable), looked in reads.items():
            keys = tuple([key for _, key, _ in looked])
            effects.append(StoreOrder(_Looking(tuple(looked)), Read(space, keys, durable)))
        return effects

    def _take_merge(
        self,
        now: Now,
        request: Asked,
        merges: dict[tuple[Space, bool], list[tuple[Hashable, bytes, bytes]]],
        effects: list[Effect],
    ) -> None:
        if request.flags & ~MERGE_FLAGS:
            effects.append(Reply(request.reply_to, OperationStatus.UNKNOWN_FLAGS))
            return
        key, record = decode_merge(request.payload)
        place = self._view.place_of(key)
        is_hint = bool(request.flags & AS_HINT) and not place.is_keeper
        if request.epoch < place.placed:
            effects.append(Reply(request.reply_to, OperationStatus.STALE_EPOCH))
        elif not is_hint and not place.is_keeper:
            effects.append(Reply(request.reply_to, ReplicaStatus.NOT_OWNER))
        elif not self._backlog.take(
            BULK if request.lane is BULK_LANE else BEGUN, len(request.payload)
        ):
            effects.append(Reply(request.reply_to, OperationStatus.OVERLOADED))
        elif is_hint and not self._take_hint(now, key, len(key) + len(record)):
            effects.append(Reply(request.reply_to, ReplicaStatus.HINTS_FULL))
        else:
            space = Space.HINT if is_hint else Space.DATA
            sync = bool(request.flags & SYNC)
            merges.setdefault((space, sync), []).append((request.reply_to, key, record))

    def _take_read(
        self,
        request: Asked,
        reads: dict[tuple[Space, bool], list[tuple[Hashable, bytes, int]]],
        effects: list[Effect],
    ) -> None:
        flags = request.flags
        if flags & ~READ_FLAGS:
            effects.append(Reply(request.reply_to, OperationStatus.UNKNOWN_FLAGS))
            return
        key = decode_read(request.payload)
        place = self._view.place_of(key)
        is_hint = bool(flags & AS_HINT) and not place.is_keeper
        if request.epoch < place.placed:
            effects.append(Reply(request.reply_to, OperationStatus.STALE_EPOCH))
            return
        if not is_hint and not place.is_keeper:
            effects.append(Reply(request.reply_to, ReplicaStatus.NOT_OWNER))
            return
        is_whole = place.is_owner and self._view.is_ready(place.partition)
        if not (is_hint or flags & REPAIR or is_whole):
            effects.append(Reply(request.reply_to, OperationStatus.NOT_READY))
            return
        if not self._backlog.take(BULK if request.lane is BULK_LANE else BEGUN, len(key)):
            effects.append(Reply(request.reply_to, OperationStatus.OVERLOADED))
            return
        space = Space.HINT if is_hint else Space.DATA
        durable = bool(flags & SYNC)
        reads.setdefault((space, durable), []).append((request.reply_to, key, flags))

    # --- results

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect]:
        effects: list[Effect] = []
        for token, result in results:
            if isinstance(token, _Merging):
                self._merged(token, result, effects)
            else:
                assert isinstance(token, _Looking)
                self._looked(token, result, effects)
        return effects

    def _merged(self, token: _Merging, result: object, effects: list[Effect]) -> None:
        outcomes = (
            result.outcomes
            if isinstance(result, Merged)
            else (_failure_of(result),) * len(token.reply_to)
        )
        for reply_to, outcome in zip(token.reply_to, outcomes, strict=True):
            effects.append(_failed(reply_to, outcome) or Reply(reply_to, OperationStatus.DONE))

    def _looked(self, token: _Looking, result: object, effects: list[Effect]) -> None:
        values = (
            result.values
            if isinstance(result, Values)
            else (_failure_of(result),) * len(token.wanted)
        )
        for (reply_to, key, flags), value in zip(token.wanted, values, strict=True):
            failed = _failed(reply_to, value)
            if failed is not None:
                effects.append(failed)
                continue
            assert not isinstance(value, Failure)
            if value is not None and flags & DIGEST:
                found = Found(digest=self._digest(key, value))
            else:
                found = Found(record=value)
            effects.append(Reply(reply_to, OperationStatus.DONE, encode_found(found)))

    # --- nothing else happens here

    def answered(self, now: Now, answers: Sequence[object]) -> list[Effect]:
        raise AssertionError("a replica asks nobody")

    def tick(self, now: Now) -> list[Effect]:
        return []

    def next_deadline(self) -> int | None:
        return None


def _failure_of(result: object) -> Failure:
    return result.failure if isinstance(result, Failed) else Failure.BROKEN


def _failed(reply_to: Hashable, outcome: object) -> Reply | None:
    """The answer to what the store could not do; None where it could."""
    if not isinstance(outcome, Failure):
        return None
    if outcome is Failure.CORRUPT:
        return Reply(reply_to, OperationStatus.NOT_READY)
    return Reply(reply_to, ReplicaStatus.FAILED, encode_failure(outcome))
