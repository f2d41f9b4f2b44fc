"""What the checkers judge: a finished run, from above.

Values, elements and deltas of calls never come twice, so a mint tells which call it was made for;
deletes and removals leave nothing to tell them by.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lsmkv_cluster.coordination.requests import Verb
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.versions.context import HEADER
from lsmkv_cluster.versions.record import Item, Kind, Record, merge
from lsmkv_cluster.versions.record_format import decode, decode_clock
from lsmkv_cluster.versions.vclock import Clock, Dot
from tests.sim.history import Call
from tests.sim.ledger import Collected, Holding, Ledger, Lookup, MintEvent

__all__ = ["Copies", "Evidence", "Finding", "clock_of_context", "includes", "newly_hidden"]

Copies = Mapping[int, bytes | str | None]  # by owner: record, nothing, or why it cannot be read


@dataclass(frozen=True)
class Finding:
    """A broken promise, unless there is an excuse."""

    promise: str
    key: bytes
    text: str
    excuse: str | None = None


@dataclass
class Evidence:
    calls: Sequence[Call]
    ledger: Ledger
    copies: Mapping[bytes, Copies]
    _shown: dict[tuple[int, int], bool] = field(default_factory=dict)

    @cached_property
    def keys(self) -> list[bytes]:
        return sorted({call.key for call in self.calls} | set(self.copies))

    def calls_of(self, key: bytes) -> list[Call]:
        return self._calls_by_key.get(key, [])

    def mints_of(self, key: bytes) -> list[MintEvent]:
        return self._mints_by_key.get(key, [])

    def holdings_of(self, key: bytes) -> list[list[Holding]]:
        """By machine, in the order of time."""
        return self._holdings_by_key.get(key, [])

    def lookups_of(self, key: bytes) -> list[Lookup]:
        return self._lookups_by_key.get(key, [])

    def final(self, key: bytes) -> Record | None:
        """What all owners together have."""
        joined: Record | None = None
        for data in self.copies.get(key, {}).values():
            if isinstance(data, bytes):
                record = decode(data)
                joined = record if joined is None else merge(joined, record).record
        return joined

    def collected_of(self, key: bytes) -> list[Collected]:
        """Deleted records that machines have collected, on proof that nobody needs them."""
        return self._collected_by_key.get(key, [])

    def with_collected(
        self, key: bytes, record: Record | None, until: int | None = None
    ) -> Record | None:
        """What a record says, together with what was collected up to that moment."""
        for collected in self.collected_of(key):
            if until is None or collected.number <= until:
                other = collected.record
                record = other if record is None else merge(record, other).record
        return record

    def answer_record(self, call: Call) -> Record | None:
        if call.answer is None or call.answer.record is None:
            return None
        return self.ledger.record(call.answer.record)

    def shows(self, larger: Record, smaller: Record) -> bool:
        """Whether one record of the ledger shows all that another one does. Remembered by identity,
        as the ledger keeps one object for equal bytes, and all of them."""
        pair = (id(larger), id(smaller))
        found = self._shown.get(pair)
        if found is None:
            found = self._shown[pair] = larger is smaller or includes(larger, smaller) is None
        return found

    def synced_at(self, machine: int, key: bytes, record: Record, until: int) -> int | None:
        """When the machine had come to hold all of the record as an owner, and synced it, if that
        was not after the number `until`."""
        syncs = self.ledger.syncs[machine]
        holdings = self.holdings_of(key)
        for holding in holdings[machine] if holdings else ():
            if holding.number > until:
                break
            if holding.space is Space.DATA and self.shows(holding.record, record):
                place = bisect_left(syncs, holding.number)
                return syncs[place] if place < len(syncs) and syncs[place] <= until else None
        return None

    @cached_property
    def mint_of(self) -> dict[tuple[bytes, Dot], MintEvent]:
        return {(mint.key, dot): mint for mint in self.ledger.mints for dot in mint.dots}

    @cached_property
    def signed_calls(self) -> set[int]:
        """Those whose mints can be told."""
        return {call.id for call in self.calls if _signs(call)}

    @cached_property
    def call_of(self) -> dict[int, Call]:
        """By the number of a mint: the call that it was made for, where that can be told."""
        signs = {sign: call for call in self.calls for sign in _signs(call)}
        found: dict[int, Call] = {}
        for mint in self.ledger.mints:
            for sign in minted_signs(mint):
                if sign in signs:
                    found[mint.number] = signs[sign]
        return found

    @cached_property
    def _calls_by_key(self) -> dict[bytes, list[Call]]:
        found: dict[bytes, list[Call]] = {}
        for call in self.calls:
            found.setdefault(call.key, []).append(call)
        return found

    @cached_property
    def _holdings_by_key(self) -> dict[bytes, list[list[Holding]]]:
        found: dict[bytes, list[list[Holding]]] = {}
        for machine, holdings in enumerate(self.ledger.holdings):
            for holding in holdings:
                if holding.key not in found:
                    found[holding.key] = [[] for _ in self.ledger.holdings]
                found[holding.key][machine].append(holding)
        return found

    @cached_property
    def _mints_by_key(self) -> dict[bytes, list[MintEvent]]:
        found: dict[bytes, list[MintEvent]] = {}
        for mint in self.ledger.mints:
            found.setdefault(mint.key, []).append(mint)
        return found

    @cached_property
    def _collected_by_key(self) -> dict[bytes, list[Collected]]:
        found: dict[bytes, list[Collected]] = {}
        for collected in self.ledger.collected:
            found.setdefault(collected.key, []).append(collected)
        return found

    @cached_property
    def _lookups_by_key(self) -> dict[bytes, list[Lookup]]:
        found: dict[bytes, list[Lookup]] = {}
        for lookup in self.ledger.lookups:
            found.setdefault(lookup.key, []).append(lookup)
        return found


Sign = tuple[bytes, bytes | int]


def _signs(call: Call) -> list[Sign]:
    """What only this call can have written."""
    request = call.request
    if request.verb in (Verb.PUT, Verb.SET):
        return [(request.key, request.values[0])]
    if request.verb is Verb.PUT_FIELDS:
        return [(request.key, value) for value in request.values[1::2]]
    if request.verb is Verb.ADD_ELEMENTS:
        return [(request.key, name) for name in request.values if name.startswith(b"u")]
    if request.verb is Verb.INCREMENT:
        return [(request.key, request.delta)]
    return []


def minted_signs(mint: MintEvent) -> list[Sign]:
    items = {item.dot: item for item in mint.after.items}
    return [(mint.key, _sign(items[dot], mint.before)) for dot in mint.dots if dot in items]


def _sign(item: Item, before: Record | None) -> bytes | int:
    if item.kind is Kind.ELEMENT:
        return item.name
    if item.kind is not Kind.COUNT:
        return item.value
    own = [i for i in (before.items if before else ()) if _is_same_count(i, item)]
    return _total(item) - sum(_total(i) for i in own)


def _is_same_count(one: Item, other: Item) -> bool:
    return one.kind is Kind.COUNT and one.dot.actor == other.dot.actor


def _total(item: Item) -> int:
    return int.from_bytes(item.value, "little", signed=True)


def clock_of_context(data: bytes) -> tuple[Clock, int]:
    """What a client was told that it has seen, and the cut time."""
    if not data:
        return Clock(), 0
    _, _, _, count, cut_s, _ = HEADER.unpack_from(data)
    return decode_clock(data, HEADER.size, count, cut_s, may_have_zero=True), cut_s


def includes(larger: Record | None, smaller: Record) -> str | None:
    """Why the larger record does not show all that the smaller one does; None if it does.

    After a cut, what fell may be unknown again: only what stayed for its time is compared.
    """
    if larger is None:
        return "there is nothing"
    smaller = smaller.cut(larger.cut_s)
    alive = {item.dot for item in smaller.items}
    if larger.cut_s == 0:
        for item in larger.items:
            if smaller.clock.covers(item.dot) and item.dot not in alive:
                return f"{item.kind.name} {item.value or item.name!r} at {item.dot} came back"
    for actor, entry in smaller.clock:
        if entry.time_s and entry.counter > larger.clock.counter(actor):
            return f"{Dot(actor, entry.counter)} is not known"
    return None


def newly_hidden(mint: MintEvent, dot: Dot) -> bool:
    """Whether this mint is where the item of the dot was superseded: the new record knows the dot
    and lacks the item, the old one had the item or did not know it."""
    if not mint.after.clock.covers(dot) or any(item.dot == dot for item in mint.after.items):
        return False
    if mint.before is None or not mint.before.clock.covers(dot):
        return True
    return any(item.dot == dot for item in mint.before.items)
