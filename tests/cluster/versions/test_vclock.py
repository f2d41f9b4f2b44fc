"""Vector clocks: descent is the order of what is known, merge its least upper bound, and cuts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.versions.vclock import Actor, Clock, Dot, Entry, time_to_cut

A, B, C = (Actor(node, 9, 1 << 32) for node in (1, 2, 3))

clocks = st.dictionaries(
    st.sampled_from([A, B, C]), st.builds(Entry, st.integers(1, 4), st.integers(1, 40))
).map(Clock)


def known(clock: Clock) -> set[Dot]:
    return {Dot(actor, n) for actor, entry in clock for n in range(1, entry.counter + 1)}


@given(clocks, clocks)
def test_descent_is_knowing_all_that_the_other_knows(a: Clock, b: Clock):
    assert a.descends(b) == (known(a) >= known(b))
    assert a.is_concurrent(b) == (not known(a) >= known(b) and not known(b) >= known(a))
    assert all(a.covers(dot) == (dot in known(a)) for dot in known(b))


@given(clocks, clocks, clocks)
def test_merge_is_the_least_clock_that_descends_from_both(a: Clock, b: Clock, c: Clock):
    merged = a.merge(b)
    assert known(merged) == known(a) | known(b)
    assert merged == b.merge(a)
    assert merged.merge(a) == merged
    assert merged.merge(c) == a.merge(b.merge(c))


def test_an_increment_is_the_next_dot_and_its_time_never_goes_back():
    clock = Clock().increment(A, 10).increment(A, 8).increment(B, 3, count=2)
    assert clock.entries == {A: Entry(2, 10), B: Entry(2, 3)}
    assert clock.covers(Dot(B, 2))
    assert not clock.covers(Dot(B, 3))
    assert clock.counter(C) == 0


def test_touching_changes_no_counter():
    clock = Clock({A: Entry(2, 10), B: Entry(1, 30)})
    assert clock.touched([A, B], 20).entries == {A: Entry(2, 20), B: Entry(1, 30)}


def test_actors_are_ordered_as_their_bytes():
    actors = [Actor(1, 2, 3), Actor(1, 2, 1 << 32), Actor(1, 3, 0), Actor(256, 0, 0)]
    assert sorted(actors, reverse=True) == actors[::-1]
    assert Actor(1, 2, 5 << 32 | 77).start_s == 77


@given(clocks, st.integers(0, 45), st.sets(st.sampled_from([A, B, C])))
def test_a_cut_drops_what_was_not_touched_since(clock: Clock, cut_s: int, alive: set[Actor]):
    live = dict.fromkeys(alive & set(clock.entries), 1)
    cut = clock.cut(cut_s, live)
    for actor, entry in clock:
        expected = Entry(1, 0) if actor in live else None
        assert cut.entries.get(actor) == (entry if entry.time_s >= cut_s else expected)
    assert cut.cut(cut_s, live) == cut


@pytest.mark.parametrize(
    ("threshold", "limit_s", "live", "expected"),
    [
        (4, 99, {}, 0),
        (3, 99, {}, 11),  # one too many: the oldest
        (2, 99, {}, 21),  # both of one second
        (1, 99, {}, 21),
        (0, 99, {}, 31),
        (0, 15, {}, 15),  # never beyond the limit
        (3, 99, {A: 1}, 21),  # an actor with a live item cannot fall
        (0, 99, {A: 1}, 31),
        (3, 99, {A: 1, B: 1, C: 1, Actor(4, 0, 0): 1}, 0),
    ],
)
def test_the_cut_time_is_the_least_that_serves(
    threshold: int, limit_s: int, live: dict[Actor, int], expected: int
):
    times = {A: 10, B: 20, C: 20, Actor(4, 0, 0): 30}
    clock = Clock({actor: Entry(1, time_s) for actor, time_s in times.items()})
    assert time_to_cut(clock, live, threshold, limit_s) == expected
