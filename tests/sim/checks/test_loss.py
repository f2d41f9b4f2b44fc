"""The checker of lost writes sees each loss and each return of what was deleted, and takes the
excuses that count, and no others."""

from __future__ import annotations

import pytest

from lsmkv_cluster.versions.record import Record
from tests.sim.checks.loss import acknowledged_writes_are_kept
from tests.sim.history import Ending
from tests.sim.stories import Story, joined


def promises(story: Story, *records: Record | None) -> list[tuple[str, str | None]]:
    """What is found when these are the copies at last, and the excuses."""
    findings = story.judge(acknowledged_writes_are_kept, dict(enumerate(records)))
    return [(finding.promise, finding.excuse) for finding in findings]


def test_what_is_there_is_kept():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.put(1, b"bob")
    assert promises(story, joined(phil.record, bob.record)) == []


def test_copies_count_together():
    story = Story()
    phil, bob = story.put(0, b"phil"), story.put(1, b"bob")
    assert promises(story, phil.record, bob.record, None) == []


def test_what_was_superseded_is_kept_in_its_successor():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.put(1, b"bob", seen=phil)
    assert promises(story, bob.record) == []


def test_a_write_that_is_nowhere_is_lost():
    story = Story()
    phil = story.put(0, b"phil")
    bob = story.put(1, b"bob")
    assert promises(story, phil.record) == [("C1 lost write", None)]
    assert promises(story, None) == [("C1 lost write", None)] * 2
    assert bob.call.is_done


@pytest.mark.parametrize("ending", [Ending.UNKNOWN, Ending.REFUSED, Ending.NOT_SENT])
def test_what_was_not_acknowledged_may_be_gone(ending: Ending):
    story = Story()
    story.put(0, b"phil", ending=ending)
    assert promises(story, None) == []


def test_a_deleted_value_that_shows_again():
    story = Story()
    phil = story.put(0, b"phil")
    story.delete(1, seen=phil)
    assert promises(story, phil.record) == [("C4 resurrected", None)]  # its delete is forgotten
    # A record that knows of the delete, and shows what it deleted.
    other = Story()
    phil = other.put(0, b"phil")
    gone = other.delete(1, seen=phil)
    back = type(gone.record)(gone.record.clock, (*phil.record.items, *gone.record.items))
    assert promises(other, back) == [("C4 resurrected", None)]


def test_what_was_collected_is_kept_in_memory():
    """A delete that all owners had, and have collected, is not lost; nor is what it covered."""
    story = Story()
    phil = story.put(0, b"phil")
    gone = story.delete(1, seen=phil)
    for machine in range(3):
        story.collect(machine, gone.record)
    assert promises(story, None) == []
    bob = story.put(2, b"bob", is_strict=True)
    assert promises(story, bob.record) == []


def test_a_value_that_shows_again_after_its_tombstone_was_collected():
    story = Story()
    phil = story.put(0, b"phil")
    gone = story.delete(1, seen=phil)
    story.collect(0, gone.record)
    assert promises(story, phil.record) == [("C4 resurrected", None)]


def test_a_strict_read_promises_what_it_returned():
    story = Story()
    phil = story.put(0, b"phil", ending=Ending.UNKNOWN)
    story.get(phil.record, is_strict=True)
    assert promises(story, None) == [("C1 lost write", None)]
    other = Story()
    phil = other.put(0, b"phil", ending=Ending.UNKNOWN)
    other.get(phil.record)
    assert promises(other, None) == []


def test_a_loss_of_power_before_the_sync_excuses():
    story = Story()
    story.put(0, b"phil")
    story.ledger.lost_power(0)
    assert promises(story, None) == [("C1 lost write", "n0 power")]


def test_a_loss_of_power_after_the_sync_does_not():
    story = Story()
    story.put(0, b"phil")
    story.sync(0)
    story.ledger.lost_power(0)
    assert promises(story, None) == [("C1 lost write", None)]


@pytest.mark.parametrize("kind", ["wiped", "damaged", "discarded"])
def test_a_lost_disk_excuses(kind: str):
    story = Story()
    story.put(0, b"phil")
    story.sync(0)
    story.ledger.lost(0, kind, 0)
    assert promises(story, None) == [("C1 lost write", f"n0 {kind}")]


def test_an_old_copy_excuses_what_came_after_it():
    story = Story()
    phil = story.put(0, b"phil")
    taken = story.ledger.number
    story.put(0, b"bob", local=phil.record)
    story.ledger.lost(0, "restored", taken)
    assert promises(story, phil.record) == [("C1 lost write", "n0 restored")]


def test_every_replica_that_acknowledged_must_have_an_excuse():
    story = Story()
    phil = story.put(0, b"phil", ending=Ending.UNKNOWN)
    story.hold(1, phil.record)
    story.acknowledge(phil)
    story.ledger.lost(0, "wiped", 0)
    assert promises(story, None) == [("C1 lost write", None)]
    story.ledger.lost_power(1)
    assert promises(story, None) == [("C1 lost write", "n0 wiped, n1 power")]


def test_who_came_to_hold_it_later_excuses_nothing():
    story = Story()
    phil = story.put(0, b"phil")
    story.hold(1, phil.record)
    story.ledger.lost(1, "wiped", 0)
    assert promises(story, None) == [("C1 lost write", None)]


def test_strict_writes_have_no_excuse():
    story = Story()
    story.put(0, b"phil", is_strict=True)
    story.ledger.lost(0, "wiped", 0)
    assert promises(story, None) == [("C1 lost write", None)]
