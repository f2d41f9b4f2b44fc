"""What an operator wants compared now: which pairs of partition and co-owner are left. Pure.

A pair is compared when a round with it that began after it was wanted has ended with nothing left.
Of three owners the one that asks gets from the last what it could not give to the first: so those
that were compared before a later round brought something are compared once more, and then no more,
or a partition that is written all the time would never be through.

A pair whose rounds fail too often is given up: its next round comes in its regular time. One whose
peer cannot be reached stays, and counts as missing until then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from lsmkv_cluster.healing.repair_rounds import Outcome, RoundReport
from lsmkv_cluster.placement.members import MemberId

__all__ = ["RepairProgress", "RepairRequest"]

FAILURES_MAX = 5  # of the rounds of a pair


@dataclass(frozen=True, slots=True)
class RepairProgress:
    """Since the first wish of those that are not fulfilled, or the last that was."""

    partitions: int = 0
    done: int = 0  # compared with all co-owners, or as far as that can be; all: it is over
    rounds: int = 0
    pulled: int = 0  # records that were merged here
    pushed: int = 0  # records that others have merged
    missing: tuple[tuple[MemberId, int], ...] = ()  # partitions that were not compared with them


@dataclass(slots=True)
class _Open:
    """A partition that is not through."""

    left: dict[MemberId, int]  # who is to be compared, and how many rounds have failed
    compared: list[MemberId] = field(default_factory=list)
    again: list[MemberId] = field(default_factory=list)  # they may lack what came later
    is_second: bool = False  # those are compared now
    begun: MemberId | None = None  # whose round runs, and counts


class RepairRequest:
    """`add` when somebody wants it, `began` and `ended` with every round."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._partitions: set[int] = set()
        self._rounds = self._pulled = self._pushed = 0
        self._given_up: Counter[MemberId] = Counter()

    def add(self, peers_by_partition: dict[int, list[MemberId]]) -> None:
        """What is on its way already begins anew, and what was done before it is forgotten."""
        if not self._open:
            self._partitions = set()
            self._rounds = self._pulled = self._pushed = 0
            self._given_up = Counter()
        for partition, peers in peers_by_partition.items():
            self._partitions.add(partition)
            self._set(partition, peers)

    def moved(self, partition: int, peers: Collection[MemberId]) -> bool:
        """It has other co-owners, or is not kept any more. Whether it is still to be compared."""
        if partition not in self._open:
            return False
        self._set(partition, peers)
        return partition in self._open

    def _set(self, partition: int, peers: Collection[MemberId]) -> None:
        self._open.pop(partition, None)
        if peers:
            self._open[partition] = _Open(dict.fromkeys(peers, 0))

    def wants(self, partition: int, peer: MemberId) -> bool:
        wanted = self._open.get(partition)
        return wanted is not None and peer in wanted.left

    def began(self, partition: int, peer: MemberId) -> None:
        if (wanted := self._open.get(partition)) is not None:
            wanted.begun = peer if peer in wanted.left else None

    def ended(self, report: RoundReport) -> bool:
        """Whether peers that were compared before are wanted once more."""
        wanted = self._open.get(report.partition)
        if wanted is None or wanted.begun != report.peer:
            return False
        wanted.begun = None
        self._rounds += 1
        self._pulled += report.pulled
        self._pushed += report.pushed
        if report.pulled and not wanted.is_second:
            wanted.again = list(wanted.compared)
        self._judge(wanted, report)
        if wanted.left:
            return False
        if not wanted.again or wanted.is_second:
            del self._open[report.partition]
            return False
        wanted.left, wanted.is_second = dict.fromkeys(wanted.again, 0), True
        return True

    def _judge(self, wanted: _Open, report: RoundReport) -> None:
        peer = report.peer
        if report.outcome in (Outcome.EQUAL, Outcome.REPAIRED):
            del wanted.left[peer]
            wanted.compared.append(peer)
        elif report.outcome is not Outcome.CUT_OFF:
            wanted.left[peer] += 1
            if wanted.left[peer] == FAILURES_MAX:
                del wanted.left[peer]
                self._given_up[peer] += 1

    def progress(self, reachable: Callable[[MemberId], bool]) -> RepairProgress:
        """Whom nobody can reach is not waited for."""
        missing = self._given_up.copy()
        waiting = 0
        for wanted in self._open.values():
            missing.update(peer for peer in wanted.left if not reachable(peer))
            waiting += any(reachable(peer) for peer in wanted.left)
        return RepairProgress(
            partitions=len(self._partitions),
            done=len(self._partitions) - waiting,
            rounds=self._rounds,
            pulled=self._pulled,
            pushed=self._pushed,
            missing=tuple(sorted(missing.items())),
        )
