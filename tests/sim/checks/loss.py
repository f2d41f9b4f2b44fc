"""C1 and C4: what was acknowledged stays, and what was deleted stays deleted.

An acknowledged write was answered with the record that it made: each of the nodes that answered
had all of that. So in the end the owners together must include it: know every dot that it knows,
and show no item that it had superseded. Of strict reads the same holds, for they write back what
they return.

Excuse, for default writes alone: every replica that held the record when it was acknowledged has
lost it since, by a loss of power before the next sync, or with its disk or a part of it; or has
handed it over to somebody of whom that is true. Strict writes have none: faults are budgeted so
that a synced copy is left.
"""

from __future__ import annotations

from collections.abc import Iterator

from lsmkv_cluster.versions.record import Record
from tests.sim.checks.evidence import Evidence, Finding, includes
from tests.sim.history import Call
from tests.sim.ledger import Holding

__all__ = ["acknowledged_writes_are_kept", "acknowledgements_are_true"]


def acknowledged_writes_are_kept(evidence: Evidence) -> Iterator[Finding]:
    for key in evidence.keys:
        final = evidence.final(key)
        yield from _came_back(evidence, key, final)
        final = evidence.with_collected(key, final)
        for call in evidence.calls_of(key):
            if not call.is_done or not (call.request.is_write or call.is_strict):
                continue
            record = evidence.answer_record(call)
            if record is None:
                continue  # there was nothing, and a removal from nothing writes nothing
            missing = includes(final, record)
            if missing is not None:
                excuse = None if call.is_strict else _excuse(evidence, call, record)
                promise = "C4 resurrected" if missing.endswith("came back") else "C1 lost write"
                yield Finding(promise, key, f"{call}: {missing}", excuse)


def _came_back(evidence: Evidence, key: bytes, final: Record | None) -> Iterator[Finding]:
    """What was collected with the tombstone that it had been deleted by must not show again."""
    for collected in evidence.collected_of(key):
        record = collected.record
        kept = {item.dot for item in record.items}
        for item in final.items if final is not None else ():
            if record.clock.covers(item.dot) and item.dot not in kept:
                text = f"{item.kind.name} at {item.dot}, whose tombstone was collected"
                yield Finding("C4 resurrected", key, text)


def _excuse(evidence: Evidence, call: Call, record: Record) -> str | None:
    """What happened to everybody who held it."""
    reasons = []
    for machine, holdings in enumerate(evidence.holdings_of(call.key)):
        held = _held(evidence, holdings, call, record)
        if held is not None:
            reason = _reason(evidence, record, machine, held)
            if reason is None:
                return None
            reasons.append(reason)
    return ", ".join(reasons) if reasons else None


def _reason(evidence: Evidence, record: Record, machine: int, held: Holding) -> str | None:
    """What happened to it there; of what was handed over, what happened to those who had it."""
    loss = evidence.ledger.loss_of(machine, held)
    if loss is None:
        return None
    if loss.kind != "released":
        return f"n{machine} {loss.kind}"
    reasons = [
        _reason(evidence, record, other, found)
        for other, found in _holders(evidence, record, held.key, loss.number)
        if other != machine
    ]
    if not reasons or None in reasons:
        return None
    return f"n{machine} released to {', '.join(map(str, reasons))}"


def _holders(
    evidence: Evidence, record: Record, key: bytes, number: int
) -> Iterator[tuple[int, Holding]]:
    """Who had all of the record at that moment, and since when at the latest."""
    for machine, holdings in enumerate(evidence.holdings_of(key)):
        for holding in reversed(holdings):
            if holding.number < number and includes(holding.record, record) is None:
                loss = evidence.ledger.loss_of(machine, holding)
                if loss is None or loss.number > number:
                    yield machine, holding
                break


def _held(
    evidence: Evidence, holdings: list[Holding], call: Call, record: Record
) -> Holding | None:
    """Where the machine came to hold all of the record, before the call was answered."""
    for holding in holdings:
        if call.replied is None or holding.number > call.replied:
            return None
        if evidence.shows(holding.record, record):
            return holding
    return None


def acknowledgements_are_true(evidence: Evidence) -> Iterator[Finding]:
    for call in evidence.calls:
        if not call.is_done or not call.request.is_write:
            continue
        record = evidence.answer_record(call)
        if record is None:
            continue
        assert call.answer is not None
        count = sum(
            _has_it(evidence, machine, holdings, call, record)
            for machine, holdings in enumerate(evidence.holdings_of(call.key))
        )
        if count < call.answer.needed:
            text = f"{call}: {count} of the {call.answer.needed} that it takes had it"
            yield Finding("C1 acknowledged by too few", call.key, text)


def _has_it(
    evidence: Evidence, machine: int, holdings: list[Holding], call: Call, record: Record
) -> bool:
    assert call.replied is not None
    if call.is_strict:
        return evidence.synced_at(machine, call.key, record, call.replied) is not None
    return _held(evidence, holdings, call, record) is not None
