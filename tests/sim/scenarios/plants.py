"""Rules switched off, one at a time: what a scenario is worth is that it then fails.

Each is a context manager that patches the product while it lasts, and says what it does without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lsmkv.kernel import RecordMerger, drop_range
from lsmkv_cluster import node
from lsmkv_cluster.boot import Boot
from lsmkv_cluster.coordination import minter, reading, writing
from lsmkv_cluster.coordination.calls import refusal
from lsmkv_cluster.coordination.coordinator import Coordinator
from lsmkv_cluster.coordination.requests import Reason
from lsmkv_cluster.coordination.view import Target, View
from lsmkv_cluster.healing.antientropy_answers import Answers
from lsmkv_cluster.healing.antientropy_messages import WHOLE
from lsmkv_cluster.healing.handover import Handover
from lsmkv_cluster.healing.hint_budget import Receivers
from lsmkv_cluster.healing.hint_pass import Dropped
from lsmkv_cluster.healing.hints import HintedHandoff
from lsmkv_cluster.healing.recovery import Recovery
from lsmkv_cluster.node import Node
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Unanswered
from lsmkv_cluster.reconfiguration import topology_changes
from lsmkv_cluster.reconfiguration.voter import Voter, Voting
from lsmkv_cluster.storage.copies import Copies
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.partition_trees import PartitionTrees
from lsmkv_cluster.storage.storage_orders import Drop, Entries, Failed, Failure, Read, Scrubbed
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.storage.store_marks import incomplete_key
from lsmkv_cluster.swim import member_table
from lsmkv_cluster.swim.suspicion import Verdict, judge
from lsmkv_cluster.transport.traffic import Traffic
from lsmkv_cluster.versions import hlc, minting
from lsmkv_cluster.versions.actor import SERIAL_BITS, ActorSource
from lsmkv_cluster.versions.deletion import is_deleted
from lsmkv_cluster.versions.record import ordered
from lsmkv_cluster.versions.record_format import decode, encode
from lsmkv_cluster.versions.vclock import Actor, Clock
from tests.sim import lab
from tests.sim.canaries import replaced
from tests.sim.loop import SECOND

__all__ = [
    "clocks_follow_anybody",
    "clocks_have_no_dots",
    "coming_copies_collect",
    "contexts_supersede_nothing",
    "counters_restart",
    "deadlines_are_relative",
    "dots_are_not_guarded",
    "empty_stores_are_ready",
    "epochs_outlive_losses",
    "errors_are_misses",
    "forced_is_next",
    "forwards_are_repeated",
    "hints_age_out",
    "late_writes_are_minted",
    "merges_are_capped",
    "merges_copy",
    "merges_cut_clocks",
    "merges_restamp_expiry",
    "nobody_looks_at_its_clock",
    "nobody_sleeps",
    "nothing_is_synced",
    "one_accuser_is_enough",
    "patience_is_short",
    "reachability_is_not_checked",
    "records_are_not_checked",
    "records_merge_without_dots",
    "stand_ins_count_in_strict_mode",
    "stand_ins_misses_count",
    "the_removed_are_waited_for",
    "the_wiped_vote",
    "times_outrank_contexts",
    "trees_do_not_follow",
    "unknown_is_called_refused",
    "whole_copies_alone_fill",
]


@contextmanager
def patience_is_short() -> Iterator[None]:
    """No rule: what is waited for in vain is not waited for long."""
    with replaced(lab, "LIMIT_US", 40 * SECOND):
        yield


@contextmanager
def counters_restart() -> Iterator[None]:
    """A miss is counter 0 of the same epoch for ever."""

    def fresh(self: ActorSource, start_s: int) -> Actor:
        return Actor(self.identity.node, self.identity.incarnation, 1 << SERIAL_BITS)

    with replaced(ActorSource, "_fresh", fresh):
        yield


@contextmanager
def dots_are_not_guarded() -> Iterator[None]:
    """A merge does not look whether it shows a lost write of this store."""
    with replaced(Store, "_new_merger", lambda self, space: RecordMerger()):
        yield


@contextmanager
def epochs_outlive_losses() -> Iterator[None]:
    """Whatever the end before, nothing is taken to be lost."""
    with replaced(Boot, "ended_cleanly", property(lambda self: True)):
        yield


@contextmanager
def errors_are_misses() -> Iterator[None]:
    """What cannot be read is not there."""
    read_one, one = Store._read_one, Store._one

    def read(self: Store, key: bytes) -> bytes | Failure | None:
        value = read_one(self, key)
        return None if value is Failure.CORRUPT else value

    def write(self: Store, space: Any, pair: Any, function: Any, merger: Any = None) -> Any:
        outcome = one(self, space, pair, function, merger)
        if outcome is not Failure.CORRUPT:
            return outcome
        for partition in self.trees:
            keys = self.trees.tokens(partition).keys
            drop_range(self._db, keys.start, keys.stop)
            self.trees.clear(partition)
        return one(self, space, pair, function, merger)

    def unless_failed(work: Any, nothing: Any) -> Any:
        def carry_out(self: Store, order: Any) -> Any:
            result = work(self, order)
            return nothing if isinstance(result, Failed) else result

        return carry_out

    with (
        replaced(Store, "_read_one", read),
        replaced(Store, "_one", write),
        replaced(Store, "_scrub", unless_failed(Store._scrub, Scrubbed(None, 0))),
        replaced(Store, "_list_entries", unless_failed(Store._list_entries, Entries((), None))),
    ):
        yield


# --- siblings and quorums ------------------------------------------------------------------------


@contextmanager
def clocks_have_no_dots() -> Iterator[None]:
    """A write supersedes all that is held, if its client has seen all of it, and else nothing."""
    seen_dots = minting._seen_dots

    def all_or_nothing(local: Any, seen: Any) -> Any:
        if local is None or not seen.clock.descends(local.clock):
            return frozenset()
        return seen_dots(local, seen)

    with replaced(minting, "_seen_dots", all_or_nothing):
        yield


@contextmanager
def merges_copy() -> Iterator[None]:
    """What is sent takes the place of what is held."""

    class Copying:
        hook = staticmethod(lambda key, old, operand: operand)
        missed_epoch = failed_side = None

    with replaced(Store, "_new_merger", lambda self, space: Copying()):
        yield


@contextmanager
def merges_are_capped(count_max: int) -> Iterator[None]:
    """The limit of siblings holds for repair, too."""
    merger = RecordMerger()

    class Capped:
        missed_epoch = failed_side = None

        @staticmethod
        def hook(key: bytes, old: bytes | None, operand: bytes) -> bytes | None:
            joined = merger.merge(old, operand)
            return old if len(decode(joined).items) > count_max else joined

    with replaced(Store, "_new_merger", lambda self, space: Capped()):
        yield


@contextmanager
def stand_ins_count_in_strict_mode() -> Iterator[None]:
    targets = View.targets

    def always_sloppy(self: View, place: Any, sloppy: bool) -> list[Target]:
        return targets(self, place, True)

    with replaced(View, "targets", always_sloppy):
        yield


@contextmanager
def stand_ins_misses_count() -> Iterator[None]:
    """Answers are counted, whoever gives them."""
    with replaced(reading, "counting", lambda heard: {answer.owner for answer in heard}):
        yield


@contextmanager
def records_merge_without_dots() -> Iterator[None]:
    """One clock for all items: of two concurrent records all of both stays."""
    merger = RecordMerger()

    class Dotless:
        missed_epoch = failed_side = None

        @staticmethod
        def hook(key: bytes, old: bytes | None, operand: bytes) -> bytes | None:
            joined = decode(merger.merge(old, operand))
            if old is not None:
                mine, other = decode(old), decode(operand)
                if mine.clock.is_concurrent(other.clock):
                    items = {item.dot: item for item in (*mine.items, *other.items)}
                    joined = replace(joined, items=ordered(items.values()))
            return encode(joined)

    with replaced(Store, "_new_merger", lambda self, space: Dotless()):
        yield


@contextmanager
def reachability_is_not_checked() -> Iterator[None]:
    """Whoever may be away, a write is minted."""
    with replaced(writing, "can_meet", lambda needed, candidates: True):
        yield


@contextmanager
def empty_stores_are_ready() -> Iterator[None]:
    """What is not here never was."""
    with (
        replaced(Boot, "lack", property(lambda self: None)),
        replaced(Recovery, "lost_everything", lambda self: []),
    ):
        yield


# --- outcomes, pauses, crashes, clocks -----------------------------------------------------------


@contextmanager
def nobody_sleeps() -> Iterator[None]:
    """What was received before a pause is as good as any."""
    with replaced(Node, "_was_asleep", lambda self, now: False):
        yield


@contextmanager
def nobody_looks_at_its_clock() -> Iterator[None]:
    """That it was set is not noticed before a step, but by the membership in its own time."""
    node_clock = type("NodeClock", (), {"moved_ms": lambda self, now: 0})
    with replaced(node, "OwnClock", node_clock):
        yield


@contextmanager
def late_writes_are_minted() -> Iterator[None]:
    """What the store has not come to is minted, whatever the client was told meanwhile."""
    with replaced(minter.MintBatch, "make_void", lambda self, index: None):
        yield


@contextmanager
def deadlines_are_relative() -> Iterator[None]:
    """The time for a request begins when its frame is read."""
    with replaced(Traffic, "_deadline_here", lambda self, now, peer, sent_ms: now.ms + 2000):
        yield


@contextmanager
def unknown_is_called_refused() -> Iterator[None]:
    """Too few answers are taken for "not done"."""
    with replaced(writing, "_unknown", lambda write: refusal(Reason.NOT_ENOUGH_REPLICAS)):
        yield


@contextmanager
def forwards_are_repeated() -> Iterator[None]:
    """Silence is answered by asking the next owner."""
    ended = Coordinator._forward_ended

    def again(self: Coordinator, now: Any, answer: Any, *rest: Any) -> None:
        if isinstance(answer, Unanswered):
            answer = answer._replace(never_sent=True)
        ended(self, now, answer, *rest)

    with replaced(Coordinator, "_forward_ended", again):
        yield


@contextmanager
def nothing_is_synced() -> Iterator[None]:
    """What was written is taken to be on stable storage."""

    def note(self: Store, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._db.delete(key)
        else:
            self._db.put(key, value)

    def remove_marks(self: Copies, partitions: Iterable[int], *, sync: bool = True) -> None:
        for partition in partitions:
            self._db.delete(incomplete_key(self._partitioning.slots_of(partition)))
            self.incomplete.pop(partition, None)

    with (
        replaced(Store, "_made_durable", lambda self: None),
        replaced(Store, "_note", note),
        replaced(Copies, "_remove_marks", remove_marks),
    ):
        yield


@contextmanager
def times_outrank_contexts() -> Iterator[None]:
    """What is newer by the clock is not superseded."""
    before = minter.mint

    def mint(local: Any, change: Any, actor: Any, stamp: int, **how: Any) -> Any:
        newer = {item.dot for item in (local.items if local else ()) if item.stamp > stamp}
        change = replace(change, superseded=frozenset(change.superseded - newer))
        return before(local, change, actor, stamp, **how)

    with replaced(minter, "mint", mint):
        yield


@contextmanager
def clocks_follow_anybody() -> Iterator[None]:
    with replaced(hlc, "is_acceptable", lambda stamp, now_ms, skew_limit_ms: True):
        yield


# --- what was deleted ----------------------------------------------------------------------------


@contextmanager
def hints_age_out() -> Iterator[None]:
    """A hint of more than a day is dropped, whether or not anybody has it."""
    go_on = HintedHandoff._go_on

    def drop(self: HintedHandoff, now: Any) -> list[Any]:
        oldest_ms = self._usage.oldest_ms
        if oldest_ms is not None and now.wall_ms - oldest_ms > 24 * 3600 * 1000:
            for current in self._passes.values():
                for entry in current._todo:
                    self._to_drop.append(Dropped(current.partition, entry.key, entry.digest, 0))
        return go_on(self, now)

    def always(self: Any, now_ms: int, owners: Any) -> Any:
        return set(owners)

    with replaced(HintedHandoff, "_go_on", drop), replaced(Receivers, "available", always):
        yield


@contextmanager
def trees_do_not_follow() -> Iterator[None]:
    """A merge leaves the tree as it was."""
    with replaced(PartitionTrees, "apply", lambda self, changes: None):
        yield


@contextmanager
def merges_restamp_expiry() -> Iterator[None]:
    """What comes from elsewhere lives as long again."""
    merger = RecordMerger()

    class Restamping:
        missed_epoch = failed_side = None

        @staticmethod
        def hook(key: bytes, old: bytes | None, operand: bytes) -> bytes | None:
            record = decode(merger.merge(old, operand))
            items = [replace(item, expiry_ms=item.expiry_ms + 60_000) for item in record.items]
            return encode(replace(record, items=tuple(items)))

    with replaced(Store, "_new_merger", lambda self, space: Restamping()):
        yield


@contextmanager
def merges_cut_clocks(threshold: int) -> Iterator[None]:
    """The receiver holds to its own limit, and tells nobody."""
    merger = RecordMerger()

    class Cutting:
        missed_epoch = failed_side = None

        @staticmethod
        def hook(key: bytes, old: bytes | None, operand: bytes) -> bytes | None:
            record = decode(merger.merge(old, operand))
            live = record.live()
            entries = dict(record.clock.entries)
            for actor in sorted(entries):
                if actor not in live and len(entries) > threshold:
                    del entries[actor]
            return encode(replace(record, clock=Clock(entries)))

    with replaced(Store, "_new_merger", lambda self, space: Cutting()):
        yield


# --- the chapter ---------------------------------------------------------------------------------


@contextmanager
def contexts_supersede_nothing() -> Iterator[None]:
    with replaced(minting, "_seen_dots", lambda local, seen: frozenset()):
        yield


@contextmanager
def records_are_not_checked() -> Iterator[None]:
    """What the engine reads is taken to be a record."""
    with replaced(Store, "_checked", lambda self, record: record):
        yield


@contextmanager
def one_accuser_is_enough() -> Iterator[None]:
    """Whoever does not answer this node for long enough is dead."""

    def judged(bounds: Any, waited_ms: int, confirmations: int, needed: int) -> Verdict:
        verdict = judge(bounds, waited_ms, confirmations, needed)
        return Verdict.CONFIRMED if verdict is Verdict.EXPIRED else verdict

    with replaced(member_table, "judge", judged):
        yield


# --- members and owners change -------------------------------------------------------------------


@contextmanager
def coming_copies_collect() -> Iterator[None]:
    """A copy that is being filled forgets a tombstone as soon as it has it."""
    before = Store._merge

    def merge(self: Store, order: Any) -> Any:
        result = before(self, order)
        keys = tuple(key for key, _ in order.records)
        if order.space is not Space.DATA or not self.incomplete:
            return result
        values = self._read(Read(order.space, keys)).values
        dead = [
            (key, self._digest(self._scheme.engine_key(order.space, key), value))
            for key, value in zip(keys, values, strict=True)
            if isinstance(value, bytes) and is_deleted(decode(value))
        ]
        self._drop(Drop(order.space, tuple(dead)))
        return result

    with replaced(Store, "_merge", merge):
        yield


@contextmanager
def forced_is_next() -> Iterator[None]:
    """What is forced is one more document of the same generation, as if it had been agreed on."""
    with replaced(topology_changes, "forced", topology_changes.successor):
        yield


@contextmanager
def whole_copies_alone_fill() -> Iterator[None]:
    """An exchange counts only with somebody who lacks nothing."""
    before = Answers._compare

    def compare(self: Answers, asked: Any) -> Any:
        return before(self, asked._replace(flags=WHOLE))

    with replaced(Answers, "_compare", compare):
        yield


@contextmanager
def the_removed_are_waited_for() -> Iterator[None]:
    """More than half of all new owners must have what is handed over, of whoever is left."""

    def is_enough(self: Handover, partition: int, given: set[MemberId]) -> bool:
        owners = self._topology.owners[partition]
        return 2 * len(given.intersection(owners)) > len(owners)

    with replaced(Handover, "_is_enough", is_enough):
        yield


@contextmanager
def the_wiped_vote() -> Iterator[None]:
    """Who has lost what it voted for votes as if it never had."""
    with replaced(Voter, "distrust", lambda self: self._remember(Voting(None, None))):
        yield
