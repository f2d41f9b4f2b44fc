"""How a voter that has lost its memory gets its vote back.

A store that was wiped, or put back as an older copy, does not know what it has promised. It must
not vote on any epoch that it may have voted on before, and the others know which those are: a
document is chosen by a majority whose members have all adopted the one before it. So if E is the
newest epoch among a majority of voters that remember, nothing newer than E + 1 was ever known here,
and nothing was promised for an epoch beyond E + 2: from E + 3 on the vote is good again.

Where the others are no majority without it, as in a cluster of two, the vote does not come back:
the member is replaced by one with another id, or a document is forced. Majorities of successive
documents meet as long as members come and go a few at a time, as the conductor lets them.
"""

from __future__ import annotations

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Ask, Effect, Now
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_messages import REPORT, MemberReport, encode_epoch
from lsmkv_cluster.reconfiguration.proposer import majority
from lsmkv_cluster.transport.wire import Lane

__all__ = ["EPOCHS_WITHOUT_VOTE", "Revoting", "Surveying"]

EPOCHS_WITHOUT_VOTE = 3  # beyond the newest that a majority knows


class Surveying:
    """The token of a question for a report."""


class Revoting:
    """Asks until it knows; `votes_from` is the answer."""

    def __init__(self, me: MemberId, settings: KeeperSettings) -> None:
        self._me = me
        self._settings = settings
        self._epochs: dict[MemberId, int] = {}
        self._ask_ms: int | None = None

    def begin(self) -> None:
        self._epochs = {}
        self._ask_ms = 0

    def hear(self, peer: MemberId, report: MemberReport | None) -> None:
        if report is not None and report.has_vote:
            self._epochs[peer] = report.epoch

    def votes_from(self, document: Topology) -> int | None:
        """Once, when a majority has told."""
        if self._ask_ms is None:
            return None
        told = [epoch for id, epoch in self._epochs.items() if id in document.voters]
        if len(told) < majority(len(document.voters)):
            return None
        self._ask_ms = None
        return max(told) + EPOCHS_WITHOUT_VOTE

    def tick(self, now: Now, document: Topology) -> list[Effect]:
        if self._ask_ms is None or now.ms < self._ask_ms:
            return []
        self._ask_ms = now.ms + self._settings.poll_interval_ms
        payload = encode_epoch(document.epoch)
        return [
            Ask(id, Lane.CONTROL, REPORT, payload, self._ask_ms, Surveying())
            for id in sorted(document.voters - {self._me})
        ]

    def next_deadline(self) -> int | None:
        return self._ask_ms
