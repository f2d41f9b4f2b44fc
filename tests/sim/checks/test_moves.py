"""Copies that are whole too early and rows that are switched too early are found, and no others."""

from __future__ import annotations

from lsmkv_cluster.placement.keyspaces import Mode
from tests.sim.checks.moves import coming_copies_are_whole, new_owners_show_what_was_promised
from tests.sim.ledger import Fill, Switch
from tests.sim.stories import KEY, Story, Written


def strict(story: Story, value: bytes) -> Written:
    written = story.put(0, value)
    written.call.mode = Mode.STRICT
    return written


def promises(story: Story, checker) -> list[str]:
    return [finding.promise for finding in story.judge(checker, {0: None})]


def test_a_copy_that_was_whole_without_what_was_promised_before_its_move():
    story = Story()
    old = strict(story, b"old")
    since = story.ledger.number + 1
    new = story.put(0, b"new", seen=old)
    new.call.mode = Mode.STRICT
    number = story.ledger.number + 1
    story.ledger.fills.append(Fill(number, 3, KEY, old.record, since))
    story.ledger.fills.append(Fill(number, 4, KEY, new.record, since))
    assert promises(story, coming_copies_are_whole) == []
    story.ledger.fills.append(Fill(number, 5, KEY, None, since))
    assert promises(story, coming_copies_are_whole) == ["C14 coming copy incomplete"]


def test_default_writes_are_not_promised():
    story = Story()
    story.put(0, b"v")
    number = story.ledger.number + 1
    story.ledger.fills.append(Fill(number, 3, KEY, None, number))
    story.ledger.switches.append(Switch(number, KEY, 0, {3: None}))
    assert promises(story, coming_copies_are_whole) == []
    assert promises(story, new_owners_show_what_was_promised) == []


def test_a_row_of_which_too_many_lack_what_was_promised():
    story = Story()
    record = strict(story, b"v").record
    number = story.ledger.number + 1
    story.ledger.switches.append(Switch(number, KEY, 1, {0: record, 1: None}))
    assert promises(story, new_owners_show_what_was_promised) == []
    story.ledger.switches.append(Switch(number, KEY, 1, {0: record, 1: None, 2: None}))
    assert promises(story, new_owners_show_what_was_promised) == ["C14 switched too early"]
