"""C2, C6 and the three outcomes: every version is there by right, and none is gone without.

- No false overwrite: an item that all owners know and none shows was superseded by a mint that may:
  one whose client had seen it, or whose verb supersedes what the coordinator holds, or, once it has
  expired, that of a collector of tombstones.
- No false sibling: no item stands beside one that was minted by somebody who had seen it.
- A refused call has written nothing, and no call has written twice.
(That no dot names two events and no item comes from nowhere, the ledger sees at once.)
"""

from __future__ import annotations

from collections.abc import Iterator

from lsmkv_cluster.coordination.requests import Verb
from lsmkv_cluster.versions.record import Item, Kind
from lsmkv_cluster.versions.vclock import Clock, Dot
from tests.sim.checks.evidence import Evidence, Finding, clock_of_context, newly_hidden
from tests.sim.history import Call, Ending
from tests.sim.ledger import MintEvent
from tests.sim.loop import true_ms

__all__ = ["nothing_is_hidden_without_right", "outcomes_are_true", "siblings_are_concurrent"]


def nothing_is_hidden_without_right(evidence: Evidence) -> Iterator[Finding]:
    """A cut clock no longer tells; such keys are left out."""
    for key in evidence.keys:
        final = evidence.with_collected(key, evidence.final(key))
        if final is None or final.cut_s:
            continue
        shown = {item.dot for item in final.items}
        mints = evidence.mints_of(key)
        for mint in mints:
            for dot in mint.dots:
                if dot in shown or not final.clock.covers(dot):
                    continue
                hiders = [other for other in mints if newly_hidden(other, dot)]
                if not any(_may_hide(evidence, hider, dot) for hider in hiders):
                    who = ", ".join(f"n{hider.machine}" for hider in hiders) or "nobody"
                    text = f"{_named(mint, dot)} was superseded by {who}, who may not"
                    expires = evidence.ledger.items[key, dot].expiry_ms
                    promise = "C16 gone before its expiry" if expires else "C2 false overwrite"
                    yield Finding(promise, key, text)


def _may_hide(evidence: Evidence, mint: MintEvent, dot: Dot) -> bool:
    held = any(item.dot == dot for item in (mint.before.items if mint.before else ()))
    call = evidence.call_of.get(mint.number)
    if call is not None:
        return _call_may_hide(call, dot, held)
    if held and _has_expired(evidence, mint, dot):
        return True
    # A delete or a removal: any call of the key that is one, and was not refused.
    unnamed = (Verb.DELETE, Verb.REMOVE_ELEMENTS, Verb.REMOVE_FIELDS)
    return any(
        call.request.verb in unnamed
        and call.ending not in (Ending.REFUSED, Ending.NOT_SENT)
        and _call_may_hide(call, dot, held)
        for call in evidence.calls_of(mint.key)
    )


def _has_expired(evidence: Evidence, mint: MintEvent, dot: Dot) -> bool:
    """Nobody called for this mint. What has expired goes, and older tombstones with it."""
    now_ms = true_ms(mint.time_us)
    gone = [evidence.ledger.items[mint.key, each] for each in mint.superseded]
    has_expired = any(0 < item.expiry_ms <= now_ms for item in gone)
    item = evidence.ledger.items[mint.key, dot]
    return 0 < item.expiry_ms <= now_ms or (has_expired and item.kind is Kind.TOMBSTONE)


def _call_may_hide(call: Call, dot: Dot, is_held: bool) -> bool:
    verb, given = call.request.verb, call.request.context
    if verb is Verb.PUT or (verb is Verb.DELETE and given):
        clock, _ = clock_of_context(given)
        return clock.covers(dot)
    return is_held


def siblings_are_concurrent(evidence: Evidence) -> Iterator[Finding]:
    for key in evidence.keys:
        final = evidence.final(key)
        if final is None or final.cut_s:
            continue
        for item in final.items:
            mint = evidence.mint_of.get((key, item.dot))
            if mint is None:
                continue
            had_seen = _seen_by(evidence, mint)
            for other in final.items:
                if other is not item and had_seen.covers(other.dot) and _is_hidden(mint, other):
                    text = f"{_shown(item)} stands beside {_shown(other)}, which it had seen"
                    yield Finding("C2 false sibling", key, text)


def _seen_by(evidence: Evidence, mint: MintEvent) -> Clock:
    """What this version supersedes: what its record knew, and what its client had seen."""
    call = evidence.call_of.get(mint.number)
    given, _ = clock_of_context(call.request.context if call else b"")
    return mint.after.clock.merge(given)


def _is_hidden(mint: MintEvent, other: Item) -> bool:
    return all(item.dot != other.dot for item in mint.after.items)


def outcomes_are_true(evidence: Evidence) -> Iterator[Finding]:
    mints_of_call: dict[int, list[MintEvent]] = {}
    for mint in evidence.ledger.mints:
        call = evidence.call_of.get(mint.number)
        if call is not None:
            mints_of_call.setdefault(call.id, []).append(mint)
    for call in evidence.calls:
        mints = mints_of_call.get(call.id, [])
        if mints and call.ending in (Ending.REFUSED, Ending.NOT_SENT):
            yield Finding("U5 refused but written", call.key, f"{call}: by n{mints[0].machine}")
        if not mints and call.is_done and call.id in evidence.signed_calls:
            yield Finding("U5 done but not written", call.key, str(call))
        if len(mints) > 1:
            who = ", ".join(f"n{mint.machine}" for mint in mints)
            yield Finding("U5 written twice", call.key, f"{call}: by {who}")


def _named(mint: MintEvent, dot: Dot) -> str:
    return next((_shown(item) for item in mint.after.items if item.dot == dot), str(dot))


def _shown(item: Item) -> str:
    return f"{item.kind.name} {(item.value or item.name)[:24]!r} at {item.dot}"
