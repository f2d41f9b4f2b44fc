"""The checkers of sessions see contexts that go back, and strict reads that miss what had ended."""

from __future__ import annotations

from tests.sim.checks.sessions import contexts_grow, strict_reads_see_what_ended_before
from tests.sim.history import Ending
from tests.sim.stories import Story, joined


def names(story: Story, checker: object) -> list[str]:
    return [finding.promise for finding in story.judge(checker)]  # type: ignore[arg-type]


def test_a_read_with_a_context_shows_all_of_it():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.put(1, b"bob")
    story.get(joined(phil.record, bob.record), seen=phil)
    story.get(phil.record, seen=phil)
    assert names(story, contexts_grow) == []


def test_a_read_that_shows_less_than_its_context():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.put(1, b"bob")
    story.get(bob.record, seen=phil)
    story.get(None, seen=phil)
    assert names(story, contexts_grow) == ["C5 context went back"] * 2


def test_a_read_without_context_may_show_anything():
    story = Story()
    story.put(0, b"phil")
    story.get(None)
    assert names(story, contexts_grow) == []


def test_a_write_returns_at_least_what_it_was_given():
    story = Story()
    phil = story.put(0, b"phil")
    story.put(1, b"bob", seen=phil)
    assert names(story, contexts_grow) == []
    other = Story()
    phil = other.put(0, b"phil")
    alone = Story().put(1, b"bob").record
    other.put(1, b"bob", seen=phil, made=alone)
    assert names(other, contexts_grow) == ["C5 context went back"]


def test_strict_reads_see_writes_and_reads_that_ended_before():
    story = Story()
    phil = story.put(0, b"phil", is_strict=True)
    story.get(phil.record, is_strict=True)
    story.get(phil.record, is_strict=True)
    assert names(story, strict_reads_see_what_ended_before) == []


def test_a_strict_read_that_misses_a_write():
    story = Story()
    story.put(0, b"phil", is_strict=True)
    story.get(None, is_strict=True)
    assert names(story, strict_reads_see_what_ended_before) == ["C5 stale strict read"]


def test_a_strict_read_that_misses_what_an_earlier_one_returned():
    story = Story()
    phil = story.put(0, b"phil", is_strict=True, ending=Ending.UNKNOWN)
    story.get(phil.record, is_strict=True)
    story.get(None, is_strict=True)
    assert names(story, strict_reads_see_what_ended_before) == ["C5 stale strict read"]


def test_a_strict_read_beside_a_write_may_miss_it():
    story = Story()
    phil = story.put(0, b"phil", is_strict=True)
    read = story.get(None, is_strict=True)
    read.invoked_us = phil.call.invoked_us
    assert names(story, strict_reads_see_what_ended_before) == []


def test_sloppy_calls_promise_nothing_to_each_other():
    story = Story()
    story.put(0, b"phil")
    story.get(None)
    assert names(story, strict_reads_see_what_ended_before) == []
