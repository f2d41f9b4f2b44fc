"""The checkers of causality see overwrites without right, siblings that are none, and outcomes that
are not true."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.versions.record import Record
from tests.sim.checks.causality import (
    nothing_is_hidden_without_right,
    outcomes_are_true,
    siblings_are_concurrent,
)
from tests.sim.checks.evidence import Finding
from tests.sim.history import Ending
from tests.sim.loop import true_ms
from tests.sim.stories import Story, joined


def names(findings: list[Finding]) -> list[str]:
    return [finding.promise for finding in findings]


# --- what expires ---------------------------------------------------------------------------------


def expired(by_ms: int) -> list[Finding]:
    """A value that lives for a second, beside a tombstone; the collector looks after two."""
    story = Story()
    story.delete(1)
    gone = story.delete(1)
    phil = story.put(0, b"phil", local=gone.record, expiry_ms=true_ms(story.loop.now_us) + 1000)
    after = story.expire(0, phil.record, by_ms)
    assert len(after.items) == 1
    return story.judge(nothing_is_hidden_without_right, {0: after})


def test_what_has_expired_may_go_and_older_tombstones_with_it():
    assert expired(true_ms(10_000_000)) == []


def test_what_has_not_expired_may_not():
    story = Story()
    phil = story.put(0, b"phil", expiry_ms=true_ms(20_000_000))
    after = story.expire(0, phil.record, true_ms(20_000_000))
    for collected in (False, True):
        if collected:
            story.collect(0, after)
        found = story.judge(nothing_is_hidden_without_right, {0: None if collected else after})
        assert names(found) == ["C16 gone before its expiry"]


# --- overwrites ----------------------------------------------------------------------------------


def test_a_client_may_overwrite_what_it_has_seen():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.put(1, b"bob", seen=phil)
    assert story.judge(nothing_is_hidden_without_right, {0: bob.record}) == []


def test_a_put_without_context_hides_nothing():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.put(1, b"bob", local=phil.record)
    assert len(bob.record.items) == 2
    assert story.judge(nothing_is_hidden_without_right, {0: bob.record}) == []


def test_a_put_that_hides_what_its_client_had_not_seen():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.put(1, b"bob", local=phil.record)
    alone = replace(bob.record, items=tuple(i for i in bob.record.items if i.value == b"bob"))
    other = Story()
    other.put(0, b"phil")
    other.put(1, b"bob", local=phil.record, made=alone)
    found = other.judge(nothing_is_hidden_without_right, {0: alone})
    assert names(found) == ["C2 false overwrite"]
    assert "n1, who may not" in found[0].text


def test_a_merge_that_drops_a_concurrent_value():
    story = Story()
    phil, bob = story.put(0, b"phil"), story.put(1, b"bob")
    both = joined(phil.record, bob.record)
    copied = replace(both, items=bob.record.items)
    found = story.judge(nothing_is_hidden_without_right, {0: copied})
    assert names(found) == ["C2 false overwrite"]
    assert "nobody, who may not" in found[0].text


def test_what_was_lost_altogether_was_not_overwritten():
    story = Story()
    story.put(0, b"phil")
    bob = story.put(1, b"bob")
    assert story.judge(nothing_is_hidden_without_right, {0: bob.record}) == []


def test_a_set_may_overwrite_what_its_coordinator_holds_and_no_more():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.set(1, b"bob", local=phil.record)
    assert story.judge(nothing_is_hidden_without_right, {0: bob.record}) == []
    other = Story()
    phil = other.put(0, b"phil")
    bent = Record(phil.record.clock.merge(bob.record.clock), bob.record.items)
    other.set(1, b"bob", made=bent)
    assert names(other.judge(nothing_is_hidden_without_right, {0: bent})) == ["C2 false overwrite"]


@pytest.mark.parametrize(
    ("ending", "is_right"),
    [(Ending.DONE, True), (Ending.UNKNOWN, True), (Ending.REFUSED, False)],
)
def test_a_delete_may_hide_what_its_client_had_seen(ending: Ending, is_right: bool):
    story = Story()
    phil = story.put(0, b"phil")
    gone = story.delete(1, seen=phil, ending=ending)
    found = story.judge(nothing_is_hidden_without_right, {0: gone.record})
    assert names(found) == ([] if is_right else ["C2 false overwrite"])


def test_a_context_may_hide_what_the_coordinator_does_not_hold():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.put(1, b"bob", seen=phil, local=Story().put(1, b"other").record)
    final = joined(phil.record, bob.record)
    assert b"phil" not in [item.value for item in final.items]
    assert story.judge(nothing_is_hidden_without_right, {0: final}) == []


# --- siblings ------------------------------------------------------------------------------------


def test_concurrent_values_are_siblings():
    story = Story()
    phil, bob = story.put(0, b"phil"), story.put(1, b"bob")
    final = joined(phil.record, bob.record)
    assert len(final.items) == 2
    assert story.judge(siblings_are_concurrent, {0: final}) == []


def test_a_value_beside_its_successor():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.put(1, b"bob", seen=phil)
    both = replace(bob.record, items=(*phil.record.items, *bob.record.items))
    found = story.judge(siblings_are_concurrent, {0: both})
    assert names(found) == ["C2 false sibling"]


# --- outcomes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (Ending.DONE, []),
        (Ending.UNKNOWN, []),
        (Ending.REFUSED, ["U5 refused but written"]),
        (Ending.NOT_SENT, ["U5 refused but written"]),
    ],
)
def test_a_call_that_was_minted(ending: Ending, expected: list[str]):
    story = Story()
    story.put(0, b"phil", ending=ending)
    assert names(story.judge(outcomes_are_true)) == expected


def test_a_call_that_was_minted_twice():
    story = Story()
    first = story.put(0, b"phil", ending=Ending.UNKNOWN)
    story.put(1, b"phil", local=first.record)
    story.calls.pop(0)
    assert names(story.judge(outcomes_are_true)) == ["U5 written twice"]


def test_a_call_that_was_acknowledged_and_never_minted():
    story = Story()
    story.put(0, b"phil")
    story.ledger.mints.clear()
    assert names(story.judge(outcomes_are_true)) == ["U5 done but not written"]
