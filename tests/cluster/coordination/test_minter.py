"""Minting inside the store: no dot twice whatever the store repeats, nothing written for what is
refused, and what is refused is refused for the right reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.minter import MINTED_SIZE_MAX, MintBatch, MintEntry, Minter
from lsmkv_cluster.coordination.replica_messages import KEY_SIZE_MAX
from lsmkv_cluster.coordination.requests import ClientRequest, Reason, Verb
from lsmkv_cluster.storage.storage_orders import Failure, Merged, Mint, Space
from lsmkv_cluster.transport.traffic import CALL_ID
from lsmkv_cluster.transport.wire import LANE_LIMITS, Lane
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.actor import ActorSource, Identity
from lsmkv_cluster.versions.context import NOTHING, Context, seen_in
from lsmkv_cluster.versions.hlc import HybridClock, stamp_from_ms
from lsmkv_cluster.versions.minting import Limits
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.vclock import Dot
from tests.support.store_lab import StoreLab, record_of

WALL_MS = 1_700_000_000_000


def make_minter(limits: Limits | None = None, *, may_mint: bool = True) -> Minter:
    actors = ActorSource(Identity(1, 7), ended_cleanly=True, peers_needed=0 if may_mint else 1)
    actors.persisted(actors.effects[-1].identity)
    return Minter(actors, HybridClock(), limits)


def put(value: bytes = b"v", verb: Verb = Verb.SET) -> ClientRequest:
    return ClientRequest(verb, b"k", (value,))


def entry(request: ClientRequest, seen: Context = NOTHING) -> MintEntry:
    return MintEntry(request, seen)


INCREMENT = ClientRequest(Verb.INCREMENT, b"k", delta=1)


# --- one request ---------------------------------------------------------------------------------


def test_a_new_version_is_what_is_to_be_stored():
    minter = make_minter()
    made = minter.mint(entry(put(b"1")), None, WALL_MS)
    assert (made.reason, made.is_new) == (Reason.NONE, True)
    assert made.stored is not None
    assert record_format.decode(made.stored) == made.record
    again = minter.mint(entry(put(b"2")), made.stored, WALL_MS)
    assert again.record is not None
    assert [item.value for item in again.record.items] == [b"2"]
    assert minter.counters.minted == 2


def test_a_plain_set_has_the_bytes_that_the_rules_give(monkeypatch):
    """Natively, and with that switched off: over new keys, known ones, siblings and others'."""
    quick, slow = make_minter(), make_minter()
    stores: list[bytes | None] = [None, None, record_of(b"other"), siblings(make_minter(), 3)]
    for round in range(4):
        wall_ms = WALL_MS + 1000 * round
        request = replace(put(b"%d" % round), expiry_ms=wall_ms + 5 if round % 2 else 0)
        made = [quick.mint(entry(request), old, wall_ms) for old in stores]
        with monkeypatch.context() as patched:
            patched.setattr(Minter, "_overwritten", lambda *_: None)
            by_rule = [slow.mint(entry(request), old, wall_ms) for old in stores]
        slow.clock.last = quick.clock.last = max(slow.clock.last, quick.clock.last)
        assert [result.is_new for result in made] == [True] * 4
        for ours, theirs in zip(made, by_rule, strict=True):
            assert strip(ours.record) == strip(theirs.record)
        stores = [result.stored for result in made]
    assert quick.counters == slow.counters


def strip(record: Record | None) -> tuple[object, ...]:
    """But for stamps, of which the quick way takes one more where it gives up."""
    assert record is not None
    return record.clock, record.cut_s, [replace(item, stamp=0) for item in record.items]


def test_what_has_nothing_to_change_gives_back_what_is_there():
    minter = make_minter()
    removal = ClientRequest(Verb.REMOVE_ELEMENTS, b"k", (b"x",))
    nothing = minter.mint(entry(removal), None, WALL_MS)
    assert (nothing.reason, nothing.stored, nothing.is_new) == (Reason.NONE, None, False)
    old = record_of(b"old")
    same = minter.mint(entry(removal), old, WALL_MS)
    assert (same.reason, same.stored, same.is_new) == (Reason.NONE, old, False)
    assert same.record == record_format.decode(old)
    assert minter.counters.minted == 0


def siblings(minter: Minter, count: int) -> bytes:
    stored: bytes | None = None
    for n in range(count):
        stored = minter.mint(entry(put(b"%d" % n, Verb.PUT)), stored, WALL_MS).stored
    assert stored is not None
    return stored


def test_what_is_minted_into_a_hint_never_counts_on():
    """A stand-in's hint with e:2 was delivered and dropped; another stand-in brings it an older one
    with e:1. Counting on from that would use e:2 for a second event."""
    minter = make_minter()
    first = minter.mint(replace(entry(put(b"1")), is_hint=True), None, WALL_MS)
    second = minter.mint(replace(entry(put(b"2")), is_hint=True), first.stored, WALL_MS)
    third = minter.mint(replace(entry(put(b"3")), is_hint=True), first.stored, WALL_MS)
    dots = [
        item.dot for made in (first, second, third) if made.record for item in made.record.items
    ]
    assert len(set(dots)) == len({dot.actor for dot in dots}) == 3


