"""The table of transitions is the one that people read, and keeps what makes members agree."""

from __future__ import annotations

import pytest

from lsmkv_cluster.swim import member_status
from lsmkv_cluster.swim.member_status import TRANSITIONS, Event, Status

RANK = {Status.ALIVE: 0, Status.SUSPECT: 1, Status.UNREACHABLE: 1, Status.DEAD: 2, Status.LEFT: 3}


def test_the_table_in_the_text_is_the_one_in_use():
    lines = str(member_status.__doc__).splitlines()
    start = next(index for index, line in enumerate(lines) if "RAISED" in line)
    events = [Event[word] for word in lines[start].split()]
    told = {}
    for line in lines[start + 1 : start + 1 + len(Status)]:
        name, *words = line.split()
        for event, word in zip(events, words, strict=True):
            if word != ".":
                told[Status[name], event] = Status[word]
    assert told == TRANSITIONS


@pytest.mark.parametrize("status", Status)
def test_only_a_higher_incarnation_makes_alive_again(status: Status):
    assert TRANSITIONS[status, Event.RAISED] is Status.ALIVE
    for event in set(Event) - {Event.RAISED}:
        after = TRANSITIONS.get((status, event), status)
        assert RANK[after] >= RANK[status]


def test_what_others_say_makes_nobody_unreachable():
    for status in set(Status) - {Status.UNREACHABLE}:
        for event in (Event.ACCUSED, Event.BURIED, Event.DEPARTED, Event.HEARD, Event.RAISED):
            assert TRANSITIONS[status, event] is not Status.UNREACHABLE
