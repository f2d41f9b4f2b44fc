"""What every copy owes for itself, whether or not a reader happens to notice.

C5  What a copy had on stable storage when a strict call was answered, it shows to all strict
    readers from then on: it has it still, or says that it is not whole. Where each copy keeps to
    that, two quorums that meet see everything; where one does not, it takes luck to be caught.
C1  A hint is dropped when every owner has had all of it on stable storage, and not before. (Early
    only where there is no room for it or it is hours old, which no run comes to.)
C2  After a loss a store does not count on with an actor that it may have lost dots of: by luck the
    next one is new, or its twin is not met.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.vclock import Actor
from tests.sim.checks.evidence import Evidence, Finding
from tests.sim.history import Call
from tests.sim.ledger import FAILED, Holding, Lookup, MintEvent

__all__ = [
    "actors_end_with_a_loss",
    "copies_show_what_they_have_promised",
    "hints_stay_until_all_have_them",
]

# Damage is still read, or found out: then it is discarded, or repaired. After a failed sync all may
# be there nevertheless.
UNSURE = ("damaged", FAILED)


@dataclass(frozen=True)
class _Promise:
    """A record that a strict call was answered with, and who had it."""

    call: Call
    record: Record
    machines: frozenset[int]


def copies_show_what_they_have_promised(evidence: Evidence) -> Iterator[Finding]:
    for key in evidence.keys:
        promises = list(_promises(evidence, key))
        for lookup in evidence.lookups_of(key):
            for promise in promises:
                replied = promise.call.replied
                if replied is None or replied > lookup.number:
                    continue
                if lookup.machine in promise.machines and not _shows(evidence, lookup, promise):
                    text = f"n{lookup.machine} shows a reader less than it had for {promise.call}"
                    yield Finding("C5 incomplete copy", key, text)
                    break


def _promises(evidence: Evidence, key: bytes) -> Iterator[_Promise]:
    for call in evidence.calls_of(key):
        if not call.is_done or not call.is_strict:
            continue
        record = evidence.answer_record(call)
        if record is None:
            continue
        assert call.replied is not None
        machines = [
            machine
            for machine in evidence.copies[key]
            if evidence.synced_at(machine, key, record, call.replied) is not None
        ]
        yield _Promise(call, record, frozenset(machines))


def _shows(evidence: Evidence, lookup: Lookup, promise: _Promise) -> bool:
    shown = evidence.with_collected(lookup.key, lookup.record, lookup.number)
    return shown is not None and evidence.shows(shown, promise.record)


def hints_stay_until_all_have_them(evidence: Evidence) -> Iterator[Finding]:
    for drop in evidence.ledger.drops:
        for owner in sorted(drop.keepers):
            if evidence.synced_at(owner, drop.key, drop.record, drop.number) is None:
                text = f"n{drop.machine} dropped a hint that n{owner} does not have"
                yield Finding("C1 hint dropped early", drop.key, text)


def actors_end_with_a_loss(evidence: Evidence) -> Iterator[Finding]:
    for key in evidence.keys:
        used: dict[tuple[int, Actor], MintEvent] = {}  # the last by each actor of each machine
        for mint in evidence.mints_of(key):
            for actor in {dot.actor for dot in mint.dots}:
                before = used.get((mint.machine, actor))
                used[mint.machine, actor] = mint
                loss = _lost_between(evidence, before, mint) if before is not None else None
                if loss is not None:
                    text = f"n{mint.machine} counts on with {actor}, of whose dots it lost some"
                    yield Finding("C2 actor outlives a loss", key, f"{text} ({loss})")


def _lost_between(evidence: Evidence, before: MintEvent, later: MintEvent) -> str | None:
    """What took a mint from the machine that made it, before it made the later one."""
    held = Holding(before.number, before.key, before.space, before.after)
    for loss in evidence.ledger.losses_of(before.machine, held):
        if loss.number < later.number and loss.kind not in UNSURE:
            return loss.kind
    return None
