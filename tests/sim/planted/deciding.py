"""Bugs in how the members agree on the next topology document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lsmkv_cluster.reconfiguration import document_keeper, proposals, proposer
from lsmkv_cluster.reconfiguration.acceptor import Acceptor
from lsmkv_cluster.reconfiguration.paxos_messages import Promise
from tests.sim.canaries import canary, replaced

DIFFER = "C13 documents differ"


@canary("no majority is needed", DIFFER)
def no_majority_is_needed() -> Iterator[None]:
    """Whoever proposes the next document has it: the highest number wins, and two sides of a cut
    have two documents of one number (Garage's layout apply)."""
    with (
        replaced(proposer, "majority", lambda voter_count: 1),
        replaced(proposals, "majority", lambda voter_count: 1),
    ):
        yield


@canary("a promise does not tell", DIFFER)
def promise_does_not_tell() -> Iterator[None]:
    """A voter that has accepted a document promises the next proposer without telling of it."""
    before = Acceptor.prepare

    def prepare(self: Acceptor, ballot: int) -> Any:
        state, answer = before(self, ballot)
        return state, Promise(0, b"") if isinstance(answer, Promise) else answer

    with replaced(Acceptor, "prepare", prepare):
        yield


@canary("a vote is forgotten at the restart", DIFFER)
def vote_is_forgotten() -> Iterator[None]:
    """What was promised and accepted is kept in memory alone."""

    def recovered(note: bytes | None, epoch: int) -> Acceptor:
        return Acceptor(epoch)

    with replaced(document_keeper, "recovered", recovered):
        yield


@canary("older ballots are accepted", DIFFER)
def older_ballots_are_accepted() -> Iterator[None]:
    """A promise binds nobody: what an earlier proposer asks to accept is accepted after it."""
    before = Acceptor.accept

    def accept(self: Acceptor, ballot: int, document: bytes) -> Any:
        return before(replace(self, promised=0, accepted=0), ballot, document)

    with replaced(Acceptor, "accept", accept):
        yield
