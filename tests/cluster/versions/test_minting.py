"""New versions: stamps and times ascend, exactly what was seen is superseded, cuts and caps."""

from __future__ import annotations

import pytest

from lsmkv_cluster.errors import TooManySiblingsError
from lsmkv_cluster.versions.context import NOTHING, seen_in
from lsmkv_cluster.versions.crdt import add_elements, increment
from lsmkv_cluster.versions.hlc import STAMP_MAX, stamp_from_ms
from lsmkv_cluster.versions.minting import Limits, delete, mint, overwrite, write
from lsmkv_cluster.versions.record import Kind, Record, merge
from lsmkv_cluster.versions.vclock import Actor, Entry
from tests.support.record_lab import START_MS, Lab, settle

A, B, C = (Actor(node, 9, 1 << 32) for node in (1, 2, 3))
STAMP = stamp_from_ms(START_MS)
START_S = START_MS // 1000


def put(local: Record | None, actor: Actor, value: bytes, stamp: int = STAMP) -> Record:
    seen = seen_in(local)
    return mint(local, write(local, value, seen), actor, stamp, seen=seen).record


def test_a_new_item_is_newer_than_all_it_supersedes_even_from_the_future():
    ahead = put(None, A, b"ahead", stamp_from_ms(START_MS + 3_600_000))
    local = put(ahead, B, b"here")
    assert local.items[0].stamp == ahead.items[0].stamp + 1
    elsewhere = seen_in(ahead)
    blind = mint(None, write(None, b"", elsewhere), C, STAMP, seen=elsewhere).record
    assert blind.items[0].stamp == ahead.items[0].stamp + 1
    over = mint(ahead, overwrite(ahead, b"set"), B, STAMP).record
    assert over.items[0].stamp == ahead.items[0].stamp + 1
    highest = put(None, A, b"", STAMP_MAX)
    assert put(highest, B, b"").newest_stamp() == STAMP_MAX


def test_times_never_go_back():
    """Neither with the clock, nor behind the cut, nor behind the start of the actor."""
    record = put(put(None, A, b"1"), A, b"2", STAMP // 2)
    assert record.clock.entries[A] == Entry(2, START_S)
    young = Actor(2, 9, 1 << 32 | START_S + 50)
    assert put(None, young, b"").clock.entries[young].time_s == START_S + 50
    cut = record.cut(START_S + 70)
    assert put(cut, young, b"").clock.entries[young].time_s == START_S + 70
    assert put(None, A, b"", 0).clock.entries[A].time_s == 1


def test_the_actors_of_what_is_superseded_are_touched():
    later = STAMP + stamp_from_ms(60_000)
    record = put(put(None, A, b"a"), B, b"b", later)
    assert record.clock.entries == {A: Entry(1, START_S + 60), B: Entry(1, START_S + 60)}


@pytest.mark.parametrize("has_context", [True, False])
def test_a_new_version_descends_from_what_it_replaces_even_if_it_cuts(has_context: bool):
    """With a threshold of 0 everything that may fall does. Each write is a minute later."""
    base = put(None, A, b"a")
    for minute, actor in enumerate((B, C, A, B), 1):
        seen = seen_in(base) if has_context else NOTHING
        change = write(base, b"next", seen) if has_context else overwrite(base, b"next")
        stamp = STAMP + stamp_from_ms(60_000 * minute)
        minted = mint(base, change, actor, stamp, seen=seen, limits=Limits(clock_threshold=0))
        assert minted.record.cut_s > base.cut_s or minute == 1
        assert merge(base, minted.record).record == minted.record
        base = minted.record


def test_what_was_cut_here_but_is_needed_to_supersede_is_known_again():
    """The client saw that A had written three times and was superseded; here A's first write is
    still alive, and the clock was cut since."""
    first = put(None, A, b"1")
    latest = put(put(put(first, A, b"2"), A, b"3"), B, b"b")
    seen = seen_in(latest)
    here = first.cut(START_S + 100)
    assert here.clock.entries == {A: Entry(1, 0)}
    now = STAMP + stamp_from_ms(200_000)
    minted = mint(here, write(here, b"new", seen), C, now, seen=seen)
    assert minted.record.clock.entries[A] == Entry(3, START_S + 200)
    assert [item.value for item in minted.record.items] == [b"new"]
    other = here.cut(START_S + 150)
    unneeded = mint(put(other, B, b""), write(None, b"new", NOTHING), C, now, seen=seen).record
    assert unneeded.clock.counter(A) == 1, "what supersedes nothing here stays cut"


def test_a_record_that_counts_is_never_cut():
    base = put(put(put(None, A, b"1"), B, b"2"), C, b"3")
    count = mint(base, increment(base, A, 1, START_MS), A, STAMP).record
    late = STAMP + stamp_from_ms(60_000)
    minted = mint(count, add_elements(count, [b"e"]), C, late, limits=Limits(clock_threshold=0))
    assert (minted.cut_count, minted.record.cut_s) == (0, 0)
    gone = mint(count, overwrite(count, b""), C, late, limits=Limits(clock_threshold=2))
    assert gone.record.cut_s > 0


def test_what_only_the_client_has_seen_is_superseded_too():
    theirs = put(None, A, b"theirs")
    seen = seen_in(theirs)
    ours = mint(None, write(None, b"ours", seen), B, STAMP, seen=seen).record
    assert [item.value for item in merge(theirs, ours).record.items] == [b"ours"]


def test_a_blind_write_a_set_and_a_delete():
    base = put(None, A, b"old")
    blind = mint(base, write(base, b"new", NOTHING), B, STAMP).record
    assert [item.value for item in blind.items] == [b"old", b"new"]
    over = mint(blind, overwrite(blind, b"set"), B, STAMP).record
    assert [item.value for item in over.items] == [b"set"]
    gone = mint(blind, delete(blind, seen_in(base)), C, STAMP, seen=seen_in(base)).record
    assert [item.kind for item in gone.items] == [Kind.VALUE, Kind.TOMBSTONE]
    gone = mint(blind, delete(blind), C, STAMP).record
    assert [item.kind for item in gone.items] == [Kind.TOMBSTONE]


def test_the_cap_is_for_writes_that_add_a_sibling():
    limits = Limits(siblings_to_warn=1, siblings_max=2)
    record = None
    for actor, warns in ((A, False), (B, True)):
        minted = mint(record, write(record, b"", NOTHING), actor, STAMP, limits=limits)
        assert minted.has_many_siblings == warns
        record = minted.record
    third = put(None, C, b"")
    assert record is not None
    many = merge(record, third).record
    with pytest.raises(TooManySiblingsError):
        mint(many, write(many, b"", NOTHING), A, STAMP, limits=limits)
    seen = seen_in(third)
    assert mint(many, write(many, b"", seen), A, STAMP, seen=seen, limits=limits).record.items


def test_the_clock_stays_at_its_threshold_and_counts_what_falls():
    """A hundred actors in turn, on three copies that all end equal."""
    lab = Lab(Limits(clock_threshold=50))
    copies = lab.copies("abc")
    for turn in range(100):
        copy = copies[turn % 3]
        copy.source.distrust_epochs()
        copy.persist()
        copy.update(b"%d" % turn)
        settle(copies)
        assert len(copy.counters()) <= 50
    assert lab.cut_count >= 50
    assert copies[0].values() == [b"99"]
