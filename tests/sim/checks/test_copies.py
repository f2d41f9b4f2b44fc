"""The checkers of single copies see one that answers with a hole, a hint that went too soon, and an
actor that counts on over a loss, and nothing else."""

from __future__ import annotations

import pytest

from tests.sim.checks.copies import (
    actors_end_with_a_loss,
    copies_show_what_they_have_promised,
    hints_stay_until_all_have_them,
)
from tests.sim.history import Ending
from tests.sim.stories import Story, Written, joined


def names(story: Story, checker: object, owners: int = 3) -> list[str]:
    copies = dict.fromkeys(range(owners))
    return [finding.promise for finding in story.judge(checker, copies)]  # type: ignore[arg-type]


# --- copies --------------------------------------------------------------------------------------


def strict_write(story: Story) -> Written:
    """On stable storage of machines 0 and 1 when it is answered."""
    phil = story.put(0, b"phil", is_strict=True, ending=Ending.UNKNOWN)
    story.hold(1, phil.record)
    story.sync(1)
    story.acknowledge(phil)
    return phil


def test_a_copy_shows_what_it_has_promised_and_more():
    story = Story()
    phil = strict_write(story)
    story.look_up(0, phil.record)
    bob = story.put(2, b"bob", seen=phil)
    story.look_up(1, bob.record)
    assert names(story, copies_show_what_they_have_promised) == []


@pytest.mark.parametrize("machine", [0, 1])
def test_a_copy_that_shows_less_than_it_has_promised(machine: int):
    story = Story()
    strict_write(story)
    story.look_up(machine, None)
    story.look_up(machine, Story().put(2, b"other").record)
    assert names(story, copies_show_what_they_have_promised) == ["C5 incomplete copy"] * 2


def test_a_copy_that_promised_nothing_may_show_nothing():
    story = Story()
    phil = strict_write(story)
    story.look_up(2, None)
    story.hold(2, phil.record)  # it came later
    story.sync(2)
    story.look_up(2, None)
    assert names(story, copies_show_what_they_have_promised) == []


def test_what_was_held_and_not_synced_was_not_promised():
    story = Story()
    phil = story.put(0, b"phil", is_strict=True, ending=Ending.UNKNOWN)
    story.hold(1, phil.record)
    story.acknowledge(phil)
    story.sync(1)
    story.look_up(1, None)
    assert names(story, copies_show_what_they_have_promised) == []


def test_a_copy_need_not_show_what_it_has_collected():
    story = Story()
    phil = story.put(0, b"phil", is_strict=True)
    gone = story.delete(0, seen=phil, is_strict=True)
    story.hold(0, gone.record)
    story.sync(0)
    story.collect(0, gone.record)
    story.look_up(0, None)
    assert names(story, copies_show_what_they_have_promised) == []


def test_sloppy_and_open_calls_promise_nothing():
    story = Story()
    story.put(0, b"phil")
    story.put(0, b"bob", is_strict=True, ending=Ending.UNKNOWN)
    story.sync(0)
    story.look_up(0, None)
    assert names(story, copies_show_what_they_have_promised) == []


# --- hints ---------------------------------------------------------------------------------------


def test_a_hint_goes_when_all_owners_have_it():
    story = Story(5)
    phil = story.put(3, b"phil")
    story.keep_hint(4, phil.record)
    for owner in range(3):
        story.hold(owner, phil.record)
        story.sync(owner)
    story.drop_hint(4, phil.record)
    assert names(story, hints_stay_until_all_have_them) == []


def test_a_hint_that_goes_before():
    story = Story(5)
    phil = story.put(3, b"phil")
    bob = story.put(3, b"bob", local=phil.record)
    for owner in range(3):
        story.hold(owner, phil.record)
        story.sync(owner)
    story.hold(0, bob.record)
    story.sync(0)
    story.hold(1, bob.record)  # not synced
    story.drop_hint(4, joined(phil.record, bob.record))
    assert names(story, hints_stay_until_all_have_them) == ["C1 hint dropped early"] * 2


# --- actors --------------------------------------------------------------------------------------


def test_an_actor_counts_on():
    story = Story()
    phil = story.put(0, b"phil")
    story.put(0, b"bob", seen=phil)
    assert names(story, actors_end_with_a_loss) == []


def test_an_actor_that_counts_on_over_a_loss():
    story = Story()
    phil = story.put(0, b"phil")
    story.ledger.lost_power(0)
    story.put(0, b"bob", seen=phil)
    assert names(story, actors_end_with_a_loss) == ["C2 actor outlives a loss"]


def test_damage_is_no_loss_until_something_is_given_up():
    story = Story()
    phil = story.put(0, b"phil")
    story.ledger.lost(0, "damaged", 0)
    bob = story.put(0, b"bob", seen=phil)
    assert names(story, actors_end_with_a_loss) == []
    story.ledger.lost(0, "discarded", 0)
    story.put(0, b"amy", seen=bob)
    assert names(story, actors_end_with_a_loss) == ["C2 actor outlives a loss"]


def test_what_is_not_lost_does_not_end_an_actor():
    story = Story()
    phil = story.put(0, b"phil")
    story.sync(0)
    story.ledger.lost_power(0)  # all was synced
    story.ledger.lost_power(1)  # another machine
    story.put(0, b"bob", seen=phil)
    assert names(story, actors_end_with_a_loss) == []


def test_the_dot_that_was_lost_need_not_be_the_first_of_its_actor():
    story = Story()
    phil = story.put(0, b"phil")
    taken = story.ledger.number
    story.put(0, b"bob", seen=phil)
    story.ledger.lost(0, "restored", taken)
    story.put(0, b"amy", seen=phil)
    assert names(story, actors_end_with_a_loss) == ["C2 actor outlives a loss"]
