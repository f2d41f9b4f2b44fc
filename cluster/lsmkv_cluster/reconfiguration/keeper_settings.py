"""How patient a keeper of the topology document is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KeeperSettings"]


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    answer_ms: int = 2_000  # how long an answer is waited for
    retry_min_ms: int = 50  # between two attempts to get a document chosen; doubled each time
    retry_max_ms: int = 1_000
    patience_ms: int = 10_000  # of an operator who asks for a change
    poll_interval_ms: int = 1_000  # between two rounds of reports
    conduct_after_ms: int = 5_000  # without a poll of a conductor, for each member before oneself
    fetch_interval_ms: int = 10_000  # between two questions for a newer document
    announce_again_ms: int = 2_000  # after a document that says where this node is was not had
    persist_again_ms: int = 1_000  # after the store could not
