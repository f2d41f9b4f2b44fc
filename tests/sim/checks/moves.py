"""What partitions owe when they move, whether or not a reader happens to notice.

C14  A copy that comes is whole when it has everything that strict calls were answered with before
     the move began. What they are answered with later, the next promise is about.
C14  When a partition is switched, enough of its new owners show everything that strict calls were
     answered with: so many that no reader whose level meets the keyspace's writes misses it.

Reads repair what they find lacking, and anti-entropy the rest: where these promises are broken it
takes luck to be caught by a reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lsmkv_cluster.versions.record import Record
from tests.sim.checks.evidence import Evidence, Finding
from tests.sim.history import Call

__all__ = ["coming_copies_are_whole", "new_owners_show_what_was_promised"]


def coming_copies_are_whole(evidence: Evidence) -> Iterator[Finding]:
    for fill in evidence.ledger.fills:
        for call, record in _promised(evidence, fill.key, fill.since):
            if fill.record is None or not evidence.shows(fill.record, record):
                text = f"n{fill.machine} was whole without what was answered to {call}"
                yield Finding("C14 coming copy incomplete", fill.key, text)
                break


def new_owners_show_what_was_promised(evidence: Evidence) -> Iterator[Finding]:
    for switch in evidence.ledger.switches:
        for call, record in _promised(evidence, switch.key, switch.number):
            lacking = _lacking(evidence, switch.records, record)
            if len(lacking) > switch.spare:
                names = " ".join(f"n{machine}" for machine in lacking)
                text = f"{names} became owners without what was answered to {call}"
                yield Finding("C14 switched too early", switch.key, text)
                break


def _promised(evidence: Evidence, key: bytes, until: int) -> Iterator[tuple[Call, Record]]:
    """What strict calls were answered with before this number, the last one first."""
    for call in reversed(evidence.calls_of(key)):
        if call.is_done and call.is_strict and call.replied is not None and call.replied < until:
            record = evidence.answer_record(call)
            if record is not None:
                yield call, record


def _lacking(
    evidence: Evidence, records: Mapping[int, Record | None], promised: Record
) -> list[int]:
    return [
        machine
        for machine, record in sorted(records.items())
        if record is None or not evidence.shows(record, promised)
    ]
