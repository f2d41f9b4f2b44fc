"""The acceptor of this node between questions and stable storage: no answer leaves before it is
remembered.

Refusals need not wait: they promise nothing. The state in memory may be ahead of the note while an
order is under way, or if one failed; it has then promised more than it has said, which is safe.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import NamedTuple

from lsmkv_cluster.ports import StoreOrder
from lsmkv_cluster.reconfiguration.acceptor import NEVER, Acceptor
from lsmkv_cluster.reconfiguration.paxos_messages import Accepted, NoVote, Outbid, Promise
from lsmkv_cluster.storage.storage_orders import Remember

__all__ = ["PAXOS_NOTE", "Vote", "Voter", "Voting"]

PAXOS_NOTE = b"paxos"


class Vote(NamedTuple):
    """An answer that may be given. None: it could not be remembered."""

    to: Hashable
    answer: Promise | Accepted | Outbid | NoVote | None


class Voting(NamedTuple):
    """The token of an order: the answer that waits for it. `to` None: nobody waits."""

    to: Hashable
    answer: Promise | Accepted | None


class Voter:
    def __init__(self, state: Acceptor) -> None:
        self.state = state

    def decide(self, epoch: int) -> None:
        """From now on about this epoch."""
        self.state = self.state.deciding(epoch)

    def distrust(self) -> StoreOrder:
        """The disk is an old copy, and what was promised on the newer one is not known."""
        self.state = replace(self.state, votes_from=NEVER)
        return self._remember(Voting(None, None))

    def trust_from(self, epoch: int) -> StoreOrder:
        """What it may have forgotten was about earlier epochs (revoting.py)."""
        self.state = replace(self.state, votes_from=epoch)
        return self._remember(Voting(None, None))

    def prepare(self, to: Hashable, ballot: int) -> StoreOrder | Vote:
        self.state, answer = self.state.prepare(ballot)
        return self._answer(to, answer)

    def accept(self, to: Hashable, ballot: int, document: bytes) -> StoreOrder | Vote:
        self.state, answer = self.state.accept(ballot, document)
        return self._answer(to, answer)

    def _answer(
        self, to: Hashable, answer: Promise | Accepted | Outbid | NoVote
    ) -> StoreOrder | Vote:
        if isinstance(answer, Promise | Accepted):
            return self._remember(Voting(to, answer))
        return Vote(to, answer)

    def _remember(self, token: Voting) -> StoreOrder:
        return StoreOrder(token, Remember(PAXOS_NOTE, self.state.encode()))

    def stored(self, token: Voting, *, is_done: bool) -> Vote:
        return Vote(token.to, token.answer if is_done else None)
