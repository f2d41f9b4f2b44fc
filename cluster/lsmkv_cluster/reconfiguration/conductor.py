"""Who moves things on: one member asks all how far they are, and has the next document proposed.

The one with the lowest id among the voters that it can reach conducts; or the next one, if nobody
was heard to conduct for a while: the first may have no vote, or not be able to reach others. Two
that conduct do no harm, as only one of their documents can be chosen. While something is open, and
once in each epoch, the conductor asks all voters for their reports, and says what the next document
changes as soon as all have answered or are not waited for any more. It keeps no report for the next
round: what was filled then may have been lost since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Ask, Effect, Now
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_messages import REPORT, MemberReport, encode_epoch
from lsmkv_cluster.reconfiguration.topology_changes import Fields
from lsmkv_cluster.reconfiguration.transition_rules import advance, is_open
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Conductor", "Polling"]


class Polling(NamedTuple):
    """The token of a question."""

    round: int


class Conductor:
    def __init__(
        self,
        me: MemberId,
        is_reachable: Callable[[MemberId], bool],
        has_vote: Callable[[], bool],
        report: Callable[[], MemberReport],
        settings: KeeperSettings,
    ) -> None:
        self._me = me
        self._is_reachable = is_reachable
        self._has_vote = has_vote
        self._report = report
        self._settings = settings
        self._round = 0
        self._waiting: set[MemberId] = set()
        self._reports: dict[MemberId, MemberReport] = {}
        self._judged: object = None  # the last reports that led to nothing, and their epoch
        self._epoch = 0  # in which it has had a look
        self._look_ms = 0
        self._polled_ms: int | None = None  # by a conductor

    def polled(self, now: Now, peer: MemberId) -> None:
        """A peer has asked for a report, and so conducts."""
        if peer < self._me:
            self._polled_ms = now.ms

    def _conducts(self, now: Now, document: Topology) -> bool:
        if not self._has_vote():
            return False
        if self._polled_ms is None:
            self._polled_ms = now.ms
        before = sum(id < self._me and self._is_reachable(id) for id in document.voters)
        return now.ms - self._polled_ms >= before * self._settings.conduct_after_ms

    def tick(self, now: Now, document: Topology) -> list[Effect]:
        """Reachability changes without telling, so that everybody looks."""
        if now.ms < self._look_ms:
            return []
        interval_ms = self._settings.poll_interval_ms
        self._look_ms = now.ms + interval_ms
        is_due = document.epoch != self._epoch or is_open(document)
        if not is_due or not self._conducts(now, document):
            return []
        self._round += 1
        others = [id for id in sorted(document.voters) if id != self._me and self._is_reachable(id)]
        self._waiting = set(others)
        self._reports = {self._me: self._report()}
        payload, token = encode_epoch(document.epoch), Polling(self._round)
        deadline_ms = now.ms + interval_ms * 3 // 4  # before the next round
        return [Ask(id, Lane.CONTROL, REPORT, payload, deadline_ms, token) for id in others]

    def hear(self, token: Polling, peer: MemberId, report: MemberReport | None) -> None:
        if token.round == self._round and peer in self._waiting:
            self._waiting.remove(peer)
            if report is not None:
                self._reports[peer] = report

    def judge(self, document: Topology) -> Fields | None:
        """What the next document changes, as far as this round says; asked for once a round."""
        if self._waiting or not self._reports:
            return None
        reports, self._reports = self._reports, {}
        self._epoch = document.epoch
        if (document.epoch, reports) == self._judged:
            return None  # planning takes a while
        fields = advance(document, reports)
        self._judged = (document.epoch, reports) if fields is None else None
        return fields

    def next_deadline(self) -> int:
        return self._look_ms