def test_the_cap_on_siblings_refuses_and_a_context_gets_below_it():
    minter = make_minter(Limits(siblings_to_warn=2, siblings_max=3))
    full = siblings(minter, 3)
    assert minter.counters.sibling_warnings == 1
    refused = minter.mint(entry(put(b"x", Verb.PUT)), full, WALL_MS)
    assert (refused.reason, refused.stored) == (Reason.TOO_MANY_SIBLINGS, None)
    seen = seen_in(record_format.decode(full))
    assert minter.mint(entry(put(b"x", Verb.PUT), seen), full, WALL_MS).is_new


def test_an_increment_of_a_text_is_of_the_wrong_type():
    refused = make_minter().mint(entry(INCREMENT), record_of(b"text"), WALL_MS)
    assert (refused.reason, refused.stored) == (Reason.WRONG_TYPE, None)


def test_a_record_that_could_not_travel_is_refused():
    minter = make_minter()
    large = put(bytes(8 << 20), Verb.PUT)
    first = minter.mint(entry(large), None, WALL_MS).stored
    assert first is not None
    refused = minter.mint(entry(large), first, WALL_MS)
    assert (refused.reason, refused.stored) == (Reason.BAD_REQUEST, None)
    overhead = KEY_SIZE_MAX + CALL_ID.size + 64
    assert MINTED_SIZE_MAX + overhead <= LANE_LIMITS[Lane.DATA].body_size_max


def test_a_store_that_may_not_mint_yet():
    refused = make_minter(may_mint=False).mint(entry(put()), None, WALL_MS)
    assert (refused.reason, refused.stored) == (Reason.NOT_READY, None)


def test_the_clock_follows_what_is_there_within_its_bound():
    """A version from an hour ahead is superseded all the same, and the clock stays where it is."""
    for ahead_ms, follows in ((2_000, True), (3_600_000, False)):
        minter = make_minter()
        elsewhere = make_minter()
        elsewhere.actors.identity = replace(elsewhere.actors.identity, node=2)
        old = elsewhere.mint(entry(put(b"old")), None, WALL_MS + ahead_ms).stored
        made = minter.mint(entry(put(b"new")), old, WALL_MS)
        assert made.record is not None
        assert made.record.newest_stamp() > stamp_from_ms(WALL_MS + ahead_ms)
        assert (minter.clock.last > stamp_from_ms(WALL_MS + ahead_ms)) == follows


# --- batches -------------------------------------------------------------------------------------


def batch_of(minter: Minter, *requests: ClientRequest) -> MintBatch:
    return MintBatch(minter, [entry(request) for request in requests], WALL_MS)


def test_the_last_call_for_an_index_counts():
    minter = make_minter()
    batch = batch_of(minter, INCREMENT, INCREMENT)
    first = batch.decide(0, None)
    batch.decide(1, first)
    again = batch.decide(0, None)
    assert next(result.stored for result in batch.results if result) == again
    second = batch.decide(1, again)
    assert second is not None
    [item] = record_format.decode(second).items
    assert (item.dot.counter, item.value) == (2, (2).to_bytes(8, "little"))


def test_void_requests_mint_nothing():
    minter = make_minter()
    batch = batch_of(minter, put(b"a"), put(b"b"), put(b"c"))
    assert batch.decide(0, None) is not None
    for index in (0, 1):
        batch.make_void(index)
    assert batch.decide(1, None) is None
    assert batch.decide(2, None) is not None
    assert [result.reason for result in batch.results if result] == [
        Reason.NONE,
        Reason.DEADLINE,
        Reason.NONE,
    ]
    assert minter.counters.minted == 2


@pytest.fixture
def lab() -> Iterator[StoreLab]:
    with StoreLab() as made:
        yield made


def dots(record: Record) -> set[Dot]:
    return {item.dot for item in record.items}


def test_in_a_store_one_key_many_times_in_one_order(lab: StoreLab) -> None:
    """Each sees what the one before it made: no increment is lost, no dot is used twice."""
    minter = make_minter()
    batch = batch_of(minter, *[INCREMENT] * 20, put(b"x", Verb.PUT), put(b"y", Verb.PUT))
    result = lab.do(Mint(Space.DATA, (b"k",) * 22, batch.decide))
    assert result == Merged((True,) * 22)
    record = lab.record(b"k")
    assert sorted(item.value for item in record.items) == sorted(
        [b"x", b"y", (20).to_bytes(8, "little")]
    )
    [actor] = record.clock.entries
    assert record.clock.counter(actor) == 22
    assert [result.record for result in batch.results if result][-1] == record


def test_in_a_store_what_is_refused_takes_nothing_with_it(lab: StoreLab) -> None:
    """Also with a damaged record among the keys, for which the store begins anew key by key."""
    minter = make_minter()
    text = record_of(b"text")
    lab.merge(Space.DATA, (b"text", text))
    lab.db.put(lab.scheme.engine_key(Space.DATA, b"damaged"), b"no record")
    batch = batch_of(minter, put(b"1"), INCREMENT, put(b"2"), put(b"3"))
    batch.make_void(3)
    keys = (b"a", b"text", b"damaged", b"b")
    result = lab.do(Mint(Space.DATA, keys, batch.decide))
    assert result == Merged((True, False, Failure.CORRUPT, False))
    assert lab.read(Space.DATA, b"text", b"b") == (text, None)
    [made, refused, _, void] = batch.results
    assert made is not None
    assert lab.read(Space.DATA, b"a") == (made.stored,)
    assert refused is not None
    assert void is not None
    assert (refused.reason, void.reason) == (Reason.WRONG_TYPE, Reason.DEADLINE)
    assert len(dots(lab.record(b"a"))) == 1
