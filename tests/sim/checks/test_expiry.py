"""The checker of expiry sees what is shown after its time, and what is hidden before."""

from __future__ import annotations

from dataclasses import replace

from lsmkv_cluster.versions.record import Record
from tests.sim.checks.evidence import Finding
from tests.sim.checks.expiry import what_expires_is_seen_until_then
from tests.sim.loop import true_ms
from tests.sim.stories import Story, Written


def judged(story: Story) -> list[str]:
    return [finding.promise for finding in found(story)]


def found(story: Story) -> list[Finding]:
    return story.judge(what_expires_is_seen_until_then)


def written(story: Story, lives_ms: int) -> Written:
    return story.put(0, b"phil", expiry_ms=true_ms(story.loop.now_us) + lives_ms if lives_ms else 0)


def with_expiry(record: Record, expiry_ms: int) -> Record:
    return replace(record, items=tuple(replace(i, expiry_ms=expiry_ms) for i in record.items))


def test_a_value_is_seen_and_then_it_is_not():
    story = Story()
    phil = written(story, 5000)
    for _ in range(3):
        story.get(phil.record)
    story.get(story.put(1, b"bob").record)
    assert judged(story) == []


def test_clocks_may_be_wrong_by_as_much_as_they_are():
    story = Story()
    phil = written(story, 5000)
    story.get(phil.record, clock_error_ms=3000)
    story.get(phil.record, clock_error_ms=-3000)
    assert judged(story) == []


def test_a_value_that_is_shown_after_its_time():
    story = Story()
    phil = written(story, 3000)
    story.get(with_expiry(phil.record, 0), clock_error_ms=-1000)
    assert judged(story) == ["C16 read after its expiry"]
    assert "VALUE b'phil'" in found(story)[0].text


def test_a_value_that_is_hidden_before_its_time():
    for lives_ms in (10_000, 0):
        story = Story()
        phil = written(story, lives_ms)
        story.get(with_expiry(phil.record, 1), clock_error_ms=1000)
        assert judged(story) == ["C16 hidden before its expiry"]
