"""Anti-entropy: all keepers of every partition are compared, again and again, for ever.

This machine begins rounds (repair.py) when the schedule says so (repair_schedule.py), at most
`exchange_count_max` at a time, answers those of other owners (antientropy_answers.py), at most
`served_count_max` of them all (rounds_served.py), and scrubs (scrub.py). None begins, here or with
others, while the own store has no room for work of the background. Equal trees cost one small
message and its answer. Copies that are not read any more are handed over (handing_over.py) to those
that are.

`compare_now` is for operators who do not want to wait for the schedule (repair_request.py).

With a new document (`follow`) everything about partitions that have moved begins anew. No round
begins, and no tree of theirs is compared, before the store has carried out all that it was given
until then: a write that was taken for the place before must not be overlooked.

What the node has to know comes through `take_outputs`, besides the effects:

    Met          a partition that is not ready knows all that a co-owner had, durably; only from
                 rounds that began after it had become so
    HandedOver   a peer knows all that was here, durably
    Quarantined  something of a partition cannot be read: it is to be discarded and filled again
    LostDot      a peer has a write of this store that the store lacks: its epochs are to be
                 distrusted, durably; until then the record is refused, and asked for again
    RoundReport  of every round that has ended
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from lsmkv.kernel import MerkleTree
from lsmkv_cluster.healing.antientropy_answers import Answers
from lsmkv_cluster.healing.antientropy_messages import COMPARE
from lsmkv_cluster.healing.handing_over import HandOver
from lsmkv_cluster.healing.repair import Repair
from lsmkv_cluster.healing.repair_pairs import pairs_of, peers_of
from lsmkv_cluster.healing.repair_request import RepairProgress, RepairRequest
from lsmkv_cluster.healing.repair_rounds import Outcome, RoundPlan, RoundReport
from lsmkv_cluster.healing.repair_schedule import AntiEntropySettings, Pair, RepairSchedule
from lsmkv_cluster.healing.rounds_served import RoundsServed
from lsmkv_cluster.healing.scrub import Scrubber
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import (
    Alarm,
    Answered,
    Asked,
    Effect,
    Now,
    Random,
    Reply,
    Stored,
    StoreOrder,
    Unanswered,
)
from lsmkv_cluster.reconfiguration.transition_rules import confirming
from lsmkv_cluster.storage.engine_key import partition_tokens
from lsmkv_cluster.storage.storage_orders import Space, Sync

__all__ = [
    "AntiEntropy",
    "AntiEntropyReport",
    "HandedOver",
    "LostDot",
    "Met",
    "Output",
    "Quarantined",
]


@dataclass(frozen=True, slots=True)
class Met:
    """Everything that the peer had of the partition is merged and durable here."""

    partition: int
    peer: MemberId
    is_whole: bool = False  # the peer's copy lacked nothing: what counts for a move


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Everything that was here is merged and durable there; this copy is not read any more."""

    partition: int
    peer: MemberId


@dataclass(frozen=True, slots=True)
class Quarantined:
    partition: int


@dataclass(frozen=True, slots=True)
class LostDot:
    partition: int


Output = Met | HandedOver | Quarantined | LostDot | RoundReport


@dataclass(frozen=True, slots=True)
class AntiEntropyReport:
    """Since the start."""

    rounds: int
    equal: int
    gave_up: int
    ranges: int
    pulled: int
    pushed: int
    failures: int  # records that could not be pulled or pushed
    invalid: int  # of them, damaged records of peers
    running: int  # rounds, now
    scrubbed: int  # partitions
    corrected: int  # leaves of trees


