"""Machines are asked when they are due, and again only when that may have changed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lsmkv_cluster.deadlines import Deadlines
from lsmkv_cluster.operations import Machine


class Part:
    def __init__(self, due_ms: int | None) -> None:
        self.due_ms = due_ms
        self.asked = 0

    def next_deadline(self) -> int | None:
        self.asked += 1
        return self.due_ms


def make(**due: int | None) -> tuple[Deadlines, SimpleNamespace]:
    parts = {name: Part(due_ms) for name, due_ms in due.items()}
    machines: Any = {Machine[name.upper()]: part for name, part in parts.items()}
    return Deadlines(machines), SimpleNamespace(**parts)


HINTS, REPLICA, TOPOLOGY = Machine.HINTS, Machine.REPLICA, Machine.TOPOLOGY


def test_who_is_due():
    deadlines, _ = make(hints=5, replica=None, topology=9)
    all_of_them = [HINTS, REPLICA, TOPOLOGY]
    for now_ms, due in ((4, []), (5, [HINTS]), (9, [HINTS, TOPOLOGY]), (1, [])):
        assert list(deadlines.due(all_of_them, now_ms)) == due
        assert deadlines.earliest(all_of_them) == 5
    assert deadlines.earliest([REPLICA]) is None
    assert list(deadlines.due([REPLICA], 1 << 60)) == []


def test_a_machine_is_asked_once_until_it_changes():
    deadlines, parts = make(hints=5, topology=9)
    for _ in range(3):
        assert deadlines.earliest([HINTS, TOPOLOGY]) == 5
    assert parts.hints.asked == parts.topology.asked == 1
    parts.hints.due_ms = 7
    deadlines.changed(TOPOLOGY)
    assert deadlines.earliest([HINTS, TOPOLOGY]) == 5
    deadlines.changed(HINTS)
    assert deadlines.earliest([HINTS, TOPOLOGY]) == 7
    parts.hints.due_ms = parts.topology.due_ms = 3
    deadlines.all_changed()
    assert list(deadlines.due([HINTS, TOPOLOGY], 3)) == [HINTS, TOPOLOGY]


def test_who_has_changed_is_asked_before_anybody_is_due():
    deadlines, parts = make(hints=5, topology=9)
    deadlines.earliest([HINTS, TOPOLOGY])
    parts.topology.due_ms = 2
    deadlines.changed(TOPOLOGY)
    assert list(deadlines.due([HINTS, TOPOLOGY], 2)) == [TOPOLOGY]


def test_what_is_done_for_one_may_make_the_next_one_due():
    deadlines, parts = make(hints=5, topology=9)
    deadlines.earliest([HINTS, TOPOLOGY])
    found = []
    for machine in deadlines.due([HINTS, TOPOLOGY], 5):
        found.append(machine)
        parts.topology.due_ms = 5
        deadlines.changed(TOPOLOGY)
    assert found == [HINTS, TOPOLOGY]


def test_who_depends_on_another_goes_with_it():
    deadlines, parts = make(hints=None, replica=3, coordinator=4, connection=5, topology=6)
    for machine, follower in (
        (REPLICA, parts.hints),
        (Machine.COORDINATOR, parts.hints),
        (Machine.CONNECTION, parts.topology),
    ):
        deadlines.earliest([HINTS, TOPOLOGY])
        before = follower.asked
        deadlines.changed(machine)
        deadlines.earliest([HINTS, TOPOLOGY])
        assert follower.asked == before + 1
