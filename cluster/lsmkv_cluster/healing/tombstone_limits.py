"""Limits of collecting what is deleted, and what operators see of it. Pure.

    TombstoneSettings   all limits
    Why, Blocker        who keeps tombstones from being collected, and since when
    Blockers            the table of them
    TombstoneReport     what there is, and what has happened

Times are monotonic milliseconds of this node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from lsmkv_cluster.healing.tombstone_messages import ENTRIES_MAX
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.versions.hlc import SKEW_LIMIT_MS

__all__ = [
    "Blocker",
    "Blockers",
    "TombstoneReport",
    "TombstoneSettings",
    "Why",
]


@dataclass(frozen=True, slots=True)
class TombstoneSettings:
    """How much and how fast. `lifetime_ms`: what anybody has read or sent longer ago has arrived,
    or never will; that of requests (traffic.py), and by how much they may be late."""

    lifetime_ms: int = 30_000 + SKEW_LIMIT_MS
    age_min_ms: int = 60_000  # of the newest write in a record, by the wall clock
    skew_limit_ms: int = SKEW_LIMIT_MS  # an expiry is past by that much before it is minted
    interval_ms: int = 10_000  # from one partition to the next
    page_interval_ms: int = 50
    page_count_max: int = 512  # records looked at in one order
    page_max_bytes: int = 1 << 20  # of them; a single one may be larger
    candidate_count_max: int = 16_384  # deleted records in memory; the others come after them
    candidate_max_bytes: int = 4 << 20  # of their keys
    question_count_max: int = 256  # entries
    question_max_bytes: int = 256 << 10  # of their keys; a single one may be larger
    answer_timeout_ms: int = 10_000
    hints_timeout_ms: int = 60_000  # for all members to be rid of older hints
    hints_again_ms: int = 5_000  # from one question to the next
    answer_open_max: int = 16  # questions of others that wait for the store

    def __post_init__(self) -> None:
        if not 1 <= self.question_count_max <= ENTRIES_MAX:
            raise ValueError(f"question_count_max must be in 1..{ENTRIES_MAX}")
        positive = (
            self.lifetime_ms,
            self.interval_ms,
            self.page_interval_ms,
            self.page_count_max,
            self.page_max_bytes,
            self.candidate_count_max,
            self.candidate_max_bytes,
            self.question_max_bytes,
            self.answer_timeout_ms,
            self.hints_timeout_ms,
            self.hints_again_ms,
            self.answer_open_max,
        )
        if min(positive) < 1 or self.skew_limit_ms < 0:
            raise ValueError("limits must be positive")
        if self.age_min_ms < self.skew_limit_ms:
            raise ValueError(f"age_min_ms must be {self.skew_limit_ms} at least")


# --- who is in the way ---------------------------------------------------------------------------


class Why(Enum):
    SILENT = "does not answer"
    REFUSES = "refuses to answer"
    FAILED = "its store fails"
    NOT_READY = "its copy is being filled"
    MOVED = "knows another place of the partition"
    DIFFERS = "has another record"
    HINTS_UNKNOWN = "has not counted its hints"
    HINTS = "keeps hints that may be older"


@dataclass(frozen=True, slots=True)
class Blocker:
    member: MemberId
    why: Why
    since_ms: int  # monotonic


class Blockers:
    """What was found in the present round over all partitions or the one before it."""

    __slots__ = ("_found", "_round")

    def __init__(self) -> None:
        self._found: dict[tuple[MemberId, Why], tuple[int, int]] = {}  # since, round
        self._round = 0

    def found(self, member: MemberId, why: Why, now_ms: int) -> None:
        since_ms, _ = self._found.get((member, why), (now_ms, 0))
        self._found[member, why] = since_ms, self._round

    def cleared(self, member: MemberId, whys: Iterable[Why]) -> None:
        for why in whys:
            self._found.pop((member, why), None)

    def next_round(self) -> None:
        """What was not found again is over."""
        self._found = {key: at for key, at in self._found.items() if at[1] == self._round}
        self._round += 1

    def keep(self, members: Iterable[MemberId]) -> None:
        """The others are no members any more."""
        kept = set(members)
        self._found = {key: at for key, at in self._found.items() if key[0] in kept}

    def listed(self) -> tuple[Blocker, ...]:
        """The longest first."""
        rows = [Blocker(member, why, at[0]) for (member, why), at in self._found.items()]
        return tuple(sorted(rows, key=lambda row: (row.since_ms, row.member, row.why.value)))


@dataclass(frozen=True, slots=True)
class TombstoneReport:
    """Of the partitions whose first owner this node is; what has happened since the start, and in
    `waiting`, `held_up` and `blockers` what there is."""

    collected: int  # records
    expired: int  # records in which a tombstone took the place of what had expired
    rounds: int  # over all those partitions
    waiting: int  # deleted records that the last looks found and that are still there
    held_up: int  # partitions that move or are being filled: nothing is looked at
    blockers: tuple[Blocker, ...]
