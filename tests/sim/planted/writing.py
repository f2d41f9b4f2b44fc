"""Bugs in what a write is answered, and whose word counts for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lsmkv_cluster.coordination import replica, writing
from lsmkv_cluster.coordination.calls import Finish, refusal
from lsmkv_cluster.coordination.coordinator import Coordinator
from lsmkv_cluster.coordination.requests import Reason
from lsmkv_cluster.coordination.view import Place, Target, View
from lsmkv_cluster.coordination.writing import Writing
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.ports import Answered, Stored, StoreOrder, Unanswered
from lsmkv_cluster.storage.storage_orders import Done, Sync
from tests.sim.canaries import canary, replaced


@canary("done with one copy", "C1 acknowledged by too few")
def done_with_one_copy() -> Iterator[None]:
    """Whatever its level, a write is acknowledged by the first who has it (a store that answers
    from the primary and replicates behind its back loses the acknowledged writes of its death)."""
    with replaced(writing, "is_met", lambda needed, kept: bool(kept)):
        yield


@canary("silence is consent", "C1 acknowledged by too few")
def silence_is_consent() -> Iterator[None]:
    """A replica that does not answer counts as one that has the write, as where errors of a batch
    are counted and lost connections are not."""
    before = Writing.answered

    def answered(self: Writing, now: Any, answers: Sequence[Answered | Unanswered]) -> list[Any]:
        taken = [
            Answered(answer.token, answer.peer, OperationStatus.DONE, b"")
            if isinstance(answer, Unanswered)
            else answer
            for answer in answers
        ]
        return before(self, now, taken)

    with replaced(Writing, "answered", answered):
        yield


@canary("the own copy is not synced", "C1 acknowledged by too few")
def own_copy_is_not_synced() -> Iterator[None]:
    """A strict write counts the coordinator's copy before it is on stable storage: a loss of power
    takes one of the copies that were acknowledged."""
    before = Writing._minted

    def minted(self: Writing, now: Any, batch: Any, outcomes: Any, steps: list[Any]) -> None:
        found: list[Any] = []
        before(self, now, batch, outcomes, found)
        for step in found:
            if isinstance(step, StoreOrder) and isinstance(step.order, Sync):
                steps += self.stored(now, [Stored(step.token, Done())])
            else:
                steps.append(step)

    with replaced(Writing, "_minted", minted):
        yield


@canary("the sync flag is ignored", "C1 acknowledged by too few")
def sync_flag_is_ignored() -> Iterator[None]:
    """Replicas answer strict writes, replayed hints and repairs before these are on stable storage
    (the default of many stores: acknowledged from memory, synced once a while)."""
    with replaced(replica, "SYNC", 0):
        yield


@canary("refused though written", "U5 refused but written")
def refused_though_written() -> Iterator[None]:
    """A write that did not get enough copies is refused, as if nothing had been written: its client
    writes something else, and later both are there."""
    with replaced(writing, "_unknown", lambda write: refusal(Reason.NOT_ENOUGH_REPLICAS)):
        yield


@canary("a write is given to a second one", "U5 written twice")
def given_to_a_second_one() -> Iterator[None]:
    """A forwarded write that is not answered goes to another owner, though the first may have
    carried it out: one call makes two versions, and counts twice."""
    before = Coordinator._forward_ended

    def ended(self: Coordinator, now: Any, answer: Any, forward: Any, steps: list[Any]) -> None:
        if isinstance(answer, Unanswered) and now.ms < forward.call.deadline_ms:
            answer = answer._replace(never_sent=True)
        before(self, now, answer, forward, steps)

    with replaced(Coordinator, "_forward_ended", ended):
        yield


@canary("stand-ins count for strict writes", "C1 acknowledged by too few")
def stand_ins_count() -> Iterator[None]:
    """Strict writes and reads go to stand-ins where owners are away: two quorums need not meet any
    more (sloppy quorums, taken for quorums)."""
    before = View.targets

    def targets(self: View, place: Place, sloppy: bool) -> list[Target]:
        return before(self, place, True)

    with replaced(View, "targets", targets):
        yield


@canary("done at the deadline", "C1 acknowledged by too few")
def done_at_the_deadline() -> Iterator[None]:
    """A write that is minted and whose time is up is called done: it will get there, after all."""
    before = Writing._finish

    def finish(self: Writing, write: Any, answer: Any, steps: list[Finish]) -> None:
        if answer.reason is Reason.NOT_ENOUGH_REPLICAS and write.result is not None:
            answer = self._done(write)
        before(self, write, answer, steps)

    with replaced(Writing, "_finish", finish):
        yield
