"""Levels come from the request, else from the keyspace, and what they come to is remembered."""

from __future__ import annotations

from dataclasses import replace

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.coordination.rules import RULES_MAX, RuleTable
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from tests.support.members import member_id
from tests.support.quorum_lab import make_lab_topology

ONE, ALL = Consistency(Level.ONE), Consistency(Level.ALL)
GET = ClientRequest(Verb.GET, b"k")


def make_view(keyspace: Keyspace) -> View:
    topology = make_lab_topology("a b c d", "a b c", [keyspace])
    return View(topology, member_id("a"), lambda _: True, lambda _: True)


def test_what_a_request_names_comes_before_the_keyspace():
    view = make_view(Keyspace(read=ONE, write=ALL))
    table, place = RuleTable(view), view.place_of(b"k")
    rules = table.find(place, GET)
    assert ([group.count for group in rules.read], rules.write_count) == ([1], 3)
    rules = table.find(place, replace(GET, read=ALL, write=ONE))
    assert ([group.count for group in rules.read], rules.write_count) == ([3], 1)
    assert not rules.is_strict
    assert rules.is_allowed


def test_strict_wants_levels_that_meet():
    view = make_view(Keyspace(mode=Mode.STRICT))
    table, place = RuleTable(view), view.place_of(b"k")
    assert table.find(place, GET).is_allowed
    assert not table.find(place, replace(GET, read=ONE)).is_allowed
    assert table.find(place, replace(GET, read=ONE, mode=Mode.SLOPPY)).is_allowed


def test_the_same_is_worked_out_once_and_forgotten_with_the_document():
    view = make_view(Keyspace())
    table, place = RuleTable(view), view.place_of(b"k")
    assert table.find(place, GET) is table.find(place, replace(GET, key=b"k"))
    assert len(table) == 1
    table.clear()
    assert len(table) == 0


def test_what_is_remembered_is_bounded():
    view = make_view(Keyspace())
    table = RuleTable(view)
    table._known = {(n,): None for n in range(RULES_MAX)}  # type: ignore[misc]
    table.find(view.place_of(b"k"), GET)
    assert len(table) == 1
