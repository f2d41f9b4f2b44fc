"""Each verb makes the change that its docstring says, takes as many values as it should, and mints
as many dots as it announces; what cannot be done to a record is a ValueError."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lsmkv_cluster.coordination.changes import (
    RULES,
    Situation,
    change_of,
    dot_count,
    is_well_formed,
    superseded_by,
)
from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.versions import crdt
from lsmkv_cluster.versions.context import NOTHING, Context, seen_in
from lsmkv_cluster.versions.minting import mint
from lsmkv_cluster.versions.record import Kind, Record, merge
from lsmkv_cluster.versions.vclock import Actor

A, B = Actor(1, 1, 1 << 32), Actor(2, 2, 1 << 32)
STAMP, WALL_MS = 1_700_000_000_000 << 16, 1_700_000_000_000


def request(verb: Verb, *values: bytes, **more: object) -> ClientRequest:
    return ClientRequest(verb, b"k", values, **more)  # type: ignore[arg-type]


def apply(
    local: Record | None, actor: Actor, asked: ClientRequest, seen: Context = NOTHING
) -> Record | None:
    change = change_of(asked, Situation(local, seen, actor, WALL_MS))
    if change.is_empty:
        return local
    assert len(change.payloads) == dot_count(asked)
    return mint(local, change, actor, STAMP, seen=superseded_by(asked, seen)).record


def built(*steps: tuple[Actor, ClientRequest]) -> Record:
    record: Record | None = None
    for actor, asked in steps:
        record = apply(record, actor, asked)
    assert record is not None
    return record


def shown(record: Record | None) -> list[tuple[str, bytes, bytes]]:
    items = record.items if record else ()
    return sorted((item.kind.name, item.name, item.value) for item in items)


def total(amount: int) -> bytes:
    return amount.to_bytes(8, "little", signed=True)


TWO = built((A, request(Verb.PUT, b"a")), (B, request(Verb.PUT, b"b")))
SET = built((A, request(Verb.ADD_ELEMENTS, b"x", b"y")))
MAP = built((A, request(Verb.PUT_FIELDS, b"f", b"1", b"g", b"2")))
GONE = built((A, request(Verb.DELETE)))

# What is there, the request with a context of what is there or without, what is there afterwards.
CASES: Sequence[tuple[Record | None, ClientRequest, bool, list[tuple[str, bytes, bytes]]]] = [
    (None, request(Verb.PUT, b"v"), False, [("VALUE", b"", b"v")]),
    (TWO, request(Verb.PUT, b"v"), False, [("VALUE", b"", v) for v in (b"a", b"b", b"v")]),
    (TWO, request(Verb.PUT, b"v"), True, [("VALUE", b"", b"v")]),
    (TWO, request(Verb.SET, b"v"), False, [("VALUE", b"", b"v")]),
    (SET, request(Verb.SET, b"v"), False, [("VALUE", b"", b"v")]),
    (TWO, request(Verb.DELETE), False, [("TOMBSTONE", b"", b"")]),
    (TWO, request(Verb.DELETE), True, [("TOMBSTONE", b"", b"")]),
    (None, request(Verb.DELETE), False, [("TOMBSTONE", b"", b"")]),
    (GONE, request(Verb.INCREMENT, delta=5), False, [("COUNT", b"", total(5))]),
    (None, request(Verb.INCREMENT, delta=-3), False, [("COUNT", b"", total(-3))]),
    (SET, request(Verb.ADD_ELEMENTS, b"x", b"z", b"z"), False,
     [("ELEMENT", name, b"") for name in (b"x", b"y", b"z")]),
    (SET, request(Verb.REMOVE_ELEMENTS, b"x", b"q"), False, [("ELEMENT", b"y", b"")]),
    (SET, request(Verb.REMOVE_ELEMENTS, b"q"), False, shown(SET)),
    (None, request(Verb.REMOVE_ELEMENTS, b"q"), False, []),
    (MAP, request(Verb.PUT_FIELDS, b"f", b"3", b"f", b"4"), False,
     [("FIELD", b"f", b"4"), ("FIELD", b"g", b"2")]),
    (MAP, request(Verb.REMOVE_FIELDS, b"g"), False, [("FIELD", b"f", b"1")]),
]  # fmt: skip


@pytest.mark.parametrize(("local", "asked", "has_context", "expected"), CASES)
def test_what_a_verb_makes_of_a_record(local, asked, has_context, expected):
    seen = NOTHING
    if has_context:
        seen = seen_in(local)
        asked = ClientRequest(asked.verb, b"k", asked.values, context=b"some")
    assert shown(apply(local, B, asked, seen)) == expected


def test_a_delete_with_a_context_leaves_what_was_not_seen():
    seen = seen_in(built((A, request(Verb.PUT, b"a"))))
    after = apply(TWO, B, request(Verb.DELETE, context=b"some"), seen)
    assert shown(after) == [("TOMBSTONE", b"", b""), ("VALUE", b"", b"b")]


def test_a_counter_counts_on_from_its_actor_and_from_a_value():
    record = built((A, request(Verb.INCREMENT, delta=5)), (B, request(Verb.INCREMENT, delta=2)))
    record = apply(record, A, request(Verb.INCREMENT, delta=1))
    assert crdt.count(record, WALL_MS) == 8
    assert len(record.items) == 2
    text = built((A, request(Verb.SET, b"10")))
    assert crdt.count(apply(text, B, request(Verb.INCREMENT, delta=1)), WALL_MS) == 11


@pytest.mark.parametrize("value", [b"text", b"", b"01", str(1 << 63).encode()])
def test_an_increment_of_what_is_no_integer(value):
    with pytest.raises(ValueError, match="integer"):
        apply(built((A, request(Verb.SET, value))), B, request(Verb.INCREMENT, delta=1))


def test_an_increment_that_would_overflow():
    record = built((A, request(Verb.INCREMENT, delta=(1 << 63) - 1)))
    with pytest.raises(ValueError, match="overflow"):
        apply(record, B, request(Verb.INCREMENT, delta=1))


@pytest.mark.parametrize("verb", Verb)
def test_as_many_values_as_a_verb_takes(verb):
    takes = {
        Verb.GET: {0},
        Verb.PUT: {1},
        Verb.SET: {1},
        Verb.DELETE: {0},
        Verb.INCREMENT: {0},
        Verb.PUT_FIELDS: {2, 4},
    }.get(verb, {1, 2, 3, 4})
    for count in range(5):
        values = (b"v",) * count
        assert is_well_formed(request(verb, *values)) == (count in takes)


def test_every_write_has_a_rule():
    assert set(RULES) == set(Verb) - {Verb.GET}


# --- what a change of a part leaves alone --------------------------------------------------------

PARTS = [
    request(Verb.ADD_ELEMENTS, b"z", context=b"some"),
    request(Verb.REMOVE_ELEMENTS, b"y", context=b"some"),
    request(Verb.INCREMENT, delta=1, context=b"some"),
    request(Verb.PUT_FIELDS, b"h", b"3", context=b"some"),
    request(Verb.REMOVE_FIELDS, b"g", context=b"some"),
]


@pytest.mark.parametrize("asked", PARTS, ids=lambda asked: asked.verb.name)
def test_a_change_of_a_part_takes_nothing_along_that_its_client_has_seen_elsewhere(asked):
    """The client has read `full`, the coordinator holds only what came before it."""
    before = merge(SET, MAP).record
    full = apply(before, B, request(Verb.ADD_ELEMENTS, b"new"))
    full = apply(full, B, request(Verb.INCREMENT, delta=7))
    full = apply(full, B, request(Verb.PUT_FIELDS, b"n", b"new"))
    assert full is not None
    there = set(full.items) - set(before.items)
    assert len(there) == 3
    after = apply(before, A, asked, seen_in(full))
    assert after is not None
    assert there <= set(merge(full, after).record.items)


def test_a_change_of_a_part_is_newer_than_what_its_client_has_seen():
    ahead = mint(
        None,
        change_of(request(Verb.PUT_FIELDS, b"f", b"old"), Situation(None, NOTHING, B, WALL_MS)),
        B,
        STAMP << 1,
    ).record
    after = apply(None, A, request(Verb.PUT_FIELDS, b"f", b"new"), seen_in(ahead))
    assert after is not None
    assert crdt.fields(merge(ahead, after).record, WALL_MS) == {b"f": b"new"}


@pytest.mark.parametrize("verb", [Verb.PUT, Verb.SET, Verb.DELETE])
def test_a_change_of_all_supersedes_what_its_client_has_seen_elsewhere(verb):
    values = () if verb is Verb.DELETE else (b"v",)
    elsewhere = built((B, request(Verb.PUT, b"b")))
    after = apply(None, A, request(verb, *values, context=b"some"), seen_in(elsewhere))
    assert after is not None
    kinds = [item.kind for item in merge(elsewhere, after).record.items]
    assert kinds == [Kind.TOMBSTONE if verb is Verb.DELETE else Kind.VALUE]