class AntiEntropy:
    """`not_ready` says which kept partitions are to be met with all now; `is_whole`, whether the
    copy here lacks nothing; `is_busy`, whether the store has too much to do for repair."""

    def __init__(
        self,
        topology: Topology,
        me: MemberId,
        *,
        trees: Callable[[int], MerkleTree],
        reachable: Callable[[MemberId], bool],
        not_ready: Callable[[], Collection[int]],
        is_whole: Callable[[int], bool] = lambda partition: True,
        random: Random,
        settings: AntiEntropySettings | None = None,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._topology = topology
        self._me = me
        self._trees = trees
        self._reachable = reachable
        self._not_ready = not_ready
        self._is_whole = is_whole
        self._random = random
        self._settings = settings or AntiEntropySettings()
        kept = topology.kept_by(me)
        pairs = pairs_of(topology, me, kept)
        self._request = RepairRequest()
        self._schedule = RepairSchedule(pairs, me, random, self._settings, self._request)
        self._is_busy = is_busy
        open_max = self._settings.list_open_max
        self._answers = Answers(topology, me, trees, random, open_max, is_whole, is_busy)
        self._served = RoundsServed(self._settings.served_count_max)
        self._scrubber = Scrubber(kept, random, self._settings)
        self._rounds: dict[int, tuple[Repair | HandOver, Pair]] = {}
        self._round_id = 0
        self._followed = 0  # documents
        self._is_settled = True  # the store has done all from before the last of them
        self._has_begun = False
        self._postponed_ms = 0  # no round begins before, as the store has too much to do
        self._outputs: list[Output] = []
        self._totals = dict.fromkeys(
            ("rounds", "equal", "gave_up", "ranges", "pulled", "pushed", "failures", "invalid"), 0
        )

    def take_outputs(self) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def restart(self, now: Now, partition: int, delay_ms: int = 0) -> None:
        """The partition was discarded, or has to be filled for another reason: what was learned
        before does not count."""
        self._drop_rounds([partition])
        self._answers.forget(partition)
        self._schedule.restart(now.ms + delay_ms, partition)

    def follow(self, now: Now, topology: Topology) -> list[Effect]:
        """What was learned about partitions that have moved does not count any more."""
        moved = topology.moved_since(self._topology)
        self._topology = topology
        self._drop_rounds(moved)
        self._outputs = [
            output
            for output in self._outputs
            if not (isinstance(output, Met | HandedOver) and output.partition in moved)
        ]
        self._schedule.follow(now.ms, moved, pairs_of(topology, self._me, moved))
        for partition, peers in peers_of(topology, self._me, moved).items():
            if self._request.moved(partition, peers):
                self._schedule.hurry(now.ms, partition)
        self._scrubber.follow(topology.kept_by(self._me))
        effects = self._answers.follow(topology, moved)
        if moved:
            self._followed += 1
            self._is_settled = False
            effects.append(StoreOrder(("settle", self._followed), Sync()))
        return effects

    def compare_now(self, now: Now, partition: int | None = None) -> None:
        """This partition, or all that are kept here, with every co-owner, whoever's turn it is."""
        self._begin_schedule(now)
        kept = self._topology.kept_by(self._me)
        wanted = [each for each in kept if partition in (None, each)]
        self._request.add(peers_of(self._topology, self._me, wanted))
        for each in wanted:
            self._schedule.hurry(now.ms, each)

    @property
    def progress(self) -> RepairProgress:
        """Of what was to be compared now."""
        return self._request.progress(self._reachable)

    def _drop_rounds(self, partitions: Collection[int]) -> None:
        for round_id, (_, pair) in list(self._rounds.items()):
            if pair.partition in partitions:
                del self._rounds[round_id]

    @property
    def report(self) -> AntiEntropyReport:
        return AntiEntropyReport(
            running=len(self._rounds),
            scrubbed=self._scrubber.rounds,
            corrected=self._scrubber.corrected,
            **self._totals,
        )

    # --- the machine

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect]:
        effects: list[Effect] = []
        is_busy = self._is_busy()
        for request in requests:
            if request.opcode == COMPARE and not self._served.takes(
                now.ms, request, is_busy=is_busy
            ):
                effects.append(Reply(request.reply_to, OperationStatus.OVERLOADED))
                continue
            effect, compared, is_over = self._answers.asked(request)
            effects.append(effect)
            if compared is not None:
                self._schedule.was_asked(now.ms, compared, request.peer)
            if is_over:
                self._served.over(request)
        return effects

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Effect]:
        effects: list[Effect] = []
        touched: dict[int, None] = {}
        for answer in answers:
            round_id, serial = _parts(answer.token)
            if isinstance(round_id, int) and round_id in self._rounds:
                effects += self._rounds[round_id][0].answered(now, serial, answer)
                touched[round_id] = None
        return effects + self._go_on(now, touched)

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect]:
        effects: list[Effect] = []
        touched: dict[int, None] = {}
        for token, result in results:
            owner, serial = _parts(token)
            if owner == "settle":
                # Done or not, all that was ordered before is over.
                if serial == self._followed:
                    self._is_settled = True
                    self._answers.settle()
            elif owner == "answer":
                found, corrupt = self._answers.stored(serial, result)
                effects += found
                self._quarantine(now, corrupt)
            elif owner == "scrub":
                corrected = self._scrubber.corrected
                self._quarantine(now, self._scrubber.stored(now.ms, result))
                if self._scrubber.corrected > corrected:
                    effects.append(Alarm("a Merkle tree was wrong, and has been corrected"))
            elif isinstance(owner, int) and owner in self._rounds:
                effects += self._rounds[owner][0].stored(now, serial, result)
                touched[owner] = None
        return effects + self._go_on(now, touched)

    def tick(self, now: Now) -> list[Effect]:
        self._begin_schedule(now)
        for partition in self._schedule.become_not_ready(now.ms, self._not_ready()):
            self.restart(now, partition)
        effects: list[Effect] = []
        for repair, _ in self._rounds.values():
            effects += repair.tick(now)
        effects += self._go_on(now, dict.fromkeys(self._rounds))
        if self._may_begin and self._is_busy():
            self._postponed_ms = now.ms + self._settings.poll_ms
        while self._may_begin and now.ms >= self._postponed_ms:
            pair = self._schedule.next_pair(now.ms, self._reachable)
            if pair is None:
                break
            effects += self._begin(now, pair)
        not_ready = self._not_ready()
        scrub = self._scrubber.tick(now.ms, lambda partition: partition not in not_ready)
        if scrub is not None:
            effects.append(StoreOrder(("scrub", 0), scrub))
        return effects

    def next_deadline(self) -> int | None:
        if not self._has_begun:
            return 0
        found = [self._scrubber.next_deadline()]
        found += [repair.next_deadline() for repair, _ in self._rounds.values()]
        if self._may_begin and (due_ms := self._schedule.next_deadline()) is not None:
            found.append(due_ms if due_ms > self._postponed_ms else self._postponed_ms)
        return min((due_ms for due_ms in found if due_ms is not None), default=None)

    # --- rounds

    def _begin_schedule(self, now: Now) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._schedule.begin(now.ms)

    @property
    def _may_begin(self) -> bool:
        return self._is_settled and len(self._rounds) < self._settings.exchange_count_max

    def _begin(self, now: Now, pair: Pair) -> list[Effect]:
        self._round_id += 1
        partition = pair.partition
        tokens = partition_tokens(Space.DATA, self._topology.partitioning, partition)
        plan = RoundPlan(
            round_id=self._round_id,
            partition=partition,
            peer=pair.peer,
            tokens=tokens,
            cursor=tokens.first if pair.cursor is None else pair.cursor,
            exchange_id=self._random.getrandbits(64),
            must_sync=partition in self._not_ready(),
            wants_whole=self._counts_for_a_move(partition),
        )
        settings = self._settings.repair
        repair = Repair(plan, self._trees(partition), settings)
        begun = HandOver(repair, settings.answer_timeout_ms) if pair.gives else repair
        self._rounds[plan.round_id] = begun, pair
        self._request.began(partition, pair.peer)
        return [*begun.start(now)]

    def _counts_for_a_move(self, partition: int) -> bool:
        """Whether this copy is to confirm, and can: one that lacks something though it is read is
        filled by whatever there is, and confirms when it is whole."""
        topology, me = self._topology, self._me
        is_coming = topology.is_filling(partition, me)
        return me in confirming(topology, partition) and (is_coming or self._is_whole(partition))

    def _go_on(self, now: Now, touched: Collection[int]) -> list[Effect]:
        effects: list[Effect] = []
        for round_id in touched:
            if round_id not in self._rounds:
                continue
            repair, pair = self._rounds[round_id]
            effects += repair.go_on(now)
            if repair.report is not None:
                del self._rounds[round_id]
                pair.cursor = repair.cursor
                self._ended(now, pair, repair.report)
        return effects

    def _ended(self, now: Now, pair: Pair, report: RoundReport) -> None:
        self._outputs.append(report)
        totals = self._totals
        totals["rounds"] += 1
        totals["equal"] += report.outcome is Outcome.EQUAL
        totals["gave_up"] += report.outcome is Outcome.GAVE_UP
        totals["ranges"] += report.ranges
        totals["pulled"] += report.pulled
        totals["pushed"] += report.pushed
        totals["failures"] += report.pull_failures + report.push_failures
        totals["invalid"] += report.invalid
        if report.knows_all:
            is_moving = self._me in confirming(self._topology, report.partition)
            pair.was_met = report.is_whole or not is_moving
            self._outputs.append(Met(report.partition, report.peer, report.is_whole))
        if report.gave_all:
            pair.gives = False
            self._outputs.append(HandedOver(report.partition, report.peer))
        if report.has_lost_dot:
            self._outputs.append(LostDot(report.partition))
        is_wanted_again = self._request.ended(report)
        self._schedule.ended(now.ms, pair, report.outcome)
        if is_wanted_again:
            self._schedule.hurry(now.ms, report.partition)
        self._quarantine(now, report.partition if report.is_corrupt else None)

    def _quarantine(self, now: Now, partition: int | None) -> None:
        if partition is not None:
            self._outputs.append(Quarantined(partition))
            self.restart(now, partition, self._settings.retry_ms)


def _parts(token: object) -> tuple[object, int]:
    """Whose a token is, and its serial number."""
    assert isinstance(token, tuple)
    owner, serial = token
    assert isinstance(serial, int)
    return owner, serial
