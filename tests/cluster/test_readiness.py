"""Who may say "not found" after which start, and who never while something may be missing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.readiness import (
    NotReady,
    Readied,
    Readiness,
    Start,
    decode_note,
    encode_note,
)
from tests.support.heal_lab import heal_topology

TOPOLOGY = heal_topology(member_count=3, partition_count=4)
ME, ONE, OTHER = (member.id for member in TOPOLOGY.members)
ALL = (0, 1, 2, 3)
ALARM = "all partitions are filled from other owners"


def everyone(peer):
    return True


def nobody(peer):
    return False


@pytest.mark.parametrize("start", [Start.FOUNDED, Start.CLEAN])
def test_where_nothing_is_lost_all_is_ready(start):
    readiness = Readiness(TOPOLOGY, ME, start)
    assert [readiness.is_ready(partition) for partition in ALL] == [True] * 4
    assert (list(readiness.not_ready), readiness.incomplete) == ([], ())
    assert readiness.review(nobody) == Readied()


@pytest.mark.parametrize("start", [Start.WIPED, Start.DAMAGED])
def test_without_its_data_an_owner_has_to_meet_all_reachable_or_not(start):
    readiness = Readiness(TOPOLOGY, ME, start)
    assert sorted(readiness.not_ready) == list(ALL)
    assert readiness.incomplete == ALL
    assert readiness.review(everyone) == Readied((), (f"{start.value}: {ALARM}",))
    assert readiness.review(nobody) == Readied()
    readiness.met(2, ONE)
    assert readiness.review(nobody) == Readied()
    assert readiness.missing(2) == {OTHER}
    readiness.met(2, OTHER)
    assert not readiness.is_ready(2)
    assert readiness.review(nobody) == Readied((2,))
    assert readiness.is_ready(2)
    assert readiness.incomplete == (0, 1, 3)


def test_after_an_unclean_start_those_who_can_be_reached_are_enough_but_one():
    readiness = Readiness(TOPOLOGY, ME, Start.UNCLEAN)
    assert readiness.why_not(0) is NotReady.UNCLEAN
    assert readiness.incomplete == ()
    assert readiness.review(nobody) == Readied()
    readiness.met(0, ONE)
    assert readiness.review(everyone) == Readied()
    assert readiness.review(lambda peer: peer != OTHER) == Readied((0,))
    readiness.met(1, ONE)
    readiness.met(1, OTHER)
    assert readiness.review(everyone) == Readied((1,))


def test_what_was_incomplete_at_the_end_is_so_after_any_start():
    for start in Start:
        readiness = Readiness(TOPOLOGY, ME, start, incomplete=(1,))
        assert readiness.why_not(1) is NotReady.INCOMPLETE
        readiness.met(1, ONE)
        readiness.review(nobody)
        assert not readiness.is_ready(1)


def test_a_quarantined_partition_begins_anew():
    """What was met before may have been lost with it."""
    readiness = Readiness(TOPOLOGY, ME, Start.UNCLEAN)
    readiness.met(0, ONE)
    readiness.quarantined(0)
    assert readiness.why_not(0) is NotReady.INCOMPLETE
    assert readiness.incomplete == (0,)
    readiness.met(0, OTHER)
    [alarm] = readiness.review(nobody).alarms
    assert alarm.startswith("partition 0 cannot be read")
    readiness.met(0, ONE)
    assert readiness.review(nobody) == Readied((0,))
    readiness.quarantined(99)
    assert 99 not in readiness.not_ready


def test_a_single_owner_is_ready_at_once_and_alarms():
    alone = heal_topology(member_count=1, copies=1)
    for start in (Start.UNCLEAN, Start.WIPED, Start.DAMAGED):
        readiness = Readiness(alone, alone.members[0].id, start)
        found = readiness.review(nobody)
        assert found.partitions == ALL
        assert found.alarms[-1].startswith("4 partitions, 0 the first, may have lost writes")
        assert readiness.review(nobody) == Readied()


def test_a_waived_owner_is_not_waited_for():
    readiness = Readiness(TOPOLOGY, ME, Start.WIPED)
    readiness.waive(OTHER)
    assert readiness.review(everyone).partitions == ()
    readiness.met(0, ONE)
    assert readiness.review(everyone) == Readied((0,))
    readiness.waive(ONE)
    found = readiness.review(everyone)
    assert found.partitions == (1, 2, 3)
    assert len(found.alarms) == 1


def test_what_is_met_while_ready_does_not_count_later():
    readiness = Readiness(TOPOLOGY, ME, Start.CLEAN)
    readiness.met(0, ONE)
    readiness.met(0, OTHER)
    readiness.quarantined(0)
    assert readiness.review(everyone).partitions == ()
    assert readiness.missing(0) == {ONE, OTHER}


# --- the note ------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 16383)))
def test_note(partitions):
    assert decode_note(encode_note(sorted(partitions))) == tuple(sorted(partitions))


def test_no_note():
    good = encode_note((3, 4, 200))
    assert good == bytes.fromhex("030300c301")
    bad = [good[:size] for size in range(len(good))]
    bad += [good + b"\0", encode_note((16384,)), b"\x01\xff\xff\x03", b"\xff\xff\x03"]
    for note in bad:
        with pytest.raises(Malformed):
            decode_note(note)
    with pytest.raises(ValueError, match="fit"):
        encode_note((4, 3))


def test_the_order_of_meetings_does_not_matter():
    meetings = [(0, ONE), (0, OTHER), (1, ONE)]
    for order in itertools.permutations(meetings):
        readiness = Readiness(TOPOLOGY, ME, Start.WIPED)
        for meeting in order:
            readiness.met(*meeting)
        assert readiness.review(everyone).partitions == (0,)
