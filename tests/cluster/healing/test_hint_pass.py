"""A pass hands out what owners lack, counts what stays, and knows when it is over."""

from __future__ import annotations

from lsmkv_cluster.healing.hint_budget import Confirmations, HintSettings
from lsmkv_cluster.healing.hint_pass import HintPass, Schedule
from lsmkv_cluster.storage.storage_orders import Entries, Entry

SETTINGS = HintSettings(retry_ms=100, retry_max_ms=300)


def entry(number: int) -> Entry:
    return Entry(b"%d" % number, number, 9)


def test_hints_that_nobody_can_be_sent_are_passed_by():
    current, table = HintPass(0, [b"a", b"b"]), Confirmations()
    table.add(0, b"1", 1, 10, b"a")
    table.add(0, b"2", 2, 10, b"a")
    table.add(0, b"2", 2, 10, b"b")
    assert current.needs_page
    current.is_listing = True
    assert not current.needs_page
    current.listed(Entries((entry(1), entry(2), entry(3)), b"after"))
    parcel = current.next_parcel(table, {b"a"})
    assert parcel is not None
    assert (parcel.entry, parcel.owners, parcel.size) == (entry(3), (b"a",), 10)
    assert current.next_parcel(table, {b"a"}) == parcel
    current.taken(parcel)
    assert current.next_parcel(table, {b"a"}) is None
    assert current.missing == {b"b"}
    assert current.needs_page
    assert (current.after, current.count, current.size) == (b"after", 3, 30)


def test_a_pass_is_over_when_all_is_answered():
    current, table = HintPass(0, [b"a"]), Confirmations()
    current.listed(Entries((entry(1),), None))
    assert not current.is_over
    parcel = current.next_parcel(table, {b"a"})
    assert parcel is not None
    current.taken(parcel)
    assert not current.is_over
    current.open_count -= 1
    current.dropped(parcel.size)
    assert current.is_over
    assert (current.count, current.size, current.missing) == (0, 0, set())


def test_a_pass_that_cannot_list_is_over_and_says_so():
    current = HintPass(0, [b"a", b"b"])
    current.listed(Entries((entry(1),), b"after"))
    current.give_up()
    assert current.is_over
    assert current.is_disturbed
    assert current.missing == {b"a", b"b"}


def test_schedules():
    """Failures are repeated after a while that doubles; those who were away are waited for; new
    hints are for everybody."""
    schedule = Schedule(5)
    schedule.begun()
    failed = HintPass(0, [b"a", b"b"])
    failed.failed([b"a"])
    delays = []
    for _ in range(4):
        schedule.ended(1000, failed, SETTINGS)
        delays.append(schedule.due_ms - 1000)
    assert delays == [100, 200, 300, 300]
    assert schedule.waiting_for == {b"a"}
    schedule.has_new_hints(1200)
    assert (schedule.waiting_for, schedule.due_ms) == (None, 1300)
    schedule.begun()
    schedule.has_new_hints(2000)
    schedule.ended(1900, HintPass(0, [b"a"]), SETTINGS)
    assert (schedule.waiting_for, schedule.due_ms, schedule.delay_ms) == (None, 2000, 0)
