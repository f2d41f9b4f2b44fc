"""C16: what a client let expire is seen until then, and never after it.

Who answers judges by its own clock, so what is seen may be off by as much as that clock is, and by
nothing else. That nobody takes a value away before its time, as the true clock says, is for
checks/causality.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from lsmkv_cluster.versions.record import Item, Kind, Record
from lsmkv_cluster.versions.visible import visible
from tests.sim.checks.evidence import Evidence, Finding
from tests.sim.history import Call
from tests.sim.loop import true_ms

__all__ = ["what_expires_is_seen_until_then"]


def what_expires_is_seen_until_then(evidence: Evidence) -> Iterator[Finding]:
    for call in evidence.calls:
        record = evidence.answer_record(call) if call.is_done else None
        if record is not None:
            yield from _judged(evidence, call, record)


def _judged(evidence: Evidence, call: Call, record: Record) -> Iterator[Finding]:
    now_ms = true_ms(call.replied_us)
    clock_ms = now_ms + call.clock_error_ms
    seen = {item.dot for kind in _kinds(record) for item in visible(record, clock_ms, kind)}
    earliest_ms, latest_ms = min(now_ms, clock_ms), max(now_ms, clock_ms)
    for item in record.items:
        asked_ms = _asked_for(evidence, call.key, item)
        if asked_ms is None:
            continue
        if item.dot in seen and 0 < asked_ms <= earliest_ms:
            text = f"{call}: {_shown(item)} expired {now_ms - asked_ms} ms before"
            yield Finding("C16 read after its expiry", call.key, text)
        if item.dot not in seen and (asked_ms == 0 or asked_ms > latest_ms):
            yield Finding("C16 hidden before its expiry", call.key, f"{call}: {_shown(item)}")


def _kinds(record: Record) -> set[Kind]:
    return {item.kind for item in record.items}


def _asked_for(evidence: Evidence, key: bytes, item: Item) -> int | None:
    """The instant that its client asked for, 0 for never; None for what no call is known of."""
    mint = evidence.mint_of.get((key, item.dot))
    call = evidence.call_of.get(mint.number) if mint is not None else None
    return call.request.expiry_ms if call is not None else None


def _shown(item: Item) -> str:
    return f"{item.kind.name} {(item.value or item.name)[:24]!r} at {item.dot}"
