"""A node has the document say where it is, for as long as that takes, and once."""

from __future__ import annotations

from lsmkv_cluster.placement.members import Address, MemberState
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Alarm, Effect, Now
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.proposals import Changed, Outcome
from lsmkv_cluster.reconfiguration.readdressing import READDRESSING, Readdressing
from lsmkv_cluster.reconfiguration.topology_changes import (
    Change,
    Following,
    Readdress,
    Remove,
    Reweigh,
    follow,
)
from tests.support.members import member_id
from tests.support.resp_lab import make_cluster

DOCUMENT = make_cluster(3)
ME, OTHER = (member.id for member in DOCUMENT.members[:2])
HERE = (Address("peer", "here:1"),)
SETTINGS = KeeperSettings(announce_again_ms=1000)


def make(addresses: tuple[Address, ...] = HERE) -> Readdressing:
    return Readdressing(ME, addresses, SETTINGS)


def at(ms: int) -> Now:
    return Now(ms, 0)


def end(machine: Readdressing, ms: int, outcome: Outcome) -> list[Effect]:
    return machine.ended(at(ms), Changed(READDRESSING, outcome, 1, "as it is"))


def after(document: Topology, change: Change, *, is_forced: bool = False) -> Topology:
    found = follow(document, change, is_forced=is_forced)
    assert isinstance(found, Following)
    return found.document


def test_it_asks_until_the_document_says_it():
    machine = make()
    assert machine.wish(at(0), DOCUMENT) == Readdress(ME, HERE)
    assert machine.wish(at(5000), DOCUMENT) is None, "one wish at a time"
    [alarm] = end(machine, 5000, Outcome.NO_MAJORITY)
    assert isinstance(alarm, Alarm)
    assert machine.wish(at(5999), DOCUMENT) is None
    assert machine.wish(at(6000), DOCUMENT) == Readdress(ME, HERE)
    assert end(machine, 7000, Outcome.LOST) == [], "it is told once"
    assert machine.wish(at(8000), DOCUMENT) == Readdress(ME, HERE)
    assert end(machine, 8001, Outcome.COMMITTED) == []
    assert machine.wish(at(8002), DOCUMENT) is None, "it is chosen, and not yet worked by"
    assert machine.wish(at(20_000), after(DOCUMENT, Readdress(ME, HERE))) is None


def test_nobody_has_to_be_told_what_the_document_says_or_where_nothing_listens():
    assert make().wish(at(0), after(DOCUMENT, Readdress(ME, HERE))) is None
    assert make(()).wish(at(0), DOCUMENT) is None


def test_of_two_that_run_under_one_name_neither_wins_for_ever():
    machine = make()
    known = after(DOCUMENT, Readdress(ME, HERE))
    assert machine.wish(at(0), known) is None
    elsewhere = after(known, Readdress(ME, (Address("peer", "elsewhere:1"),)))
    assert machine.wish(at(10_000), elsewhere) is None


def test_a_document_that_was_forced_may_not_know_it():
    machine = make()
    assert machine.wish(at(0), after(DOCUMENT, Readdress(ME, HERE))) is None
    forced = after(DOCUMENT, Reweigh(OTHER, 50), is_forced=True)
    assert machine.wish(at(10_000), forced) == Readdress(ME, HERE)


def test_who_is_no_member_is_not_found_anywhere():
    nobody = Readdressing(member_id("nobody"), HERE, SETTINGS)
    assert nobody.wish(at(0), DOCUMENT) is None
    removed = after(make_cluster(3, copies=2), Remove(ME))
    assert removed.members_by_id[ME].state is MemberState.REMOVED
    assert make().wish(at(0), removed) is None
