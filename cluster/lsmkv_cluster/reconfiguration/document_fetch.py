"""Learning newer documents from others: one question at a time, to whoever seems to have one.

Whoever shows a newer epoch is asked; if that fails, all others that can be reached, once each. If
nobody gives it, the next frame of that epoch begins anew. Now and then somebody is asked without a
cause, so that a document reaches members that nobody talks to, and two documents of one epoch, both
forced, are noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Ask, Effect, Now, Random
from lsmkv_cluster.reconfiguration.adoption import Known
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_messages import FETCH, Fetch
from lsmkv_cluster.transport.wire import Lane

__all__ = ["DocumentFetch", "Fetching"]


class Fetching(NamedTuple):
    """The token of a question."""

    number: int


class DocumentFetch:
    def __init__(
        self,
        me: MemberId,
        is_reachable: Callable[[MemberId], bool],
        rng: Random,
        settings: KeeperSettings,
    ) -> None:
        self._me = me
        self._is_reachable = is_reachable
        self._rng = rng
        self._settings = settings
        self._number = 0
        self._is_open = False
        self._wanted = 0  # an epoch that somebody has
        self._sources: list[MemberId] = []  # who is asked next
        self._has_others = False  # all others were added to them
        self._look_ms = 0

    def heard(self, now: Now, peer: MemberId, epoch: int, newest: Known) -> list[Effect]:
        """A peer works by this epoch."""
        if epoch <= newest.epoch or peer == self._me:
            return []
        self._wanted = max(self._wanted, epoch)
        if peer not in self._sources:
            self._sources.insert(0, peer)
        return [] if self._is_open else self._ask(now, newest)

    def ended(self, now: Now, token: Fetching, newest: Known) -> list[Effect]:
        """The answer came, and what it brought is known, or none did."""
        if token.number != self._number:
            return []
        self._is_open = False
        if newest.epoch >= self._wanted:
            self._sources, self._has_others = [], False
            return []
        if not self._sources and not self._has_others:
            self._has_others = True
            self._sources = self._others(newest)
        return self._ask(now, newest)

    def _ask(self, now: Now, newest: Known) -> list[Effect]:
        if not self._sources:
            self._has_others = False
            return []
        self._is_open = True
        self._number += 1
        payload = Fetch(newest.epoch, newest.hash).encode()
        deadline_ms = now.ms + self._settings.answer_ms
        peer = self._sources.pop(0)
        return [Ask(peer, Lane.CONTROL, FETCH, payload, deadline_ms, Fetching(self._number))]

    def _others(self, newest: Known) -> list[MemberId]:
        """All that can be reached, from one at random on."""
        ids = [member.id for member in newest.document.members if member.id != self._me]
        able = [id for id in ids if self._is_reachable(id)]
        start = self._rng.randrange(len(able)) if able else 0
        return able[start:] + able[:start]

    def tick(self, now: Now, newest: Known) -> list[Effect]:
        if now.ms < self._look_ms:
            return []
        interval_ms = self._settings.fetch_interval_ms
        self._look_ms = now.ms + interval_ms // 2 + 1 + self._rng.randrange(interval_ms)
        if self._is_open:
            return []
        self._sources = self._sources or self._others(newest)[:1]
        return self._ask(now, newest)

    def next_deadline(self) -> int:
        return self._look_ms
