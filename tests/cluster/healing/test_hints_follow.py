"""Hints follow their partition: all who keep a copy get them, and nothing that was confirmed at the
place before counts at the next.
"""

from __future__ import annotations

import pytest

from lsmkv_cluster.coordination.replica_messages import MERGE
from lsmkv_cluster.healing.hint_budget import HintSettings
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.storage.storage_orders import Space
from tests.cluster.healing.test_hints import (
    MINUTE_MS,
    handoff,
    have_all,
    hint_count,
    keep,
    make_lab,
    report,
    stand_in,
)
from tests.support.fake_store import some_record
from tests.support.heal_lab import HealLab, LabNode, heal_topology, keys_of, moved

TOPOLOGY = heal_topology()
RECORDS = {key: some_record(1) for key in keys_of(TOPOLOGY, 0, 50)}


def keep_all(node: LabNode) -> None:
    for key, record in RECORDS.items():
        assert keep(node, key, record)


def other_row(lab: HealLab, holder: LabNode) -> tuple[bytes, ...]:
    """The last owner goes, the other member that has no copy comes."""
    [new] = [id for id in TOPOLOGY.stand_ins(0) if id != holder.id]
    return (*TOPOLOGY.owners[0][:2], new)


@pytest.mark.parametrize("phase", [Phase.FILLING, Phase.SWITCHED])
def test_the_owners_of_both_rows_have_a_hint_before_it_is_dropped(phase: Phase):
    lab = make_lab()
    node = stand_in(lab)
    row = other_row(lab, node)
    lab.adopt_all(moved(TOPOLOGY, 0, phase, row))
    new, leaving = lab.nodes[row[2]], lab.owners(0)[2]
    leaving = lab.nodes[TOPOLOGY.owners[0][2]]
    lab.stop(leaving)
    keep_all(node)
    lab.run(MINUTE_MS)
    assert have_all([lab.nodes[id] for id in row], RECORDS)
    assert hint_count(node) == 50
    lab.start(leaving)
    lab.stop(new)
    lab.run(MINUTE_MS)
    assert have_all([leaving], RECORDS)
    assert hint_count(node) == 0


def test_what_was_confirmed_at_the_place_before_does_not_count():
    """An owner goes and comes back with an empty copy: it gets all hints again."""
    lab = make_lab()
    node = stand_in(lab)
    row, away = TOPOLOGY.owners[0], lab.owners(0)[0]
    lab.stop(away)
    keep_all(node)
    lab.run(MINUTE_MS)
    assert report(node).partly_confirmed == 50
    first = moved(TOPOLOGY, 0, None, other_row(lab, node))
    lab.adopt_all(first)
    lab.adopt_all(moved(first, 0, None, row))
    assert report(node).partly_confirmed == 0
    returned = lab.nodes[row[2]]
    assert returned.store.contents() == {}
    lab.start(away)
    lab.run(MINUTE_MS)
    assert have_all([lab.nodes[id] for id in row], RECORDS)
    assert hint_count(node) == 0


@pytest.mark.parametrize("moment", ["listing", "reading", "sent"])
def test_a_pass_that_is_under_way_ends_and_begins_anew(moment: str):
    """Whatever it was waiting for: nothing of it is sent any more, no answer to it counts for the
    new place, and the windows of all receivers are whole again."""
    lab = make_lab(HintSettings(answer_timeout_ms=3000, page_count_max=7))
    node, owners = stand_in(lab), lab.owners(0)
    lab.order_delay_ms = 200
    keep_all(node)
    sent = {"listing": 0, "reading": 0, "sent": 1}[moment]
    wanted = {"listing": "ListEntries", "reading": "Read", "sent": "Read"}[moment]

    def has_come() -> bool:
        last = type(node.store.orders[-1]).__name__
        return last == wanted and lab.open_count(MERGE) >= sent

    assert lab.run(MINUTE_MS, until=has_come)
    row = other_row(lab, node)
    before = len(lab.asks)
    confirmed = report(node).confirmed
    lab.adopt_all(moved(TOPOLOGY, 0, None, row))
    assert report(node).partly_confirmed == 0
    lab.run(MINUTE_MS)
    assert owners[2].id not in {ask.to for _, ask in lab.asks[before:]}
    assert have_all([lab.nodes[id] for id in row], RECORDS)
    assert hint_count(node) == 0
    assert (report(node).dropped, report(node).unanswered) == (50, 0)
    assert report(node).confirmed - confirmed >= 150


def test_partitions_that_have_not_moved_keep_what_was_confirmed():
    lab = make_lab()
    node = stand_in(lab)
    away = lab.owners(0)[2]
    lab.stop(away)
    keep_all(node)
    lab.run(MINUTE_MS)
    asks = len(lab.asks)
    row = TOPOLOGY.owners[1]
    lab.adopt_all(moved(TOPOLOGY, 1, None, (*row[:2], *TOPOLOGY.stand_ins(1)[:1])))
    lab.start(away)
    lab.run(MINUTE_MS)
    assert hint_count(node) == 0
    assert {ask.to for _, ask in lab.asks[asks:]} == {away.id}


def test_what_only_a_coming_or_a_leaving_copy_has_is_not_given_up():
    """Such a copy may be gone soon. As soon as one that is read has it, it is."""
    lab = make_lab(HintSettings(confirmed_age_max_ms=10 * MINUTE_MS, retry_max_ms=MINUTE_MS))
    node = stand_in(lab)
    row = other_row(lab, node)
    for owner in lab.owners(0):
        lab.stop(owner)
    lab.adopt_all(moved(TOPOLOGY, 0, Phase.FILLING, row))
    keep_all(node)
    lab.run(30 * MINUTE_MS)
    assert have_all([lab.nodes[row[2]]], RECORDS)
    assert (report(node).given_up, hint_count(node)) == (0, 50)
    lab.start(lab.nodes[row[0]])
    lab.run(30 * MINUTE_MS)
    assert have_all([lab.nodes[row[0]]], RECORDS)
    assert (report(node).given_up, hint_count(node)) == (50, 0)


def test_the_holder_itself_becomes_an_owner():
    """It merges the hints into its own copy, too."""
    lab = make_lab()
    node = stand_in(lab)
    keep_all(node)
    lab.adopt_all(moved(TOPOLOGY, 0, Phase.FILLING, (*TOPOLOGY.owners[0][:2], node.id)))
    lab.run(MINUTE_MS)
    assert have_all([*lab.owners(0), node], RECORDS)
    assert node.store.contents(Space.HINT) == {}
    assert handoff(node).next_deadline() is None


def test_a_late_answer_from_the_place_before_does_not_count():
    """The owner has dropped that copy, and has an empty one now."""
    lab = make_lab()
    node, owners = stand_in(lab), lab.owners(0)
    keep_all(node)
    assert lab.run(MINUTE_MS, until=lambda: bool(owners[2].store.contents()))
    assert report(node).unanswered > 0
    first = moved(TOPOLOGY, 0, None, other_row(lab, node))
    lab.adopt_all(first)
    lab.adopt_all(moved(first, 0, None, TOPOLOGY.owners[0]))
    assert owners[2].store.contents() == {}
    lab.run(MINUTE_MS)
    assert have_all(owners, RECORDS)
    assert hint_count(node) == 0
