"""Bringing what was read to owners whose copy is older.

A strict read must not be answered before as many owners as a write needs keep the result on stable
storage: `begin` with a Need, and the outcome comes back as Kept. Any other read is answered first,
and `mend` sends its result to those who lack it without waiting for anything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lsmkv_cluster.coordination.quorum import Need, is_met
from lsmkv_cluster.coordination.replica_messages import MERGE, ReplicaFlags, encode_merge
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Answered, Ask, Effect, Now, Stored, StoreOrder, Unanswered
from lsmkv_cluster.storage.storage_orders import Merge, Merged, Space
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Kept", "KeptToken", "WriteBack"]

MEND_TIMEOUT_MS = 2000


class KeptToken(NamedTuple):
    """`id` None: nobody waits for it."""

    id: int | None
    owner: MemberId


class Kept(NamedTuple):
    """A write-back is over; `enough` or not."""

    id: int
    enough: bool


@dataclass(slots=True)
class _Job:
    needed: Need
    keeping: set[MemberId]
    waiting: set[MemberId] = field(default_factory=set)


class WriteBack:
    def __init__(self, view: View) -> None:
        self._view = view
        self._jobs: dict[int, _Job] = {}
        self.mended = 0

    def begin(
        self,
        id: int,
        key: bytes,
        record: bytes,
        keeping: Collection[MemberId],
        needed: Need,
        deadline_ms: int,
    ) -> tuple[list[Effect], list[Kept]]:
        """`keeping`: the owners that are known to have exactly this record on stable storage."""
        job = _Job(needed, set(keeping))
        if is_met(needed, job.keeping):
            return [], [Kept(id, True)]
        owners = self._view.reachable_keepers(self._view.place_of(key))
        job.waiting.update(owner for owner in owners if owner not in job.keeping)
        if not is_met(needed, job.keeping | job.waiting):
            return [], [Kept(id, False)]
        self._jobs[id] = job
        lacking = [owner for owner in owners if owner in job.waiting]
        return self._send(lacking, key, record, deadline_ms, id, Lane.DATA), []

    def mend(
        self, now: Now, key: bytes, record: bytes, lacking: Collection[MemberId]
    ) -> list[Effect]:
        self.mended += len(lacking)
        return self._send(lacking, key, record, now.ms + MEND_TIMEOUT_MS, None, Lane.BULK)

    def _send(
        self,
        owners: Collection[MemberId],
        key: bytes,
        record: bytes,
        deadline_ms: int,
        id: int | None,
        lane: Lane,
    ) -> list[Effect]:
        """Synced where somebody waits for it."""
        sync = id is not None
        flags = ReplicaFlags.SYNC if sync else ReplicaFlags.NONE
        payload = encode_merge(key, record)
        effects: list[Effect] = []
        for owner in owners:
            token = KeptToken(id, owner)
            if owner == self._view.me:
                effects.append(StoreOrder(token, Merge(Space.DATA, ((key, record),), sync)))
            else:
                effects.append(Ask(owner, lane, MERGE, payload, deadline_ms, token, flags))
        return effects

    def answered(self, answers: Sequence[Answered | Unanswered]) -> list[Kept]:
        over: list[Kept] = []
        for answer in answers:
            assert isinstance(answer.token, KeptToken)
            if isinstance(answer, Answered) and answer.status == OperationStatus.STALE_EPOCH:
                continue  # there is a newer document: the read begins anew when it is here
            self._note(answer.token, isinstance(answer, Answered) and answer.is_done, over)
        return over

    def stored(self, results: Sequence[Stored]) -> list[Kept]:
        over: list[Kept] = []
        for token, result in results:
            assert isinstance(token, KeptToken)
            good = isinstance(result, Merged) and isinstance(result.outcomes[0], bool)
            self._note(token, good, over)
        return over

    def _note(self, token: KeptToken, good: bool, over: list[Kept]) -> None:
        job = self._jobs.get(token.id) if token.id is not None else None
        if job is None or token.id is None:
            return
        job.waiting.discard(token.owner)
        if good:
            job.keeping.add(token.owner)
        enough = is_met(job.needed, job.keeping)
        if enough or not is_met(job.needed, job.keeping | job.waiting):
            del self._jobs[token.id]
            over.append(Kept(token.id, enough))

    def forget(self, id: int) -> None:
        self._jobs.pop(id, None)
