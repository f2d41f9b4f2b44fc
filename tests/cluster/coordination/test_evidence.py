"""What a read makes of its answers, held to a second telling of the rules on every small set of
answers, and to the reference merge."""

from __future__ import annotations

from itertools import permutations, product

from hypothesis import given

from lsmkv_cluster.coordination.evidence import (
    NOTHING_HERE,
    Heard,
    counting,
    covers,
    joined,
    unseen,
)
from lsmkv_cluster.versions import context
from lsmkv_cluster.versions.context import NOTHING, Context
from lsmkv_cluster.versions.record import Record, merge
from lsmkv_cluster.versions.vclock import Actor, Clock, Entry
from tests.support.fake_store import merged
from tests.support.record_cases import grown_records, records

OWNERS = b"a", b"b", b"c"
RECORDS = {1: b"record 1", 2: b"record 2"}

# For each owner: silence, nothing, a digest, or a record; from itself or from a stand-in.
ONE_ANSWER = [None] + [
    (is_hint, digest, has_record)
    for is_hint in (False, True)
    for digest, has_record in ((0, False), (1, False), (1, True), (2, False), (2, True))
]


def heard_of(answers: tuple[tuple[bool, int, bool] | None, ...]) -> list[Heard]:
    return [
        Heard(
            b"stand-in of " + owner if answer[0] else owner,
            owner,
            answer[1],
            RECORDS[answer[1]] if answer[2] else None,
        )
        for owner, answer in zip(OWNERS, answers, strict=True)
        if answer is not None
    ]


def test_every_combination_of_three_answers():
    for answers in product(ONE_ANSWER, repeat=3):
        heard = heard_of(answers)
        something_is_there = any(answer.digest for answer in heard)
        silent_stand_ins = {h.owner for h in heard if h.is_hint and not h.digest}
        expected = {h.owner for h in heard}
        if not something_is_there:
            expected -= silent_stand_ins
        assert counting(heard) == expected

        known = {h.digest for h in heard if h.record}
        wanted = unseen(heard)
        assert {h.digest for h in wanted} == {h.digest for h in heard} - known - {NOTHING_HERE}
        assert len({h.digest for h in wanted}) == len(wanted)
        assert all(h in heard for h in wanted)


def test_stand_ins_alone_never_make_a_not_found():
    nothing = [Heard(b"s%d" % n, owner, NOTHING_HERE) for n, owner in enumerate(OWNERS)]
    assert counting(nothing) == set()
    assert counting([*nothing[:2], Heard(b"c", b"c", NOTHING_HERE)]) == {b"c"}
    assert counting([*nothing[:2], Heard(b"c", b"c", 1, b"r")]) == set(OWNERS)


def test_joined_is_the_merge_of_all_records_in_any_order():
    for seed in range(10):
        found = grown_records(seed, 12)[-4:]
        expected: bytes | None = None
        for record in found:
            expected = merged(expected, record)
        answers = [Heard(b"%d" % n, b"%d" % n, n + 1, record) for n, record in enumerate(found)]
        answers += [Heard(b"x", b"x", NOTHING_HERE), Heard(b"y", b"y", 99)]
        for order in permutations(answers):
            assert joined(order, merged) == expected
    assert joined([Heard(b"x", b"x", NOTHING_HERE)], merged) is None


def test_equal_records_are_merged_once():
    calls: list[bytes | None] = []

    def count(old: bytes | None, new: bytes) -> bytes:
        calls.append(old)
        return new

    assert joined([Heard(b"%d" % n, b"", 1, b"r") for n in range(3)], count) == b"r"
    assert calls == [None]


# --- contexts ------------------------------------------------------------------------------------


@given(records(), records())
def test_a_record_covers_what_its_reader_and_every_earlier_one_has_seen(first, second):
    both = merge(first, second).record
    assert covers(both, context.seen_in(both))
    assert covers(both, context.seen_in(first))
    assert covers(both, context.seen_in(second))


@given(records(cuts=(0,)), records(cuts=(0,)))
def test_what_a_record_lacks_it_does_not_cover(first, second):
    assert covers(first, context.seen_in(second)) == first.clock.descends(second.clock)


def test_nothing_covers_only_nothing():
    actor = Actor(1, 1, 1)
    seen = Context(Clock({actor: Entry(1, 0)}))
    assert covers(None, NOTHING)
    assert not covers(None, seen)
    assert covers(Record(Clock({actor: Entry(1, 5)})), seen)
    assert not covers(Record(Clock({actor: Entry(1, 5)})), Context(Clock({actor: Entry(2, 0)})))
    assert covers(Record(Clock({actor: Entry(1, 5)})), NOTHING)


def test_what_has_been_cut_since_counts_as_known():
    old, new = Actor(1, 1, 1), Actor(2, 1, 9)
    seen = Context(Clock({old: Entry(3, 2)}))
    assert covers(Record(Clock({new: Entry(1, 9)}), cut_s=5), seen)
    assert not covers(Record(Clock({new: Entry(1, 9)})), seen)
